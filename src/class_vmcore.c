/* SPDX-License-Identifier: MIT */
/* The file vmcore. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "class.h"
#include "inode.h"
#include "vmcore.h"

/* As the container is now, which is locked. */
static uint64_t locked_size(struct fs *fs, struct guest_memory *g)
{
	*g = guest_memory_of(fs->mount.container, fs->mount.ram);
	return vmcore_size(vcpu_count(fs->mount.container), g);
}

static uint64_t size_now(struct fs *fs, struct guest_memory *g)
{
	uint64_t size;

	pthread_rwlock_rdlock(&fs->mount.lock);
	size = locked_size(fs, g);
	pthread_rwlock_unlock(&fs->mount.lock);
	return size;
}

static int stat_vmcore(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	struct guest_memory g;
	uint64_t head;

	(void)ino;
	st->st_mode = class_mode(fs, RO) & ~0222u;
	st->st_size = (off_t)size_now(fs, &g);
	head = (uint64_t)st->st_size - guest_size(&g);
	st->st_blocks = (blkcnt_t)((head + ram_stored(g.ram) + 511) / 512);
	ram_mtime(g.ram, &st->st_mtim);
	return 0;
}

/* With RAM, and with the registers. */
static bool vmcore_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	(void)ino;
	return true;
}

/*
 * An inode of the core.  The kernel keeps pages by inode, whichever open file they were read for:
 * all that have one open have one head, and an edit makes another inode while they do.
 */
struct vmcore_inode {
	struct vmcore_inode *older;
	fuse_ino_t ino;
	unsigned opens; /* 0 in none but the newest, whose pages the kernel may have all the same */
	struct vmcore core;
};

/* Of one open file. */
static struct vmcore_inode *inode_of(const struct fuse_file_info *fi)
{
	return (struct vmcore_inode *)(uintptr_t)fi->fh;
}

static void free_inode(struct vmcore_inode *i)
{
	vmcore_free(&i->core);
	free(i);
}

static int make_core(struct fs *fs, struct vmcore *v, struct error *e)
{
	struct guest_memory g;
	struct guest_kernel k;
	int err;

	size_now(fs, &g);
	err = guest_kernel_find(&k, &g, e);
	/* Without it there are the registers and memory as it is, what of it can be read. */
	if (err == -ENOMEM)
		return err;
	pthread_rwlock_rdlock(&fs->mount.lock);
	err = vmcore_make(v, fs->mount.container, &g, err ? NULL : &k, e);
	pthread_rwlock_unlock(&fs->mount.lock);
	guest_kernel_free(&k);
	return err;
}

static bool has_head(const struct vmcore_inode *i, const struct vmcore *v)
{
	return i->core.head_size == v->head_size && memcmp(i->core.head, v->head, v->head_size) == 0;
}

static struct vmcore_inode *find_inode(const struct vmcore_inodes *all, fuse_ino_t ino)
{
	struct vmcore_inode *i = all->newest;

	while (i && i->ino != ino)
		i = i->older;
	return i;
}

/* NEW, which nobody has open, becomes the newest. */
static void add_inode(struct vmcore_inodes *all, struct vmcore_inode *new)
{
	new->ino = all->newest ? all->newest->ino + 1 : vmcore_ino();
	new->older = all->newest;
	all->newest = new;
}

/*
 * The head of I, which nobody has open, becomes that of NEW.  The kernel reads no page of it meanwhile,
 * so that this waits for nobody: it reads for open files, and tells when they are closed after that.
 */
static void replace_head(struct fs *fs, struct vmcore_inode *i, struct vmcore_inode *new)
{
	struct vmcore old = i->core;

	fuse_lowlevel_notify_inval_inode(fs->session, i->ino, 0, 0);
	i->core = new->core;
	new->core = old;
	free_inode(new);
}

/*
 * Open INO with the head of NEW, which is taken: the inode, or null where INO has another head.  The newest
 * has that of NEW then, or nobody has it open: the kernel looks its name up once more.
 */
static struct vmcore_inode *open_inode(struct fs *fs, fuse_ino_t ino, struct vmcore_inode *new)
{
	struct vmcore_inodes *all = &fs->vmcore;
	struct vmcore_inode *i;

	pthread_mutex_lock(&all->lock);
	if (!all->newest)
		add_inode(all, new);
	i = find_inode(all, ino);
	if (i == new) {
		/* The first of all. */
	} else if (i && has_head(i, &new->core)) {
		free_inode(new);
	} else if (i && i->opens == 0) {
		replace_head(fs, i, new);
	} else if (i && i == all->newest) {
		add_inode(all, new);
		i = NULL;
	} else {
		free_inode(new);
		i = NULL;
	}
	if (i)
		i->opens++;
	pthread_mutex_unlock(&all->lock);
	return i;
}

static void close_inode(struct vmcore_inodes *all, struct vmcore_inode *i)
{
	struct vmcore_inode **at = &all->newest;
	bool last;

	pthread_mutex_lock(&all->lock);
	last = --i->opens == 0 && i != all->newest;
	if (last) {
		while (*at != i)
			at = &(*at)->older;
		*at = i->older;
	}
	pthread_mutex_unlock(&all->lock);
	if (last)
		free_inode(i);
}

void vmcore_destroy(struct fs *fs)
{
	struct vmcore_inode *i;

	while ((i = fs->vmcore.newest)) {
		fs->vmcore.newest = i->older;
		free_inode(i);
	}
	pthread_mutex_destroy(&fs->vmcore.lock);
}

/* Writes to RAM that are not ours to see leave no page right. */
static bool may_cache(struct fs *fs)
{
	return !fs->ram_direct && !fs->writeback && !passthrough_is_possible(&fs->passthrough);
}

static int open_vmcore(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct vmcore_inode *i;
	struct error e = { 0 };
	int err;

	(void)req;
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		return -EACCES;
	i = calloc(1, sizeof(*i));
	if (!i)
		return -ENOMEM;
	err = make_core(fs, &i->core, &e);
	if (err) {
		char text[sizeof(e.text) + 16];

		snprintf(text, sizeof(text), "/vmcore: %s", e.text);
		fs->mount.report(text);
		free(i);
		return err;
	}
	i = open_inode(fs, ino, i);
	if (!i) {
		/* Listings have the number that was. */
		fuse_lowlevel_notify_inval_inode(fs->session, FUSE_ROOT_ID, 0, 0);
		return -ESTALE;
	}
	fi->keep_cache = may_cache(fs);
	fi->direct_io = !fi->keep_cache;
	fi->fh = (uintptr_t)i;
	return 0;
}

static void reply_pieces(void *req, struct iovec *pieces, int count)
{
	fuse_reply_iov(req, pieces, count);
}

static void read_vmcore(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size,
			uint64_t offset, const struct fuse_file_info *fi)
{
	int err = vmcore_view(&inode_of(fi)->core, size, offset, reply_pieces, req);

	(void)fs;
	(void)ino;
	if (err)
		fuse_reply_err(req, -err);
}

static void release_vmcore(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)ino;
	close_inode(&fs->vmcore, inode_of(fi));
}

static int64_t seek_vmcore(struct fs *fs, fuse_ino_t ino, uint64_t offset, int whence)
{
	struct guest_memory g;
	struct vmcore v = { .size = size_now(fs, &g) };

	(void)ino;
	v.memory = g;
	v.head_size = v.size - guest_size(&g);
	return vmcore_seek(&v, offset, whence);
}

static bool child_vmcore(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name,
			 fuse_ino_t *ino)
{
	if (dir != FUSE_ROOT_ID || !fs->mount.ram || i > 0)
		return false;
	*name = "vmcore";
	pthread_mutex_lock(&fs->vmcore.lock);
	*ino = fs->vmcore.newest ? fs->vmcore.newest->ino : vmcore_ino();
	pthread_mutex_unlock(&fs->vmcore.lock);
	return true;
}

/* The newest inode before *INO, and the size of its head: false if there is none. */
static bool next_older(struct vmcore_inodes *all, fuse_ino_t *ino, uint64_t *head_size)
{
	const struct vmcore_inode *i;

	pthread_mutex_lock(&all->lock);
	for (i = all->newest; i && i->ino >= *ino; i = i->older) {
	}
	if (i) {
		*ino = i->ino;
		*head_size = i->core.head_size;
	}
	pthread_mutex_unlock(&all->lock);
	return i;
}

/*
 * This waits for reads of the core that are under way, which other threads serve: one write to RAM
 * is done at a time, and no lock is held that they may want.
 */
void vmcore_ram_written(struct fs *fs, uint64_t offset, uint64_t size)
{
	fuse_ino_t ino = UINT64_MAX;
	uint64_t head;

	if (!may_cache(fs))
		return;
	while (next_older(&fs->vmcore, &ino, &head))
		fuse_lowlevel_notify_inval_inode(fs->session, ino, (off_t)(head + offset), (off_t)size);
}

const struct file_class class_vmcore = {
	.stat = stat_vmcore,
	.changes = vmcore_changes,
	.open = open_vmcore,
	.read = read_vmcore,
	.write = class_refuse_write,
	.truncate = class_refuse_truncate,
	.flush = class_flush_nothing,
	.release = release_vmcore,
	.seek = seek_vmcore,
	.child = child_vmcore,
};
