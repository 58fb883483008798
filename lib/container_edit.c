/* SPDX-License-Identifier: MIT */
/* Edits in the making and in force, and the container with them in it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

/* The first edit at or after OFFSET, as an index. */
size_t edits_find(const struct edits *e, uint64_t offset)
{
	size_t low = 0, high = e->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->at[middle]->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct edit *edits_get(const struct edits *e, uint64_t offset)
{
	size_t i = edits_find(e, offset);

	return i < e->count && e->at[i]->offset == offset ? e->at[i] : NULL;
}

static void edit_free(struct edit *edit)
{
	if (!edit)
		return;
	buffer_free(&edit->wire);
	free(edit);
}

void edits_free(struct edits *e)
{
	while (e->count > 0)
		edit_free(e->at[--e->count]);
	free(e->at);
	*e = (struct edits){ 0 };
}

static int reserve(struct edits *e, size_t more)
{
	size_t room = e->room ? e->room : 1;
	struct edit **grown;

	if (more <= e->room - e->count)
		return 0;
	while (room - e->count < more)
		room *= 2;
	grown = realloc(e->at, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	e->at = grown;
	e->room = room;
	return 0;
}

static uint64_t old_end(const struct edit *edit)
{
	return edit->offset + edit->old_size;
}

/* Put EDIT, for which there is room, to its place; one of the same leaf is replaced. */
static void insert(struct edits *e, struct edit *edit)
{
	size_t i = edits_find(e, edit->offset);

	if (i < e->count && e->at[i]->offset == edit->offset) {
		edit_free(e->at[i]);
		e->at[i] = edit;
		return;
	}
	/* An edit is of one leaf, and leaves don't overlap. */
	assert(i == 0 || old_end(e->at[i - 1]) <= edit->offset);
	assert(i == e->count || old_end(edit) <= e->at[i]->offset);
	memmove(e->at + i + 1, e->at + i, (e->count - i) * sizeof(*e->at));
	e->at[i] = edit;
	e->count++;
}

int edits_add(struct edits *e, const struct container *c, struct node n, const struct value *v,
	      struct timespec when)
{
	struct edit *edit = calloc(1, sizeof(*edit));

	if (!edit || reserve(e, 1)) {
		free(edit);
		return -ENOMEM;
	}
	edit->offset = n.offset;
	edit->old_size = container_row(c, n)->at_end
				 ? container_row(c, n)->size
				 : container_node_end(c, n.place, n.offset) - n.offset;
	edit->when = when;
	value_encode(container_row(c, n), v, &edit->wire);
	if (edit->wire.failed) {
		edit_free(edit);
		return -ENOMEM;
	}
	insert(e, edit);
	return 0;
}

bool edits_are_change(const struct edits *e, const struct container *c)
{
	size_t i;

	for (i = 0; i < e->count; i++) {
		const struct edit *edit = e->at[i], *old = edits_get(&c->edits, edit->offset);
		const uint8_t *bytes = old ? old->wire.bytes : c->bytes + edit->offset;
		uint64_t size = old ? old->wire.size : edit->old_size;

		if (size != edit->wire.size || memcmp(bytes, edit->wire.bytes, size) != 0)
			return true;
	}
	return false;
}

int container_reserve(struct container *c, size_t count)
{
	return reserve(&c->edits, count);
}

void container_apply(struct container *c, struct edits *e)
{
	size_t i;

	for (i = 0; i < e->count; i++) {
		e->at[i]->version = ++c->version;
		insert(&c->edits, e->at[i]);
	}
	e->count = 0;
	edits_free(e);
}

/*
 * Encoding
 */

/* The part of what is encoded that is wanted. */
struct window {
	uint64_t skip;
	uint64_t left;
	struct buffer *out;
};

static void add(struct window *w, const uint8_t *p, uint64_t n)
{
	uint64_t skip = w->skip < n ? w->skip : n;
	uint64_t take = n - skip < w->left ? n - skip : w->left;

	w->skip -= skip;
	w->left -= take;
	buffer_add(w->out, p + skip, take);
}

/* Append the bytes [AT, END) of the head as it was read, with the edits in force and PENDING. */
static void encode_range(const struct container *c, uint64_t at, uint64_t end,
			 const struct edits *pending, struct window *w)
{
	static const struct edits none;
	const struct edits *e = &c->edits;
	size_t i = edits_find(e, at), j;

	if (!pending)
		pending = &none;
	j = edits_find(pending, at);
	for (;;) {
		const struct edit *old = i < e->count ? e->at[i] : NULL;
		const struct edit *edit = j < pending->count ? pending->at[j] : NULL;

		if (!edit || (old && old->offset < edit->offset))
			edit = old;
		if (!edit || edit->offset >= end)
			break;
		add(w, c->bytes + at, edit->offset - at);
		add(w, edit->wire.bytes, edit->wire.size);
		at = old_end(edit);
		i += old && old->offset == edit->offset;
		j += j < pending->count && pending->at[j]->offset == edit->offset;
	}
	add(w, c->bytes + at, end - at);
}

void container_encode(const struct container *c, const struct edits *pending,
		      struct buffer *out)
{
	struct window all = { .left = UINT64_MAX, .out = out };

	encode_range(c, 0, c->size, pending, &all);
}

/* Of the root's children with names the last is the container's last. */
static bool note_last(void *ctx, const char *name, uint64_t index, struct node n)
{
	(void)name;
	(void)index;
	*(struct node *)ctx = n;
	return true;
}

void container_encode_from(const struct container *c, struct node first, struct buffer *out)
{
	struct window all = { .left = UINT64_MAX, .out = out };
	struct node last = first;

	container_children(c, container_root(), 0, note_last, &last);
	encode_range(c, first.offset, container_node_end(c, last.place, last.offset), NULL, &all);
}

void container_raw(const struct container *c, struct node n, uint64_t offset, uint64_t size,
		   struct buffer *out)
{
	unsigned record = c->schema.place[n.place].parent;
	struct window w = { .skip = offset, .left = size, .out = out };

	encode_range(c, n.offset, container_node_end(c, record, n.offset), NULL, &w);
}

uint64_t container_raw_size(const struct container *c, struct node n)
{
	unsigned record = c->schema.place[n.place].parent;
	uint64_t end = container_node_end(c, record, n.offset);
	uint64_t size = end - n.offset;
	size_t i;

	for (i = edits_find(&c->edits, n.offset); i < c->edits.count && c->edits.at[i]->offset < end; i++)
		size += c->edits.at[i]->wire.size - c->edits.at[i]->old_size;
	return size;
}
