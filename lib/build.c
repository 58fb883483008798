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
 * Open what is to be replaced, lock it, and learn its mode.  -ENOENT if there is nothing;
 * then the mode is what any program gives a new file.
 */
static int open_old(const char *path, mode_t *mode, struct error *e)
{
	struct stat st;
	mode_t mask = umask(0);
	int err, fd;

	umask(mask);
	*mode = 0666 & ~mask;
	fd = save_open_locked(path, O_RDONLY, LOCK_EX, NULL, e);
	if (fd >= 0 && fstat(fd, &st) < 0) {
		err = error_set(e, errno, "%s", strerror(errno));
		close(fd);
		return err;
	}
	if (fd >= 0)
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
	/* Another program that saves here may have taken it for a leftover. */
	if (!err && !names_file(b->folder, name, fd))
		err = -ESTALE;
	if (!err && renameat(b->folder, name, b->folder, b->name) < 0)
		err = -errno;
	if (err && names_file(b->folder, name, fd))
		unlinkat(b->folder, name, 0);
	if (!err)
		err = io_sync(b->folder);
	close(fd);
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
	old = open_old(real ? real : path, &mode, e);
	err = old < 0 && old != -ENOENT ? old : beside_open(real ? real : path, &b, e);
	if (!err) {
		err = write_new(&b, parts, mode, e);
		beside_close(&b);
	}
	if (old >= 0)
		close(old);
	free(real);
	return err;
}
