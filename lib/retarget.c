/* SPDX-License-Identifier: MIT */
#include "retarget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "share.h"

static const char BASE[] = "layout/base";

struct job {
	const struct container *c;
	const struct mappings *mappings;
	struct timespec when;
	struct edits *edits;
	struct error *e;
	int64_t matched;
	int err;
};

static bool is_top(const struct value *path)
{
	return path->size == 1 && path->bytes[0] == '/';
}

bool retarget_path(const void *ctx, const struct value *path, struct value *head, struct value *rest)
{
	const struct mappings *all = ctx;
	const struct mapping *m, *best = NULL;

	for (m = all->list; m < all->list + all->count; m++) {
		if (path->size < m->old_size || (m->old_size && memcmp(path->bytes, m->old, m->old_size) != 0) ||
		    (path->size > m->old_size && path->bytes[m->old_size] != '/') ||
		    (path->size == m->old_size && !m->old_size))
			continue;
		if (!best || m->old_size > best->old_size)
			best = m;
	}
	if (!best)
		return false;
	*rest = (struct value){ path->bytes + best->old_size, path->size - best->old_size };
	*head = (struct value){ (const uint8_t *)best->new, best->new_size };
	if (!best->old_size && head->size && is_top(path))
		rest->size = 0;
	if (!head->size && !rest->size)
		*head = (struct value){ (const uint8_t *)"/", 1 };
	return true;
}

/* That the leaf at PATH goes elsewhere: its value then, in *MOVED.  False if it stays. */
static bool find_next(struct job *job, struct node leaf, struct buffer *moved)
{
	struct value v, head, rest;

	job->err = container_value(job->c, leaf, &v);
	if (job->err || !retarget_path(job->mappings, &v, &head, &rest))
		return false;
	job->matched++;
	buffer_add(moved, head.bytes, head.size);
	buffer_add(moved, rest.size ? rest.bytes : NULL, rest.size);
	job->err = moved->failed ? -ENOMEM : 0;
	return !job->err;
}

static void edit(struct job *job, struct node n, const struct buffer *bytes)
{
	struct value v = { bytes->bytes, bytes->size };

	job->err = value_check(container_row(job->c, n), &v);
	if (!job->err)
		job->err = edits_add(job->edits, job->c, n, &v, job->when);
}

/* The table of a share, which goes with its HOST_PATH; null: that stays. */
static void move_table(struct job *job, struct node blob, const struct buffer *host_path)
{
	struct share_moves moves = { .map = retarget_path, .ctx = job->mappings };
	struct buffer moved = { 0 }, resolved = { 0 };
	struct value v, to, root;

	if (host_path) {
		to = (struct value){ host_path->bytes, host_path->size };
		job->err = share_resolve(&to, &resolved);
		root = (struct value){ resolved.bytes, resolved.size };
		moves.root = &root;
	}
	if (!job->err)
		job->err = container_value(job->c, blob, &v);
	if (!job->err)
		job->err = share_move(job->c, blob, &v, &moves, &moved);
	if (!job->err && (moved.size != v.size || (v.size && memcmp(moved.bytes, v.bytes, v.size) != 0)))
		edit(job, blob, &moved);
	job->matched += (int64_t)moves.mapped;
	buffer_free(&resolved);
	buffer_free(&moved);
}

static void move_leaf(struct job *job, const char *path, struct node n)
{
	struct buffer next = { 0 };
	bool moves = find_next(job, n, &next), same;
	struct node blob;
	struct value v;

	if (moves)
		edit(job, n, &next);
	if (!job->err && container_follower(job->c, n, &blob) && !(job->err = container_value(job->c, n, &v))) {
		same = next.size == v.size && memcmp(next.bytes, v.bytes, v.size) == 0;
		move_table(job, blob, moves && !same ? &next : NULL);
	}
	if (job->err)
		error_set(job->e, -job->err, "%s: %s", path, strerror(-job->err));
	buffer_free(&next);
}

static bool move_device(void *ctx, const char *name, uint64_t index, struct node n)
{
	/* The fields of a backing that are host paths. */
	static const char *const names[] = { "path", "host_path" };
	struct job *job = ctx;
	struct node backing, leaf;
	char path[CONTAINER_PATH_MAX];
	unsigned i;

	(void)name;
	if (container_lookup(job->c, n, "backing", &backing))
		return true;
	for (i = 0; !job->err && i < sizeof(names) / sizeof(names[0]); i++) {
		if (container_lookup(job->c, backing, names[i], &leaf))
			continue;
		snprintf(path, sizeof(path), "devices/%" PRIu64 "/backing/%s", index, names[i]);
		move_leaf(job, path, leaf);
	}
	return !job->err;
}

int64_t retarget(const struct container *c, const struct mappings *mappings, struct timespec when,
		 struct edits *edits, struct error *e)
{
	struct job job = { .c = c, .mappings = mappings, .when = when, .edits = edits, .e = e };
	struct node n;
	int err;

	if (!container_find(c, BASE, &n))
		move_leaf(&job, BASE, n);
	err = container_find(c, "devices", &n);
	if (!err && !job.err)
		err = container_children(c, n, 0, move_device, &job);
	if (err && !job.err)
		job.err = error_set(e, -err, "%s", strerror(-err));
	return job.err ? job.err : job.matched;
}
