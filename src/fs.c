/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "inode.h"
#include "listing.h"

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/*
 * Whether INO, or a name in the directory INO, may be changed at all.  The kernel keeps
 * writers from a mount that is read-only, but lets them in once that was remounted.
 */
static int check_writable(const struct fs *fs, fuse_ino_t ino)
{
	bool field = !is_ram(ino) && !is_temp(ino);

	return fs->read_only || (fs->writeback && field) ? -EROFS : 0;
}

/*
 * Names
 */

/* The node of the child NAME of PARENT, which is there or is an option that is not. */
static int find_node(struct fs *fs, fuse_ino_t parent, const char *name, struct node *n)
{
	int err;

	pthread_rwlock_rdlock(&fs->mount.lock);
	err = container_lookup(fs->mount.container, ino_node(parent), name, n);
	pthread_rwlock_unlock(&fs->mount.lock);
	return err;
}

/* The kernel looks a name up before it makes anything of that name: one too long ends here. */
static int find(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t *ino)
{
	struct temp_stat temp;
	struct node n;

	if (parent == FUSE_ROOT_ID && fs->mount.ram && strcmp(name, "ram") == 0)
		*ino = ram_ino(fs);
	else if (!find_node(fs, parent, name, &n))
		*ino = node_ino(n);
	else if (!temps_find(&fs->temps, parent, name, &temp))
		*ino = temp_ino(temp.id);
	else
		return strlen(name) > NAME_MAX ? -ENAMETOOLONG : -ENOENT;
	return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	fuse_ino_t ino;
	int err = find(fs, parent, name, &ino);

	if (!err)
		err = fill_entry(fs, ino, &entry);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_entry(req, &entry);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat st;
	int err = inode_stat(fs, ino, &st);

	(void)fi;
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &st, attr_timeout(fs, ino));
}

/*
 * Telling the kernel
 */

/* A leaf's attributes changed without a call of the kernel's that says so. */
static void forget_attributes(struct fs *fs, fuse_ino_t ino)
{
	/* Only attributes, no pages: this waits for nothing, and may be called anywhere. */
	fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
}

/* A directory's entries did.  Pages of a listing are never locked over a request. */
static void forget_listing(struct fs *fs, fuse_ino_t folder)
{
	fuse_lowlevel_notify_inval_inode(fs->session, folder, 0, 0);
}

/*
 * Open files.  A handle is a struct file for a leaf, 0 for RAM, and 0 for a
 * temporary, which its inode number names.
 */

static struct file *handle(const struct fuse_file_info *fi)
{
	return fi ? (struct file *)(uintptr_t)fi->fh : NULL;
}

static int set_size(struct fs *fs, fuse_ino_t ino, struct file *file, uint64_t size)
{
	int err = check_writable(fs, ino);

	if (err)
		return err;
	if (is_ram(ino))
		return size == ram_size(fs->mount.ram) ? 0 : -EPERM;
	if (is_temp(ino))
		return temps_truncate(&fs->temps, temp_id(ino), size);
	return files_truncate(&fs->files, ino_node(ino), file, size);
}

static int set_time(struct fs *fs, fuse_ino_t ino, const struct stat *st, int to_set)
{
	struct timespec when = st->st_mtim;
	struct stat there;
	int err;

	if (!(to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) || is_temp(ino))
		return 0;
	err = check_writable(fs, ino);
	if (err)
		return err;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		clock_gettime(CLOCK_REALTIME, &when);
	if (is_ram(ino)) {
		ram_set_mtime(fs->mount.ram, when);
		return 0;
	}
	err = inode_stat(fs, ino, &there);
	if (err)
		return err;
	if (S_ISDIR(there.st_mode))
		return -EPERM;
	/* While an option is being made it has no value that could have a time. */
	if (there.st_size == 0 &&
	    container_row(fs->mount.container, ino_node(ino))->kind == OPTION)
		return -EINVAL;
	if (container_row(fs->mount.container, ino_node(ino))->access == RO)
		return -EPERM;
	return mount_touch(&fs->mount, ino_node(ino), when);
}

/* Owners and modes are what the mount was told; asking for what they are is no change. */
static int check_owner_and_mode(struct fs *fs, fuse_ino_t ino, const struct stat *st, int to_set)
{
	struct stat there;
	int err;

	if (is_temp(ino))
		return 0;
	err = inode_stat(fs, ino, &there);
	if (err)
		return err;
	if (((to_set & FUSE_SET_ATTR_MODE) && (st->st_mode ^ there.st_mode) & 07777) ||
	    ((to_set & FUSE_SET_ATTR_UID) && st->st_uid != there.st_uid) ||
	    ((to_set & FUSE_SET_ATTR_GID) && st->st_gid != there.st_gid))
		return -EPERM;
	return 0;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		       struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat now;
	int err;

	err = check_owner_and_mode(fs, ino, st, to_set);
	if (!err && to_set & FUSE_SET_ATTR_SIZE)
		err = set_size(fs, ino, handle(fi), (uint64_t)st->st_size);
	if (!err)
		err = set_time(fs, ino, st, to_set);
	if (!err)
		err = inode_stat(fs, ino, &now);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &now, attr_timeout(fs, ino));
}

static int open_ram(struct fs *fs, fuse_req_t req, struct fuse_file_info *fi)
{
	char text[sizeof(fs->passthrough.error.text) + 64];

	if (fi->flags & O_TRUNC)
		return -EPERM;
	if (passthrough_decide(&fs->passthrough, req, fs->mount.snapshot) && fs->mount.verbose) {
		passthrough_describe(&fs->passthrough, text, sizeof(text));
		fs->mount.report(text);
	}
	if (passthrough_open(&fs->passthrough, fi))
		return 0;
	/* Only the kernel's own writes change RAM: what it has cached is right. */
	fi->keep_cache = !fs->ram_direct;
	fi->direct_io = fs->ram_direct;
	return 0;
}

static bool may_write(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY;
}

/* FOLDER: the directory that it is to be made in, or 0. */
static int open_leaf(struct fs *fs, struct node n, fuse_ino_t folder, struct fuse_file_info *fi)
{
	struct file *file;
	int err;

	err = file_open(&fs->files, n, fi->flags, folder, &file);
	if (err)
		return err;
	fi->fh = (uintptr_t)file;
	/* No page of the kernel's may hold an old value, or make an error late. */
	fi->direct_io = 1;
	return 0;
}

static int open_temp(struct fs *fs, uint64_t id, struct fuse_file_info *fi)
{
	int err = temps_open(&fs->temps, id);

	fi->direct_io = 1;
	if (!err && fi->flags & O_TRUNC)
		err = temps_truncate(&fs->temps, id, 0);
	return err;
}

static int open_any(struct fs *fs, fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int err = may_write(fi) || fi->flags & O_TRUNC ? check_writable(fs, ino) : 0;

	if (err)
		return err;
	if (is_ram(ino))
		return open_ram(fs, req, fi);
	if (is_temp(ino))
		return open_temp(fs, temp_id(ino), fi);
	return open_leaf(fs, ino_node(ino), 0, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int err = open_any(fs_of(req), req, ino, fi);

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_open(req, fi);
}

static void close_leaf(struct fs *fs, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_ino_t folder = file_folder(handle(fi));
	bool changes = file_may_change(handle(fi)); /* FI's flags have lost O_TRUNC */

	file_close(handle(fi));
	if (changes)
		forget_attributes(fs, ino);
	/* What was to be made is not there if nothing was written. */
	if (folder)
		forget_listing(fs, folder);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (is_temp(ino))
		temps_close(&fs->temps, temp_id(ino));
	else if (handle(fi))
		close_leaf(fs, ino, fi);
	fuse_reply_err(req, 0);
}

/*
 * The kernel copies from the mapping itself.  Where the file has been cut short
 * under it, it ends the request with EIO.
 */
static void reply_pieces(void *req, struct iovec *pieces, int count)
{
	fuse_reply_iov(req, pieces, count);
}

static void read_ram(fuse_req_t req, struct ram *ram, size_t size, uint64_t offset)
{
	uint64_t left = offset < ram_size(ram) ? ram_size(ram) - offset : 0;

	int err = ram_view(ram, size < left ? size : left, offset, reply_pieces, req);

	if (err)
		fuse_reply_err(req, -err);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct buffer out = { 0 };
	int err;

	if (is_ram(ino)) {
		read_ram(req, fs->mount.ram, size, (uint64_t)offset);
		return;
	}
	if (is_temp(ino))
		err = temps_read(&fs->temps, temp_id(ino), size, (uint64_t)offset, &out);
	else
		err = file_read(handle(fi), size, (uint64_t)offset, &out);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_buf(req, (char *)out.bytes, out.size);
	buffer_free(&out);
}

/* Write page by page: how many of the SIZE bytes RAM's limit lets in. */
static size_t write_pages(struct ram *ram, const char *bytes, size_t size, uint64_t offset)
{
	size_t done = 0, piece;

	while (done < size) {
		piece = RAM_PAGE - (offset + done) % RAM_PAGE;
		if (piece > size - done)
			piece = size - done;
		if (ram_write(ram, bytes + done, piece, offset + done))
			break;
		done += piece;
	}
	return done;
}

/*
 * Write what fits: RAM does not grow.  A kernel that keeps writes back has told the
 * program that it did, and believes so for good: it is to tell of an error after
 * all, and RAM is another file from now on.
 */
static int write_ram(struct fs *fs, const char *bytes, size_t *size, uint64_t offset,
		     const struct fuse_file_info *fi)
{
	struct ram *ram = fs->mount.ram;
	uint64_t room = offset < ram_size(ram) ? ram_size(ram) - offset : 0;
	bool fits = *size <= room;
	int err;

	if (room == 0 && !fs->writeback)
		return -EPERM;
	if (!fits)
		*size = room;
	err = ram_write(ram, bytes, *size, offset);
	/* A part is stored, which a program is told; of a page that it keeps the kernel isn't. */
	if (err == -ENOSPC && !fi->writepage) {
		*size = write_pages(ram, bytes, *size, offset);
		return *size ? 0 : err;
	}
	if (fits || !fs->writeback)
		return err;
	fs->ram_renewals++;
	return -EPERM;
}

static int write_leaf(struct fs *fs, struct file *file, const char *bytes, size_t size,
		      uint64_t offset)
{
	int err = file_write(file, bytes, size, offset);

	/* With a value, what was to be made is there. */
	if (!err && file_folder(file))
		forget_listing(fs, file_folder(file));
	return err;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size,
		     off_t offset, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	int err;

	if (is_ram(ino))
		err = write_ram(fs, bytes, &size, (uint64_t)offset, fi);
	else if (is_temp(ino))
		err = temps_write(&fs->temps, temp_id(ino), bytes, size, (uint64_t)offset);
	else
		err = write_leaf(fs, handle(fi), bytes, size, (uint64_t)offset);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_write(req, size);
}

static int flush(struct fs *fs, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int err = handle(fi) ? file_flush(handle(fi)) : 0;

	/* What is passed through is refused no write past the end: here it is. */
	if (is_ram(ino))
		err = ram_keep_size(fs->mount.ram);
	/*
	 * What was truncated is now, and a draft that could not be saved is not any
	 * more.  FI has no flags here.
	 */
	if (handle(fi) && file_may_change(handle(fi)))
		forget_attributes(fs, ino);
	return err;
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, -flush(fs_of(req), ino, fi));
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	int err = flush(fs, ino, fi);

	(void)datasync;
	fuse_reply_err(req, -(err ? err : mount_sync(&fs->mount)));
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, -mount_sync(&fs_of(req)->mount));
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat st;
	int64_t at = 0;
	int err = 0;

	(void)fi;
	if (fs->writeback) {
		err = -ENOSYS; /* then the kernel takes all of a file for data, see known_data */
	} else if (is_ram(ino)) {
		at = ram_seek(fs->mount.ram, (uint64_t)offset, whence);
	} else {
		err = inode_stat(fs, ino, &st);
		at = whence == SEEK_HOLE ? st.st_size : offset;
		if (!err && (offset < 0 || offset >= st.st_size))
			err = -ENXIO;
	}
	if (err || at < 0)
		fuse_reply_err(req, err ? -err : (int)-at);
	else
		fuse_reply_lseek(req, at);
}

/*
 * Directories
 */

/* That there is no such call lets the kernel keep listings; see forget_listing. */
static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (fs_of(req)->cache_listings)
		fuse_reply_err(req, ENOSYS);
	else
		fuse_reply_open(req, fi);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	reply_listing(req, fs_of(req), ino, size, offset, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			   struct fuse_file_info *fi)
{
	(void)fi;
	reply_listing(req, fs_of(req), ino, size, offset, true);
}

/*
 * Making and removing
 */

/* The option NAME of the directory PARENT, absent or not. */
static bool find_option(struct fs *fs, fuse_ino_t parent, const char *name, struct node *n)
{
	bool found;

	pthread_rwlock_rdlock(&fs->mount.lock);
	found = container_find_option(fs->mount.container, ino_node(parent), name, n);
	pthread_rwlock_unlock(&fs->mount.lock);
	return found;
}

/* As mkstemp(3) makes them. */
static bool makes_temp(int flags)
{
	return (flags & O_EXCL) && (flags & O_ACCMODE) == O_RDWR;
}

/* Make and open the file NAME in FOLDER. */
static int make(struct fs *fs, fuse_ino_t folder, const char *name, struct fuse_file_info *fi,
		fuse_ino_t *ino)
{
	struct temp_stat temp;
	struct node n;
	int err = check_writable(fs, folder);

	if (err)
		return err;
	if (find_option(fs, folder, name, &n)) {
		*ino = node_ino(n);
		return open_leaf(fs, n, folder, fi);
	}
	if (!makes_temp(fi->flags))
		return -EPERM;
	err = temps_make(&fs->temps, folder, name, &temp);
	if (!err)
		*ino = temp_ino(temp.id);
	fi->direct_io = 1;
	return err;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param entry;
	fuse_ino_t ino = 0;
	int err = make(fs, parent, name, fi, &ino);

	(void)mode;
	if (!err)
		err = fill_entry(fs, ino, &entry);
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	/* Nothing is there until a value is written: the name is to be looked up again. */
	entry.entry_timeout = 0;
	fuse_reply_create(req, &entry, fi);
}

static int remove_name(struct fs *fs, fuse_ino_t folder, const char *name)
{
	struct node n;
	int err = check_writable(fs, folder);

	if (err)
		return err;
	if (find_option(fs, folder, name, &n))
		return files_remove(&fs->files, n);
	return temps_unlink(&fs->temps, folder, name) ? -EPERM : 0;
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -remove_name(fs_of(req), parent, name));
}

/* The field NAME of the directory FOLDER, which FLAGS of renameat2(2) let a rename take. */
static int find_field(struct fs *fs, fuse_ino_t folder, const char *name, unsigned int flags,
		      struct node *n)
{
	bool there = !find_node(fs, folder, name, n);

	if ((flags & ~(unsigned int)RENAME_NOREPLACE) ||
	    (!there && !find_option(fs, folder, name, n)) ||
	    container_is_directory(fs->mount.container, *n))
		return -EPERM;
	return there && flags ? -EEXIST : 0;
}

/* Write the content of the temporary ID to N. */
static int replace(struct fs *fs, struct node n, uint64_t id)
{
	struct buffer content = { 0 };
	int err = temps_read(&fs->temps, id, TEMP_SIZE_MAX, 0, &content);

	if (!err)
		err = files_replace(&fs->files, n, content.bytes, content.size);
	buffer_free(&content);
	return err;
}

/* A temporary that takes the name of a field is a write of its content to it. */
static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
	struct fs *fs = fs_of(req);
	struct temp_stat temp;
	struct node n;
	int err = check_writable(fs, new_parent);

	if (!err && temps_find(&fs->temps, parent, name, &temp))
		err = -EPERM;
	if (!err)
		err = find_field(fs, new_parent, new_name, flags, &n);
	if (!err)
		err = replace(fs, n, temp.id);
	if (!err) {
		temps_unlink(&fs->temps, parent, name);
		forget_attributes(fs, node_ino(n));
	}
	fuse_reply_err(req, -err);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	(void)parent;
	(void)name;
	(void)mode;
	(void)dev;
	fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	(void)target;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	(void)ino;
	(void)new_parent;
	(void)new_name;
	fuse_reply_err(req, EPERM);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);
	uint64_t size = container_size(fs->mount.container) +
			(fs->mount.ram ? ram_size(fs->mount.ram) : 0);
	struct statvfs st = {
		.f_bsize = RAM_PAGE, .f_frsize = RAM_PAGE, .f_namemax = NAME_MAX,
		.f_blocks = (size + RAM_PAGE - 1) / RAM_PAGE,
	};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

static void want_capability(struct fuse_conn_info *conn, unsigned flag, bool want)
{
#ifdef HAVE_FUSE_PASSTHROUGH
	if (want)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
#else
	conn->want = want ? conn->want | (conn->capable & flag) : conn->want & ~flag;
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	fs->initialized = true;
	passthrough_negotiate(&fs->passthrough, conn);
	fs->cache_listings = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	/* RAM's time changes with each write, its cached pages are right all the same. */
	want_capability(conn, FUSE_CAP_AUTO_INVAL_DATA, false);
	/* Attributes cost next to nothing: send them with every listing. */
	want_capability(conn, FUSE_CAP_READDIRPLUS_AUTO, false);
	/* With it the kernel knows better than we what size a file has: for RAM it is right. */
	want_capability(conn, FUSE_CAP_WRITEBACK_CACHE, fs->writeback);
}

const struct fuse_lowlevel_ops fs_operations = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.lseek = op_lseek,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.fsyncdir = op_fsyncdir,
	.create = op_create,
	.unlink = op_unlink,
	.rename = op_rename,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.link = op_link,
	.statfs = op_statfs,
};
