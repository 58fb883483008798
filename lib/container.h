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
 * What a blob holds is decoded when it is looked at.  A node inside a blob is a part
 * of the blob's bytes: its value is read from what the blob shows, and an edit of it is
 * an edit of the blob.  It is not there any more where the blob shows something else:
 * functions that are given it answer -ESTALE then, and -ENOMEM where memory runs out.
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

/* OFFSET has 52 bits.  Inside a blob it names the blob and the element of a list or map. */
struct node {
	unsigned place;
	uint64_t offset;
};

static inline bool node_equal(struct node a, struct node b)
{
	return a.place == b.place && a.offset == b.offset;
}

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

/* Whether N has children. */
bool container_is_directory(const struct container *c, struct node n);

/* How many children the directory DIR has, in *COUNT: 0, or an error of container_children. */
int container_count(const struct container *c, struct node dir, uint64_t *count);

/* Whether N is inside a blob, and which in *BLOB; it need not be there any more. */
bool container_is_inside(const struct container *c, struct node n, struct node *blob);

/* Whether the leaf N is a blob in which there may be nodes. */
bool container_is_owner(const struct container *c, struct node n);

/* Whether N is inside a blob and below a list or map there, so that a count says whether it is there. */
bool container_is_counted(const struct container *c, struct node n);

/* Whether N is there: always, if it is not inside a blob.  0, -ESTALE or -ENOMEM. */
int container_check(const struct container *c, struct node n);

/* A number that says what BLOB holds, as far as it says which nodes that are not counted are inside. */
unsigned container_holds(const struct container *c, struct node blob);

/* Where the value of the leaf N starts in what the blob that it is in shows. */
int container_offset_inside(const struct container *c, struct node n, uint64_t *at);

/*
 * Call FN for each node that may be inside the blob BLOB, whatever that holds, and is not
 * counted; and for the directory that BLOB is in.
 */
void container_inside(const struct container *c, struct node blob,
		      void (*fn)(void *ctx, struct node n), void *ctx);

/* The child of the directory DIR called NAME in *OUT: 0, -ENOENT, -ESTALE or -ENOMEM. */
int container_lookup(const struct container *c, struct node dir, const char *name,
		     struct node *out);

/*
 * The node at PATH, names with slashes between them, before or after them too, in
 * *OUT: 0, -ENOENT, or -ENOTDIR for one below a file.
 */
int container_find(const struct container *c, const char *path, struct node *out);

/* What a path of a node that is not inside a blob takes at most, with its NUL. */
enum { CONTAINER_PATH_MAX = 256 };

/* The path of N, a node that is not inside a blob, in OUT: names with slashes between them. */
void container_path(const struct container *c, struct node n, char out[CONTAINER_PATH_MAX]);

/* Whether DIR stands where PATTERN says: a path with N for each index. */
bool container_stands(const struct container *c, struct node dir, const char *pattern);

/* The node there that starts at OFFSET in the head. */
struct node container_standing(const struct container *c, const char *pattern, uint64_t offset);

/* The number in the file at PATH in *OUT; false if there is no such number. */
bool container_number(const struct container *c, const char *path, uint64_t *out);

/* What a name of a child takes at most, with its NUL. */
enum { CONTAINER_NAME_MAX = 40 };

/*
 * A child of a directory.  Its name is NAME, which is gone after the call, or INDEX in
 * decimal where NAME is null.  Return false to end the walk.
 */
typedef bool container_child(void *ctx, const char *name, uint64_t index, struct node n);

/*
 * Call FN for each child of the directory DIR, from index FROM on.  Indices grow, and the
 * child of an index stays the same whatever edits come, but for what is inside a blob.
 * 0, -ESTALE or -ENOMEM.
 */
int container_children(const struct container *c, struct node dir, uint64_t from,
		       container_child *fn, void *ctx);

/*
 * What the leaf N, which is not RAW, shows in *OUT: its draft, or its value with the edits in
 * force.  Valid until N, or the blob that it is in, is edited.  0, -ESTALE or -ENOMEM.
 */
int container_value(const struct container *c, struct node n, struct value *out);

/*
 * Append up to SIZE bytes, from OFFSET on, of the encoding of RAW node N's record
 * with the edits in it to OUT.
 */
void container_raw(const struct container *c, struct node n, uint64_t offset, uint64_t size,
		   struct buffer *out);

/* The bytes that there are of it. */
uint64_t container_raw_size(const struct container *c, struct node n);

/* When what N shows was last edited: false if it never was. */
bool container_mtime(const struct container *c, struct node n, struct timespec *t);

/*
 * A draft is what a leaf of bytes, which is not inside a blob, shows and does not have in
 * force.  It is no part of any encoding.
 */

/* Make the BYTES, which are taken over, the draft of N: 0, or -ENOMEM and nothing is done. */
int container_draft(struct container *c, struct node n, struct buffer *bytes, struct timespec when);

/* The bytes of N's draft, which may be changed with all of C to oneself; null if it has none. */
struct buffer *container_draft_bytes(const struct container *c, struct node n);

/* The bytes of N's draft were changed. */
void container_draft_changed(struct container *c, struct node n, struct timespec when);

void container_draft_end(struct container *c, struct node n);

/* Edits in the making, or in force: at most one of a leaf.  Starts as { 0 }. */
struct edits {
	struct edit **at; /* by offset */
	size_t count;
	size_t room;
};

void edits_free(struct edits *e);

/*
 * Add that the leaf N, which is no view, is to have the value V, which must have passed
 * value_check for N's row; in place of what E had for N.  Inside a blob: that the blob is to be
 * what E has for it, else what it shows, with V in it, which has N's width.  0, or -ENOMEM or
 * -ESTALE and E is as it was.
 */
int edits_add(struct edits *e, const struct container *c, struct node n, const struct value *v,
	      struct timespec when);

/* The blob that is edited with the leaf N (format.h, FOLLOWER), if there is one. */
bool container_follower(const struct container *c, struct node n, struct node *blob);

/* What a leaf and the blob that follows it are. */
struct followed {
	struct value leaf;
	struct value blob;
};

/*
 * What V means as the value of the leaf N, if that has a follower (format.h, resolve_hook), appended
 * to OUT: 0 or -ENOMEM.  Only what never changes of C is looked at, and no lock is to be held.
 */
int edits_resolve(const struct container *c, struct node n, const struct value *v, struct buffer *out);

/*
 * As edits_add, for a value that a person gives the leaf N, which means RESOLVED: the blob that
 * follows it is edited with it.  BEFORE is what both were before the change that V is a part of; null: what E has
 * for them, else what they show.  An unchanged value leaves the blob what it was.  What the
 * follower answers, too.
 */
int edits_make(struct edits *e, const struct container *c, struct node n, const struct value *v,
	       const struct value *resolved, struct timespec when, const struct followed *before);

/* Whether E is about the leaf N itself, which is not inside a blob. */
bool edits_have(const struct edits *e, struct node n);

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

/* Append the container alone, without the header and what ends the head, with the edits in force. */
void container_encode_alone(const struct container *c, struct buffer *out);

#endif
