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

/* Of one open file. */
static struct vmcore *core_of(const struct fuse_file_info *fi)
{
	return (struct vmcore *)(uintptr_t)fi->fh;
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

/* Whether the pages that the kernel has begin with the head of V; they do from now on. */
static bool is_cached(struct vmcore_cache *cache, const struct vmcore *v)
{
	bool same;

	pthread_mutex_lock(&cache->lock);
	same = cache->head.size == v->head_size &&
	       memcmp(cache->head.bytes, v->head, v->head_size) == 0;
	if (!same) {
		cache->head.size = 0;
		buffer_add(&cache->head, v->head, v->head_size);
	}
	pthread_mutex_unlock(&cache->lock);
	return same;
}

/* Writes to RAM that are not ours to see leave no page right. */
static bool may_cache(struct fs *fs)
{
	return !fs->ram_direct && !fs->writeback && !passthrough_is_possible(&fs->passthrough);
}

static int open_vmcore(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct vmcore *v;
	struct error e = { 0 };
	int err;

	(void)req;
	(void)ino;
	if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		return -EACCES;
	v = malloc(sizeof(*v));
	if (!v)
		return -ENOMEM;
	if (may_cache(fs)) {
		fs->vmcore.is_used = true; /* before anything of RAM is read */
		fi->keep_cache = 1;
	} else {
		fi->direct_io = 1;
	}
	err = make_core(fs, v, &e);
	if (err) {
		char text[sizeof(e.text) + 16];

		snprintf(text, sizeof(text), "/vmcore: %s", e.text);
		fs->mount.report(text);
		free(v);
		return err;
	}
	if (!is_cached(&fs->vmcore, v))
		fi->keep_cache = 0;
	fi->fh = (uintptr_t)v;
	return 0;
}

static void reply_pieces(void *req, struct iovec *pieces, int count)
{
	fuse_reply_iov(req, pieces, count);
}

static void read_vmcore(struct fs *fs, fuse_req_t req, fuse_ino_t ino, size_t size,
			uint64_t offset, const struct fuse_file_info *fi)
{
	int err = vmcore_view(core_of(fi), size, offset, reply_pieces, req);

	(void)fs;
	(void)ino;
	if (err)
		fuse_reply_err(req, -err);
}

static void release_vmcore(struct fs *fs, fuse_ino_t ino, const struct fuse_file_info *fi)
{
	(void)fs;
	(void)ino;
	vmcore_free(core_of(fi));
	free(core_of(fi));
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
	*name = "vmcore";
	*ino = vmcore_ino();
	return dir == FUSE_ROOT_ID && fs->mount.ram && i == 0;
}

/*
 * This waits for reads of the core that are under way, which other threads serve: one write to RAM
 * is done at a time.
 */
void vmcore_ram_written(struct fs *fs, uint64_t offset, uint64_t size)
{
	struct guest_memory g;
	uint64_t head;

	if (!fs->vmcore.is_used || !may_cache(fs))
		return;
	head = size_now(fs, &g) - guest_size(&g);
	fuse_lowlevel_notify_inval_inode(fs->session, vmcore_ino(), (off_t)(head + offset), (off_t)size);
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
