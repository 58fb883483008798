/* SPDX-License-Identifier: MIT */
/*
 * Whether a snapshot would restore (docs/format.md, "What a restore demands"): what the
 * monitor refuses, what it would do to a guest, and what is on this host.
 */
#ifndef SMFS_CHECK_SNAPSHOT_H
#define SMFS_CHECK_SNAPSHOT_H

#include <limits.h>

#include "finding.h"
#include "snapshot.h"

/*
 * Tell TO what is wrong with S, with C for its container.  Absolute paths are looked up below HOST_ROOT, a folder without a
 * slash at its end, or on this host if it is null.  0 or a negative errno.
 */
int check_snapshot(struct snapshot *s, const struct container *c, const char *host_root,
		   const struct findings *to);

/*
 * The file that the absolute PATH is for whoever has ROOT as /, by links and ".." too, in OUT: 0;
 * -EINVAL where that is too long; another negative errno where it is not there, and OUT is its
 * name all the same.
 */
int check_below(const char *root, const char *path, char out[PATH_MAX]);

#endif
