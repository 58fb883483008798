/* SPDX-License-Identifier: MIT */
/* smsnap ls: names in the tree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "command.h"
#include "tree.h"

enum { NAME_SIZE = CONTAINER_NAME_MAX };

static bool gather(void *ctx, const char *name, struct tree_entry entry)
{
	struct buffer *names = ctx;
	char copy[NAME_SIZE];

	(void)entry;
	snprintf(copy, sizeof(copy), "%s", name);
	buffer_add(names, copy, sizeof(copy));
	return !names->failed;
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* As ls(1) sorts them. */
static int print_directory(struct snapshot *s, struct tree_entry dir)
{
	struct buffer names = { 0 };
	int err = tree_children(s, dir, gather, &names);
	size_t i;

	if (names.failed)
		err = -ENOMEM;
	if (!err && names.size)
		qsort(names.bytes, names.size / NAME_SIZE, NAME_SIZE, compare);
	for (i = 0; !err && i < names.size; i += NAME_SIZE)
		puts((char *)names.bytes + i);
	buffer_free(&names);
	return err;
}

static int ls(const struct arguments *a)
{
	const char *path = a->count > 1 ? a->operands[1] : "";
	struct arguments how = *a;
	struct tree_entry entry;
	struct snapshot *s;
	int err, status;

	if (tree_reads_ram(path))
		how.base_use = BASE_WANTED;
	status = command_open(a->operands[0], &how, SNAPSHOT_LOOK, &s);
	if (status)
		return status;
	err = tree_find(s, path, &entry);
	if (!err && tree_is_directory(s, entry))
		err = print_directory(s, entry);
	else if (!err)
		puts(path);
	snapshot_close(s);
	if (err)
		return complain(WRONG_INPUT, "%s: %s: %s", a->operands[0], path, strerror(-err));
	return printed();
}

static const struct option_row options[] = {
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_ls = {
	.name = "ls",
	.operands = "SNAPSHOT [PATH]",
	.least = 1,
	.most = 2,
	.summary = "list names in a snapshot's tree",
	.help = "PATH is one of the tree that smfs mounts, with or without a leading slash.\n",
	.options = options,
	.run = ls,
};
