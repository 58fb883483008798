/* SPDX-License-Identifier: MIT */
/* smsnap: works on snapshot files without mounting them (smsnap(1)). */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "command.h"
#include "guard.h"
#include "standard.h"

static const struct command *const commands[] = {
	&cmd_build,
	&cmd_dump,
	&cmd_fields,
	NULL
};

static const struct command *find_command(const char *name)
{
	const struct command *const *c;

	for (c = commands; *c && strcmp((*c)->name, name) != 0; c++)
		;
	return *c;
}

static int print_help(void)
{
	const struct command *const *c;

<<<<<<< HEAD
/* The exit status of a command that has only printed. */
static int printed(void)
{
	struct error e = { 0 };

	return standard_flush(&e) ? complain(WRONG_INPUT, e.text) : 0;
}

/*
 * dump
 */

/* The head, and where its parts are, as far as it does not say so itself. */
static json_object *describe(struct snapshot *s)
{
	json_object *top = json_from_container(snapshot_container(s));
	json_object *layout;

	if (top && snapshot_layout(s)->offsets_given &&
	    json_object_object_get_ex(top, LAYOUT, &layout)) {
		json_object_object_add(layout, CONTAINER_OFFSET,
				       json_object_new_uint64(snapshot_head_offset(s)));
		json_object_object_add(layout, RAM_OFFSET,
				       snapshot_ram(s) ? json_object_new_uint64(snapshot_ram_offset(s))
						       : NULL);
	}
	return top;
}

static int dump(const char *path, const struct arguments *a)
{
	const int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			  JSON_C_TO_STRING_NOSLASHESCAPE;
	struct snapshot_options options = {
		.access = SNAPSHOT_LOOK, .ram_file = a->ram, .without_base = true,
		.region = a->region, .tell = tell
	};
	struct snapshot *s;
	struct error e = { 0 };
	json_object *top;
	const char *text;
	int status;

	if (snapshot_open(path, &options, &s, &e))
		return complain(WRONG_INPUT, e.text);
	memory_must_suffice(true);
	top = describe(s);
	text = top ? json_object_to_json_string_ext(top, style) : NULL;
	if (text) {
		puts(text);
		status = printed();
	} else {
		status = complain(WRONG_INPUT, "out of memory");
	}
	json_object_put(top);
	snapshot_close(s);
	return status;
}

/*
 * build
 */

static int read_all(const char *path, struct buffer *out, struct error *e)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char chunk[65536];
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	do {
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			buffer_add(out, chunk, (size_t)n);
	} while (!out->failed && (n > 0 || (n < 0 && errno == EINTR)));
	if (n < 0)
		err = error_set(e, errno, "%s: %s", path, strerror(errno));
	else if (out->failed)
		err = error_set(e, ENOMEM, "%s: out of memory", path);
	if (!standard)
		close(fd);
	return err;
}

/* Take the number of bytes NAME out of LAYOUT to *OUT; NULL_TOO: it may be null, false then. */
static int take_offset(json_object *layout, const char *name, bool null_too, uint64_t *out,
		       bool *given, struct error *e)
{
	json_object *o;

	if (!json_object_object_get_ex(layout, name, &o))
		return error_set(e, EINVAL, "%s.%s: is missing", LAYOUT, name);
	*given = o != NULL;
	if (!o && !null_too)
		return error_set(e, EINVAL, "%s.%s: must be a whole number", LAYOUT, name);
	if (o && (!json_object_is_type(o, json_type_int) || json_object_get_int64(o) < 0 ||
		  json_object_get_uint64(o) > INT64_MAX))
		return error_set(e, EINVAL, "%s.%s: must be a number of bytes", LAYOUT, name);
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
	if (!json_object_object_get_ex(top, LAYOUT, out))
		return error_set(e, EINVAL, "%s: is missing", LAYOUT);
	if (!json_object_is_type(*out, json_type_object))
		return error_set(e, EINVAL, "%s: must be an object", LAYOUT);
	if (!json_object_object_get_ex(*out, "format", &format))
		return error_set(e, EINVAL, "%s.format: is missing", LAYOUT);
	if (json_object_is_type(format, json_type_string))
		d->parts.layout = layout_named(json_object_get_string(format));
	if (!d->parts.layout)
		return error_set(e, EINVAL, "%s.format: is not one of the words for it", LAYOUT);
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
		return error_set(e, EINVAL, "%s.%s: is out of range", LAYOUT, RAM_OFFSET);
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
		err = take_offset(layout, CONTAINER_OFFSET, false, &d->parts.head_offset, &given, e);
		if (!err)
			err = take_offset(layout, RAM_OFFSET, true, &d->parts.ram_offset,
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
static int open_ram(const char *path, const struct document *d, struct error *e)
{
	uint64_t mem_size = container_mem_size(d->container);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st = { 0 };

	if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == mem_size)
		return fd;
	if (fd < 0 || (uint64_t)st.st_size == mem_size)
		error_set(e, errno, "ram %s: %s", path, strerror(errno));
	else
		error_set(e, EINVAL, "ram %s: has %" PRIu64 " bytes, mem_size is %" PRIu64, path,
			  (uint64_t)st.st_size, mem_size);
	if (fd >= 0)
		close(fd);
	return -e->code;
}

static int build(const char *path, const struct arguments *a)
{
	struct document d = { .parts = { .ram_fd = -1 } };
	struct error e = { 0 };
	int err = read_document(path, &d, &e);

	if (!err && a->ram) {
		d.parts.has_ram = true;
		d.parts.ram_fd = open_ram(a->ram, &d, &e);
		err = d.parts.ram_fd < 0 ? d.parts.ram_fd : 0;
	}
	if (!err) {
		err = build_snapshot(a->output, &d.parts, &e);
		if (err)
			error_prefix(&e, -err, "%s", a->output);
	}
	if (d.parts.ram_fd >= 0)
		close(d.parts.ram_fd);
	container_free(d.container);
	return err ? complain(WRONG_INPUT, e.text) : 0;
}

/*
 * Command line
 */

static int parse_offset(const char *text, uint64_t *out)
{
	static const struct field row = { UINT, .size = 8, .base = SIZE };
	uint8_t scratch[8];
	struct value v;

	if (text_parse(&row, text, strlen(text), scratch, &v))
		return complain(WRONG_USAGE, "an offset is a number of bytes; see smsnap --help");
	*out = le_get(v.bytes, 8);
	return 0;
}

static int run(const char *command, const char *operand, const struct arguments *a)
{
	if (strcmp(command, "dump") == 0) {
		if (a->output)
			return complain(WRONG_USAGE, "dump prints, it has no --output");
		return dump(operand, a);
	}
	if (strcmp(command, "build") == 0) {
		if (!a->output)
			return complain(WRONG_USAGE, "build needs -o SNAPSHOT");
		if (a->region_given)
			return complain(WRONG_USAGE, "build takes offsets from the document");
		return build(operand, a);
	}
	return complain(WRONG_USAGE, "unknown command; see smsnap --help");
=======
	puts("Usage: smsnap COMMAND [options] ...\n"
	     "Works on snapshot files without mounting them.\n");
	for (c = commands; *c; c++)
		printf("  %-9s %s\n", (*c)->name, (*c)->summary);
	puts("\n"
	     "  -h, --help     print this; smsnap COMMAND --help says more of a command\n"
	     "  -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0, 1 for a snapshot or document that is wrong, 2 for wrong usage.");
	return printed();
>>>>>>> 4c473d4 (smsnap is a table of commands, a file a command)
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const struct command *command;
	struct error e = { 0 };

	if (standard_open(&e))
		return complain(WRONG_INPUT, "%s", e.text);
	prctl(PR_SET_DUMPABLE, 0); /* secrets pass through */
	guard_install();
	opterr = 0;
	switch (getopt_long(argc, argv, "+hV", options, NULL)) {
	case -1:
		break;
	case 'h':
		return print_help();
	case 'V':
		printf("smsnap %s\n", PACKAGE_VERSION);
		return printed();
	default:
		return complain(WRONG_USAGE, "unknown option; see smsnap --help");
	}
	if (optind == argc)
		return complain(WRONG_USAGE, "needs a command; see smsnap --help");
	command = find_command(argv[optind]);
	if (!command)
		return complain(WRONG_USAGE, "%s: unknown command; see smsnap --help", argv[optind]);
	return command_run(command, argc - optind, argv + optind);
}
