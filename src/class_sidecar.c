/* SPDX-License-Identifier: MIT */
/* Files beside the snapshot: the directory sidecars, and what they hold, all of it read-only. */
#include "content.h"
#include "inode.h"
#include "leaf.h"
#include "text.h"

static struct sidecars *sidecars(struct fs *fs)
{
	return snapshot_sidecars(fs->mount.snapshot);
}

static bool is_top(fuse_ino_t ino)
{
	return ino == sidecar_ino(0, container_root());
}

/* The container that INO is in; held, as it is not null for a number that was given out. */
static const struct container *container_of(struct fs *fs, fuse_ino_t ino)
{
	return sidecar_container(sidecars(fs), ino_sidecar(ino));
}

static int stat_node(const struct container *c, struct node n, struct fs *fs, struct stat *st)
{
	struct value v;
	int err;

	if (container_is_directory(c, n)) {
		st->st_mode = S_IFDIR | ((0777 & ~fs->umask) & 0555);
		return container_check(c, n);
	}
	err = container_value(c, n, &v);
	if (err)
		return err;
	st->st_mode = class_mode(fs, RO) & ~0222u;
	st->st_size = (off_t)text_size(container_row(c, n), &v);
	st->st_blocks = (blkcnt_t)((st->st_size + 511) / 512);
	container_mtime(c, n, &st->st_mtim);
	return 0;
}

static int stat_sidecar(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	int err;

	/* Nothing is read for it. */
	if (is_top(ino)) {
		st->st_mode = S_IFDIR | ((0777 & ~fs->umask) & 0555);
		return 0;
	}
	err = sidecars_hold(sidecars(fs), NULL);
	if (err)
		return err;
	st->st_mtim = sidecar_mtime(sidecars(fs), ino_sidecar(ino));
	err = stat_node(container_of(fs, ino), ino_sidecar_node(ino), fs, st);
	sidecars_release(sidecars(fs));
	return err;
}

/* A share's host_path that is edited changes them. */
static bool sidecar_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	return !is_top(ino);
}

static int make(struct fs *fs, fuse_ino_t ino, struct buffer *out)
{
	int err = sidecars_hold(sidecars(fs), NULL);

	if (err)
		return err;
	err = sidecar_check_unchanged(sidecars(fs), ino_sidecar(ino));
	if (!err)
		err = leaf_show(container_of(fs, ino), ino_sidecar_node(ino), 0, SIZE_MAX, out);
	sidecars_release(sidecars(fs));
	return err;
}

static int open_sidecar(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)req;
	return content_open(fs, ino, fi, make);
}

static int64_t seek_sidecar(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	struct stat st = { 0 };
	int err = stat_sidecar(fs, ino, &st);

	return err ? err : class_seek_plain((uint64_t)st.st_size, offset, whence);
}

int sidecar_lookup(struct fs *fs, fuse_ino_t dir, const char *name, fuse_ino_t *ino)
{
	struct node n;
	int err;

	if (is_top(dir))
		return -ENOENT; /* what is there, child_sidecar knows */
	err = sidecars_hold(sidecars(fs), NULL);
	if (err)
		return err;
	err = container_lookup(container_of(fs, dir), ino_sidecar_node(dir), name, &n);
	sidecars_release(sidecars(fs));
	if (!err)
		*ino = sidecar_ino(ino_sidecar(dir), n);
	return err;
}

int sidecar_list(struct fs *fs, fuse_ino_t dir, uint64_t from, container_child *fn, void *ctx)
{
	int err;

	if (is_top(dir))
		return 0;
	err = sidecars_hold(sidecars(fs), NULL);
	if (err)
		return err;
	err = container_children(container_of(fs, dir), ino_sidecar_node(dir), from, fn, ctx);
	sidecars_release(sidecars(fs));
	return err;
}

static bool take_child(void *ctx, const char *name, uint64_t index, struct node n)
{
	(void)name;
	(void)index;
	*(struct node *)ctx = n;
	return false;
}

/* Each sidecar that is understood has one name, in the directory of all. */
static bool child_sidecar(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name,
			  fuse_ino_t *ino)
{
	const struct container *c;
	struct node n = container_root();
	unsigned which;
	bool found = false;

	if (dir == FUSE_ROOT_ID) {
		*name = SIDECAR_FOLDER;
		*ino = sidecar_ino(0, n);
		return sidecars(fs) && i == 0;
	}
	if (!is_sidecar(dir) || !is_top(dir) || sidecars_hold(sidecars(fs), NULL))
		return false;
	for (which = 0; !found && which < SIDECARS; which++) {
		c = sidecar_container(sidecars(fs), which);
		if (!c || i-- > 0)
			continue;
		container_children(c, container_root(), 0, take_child, &n);
		*name = container_row(c, n)->name;
		*ino = sidecar_ino(which, n);
		found = true;
	}
	sidecars_release(sidecars(fs));
	return found;
}

const struct file_class class_sidecar = {
	.stat = stat_sidecar,
	.changes = sidecar_changes,
	.open = open_sidecar,
	.read = content_read,
	.write = class_refuse_write,
	.truncate = class_refuse_truncate,
	.flush = class_flush_nothing,
	.release = content_release,
	.seek = seek_sidecar,
	.child = child_sidecar,
};
