/* SPDX-License-Identifier: MIT */
/*
 * The head of a snapshot, which is its header and its container: its bytes as they
 * were read, and the edits since (docs/format.md).
 *
 * Nothing is unpacked.  A node of the tree is a place of the schema and the
 * offset where its bytes start in the head as it was read, and both stay
 * what they are for the life of the container; an edit replaces the bytes of
 * one leaf, and only edits own memory.
 *
 * Functions that take a const container may run side by side; the others need
 * the container for themselves.
 */
#ifndef SMFS_CONTAINER_H
#define SMFS_CONTAINER_H

#include <time.h>

#include "error.h"
#include "schema.h"
#include "value.h"

struct container;

struct node {
	unsigned place;
	uint64_t offset;
};

/*
 * Decode the head of which ROOT (format.h) is the row, and that the N bytes at BYTES
 * (from malloc) start with, and check all of it; bytes after it are not looked at.  On
 * success *OUT is the caller's, to free, and owns BYTES.  On failure BYTES stay the
 * caller's, and E names the path in the tree and the offset, counted from BYTES and with
 * BASE added: -ERR_TRUNCATED, -ERR_MALFORMED, -ENOMEM.
 */
int container_decode(const struct field *root, uint8_t *bytes, size_t n, uint64_t base,
		     struct container **out, struct error *e);
void container_free(struct container *c);

/* Bytes that the head took when it was decoded. */
uint64_t container_size(const struct container *c);

/* The container's RAM size in bytes, its field mem_size. */
uint64_t container_mem_size(const struct container *c);

struct node container_root(void);

/* The row that describes N. */
const struct field *container_row(const struct container *c, struct node n);

/* Whether N has children: a LIST, RECORD or VARIANT. */
bool container_is_directory(const struct container *c, struct node n);

/* The child of the directory DIR called NAME in *OUT: 0 or -ENOENT. */
int container_lookup(const struct container *c, struct node dir, const char *name,
		     struct node *out);

/*
 * The node at PATH, names with slashes between them, before or after them too, in
 * *OUT: 0, -ENOENT, or -ENOTDIR for one below a file.
 */
int container_find(const struct container *c, const char *path, struct node *out);

/* The number in the file at PATH in *OUT; false if there is no such number. */
bool container_number(const struct container *c, const char *path, uint64_t *out);

/*
 * A child of a directory.  Its name is NAME, or INDEX in decimal where NAME is
 * null.  Return false to end the walk.
 */
typedef bool container_child(void *ctx, const char *name, uint64_t index, struct node n);

/*
 * Call FN for each child of the directory DIR, from index FROM on.  Indices grow, and the child of an index stays the same whatever edits
 * come.
 */
void container_children(const struct container *c, struct node dir, uint64_t from,
			container_child *fn, void *ctx);

/* The present value of the leaf N, which is not RAW.  Valid until N is edited. */
struct value container_value(const struct container *c, struct node n);

/*
 * Append up to SIZE bytes, from OFFSET on, of the encoding of RAW node N's record
 * with the edits in it to OUT.
 */
void container_raw(const struct container *c, struct node n, uint64_t offset, uint64_t size,
		   struct buffer *out);

/* The bytes that there are of it. */
uint64_t container_raw_size(const struct container *c, struct node n);

/* When N was last edited: false if it never was. */
bool container_mtime(const struct container *c, struct node n, struct timespec *t);

/* A number that is another after every edit of N; 0 before the first. */
uint64_t container_version(const struct container *c, struct node n);

/* Edits in the making, or in force: at most one of a leaf.  Starts as { 0 }. */
struct edits {
	struct edit **at; /* by offset */
	size_t count;
	size_t room;
};

void edits_free(struct edits *e);

/*
 * Add that the leaf N, which is no view, is to have the value V, which must have passed
 * value_check for N's row; in place of what E had for N.  0, or -ENOMEM and E is as it was.
 */
int edits_add(struct edits *e, const struct container *c, struct node n, const struct value *v,
	      struct timespec when);

/* Whether E would change what C encodes to. */
bool edits_are_change(const struct edits *e, const struct container *c);

/* Make sure that COUNT edits can be applied: 0 or -ENOMEM. */
int container_reserve(struct container *c, size_t count);

/* Put all of E in force, for which room was reserved; E is empty then. */
void container_apply(struct container *c, struct edits *e);

/*
 * Append the whole head with its edits, and with PENDING (may be null) as if it had
 * been applied, to OUT.
 */
void container_encode(const struct container *c, const struct edits *pending,
		      struct buffer *out);

/*
 * Append what of the head is from the node FIRST on, with the edits in force, to OUT, without
 * what ends the head after the last node that has a name.
 */
void container_encode_from(const struct container *c, struct node first, struct buffer *out);

#endif
