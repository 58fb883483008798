/* SPDX-License-Identifier: MIT */
/*
 * A share's host_path and its inodes, whose paths lie below it (docs/tree.md, "The tree"):
 * where the first is moved, the others go with it.
 */
#ifndef SMFS_SHARE_H
#define SMFS_SHARE_H

#include "container.h"

/*
 * The state V of a share, a value of the blob BLOB of C, with the path of node 1 and the paths
 * below it moved to HOST_PATH, appended to OUT: to what it is without links and `..`, where it
 * exists here, else to what it says without empty and `.` components.  Nothing moves where V is
 * not understood or has no node 1, or HOST_PATH is empty.  0, -EFBIG if the state would be too
 * large for a blob, -ENOMEM.
 */
int share_move(const struct container *c, struct node blob, const struct value *v,
	       const struct value *host_path, struct buffer *out);

#endif
