/* SPDX-License-Identifier: MIT */
/* Making the page list of a differential snapshot (docs/format.md, "Page list"). */
#ifndef SMFS_RELIST_H
#define SMFS_RELIST_H

#include "ram.h"

/* Told now and then how much of RAM has been gone through; true: end with -EINTR. */
typedef bool ram_progress(void *ctx, uint64_t done, uint64_t size);

/*
 * Write the entries of the pages in which RAM differs from BASE, which is as large, to FD from
 * OFFSET on, and their number to *COUNT.  BASE may be null where RAM is a diff's whose base
 * is not there: then all are written that it lists or that were written to.  Writes to
 * RAM are to be held.  PROGRESS may be null.  -EINVAL where RAM is no whole number of pages,
 * and the rest differs; -EIO where RAM or BASE can't be read.
 */
int relist(struct ram *ram, struct ram_source *base, int fd, uint64_t offset, uint64_t *count,
	   ram_progress *progress, void *ctx, struct error *e);

#endif
