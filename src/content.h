/* SPDX-License-Identifier: MIT */
/*
 * Files whose content is made when they are opened and is fixed for that open; as in /proc their
 * size is 0 for all that anybody is told.
 */
#ifndef SMFS_CONTENT_H
#define SMFS_CONTENT_H

#include "class.h"

/* Append the content to OUT: 0 or a negative errno. */
typedef int content_maker(struct fs *fs, fuse_ino_t ino, struct buffer *out);

/* Open the file, to read alone: -EACCES for anything else, -ENOMEM, or what MAKE answers. */
int content_open(struct fs *fs, fuse_ino_t ino, struct fuse_file_info *fi, content_maker *make);

/* For the tables of such classes. */
void content_read(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t offset,
		  const struct fuse_file_info *fi);
void content_release(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi);
int64_t content_seek(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence);

#endif
