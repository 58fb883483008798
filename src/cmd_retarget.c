/* SPDX-License-Identifier: MIT */
/* smsnap retarget: host paths that moved, in snapshots that know the old ones. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "edit.h"
#include "fleet.h"
#include "json_text.h"
#include "layout.h"
#include "locked.h"
#include "memory.h"
#include "retarget.h"
#include "show.h"

/* How it can go with one of several. */
enum { MATCHED, UNMATCHED, REPEATED, FAILED };

static const struct outcome outcomes[] = {
	[MATCHED] = { "ok", "matched", false },
	[UNMATCHED] = { "unmatched", "not matched", false },
	[REPEATED] = { "repeated", "given before", false },
	[FAILED] = { "failed", "failed", true },
	[FAILED + 1] = { 0 }
};

struct job {
	const struct arguments *a;
	char **paths;       /* of the snapshots */
	unsigned *original; /* the index of the first path that means the same file */
	unsigned files;
	struct mappings mappings;
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

/* What differs in a snapshot: told once it is saved, for a save that fails changes nothing. */
struct shown {
	const char *header; /* before the first line, or null */
	const char *prefix; /* of each line */
	FILE *lines;        /* what is to be printed, in TEXT ... */
	char *text;
	size_t size;
	json_object *list;  /* ... or, if it is not null, what is added to it */
	unsigned count;
};

static void show(void *ctx, const struct difference *d)
{
	struct shown *shown = ctx;
	json_object *o;

	shown->count++;
	if (!shown->list) {
		if (shown->count == 1 && shown->header)
			fprintf(shown->lines, "%s:\n", shown->header);
		fprintf(shown->lines, "%s", shown->prefix);
		show_difference(shown->lines, d);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "path", json_object_new_string(d->path));
	json_object_object_add(o, "old", json_content(d->row, d->old));
	json_object_object_add(o, "new", json_content(d->row, d->new));
	json_object_array_add(shown->list, o);
}

/* Move what matches in S, which is at PATH, or with a dry run only show it. */
static int move_in(const struct job *job, const char *path, struct snapshot *s, struct shown *shown,
		   int64_t *matched, struct error *e)
{
	struct edits edits = { 0 };
	struct timespec when;
	int64_t n;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &when);
	n = *matched = retarget(snapshot_container(s), &job->mappings, when, &edits, e);
	if (snapshot_sidecars(s))
		sidecars_map(snapshot_sidecars(s), retarget_path, &job->mappings);
	if (n >= 0)
		n = edit_differences(s, &edits, show, shown, e);
	/* A file beside it may have what there is to move. */
	if (n > *matched)
		*matched = n;
	if (n >= 0 && !shown->list && fflush(shown->lines))
		n = error_set(e, ENOMEM, "%s", strerror(ENOMEM));
	if (n < 0) {
		err = error_prefix(e, (int)-n, "%s", path);
	} else if (!job->a->dry_run && n > 0) {
		memory_must_suffice(false); /* a file is written */
		err = snapshot_save(s, &edits, false, e);
		memory_must_suffice(job->a->json);
	}
	edits_free(&edits);
	return err;
}

/*
 * The same in the snapshot at PATH: *MATCHED of its paths do, and what differs is printed, or in
 * SHOWN's list.  0, or a negative errno, E starts with the file's name, and it is as it was.
 */
static int move(const struct job *job, const char *path, struct shown *shown, int64_t *matched,
		struct error *e)
{
	struct snapshot *s = NULL;
	int err = command_try_open(path, job->a, job->a->dry_run ? SNAPSHOT_LOOK : SNAPSHOT_EDIT, &s, e);

	if (err)
		return err;
	if (!shown->list)
		shown->lines = open_memstream(&shown->text, &shown->size);
	if (!shown->list && !shown->lines)
		err = error_set(e, ENOMEM, "%s: %s", path, strerror(ENOMEM));
	else
		err = move_in(job, path, s, shown, matched, e);
	snapshot_close(s);
	if (shown->lines)
		fclose(shown->lines);
	if (!err && shown->size)
		fwrite(shown->text, 1, shown->size, stdout);
	free(shown->text);
	return err;
}

/* One of several. */
static unsigned move_member(const struct fleet *f, unsigned index)
{
	const struct job *job = f->ctx;
	char name[FLEET_NAME], other[FLEET_NAME], prefix[FLEET_NAME + 2];
	struct shown shown = { .prefix = prefix, .list = f->json ? json_object_new_array() : NULL };
	unsigned outcome = REPEATED, original = job->original[index];
	struct error e = { 0 };
	int64_t matched = 0;
	json_object *o;

	snprintf(prefix, sizeof(prefix), "%s: ", fleet_name(f, index, name));
	/* To move what was moved might move it on. */
	if (original == index) {
		if (move(job, f->paths[index], &shown, &matched, &e)) {
			json_object_put(shown.list);
			return fleet_failed(f, index, e.text);
		}
		outcome = matched ? MATCHED : UNMATCHED;
	}
	if (f->json) {
		o = fleet_json(f, index, outcome);
		json_object_object_add(o, "changed", shown.list);
		json_print_line(o);
	} else if (outcome == REPEATED) {
		printf("%sthe same file as %s, which was given before\n", prefix, fleet_name(f, original, other));
	} else if (outcome == UNMATCHED) {
		printf("%snothing matched\n", prefix);
	} else if (!shown.count) {
		printf("%snothing changes\n", prefix);
	}
	return outcome;
}

static int move_single(const struct job *job)
{
	struct shown shown = { .header = job->paths[0], .prefix = "" };
	struct error e = { 0 };
	int64_t matched = 0;
	int status;

	if (move(job, job->paths[0], &shown, &matched, &e))
		return complain(WRONG_INPUT, "%s", e.text);
	if (!matched)
		printf("%s: nothing matched\n", job->paths[0]);
	status = printed();
	return status ? status : matched ? 0 : complain(WRONG_INPUT, "nothing matched");
}

/* A file, as stat tells it. */
struct identity_of {
	dev_t device;
	ino_t inode;
	unsigned index;
};

static int compare(const void *a, const void *b)
{
	const struct identity_of *x = a, *y = b;

	if (x->device != y->device)
		return x->device < y->device ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* Find which of JOB's paths mean the same file; those that mean none are of their own. */
static bool find_originals(struct job *job)
{
	struct identity_of *list = calloc(job->files, sizeof(*list));
	struct error ignored;
	struct stat st;
	unsigned i, n = 0;
	char *real;

	if (!list)
		return false;
	for (i = 0; i < job->files; i++) {
		job->original[i] = i;
		real = snapshot_find(job->paths[i], &ignored);
		if (real && stat(real, &st) == 0)
			list[n++] = (struct identity_of){ st.st_dev, st.st_ino, i };
		free(real);
	}
	qsort(list, n, sizeof(*list), compare);
	for (i = 1; i < n; i++)
		if (list[i].device == list[i - 1].device && list[i].inode == list[i - 1].inode)
			job->original[list[i].index] = job->original[list[i - 1].index];
	free(list);
	return true;
}

/* Whether the last mapping moves what one before it does, and to elsewhere. */
static bool contradicts(const struct mappings *all)
{
	struct mapping *last = &all->list[all->count - 1], *m;

	for (m = all->list; m < last; m++)
		if (m->old_size == last->old_size && memcmp(m->old, last->old, m->old_size) == 0 &&
		    (m->new_size != last->new_size || memcmp(m->new, last->new, m->new_size) != 0))
			return true;
	return false;
}

/* Tell snapshots from mappings: 0 or an exit status. */
static int take_operands(struct job *job)
{
	struct mappings *all = &job->mappings;
	unsigned i;

	for (i = 0; i < (unsigned)job->a->count; i++) {
		char *operand = job->a->operands[i];

		if (!is_mapping(operand))
			job->paths[job->files++] = operand;
		else if (!parse_mapping(operand, &all->list[all->count++]))
			return complain(WRONG_USAGE, "retarget: %s: the new path is not absolute", operand);
		else if (contradicts(all))
			return complain(WRONG_USAGE, "retarget: %s: the old path is given with another new one, too",
					operand);
	}
	if (!all->count || !job->files)
		return complain(WRONG_USAGE, "retarget: needs a snapshot and /OLD=/NEW; see smsnap retarget --help");
	return 0;
}

/* A diff's base is to be saved before it: who finds it changed after the diff takes it for another. */
static bool is_diff(const struct fleet *f, unsigned index)
{
	const struct layout *layout = NULL;
	struct error ignored;
	char *real = snapshot_find(f->paths[index], &ignored);
	int fd = real ? open_plain(real, O_RDONLY, &ignored) : -1;
	struct stat st;
	bool is = fd >= 0 && fstat(fd, &st) == 0 &&
		  layout_detect(fd, (uint64_t)st.st_size, false, &layout, &ignored) == 0 && layout->is_diff;

	if (fd >= 0)
		close(fd);
	free(real);
	return is;
}

static int run_job(struct job *job)
{
	struct fleet f = { .command = "retarget", .outcomes = outcomes, .paths = job->paths,
			   .json = job->a->json, .run = move_member, .later = is_diff, .ctx = job };
	int status = fleet_parallel(&f, job->a);

	if (!status)
		status = take_operands(job);
	if (status)
		return status;
	f.count = job->files;
	memory_must_suffice(f.json);
	if (!f.json && !fleet_is_wanted(&f))
		return move_single(job);
	if (!find_originals(job))
		return complain(WRONG_INPUT, "out of memory");
	status = fleet_run(&f);
	return status || f.tally[MATCHED] ? status : complain(WRONG_INPUT, "nothing matched");
}

static int run(const struct arguments *a)
{
	struct job job = {
		.a = a,
		.paths = calloc((size_t)a->count, sizeof(*job.paths)),
		.original = calloc((size_t)a->count, sizeof(*job.original)),
		.mappings.list = calloc((size_t)a->count, sizeof(struct mapping)),
	};
	int status = job.paths && job.original && job.mappings.list ? run_job(&job)
							       : complain(WRONG_INPUT, "out of memory");

	free(job.paths);
	free(job.original);
	free(job.mappings.list);
	return status;
}

static const struct option_row options[] = {
	DRY_RUN_OPTION,
	{ "json", 0, NULL, offsetof(struct arguments, json), "print an object a line, for each snapshot" },
	FLEET_OPTIONS,
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
		"printed.  Each snapshot is saved all or nothing, and one that fails does not\n"
		"keep the others.  Exit status 1 where one fails, or nothing matched in any.\n",
	.options = options,
	.run = run,
};
