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

static bool tail_moves(const struct save *s)
{
	return s->new.tail_offset != s->old.tail_offset;
}

/* Everything but the container from the old file, sharing its extents. */
static int clone_rest(const struct save *s, int fd)
{
	struct file_clone_range tail = {
		.src_fd = s->fd, .src_offset = s->old.tail_offset, .dest_offset = s->new.tail_offset
	};
	int err;

	if (!tail_moves(s) || s->old.tail_offset == s->old.file_size)
		return ioctl(fd, FICLONE, s->fd) < 0 ? -errno : 0;
	err = io_truncate(fd, s->new.file_size);
	if (!err && ioctl(fd, FICLONERANGE, &tail) < 0)
		err = -errno;
	if (!err)
		err = io_copy(s->fd, 0, fd, 0, s->old.container_offset);
	return err;
}

static int copy_rest(const struct save *s, int fd)
{
	uint64_t tail_size = s->old.file_size - s->old.tail_offset;
	int err = io_truncate(fd, s->new.file_size);

	if (err)
		return err;
	if (!tail_moves(s))
		return io_copy(s->fd, 0, fd, 0, s->old.file_size);
	err = io_copy(s->fd, 0, fd, 0, s->old.container_offset);
	if (!err)
		err = io_copy(s->fd, s->old.tail_offset, fd, s->new.tail_offset, tail_size);
	return err;
}

static int write_ram(const struct save *s, int fd)
{
	uint64_t offset = 0, size;
	uint8_t *chunk;
	int err = 0;

	if (!s->ram)
		return 0;
	chunk = malloc(RAM_PAGE);
	if (!chunk)
		return -ENOMEM;
	while (!err && ram_next_written(s->ram, &offset, &size)) {
		for (; size > 0 && !err; offset += RAM_PAGE) {
			size_t take = size < RAM_PAGE ? size : RAM_PAGE;

			err = ram_read(s->ram, chunk, take, offset);
			if (!err)
				err = io_write(fd, chunk, take, s->new.tail_offset + offset);
			size -= take;
		}
	}
	free(chunk);
	return err;
}

static int write_container(const struct save *s, int fd)
{
	uint64_t old_end = s->old.container_offset + s->old.container_size;
	uint64_t new_end = s->new.container_offset + s->new.container_size;
	int err = io_truncate(fd, s->new.file_size);

	if (!err)
		err = io_write(fd, s->container->bytes, s->container->size,
			       s->new.container_offset);
	if (!err && new_end < old_end && s->new.file_size > new_end)
		err = io_zero(fd, new_end, old_end - new_end);
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

static bool is_unchanged(const struct save *s, const struct beside *b)
{
	struct identity now;
	struct stat st;

	if (identity_get(s->fd, &now) || !identity_equal(&now, &s->identity))
		return false;
	return !s->fd_is_path ||
	       (fstatat(b->folder, b->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == now.device && st.st_ino == now.inode);
}

/*
 * Give the new file, durably, the snapshot's name.  The two names are exchanged
 * where that can be done, so that a folder that can't be made durable can be put
 * back as it was.
 */
static int take_name(const struct save *s, const struct beside *b, const char *name)
{
	bool exchanged = false;
	int err = 0;

	if (s->fd_is_path)
		exchanged = renameat2(b->folder, name, b->folder, b->name, RENAME_EXCHANGE) == 0;
	if (s->fd_is_path && !exchanged && errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (!exchanged && renameat(b->folder, name, b->folder, b->name) < 0)
		return -errno;
	err = io_sync(b->folder);
	if (err && exchanged)
		renameat2(b->folder, name, b->folder, b->name, RENAME_EXCHANGE);
	else if (exchanged)
		unlinkat(b->folder, name, 0);
	return err;
}

int save_replace(const struct save *s, bool clone, int *fd_out, struct error *e)
{
	char name[NAME_MAX + 1];
	struct beside b;
	int fd = -1;
	int err;

	err = beside_open(s->path, &b, e);
	if (err)
		return err;
	err = beside_name(&b, SAVE_NEW_SUFFIX, name, e);
	if (err)
		goto out;
	if (!is_unchanged(s, &b)) {
		err = error_set(e, ESTALE, "another program changed the snapshot");
		goto out;
	}
	fd = beside_create(&b, name, e);
	if (fd < 0) {
		err = fd;
		goto out;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		err = -errno;
	if (!err)
		err = clone ? clone_rest(s, fd) : copy_rest(s, fd);
	if (err && clone) {
		/* Only a clone that can't be had at all lets another way be tried. */
		if (err == -EXDEV || err == -EINVAL || err == -ENOTTY || err == -ENOSYS)
			err = -EOPNOTSUPP;
	}
	if (!err)
		err = write_container(s, fd);
	if (!err)
		err = write_ram(s, fd);
	if (!err)
		err = copy_metadata(s->fd, fd);
	if (!err)
		err = io_sync(fd);
	if (!err && !is_unchanged(s, &b))
		err = -ESTALE;
	if (!err)
		err = take_name(s, &b, name);
	if (err) {
		error_set(e, -err, "cannot write %s beside the snapshot: %s", name, strerror(-err));
		unlinkat(b.folder, name, 0);
	} else {
		*fd_out = fd;
		fd = -1;
	}
out:
	if (fd >= 0)
		close(fd);
	beside_close(&b);
	return err;
}
