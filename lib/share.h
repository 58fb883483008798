/* SPDX-License-Identifier: MIT */
/*
 * A share's host_path and its inodes, whose paths lie below it (docs/tree.md, "The tree"):
 * where the first is moved, the others go with it.
 */
#ifndef SMFS_SHARE_H
#define SMFS_SHARE_H

#include "container.h"

/*
 * Append to OUT what the host_path V means: what it is without links and `..`, where it exists here, else
 * what it says without empty and `.` components; nothing if it is empty.  0 or -ENOMEM.
 */
int share_resolve(const struct value *v, struct buffer *out);

/* Where PATH goes: *HEAD, and then *REST, an end of it, both valid for now.  False: it stays. */
typedef bool share_map(const void *ctx, const struct value *path, struct value *head, struct value *rest);

struct share_moves {
	const struct value *root; /* where node 1 and what is below it go; null or empty: nowhere */
	/*
	 * Where other paths go, or null.  What it knows of a path below node 1 goes before ROOT.  Where
	 * there is no ROOT and it moves node 1, that is resolved, and ROOT then.
	 */
	share_map *map;
	const void *ctx; /* of MAP */
	uint64_t mapped; /* counted up: how many MAP moved */
};

/*
 * The state V of a share, a value of the blob BLOB of C, with its paths moved, appended to OUT.
 * Where V is not understood nothing moves.  0, -EFBIG if the state would be too large for a blob,
 * -ENOMEM.
 */
int share_move(const struct container *c, struct node blob, const struct value *v,
	       struct share_moves *moves, struct buffer *out);

/* The same to ROOT alone: what is edited with a host_path (format.h, follow_hook). */
int share_follow(const struct container *c, struct node blob, const struct value *v,
		 const struct value *root, struct buffer *out);

#endif
