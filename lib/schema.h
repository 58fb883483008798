/* SPDX-License-Identifier: MIT */
/*
 * The format's rows as a tree of places, each with a number.
 *
 * A row may stand in several places.  A place knows its parent, so that a
 * number of a place and an offset in the head name one node of the tree.
 *
 * The states that a blob may hold are children of the blob's place: no part of
 * the head's encoding, but encodings of their own, of the bytes in the blob.
 */
#ifndef SMFS_SCHEMA_H
#define SMFS_SCHEMA_H

#include "format.h"

/* Places are fewer, so that a number of a place and one of 52 bits fit into 64 bits. */
enum { SCHEMA_MAX = 3800 };

struct place {
	const struct field *row;
	uint16_t parent;
	uint16_t first_child; /* children are neighbours: views first, then rows; a list
	                         and a map have one, the place of their elements */
	uint16_t children;
	uint16_t owner;    /* in a blob's state: the place of that blob; else 0 */
	bool counted;      /* in a blob's state: below a list or map of any length */
	int16_t tag;       /* in a VARIANT: the choice it belongs to; -1: to all */
	uint32_t min_size; /* the least bytes that a node here can take */
	bool fixed_size;   /* every node here takes min_size bytes */
	bool at_known;     /* in a RECORD or STRUCT: every node here starts so many bytes ... */
	uint32_t at;       /* ... after it */
	bool checked;      /* not every byte that fits is valid, or they have to be looked at */
	uint16_t run;      /* from here on, so many siblings of one tag are of fixed
	                      size and not checked, ... */
	uint32_t run_size; /* ... with so many bytes in all */
};

/* Place 0 is the whole head. */
struct schema {
	struct place *place;
	unsigned count;
	unsigned room;
};

/* Fill S from ROOT, the RECORD of a head in format.h: 0 or -ENOMEM.  S is to be freed. */
int schema_init(struct schema *s, const struct field *root);
void schema_free(struct schema *s);

#endif
