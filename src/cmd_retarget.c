/* SPDX-License-Identifier: MIT */
/* smsnap retarget: host paths that moved, in snapshots that know the old ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "edit.h"
#include "retarget.h"

/* A snapshot of those that were given, with what is to be done to it. */
struct target {
	const char *path;
	struct snapshot *s;
	struct edits edits;
};

static bool is_mapping(const char *operand)
{
	return operand[0] == '/' && strchr(operand, '=');
}

/* The N bytes at PATH without the slashes at their end. */
static size_t without_slashes(const char *path, size_t n)
{
	while (n && path[n - 1] == '/')
		n--;
	return n;
}

static bool parse_mapping(const char *text, struct mapping *m)
{
	const char *equals = strchr(text, '=');

	m->old = text;
	m->old_size = without_slashes(text, (size_t)(equals - text));
	m->new = equals + 1;
	m->new_size = without_slashes(m->new, strlen(m->new));
	return m->new[0] == '/';
}

/* Open T and find what moves in it: 0 or an exit status; *MATCHED counts up. */
static int prepare(struct target *t, const struct arguments *a, const struct mapping *mappings,
		   unsigned count, int64_t *matched)
{
	struct error e = { 0 };
	struct timespec when;
	int64_t n;
	int status = command_open(t->path, a, a->dry_run ? SNAPSHOT_LOOK : SNAPSHOT_EDIT, &t->s);

	if (status)
		return status;
	clock_gettime(CLOCK_REALTIME, &when);
	n = retarget(snapshot_container(t->s), mappings, count, when, &t->edits, &e);
	if (n < 0)
		return complain(WRONG_INPUT, "%s: %s", t->path, e.text);
	*matched += n;
	if (!n)
		printf("%s: nothing matched\n", t->path);
	return 0;
}

/* Show what moves in T, and make it so. */
static int finish(struct target *t, const struct arguments *a)
{
	int status;

	if (!t->edits.count)
		return 0;
	printf("%s:\n", t->path);
	status = edit_show(t->s, &t->edits);
	if (!status && !a->dry_run)
		status = edit_save(t->s, t->path, &t->edits);
	return status;
}

static int run(const struct arguments *a)
{
	struct mapping *mappings = calloc((size_t)a->count, sizeof(*mappings));
	struct target *targets = calloc((size_t)a->count, sizeof(*targets));
	unsigned count = 0, files = 0, i;
	int64_t matched = 0;
	int status = mappings && targets ? 0 : complain(WRONG_INPUT, "out of memory");

	for (i = 0; !status && i < (unsigned)a->count; i++) {
		if (!is_mapping(a->operands[i]))
			targets[files++].path = a->operands[i];
		else if (!parse_mapping(a->operands[i], &mappings[count++]))
			status = complain(WRONG_USAGE, "retarget: %s: the new path is not absolute",
					  a->operands[i]);
	}
	if (!status && (!count || !files))
		status = complain(WRONG_USAGE, "retarget: needs a snapshot and /OLD=/NEW; see smsnap retarget --help");
	/* All are looked at before the first is written. */
	for (i = 0; !status && i < files; i++)
		status = prepare(&targets[i], a, mappings, count, &matched);
	for (i = 0; !status && i < files; i++)
		status = finish(&targets[i], a);
	if (!status)
		status = printed();
	if (!status && !matched)
		status = complain(WRONG_INPUT, "nothing matched");
	for (i = 0; i < files; i++) {
		edits_free(&targets[i].edits);
		snapshot_close(targets[i].s);
	}
	free(targets);
	free(mappings);
	return status;
}

static const struct option_row options[] = {
	DRY_RUN_OPTION,
	SNAPSHOT_OPTIONS,
	{ 0 }
};

const struct command cmd_retarget = {
	.name = "retarget",
	.operands = "SNAPSHOT... /OLD=/NEW...",
	.least = 2,
	.most = -1,
	.summary = "move the host paths at or below OLD to NEW",
	.help = "Moves disks, volumes, shares with all that they know of, and a diff's base.  The\n"
		"longest OLD that fits wins; only whole names of a path count.  What changes is\n"
		"printed.  Exit status 1 where nothing matched.\n",
	.options = options,
	.run = run,
};
