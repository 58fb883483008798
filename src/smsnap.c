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
	"Prints a snapshot's container as JSON, and builds a snapshot from that;\n"
	"fields lists what there can be in one.\n"
	"JSON is a file, or - for standard input.\n"
	"\n"
	"  -o, --output SNAPSHOT   build: the file to write\n"
	"      --ram FILE          build: the guest's RAM; without it the snapshot has none\n"
	"                          dump: RAM is in FILE\n"
	"      --ram-offset N      dump: RAM is at byte N\n"
	"      --container-offset N  dump: the container is at byte N\n"
	"  -h, --help              print this\n"
	"  -V, --version           print the version\n"
	"\n"
	"Exit status: 0, 1 for a snapshot or document that is wrong, 2 for wrong usage.\n";

enum { WRONG_INPUT = 1, WRONG_USAGE = 2 };

/* Members of the document that are not the container's. */
static const char CONTAINER_OFFSET[] = "container_offset";
static const char RAM_OFFSET[] = "ram_offset";
static const char FILE_SIZE[] = "file_size";

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

static json_object *describe(struct snapshot *s)
{
	json_object *top = json_object_new_object();
	json_object *container = json_from_container(snapshot_container(s));

	if (!top || !container) {
		json_object_put(top);
		json_object_put(container);
		return NULL;
	}
	json_object_object_add(top, CONTAINER_OFFSET,
			       json_object_new_uint64(snapshot_container_offset(s)));
	json_object_object_add(top, RAM_OFFSET,
			       snapshot_ram(s) ? json_object_new_uint64(snapshot_ram_offset(s))
					       : NULL);
	json_object_object_add(top, FILE_SIZE, json_object_new_uint64(snapshot_file_size(s)));
	json_object_object_foreach (container, name, member)
		json_object_object_add(top, name, json_object_get(member));
	json_object_put(container);
	return top;
}

static int dump(const char *path, const struct arguments *a)
{
	const int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			  JSON_C_TO_STRING_NOSLASHESCAPE;
	struct snapshot_options options = {
		.access = SNAPSHOT_LOOK, .ram_file = a->ram, .region = a->region, .tell = tell
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

/*
 * Take the number NAME out of the document TOP to *OUT, which stays as it is
 * where TOP has none; NULL_TOO: null is none.
 */
static int take_number(json_object *top, const char *name, bool null_too, uint64_t *out,
		       struct error *e)
{
	json_object *o;

	if (!json_object_object_get_ex(top, name, &o))
		return 0;
	if (o || !null_too) {
		if (!json_object_is_type(o, json_type_int) || json_object_get_int64(o) < 0 ||
		    json_object_get_uint64(o) > INT64_MAX)
			return error_set(e, EINVAL, "%s: is not a number of bytes", name);
		*out = json_object_get_uint64(o);
	}
	json_object_object_del(top, name);
	return 0;
}

struct document {
	uint64_t container_offset;
	uint64_t ram_offset;
	uint64_t file_size;
	struct buffer container;
	uint64_t mem_size; /* as the container has it */
};

/* The encoded container of D tells its mem_size. */
static int read_mem_size(struct document *d, struct error *e)
{
	struct container *c;
	uint8_t *bytes = malloc(d->container.size);
	int err;

	if (!bytes)
		return error_set(e, ENOMEM, "out of memory");
	memcpy(bytes, d->container.bytes, d->container.size);
	err = container_decode(bytes, d->container.size, 0, &c, e);
	if (err) {
		free(bytes);
		return err;
	}
	d->mem_size = container_mem_size(c);
	container_free(c);
	return 0;
}

/* What dump tells of the file is taken from the document TOP; the rest is the container. */
static int take_document(json_object *top, struct document *d, struct error *e)
{
	int err;

	if (!json_object_is_type(top, json_type_object))
		return error_set(e, EINVAL, ".: must be an object");
	err = take_number(top, CONTAINER_OFFSET, false, &d->container_offset, e);
	if (!err)
		err = take_number(top, RAM_OFFSET, true, &d->ram_offset, e);
	if (!err)
		err = take_number(top, FILE_SIZE, false, &d->file_size, e);
	if (!err)
		err = json_to_container(top, &d->container, e);
	return err ? err : read_mem_size(d, e);
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
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		error_set(e, errno, "ram %s: %s", path, strerror(errno));
	} else if ((uint64_t)st.st_size != d->mem_size) {
		error_set(e, EINVAL, "ram %s: has %" PRIu64 " bytes, mem_size is %" PRIu64, path,
			  (uint64_t)st.st_size, d->mem_size);
	} else if (d->ram_offset % (uint64_t)sysconf(_SC_PAGESIZE)) {
		error_set(e, EINVAL, "ram_offset: is not a multiple of the page size");
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -e->code;
}

static int build(const char *path, const struct arguments *a)
{
	struct document d = { 0 };
	struct build_parts parts = { .container = &d.container, .ram_fd = -1 };
	struct error e = { 0 };
	int err = read_document(path, &d, &e);

	if (!err && a->ram) {
		parts.ram_fd = open_ram(a->ram, &d, &e);
		err = parts.ram_fd < 0 ? parts.ram_fd : 0;
	}
	if (!err) {
		parts.container_offset = d.container_offset;
		parts.mem_size = d.mem_size;
		parts.ram_offset = a->ram ? d.ram_offset : 0;
		/* Where there is RAM, what follows the container follows from it. */
		parts.file_size = d.mem_size ? 0 : d.file_size;
		err = build_snapshot(a->output, &parts, &e);
		if (err)
			error_prefix(&e, -err, "%s", a->output);
	}
	if (parts.ram_fd >= 0)
		close(parts.ram_fd);
	buffer_free(&d.container);
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
			a.region_given = true;
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
