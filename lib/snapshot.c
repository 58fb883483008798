/* SPDX-License-Identifier: MIT */
#include "snapshot_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "io.h"

struct container *snapshot_container(struct snapshot *s)
{
	return s->container;
}

struct ram *snapshot_ram(struct snapshot *s)
{
	return s->ram;
}

struct sidecars *snapshot_sidecars(struct snapshot *s)
{
	return s->sidecars;
}

int snapshot_clone_ram(struct snapshot *s, struct error *e)
{
	struct beside b;
	int err = beside_open(s->ram_path ? s->ram_path : s->path, &b, e);
	int fd;

	if (err)
		return err;
	fd = openat(b.folder, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		err = error_set(e, errno, "no file can be made beside RAM's: %s", strerror(errno));
	else
		err = ram_clone(s->ram, fd, e);
	if (fd >= 0 && err)
		close(fd);
	beside_close(&b);
	return err;
}

bool snapshot_has_ram_inside(const struct snapshot *s)
{
	return s->ram && s->ram_fd < 0;
}

int snapshot_space(const struct snapshot *s, struct statvfs *out)
{
	struct beside b;
	int err = beside_open(s->target, &b, NULL);

	if (err)
		return err;
	if (fstatvfs(b.folder, out) < 0)
		err = -errno;
	beside_close(&b);
	return err;
}

const struct stat *snapshot_stat(const struct snapshot *s)
{
	return &s->st;
}

const char *snapshot_path(const struct snapshot *s)
{
	return s->path;
}

bool snapshot_is_file(const struct snapshot *s, const char *path)
{
	char *real = realpath(path, NULL);
	bool is = real && (names_file(AT_FDCWD, real, s->fd) ||
			   (s->ram_fd >= 0 && names_file(AT_FDCWD, real, s->ram_fd)));

	free(real);
	return is;
}

const struct layout *snapshot_layout(const struct snapshot *s)
{
	return s->layout;
}

uint64_t snapshot_head_offset(const struct snapshot *s)
{
	return s->parts.head_offset;
}

uint64_t snapshot_ram_offset(const struct snapshot *s)
{
	return s->parts.tail_offset;
}

bool snapshot_has_strays(const struct snapshot *s)
{
	const struct parts *p = &s->parts;
	uint64_t end = p->tail_offset, count = 0;

	if (s->layout->is_diff && container_number(s->container, LAYOUT_CHANGED_PAGES, &count))
		end += count * LIST_ENTRY;
	else if (snapshot_has_ram_inside(s))
		end += ram_size(s->ram);
	return !io_is_zero(s->fd, 0, p->head_offset) ||
	       !io_is_zero(s->fd, p->head_offset + p->head_size, p->tail_offset) ||
	       !io_is_zero(s->fd, end, p->file_size);
}

const char *snapshot_way(const struct snapshot *s)
{
	return s->way;
}
