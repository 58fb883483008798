/* SPDX-License-Identifier: MIT */
#include "build.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "save.h"

static int fill(int fd, const struct build_parts *p)
{
	struct layout layout = {
		.container_offset = p->container_offset,
		.tail_offset = p->ram_offset,
		.file_size = p->ram_fd < 0 ? p->ram_offset : p->ram_offset + p->mem_size,
	};
	int err;

	layout = layout_next(&layout, p->container->size);
	if (layout.file_size < p->file_size)
		layout.file_size = p->file_size;
	err = io_truncate(fd, layout.file_size);
	if (!err)
		err = io_write(fd, p->container->bytes, p->container->size, p->container_offset);
	if (!err && p->ram_fd >= 0)
		err = io_copy(p->ram_fd, 0, fd, layout.tail_offset, p->mem_size);
	return err;
}

/*
 * Open what is to be replaced, lock it, and learn its mode.  -1 if there is nothing;
 * then the mode is what any program gives a new file.
 */
static int open_old(const char *path, mode_t *mode, struct error *e)
{
	struct stat st;
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	*mode = 0666 & ~mask;
	if (save_recover(path, e) < 0)
		return -e->code;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -1;
	if (fd < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		error_set(e, EINVAL, "not a regular file");
	else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		error_set(e, EBUSY, "in use by a mount; unmount that first");
	if (e->code) {
		close(fd);
		return -e->code;
	}
	*mode = st.st_mode & 07777;
	return fd;
}

static int write_new(const struct beside *b, const struct build_parts *parts, mode_t mode,
		     struct error *e)
{
	char name[NAME_MAX + 1];
	int fd, err;

	err = beside_name(b, SAVE_NEW_SUFFIX, name, e);
	if (err)
		return err;
	fd = beside_create(b, name, e);
	if (fd < 0)
		return fd;
	err = fill(fd, parts);
	if (!err && fchmod(fd, mode) < 0)
		err = -errno;
	if (!err)
		err = io_sync(fd);
	close(fd);
	if (!err && renameat(b->folder, name, b->folder, b->name) < 0)
		err = -errno;
	if (err)
		unlinkat(b->folder, name, 0);
	else
		err = io_sync(b->folder);
	return err ? error_set(e, -err, "cannot write %s: %s", name, strerror(-err)) : 0;
}

int build_snapshot(const char *path, const struct build_parts *parts, struct error *e)
{
	/* What a link leads to is replaced, not the link. */
	char *real = realpath(path, NULL);
	struct beside b = { .folder = -1 };
	mode_t mode;
	int old, err;

	if (!real && errno != ENOENT)
		return error_set(e, errno, "%s", strerror(errno));
	e->code = 0;
	old = open_old(real ? real : path, &mode, e);
	err = e->code ? -e->code : beside_open(real ? real : path, &b, e);
	if (!err) {
		err = write_new(&b, parts, mode, e);
		beside_close(&b);
	}
	if (old >= 0)
		close(old);
	free(real);
	return err;
}
