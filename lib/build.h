/* SPDX-License-Identifier: MIT */
/* A new snapshot file from its parts (docs/format.md, "The snapshot file"). */
#ifndef SMFS_BUILD_H
#define SMFS_BUILD_H

#include "buffer.h"
#include "layout.h"
#include "relist.h"

/* Offsets and sizes are bytes. */
struct build_parts {
	const struct layout *layout;
	const struct container *container; /* of a head of the layout */
	uint64_t head_offset;
	bool has_ram;
	uint64_t ram_offset; /* where the head leaves no room before it, RAM goes to the
	                        layout's next place after that, and the header says so */
	struct ram *ram;     /* as large as mem_size says; null: RAM is a hole, and in a diff
	                        what the base has */
	struct ram_source *base; /* of a diff with RAM: what that is compared with */
	ram_progress *progress;  /* or null */
	void *ctx;               /* for it */
};

/*
 * Write a snapshot to PATH, as new_file does: all or nothing, durably, mode 0600.  Pages that
 * are all zeros become holes.  *E is set where it fails; it may not be null.
 */
int build_snapshot(const char *path, const struct build_parts *parts, struct error *e);

/*
 * Append to OUT a head of layout TO that has the container FROM has, with the edits in force;
 * of the header what is not always the same is zeros, or nothing.
 */
void build_head(const struct container *from, const struct layout *to, struct buffer *out);

#endif
