/* SPDX-License-Identifier: MIT */
/* What differs between two heads, leaf by leaf. */
#ifndef SMFS_HEAD_DIFF_H
#define SMFS_HEAD_DIFF_H

#include "container.h"

/* A leaf that is not the same in both.  OLD and NEW are what its file holds. */
struct difference {
	const char *path;
	const struct field *row;
	const struct buffer *old; /* null where there is no such leaf */
	const struct buffer *new; /* likewise */
};

typedef void head_difference(void *ctx, const struct difference *d);

/*
 * Call FN for each leaf of OLD and NEW that differs, in the tree's order, the leaves that only
 * NEW has after those of the same directory that both have.  Views of bytes that other leaves
 * show are left out, and so are the bytes of a blob of which decoded leaves differ.  The number of
 * differences, or -ENOMEM.  Their paths have FOLDER, which may be empty, before them.  One of OLD
 * and NEW may be null: it has nothing.
 */
int64_t head_diff(const struct container *old, const struct container *new, const char *folder,
		  head_difference *fn, void *ctx);

#endif
