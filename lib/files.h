/* SPDX-License-Identifier: MIT */
/*
 * Open files of leaves: how writes, in whatever pieces, become values
 * (docs/tree.md, "Edits").
 *
 * Text is parsed inside the write that brings it, and each write that succeeds
 * is an edit.  Bytes are gathered in a draft that all open files see, and are an
 * edit when a file that wrote them is flushed.
 *
 * What is inside a blob shows the blob's draft, if there is one.  Bytes there are gathered
 * in it too; an edit of a text there takes what the draft has into the blob with it.
 */
#ifndef SMFS_FILES_H
#define SMFS_FILES_H

#include "mount.h"

struct leaf;
struct file;

struct files {
	struct mount *mount;
	pthread_mutex_t lock; /* the lists, drafts and marks; never held over a save */
	/*
	 * The attributes of N, and its listing if it is a directory, may be others now, by no call
	 * that names it.  Null: nobody wants to know.
	 */
	void (*changed)(void *ctx, struct node n);
	void *changed_ctx;
	struct file *newest;  /* of those that are open */
	struct leaf *leaves;  /* those that are open, or marked as truncated */
};

void files_init(struct files *f, struct mount *m);

/* Files that are still open are given up, as where a signal ends the daemon. */
void files_destroy(struct files *f);

/*
 * Open the leaf N with open(2)'s FLAGS.  *OUT is to be closed.  0, -EACCES for writing
 * what is read-only, -ESTALE for what is inside a blob and not there any more, which all
 * functions for its file answer, -ENOMEM.
 */
int file_open(struct files *f, struct node n, int flags, struct file **out);

/* Whether what the leaf shows may change by FILE: it was opened for writing, or with O_TRUNC. */
bool file_may_change(const struct file *file);

/* Append to OUT up to N bytes of what the leaf shows, from OFFSET on. */
int file_read(struct file *file, size_t n, uint64_t offset, struct buffer *out);

/* All N bytes, or an error and no change. */
int file_write(struct file *file, const void *data, size_t n, uint64_t offset);

/* The program closes a descriptor: what it wrote is to be saved. */
int file_flush(struct file *file);

/* Nobody has the file open any more. */
void file_close(struct file *file);

/*
 * The mount is at its end.  The kernel tells of a file's last close a little later, or not
 * any more: empty what file_close would have.  -EIO if that could not be saved, which was
 * reported.
 */
int files_finish(struct files *f);

/* truncate(2) of the leaf N, or ftruncate(2) if FILE is not null. */
int files_truncate(struct files *f, struct node n, struct file *file, uint64_t size);

/*
 * Bytes that the leaf N shows, in *SIZE, and in *WHEN the time of its last
 * edit, which is left as it is if there was none.  0, -ESTALE or -ENOMEM.
 */
int files_stat(struct files *f, struct node n, uint64_t *size, struct timespec *when);

/* Make the content at DATA, as if written in one piece to an empty file, the leaf's. */
int files_replace(struct files *f, struct node n, const void *data, size_t size);

#endif
