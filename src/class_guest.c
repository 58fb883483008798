/* SPDX-License-Identifier: MIT */
/* What the guest's Linux tells of itself: the directory guest, and its files, each made when it is opened. */
#include <stdio.h>

#include "content.h"
#include "guest.h"
#include "inode.h"

/* Number 0 is the directory; the others are files. */
static const struct guest_file *file_of(fuse_ino_t ino)
{
	return &guest_files[guest_number(ino) - 1];
}

static struct guest_memory memory_of(struct fs *fs)
{
	struct guest_memory g;

	pthread_rwlock_rdlock(&fs->mount.lock);
	g = guest_memory_of(fs->mount.container, fs->mount.ram);
	pthread_rwlock_unlock(&fs->mount.lock);
	return g;
}

/* Which of WHICH, bits, there are. */
static uint32_t present(struct fs *fs, uint32_t which)
{
	struct guest_names *n = &fs->guest;
	struct guest_memory g = memory_of(fs);
	uint32_t found;

	pthread_mutex_lock(&n->lock);
	if (which & ~n->known) {
		n->present |= guest_files_present(&g, which & ~n->known);
		n->known |= which;
	}
	found = n->present & which;
	pthread_mutex_unlock(&n->lock);
	return found;
}

static int stat_guest(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	unsigned number = guest_number(ino);

	if (number == 0) {
		st->st_mode = S_IFDIR | ((0777 & ~fs->umask) & 0555);
		return 0;
	}
	if (!present(fs, UINT32_C(1) << (number - 1)))
		return -ENOENT;
	st->st_mode = class_mode(fs, file_of(ino)->secret ? SECRET : RO) & ~0222u;
	return 0;
}

static bool guest_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	(void)ino;
	return false;
}

static int make(struct fs *fs, fuse_ino_t ino, struct buffer *out)
{
	const struct guest_file *f = file_of(ino);
	struct guest_memory g = memory_of(fs);
	struct error e = { 0 };
	char text[sizeof(e.text) + 64];
	int err = guest_file_read(f, &g, out, &e);

	if (!err)
		return 0;
	snprintf(text, sizeof(text), "/guest/%s: %s", f->name, e.text);
	fs->mount.report(text);
	/* Of what a guest has, nothing else is to be told apart here. */
	return err == -ENOMEM || err == -ENOENT ? err : -EIO;
}

static int open_guest(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)req;
	return content_open(fs, ino, fi, make);
}

static bool child_guest(struct fs *fs, fuse_ino_t dir, unsigned i, const char **name,
			fuse_ino_t *ino)
{
	if (dir == FUSE_ROOT_ID) {
		*name = "guest";
		*ino = guest_ino(0);
		return fs->mount.ram && i == 0;
	}
	if (dir != guest_ino(0) || !guest_files[i].name)
		return false;
	*name = guest_files[i].name;
	*ino = guest_ino(i + 1);
	return true;
}

const struct file_class class_guest = {
	.stat = stat_guest,
	.changes = guest_changes,
	.open = open_guest,
	.read = content_read,
	.write = class_refuse_write,
	.truncate = class_refuse_truncate,
	.flush = class_flush_nothing,
	.release = content_release,
	.seek = content_seek,
	.child = child_guest,
};
