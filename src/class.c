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
	if (is_vmcore(ino))
		return &class_vmcore;
	if (is_guest(ino))
		return &class_guest;
	if (is_sidecar(ino))
		return &class_sidecar;
	return is_temp(ino) ? &class_temp : &class_field;
}

bool class_child(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name, fuse_ino_t *ino)
{
	static const struct file_class *const adding[] = {
		&class_ram, &class_vmcore, &class_guest, &class_sidecar, &class_computed
	};
	unsigned k, own;

	for (k = 0; k < sizeof(adding) / sizeof(adding[0]); k++) {
		for (own = 0; adding[k]->child(fs, dir, own, name, ino); own++)
			if (i-- == 0)
				return true;
	}
	return false;
}

int class_refuse_write(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		       uint64_t offset, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	(void)bytes;
	(void)size;
	(void)offset;
	(void)fi;
	return -EACCES;
}

int class_refuse_truncate(struct fs *fs, fuse_ino_t ino, uint64_t size,
			  const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	(void)size;
	(void)fi;
	return -EACCES;
}

int class_flush_nothing(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	(void)fi;
	return 0;
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
