/* SPDX-License-Identifier: MIT */
/* What the parts of files.c share: of text, of bytes, and of both. */
#ifndef SMFS_FILES_PARTS_H
#define SMFS_FILES_PARTS_H

#include "files.h"
#include "format.h"

/* What a leaf's open files share. */
struct leaf {
	struct leaf *next;
	struct node node;
	const struct field *row;
	struct leaf *blob; /* that it is inside of, or that follows it, or null; one of its users */
	unsigned users;
	pthread_mutex_t writing; /* held over a write and its save; then the blob's */
	bool truncated;        /* text: the next write starts from nothing */
	/* Bytes that O_TRUNC emptied and nobody wrote since, under WRITING: */
	const struct file *emptier; /* whose O_TRUNC that was, the last one's; or null */
	bool closed;                /* a descriptor of EMPTIER is */
	bool kept;                  /* O_TRUNC alone empties nothing: the last write was refused, or what
	                               is inside was edited since */
	struct file *writers; /* those that wrote in the draft, under WRITING */
};

/* What a leaf and the blob that follows it were. */
struct before {
	struct buffer leaf;
	struct buffer blob;
};

struct file {
	struct files *files;
	struct file *newer, *older; /* of all that are open, under the lock */
	struct leaf *leaf;
	int flags;
	bool truncated;     /* by open or ftruncate, and not written since; not in a BLOB */
	bool truncate_told; /* by ftruncate: that alone is an edit where it can be */
	bool wrote;         /* in the draft: one of its WRITERS */
	struct file *next;  /* of those */
	int lost;           /* why a draft that it wrote in could not be saved; not told yet */
	bool fresh;         /* TEXT started from nothing */
	struct buffer text; /* as this file wrote it, piece by piece */
	struct before before; /* the first of these pieces */
};

/*
 * files.c
 */

struct timespec files_now(void);

/* Append all of what the leaf N shows. */
int files_print(struct mount *m, struct node n, struct buffer *out);

/* All that is inside BLOB may be another now. */
void files_tell_inside(struct files *f, struct node blob);

/*
 * The draft is no more.  If it could not be saved for the reason ERR, what each of
 * its writers wrote is lost, whoever's call it was that tried.  With WRITING held.
 */
void files_end_draft(struct files *f, struct leaf *leaf, int err);

/* Give the leaf the value V, as a part of a change before which it was as BEFORE; null: as it is. */
int files_edit(struct files *f, struct leaf *leaf, const struct value *v, struct timespec when,
	       const struct before *before);

/*
 * files_text.c: leaves of text.  With WRITING held, all.
 */

void files_before_free(struct before *before);

void files_set_truncated(struct files *f, struct leaf *leaf, bool truncated);

int files_write_text(struct file *file, const void *data, size_t n, uint64_t offset);

/*
 * Truncating a text to nothing is the start of a write: numbers and words have
 * no empty value, and a string must not pass through one.  FILE may be null.
 */
int files_truncate_text(struct files *f, struct leaf *leaf, struct file *file, uint64_t size);

int files_flush_text(struct file *file);

/*
 * files_bytes.c: leaves of bytes.  With WRITING held, all.
 */

int files_write_bytes(struct file *file, const void *data, size_t n, uint64_t offset);

/* FILE may be null: then the draft is saved at once. */
int files_truncate_bytes(struct files *f, struct leaf *leaf, struct file *file, uint64_t size);

int files_flush_bytes(struct file *file);

/* Bytes that O_TRUNC emptied are empty, as nobody wrote any. */
int files_save_emptied(struct files *f, struct leaf *leaf);

#endif
