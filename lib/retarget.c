/* SPDX-License-Identifier: MIT */
#include "retarget.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "leaf.h"

/* The fields of a backing that are host paths. */
static const char *const names[] = { "path", "host_path" };
static const char BASE[] = "layout/base";

struct job {
	const struct container *c;
	const struct mapping *mappings;
	unsigned count;
	struct timespec when;
	struct edits *edits;
	struct error *e;
	int64_t matched;
	int err;
};

/* The mapping whose OLD is the longest that V is at or below; null: none. */
static const struct mapping *find_mapping(const struct job *job, const struct value *v)
{
	const struct mapping *m, *best = NULL;

	for (m = job->mappings; m < job->mappings + job->count; m++) {
		if (v->size < m->old_size || (m->old_size && memcmp(v->bytes, m->old, m->old_size) != 0) ||
		    (v->size > m->old_size && v->bytes[m->old_size] != '/') ||
		    (v->size == m->old_size && !m->old_size))
			continue;
		if (!best || m->old_size > best->old_size)
			best = m;
	}
	return best;
}

static void move_leaf(struct job *job, const char *path, struct node n)
{
	const struct field *row = container_row(job->c, n);
	const struct mapping *m;
	struct buffer moved = { 0 };
	struct value v, next;

	job->err = container_value(job->c, n, &v);
	m = job->err ? NULL : find_mapping(job, &v);
	if (!m)
		return;
	job->matched++;
	buffer_add(&moved, m->new, m->new_size);
	buffer_add(&moved, v.bytes + m->old_size, v.size - m->old_size);
	if (!moved.size)
		buffer_add(&moved, "/", 1);
	next = (struct value){ moved.bytes, moved.size };
	job->err = moved.failed ? -ENOMEM : value_check(row, &next);
	if (!job->err)
		job->err = edits_make(job->edits, job->c, n, &next, job->when, NULL);
	if (job->err)
		error_set(job->e, -job->err, "%s: %s", path, strerror(-job->err));
	buffer_free(&moved);
}

static bool move_device(void *ctx, const char *name, uint64_t index, struct node n)
{
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

int64_t retarget(const struct container *c, const struct mapping *mappings, unsigned count,
		 struct timespec when, struct edits *edits, struct error *e)
{
	struct job job = { .c = c, .mappings = mappings, .count = count, .when = when,
			   .edits = edits, .e = e };
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
