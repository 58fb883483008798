/* SPDX-License-Identifier: MIT */
/* Paths on the host that move, all of a snapshot's. */
#ifndef SMFS_RETARGET_H
#define SMFS_RETARGET_H

#include "container.h"

/* What is at or below OLD moves to NEW; both are absolute, without a slash at the end. */
struct mapping {
	const char *old;
	size_t old_size; /* bytes; 0: all absolute paths */
	const char *new;
	size_t new_size;
};

struct mappings {
	struct mapping *list;
	unsigned count;
};

/*
 * Where the host path PATH goes by the struct mappings CTX (share.h, share_map): by the one with
 * the longest OLD that it is at or below, whole components only.  False: there is none.
 */
bool retarget_path(const void *ctx, const struct value *path, struct value *head, struct value *rest);

/*
 * Add to EDITS, which has none, that each host path of C goes where MAPPINGS say: disks, volumes, shares, a
 * diff's base.  The paths of a share's inodes go with its host_path, and else as they say.  The number of
 * paths that matched, or a negative errno, with E saying which path; then nothing is to be done
 * with EDITS but to free them.
 */
int64_t retarget(const struct container *c, const struct mappings *mappings, struct timespec when,
		 struct edits *edits, struct error *e);

#endif
