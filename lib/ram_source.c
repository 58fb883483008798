/* SPDX-License-Identifier: MIT */
#include "ram_source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "guard.h"
#include "io.h"
#include "region.h"

/* A clone has the listed pages written into it when it is made: so many are quick enough. */
enum { CLONE_LISTED_MAX = 65536 };

struct ram_source {
	int fd;          /* the region's file, our own; -1: there is none */
	uint64_t offset; /* of the region in it */
	uint64_t size;   /* of RAM */
	uint8_t *map;    /* the region; null if there is none */
	bool shown;      /* see source_shown */
	bool lost;       /* what is in the snapshot's file is not to be had */
	struct page_list *list; /* over it, or null */
	struct diff_base base;  /* the region's file, if it is a base */
	_Atomic bool changed; /* the base */
	void (*watcher)(void *ctx, const char *base);
	void *watcher_ctx;
};

/*
 * When a file is cut short, the rest of the page that it is cut in turns to zeros, and the
 * pages after that one are gone from its mappings.  Whether the zeros come last, as on these:
 * XFS, for one, writes them to the disk first, and the pages after them are seen meanwhile.
 */
static bool faults_before_zeros(int fd)
{
	struct statfs st;

	return io_is_ext4(fd) || (fstatfs(fd, &st) == 0 && (st.f_type == BTRFS_SUPER_MAGIC ||
							    st.f_type == TMPFS_MAGIC));
}

/* Whoever is shown the mapping needs RAM's pages to be its pages: in a bare file they may lie across. */
static bool may_be_shown(int fd, uint64_t offset)
{
	return offset % LISTED_PAGE == 0 && sysconf(_SC_PAGESIZE) == LISTED_PAGE &&
	       faults_before_zeros(fd);
}

static int fail_open_again(struct error *e)
{
	return error_set(e, errno, "cannot open the RAM's file again: %s", strerror(errno));
}

int source_open(int fd, uint64_t offset, uint64_t size, uint64_t file_len,
		struct ram_source **out, struct error *e)
{
	struct ram_source *s = calloc(1, sizeof(*s));
	void *map;
	int err;

	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	*s = (struct ram_source){ .offset = offset, .size = size, .base = { .fd = -1 } };
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	err = s->fd < 0 ? fail_open_again(e)
			: cow_map_ram(s->fd, offset, size, file_len, MAP_NORESERVE, &map, e);
	if (err) {
		source_close(s);
		return err;
	}
	s->map = map;
	s->shown = may_be_shown(s->fd, offset);
	*out = s;
	return 0;
}

int source_open_diff(struct diff_base *base, struct page_list *list, uint64_t size,
		     struct ram_source **out, struct error *e)
{
	struct ram_source *s;
	int err;

	if (base->fd >= 0) {
		err = source_open(base->fd, base->ram_offset, size, base->file_len, &s, e);
		if (err)
			return err;
	} else {
		s = calloc(1, sizeof(*s));
		if (!s)
			return error_set(e, ENOMEM, "out of memory");
		*s = (struct ram_source){ .fd = -1, .size = size, .base = { .fd = -1 } };
	}
	s->shown = false;
	s->base = *base;
	s->list = list;
	*base = (struct diff_base){ .fd = -1 };
	*out = s;
	return 0;
}

int source_open_shared(int fd, uint64_t size, struct ram_source **out, struct error *e)
{
	struct ram_source *s = calloc(1, sizeof(*s));
	void *map;
	int err;

	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	map = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED) {
		err = error_set(e, errno, "cannot map the clone of RAM: %s", strerror(errno));
		free(s);
		return err;
	}
	madvise(map, size, MADV_DONTDUMP); /* guests keep secrets there */
	*s = (struct ram_source){ .fd = fd, .size = size, .map = map, .base = { .fd = -1 },
				  .shown = may_be_shown(fd, 0) };
	*out = s;
	return 0;
}

void source_close(struct ram_source *s)
{
	if (!s)
		return;
	if (s->map)
		cow_unmap_ram(s->map, s->size);
	if (s->fd >= 0)
		close(s->fd);
	page_list_close(s->list);
	base_close(&s->base);
	free(s);
}

struct page_list *source_list(const struct ram_source *s)
{
	return s->list;
}

struct page_list *source_relist(struct ram_source *s, struct page_list *list)
{
	struct page_list *old = s->list;

	s->list = list;
	return old;
}

int source_open_base(const struct ram_source *s, struct ram_source **out, struct error *e)
{
	struct diff_base base = s->base;
	int err;

	*out = NULL;
	if (base.fd < 0)
		return 0;
	base.fd = fcntl(base.fd, F_DUPFD_CLOEXEC, 0);
	base.path = strdup(base.path);
	if (base.fd < 0)
		err = fail_open_again(e);
	else if (!base.path)
		err = error_set(e, ENOMEM, "out of memory");
	else
		err = source_open_diff(&base, NULL, s->size, out, e);
	if (err)
		base_close(&base);
	return err;
}

const char *source_base_path(const struct ram_source *s)
{
	return s->base.fd >= 0 ? s->base.path : NULL;
}

bool source_is_base(const struct ram_source *s, const struct ram_source *base)
{
	return s->base.fd >= 0 && s->base.st.st_dev == base->base.st.st_dev &&
	       s->base.st.st_ino == base->base.st.st_ino;
}

void source_watch(struct ram_source *s, void (*fn)(void *ctx, const char *base), void *ctx)
{
	s->watcher = fn;
	s->watcher_ctx = ctx;
}

static int move_region(struct ram_source *s, int fd, uint64_t offset, uint64_t file_len,
		       struct error *e)
{
	void *map;
	int err = cow_map_ram(fd, offset, s->size, file_len, MAP_NORESERVE, &map, e);

	if (err)
		return err;
	if (dup3(fd, s->fd, O_CLOEXEC) < 0) {
		err = fail_open_again(e);
		cow_unmap_ram(map, s->size);
		return err;
	}
	cow_unmap_ram(s->map, s->size);
	s->map = map;
	s->offset = offset;
	s->shown = may_be_shown(fd, offset);
	return 0;
}

int source_move(struct ram_source *s, int fd, uint64_t offset, uint64_t file_len,
		struct error *e)
{
	int err = s->list ? page_list_move(s->list, fd, offset, e)
			  : move_region(s, fd, offset, file_len, e);

	if (!err)
		s->lost = false;
	return err;
}

void source_lose(struct ram_source *s)
{
	s->lost = true;
}

bool source_is_lost(const struct ram_source *s)
{
	return s->lost || s->changed;
}

/* Whether the region's bytes are not to be had. */
static bool is_region_lost(const struct ram_source *s)
{
	return !s->map || s->changed || (s->lost && !s->list);
}

static bool copy_region(const struct ram_source *s, uint8_t *to, size_t n, uint64_t offset,
			uint64_t *copied)
{
	if (*copied < offset + n)
		*copied = offset + n;
	return !is_region_lost(s) && guard_copy(to, s->map + offset, n);
}

bool source_copy(const struct ram_source *s, void *to, size_t n, uint64_t offset,
		 uint64_t *copied)
{
	const uint64_t end = offset + n;
	uint8_t *out = to;
	size_t i, take;

	if (!s->list)
		return copy_region(s, out, n, offset, copied);
	i = page_list_find(s->list, offset / LISTED_PAGE);
	for (; offset < end; offset += take, out += take) {
		uint64_t page = page_list_page(s->list, i);
		uint64_t listed = page <= end / LISTED_PAGE ? page * LISTED_PAGE : end;

		if (listed > offset) {
			take = (listed < end ? listed : end) - offset;
			if (!copy_region(s, out, take, offset, copied))
				return false;
			continue;
		}
		take = LISTED_PAGE - offset % LISTED_PAGE;
		if (take > end - offset)
			take = end - offset;
		if (s->lost || !page_list_copy(s->list, i++, out, offset % LISTED_PAGE, take))
			return false;
	}
	return true;
}

static bool is_base_unchanged(struct ram_source *s)
{
	if (base_is_unchanged(&s->base))
		return true;
	if (!atomic_exchange(&s->changed, true) && s->watcher)
		s->watcher(s->watcher_ctx, s->base.path);
	return false;
}

/*
 * When a file is cut short inside of a page, the rest of that page stays mapped and turns to
 * zeros: what was copied from the mapping is the file's if it reaches the end AFTERWARDS.
 * That is a read, not a look at the size, for some filesystems (XFS) zero the rest first, and
 * let reads wait until the size is told as well.
 */
static bool region_reaches(const struct ram_source *s, uint64_t end)
{
	uint8_t last;

	return end == 0 || io_read(s->fd, &last, 1, s->offset + end - 1) == 0;
}

bool source_holds(struct ram_source *s, uint64_t copied)
{
	bool reaches = region_reaches(s, copied);

	/* Told either way: a base that was cut short has changed. */
	if (s->base.fd >= 0 && copied > 0 && !is_base_unchanged(s))
		return false;
	return reaches;
}

const uint8_t *source_shown(const struct ram_source *s)
{
	return s->shown && !s->lost ? s->map : NULL;
}

/* Where RAM ends in the region's file: sooner if the file was cut. */
static uint64_t region_end(const struct ram_source *s)
{
	struct stat st;

	if (fstat(s->fd, &st) < 0 || (uint64_t)st.st_size >= s->offset + s->size)
		return s->size;
	return (uint64_t)st.st_size > s->offset ? (uint64_t)st.st_size - s->offset : 0;
}

/*
 * lseek in the region's file; the end of the RAM where there is no more.  What the file has
 * lost is data: who reads it is to be told, not to leave it out.
 */
static uint64_t region_seek(const struct ram_source *s, uint64_t offset, int whence)
{
	uint64_t end;
	off_t at;
	int code;

	if (is_region_lost(s))
		return whence == SEEK_DATA ? offset : s->size;
	at = lseek(s->fd, (off_t)(s->offset + offset), whence);
	code = errno;
	end = region_end(s);
	if (whence == SEEK_DATA && at < 0)
		return code != ENXIO || offset > end ? offset : end;
	at -= (off_t)s->offset;
	if (whence == SEEK_HOLE && (at < 0 || (uint64_t)at >= end))
		return s->size;
	return (uint64_t)at < s->size ? (uint64_t)at : s->size;
}

/* The pages that are listed within [START, END). */
static uint64_t listed_within(const struct ram_source *s, uint64_t start, uint64_t end)
{
	if (!s->list)
		return 0;
	return page_list_find(s->list, (end + LISTED_PAGE - 1) / LISTED_PAGE) -
	       page_list_find(s->list, start / LISTED_PAGE);
}

uint64_t source_stored(const struct ram_source *s)
{
	uint64_t stored = listed_within(s, 0, s->size) * LISTED_PAGE, at = 0, hole, listed;

	while (s->map && (at = region_seek(s, at, SEEK_DATA)) < s->size) {
		hole = region_seek(s, at, SEEK_HOLE);
		listed = listed_within(s, at, hole) * LISTED_PAGE;
		stored += hole - at > listed ? hole - at - listed : 0;
		at = hole;
	}
	return stored < s->size ? stored : s->size;
}

static uint64_t seek_data(const struct ram_source *s, uint64_t offset)
{
	uint64_t data = region_seek(s, offset, SEEK_DATA), page;

	if (!s->list)
		return data;
	page = page_list_page(s->list, page_list_find(s->list, offset / LISTED_PAGE));
	if (page > s->size / LISTED_PAGE || page * LISTED_PAGE >= data)
		return data;
	return page * LISTED_PAGE > offset ? page * LISTED_PAGE : offset;
}

static uint64_t seek_hole(const struct ram_source *s, uint64_t offset)
{
	uint64_t page;
	size_t i;

	while (offset < s->size) {
		if (s->list) {
			page = offset / LISTED_PAGE;
			for (i = page_list_find(s->list, page); page_list_page(s->list, i) == page; i++)
				offset = ++page * LISTED_PAGE;
		}
		if (offset >= s->size || region_seek(s, offset, SEEK_DATA) > offset)
			break;
		offset = region_seek(s, offset, SEEK_HOLE);
		if (!s->list)
			break;
	}
	return offset < s->size ? offset : s->size;
}

uint64_t source_seek(const struct ram_source *s, uint64_t offset, int whence)
{
	return whence == SEEK_DATA ? seek_data(s, offset) : seek_hole(s, offset);
}

/* Write the listed pages to the clone FD of the region. */
static int write_listed(struct ram_source *s, int fd)
{
	uint8_t page[LISTED_PAGE];
	int err = 0;
	size_t i;

	for (i = 0; !err && i < page_list_count(s->list); i++) {
		if (!page_list_copy(s->list, i, page, 0, sizeof(page)))
			return -EIO;
		err = io_write(fd, page, sizeof(page), page_list_page(s->list, i) * LISTED_PAGE);
	}
	return !err && !source_holds(s, s->size) ? -EIO : err;
}

int source_clone(struct ram_source *s, int fd)
{
	int err;

	if (s->list && (is_region_lost(s) || page_list_count(s->list) > CLONE_LISTED_MAX))
		return -EOPNOTSUPP;
	err = io_clone(s->fd, s->offset, fd, 0, s->size);
	return !err && s->list ? write_listed(s, fd) : err;
}
