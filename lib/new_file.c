/* SPDX-License-Identifier: MIT */
#include "new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beside.h"
#include "io.h"
#include "save.h"

static int write_new(const struct beside *b, file_filler *fill, void *ctx, struct error *e)
{
	char name[NAME_MAX + 1];
	int fd, err;

	err = beside_name(b, SAVE_NEW_SUFFIX, name, e);
	if (err)
		return err;
	fd = beside_create(b, name, e);
	if (fd < 0)
		return fd;
	err = fill(fd, ctx);
	/* The umask may have taken from it. */
	if (!err && fchmod(fd, 0600) < 0)
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
	if (err == -EINTR)
		return error_set(e, EINTR, "interrupted");
	return err ? error_set(e, -err, "cannot write %s: %s", name, strerror(-err)) : 0;
}

int new_file(const char *path, file_filler *fill, void *ctx, struct error *e)
{
	/* What a link leads to is replaced, not the link. */
	char *real = realpath(path, NULL);
	struct beside b;
	int old, err;

	if (!real && errno != ENOENT)
		return error_set(e, errno, "%s", strerror(errno));
	old = save_open_locked(real ? real : path, O_RDONLY, LOCK_EX, NO_LOCKS_GO_ON, NULL, e);
	err = old < 0 && old != -ENOENT ? old : beside_open(real ? real : path, &b, e);
	if (!err) {
		err = write_new(&b, fill, ctx, e);
		beside_close(&b);
	}
	if (old >= 0)
		close(old);
	free(real);
	return err;
}
