/* SPDX-License-Identifier: MIT */
/* Editors' temporaries as files.  An open one has no handle: its inode number names it. */
#include <fcntl.h>

#include "class.h"
#include "inode.h"

static int temp_stat(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	struct temp_stat temp;
	int err = temps_stat(&fs->temps, temp_id(ino), &temp);

	if (err)
		return err;
	st->st_mode = S_IFREG | 0600;
	st->st_size = (off_t)temp.size;
	st->st_blocks = (blkcnt_t)((temp.size + 511) / 512);
	st->st_mtim = temp.changed;
	return 0;
}

static bool temp_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	(void)ino;
	return false;
}

static int temp_open(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int err = temps_open(&fs->temps, temp_id(ino));

	(void)req;
	fi->direct_io = 1;
	if (!err && fi->flags & O_TRUNC)
		err = temps_truncate(&fs->temps, temp_id(ino), 0);
	return err;
}

static void temp_read(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size,
		      uint64_t offset, const struct fuse_file_info *fi)
{
	struct buffer out = { 0 };

	(void)fi;
	class_reply(req, temps_read(&fs->temps, temp_id(ino), size, offset, &out), &out);
	buffer_free(&out);
}

static int temp_write(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		      uint64_t offset, const struct fuse_file_info *fi)
{
	(void)fi;
	return temps_write(&fs->temps, temp_id(ino), bytes, *size, offset);
}

static int temp_truncate(struct fs *fs, fuse_ino_t ino, uint64_t size,
			 const struct fuse_file_info *fi)
{
	(void)fi;
	return temps_truncate(&fs->temps, temp_id(ino), size);
}

static int temp_flush(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	(void)fi;
	return 0;
}

static void temp_release(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fi;
	temps_close(&fs->temps, temp_id(ino));
}

static int64_t temp_seek(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	struct temp_stat temp;
	int err = temps_stat(&fs->temps, temp_id(ino), &temp);

	return err ? err : class_seek_plain(temp.size, offset, whence);
}

const struct file_class class_temp = {
	.stat = temp_stat,
	.changes = temp_changes,
	.open = temp_open,
	.read = temp_read,
	.write = temp_write,
	.truncate = temp_truncate,
	.flush = temp_flush,
	.release = temp_release,
	.seek = temp_seek,
};
