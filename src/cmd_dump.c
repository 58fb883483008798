/* SPDX-License-Identifier: MIT */
/* smsnap dump: a snapshot's head as JSON. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "document.h"
#include "io.h"
#include "json.h"
#include "memory.h"
#include "new_file.h"

/* The head, and where its parts are, as far as it does not say so itself. */
static json_object *describe(struct snapshot *s, bool decode)
{
	json_object *top = json_from_container(snapshot_container(s), decode);
	json_object *layout;

	if (top && snapshot_layout(s)->offsets_given &&
	    json_object_object_get_ex(top, DOCUMENT_LAYOUT, &layout)) {
		json_object_object_add(layout, DOCUMENT_CONTAINER_OFFSET,
				       json_object_new_uint64(snapshot_head_offset(s)));
		json_object_object_add(layout, DOCUMENT_RAM_OFFSET,
				       snapshot_ram(s) ? json_object_new_uint64(snapshot_ram_offset(s))
						       : NULL);
	}
	return top;
}

/* Fill FD with the line that CTX, a text, is. */
static int fill(int fd, void *ctx)
{
	const char *text = ctx;
	size_t n = strlen(text);
	int err = io_write(fd, text, n, 0);

	return err ? err : io_write(fd, "\n", 1, n);
}

static int write_text(const char *path, const char *text, const struct snapshot *s)
{
	struct error e = { 0 };

	if (snapshot_is_file(s, path))
		return complain(WRONG_INPUT, "%s: is the snapshot itself, or its RAM", path);
	if (new_file(path, fill, (void *)text, &e))
		return complain(WRONG_INPUT, "%s: %s", path, e.text);
	return 0;
}

static int dump(const struct arguments *a)
{
	const int style = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
			  JSON_C_TO_STRING_NOSLASHESCAPE;
	struct snapshot *s;
	json_object *top;
	const char *text;
	int status = command_open(a->operands[0], a, SNAPSHOT_LOOK, &s);

	if (status)
		return status;
	memory_must_suffice(true);
	top = describe(s, a->decode);
	text = top ? json_object_to_json_string_ext(top, style) : NULL;
	memory_must_suffice(a->output == NULL);
	if (!text) {
		status = complain(WRONG_INPUT, "out of memory");
	} else if (a->output) {
		status = write_text(a->output, text, s);
	} else {
		puts(text);
		status = printed();
	}
	json_object_put(top);
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	{ "decode", 0, NULL, offsetof(struct arguments, decode),
	  "print what blobs hold, too" },
	{ "output", 'o', "FILE", offsetof(struct arguments, output),
	  "write to FILE, mode 0600, instead of standard output" },
	SNAPSHOT_OPTIONS,
	{ 0 }
};

const struct command cmd_dump = {
	.name = "dump",
	.operands = "SNAPSHOT",
	.least = 1,
	.most = 1,
	.summary = "print a snapshot as JSON",
	.help = "RAM is not printed.  The snapshot may be mounted: what the last save left is\n"
		"printed.\n",
	.options = options,
	.run = dump,
};
