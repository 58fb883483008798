/* SPDX-License-Identifier: MIT */
#include "class.h"

#include <unistd.h>

#include "inode.h"

const struct file_class *class_of(fuse_ino_t ino)
{
	if (is_ram(ino))
		return &class_ram;
	if (is_computed(ino))
		return &class_computed;
	return is_temp(ino) ? &class_temp : &class_field;
}

mode_t class_mode(const struct fs *fs, enum access access)
{
	mode_t mode = 0666 & ~fs->umask;

	if (fs->read_only || access == RO)
		mode &= 0444;
	if (access == SECRET)
		mode &= 0600;
	return S_IFREG | mode;
}

void class_reply(fuse_req_t req, int err, const struct buffer *out)
{
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (const char *)out->bytes, out->size);
}

int64_t class_seek_plain(uint64_t size, uint64_t offset, int whence)
{
	if (offset >= size)
		return -ENXIO;
	return (int64_t)(whence == SEEK_HOLE ? size : offset);
}
