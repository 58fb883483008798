/* SPDX-License-Identifier: MIT */
#include "base.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "head.h"
#include "io.h"
#include "locked.h"
#include "save.h"

/* The file that PATH means for a diff at DIFF_PATH, without symbolic links; null with errno. */
static char *resolve(const char *path, const char *diff_path)
{
	const char *slash = strrchr(diff_path, '/');
	char *beside, *real;

	if (path[0] != '/' && slash) {
		if (asprintf(&beside, "%.*s/%s", (int)(slash - diff_path), diff_path, path) < 0)
			return NULL;
		real = realpath(beside, NULL);
		free(beside);
		if (real || errno != ENOENT)
			return real;
	}
	return realpath(path, NULL);
}

/* Whether B, which is open and locked, can be a base for MEM_SIZE bytes of RAM; finds its RAM. */
static int check(struct diff_base *b, uint64_t mem_size, struct error *e)
{
	struct region_options options = { 0 };
	struct region_question q = { .options = &options };
	struct container *c = NULL;
	const struct layout *layout;
	bool has_ram;
	int err;

	if (fstat(b->fd, &b->st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	b->file_len = q.file_len = (uint64_t)b->st.st_size;
	if (q.file_len == 0)
		return error_set(e, EINVAL, "is empty, not a snapshot");
	err = layout_detect(b->fd, q.file_len, false, &layout, e);
	if (err)
		return err;
	if (!layout->is_base)
		return error_set(e, EINVAL, "is of layout %s: a base has to be of layout kvm",
				 layout->name);
	err = head_read(layout->head, b->fd, 0, q.file_len, &c, NULL, e);
	if (err)
		return err;
	q.head_end = container_size(c);
	q.mem_size = container_mem_size(c);
	container_number(c, LAYOUT_RAM_OFFSET, &q.ram_offset);
	container_free(c);
	if (q.mem_size != mem_size)
		return error_set(e, EINVAL,
				 "has %" PRIu64 " bytes of RAM, and this snapshot %" PRIu64,
				 q.mem_size, mem_size);
	return layout->find_ram(&q, &has_ram, &b->ram_offset, e);
}

int base_open(const char *path, size_t length, int diff_fd, const char *diff_path,
	      uint64_t mem_size, struct diff_base *out, struct error *e)
{
	struct diff_base b = { .fd = -1 };
	int err, no_locks;

	if (length == 0)
		return error_set(e, ENOENT, "no path is recorded");
	if (strlen(path) != length)
		return error_set(e, EINVAL, "%s: a zero byte is in the path", path);
	b.path = resolve(path, diff_path);
	if (!b.path)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	if (names_file(AT_FDCWD, b.path, diff_fd))
		err = error_set(e, EINVAL, "is the differential snapshot itself");
	else /* where there are no locks, that it has changed is noticed all the same */
		err = b.fd = open_locked(b.path, O_RDONLY, LOCK_SH, true, &no_locks, e);
	if (b.fd >= 0) {
		/* Nothing of a base is ours to mend. */
		err = save_has_journal(b.path)
			      ? error_set(e, EBUSY, "a save of it was interrupted: mount it once, which undoes that")
			      : check(&b, mem_size, e);
	}
	if (err < 0) {
		base_close(&b);
		return error_prefix(e, -err, "%s", path);
	}
	*out = b;
	return 0;
}

void base_close(struct diff_base *b)
{
	if (b->fd >= 0)
		close(b->fd);
	free(b->path);
	*b = (struct diff_base){ .fd = -1 };
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool base_is_unchanged(const struct diff_base *b)
{
	struct stat now;

	return fstat(b->fd, &now) == 0 && now.st_dev == b->st.st_dev &&
	       now.st_ino == b->st.st_ino && now.st_size == b->st.st_size &&
	       is_same_time(&now.st_mtim, &b->st.st_mtim) &&
	       is_same_time(&now.st_ctim, &b->st.st_ctim);
}
