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

/*
 * Add to EDITS that each host path of C that is at or below one of the COUNT mappings' OLD moves
 * to its NEW: disks, volumes, shares with the paths of their inodes, a diff's base.  The
 * longest OLD wins, whole components only.  The number of paths that matched, or a negative
 * errno, with E saying which path; then nothing is to be done with EDITS but to free them.
 */
int64_t retarget(const struct container *c, const struct mapping *mappings, unsigned count,
		 struct timespec when, struct edits *edits, struct error *e);

#endif
