/* SPDX-License-Identifier: MIT */
/* The head of a snapshot file: its header and container, read from the file. */
#ifndef SMFS_HEAD_H
#define SMFS_HEAD_H

#include "layout.h"

/*
 * Read and decode the head of which ROOT is the row, at OFFSET of FD, a file of FILE_SIZE
 * bytes, as far as it turns out to go.  *OUT is the caller's, to free; errors as
 * container_decode's, or read's.  The head's save_sum to *SUM, unless that is null.
 */
int head_read(const struct field *root, int fd, uint64_t offset, uint64_t file_size,
	      struct container **out, uint64_t *sum, struct error *e);

#endif
