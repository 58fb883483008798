/* SPDX-License-Identifier: MIT */
/* What a container consists of, for the files that implement it. */
#ifndef SMFS_CONTAINER_PARTS_H
#define SMFS_CONTAINER_PARTS_H

#include "container.h"

/* Of a list whose elements differ in size, the offset of every so many is kept. */
enum { MARK_EVERY = 16 };

struct list {
	uint64_t offset; /* of its count */
	uint64_t end;
	uint64_t *marks; /* offsets of the elements 0, MARK_EVERY, ... */
	size_t mark_count;
};

/* The bytes of one leaf, once they have been edited. */
struct edit {
	uint64_t offset; /* of the leaf in the head as it was read */
	uint64_t old_size;
	struct buffer wire;
	struct timespec when;
	uint64_t version;
};

struct container {
	struct schema schema;
	uint8_t *bytes;
	uint64_t size;
	struct list *lists; /* by offset */
	size_t list_count;
	struct edits edits; /* in force */
	uint64_t version;
};

/* Where the node of PLACE at AT ends; its bytes were decoded. */
uint64_t container_node_end(const struct container *c, unsigned place, uint64_t at);

/* The first edit at or after OFFSET, as an index. */
size_t edits_find(const struct edits *e, uint64_t offset);

/* The edit of the leaf at OFFSET, or null. */
const struct edit *edits_get(const struct edits *e, uint64_t offset);

#endif
