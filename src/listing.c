/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <stdio.h>
#include <stdlib.h>

#include "class.h"
#include "inode.h"

/* Offsets of directory entries: these, then what classes add, children, temporaries. */
enum { ENTRY_SELF, ENTRY_PARENT, ENTRY_ADDED, ENTRY_CHILDREN = ENTRY_ADDED + CLASS_CHILDREN_MAX };
static const uint64_t ENTRY_TEMPS = UINT64_C(1) << 62;

struct listing {
	fuse_req_t req;
	struct fs *fs;
	bool plus;
	char *bytes;
	size_t size;
	size_t used;
	bool full;
	int err;
};

static bool list_entry(struct listing *l, const char *name, fuse_ino_t ino, mode_t type,
		       uint64_t next)
{
	struct fuse_entry_param entry;
	struct stat st = { .st_ino = ino, .st_mode = type };
	size_t room = l->size - l->used;
	size_t needed;

	if (l->plus && name[0] != '.') {
		if (fill_entry(l->fs, ino, &entry))
			return true; /* removed a moment ago */
		needed = fuse_add_direntry_plus(l->req, l->bytes + l->used, room, name, &entry,
						(off_t)next);
	} else if (l->plus) {
		/* The kernel takes no reference to what has inode number 0. */
		entry = (struct fuse_entry_param){ .attr = st };
		needed = fuse_add_direntry_plus(l->req, l->bytes + l->used, room, name, &entry,
						(off_t)next);
	} else {
		needed = fuse_add_direntry(l->req, l->bytes + l->used, room, name, &st,
					   (off_t)next);
	}
	l->full = needed > room;
	if (!l->full)
		l->used += needed;
	return !l->full;
}

struct child {
	uint64_t index;
	char name[CONTAINER_NAME_MAX];
	struct node node;
};

/* Children are gathered under the lock, and looked at after. */
struct batch {
	struct child child[64];
	unsigned count;
};

static bool add_to_batch(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct batch *b = ctx;
	struct child *child = &b->child[b->count++];

	child->index = index;
	child->node = n;
	if (name)
		snprintf(child->name, sizeof(child->name), "%s", name);
	else
		snprintf(child->name, sizeof(child->name), "%llu", (unsigned long long)index);
	return b->count < sizeof(b->child) / sizeof(b->child[0]);
}

/* A batch of children of DIR, which are nodes of the container or of a sidecar. */
static int gather(struct fs *fs, fuse_ino_t dir, uint64_t from, struct batch *batch)
{
	int err;

	batch->count = 0;
	if (is_sidecar(dir))
		return sidecar_list(fs, dir, from, add_to_batch, batch);
	pthread_rwlock_rdlock(&fs->mount.lock);
	err = container_children(fs->mount.container, ino_node(dir), from, add_to_batch, batch);
	pthread_rwlock_unlock(&fs->mount.lock);
	return err;
}

/* Which kind of file a child of DIR is; its row stays what it is. */
static mode_t type_of(struct fs *fs, fuse_ino_t dir, struct node n)
{
	const struct container *c = fs->mount.container;

	if (is_sidecar(dir))
		c = sidecar_container(snapshot_sidecars(fs->mount.snapshot), ino_sidecar(dir));
	return container_is_directory(c, n) ? S_IFDIR : S_IFREG;
}

static bool list_children(struct listing *l, fuse_ino_t dir, uint64_t from)
{
	struct batch batch;
	unsigned i;

	do {
		l->err = gather(l->fs, dir, from, &batch);
		for (i = 0; i < batch.count; i++) {
			struct child *child = &batch.child[i];
			fuse_ino_t ino = is_sidecar(dir) ? sidecar_ino(ino_sidecar(dir), child->node)
							 : node_ino(child->node);

			if (!list_entry(l, child->name, ino, type_of(l->fs, dir, child->node),
					ENTRY_CHILDREN + child->index + 1))
				return false;
			from = child->index + 1;
		}
	} while (batch.count == sizeof(batch.child) / sizeof(batch.child[0]));
	return !l->err;
}

static bool list_added(struct listing *l, fuse_ino_t dir, unsigned i)
{
	const char *name;
	struct stat st;
	fuse_ino_t ino;

	for (; class_child(l->fs, dir, i, &name, &ino); i++)
		if (!inode_stat(l->fs, ino, &st) && !list_entry(l, name, ino, st.st_mode, ENTRY_ADDED + i + 1))
			return false;
	return true;
}

static void list_temps(struct listing *l, fuse_ino_t dir, uint64_t id)
{
	struct temp_stat temp;
	char name[256];

	while (!temps_next(&l->fs->temps, dir, id, name, &temp)) {
		if (!list_entry(l, name, temp_ino(temp.id), S_IFREG, ENTRY_TEMPS + temp.id + 1))
			return;
		id = temp.id + 1;
	}
}

static void list(struct listing *l, fuse_ino_t dir, uint64_t at)
{
	if (at <= ENTRY_SELF && !list_entry(l, ".", dir, S_IFDIR, ENTRY_SELF + 1))
		return;
	if (at <= ENTRY_PARENT && !list_entry(l, "..", FUSE_ROOT_ID, S_IFDIR, ENTRY_PARENT + 1))
		return;
	if (at < ENTRY_CHILDREN &&
	    !list_added(l, dir, at < ENTRY_ADDED ? 0 : (unsigned)(at - ENTRY_ADDED)))
		return;
	if (at < ENTRY_TEMPS && (is_node(dir) || is_sidecar(dir)) &&
	    !list_children(l, dir, at < ENTRY_CHILDREN ? 0 : at - ENTRY_CHILDREN))
		return;
	list_temps(l, dir, at < ENTRY_TEMPS ? 0 : at - ENTRY_TEMPS);
}

void reply_listing(fuse_req_t req, struct fs *fs, fuse_ino_t dir, size_t size, off_t offset, bool plus)
{
	struct listing l = { .req = req, .fs = fs, .plus = plus, .size = size };

	l.bytes = malloc(size);
	if (!l.bytes) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	list(&l, dir, (uint64_t)offset);
	if (l.err)
		fuse_reply_err(req, -l.err);
	else
		fuse_reply_buf(req, l.bytes, l.used);
	free(l.bytes);
}
