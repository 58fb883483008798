/* SPDX-License-Identifier: MIT */
/* smsnap build: a snapshot from JSON. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "command.h"
#include "document.h"
#include "json.h"
#include "memory.h"
#include "read_all.h"

/* Take the number of bytes NAME out of DOCUMENT_LAYOUT to *OUT; NULL_TOO: it may be null, false then. */
static int take_offset(json_object *layout, const char *name, bool null_too, uint64_t *out,
		       bool *given, struct error *e)
{
	json_object *o;

	if (!json_object_object_get_ex(layout, name, &o))
		return error_set(e, EINVAL, "%s.%s: is missing", DOCUMENT_LAYOUT, name);
	*given = o != NULL;
	if (!o && !null_too)
		return error_set(e, EINVAL, "%s.%s: must be a whole number", DOCUMENT_LAYOUT, name);
	if (o && (!json_object_is_type(o, json_type_int) || json_object_get_int64(o) < 0 ||
		  json_object_get_uint64(o) > INT64_MAX))
		return error_set(e, EINVAL, "%s.%s: must be a number of bytes", DOCUMENT_LAYOUT, name);
	if (o)
		*out = json_object_get_uint64(o);
	json_object_object_del(layout, name);
	return 0;
}

struct document {
	struct build_parts parts;
	struct container *container; /* null until it is read */
};

/* The layout that the document TOP names. */
static int take_layout(json_object *top, json_object **out, struct document *d, struct error *e)
{
	json_object *format;

	if (!json_object_is_type(top, json_type_object))
		return error_set(e, EINVAL, ".: must be an object");
	if (!json_object_object_get_ex(top, DOCUMENT_LAYOUT, out))
		return error_set(e, EINVAL, "%s: is missing", DOCUMENT_LAYOUT);
	if (!json_object_is_type(*out, json_type_object))
		return error_set(e, EINVAL, "%s: must be an object", DOCUMENT_LAYOUT);
	if (!json_object_object_get_ex(*out, "format", &format))
		return error_set(e, EINVAL, "%s.format: is missing", DOCUMENT_LAYOUT);
	if (json_object_is_type(format, json_type_string))
		d->parts.layout = layout_named(json_object_get_string(format));
	if (!d->parts.layout)
		return error_set(e, EINVAL, "%s.format: is not one of the words for it", DOCUMENT_LAYOUT);
	return 0;
}

/* Take the head, and where the document did not say it, where RAM is. */
static int take_head(json_object *top, struct document *d, bool offsets_taken, struct error *e)
{
	struct buffer head = { 0 };
	int err = json_to_container(d->parts.layout->head, top, &head, e);

	if (!err)
		err = container_decode(d->parts.layout->head, head.bytes, head.size, 0, &d->container, e);
	if (err) {
		buffer_free(&head);
		return err;
	}
	d->parts.container = d->container; /* which has the bytes of HEAD */
	if (!offsets_taken) {
		container_number(d->container, LAYOUT_RAM_OFFSET, &d->parts.ram_offset);
		d->parts.has_ram = true;
	}
	/* No file has such places. */
	if (d->parts.has_ram && d->parts.ram_offset > INT64_MAX)
		return error_set(e, EINVAL, "%s.%s: is out of range", DOCUMENT_LAYOUT, DOCUMENT_RAM_OFFSET);
	if (d->parts.has_ram && container_mem_size(d->container) > INT64_MAX)
		return error_set(e, EINVAL, "mem_size: is out of range");
	return 0;
}

static int take_document(json_object *top, struct document *d, struct error *e)
{
	json_object *layout;
	int err = take_layout(top, &layout, d, e);
	bool offsets = !err && d->parts.layout->offsets_given, given;

	if (offsets) {
		err = take_offset(layout, DOCUMENT_CONTAINER_OFFSET, false, &d->parts.head_offset, &given, e);
		if (!err)
			err = take_offset(layout, DOCUMENT_RAM_OFFSET, true, &d->parts.ram_offset,
					  &d->parts.has_ram, e);
	}
	return err ? err : take_head(top, d, offsets, e);
}

static int read_document(const char *path, struct document *d, struct error *e)
{
	struct buffer text = { 0 };
	json_object *top = NULL;
	int err;

	memory_must_suffice(true);
	err = read_all(path, &text, e);
	if (!err) {
		err = json_parse(text.size ? (char *)text.bytes : "", text.size, &top, e);
		if (!err)
			err = take_document(top, d, e);
		if (err)
			error_prefix(e, -err, "%s", path);
	}
	json_object_put(top);
	buffer_free(&text);
	memory_must_suffice(false);
	return err;
}

/* Open RAM, which must be just as long as the document D says. */
static int open_ram(const char *path, struct document *d, struct error *e)
{
	uint64_t mem_size = container_mem_size(d->container);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = { 0 };
	int err = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		err = error_set(e, errno, "ram %s: %s", path, strerror(errno));
	else if ((uint64_t)st.st_size != mem_size)
		err = error_set(e, EINVAL, "ram %s: has %" PRIu64 " bytes, mem_size is %" PRIu64, path,
				(uint64_t)st.st_size, mem_size);
	else if (mem_size > 0 && ram_open(fd, 0, mem_size, mem_size, &d->parts.ram, e))
		err = error_prefix(e, e->code, "ram %s", path);
	if (fd >= 0)
		close(fd);
	return err;
}

/* Open the base of the diff D, of which RAM's pages are to differ: the given one or its own. */
static int open_base(const struct arguments *a, struct document *d, struct error *e)
{
	struct diff_base base = { .fd = -1 };
	struct value path;
	struct node n;
	char *text;
	int err = container_find(d->container, LAYOUT_BASE, &n);

	if (!err)
		err = container_value(d->container, n, &path);
	if (err)
		return error_set(e, -err, "%s: %s", LAYOUT_BASE, strerror(-err));
	if (a->in_base)
		path = (struct value){ (const uint8_t *)a->in_base, strlen(a->in_base) };
	text = strndup((const char *)path.bytes, path.size);
	if (!text)
		return error_set(e, ENOMEM, "out of memory");
	err = base_open(text, path.size, -1, a->in_base ? "" : a->output, ram_size(d->parts.ram),
			&base, e);
	free(text);
	if (!err)
		err = source_open_diff(&base, NULL, ram_size(d->parts.ram), &d->parts.base, e);
	base_close(&base);
	return err ? error_prefix(e, -err, "base") : 0;
}

static int build(const struct arguments *a)
{
	struct document d = { .container = NULL };
	struct error e = { 0 };
	int err;

	if (!a->output)
		return complain(WRONG_USAGE, "build: needs -o SNAPSHOT; see smsnap build --help");
	err = read_document(a->operands[0], &d, &e);
	if (!err && a->ram) {
		d.parts.has_ram = true;
		err = open_ram(a->ram, &d, &e);
		if (!err && d.parts.ram && d.parts.layout->is_diff)
			err = open_base(a, &d, &e);
	}
	if (!err) {
		err = build_snapshot(a->output, &d.parts, &e);
		if (err)
			error_prefix(&e, -err, "%s", a->output);
	}
	ram_close(d.parts.ram);
	source_close(d.parts.base);
	container_free(d.container);
	return err ? complain(WRONG_INPUT, "%s", e.text) : 0;
}

static const struct option_row options[] = {
	{ "output", 'o', "SNAPSHOT", offsetof(struct arguments, output), "the file to write" },
	{ "ram", 0, "FILE", offsetof(struct arguments, ram), "the guest's RAM; without it RAM is a hole" },
	{ "in-base", 0, "FILE", offsetof(struct arguments, in_base), "the base of a differential one is FILE" },
	{ 0 }
};

const struct command cmd_build = {
	.name = "build",
	.operands = "JSON -o SNAPSHOT",
	.least = 1,
	.most = 1,
	.summary = "make a snapshot from what dump printed",
	.help = "JSON is a file, or - for standard input.\n",
	.options = options,
	.run = build,
};
