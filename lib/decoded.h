/* SPDX-License-Identifier: MIT */
/*
 * Bytes that were decoded by the rows of a schema: a snapshot's head, or what a blob
 * holds.  Nothing is unpacked; what cannot be computed from the bytes at once is kept.
 */
#ifndef SMFS_DECODED_H
#define SMFS_DECODED_H

#include "error.h"
#include "schema.h"

/* Of a list whose elements differ in size, the offset of every so many is kept. */
enum { MARK_EVERY = 16 };

/* An entry of a map. */
struct map_entry {
	uint32_t id;
	uint32_t index;
};

/* A list whose elements differ in size, or a map. */
struct list {
	uint64_t offset; /* of its count; of a map's first entry */
	unsigned place;
	uint64_t count;  /* of a map's entries that are shown */
	uint64_t end;
	uint64_t *marks; /* of a list: offsets of the elements 0, MARK_EVERY, ... */
	size_t mark_count;
	struct map_entry *entries; /* of a map: by id, then index */
};

struct decoded {
	const struct schema *schema;
	const uint8_t *bytes; /* not owned */
	uint64_t size;        /* that were taken */
	struct list *lists;   /* by offset, then place */
	size_t list_count;
};

/*
 * Decode the RECORD of the place ROOT from the start of the N bytes at BYTES, and check all
 * of it.  *OUT is to be freed.  On failure E names the path in the tree and the offset, with
 * BASE added: -ERR_TRUNCATED, -ERR_MALFORMED, -ENOMEM.
 */
int decode(const struct schema *schema, unsigned root, const uint8_t *bytes, uint64_t n,
	   uint64_t base, struct decoded *out, struct error *e);
void decoded_free(struct decoded *d);

/* Where the node of PLACE at AT ends. */
uint64_t decoded_end(const struct decoded *d, unsigned place, uint64_t at);

/* Where the node of PLACE, a child of the RECORD, STRUCT or VARIANT at AT, starts. */
uint64_t decoded_member(const struct decoded *d, unsigned place, uint64_t at);

/* The list or map of PLACE at AT: one that a struct list is made for. */
const struct list *decoded_list(const struct decoded *d, unsigned place, uint64_t at);

/* How many elements the LIST of PLACE at AT has, and where the one of INDEX starts. */
uint64_t decoded_count(const struct decoded *d, unsigned place, uint64_t at);
uint64_t decoded_element(const struct decoded *d, unsigned place, uint64_t at, uint64_t index);

/* The index of the element of the LIST, which has a struct list, that the byte at OFFSET is in. */
uint64_t decoded_index(const struct decoded *d, const struct list *list, uint64_t offset);

/* MAP's entries with ID, the first in *FIRST: how many there are. */
size_t list_entries(const struct list *map, uint32_t id, const struct map_entry **first);

/* Where the value of the entry INDEX of MAP starts. */
uint64_t decoded_entry(const struct decoded *d, const struct list *map, uint32_t index);

/* The place of the values of the MAP of PLACE. */
static inline unsigned schema_map_value(const struct schema *s, unsigned place)
{
	const struct place *entry = &s->place[s->place[place].first_child];

	return entry->first_child + entry->children - 1u;
}

/* Whether CHILD is among the children of P, which if it is a VARIANT has TAG. */
static inline bool place_includes(const struct place *p, uint8_t tag, const struct place *child)
{
	return p->row->kind != VARIANT || child->tag < 0 || child->tag == tag;
}

/* Whether ROW is a view: it shares its offset with a leaf. */
static inline bool is_view(const struct field *row)
{
	return row->kind == TAG || row->kind == RAW || row->kind == WORD;
}

#endif
