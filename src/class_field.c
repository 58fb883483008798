/* SPDX-License-Identifier: MIT */
/* Fields as files, and the directories that they are in. */
#include "class.h"
#include "inode.h"

/* An open file's handle is its struct file. */
static struct file *handle(const struct fuse_file_info *fi)
{
	return fi ? (struct file *)(uintptr_t)fi->fh : NULL;
}

static const struct field *row_of(const struct fs *fs, fuse_ino_t ino)
{
	return container_row(fs->mount.container, ino_node(ino));
}

static int field_stat(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	struct node n = ino_node(ino);
	uint64_t size;
	int err;

	if (container_is_directory(fs->mount.container, n)) {
		st->st_mode = S_IFDIR | ((0777 & ~fs->umask) & (fs->read_only ? 0555 : 0777));
		pthread_rwlock_rdlock(&fs->mount.lock);
		err = container_check(fs->mount.container, n);
		pthread_rwlock_unlock(&fs->mount.lock);
		return err;
	}
	err = files_stat(&fs->files, n, &size, &st->st_mtim);
	if (err)
		return err;
	st->st_mode = class_mode(fs, row_of(fs, ino)->access);
	if (fs->writeback)
		st->st_mode &= ~0222u;
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
	return 0;
}

/*
 * What nobody can edit here changes with other files, and a blob with what is inside.  What is
 * counted there may be more than the kernel can be told of when the blob is edited.
 */
static bool field_changes(struct fs *fs, fuse_ino_t ino)
{
	const struct container *c = fs->mount.container;
	struct node n = ino_node(ino);

	return row_of(fs, ino)->access == RO || container_is_owner(c, n) || container_is_counted(c, n);
}

static int field_open(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *file;
	int err;

	(void)req;
	err = file_open(&fs->files, ino_node(ino), fi->flags, &file);
	if (err)
		return err;
	fi->fh = (uintptr_t)file;
	/* No page of the kernel's may hold an old value, or make an error late. */
	fi->direct_io = 1;
	return 0;
}

static void field_read(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size,
		       uint64_t offset, const struct fuse_file_info *fi)
{
	struct buffer out = { 0 };

	(void)fs;
	(void)ino;
	class_reply(req, file_read(handle(fi), size, offset, &out), &out);
	buffer_free(&out);
}

static int field_write(struct fs *fs, fuse_ino_t ino, const char *bytes, size_t *size,
		       uint64_t offset, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	return file_write(handle(fi), bytes, *size, offset);
}

static int field_truncate(struct fs *fs, fuse_ino_t ino, uint64_t size,
			  const struct fuse_file_info *fi)
{
	return files_truncate(&fs->files, ino_node(ino), handle(fi), size);
}

/*
 * Attributes changed without a call of the kernel's that says so: what was truncated is
 * now, and a draft that could not be saved is not any more.  Only attributes, no pages:
 * this waits for nothing, and may be called anywhere.
 */
static void forget_attributes(struct fs *fs, fuse_ino_t ino)
{
	fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

static int field_flush(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	int err;

	if (!handle(fi))
		return 0; /* a directory's */
	err = file_flush(handle(fi));
	if (file_may_change(handle(fi))) /* FI has no flags here */
		forget_attributes(fs, ino);
	return err;
}

static void field_release(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	bool changes = file_may_change(handle(fi)); /* FI's flags have lost O_TRUNC */

	file_close(handle(fi));
	if (changes)
		forget_attributes(fs, ino);
}

static int64_t field_seek(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	struct timespec when;
	uint64_t size;
	int err = files_stat(&fs->files, ino_node(ino), &size, &when);

	return err ? err : class_seek_plain(size, offset, whence);
}

/*
 * The kernel forgets what it knows of N.  A directory's pages are its listing, and nobody
 * holds one of those locked while it waits for us.
 */
void field_changed(void *ctx, struct node n)
{
	struct fs *fs = ctx;
	bool directory = container_is_directory(fs->mount.container, n);

	fuse_lowlevel_notify_inval_inode(fs->session, node_ino(n), directory ? 0 : -1, 0);
}

const struct file_class class_field = {
	.stat = field_stat,
	.changes = field_changes,
	.open = field_open,
	.read = field_read,
	.write = field_write,
	.truncate = field_truncate,
	.flush = field_flush,
	.release = field_release,
	.seek = field_seek,
};
