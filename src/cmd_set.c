/* SPDX-License-Identifier: MIT */
/* smsnap set: edits of a snapshot, all or none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "edit.h"
#include "form.h"
#include "leaf.h"
#include "read_all.h"
#include "tree.h"

/* What may stand at PATH, for whoever wrote something else. */
static int refuse(const char *file, const char *path, int err, const struct field *row)
{
	char form[FORM_MAX];

	/* It was found in the snapshot, and an edit before this one made its blob something else. */
	if (err == -ESTALE)
		return complain(WRONG_INPUT, "%s: %s: is not there with what is given before it", file, path);
	if (row && err != -ENOMEM)
		return complain(WRONG_INPUT, "%s: %s: %s; it is %s", file, path, strerror(-err),
				form_wanted(row, form));
	return complain(WRONG_INPUT, "%s: %s: %s", file, path, strerror(-err));
}

/* Add the edit of FILE that TEXT, PATH=VALUE, is: 0 or an exit status. */
static int add_edit(struct snapshot *s, const char *file, const char *text, struct timespec when,
		    struct edits *edits)
{
	const char *value = strchr(text, '=') + 1;
	char path[512];
	struct buffer content = { 0 };
	struct tree_entry entry;
	struct error e = { 0 };
	int err;

	if ((size_t)(value - text) > sizeof(path))
		return complain(WRONG_INPUT, "%s: %s: %s", file, text, strerror(ENOENT));
	snprintf(path, sizeof(path), "%.*s", (int)(value - text - 1), text);
	err = tree_find(s, path, &entry);
	if (err)
		return refuse(file, path, err, NULL);
	if (tree_is_directory(s, entry))
		return refuse(file, path, -EISDIR, NULL);
	if (entry.kind != TREE_NODE && entry.kind != TREE_RAM)
		return refuse(file, path, -EACCES, NULL);
	if (entry.kind == TREE_RAM)
		return complain(WRONG_INPUT, "%s: %s: is not edited here; mount it with -o save_ram", file,
				path);
	if (*value == '@' && read_all(value + 1, &content, &e))
		return complain(WRONG_INPUT, "%s: %s: %s", file, path, e.text);
	if (*value != '@')
		buffer_add(&content, value, strlen(value));
	err = content.failed ? -ENOMEM
			     : leaf_edit(snapshot_container(s), entry.node, content.bytes,
					 content.size, when, edits);
	buffer_free(&content);
	return err ? refuse(file, path, err, container_row(snapshot_container(s), entry.node)) : 0;
}

static int set(const struct arguments *a)
{
	struct edits edits = { 0 };
	struct snapshot *s = NULL;
	struct timespec when;
	int i, status = 0;

	for (i = 1; i < a->count; i++)
		if (!strchr(a->operands[i], '='))
			return complain(WRONG_USAGE, "set: %s: is not PATH=VALUE; see smsnap set --help",
					a->operands[i]);
	clock_gettime(CLOCK_REALTIME, &when);
	status = command_open(a->operands[0], a, a->dry_run ? SNAPSHOT_LOOK : SNAPSHOT_EDIT, &s);
	for (i = 1; !status && i < a->count; i++)
		status = add_edit(s, a->operands[0], a->operands[i], when, &edits);
	if (!status)
		status = a->dry_run ? edit_show(s, &edits) : edit_save(s, &edits);
	edits_free(&edits);
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	DRY_RUN_OPTION,
	SNAPSHOT_OPTIONS,
	{ 0 }
};

const struct command cmd_set = {
	.name = "set",
	.operands = "SNAPSHOT PATH=VALUE...",
	.least = 2,
	.most = -1,
	.summary = "edit fields of a snapshot, all or none",
	.help = "PATH is one of the tree that smfs mounts, with or without a leading slash;\n"
		"VALUE is what would be written to its file there, or @FILE for what is in FILE.\n",
	.options = options,
	.run = set,
};
