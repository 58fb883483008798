/* SPDX-License-Identifier: MIT */
/* Where two guests' memory differs, page by page. */
#ifndef SMFS_RAM_COMPARE_H
#define SMFS_RAM_COMPARE_H

#include "snapshot.h"

/* The N bytes at OFFSET of RAM differ: whole pages, but where RAM ends within one. */
typedef void ram_difference(void *ctx, uint64_t offset, uint64_t n);

/*
 * Call FN for each run of pages in which the RAM of A and B differ, ascending; what only the
 * longer one has differs.  What both have of one base, and what neither stores, is not read.
 * PROGRESS is called now and then with PROGRESS_CTX, how much has been looked at and how much there
 * is; true from it ends all with -EINTR.  0, -ENOMEM, or -EIO where one of them cannot be read, with
 * which in *WHOSE.
 */
int ram_compare(struct snapshot *a, struct snapshot *b, ram_difference *fn, void *ctx,
		bool (*progress)(void *ctx, uint64_t done, uint64_t size), void *progress_ctx,
		struct snapshot **whose);

#endif
