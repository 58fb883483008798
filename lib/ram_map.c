/* SPDX-License-Identifier: MIT */
#include "ram_map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Read at once: it stays in a processor's cache. */
enum { PIECE_PAGES = 16 };

enum { WORDS = RAM_PAGE / 4 };

/* A stored page that is not zeros. */
struct content {
	uint32_t hash;
	uint32_t page;
};

struct mapping {
	struct ram_map *map;
	const struct guest_memory *memory;
	size_t room; /* of map->ranges */

	/* In the order of the pages, then in that of hashes; in the end only those that are repeated. */
	struct content *contents; /* owned */
	size_t content_count, content_room;

	/*
	 * Of the hash, which is multilinear: with random factors two given pages have the same one with a
	 * probability of 2^-32, whatever is in them.  So nobody can make pages that take long to tell apart.
	 */
	uint64_t factors[WORDS + 1];

	uint64_t changed, changed_size; /* the first run at or after where the map is made */
	uint8_t piece[PIECE_PAGES * RAM_PAGE];
	uint8_t other[RAM_PAGE];
	ram_progress *progress;
	void *ctx;
};

const char *page_class_name(enum page_class of)
{
	static const char *const names[] = {
		[PAGE_CHANGED] = "changed", [PAGE_HOLE] = "hole", [PAGE_ZERO] = "zero",
		[PAGE_REPEATED] = "repeated", [PAGE_DATA] = "data",
	};

	return names[of];
}

static int out_of_memory(struct error *e)
{
	return error_set(e, ENOMEM, "out of memory");
}

static int cannot_read(int err, const struct mapping *m, uint64_t page, struct error *e)
{
	return error_set(e, -err, "RAM cannot be read at 0x%" PRIx64 ": %s",
			 m->map->base + page * RAM_PAGE, strerror(-err));
}

static int read_page(const struct mapping *m, uint64_t page, uint8_t *to, struct error *e)
{
	int err = guest_read(m->memory, to, RAM_PAGE, m->map->base + page * RAM_PAGE);

	return err ? cannot_read(err, m, page, e) : 0;
}

/* Make room in *P for one more than COUNT elements of SIZE bytes. */
static bool make_room(void *p, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *grown;

	if (count < *room)
		return true;
	grown = more > SIZE_MAX / size ? NULL : realloc(*(void **)p, more * size);
	if (!grown)
		return false;
	*(void **)p = grown;
	*room = more;
	return true;
}

/* The next COUNT pages are of class OF. */
static int add_range(struct mapping *m, uint64_t count, enum page_class of, struct error *e)
{
	struct ram_map *map = m->map;
	struct page_range *last = map->count ? &map->ranges[map->count - 1] : NULL;

	map->of[of] += count;
	if (count == 0)
		return 0;
	if (last && last->of == of) {
		last->count += count;
		return 0;
	}
	if (!make_room(&map->ranges, &m->room, map->count, sizeof(*map->ranges)))
		return out_of_memory(e);
	last = map->count ? &map->ranges[map->count - 1] : NULL;
	map->ranges[map->count++] =
		(struct page_range){ last ? last->start + last->count : 0, count, of };
	return 0;
}

/* The size of page PAGE: less only of the last. */
static size_t size_of(const struct ram_map *map, uint64_t page)
{
	uint64_t left = map->size - page * RAM_PAGE;

	return left < RAM_PAGE ? left : RAM_PAGE;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

static uint32_t hash(const struct mapping *m, const uint8_t *page)
{
	uint64_t sum = m->factors[WORDS];
	uint32_t word;
	size_t i;

	for (i = 0; i < WORDS; i++) {
		memcpy(&word, page + 4 * i, sizeof(word));
		sum += m->factors[i] * word;
	}
	return sum >> 32;
}

static bool is_changed(const struct mapping *m, uint64_t page)
{
	return page * RAM_PAGE - m->changed < m->changed_size;
}

/* Find what is changed at or after PAGE. */
static void seek_changed(struct mapping *m, uint64_t page)
{
	struct ram *ram = m->memory->ram;

	if (!ram_diff(ram) || page * RAM_PAGE < m->changed + m->changed_size)
		return;
	m->changed = page * RAM_PAGE;
	if (!ram_next_changed(ram, &m->changed, &m->changed_size)) {
		m->changed = UINT64_MAX;
		m->changed_size = 0;
	}
}

/* Page PAGE, whose content is CONTENT. */
static int add_page(struct mapping *m, uint64_t page, const uint8_t *content, struct error *e)
{
	bool changed, zero = is_zero(content, size_of(m->map, page));

	seek_changed(m, page);
	changed = is_changed(m, page);
	/* A part of a page is no other's content. */
	if (!zero && size_of(m->map, page) == RAM_PAGE) {
		if (!make_room(&m->contents, &m->content_room, m->content_count, sizeof(*m->contents)))
			return out_of_memory(e);
		m->contents[m->content_count++] = (struct content){ hash(m, content), (uint32_t)page };
	}
	return add_range(m, 1, changed ? PAGE_CHANGED : zero ? PAGE_ZERO : PAGE_DATA, e);
}

/* The pages from PAGE up to END, which are stored. */
static int add_stored(struct mapping *m, uint64_t page, uint64_t end, struct error *e)
{
	const struct ram_map *map = m->map;
	uint64_t i, take, last;
	int err = 0;

	for (; page < end && !err; page += take) {
		take = end - page < PIECE_PAGES ? end - page : PIECE_PAGES;
		last = page + take - 1;
		err = guest_read(m->memory, m->piece, (take - 1) * RAM_PAGE + size_of(map, last),
				 map->base + page * RAM_PAGE);
		if (err)
			return cannot_read(err, m, page, e);
		for (i = 0; i < take && !err; i++)
			err = add_page(m, page + i, m->piece + i * RAM_PAGE, e);
		/* The other half of the way is to compare. */
		if (!err && m->progress && m->progress(m->ctx, last * RAM_PAGE / 2, map->size))
			err = error_set(e, EINTR, "interrupted");
	}
	return err;
}

/* All pages: what their contents are is in m->contents, none is repeated yet. */
static int add_all(struct mapping *m, struct error *e)
{
	const struct ram_map *map = m->map;
	uint64_t page = 0, at, size, start, end;
	int err = 0;

	for (; !err && page < map->pages; page = end) {
		at = map->base + page * RAM_PAGE;
		start = end = map->pages;
		if (guest_next_stored(m->memory, &at, &size)) {
			start = (at - map->base) / RAM_PAGE;
			end = (at - map->base + size - 1) / RAM_PAGE + 1;
		}
		err = add_range(m, start - page, PAGE_HOLE, e);
		if (!err)
			err = add_stored(m, start, end, e);
	}
	return err;
}

static int by_hash(const void *a, const void *b)
{
	const struct content *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->page < y->page ? -1 : x->page > y->page;
}

static int by_page(const void *a, const void *b)
{
	const struct content *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

/*
 * The COUNT contents at C have the same hash.  Leave in it whether they are repeated.
 */
static int compare(struct mapping *m, struct content *c, size_t count, struct error *e)
{
	struct content other;
	size_t i, same;
	int err = 0;

	/* Those that are the same as the first go behind it, and the others are compared among them. */
	for (; count > 0 && !err; c += same, count -= same) {
		same = 1;
		if (count > 1)
			err = read_page(m, c[0].page, m->piece, e);
		for (i = 1; i < count && !err; i++) {
			err = read_page(m, c[i].page, m->other, e);
			if (err || memcmp(m->piece, m->other, RAM_PAGE) != 0)
				continue;
			other = c[i];
			c[i] = c[same];
			c[same++] = other;
		}
		for (i = 0; i < same; i++)
			c[i].hash = same > 1;
	}
	return err;
}

/* Leave in m->contents those that are repeated, by page. */
static int find_repeated(struct mapping *m, struct error *e)
{
	struct content *c = m->contents;
	const size_t count = m->content_count;
	const uint64_t half = m->map->size / 2;
	size_t i, end, kept = 0;
	int err = 0;

	if (count)
		qsort(c, count, sizeof(*c), by_hash);
	for (i = 0; i < count && !err; i = end) {
		for (end = i + 1; end < count && c[end].hash == c[i].hash; end++)
			;
		err = compare(m, c + i, end - i, e);
		if (!err && m->progress && m->progress(m->ctx, half + half / count * end, m->map->size))
			err = error_set(e, EINTR, "interrupted");
	}
	for (i = 0; i < count && !err; i++)
		if (c[i].hash)
			c[kept++] = c[i];
	m->content_count = kept;
	if (kept)
		qsort(c, kept, sizeof(*c), by_page);
	return err;
}

/* Make ranges of data such of what is repeated where it is. */
static int divide(struct mapping *m, struct error *e)
{
	struct ram_map *map = m->map;
	struct page_range *old = map->ranges, *r;
	const struct content *c = m->contents, *end = c + m->content_count;
	size_t count = map->count;
	uint64_t at;
	int err = 0;

	map->ranges = NULL;
	map->count = m->room = 0;
	memset(map->of, 0, sizeof(map->of));
	for (r = old; r < old + count && !err; r++) {
		at = r->start;
		for (; c < end && c->page < r->start + r->count && !err; c++) {
			if (r->of != PAGE_DATA)
				continue;
			err = add_range(m, c->page - at, PAGE_DATA, e);
			if (!err)
				err = add_range(m, 1, PAGE_REPEATED, e);
			at = (uint64_t)c->page + 1;
		}
		if (!err)
			err = add_range(m, r->start + r->count - at, r->of, e);
	}
	free(old);
	return err;
}

int ram_map_make(struct ram_map *map, const struct guest_memory *g, ram_progress *progress,
		 void *ctx, struct error *e)
{
	struct mapping *m = calloc(1, sizeof(*m));
	int err = 0;

	*map = (struct ram_map){ .base = g->base, .size = guest_size(g) };
	map->pages = map->size / RAM_PAGE + (map->size % RAM_PAGE != 0);
	if (!m)
		return out_of_memory(e);
	m->map = map;
	m->memory = g;
	m->progress = progress;
	m->ctx = ctx;
	if (map->pages > UINT32_MAX)
		err = error_set(e, EFBIG, "RAM has %" PRIu64 " pages, a map has room for %" PRIu32, map->pages,
				UINT32_MAX);
	else if (getrandom(m->factors, sizeof(m->factors), 0) != (ssize_t)sizeof(m->factors))
		err = error_set(e, EIO, "the kernel gives no random numbers");
	if (!err)
		err = add_all(m, e);
	if (!err)
		err = find_repeated(m, e);
	if (!err)
		err = divide(m, e);
	free(m->contents);
	free(m);
	if (err)
		ram_map_free(map);
	return err;
}

void ram_map_free(struct ram_map *map)
{
	free(map->ranges);
	map->ranges = NULL;
	map->count = 0;
}

/* The class that shows a cell with so many pages OF each. */
static enum page_class shown(const uint64_t of[PAGE_CLASSES])
{
	enum page_class best = PAGE_CHANGED, i;

	if (of[PAGE_CHANGED])
		return PAGE_CHANGED;
	for (i = 0; i < PAGE_CLASSES; i++)
		if (of[i] > of[best])
			best = i;
	return best;
}

void ram_map_cells(const struct ram_map *map, uint64_t cell, cell_fn *fn, void *ctx)
{
	const struct page_range *r = map->ranges;
	uint64_t at, end, i, from, to;

	for (at = i = 0; at < map->pages; at = end, i++) {
		uint64_t of[PAGE_CLASSES] = { 0 };

		end = map->pages - at < cell ? map->pages : at + cell;
		for (; r < map->ranges + map->count && r->start < end; r++) {
			from = r->start > at ? r->start : at;
			to = r->start + r->count < end ? r->start + r->count : end;
			of[r->of] += to - from;
			/* The next cell may begin in it. */
			if (r->start + r->count > end)
				break;
		}
		fn(ctx, i, shown(of));
	}
}
