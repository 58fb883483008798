/* SPDX-License-Identifier: MIT */
#include "ram_compare.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20 };

struct comparison {
	struct snapshot *s[2];
	struct ram *ram[2];
	uint8_t *piece[2];
	ram_difference *fn;
	void *ctx;
	bool (*progress)(void *ctx, uint64_t done, uint64_t size);
	void *progress_ctx;
	uint64_t from, to; /* the run that is being gathered; empty: none */
	struct snapshot *bad;
};

static void flush(struct comparison *c)
{
	if (c->to > c->from)
		c->fn(c->ctx, c->from, c->to - c->from);
	c->from = c->to = 0;
}

static void add(struct comparison *c, uint64_t offset, uint64_t n)
{
	if (c->to != offset || c->to == c->from) {
		flush(c);
		c->from = offset;
	}
	c->to = offset + n;
}

/* A hole that is read would fill the kernel's memory with zeros. */
static int read_piece(struct comparison *c, int i, uint64_t offset, uint64_t n)
{
	int64_t data = ram_seek(c->ram[i], offset, SEEK_DATA);

	if (data == -ENXIO || (data >= 0 && (uint64_t)data >= offset + n)) {
		memset(c->piece[i], 0, n);
		return 0;
	}
	return ram_read(c->ram[i], c->piece[i], n, offset);
}

/* Compare the N bytes at OFFSET, PIECE at most, that both have. */
static int compare_piece(struct comparison *c, uint64_t offset, uint64_t n)
{
	uint64_t at, page;
	int i, err;

	for (i = 0; i < 2; i++) {
		err = read_piece(c, i, offset, n);
		if (err) {
			c->bad = c->s[i];
			return err;
		}
	}
	if (memcmp(c->piece[0], c->piece[1], n) == 0)
		return 0;
	for (at = 0; at < n; at += page) {
		page = n - at < RAM_PAGE ? n - at : RAM_PAGE;
		if (memcmp(c->piece[0] + at, c->piece[1] + at, page) != 0)
			add(c, offset + at, page);
	}
	return 0;
}

/*
 * What both have in common
 */

static struct page_list *list_of(const struct comparison *c, int i)
{
	const struct ram_source *diff = ram_diff(c->ram[i]);

	return diff ? source_list(diff) : NULL;
}

static const char *base_of(const struct comparison *c, int i)
{
	const struct ram_source *diff = ram_diff(c->ram[i]);

	return diff ? source_base_path(diff) : NULL;
}

/* Whether the two are of one memory, but for the pages that they list. */
static bool share_base(const struct comparison *c)
{
	const char *x = base_of(c, 0), *y = base_of(c, 1);
	struct stat st;

	if (ram_size(c->ram[0]) != ram_size(c->ram[1]))
		return false;
	if (!x && !y) /* the same file twice */
		return snapshot_has_ram_inside(c->s[0]) && snapshot_has_ram_inside(c->s[1]) &&
		       snapshot_is_file(c->s[0], snapshot_path(c->s[1]));
	if (!x)
		return snapshot_has_ram_inside(c->s[0]) && snapshot_is_file(c->s[0], y);
	if (!y)
		return snapshot_has_ram_inside(c->s[1]) && snapshot_is_file(c->s[1], x);
	return strcmp(x, y) == 0 && stat(x, &st) == 0;
}

/* The first page at or after PAGE that one of them lists; UINT64_MAX if none does. */
static uint64_t next_listed(const struct comparison *c, uint64_t page)
{
	uint64_t first = UINT64_MAX, found;
	int i;

	for (i = 0; i < 2; i++) {
		const struct page_list *list = list_of(c, i);

		if (!list)
			continue;
		found = page_list_page(list, page_list_find(list, page));
		first = found < first ? found : first;
	}
	return first;
}

static int compare_listed(struct comparison *c, uint64_t size)
{
	uint64_t page = 0;
	int err = 0;

	while (!err && (page = next_listed(c, page)) < size / RAM_PAGE)
		err = compare_piece(c, page++ * RAM_PAGE, RAM_PAGE);
	return err;
}

/* Where from OFFSET on one of them stores something; SIZE or more: nowhere. */
static uint64_t next_data(const struct comparison *c, uint64_t offset, uint64_t size)
{
	uint64_t first = size;
	int64_t at;
	int i;

	for (i = 0; i < 2; i++) {
		at = ram_seek(c->ram[i], offset, SEEK_DATA);
		if (at >= 0 && (uint64_t)at < first)
			first = (uint64_t)at;
	}
	return first / RAM_PAGE * RAM_PAGE;
}

static int compare_stored(struct comparison *c, uint64_t size)
{
	uint64_t at, n;
	int err = 0;

	for (at = 0; !err && at < size; at += n) {
		uint64_t data = next_data(c, at, size);

		at = data > at ? data : at;
		if (at >= size)
			break;
		n = size - at < PIECE ? size - at : PIECE;
		err = compare_piece(c, at, n);
		if (!err && c->progress(c->progress_ctx, at, size))
			err = -EINTR;
	}
	return err;
}

int ram_compare(struct snapshot *a, struct snapshot *b, ram_difference *fn, void *ctx,
		bool (*progress)(void *ctx, uint64_t done, uint64_t size), void *progress_ctx,
		struct snapshot **whose)
{
	struct comparison c = {
		.s = { a, b }, .ram = { snapshot_ram(a), snapshot_ram(b) }, .fn = fn, .ctx = ctx,
		.progress = progress, .progress_ctx = progress_ctx
	};
	uint64_t sizes[2], common, all;
	int i, err = 0;

	for (i = 0; i < 2; i++) {
		sizes[i] = c.ram[i] ? ram_size(c.ram[i]) : 0;
		c.piece[i] = malloc(PIECE);
		if (!c.piece[i])
			err = -ENOMEM;
	}
	common = sizes[0] < sizes[1] ? sizes[0] : sizes[1];
	all = sizes[0] > sizes[1] ? sizes[0] : sizes[1];
	if (!err && common)
		err = share_base(&c) ? compare_listed(&c, common) : compare_stored(&c, common);
	if (!err && all > common)
		add(&c, common, all - common);
	if (!err)
		flush(&c);
	*whose = c.bad;
	free(c.piece[0]);
	free(c.piece[1]);
	return err;
}
