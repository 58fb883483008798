/* SPDX-License-Identifier: MIT */
/* Computed files. */
#include "computed.h"
#include "content.h"
#include "inode.h"

/* As in /proc: how much there is shows when it is read. */
static int computed_stat(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	mode_t mode = class_mode(fs, computed_row(ino_computed(ino))->access);

	st->st_mode = mode & ~0222u;
	return 0;
}

static bool computed_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	(void)ino;
	return false;
}

/* A copy of the container as it is now, in *OUT. */
static int copy_container(struct fs *fs, struct container **out)
{
	struct buffer head = { 0 };
	int err;

	pthread_rwlock_rdlock(&fs->mount.lock);
	container_encode(fs->mount.container, NULL, &head);
	pthread_rwlock_unlock(&fs->mount.lock);
	if (head.failed) {
		buffer_free(&head);
		return -ENOMEM;
	}
	err = container_decode(snapshot_layout(fs->mount.snapshot)->head, head.bytes, head.size, 0, out,
			       NULL);
	if (err)
		buffer_free(&head);
	return err;
}

static int make_from_copy(struct fs *fs, const struct computed *row, struct buffer *out)
{
	struct container *copy;
	int err = copy_container(fs, &copy);

	if (err)
		return err;
	err = row->make(fs->mount.snapshot, copy, row->folder, out);
	container_free(copy);
	return err;
}

static int make(struct fs *fs, fuse_ino_t ino, struct buffer *out)
{
	const struct computed *row = computed_row(ino_computed(ino));
	struct container *c = fs->mount.container;
	char folder[CONTAINER_PATH_MAX];
	int err;

	if (row->waits) /* it stands in the root */
		return make_from_copy(fs, row, out);
	pthread_rwlock_rdlock(&fs->mount.lock);
	container_path(c, container_standing(c, row->folder, ino_offset(ino)), folder);
	err = row->make(fs->mount.snapshot, c, folder, out);
	pthread_rwlock_unlock(&fs->mount.lock);
	return err;
}

static int computed_open(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)req;
	return content_open(fs, ino, fi, make);
}

static bool computed_child(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name,
			   fuse_ino_t *ino)
{
	unsigned row = 0;

	if (!is_node(dir))
		return false;
	for (; computed_next(fs->mount.container, ino_node(dir), &row); row++)
		if (i-- == 0) {
			*name = computed_row(row)->name;
			*ino = computed_ino(row, ino_node(dir));
			return true;
		}
	return false;
}

const struct file_class class_computed = {
	.stat = computed_stat,
	.changes = computed_changes,
	.open = computed_open,
	.read = content_read,
	.write = class_refuse_write,
	.truncate = class_refuse_truncate,
	.flush = class_flush_nothing,
	.release = content_release,
	.seek = content_seek,
	.child = computed_child,
};
