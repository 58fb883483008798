/* SPDX-License-Identifier: MIT */
/*
 * The classes of files in a mount, as tables: fs.c finds an inode's class and
 * leaves the rest to it.
 */
#ifndef SMFS_CLASS_H
#define SMFS_CLASS_H

#include "fs.h"

/*
 * Errors are negative errnos.  FI is the open file's, and null where the kernel names
 * none.  Every operation must be there.
 */
struct file_class {
	/* Fill ST, which has what is common to all files already. */
	int (*stat)(struct fs *fs, fuse_ino_t ino, struct stat *st);

	/* Whether attributes change without a call of the kernel's that says so. */
	bool (*changes)(struct fs *fs, fuse_ino_t ino);

	int (*open)(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/* Answers REQ. */
	void (*read)(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t offset,
		     const struct fuse_file_info *fi);

	/* *SIZE becomes what was stored. */
	int (*write)(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		     uint64_t offset, const struct fuse_file_info *fi);

	int (*truncate)(struct fs *fs, fuse_ino_t ino, uint64_t size,
			const struct fuse_file_info *fi);
	int (*flush)(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi);
	void (*release)(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi);

	/* lseek(2) with SEEK_DATA or SEEK_HOLE: an offset. */
	int64_t (*seek)(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence);
};

extern const struct file_class class_computed;
extern const struct file_class class_field; /* directories of fields, too */
extern const struct file_class class_ram;
extern const struct file_class class_temp;

/* What struct files calls with the struct fs. */
void field_changed(void *ctx, struct node n);

const struct file_class *class_of(fuse_ino_t ino);

/* The mode of a file that, with the mount's leave, can be edited as ACCESS says. */
mode_t class_mode(const struct fs *fs, enum access access);

/* Answer REQ with what a read found in OUT, or with ERR. */
void class_reply(fuse_req_t req, int err, const struct buffer *out);

/* A file of SIZE bytes without holes: as seek. */
int64_t class_seek_plain(uint64_t size, uint64_t offset, int whence);

#endif
