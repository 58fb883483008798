/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "class.h"
#include "daemon_pid.h"
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
	return fs->read_only || (fs->writeback && is_node(ino)) ? -EROFS : 0;
}

/*
 * Names
 */

/* The node of the child NAME of PARENT. */
static int find_node(struct fs *fs, fuse_ino_t parent, const char *name, struct node *n)
{
	int err;

	if (!is_node(parent))
		return -ENOENT;
	pthread_rwlock_rdlock(&fs->mount.lock);
	err = container_lookup(fs->mount.container, ino_node(parent), name, n);
	pthread_rwlock_unlock(&fs->mount.lock);
	return err;
}

/* The same of what is no node. */
static bool find_added(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t *ino)
{
	const char *added;
	unsigned i;

	for (i = 0; class_child(fs, parent, i, &added, ino); i++)
		if (strcmp(name, added) == 0)
			return true;
	return false;
}

/* The kernel looks a name up before it makes anything of that name: one too long ends here. */
static int find(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t *ino)
{
	struct temp_stat temp;
	struct node n;

	if (find_added(fs, parent, name, ino))
		return 0;
	if (is_sidecar(parent))
		return sidecar_lookup(fs, parent, name, ino);
	if (!find_node(fs, parent, name, &n))
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
 * Open files
 */

static int set_size(struct fs *fs, fuse_ino_t ino, uint64_t size, const struct fuse_file_info *fi)
{
	int err = check_writable(fs, ino);

	return err ? err : class_of(ino)->truncate(fs, ino, size, fi);
}

/*
 * Sizes count.  Modes, owners and times are the mount's: that a copy sets them too must not
 * make it fail, so they are accepted and ignored.
 */
static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		       struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct stat now;
	int err = 0;

	if (to_set & FUSE_SET_ATTR_SIZE)
		err = set_size(fs, ino, (uint64_t)st->st_size, fi);
	if (!err)
		err = inode_stat(fs, ino, &now);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_attr(req, &now, attr_timeout(fs, ino));
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	bool writes = (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
	int err = writes ? check_writable(fs, ino) : 0;

	if (!err)
		err = class_of(ino)->open(fs, req, ino, fi);
	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_open(req, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	class_of(ino)->release(fs_of(req), ino, fi);
	fuse_reply_err(req, 0);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	class_of(ino)->read(fs_of(req), req, ino, size, (uint64_t)offset, fi);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size,
		     off_t offset, struct fuse_file_info *fi)
{
	int err = class_of(ino)->write(fs_of(req), ino, bytes, &size, (uint64_t)offset, fi);

	if (err)
		fuse_reply_err(req, -err);
	else
		fuse_reply_write(req, size);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fuse_reply_err(req, -class_of(ino)->flush(fs_of(req), ino, fi));
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	int err = class_of(ino)->flush(fs, ino, fi);

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
	int64_t at;

	(void)fi;
	if (fs->writeback)
		at = -ENOSYS; /* then the kernel takes all of a file for data, see known_data */
	else
		at = offset < 0 ? -ENXIO : class_of(ino)->seek(fs, ino, (uint64_t)offset, whence);
	if (at < 0)
		fuse_reply_err(req, (int)-at);
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
	int err = check_writable(fs, folder);

	if (err)
		return err;
	if (!makes_temp(fi->flags) || !is_node(folder))
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
	fuse_reply_create(req, &entry, fi);
}

static int remove_name(struct fs *fs, fuse_ino_t folder, const char *name)
{
	int err = check_writable(fs, folder);

	if (err)
		return err;
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
	if ((flags & ~(unsigned int)RENAME_NOREPLACE) || find_node(fs, folder, name, n) ||
	    container_is_directory(fs->mount.container, *n))
		return -EPERM;
	return flags ? -EEXIST : 0;
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
		/* Its attributes changed by no call of the kernel's on it; this waits for nothing. */
		fuse_lowlevel_notify_inval_inode(fs->session, node_ino(n), -1, 0);
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

/* What there is room for is what a save can take, where it goes.  Of no blocks df says nothing. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = { 0 };

	(void)ino;
	if (snapshot_space(fs_of(req)->mount.snapshot, &st))
		st = (struct statvfs){ .f_bsize = RAM_PAGE, .f_frsize = RAM_PAGE };
	st.f_namemax = NAME_MAX;
	fuse_reply_statfs(req, &st);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in_buf, size_t in_size,
		     size_t out_size)
{
	int32_t pid = getpid();

	(void)arg;
	(void)fi;
	(void)flags;
	(void)in_buf;
	(void)in_size;
	if (ino == FUSE_ROOT_ID && cmd == SMFS_DAEMON_PID && out_size >= sizeof(pid))
		fuse_reply_ioctl(req, 0, &pid, sizeof(pid));
	else
		fuse_reply_err(req, ENOTTY);
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
	conn->max_read = fs->max_read; /* libfuse wants it in both places */
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
	.ioctl = op_ioctl,
};
