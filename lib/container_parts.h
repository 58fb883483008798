/* SPDX-License-Identifier: MIT */
/* What a container consists of, for the files that implement it. */
#ifndef SMFS_CONTAINER_PARTS_H
#define SMFS_CONTAINER_PARTS_H

#include <pthread.h>

#include "container.h"
#include "decoded.h"

/* When a node inside a blob was edited. */
struct stamp {
	struct node node;
	struct timespec when;
};

/* The bytes of one leaf, once they have been edited. */
struct edit {
	struct node node; /* the leaf */
	uint64_t old_size;
	struct buffer wire;
	struct timespec when;
	bool whole;                 /* the leaf was edited, and not only nodes inside it, ... */
	struct timespec whole_when; /* ... last at this time */
	struct stamp *stamps;       /* of nodes inside it that were edited since, by node */
	size_t stamp_count;
};

/* What a leaf shows that is no edit yet. */
struct draft {
	struct draft *next;
	struct node node;
	struct buffer bytes;
	struct timespec when;
};

/* What a blob holds, as it is shown. */
struct state {
	uint64_t offset; /* of the blob */
	unsigned users;
	unsigned root;   /* the place of the state's row; 0: it is not understood */
	struct decoded d;
};

/* So many states that were looked at last are kept, the latest first. */
enum { STATES_KEPT = 32 };

struct container {
	struct schema schema;
	uint8_t *bytes; /* owned */
	struct decoded head;
	struct edits edits; /* in force */
	struct draft *drafts;
	pthread_mutex_t states_lock; /* of the array and of the users of all states */
	struct state *states[STATES_KEPT];
};

/*
 * Leaves
 */

/* The first edit at or after OFFSET, as an index. */
size_t edits_find(const struct edits *e, uint64_t offset);

/* The edit of the leaf at OFFSET, or null. */
struct edit *edits_get(const struct edits *e, uint64_t offset);

/* When N, a node inside the blob of EDIT, was last changed by it; null: never. */
const struct timespec *edit_stamp(const struct edit *edit, struct node n);

struct draft *draft_find(const struct container *c, struct node n);

/* What the leaf N, which is not inside a blob, shows. */
struct value leaf_value(const struct container *c, struct node n);

/*
 * Nodes inside blobs.  Their offset is the owner's number, which is the index in a list of
 * what the blob is in, and a key: the index or id of the element that the node is in, if it
 * is in one.
 */

enum { KEY_BITS = 32, OWNER_BITS = 20 };

static inline struct node inside_node(unsigned place, uint64_t owner, uint32_t key)
{
	return (struct node){ place, owner << KEY_BITS | key };
}

static inline uint64_t inside_owner(struct node n)
{
	return n.offset >> KEY_BITS;
}

static inline uint32_t inside_key(struct node n)
{
	return (uint32_t)n.offset;
}

static inline bool is_inside(const struct container *c, struct node n)
{
	return c->schema.place[n.place].owner != 0;
}

/* The blob that N, which is inside one, is in: false if there is no such blob. */
bool owner_find(const struct container *c, struct node n, struct node *blob);

/* The number of BLOB as an owner: false if it is too great for one, and nothing is inside. */
bool owner_number(const struct container *c, struct node blob, uint64_t *number);

/* What BLOB holds, in *OUT, which is to be put: 0 or -ENOMEM. */
int state_get(const struct container *c, struct node blob, struct state **out);
void state_put(const struct container *c, struct state *s);

/*
 * Likewise what the blob holds that N is in, and in *AT where N starts in it: 0, -ENOMEM, or
 * -ESTALE where N is not there.
 */
int state_get_at(const struct container *c, struct node n, struct state **out, uint64_t *at);

/*
 * Decode the N bytes at BYTES as what a blob of PLACE may hold: S->root and S->d, which is
 * to be freed.  0, also where they are not understood, or -ENOMEM.
 */
int state_decode(const struct container *c, unsigned place, const uint8_t *bytes, uint64_t n,
		 struct state *s);

/* Where the node of PLACE and KEY starts in S; false if it is not there. */
bool state_locate(const struct state *s, unsigned place, uint32_t key, uint64_t *at);

/* The map that the node of PLACE is a value of, or null; *AT is where it starts. */
const struct list *state_map(const struct state *s, unsigned place);

/* The blob at OFFSET shows something else from now on. */
void state_forget(struct container *c, uint64_t offset);

/* Free what is kept. */
void states_free(struct container *c);

#endif
