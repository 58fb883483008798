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

/* Append the head of P to OUT, with RAM at RAM_OFFSET. */
static int encode(const struct build_parts *p, uint64_t ram_offset, struct buffer *out)
{
	struct edits edits = { 0 };
	int err = layout_place_ram(p->container, ram_offset, (struct timespec){ 0 }, &edits);

	if (!err)
		container_encode(p->container, &edits, out);
	edits_free(&edits);
	return out->failed ? -ENOMEM : err;
}

static int fill(int fd, const struct build_parts *p)
{
	uint64_t end = p->head_offset + container_size(p->container), at = p->ram_offset, size = end;
	uint64_t mem_size = container_mem_size(p->container), step = p->layout->ram_step;
	struct buffer head = { 0 };
	int err;

	if (at < end || at % p->layout->ram_multiple)
		at = (end + step - 1) / step * step;
	if (p->has_ram && (at > INT64_MAX || mem_size > INT64_MAX - at))
		return -EFBIG;
	if (p->has_ram)
		size = at + mem_size;
	err = encode(p, at, &head);
	if (!err)
		err = io_truncate(fd, size);
	if (!err)
		err = io_write(fd, head.bytes, head.size, p->head_offset);
	if (!err && p->ram_fd >= 0)
		err = io_copy(p->ram_fd, 0, fd, at, mem_size);
	buffer_free(&head);
	return err;
}

/*
 * Open what is to be replaced, lock it, and learn its mode.  -ENOENT if there is nothing;
 * then the mode is for its owner alone, as a guest's memory and secrets are in it.
 */
static int open_old(const char *path, mode_t *mode, struct error *e)
{
	struct stat st;
	int err, fd;

	*mode = 0600;
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
