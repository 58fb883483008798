/* SPDX-License-Identifier: MIT */
/*
 * The format's rows as a tree of places, each with a number.
 *
 * A row may stand in several places.  A place knows its parent, so that a
 * number of a place and an offset in the head name one node of the tree.
 */
#ifndef SMFS_SCHEMA_H
#define SMFS_SCHEMA_H

#include "format.h"

enum { SCHEMA_MAX = 128 };

struct place {
	const struct field *row;
	uint8_t parent;
	uint8_t first_child; /* children are neighbours: views first, then rows;
	                        a list has one, the place of its elements */
	uint8_t children;
	int16_t tag;       /* in a VARIANT: the choice it belongs to; -1: to all */
	uint32_t min_size; /* the least bytes that a node here can take */
	bool fixed_size;   /* every node here takes min_size bytes */
	bool checked;      /* not every byte that fits is valid */
	uint8_t run;       /* from here on, so many siblings of one tag are of fixed
	                      size and not checked, ... */
	uint32_t run_size; /* ... with so many bytes in all */
};

/* Place 0 is the whole head. */
struct schema {
	struct place place[SCHEMA_MAX];
	unsigned count;
};

/* Fill S from ROOT, a RECORD of format.h, which must need at most SCHEMA_MAX places. */
void schema_init(struct schema *s, const struct field *root);

#endif
