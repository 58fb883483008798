/* SPDX-License-Identifier: MIT */
/* smsnap: works on snapshot files without mounting them (smsnap(1)). */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "build.h"
#include "fields.h"
#include "guard.h"
#include "json.h"
#include "le.h"
#include "memory.h"
#include "printable.h"
#include "snapshot.h"
#include "standard.h"
#include "text.h"

static const char help[] =
	"Usage: smsnap dump [options] SNAPSHOT\n"
	"       smsnap build JSON -o SNAPSHOT [--ram FILE]\n"
	"       smsnap fields\n"
	"Prints a snapshot as JSON, and builds a snapshot from that;\n"
	"fields lists what there can be in one.\n"
	"JSON is a file, or - for standard input.\n"
	"\n"
	"  -o, --output SNAPSHOT   build: the file to write\n"
	"      --ram FILE          build: the guest's RAM; without it RAM is zeros\n"
	"                          dump: RAM is in FILE\n"
	"      --ram-offset N      dump: RAM is at byte N\n"
	"      --container-offset N  dump: the container is at byte N\n"
	"  -h, --help              print this\n"
	"  -V, --version           print the version\n"
	"\n"
	"Exit status: 0, 1 for a snapshot or document that is wrong, 2 for wrong usage.\n";

enum { WRONG_INPUT = 1, WRONG_USAGE = 2 };

static const char LAYOUT[] = "layout";
/* Members of the layout, those that the head of some layouts does not have. */
static const char CONTAINER_OFFSET[] = "container_offset";
static const char RAM_OFFSET[] = "ram_offset";

struct arguments {
	const char *output;
	const char *ram;
	struct region_options region;
	bool region_given;
};

static void tell(const char *text)
{
	char shown[2048];

	printable(text, shown, sizeof(shown));
	fprintf(stderr, "smsnap: %s\n", shown);
}

static int complain(int status, const char *text)
{
	tell(text);
	return status;
}

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
}

int main(int argc, char **argv)
{
	enum { RAM = 256, RAM_AT, CONTAINER_AT };
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "ram", required_argument, NULL, RAM },
		{ "ram-offset", required_argument, NULL, RAM_AT },
		{ "container-offset", required_argument, NULL, CONTAINER_AT },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	struct arguments a = { 0 };
	struct error e = { 0 };
	int option, status = 0;

	if (standard_open(&e))
		return complain(WRONG_INPUT, e.text);
	prctl(PR_SET_DUMPABLE, 0); /* secrets pass through */
	guard_install();
	opterr = 0;
	while ((option = getopt_long(argc, argv, "o:hV", options, NULL)) != -1 && !status) {
		switch (option) {
		case 'o':
			a.output = optarg;
			break;
		case RAM:
			a.ram = optarg;
			break;
		case RAM_AT:
			status = parse_offset(optarg, &a.region.ram_offset);
			a.region.ram_offset_given = a.region_given = true;
			break;
		case CONTAINER_AT:
			status = parse_offset(optarg, &a.region.container_offset);
			a.region.container_offset_given = a.region_given = true;
			break;
		case 'h':
			fputs(help, stdout);
			return printed();
		case 'V':
			printf("smsnap %s\n", PACKAGE_VERSION);
			return printed();
		default:
			return complain(WRONG_USAGE, "unknown or incomplete option; see smsnap --help");
		}
	}
	if (status)
		return status;
	if (argc - optind == 1 && strcmp(argv[optind], "fields") == 0) {
		fields_print(stdout);
		return printed();
	}
	if (argc - optind != 2)
		return complain(WRONG_USAGE, "needs a command and a file; see smsnap --help");
	return run(argv[optind], argv[optind + 1], &a);
}
