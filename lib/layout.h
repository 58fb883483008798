/* SPDX-License-Identifier: MIT */
/*
 * The ways to lay out a snapshot file, as a table (docs/format.md, "Layouts"): what
 * its head is, what tells it from the others, and where RAM is.
 */
#ifndef SMFS_LAYOUT_H
#define SMFS_LAYOUT_H

#include "container.h"
#include "region.h"

struct layout {
	const char *name;
	const struct field *head;
	region_finder *find_ram;
	bool is_diff;           /* RAM is a base's with listed pages over it: what follows
	                           serves the others */
	bool is_base;           /* a differential snapshot may differ from one */
	bool has_sidecars;      /* files beside it belong to it (sidecar.h) */
	bool offsets_given;     /* the user may say where container and RAM are */
	uint32_t ram_multiple;  /* RAM's offset is one of so many bytes */
	uint32_t ram_step;      /* and, where a new place is chosen for it, of so many */
};

/* The field of a header that says where RAM is, in the layouts that have one. */
#define LAYOUT_RAM_OFFSET "layout/ram_offset"

/* Where RAM is for the guest, in the layouts that say it. */
#define LAYOUT_RAM_GPA "layout/ram_gpa"

/* Of a diff: the path of its base, and how many pages it lists. */
#define LAYOUT_BASE "layout/base"
#define LAYOUT_CHANGED_PAGES "layout/changed_pages"

/*
 * Add to EDITS that the header of C, if it says where RAM is, is to say OFFSET, as of WHEN: 0,
 * also where it says nothing, or -ENOMEM.
 */
int layout_place_ram(const struct container *c, uint64_t offset, struct timespec when,
		     struct edits *edits);

/* The layouts, from I = 0 on; null after the last. */
const struct layout *layout_number(unsigned i);

/* The layout called NAME, or null. */
const struct layout *layout_named(const char *name);

/*
 * The layout of the file FD of FILE_SIZE bytes, by its magic, in *OUT; BARE: the user
 * says that it is bare.  -EINVAL for what is known to be something else, -ERR_TRUNCATED
 * for too few bytes, and E says what it is and what to do.
 */
int layout_detect(int fd, uint64_t file_size, bool bare, const struct layout **out,
		  struct error *e);

#endif
