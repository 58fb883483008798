/* SPDX-License-Identifier: MIT */
#include "head_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leaf.h"

enum { PATH_SIZE = 512 };

struct child {
	char name[CONTAINER_NAME_MAX];
	struct node node;
};

struct job {
	head_difference *fn;
	void *ctx;
	int64_t count;
	int err;
	char path[PATH_SIZE];
};

static bool gather(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct buffer *list = ctx;
	struct child child = { .node = n };

	if (name)
		snprintf(child.name, sizeof(child.name), "%s", name);
	else
		snprintf(child.name, sizeof(child.name), "%" PRIu64, index);
	buffer_add(list, &child, sizeof(child));
	return !list->failed;
}

static const struct child *child_at(const struct buffer *list, size_t i)
{
	return (const struct child *)list->bytes + i;
}

static size_t child_count(const struct buffer *list)
{
	return list->size / sizeof(struct child);
}

static void show(struct job *job, const struct container *c, struct node n, struct buffer *out)
{
	int err = leaf_show(c, n, 0, SIZE_MAX, out);

	if (err)
		job->err = err;
}

static void report(struct job *job, const struct field *row, const struct buffer *old,
		   const struct buffer *new)
{
	struct difference d = { job->path, row, old, new };

	job->fn(job->ctx, &d);
	job->count++;
}

/* Whether a leaf of ROW shows only what others show. */
static bool is_view(const struct field *row)
{
	return row->kind == RAW;
}

static void diff_leaf(struct job *job, const struct container *a, struct node x,
		      const struct container *b, struct node y)
{
	const struct field *row = container_row(a ? a : b, a ? x : y);
	struct buffer old = { 0 }, new = { 0 };

	if (is_view(row))
		return;
	if (a)
		show(job, a, x, &old);
	if (b)
		show(job, b, y, &new);
	if (!job->err && (!a || !b || old.size != new.size ||
			  (old.size && memcmp(old.bytes, new.bytes, old.size) != 0)))
		report(job, row, a ? &old : NULL, b ? &new : NULL);
	buffer_free(&old);
	buffer_free(&new);
}

static void diff_directory(struct job *job, const struct container *a, struct node x,
			   const struct container *b, struct node y);

/* A child of a directory in one head or both; a null container: it is not there. */
static void diff_child(struct job *job, const char *name, const struct container *a,
		       struct node x, const struct container *b, struct node y)
{
	size_t used = strlen(job->path);
	bool in_a = a && container_is_directory(a, x), in_b = b && container_is_directory(b, y);

	snprintf(job->path + used, sizeof(job->path) - used, "%s%s", used ? "/" : "", name);
	if (in_a || in_b) {
		diff_directory(job, in_a ? a : NULL, x, in_b ? b : NULL, y);
		if (a && !in_a)
			diff_leaf(job, a, x, NULL, y);
		if (b && !in_b)
			diff_leaf(job, NULL, x, b, y);
	} else {
		diff_leaf(job, a, x, b, y);
	}
	job->path[used] = 0;
}

/* The bytes of a blob are compared last: what they decode to says more. */
static bool is_late(const struct container *a, struct node n)
{
	return container_row(a, n)->kind == BLOB;
}

/* The children of a directory in both heads, late ones or the others. */
static void diff_children(struct job *job, const struct container *a, struct node x,
			  const struct buffer *old, const struct container *b, struct node y,
			  const struct buffer *new, bool late)
{
	struct node other = { 0 };
	size_t i;

	for (i = 0; i < child_count(old) && !job->err; i++) {
		const struct child *child = child_at(old, i);
		bool there;

		if (is_late(a, child->node) != late)
			continue;
		there = b && container_lookup(b, y, child->name, &other) == 0;
		diff_child(job, child->name, a, child->node, there ? b : NULL, other);
	}
	for (i = 0; i < child_count(new) && !job->err; i++) {
		const struct child *child = child_at(new, i);

		if (is_late(b, child->node) == late &&
		    (!a || container_lookup(a, x, child->name, &other) != 0))
			diff_child(job, child->name, NULL, x, b, child->node);
	}
}

static void diff_directory(struct job *job, const struct container *a, struct node x,
			   const struct container *b, struct node y)
{
	struct buffer old = { 0 }, new = { 0 };
	int64_t before = job->count;

	if (a)
		job->err = container_children(a, x, 0, gather, &old);
	if (b && !job->err)
		job->err = container_children(b, y, 0, gather, &new);
	if (old.failed || new.failed)
		job->err = -ENOMEM;
	if (!job->err)
		diff_children(job, a, x, &old, b, y, &new, false);
	if (!job->err && job->count == before)
		diff_children(job, a, x, &old, b, y, &new, true);
	buffer_free(&old);
	buffer_free(&new);
}

int64_t head_diff(const struct container *old, const struct container *new, const char *folder,
		  head_difference *fn, void *ctx)
{
	struct job job = { .fn = fn, .ctx = ctx };

	snprintf(job.path, sizeof(job.path), "%s", folder);
	diff_directory(&job, old, container_root(), new, container_root());
	return job.err ? job.err : job.count;
}
