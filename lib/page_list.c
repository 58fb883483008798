/* SPDX-License-Identifier: MIT */
#include "page_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard.h"
#include "io.h"
#include "le.h"
#include "region.h"

/*
 * Indices are read through a mapping, for there is one in each page of the file or so.
 * What was read goes out of our memory again after so many bytes.
 */
enum { WINDOW = 4 << 20 };

/* A page of RAM, and which entry has it. */
struct listed {
	uint32_t page;
	uint32_t entry;
};

struct page_list {
	int fd; /* our own */
	uint64_t offset;
	struct listed *listed; /* by page, each once */
	size_t count;
};

static int by_page(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return x->entry < y->entry ? -1 : x->entry > y->entry;
}

/* Of a repeated page the last entry counts. */
static size_t drop_repeats(struct listed *listed, size_t count)
{
	size_t kept = 0, i;

	for (i = 0; i < count; i++) {
		if (i + 1 < count && listed[i + 1].page == listed[i].page)
			continue;
		listed[kept++] = listed[i];
	}
	return kept;
}

static void forget(const uint8_t *from, const uint8_t *to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)from / page * page;

	madvise((void *)start, (uintptr_t)to - start, MADV_DONTNEED);
}

/* Read which pages the ENTRIES, mapped at MAP, are of. */
static int read_index(struct page_list *l, const uint8_t *map, uint64_t entries, uint64_t mem_size,
		      struct error *e)
{
	const uint64_t pages = mem_size / LISTED_PAGE;
	const uint8_t *at = map, *window = map;
	bool ascending = true;
	uint8_t index[4];
	uint64_t i;

	for (i = 0; i < entries; i++, at += LIST_ENTRY) {
		struct listed *listed = &l->listed[i];

		if (!guard_copy(index, at, sizeof(index)))
			return error_set(e, EIO, "page list: entry %" PRIu64 " cannot be read: was the file cut short?", i);
		*listed = (struct listed){ (uint32_t)le_get(index, 4), (uint32_t)i };
		if (listed->page >= pages)
			return error_set(e, ERR_MALFORMED,
					 "page list: offset 0x%" PRIx64 ": page %" PRIu32 ", RAM has %" PRIu64,
					 l->offset + i * LIST_ENTRY, listed->page, pages);
		ascending = ascending && (i == 0 || listed[-1].page < listed->page);
		if (at - window >= WINDOW) {
			forget(window, at);
			window = at;
		}
	}
	l->count = entries;
	if (ascending)
		return 0;
	qsort(l->listed, l->count, sizeof(*l->listed), by_page);
	l->count = drop_repeats(l->listed, l->count);
	return 0;
}

static int map_index(struct page_list *l, uint64_t entries, uint64_t file_len, uint64_t mem_size,
		     struct error *e)
{
	void *map;
	int err;

	if (!entries)
		return 0;
	err = cow_map_ram(l->fd, l->offset, entries * LIST_ENTRY, file_len, MAP_NORESERVE, &map, e);
	if (err)
		return err;
	err = read_index(l, map, entries, mem_size, e);
	cow_unmap_ram(map, entries * LIST_ENTRY);
	return err;
}

int page_list_open(int fd, uint64_t offset, uint64_t count, uint64_t file_len, uint64_t mem_size,
		   struct page_list **out, struct error *e)
{
	uint64_t left = offset < file_len ? file_len - offset : 0;
	struct page_list *l;
	int err;

	if (count > left / LIST_ENTRY)
		return error_set(e, ERR_TRUNCATED,
				 "page list: offset 0x%" PRIx64 ": %" PRIu64 " pages need more bytes, %" PRIu64 " left",
				 offset, count, left);
	l = calloc(1, sizeof(*l));
	if (!l)
		return error_set(e, ENOMEM, "out of memory");
	l->offset = offset;
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	l->listed = malloc(count ? count * sizeof(*l->listed) : 1);
	if (l->fd < 0)
		err = error_set(e, errno, "cannot open the page list's file again: %s", strerror(errno));
	else if (!l->listed)
		err = error_set(e, ENOMEM, "out of memory");
	else
		err = map_index(l, count, file_len, mem_size, e);
	if (err) {
		page_list_close(l);
		return err;
	}
	*out = l;
	return 0;
}

void page_list_close(struct page_list *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	free(l->listed);
	free(l);
}

int page_list_move(struct page_list *l, int fd, uint64_t offset, struct error *e)
{
	if (dup3(fd, l->fd, O_CLOEXEC) < 0)
		return error_set(e, errno, "cannot open the page list's file again: %s", strerror(errno));
	l->offset = offset;
	return 0;
}

size_t page_list_count(const struct page_list *l)
{
	return l->count;
}

size_t page_list_find(const struct page_list *l, uint64_t page)
{
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (l->listed[middle].page < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t page_list_page(const struct page_list *l, size_t number)
{
	return number < l->count ? l->listed[number].page : UINT64_MAX;
}

bool page_list_copy(const struct page_list *l, size_t number, void *to, size_t from, size_t n)
{
	uint64_t at = (uint64_t)l->listed[number].entry * LIST_ENTRY + 4 + from;

	return io_read(l->fd, to, n, l->offset + at) == 0;
}
