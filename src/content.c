/* SPDX-License-Identifier: MIT */
#include "content.h"

#include <fcntl.h>
#include <stdlib.h>

/* An open file's handle is its content. */
static struct buffer *content(const struct fuse_file_info *fi)
{
	return (struct buffer *)(uintptr_t)fi->fh;
}

static void content_free(struct buffer *b)
{
	buffer_free(b);
	free(b);
}

int content_open(struct fs *fs, fuse_ino_t ino, struct fuse_file_info *fi, content_maker *make)
{
	struct buffer *out;
	int err;

	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		return -EACCES;
	out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	err = make(fs, ino, out);
	if (err) {
		content_free(out);
		return err;
	}
	fi->fh = (uintptr_t)out;
	/* Its size says nothing: reads come here to the end. */
	fi->direct_io = 1;
	return 0;
}

void content_read(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size, uint64_t offset,
		  const struct fuse_file_info *fi)
{
	const struct buffer *whole = content(fi);
	size_t at = offset < whole->size ? offset : whole->size;
	struct buffer part = { 0 };

	(void)fs;
	(void)ino;
	/* A copy: who is told closes the file, and the content may be gone before the reply's own call is over. */
	buffer_add(&part, whole->bytes + at, size < whole->size - at ? size : whole->size - at);
	class_reply(req, part.failed ? -ENOMEM : 0, &part);
	buffer_free(&part);
}

void content_release(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	content_free(content(fi));
}

int64_t content_seek(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	(void)fs;
	(void)ino;
	return class_seek_plain(0, offset, whence);
}
