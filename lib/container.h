/* SPDX-License-Identifier: MIT */
/*
 * A container: its bytes as they were read, and the edits since
 * (docs/format.md, "Container").
 *
 * Nothing is unpacked.  A node of the tree is a place of the schema and the
 * offset where its bytes start in the container as it was read, and both stay
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
 * Decode the container that the N bytes at BYTES (from malloc) start with, and
 * check all of it; bytes after it are not looked at.  On success *OUT is the
 * caller's, to free, and owns BYTES.  On failure BYTES stay the caller's, and
 * E names the path in the tree and the offset, counted from BYTES and with
 * BASE added: -ERR_TRUNCATED, -ERR_MALFORMED, -ENOMEM.
 */
int container_decode(uint8_t *bytes, size_t n, uint64_t base, struct container **out,
		     struct error *e);
void container_free(struct container *c);

/* Bytes that the container took when it was decoded. */
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

/* Whether DIR has an OPTION called NAME, absent or not; then it is *OUT. */
bool container_find_option(const struct container *c, struct node dir, const char *name,
			   struct node *out);

/*
 * A child of a directory.  Its name is NAME, or INDEX in decimal where NAME is
 * null.  Return false to end the walk.
 */
typedef bool container_child(void *ctx, const char *name, uint64_t index, struct node n);

/*
 * Call FN for each child of the directory DIR that is there, from index FROM
 * on.  Indices grow, and the child of an index stays the same whatever edits
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

/*
 * An edit in the making.  V must have passed value_check for N's row, and N be
 * a leaf that is not a view.  Null if memory runs out.
 */
struct edit *edit_new(const struct container *c, struct node n, const struct value *v,
		      struct timespec when);
void edit_free(struct edit *edit);

/* Whether EDIT would change the container's encoding. */
bool edit_is_change(const struct container *c, const struct edit *edit);

/* Make sure that one more edit can be applied: 0 or -ENOMEM. */
int container_reserve(struct container *c);

/* Put EDIT, which C takes over, in force; room for it was reserved. */
void container_apply(struct container *c, struct edit *edit);

/*
 * Append the whole container with its edits, and with PENDING (may be null) as
 * if it had been applied, to OUT.
 */
void container_encode(const struct container *c, const struct edit *pending,
		      struct buffer *out);

#endif
