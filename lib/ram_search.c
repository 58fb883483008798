/* SPDX-License-Identifier: MIT */
#include "ram_search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Places that are looked at in one piece: it stays in a processor's cache. */
enum { PIECE = 64 << 10 };

/* One in so many bytes tells which are rare in a piece. */
enum { SAMPLE = 128 };

/* What it costs to look at a place beyond its bytes. */
enum { PLACE_COST = 32 };

/* One pattern's way through memory. */
struct cursor {
	const struct ram_pattern *pattern;
	size_t key;    /* which of its bytes is the rarest in the piece */
	size_t budget; /* what may still be spent on places in the piece that have that byte and no more */
	uint64_t from; /* its next place is not before this */
	uint64_t next; /* and is here, in what has been looked at; UINT64_MAX: nowhere in it */
};

struct search {
	const struct guest_memory *memory;
	struct cursor *cursors; /* owned */
	size_t count;
	size_t longest;  /* size of a pattern */
	uint8_t *piece;  /* owned; PIECE bytes, and one less than the longest pattern behind them */
	ram_found *fn;
	void *ctx;
	ram_progress *progress;
	void *progress_ctx;
};

/* Have each cursor look for the byte of its pattern that the N bytes of the piece have least of. */
static void choose_keys(struct search *s, size_t n)
{
	unsigned count[256] = { 0 };
	struct cursor *c;
	size_t i;

	for (i = 0; i < n; i += SAMPLE)
		count[s->piece[i]]++;
	for (c = s->cursors; c < s->cursors + s->count; c++) {
		c->budget = PIECE;
		for (c->key = 0, i = 1; i < c->pattern->size; i++)
			if (count[c->pattern->bytes[i]] < count[c->pattern->bytes[c->key]])
				c->key = i;
	}
}

/*
 * The first place of C's pattern in the N bytes at P, or null.  Most of memory is passed over by memchr, which
 * is several times as fast as memmem; where its byte is not rare after all, memmem takes time linear in N.
 */
static const uint8_t *find(struct cursor *c, const uint8_t *p, size_t n)
{
	const uint8_t *bytes = c->pattern->bytes, *end = p + n;
	const size_t size = c->pattern->size;
	const uint8_t *at;

	while ((size_t)(end - p) >= size) {
		if (c->budget < size + PLACE_COST)
			return memmem(p, (size_t)(end - p), bytes, size);
		at = memchr(p + c->key, bytes[c->key], (size_t)(end - p) - size + 1);
		if (!at)
			return NULL;
		p = at - c->key;
		if (memcmp(p, bytes, size) == 0)
			return p;
		c->budget -= size + PLACE_COST;
		p++;
	}
	return NULL;
}

/* The next place at or after C->from that begins in the TAKE bytes at AT; HAVE bytes are there. */
static void advance(struct search *s, struct cursor *c, uint64_t at, size_t take, size_t have)
{
	const struct ram_pattern *p = c->pattern;
	size_t from = c->from > at ? c->from - at : 0, end = take + p->size - 1;
	const uint8_t *found = NULL;

	if (end > have)
		end = have;
	if (from < end)
		found = find(c, s->piece + from, end - from);
	c->next = found ? at + (uint64_t)(found - s->piece) : UINT64_MAX;
}

/* Tell of all places that begin in the TAKE bytes at AT; HAVE bytes are there. */
static int search_piece(struct search *s, uint64_t at, size_t take, size_t have)
{
	struct cursor *c, *first;
	int status;

	choose_keys(s, have);
	for (c = s->cursors; c < s->cursors + s->count; c++)
		advance(s, c, at, take, have);
	for (;;) {
		for (c = first = s->cursors; c < s->cursors + s->count; c++)
			if (c->next < first->next)
				first = c;
		if (first->next == UINT64_MAX)
			return 0;
		status = s->fn(s->ctx, first->next);
		if (status)
			return status;
		first->from = first->next + first->pattern->size;
		advance(s, first, at, take, have);
	}
}

/* Look at the places from AT up to END, guest-physical addresses. */
static int search_run(struct search *s, uint64_t at, uint64_t end, struct error *e)
{
	const uint64_t base = s->memory->base, size = guest_size(s->memory);
	uint64_t left;
	size_t take, have;
	int err = 0;

	for (; at < end && !err; at += take) {
		take = end - at < PIECE ? end - at : PIECE;
		left = base + size - at;
		have = take + s->longest - 1 < left ? take + s->longest - 1 : left;
		err = guest_read(s->memory, s->piece, have, at);
		if (err)
			return error_set(e, -err, "RAM cannot be read at 0x%" PRIx64 ": %s", at, strerror(-err));
		err = search_piece(s, at, take, have);
		if (!err && s->progress && s->progress(s->progress_ctx, at - base, size))
			err = error_set(e, EINTR, "interrupted");
	}
	return err;
}

static int search_all(struct search *s, struct error *e)
{
	const struct guest_memory *g = s->memory;
	uint64_t done = g->base, at = g->base, size, start;
	int err = 0;

	/* A place that has a byte in a run begins in it, or less than a pattern before it. */
	for (; !err && guest_next_stored(g, &at, &size); at = done) {
		start = at - g->base < s->longest - 1 ? g->base : at - (s->longest - 1);
		err = search_run(s, start > done ? start : done, at + size, e);
		done = at + size;
	}
	return err;
}

int ram_search(const struct guest_memory *g, const struct ram_pattern *patterns, size_t count,
	       ram_found *fn, void *ctx, ram_progress *progress, void *progress_ctx, struct error *e)
{
	struct search s = { .memory = g, .count = count, .fn = fn, .ctx = ctx, .progress = progress,
			    .progress_ctx = progress_ctx };
	size_t i;
	int err;

	s.cursors = calloc(count, sizeof(*s.cursors));
	for (i = 0; s.cursors && i < count; i++) {
		s.cursors[i].pattern = &patterns[i];
		if (patterns[i].size > s.longest)
			s.longest = patterns[i].size;
	}
	s.piece = malloc(PIECE + s.longest);
	err = s.cursors && s.piece ? search_all(&s, e) : error_set(e, ENOMEM, "out of memory");
	free(s.piece);
	free(s.cursors);
	return err;
}
