/* SPDX-License-Identifier: MIT */
/* Where RAM lies in a snapshot, and a private mapping of it (docs/format.md, "Where the regions are"). */
#ifndef SMFS_REGION_H
#define SMFS_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Whether MEM_SIZE bytes at RAM_OFFSET lie within a file of FILE_LEN bytes.  All in bytes. */
bool ram_region_within(uint64_t ram_offset, uint64_t mem_size, uint64_t file_len);

/*
 * Map the region privately, to read and to write, with EXTRA_FLAGS added to
 * mmap's: stores never reach the file.  The region is checked first.  On
 * success *OUT is to be unmapped with munmap(*OUT, MEM_SIZE).  Errors: -EINVAL
 * for a region that is empty, past the end (the text names the numbers) or not
 * at a multiple of the page size, or mmap's errno.
 */
int cow_map_ram(int fd, uint64_t ram_offset, uint64_t mem_size, uint64_t file_len,
		int extra_flags, void **out, struct error *e);

/* What a user said about where things are. */
struct region_options {
	uint64_t container_offset;
	uint64_t ram_offset;
	bool ram_offset_given;
	bool ram_elsewhere; /* RAM is in another file */
};

/*
 * Find the RAM region.  FILE_LEN is the length of the file that holds RAM,
 * CONTAINER_END the offset after the container (not looked at if RAM is
 * elsewhere).  On success *HAS_RAM tells whether there is any, and *RAM_OFFSET
 * where.  -EINVAL, with the numbers in E, if there cannot be such a region.
 */
int region_find(const struct region_options *options, uint64_t container_end,
		uint64_t mem_size, uint64_t file_len, bool *has_ram, uint64_t *ram_offset,
		struct error *e);

#endif
