/* SPDX-License-Identifier: MIT */
/*
 * What guest memory is made of, page by page.  Holes cost nothing: what takes time is what is
 * stored, and memory is 16 bytes for each range, and for each stored page that is not zeros.
 */
#ifndef SMFS_RAM_MAP_H
#define SMFS_RAM_MAP_H

#include "guest_memory.h"
#include "relist.h"

/* Of a page the first that fits. */
enum page_class {
	PAGE_CHANGED,  /* the differential snapshot lists it */
	PAGE_HOLE,     /* no byte of it is stored */
	PAGE_ZERO,
	PAGE_REPEATED, /* its content is another page's too */
	PAGE_DATA,
	PAGE_CLASSES
};

/* Pages from START on, by number from the first of memory, that are of one class. */
struct page_range {
	uint64_t start, count;
	enum page_class of;
};

struct ram_map {
	uint64_t base;  /* guest-physical address of the first page */
	uint64_t size;  /* bytes; the last page may be a part of one */
	uint64_t pages;
	uint64_t of[PAGE_CLASSES]; /* pages of each class */
	struct page_range *ranges; /* owned; ascending, without a gap, and two neighbours differ */
	size_t count;
};

/* As documents have it: one word. */
const char *page_class_name(enum page_class of);

/*
 * Map the memory G, which there has to be, in MAP: 0; -EIO where it cannot be read, -ENOMEM,
 * -EFBIG for memory of more than 2^32 pages, -EINTR where PROGRESS, which may be null, said so.
 */
int ram_map_make(struct ram_map *map, const struct guest_memory *g, ram_progress *progress,
		 void *ctx, struct error *e);
void ram_map_free(struct ram_map *map);

/*
 * Divide the pages into cells of CELL pages each and call FN for each cell, in order, with the
 * class that shows it: that of most of its pages, but changed where any of them is.
 */
typedef void cell_fn(void *ctx, uint64_t cell, enum page_class of);
void ram_map_cells(const struct ram_map *map, uint64_t cell, cell_fn *fn, void *ctx);

#endif
