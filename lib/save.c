/* SPDX-License-Identifier: MIT */
#include "save.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* RAM that has to move goes to a multiple of this, which every page size divides. */
enum { TAIL_ALIGNMENT = 65536 };

int identity_get(int fd, struct identity *id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*id = (struct identity){ st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim };
	return 0;
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

struct layout layout_next(const struct layout *old, uint64_t size)
{
	struct layout next = *old;
	uint64_t end = old->container_offset + size;
	uint64_t tail_size = old->file_size - old->tail_offset;

	next.container_size = size;
	if (tail_size == 0)
		next.tail_offset = end;
	else if (end > old->tail_offset)
		next.tail_offset = (end + TAIL_ALIGNMENT - 1) / TAIL_ALIGNMENT * TAIL_ALIGNMENT;
	next.file_size = next.tail_offset + tail_size;
	return next;
}

int save(const struct save *s, int *fd_out, struct error *e)
{
	int err = save_replace(s, true, fd_out, e);

	if (err == -EOPNOTSUPP)
		err = save_replace(s, false, fd_out, e);
	return err;
}

int save_recover(const char *path, struct error *e)
{
	(void)path;
	(void)e;
	return 0;
}
