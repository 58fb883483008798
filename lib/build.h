/* SPDX-License-Identifier: MIT */
/* A new snapshot file from its parts (docs/format.md, "The snapshot file"). */
#ifndef SMFS_BUILD_H
#define SMFS_BUILD_H

#include "buffer.h"
#include "layout.h"

/* Offsets and sizes are bytes. */
struct build_parts {
	const struct layout *layout;
	const struct container *container; /* of a head of the layout */
	uint64_t head_offset;
	bool has_ram;
	uint64_t ram_offset; /* where the head leaves no room before it, RAM goes to the
	                        layout's next place after that, and the header says so */
	int ram_fd;          /* a file of as many bytes as mem_size says; -1: RAM is a hole */
};

/*
 * Write a snapshot to PATH, as new_file does: all or nothing, durably, mode 0600.
 * *E is set where it fails; it may not be null.
 */
int build_snapshot(const char *path, const struct build_parts *parts, struct error *e);

#endif
