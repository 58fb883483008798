/* SPDX-License-Identifier: MIT */
/* A new snapshot file from its parts (docs/format.md, "The snapshot file"). */
#ifndef SMFS_BUILD_H
#define SMFS_BUILD_H

#include "buffer.h"
#include "error.h"

/* Offsets and sizes are bytes. */
struct build_parts {
	const struct buffer *container;
	uint64_t container_offset;
	int ram_fd;          /* a file of MEM_SIZE bytes; -1 for a bare container */
	uint64_t mem_size;
	uint64_t ram_offset; /* where the container leaves no room before it, RAM goes
	                        to the next multiple of 64 KiB after that */
	uint64_t file_size;  /* a shorter file gets zeros at its end */
};

/*
 * Write a snapshot to PATH, all or nothing and durably, in place of the file that
 * is there, if there is one; its mode is kept.  -EBUSY if that is mounted.
 * *E is set where it fails; it may not be null.
 */
int build_snapshot(const char *path, const struct build_parts *parts, struct error *e);

#endif
