/* SPDX-License-Identifier: MIT */
/*
 * A share's host_path and its inodes, whose paths lie below it (docs/tree.md, "The tree"):
 * where the first is moved, the others go with it.
 */
#ifndef SMFS_SHARE_H
#define SMFS_SHARE_H

#include "container.h"

/* Where PATH goes: *HEAD, and then *REST, an end of it, both valid for now.  False: it stays. */
typedef bool share_map(const void *ctx, const struct value *path, struct value *head, struct value *rest);

struct share_moves {
	/*
	 * Where the path of node 1 and the paths below it go: to what this is without links and
	 * `..`, where it exists here, else to what it says without empty and `.` components.
	 * Nowhere if it is null or empty.
	 */
	const struct value *host_path;
	share_map *map;  /* where the other paths go; or null */
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

/* The same to HOST_PATH alone: what is edited with that (format.h, FOLLOW). */
int share_follow(const struct container *c, struct node blob, const struct value *v,
		 const struct value *host_path, struct buffer *out);

#endif
