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
 * none.  Every operation must be there, but for child.
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

	/*
	 * File I of this class in the directory DIR that no name of the container is of: its name
	 * and inode number; false if there are no more.  Null: there are none anywhere.  It may be
	 * that stat knows of none, with -ENOENT.
	 */
	bool (*child)(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name, fuse_ino_t *ino);
};

extern const struct file_class class_computed;
extern const struct file_class class_field; /* directories of fields, too */
extern const struct file_class class_guest; /* and their directory */
extern const struct file_class class_ram;
extern const struct file_class class_sidecar; /* and their directories */
extern const struct file_class class_temp;
extern const struct file_class class_vmcore;

/* What struct files calls with the struct fs. */
void field_changed(void *ctx, struct node n);

const struct file_class *class_of(fuse_ino_t ino);

/*
 * File I of all that the classes add to the directory DIR, of which there are at most
 * CLASS_CHILDREN_MAX: as child.
 */
enum { CLASS_CHILDREN_MAX = 64 };
bool class_child(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name, fuse_ino_t *ino);

/* The child NAME of the directory DIR of a sidecar: its inode number, or -ENOENT. */
int sidecar_lookup(struct fs *fs, fuse_ino_t dir, const char *name, fuse_ino_t *ino);

/* container_children for the directory DIR of a sidecar. */
int sidecar_list(struct fs *fs, fuse_ino_t dir, uint64_t from, container_child *fn, void *ctx);

/* What files that nobody can change have in common. */
int class_refuse_write(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		       uint64_t offset, const struct fuse_file_info *fi);
int class_refuse_truncate(struct fs *fs, fuse_ino_t ino, uint64_t size,
			  const struct fuse_file_info *fi);
int class_flush_nothing(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi);

/* Free what there is of fs->vmcore. */
void vmcore_destroy(struct fs *fs);

/* The kernel has kept what RAM was before SIZE bytes at OFFSET of it were written. */
void vmcore_ram_written(struct fs *fs, uint64_t offset, uint64_t size);

/* The mode of a file that, with the mount's leave, can be edited as ACCESS says. */
mode_t class_mode(const struct fs *fs, enum access access);

/* Answer REQ with what a read found in OUT, or with ERR. */
void class_reply(fuse_req_t req, int err, const struct buffer *out);

/* A file of SIZE bytes without holes: as seek. */
int64_t class_seek_plain(uint64_t size, uint64_t offset, int whence);

#endif
