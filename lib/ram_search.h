/* SPDX-License-Identifier: MIT */
/* Where bytes stand in guest memory. */
#ifndef SMFS_RAM_SEARCH_H
#define SMFS_RAM_SEARCH_H

#include "guest_memory.h"
#include "relist.h"

/* Bytes that are searched for: one at least, and not only zeros, which would stand in every hole. */
struct ram_pattern {
	const uint8_t *bytes;
	size_t size;
};

/* One stands at the guest-physical address GPA.  Other than 0 ends the search. */
typedef int ram_found(void *ctx, uint64_t gpa);

/*
 * Call FN with CTX for each place in the memory G where one of the COUNT PATTERNS stands, ascending; of places of one
 * pattern that overlap for the first.  What is not stored is zeros and is not looked at, but a pattern may
 * begin or end in it.  0, what FN returned, -EIO where memory cannot be read, -ENOMEM, -EINTR where
 * PROGRESS, called with PROGRESS_CTX, said so.
 */
int ram_search(const struct guest_memory *g, const struct ram_pattern *patterns, size_t count,
	       ram_found *fn, void *ctx, ram_progress *progress, void *progress_ctx, struct error *e);

#endif
