/* SPDX-License-Identifier: MIT */
/* Saving by a new file beside the snapshot that takes its name. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "beside.h"
#include "io.h"
#include "save.h"

/* Everything but the container from the old file, sharing its extents. */
static int clone_rest(const struct save *s, int fd)
{
	struct file_clone_range tail = {
		.src_fd = s->fd, .src_offset = s->old.tail_offset, .dest_offset = s->new.tail_offset
	};
	int err;

	if (!save_moves_tail(s))
		return ioctl(fd, FICLONE, s->fd) < 0 ? -errno : 0;
	err = io_truncate(fd, s->new.file_size);
	if (!err && ioctl(fd, FICLONERANGE, &tail) < 0)
		err = -errno;
	if (!err)
		err = io_copy(s->fd, 0, fd, 0, s->old.head_offset);
	return err;
}

static int copy_rest(const struct save *s, int fd)
{
	uint64_t tail_size = s->new.file_size - s->new.tail_offset;
	int err = io_truncate(fd, s->new.file_size);

	if (err)
		return err;
	if (!save_moves_tail(s))
		return io_copy(s->fd, 0, fd, 0, s->old.file_size);
	err = io_copy(s->fd, 0, fd, 0, s->old.head_offset);
	if (!err && s->tail_fd >= 0)
		err = io_copy(s->tail_fd, 0, fd, s->new.tail_offset, tail_size);
	else if (!err)
		err = io_copy(s->fd, s->old.tail_offset, fd, s->new.tail_offset, tail_size);
	return err;
}

static int write_head(const struct save *s, int fd)
{
	int err = io_truncate(fd, s->new.file_size);

	if (!err)
		err = io_write(fd, s->head->bytes, s->head->size, s->new.head_offset);
	if (!err)
		err = io_zero(fd, s->new.head_offset + s->new.head_size,
			      parts_left_behind(&s->old, &s->new));
	return err;
}

/* The extended attributes that can be read, one by one. */
static int copy_xattrs(int from, int to)
{
	ssize_t size = flistxattr(from, NULL, 0);
	char *names, *name, *value = NULL;
	int err = 0;

	if (size <= 0)
		return size < 0 && errno != ENOTSUP ? -errno : 0;
	names = malloc((size_t)size);
	value = malloc(XATTR_SIZE_MAX);
	if (!names || !value)
		err = -ENOMEM;
	else if ((size = flistxattr(from, names, (size_t)size)) < 0)
		err = -errno;
	for (name = names; !err && name < names + size; name += strlen(name) + 1) {
		ssize_t n = fgetxattr(from, name, value, XATTR_SIZE_MAX);

		if (n < 0 || fsetxattr(to, name, value, (size_t)n, 0) < 0)
			err = -errno;
	}
	free(names);
	free(value);
	return err;
}

static int copy_metadata(int from, int to)
{
	struct stat st, now;

	if (fstat(from, &st) < 0 || fstat(to, &now) < 0)
		return -errno;
	if ((st.st_uid != now.st_uid || st.st_gid != now.st_gid) &&
	    fchown(to, st.st_uid, st.st_gid) < 0)
		return -errno;
	if (fchmod(to, st.st_mode & 07777) < 0)
		return -errno;
	return copy_xattrs(from, to);
}

static bool is_file(const struct beside *b)
{
	struct stat st;

	return fstatat(b->folder, b->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/*
 * Give the new file, durably, the snapshot's name.  The two names are exchanged
 * where that can be done, so that a folder that can't be made durable can be put
 * back as it was.
 */
static int take_name(const struct save *s, const struct beside *b, const char *name, int fd)
{
	bool exchange = s->fd_is_path || is_file(b), exchanged = false;
	int err = 0;

	/* Another program that saves here may have taken it for a leftover. */
	if (!names_file(b->folder, name, fd))
		return -ESTALE;

	if (exchange)
		exchanged = renameat2(b->folder, name, b->folder, b->name, RENAME_EXCHANGE) == 0;
	if (exchange && !exchanged && errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!exchanged && renameat(b->folder, name, b->folder, b->name) < 0)
		return -errno;
	/* That it was this file's name was seen a moment ago. */
	if (exchanged && s->fd_is_path && !names_file(b->folder, name, s->fd))
		err = -ESTALE;
	if (!err)
		err = io_sync(b->folder);
	if (err && exchanged)
		renameat2(b->folder, name, b->folder, b->name, RENAME_EXCHANGE);
	else if (exchanged)
		unlinkat(b->folder, name, 0);
	return err;
}

/* An error of cloning that says that it can't be done here, rather than that it failed. */
static bool is_unsupported(int err)
{
	return err == -EOPNOTSUPP || err == -EXDEV || err == -EINVAL || err == -ENOTTY ||
	       err == -ENOSYS;
}

static int fill(const struct save *s, int fd, bool clone)
{
	int err = clone ? clone_rest(s, fd) : copy_rest(s, fd);

	if (clone && is_unsupported(err))
		return -EOPNOTSUPP;
	if (!err)
		err = write_head(s, fd);
	if (!err && s->save_ram)
		err = save_write_ram(s, fd);
	if (err)
		return err;
	/* Who may not give files away can still save in place. */
	err = copy_metadata(s->fd, fd);
	return err == -EPERM ? -EOPNOTSUPP : err;
}

static int replace(const struct save *s, const struct beside *b, bool clone, int *fd_out,
		   struct error *e)
{
	char name[NAME_MAX + 1];
	int fd, err;

	err = beside_name(b, SAVE_NEW_SUFFIX, name, e);
	if (err)
		return err;
	err = save_check_unchanged(s, b, e);
	if (err)
		return err;
	fd = beside_create(b, name, e);
	if (fd < 0)
		return fd;
	err = fill(s, fd, clone);
	if (!err)
		err = io_sync(fd);
	if (!err)
		err = save_check_unchanged(s, b, NULL);
	if (!err)
		err = take_name(s, b, name, fd);
	if (!err) {
		*fd_out = fd;
		return 0;
	}
	if (names_file(b->folder, name, fd))
		unlinkat(b->folder, name, 0);
	close(fd);
	return error_set(e, -err, "cannot write %s beside the snapshot: %s", name, strerror(-err));
}

static int save_replace(const struct save *s, bool clone, struct saved *out, struct error *e)
{
	struct beside b;
	int err = beside_open(s->path, &b, e);

	if (err)
		return err;
	err = replace(s, &b, clone, &out->fd, e);
	beside_close(&b);
	out->way = clone ? "by a clone" : "by a copy";
	return err;
}

int save_clone(const struct save *s, struct saved *out, struct error *e)
{
	return save_replace(s, true, out, e);
}

int save_copy(const struct save *s, struct saved *out, struct error *e)
{
	return save_replace(s, false, out, e);
}
