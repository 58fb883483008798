/* SPDX-License-Identifier: MIT */
/*
 * RAM served by the kernel itself: reads, writes and mappings of /ram go to a clone
 * of the region (ram_clone) and no request is made of them.  It needs libfuse 3.17,
 * Linux 6.9, root, and a filesystem that shares extents; without, all is as ever.
 */
#ifndef SMFS_PASSTHROUGH_H
#define SMFS_PASSTHROUGH_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "snapshot.h"

struct passthrough {
	pthread_mutex_t lock;
	bool decided;        /* at the first open: what follows stays as it is */
	int32_t backing;     /* the kernel's number for the clone; 0: served by smfs, ... */
	const char *why_not; /* ... for this reason, or one that ERROR gives */
	struct error error;
};

/* To be tried, or, for the reason WHY_NOT if that is not null, not. */
void passthrough_init(struct passthrough *p, const char *why_not);
void passthrough_destroy(struct passthrough *p);

/* Ask the kernel for it, if it can be had. */
void passthrough_negotiate(struct passthrough *p, struct fuse_conn_info *conn);

/*
 * Decide, at the first call; true then.  The kernel mixes no two ways of serving
 * one file, so every open goes the same way.
 */
bool passthrough_decide(struct passthrough *p, fuse_req_t req, struct snapshot *s);

/* Whether RAM is served so: the answer to an open is to say so in FI. */
bool passthrough_open(const struct passthrough *p, struct fuse_file_info *fi);

/* Whether RAM is served so, or may be once that is decided. */
bool passthrough_is_possible(struct passthrough *p);

/* What was decided, and why, as a line for a person. */
void passthrough_describe(const struct passthrough *p, char *text, size_t size);

#endif
