/* SPDX-License-Identifier: MIT */
/* Where RAM lies in a snapshot, and a private mapping of it (docs/format.md, "RAM"). */
#ifndef SMFS_REGION_H
#define SMFS_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"

/* Whether MEM_SIZE bytes at RAM_OFFSET lie within a file of FILE_LEN bytes.  All in bytes. */
bool ram_region_within(uint64_t ram_offset, uint64_t mem_size, uint64_t file_len);

/*
 * Map the region privately, to read and to write, with EXTRA_FLAGS added to
 * mmap's: stores never reach the file, nor does a core file have the bytes.  The region is checked first.  On
 * success *OUT is to be unmapped with cow_unmap_ram(*OUT, MEM_SIZE).  Errors: -EINVAL
 * for a region that is empty or past the end (the text names the numbers), or mmap's
 * errno.  A region may start anywhere in a page; then *OUT does too.
 */
int cow_map_ram(int fd, uint64_t ram_offset, uint64_t mem_size, uint64_t file_len,
		int extra_flags, void **out, struct error *e);

void cow_unmap_ram(void *ram, uint64_t mem_size);

/* What a user said about where things are, in a bare file. */
struct region_options {
	uint64_t container_offset;
	uint64_t ram_offset;
	bool container_offset_given;
	bool ram_offset_given;
	bool ram_elsewhere; /* RAM is in another file */
};

/* What there is to find RAM by.  Offsets and sizes in bytes. */
struct region_question {
	const struct region_options *options;
	uint64_t head_end;   /* where the container ends in the file */
	uint64_t ram_offset; /* that the header has, if it has one */
	uint64_t mem_size;
	uint64_t file_len;   /* of the file that RAM is in */
};

/*
 * Find the RAM region: whether there is any in *HAS_RAM, and where in *RAM_OFFSET.
 * -EINVAL, with the numbers in E, if there cannot be such a region.
 */
typedef int region_finder(const struct region_question *q, bool *has_ram, uint64_t *ram_offset,
			  struct error *e);

/* RAM is where the header says, at a multiple of the page size, and after the container. */
int region_at_ram_offset(const struct region_question *q, bool *has_ram, uint64_t *ram_offset,
			 struct error *e);

/* RAM is where the options say, or the file's last bytes, if anything is after the container. */
int region_at_end(const struct region_question *q, bool *has_ram, uint64_t *ram_offset,
		  struct error *e);

#endif
