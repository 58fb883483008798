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

/*
 * What was not there is to be looked for again where RAM was written since.  Its time is taken before anything
 * is looked for: what is written meanwhile counts as written after.
 */
static void forget_absent(struct guest_names *n, struct ram *ram)
{
	struct timespec written = { 0 };

	ram_mtime(ram, &written);
	if (written.tv_sec == n->written.tv_sec && written.tv_nsec == n->written.tv_nsec)
		return;
	n->written = written;
	n->known &= n->present;
}

/* Look for WHICH, a bit; an error tells nothing, and is not kept. */
static int look(struct guest_names *n, const struct guest_memory *g, uint32_t which)
{
	uint32_t found;
	int err = guest_files_look(g, which, &found);

	if (err == -ENOENT) {
		n->known = UINT32_MAX;
		return 0;
	}
	if (err) {
		n->failed = true;
		return err;
	}
	n->present |= found;
	n->known |= which;
	return 0;
}

/* Whether WHICH, a bit, is there: 0, -ENOENT; -EIO or -ENOMEM where that can't be told. */
static int check_present(struct fs *fs, uint32_t which)
{
	struct guest_names *n = &fs->guest;
	struct guest_memory g = memory_of(fs);
	int err = 0;

	pthread_mutex_lock(&n->lock);
	forget_absent(n, g.ram);
	if (which & ~n->known)
		err = look(n, &g, which);
	if (!err && !(n->present & which))
		err = -ENOENT;
	pthread_mutex_unlock(&n->lock);
	return err;
}

/* The kernel asks for the directory's attributes when somebody opens it, before it looks for a listing that it has. */
static void stat_directory(struct fs *fs, struct stat *st)
{
	st->st_mode = S_IFDIR | ((0777 & ~fs->umask) & 0555);
	ram_mtime(fs->mount.ram, &st->st_mtim);
	/* As in field_changed, this waits for nobody. */
	if (fs->guest.failed)
		fuse_lowlevel_notify_inval_inode(fs->session, guest_ino(0), 0, 0);
}

static int stat_guest(struct fs *fs, fuse_ino_t ino, struct stat *st)
{
	unsigned number = guest_number(ino);
	int err;

	if (number == 0) {
		stat_directory(fs, st);
		return 0;
	}
	err = check_present(fs, UINT32_C(1) << (number - 1));
	if (err)
		return err;
	st->st_mode = class_mode(fs, file_of(ino)->secret ? SECRET : RO) & ~0222u;
	return 0;
}

/* The directory does with RAM: the kernel, which keeps listings, makes them anew when its time is another. */
static bool guest_changes(struct fs *fs, fuse_ino_t ino)
{
	(void)fs;
	return guest_number(ino) == 0;
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
