/* SPDX-License-Identifier: MIT */
/* Edits in the making and in force, and the container with them in it. */
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

struct edit *edit_new(const struct container *c, struct node n, const struct value *v,
		      struct timespec when)
{
	struct edit *edit = calloc(1, sizeof(*edit));

	if (!edit)
		return NULL;
	edit->offset = n.offset;
	edit->old_size = container_node_end(c, n.place, n.offset) - n.offset;
	edit->when = when;
	value_encode(container_row(c, n), v, &edit->wire);
	if (edit->wire.failed) {
		edit_free(edit);
		return NULL;
	}
	return edit;
}

bool edit_is_change(const struct container *c, const struct edit *edit)
{
	size_t i = container_find_edit(c, edit->offset);
	const uint8_t *bytes = c->bytes + edit->offset;
	uint64_t size = edit->old_size;

	if (i < c->edit_count && c->edits[i]->offset == edit->offset) {
		bytes = c->edits[i]->wire.bytes;
		size = c->edits[i]->wire.size;
	}
	return size != edit->wire.size || memcmp(bytes, edit->wire.bytes, size) != 0;
}

int container_reserve(struct container *c)
{
	size_t room = c->edit_room ? c->edit_room * 2 : 16;
	struct edit **grown;

	if (c->edit_count < c->edit_room)
		return 0;
	grown = realloc(c->edits, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->edits = grown;
	c->edit_room = room;
	return 0;
}

void container_apply(struct container *c, struct edit *edit)
{
	size_t i = container_find_edit(c, edit->offset);

	edit->version = ++c->version;
	if (i < c->edit_count && c->edits[i]->offset == edit->offset) {
		edit_free(c->edits[i]);
	} else {
		memmove(c->edits + i + 1, c->edits + i, (c->edit_count - i) * sizeof(*c->edits));
		c->edit_count++;
	}
	c->edits[i] = edit;
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

/* Append the old bytes up to EDIT, and its own; returns where it ends in the old. */
static uint64_t add_edit(const struct container *c, uint64_t at, const struct edit *edit,
			 struct window *w)
{
	add(w, c->bytes + at, edit->offset - at);
	add(w, edit->wire.bytes, edit->wire.size);
	return edit->offset + edit->old_size;
}

/* Append the bytes [AT, END) of the container as it was read, edited. */
static void encode_range(const struct container *c, uint64_t at, uint64_t end,
			 const struct edit *pending, struct window *w)
{
	size_t i;

	for (i = container_find_edit(c, at); i < c->edit_count && c->edits[i]->offset < end; i++) {
		const struct edit *edit = c->edits[i];

		if (pending && pending->offset <= edit->offset) {
			at = add_edit(c, at, pending, w);
			if (pending->offset == edit->offset)
				edit = NULL; /* it is replaced */
			pending = NULL;
		}
		if (edit)
			at = add_edit(c, at, edit, w);
	}
	if (pending)
		at = add_edit(c, at, pending, w);
	add(w, c->bytes + at, end - at);
}

void container_encode(const struct container *c, const struct edit *pending,
		      struct buffer *out)
{
	struct window all = { .left = UINT64_MAX, .out = out };

	encode_range(c, 0, c->size, pending, &all);
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

	for (i = container_find_edit(c, n.offset); i < c->edit_count && c->edits[i]->offset < end; i++)
		size += c->edits[i]->wire.size - c->edits[i]->old_size;
	return size;
}
