/* SPDX-License-Identifier: MIT */
/* Drafts, edits in the making and in force, and the container with them in it. */
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

		if (e->at[middle]->node.offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct edit *edits_get(const struct edits *e, uint64_t offset)
{
	size_t i = edits_find(e, offset);

	return i < e->count && e->at[i]->node.offset == offset ? e->at[i] : NULL;
}

static void edit_free(struct edit *edit)
{
	if (!edit)
		return;
	buffer_free(&edit->wire);
	free(edit->stamps);
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
	return edit->node.offset + edit->old_size;
}

/* Put EDIT, for which there is room, to its place; one of the same leaf is replaced. */
static void insert(struct edits *e, struct edit *edit)
{
	size_t i = edits_find(e, edit->node.offset);

	if (i < e->count && e->at[i]->node.offset == edit->node.offset) {
		edit_free(e->at[i]);
		e->at[i] = edit;
		return;
	}
	/* An edit is of one leaf, and leaves don't overlap. */
	assert(i == 0 || old_end(e->at[i - 1]) <= edit->node.offset);
	assert(i == e->count || old_end(edit) <= e->at[i]->node.offset);
	memmove(e->at + i + 1, e->at + i, (e->count - i) * sizeof(*e->at));
	e->at[i] = edit;
	e->count++;
}

/* An edit of the leaf N that gives it the value V; null if memory runs out. */
static struct edit *edit_new(const struct container *c, struct node n, const struct value *v,
			     struct timespec when)
{
	struct edit *edit = calloc(1, sizeof(*edit));

	if (!edit)
		return NULL;
	*edit = (struct edit){ .node = n, .when = when, .whole = true, .whole_when = when };
	edit->old_size = container_row(c, n)->at_end
				 ? container_row(c, n)->size
				 : decoded_end(&c->head, n.place, n.offset) - n.offset;
	value_encode(container_row(c, n), v, &edit->wire);
	if (edit->wire.failed) {
		edit_free(edit);
		return NULL;
	}
	return edit;
}

static int add_leaf(struct edits *e, const struct container *c, struct node n,
		    const struct value *v, struct timespec when)
{
	struct edit *edit;

	if (reserve(e, 1))
		return -ENOMEM;
	edit = edit_new(c, n, v, when);
	if (!edit)
		return -ENOMEM;
	insert(e, edit);
	return 0;
}

/*
 * Inside blobs
 */

static int by_node(struct node a, struct node b)
{
	if (a.place != b.place)
		return a.place < b.place ? -1 : 1;
	return a.offset < b.offset ? -1 : a.offset > b.offset;
}

/* The first stamp of N or of a node after it, as an index. */
static size_t find_stamp(const struct edit *edit, struct node n)
{
	size_t low = 0, high = edit->stamp_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_node(edit->stamps[middle].node, n) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct timespec *edit_stamp(const struct edit *edit, struct node n)
{
	size_t i = find_stamp(edit, n);

	if (i < edit->stamp_count && node_equal(edit->stamps[i].node, n))
		return &edit->stamps[i].when;
	return edit->whole ? &edit->whole_when : NULL;
}

/* Note that N was edited; there is room for a stamp more. */
static void stamp(struct edit *edit, struct node n, struct timespec when)
{
	size_t i = find_stamp(edit, n);
	struct stamp *at = edit->stamps + i;

	if (i == edit->stamp_count || !node_equal(at->node, n)) {
		memmove(at + 1, at, (edit->stamp_count - i) * sizeof(*at));
		edit->stamp_count++;
	}
	*at = (struct stamp){ n, when };
	edit->when = when;
}

static int reserve_stamp(struct edit *edit)
{
	struct stamp *grown = realloc(edit->stamps, (edit->stamp_count + 1) * sizeof(*grown));

	if (grown)
		edit->stamps = grown;
	return grown ? 0 : -ENOMEM;
}

/* An edit of BLOB that leaves it what it shows, with the times of what is in it; null: no memory. */
static struct edit *edit_as_shown(const struct container *c, struct node blob)
{
	const struct edit *old = edits_get(&c->edits, blob.offset);
	const struct draft *draft = draft_find(c, blob);
	struct value shown = leaf_value(c, blob);
	struct edit *edit = edit_new(c, blob, &shown, draft ? draft->when : (struct timespec){ 0 });

	if (!edit || draft)
		return edit;
	edit->whole = old && old->whole;
	if (!old)
		return edit;
	edit->whole_when = old->whole_when;
	edit->when = old->when;
	edit->stamps = malloc(old->stamp_count * sizeof(*edit->stamps) + 1);
	if (!edit->stamps) {
		edit_free(edit);
		return NULL;
	}
	edit->stamp_count = old->stamp_count;
	if (old->stamp_count)
		memcpy(edit->stamps, old->stamps, old->stamp_count * sizeof(*edit->stamps));
	return edit;
}

/* Put V to where N is in the blob of EDIT; to each, where an id repeats. */
static int poke(struct edit *edit, const struct container *c, struct node n, const struct value *v)
{
	uint8_t *bytes = edit->wire.bytes + 4;
	struct state s = { 0 };
	const struct map_entry *entry;
	const struct list *map;
	uint64_t at;
	size_t count;
	int err = state_decode(c, edit->node.place, bytes, edit->wire.size - 4, &s);

	if (err)
		return err;
	if (!state_locate(&s, n.place, inside_key(n), &at)) {
		err = -ESTALE;
	} else if ((map = state_map(&s, n.place))) {
		for (count = list_entries(map, inside_key(n), &entry); count > 0; count--, entry++)
			memcpy(bytes + decoded_entry(&s.d, map, entry->index), v->bytes, v->size);
	} else {
		memcpy(bytes + at, v->bytes, v->size);
	}
	decoded_free(&s.d);
	return err;
}

static int add_inside(struct edits *e, const struct container *c, struct node n,
		      const struct value *v, struct timespec when)
{
	struct edit *edit, *fresh = NULL;
	struct node blob;
	int err;

	assert(v->size == container_row(c, n)->size);
	if (!owner_find(c, n, &blob))
		return -ESTALE;
	edit = edits_get(e, blob.offset);
	if (!edit)
		edit = fresh = edit_as_shown(c, blob);
	if (!edit)
		return -ENOMEM;
	err = reserve_stamp(edit);
	if (!err && fresh)
		err = reserve(e, 1);
	if (!err)
		err = poke(edit, c, n, v);
	if (err) {
		edit_free(fresh);
		return err;
	}
	stamp(edit, n, when);
	if (fresh)
		insert(e, fresh);
	return 0;
}

int edits_add(struct edits *e, const struct container *c, struct node n, const struct value *v,
	      struct timespec when)
{
	return is_inside(c, n) ? add_inside(e, c, n, v, when) : add_leaf(e, c, n, v, when);
}

/*
 * Leaves with followers
 */

static bool same_value(const struct value *a, const struct value *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

/* What E has for N, else what it shows. */
static struct value value_with(const struct edits *e, const struct container *c, struct node n)
{
	const struct edit *edit = edits_get(e, n.offset);

	return edit ? value_decode(container_row(c, n), edit->wire.bytes) : leaf_value(c, n);
}

bool edits_have(const struct edits *e, struct node n)
{
	return edits_get(e, n.offset);
}

/*
 * Add that LEAF is V, and BLOB the bytes MOVED if that is not what it shows: a draft that nothing
 * moves in is left to who writes it.
 */
static int add_both(struct edits *e, const struct container *c, struct node leaf, const struct value *v,
		    struct node blob, const struct value *moved, struct timespec when)
{
	struct value shown = leaf_value(c, blob);
	bool change = !same_value(moved, &shown) || edits_have(e, blob);
	struct edit *first = edit_new(c, leaf, v, when);
	struct edit *second = change ? edit_new(c, blob, moved, when) : NULL;

	if (!first || (change && !second) || reserve(e, 2)) {
		edit_free(first);
		edit_free(second);
		return -ENOMEM;
	}
	insert(e, first);
	if (second)
		insert(e, second);
	return 0;
}

int edits_resolve(const struct container *c, struct node n, const struct value *v, struct buffer *out)
{
	const struct field *row = container_row(c, n);

	return row->resolve ? row->resolve(v, out) : 0;
}

int edits_make(struct edits *e, const struct container *c, struct node n, const struct value *v,
	       const struct value *resolved, struct timespec when, const struct followed *before)
{
	struct followed present;
	struct buffer out = { 0 };
	struct value moved;
	struct node blob;
	int err = 0;

	if (!container_follower(c, n, &blob))
		return edits_add(e, c, n, v, when);
	if (!before) {
		present = (struct followed){ value_with(e, c, n), value_with(e, c, blob) };
		before = &present;
	}
	moved = before->blob;
	if (!same_value(v, &before->leaf)) {
		err = container_row(c, n)->follow(c, blob, &before->blob, resolved, &out);
		moved = (struct value){ out.bytes, out.size };
	}
	if (!err)
		err = add_both(e, c, n, v, blob, &moved, when);
	buffer_free(&out);
	return err;
}

bool edits_are_change(const struct edits *e, const struct container *c)
{
	size_t i;

	for (i = 0; i < e->count; i++) {
		const struct edit *edit = e->at[i], *old = edits_get(&c->edits, edit->node.offset);
		const uint8_t *bytes = old ? old->wire.bytes : c->bytes + edit->node.offset;
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
		state_forget(c, e->at[i]->node.offset);
		insert(&c->edits, e->at[i]);
	}
	e->count = 0;
	edits_free(e);
}

/*
 * Drafts
 */

struct draft *draft_find(const struct container *c, struct node n)
{
	struct draft *draft = c->drafts;

	while (draft && !node_equal(draft->node, n))
		draft = draft->next;
	return draft;
}

struct buffer *container_draft_bytes(const struct container *c, struct node n)
{
	struct draft *draft = draft_find(c, n);

	return draft ? &draft->bytes : NULL;
}

int container_draft(struct container *c, struct node n, struct buffer *bytes, struct timespec when)
{
	struct draft *draft = draft_find(c, n);

	if (!draft) {
		draft = calloc(1, sizeof(*draft));
		if (!draft)
			return -ENOMEM;
		draft->node = n;
		draft->next = c->drafts;
		c->drafts = draft;
	}
	buffer_free(&draft->bytes);
	draft->bytes = *bytes;
	*bytes = (struct buffer){ 0 };
	container_draft_changed(c, n, when);
	return 0;
}

void container_draft_changed(struct container *c, struct node n, struct timespec when)
{
	draft_find(c, n)->when = when;
	state_forget(c, n.offset);
}

void container_draft_end(struct container *c, struct node n)
{
	struct draft **link = &c->drafts, *draft;

	while (*link && !node_equal((*link)->node, n))
		link = &(*link)->next;
	draft = *link;
	if (!draft)
		return;
	*link = draft->next;
	buffer_free(&draft->bytes);
	free(draft);
	state_forget(c, n.offset);
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

		if (!edit || (old && old->node.offset < edit->node.offset))
			edit = old;
		if (!edit || edit->node.offset >= end)
			break;
		add(w, c->bytes + at, edit->node.offset - at);
		add(w, edit->wire.bytes, edit->wire.size);
		at = old_end(edit);
		i += old && old->node.offset == edit->node.offset;
		j += j < pending->count && pending->at[j]->node.offset == edit->node.offset;
	}
	add(w, c->bytes + at, end - at);
}

void container_encode(const struct container *c, const struct edits *pending,
		      struct buffer *out)
{
	struct window all = { .left = UINT64_MAX, .out = out };

	encode_range(c, 0, c->head.size, pending, &all);
}

struct ends {
	struct node header; /* the root's first child */
	struct node last;   /* of its children with names, which is the container's last */
	bool any;
};

static bool note_ends(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct ends *e = ctx;

	(void)name;
	(void)index;
	if (!e->any)
		e->header = n;
	e->any = true;
	e->last = n;
	return true;
}

void container_encode_alone(const struct container *c, struct buffer *out)
{
	struct window all = { .left = UINT64_MAX, .out = out };
	struct ends e = { .any = false };

	container_children(c, container_root(), 0, note_ends, &e);
	encode_range(c, decoded_end(&c->head, e.header.place, e.header.offset),
		     decoded_end(&c->head, e.last.place, e.last.offset), NULL, &all);
}

void container_raw(const struct container *c, struct node n, uint64_t offset, uint64_t size,
		   struct buffer *out)
{
	unsigned record = c->schema.place[n.place].parent;
	struct window w = { .skip = offset, .left = size, .out = out };

	encode_range(c, n.offset, decoded_end(&c->head, record, n.offset), NULL, &w);
}

uint64_t container_raw_size(const struct container *c, struct node n)
{
	unsigned record = c->schema.place[n.place].parent;
	uint64_t end = decoded_end(&c->head, record, n.offset);
	uint64_t size = end - n.offset;
	size_t i;

	for (i = edits_find(&c->edits, n.offset); i < c->edits.count && c->edits.at[i]->node.offset < end; i++)
		size += c->edits.at[i]->wire.size - c->edits.at[i]->old_size;
	return size;
}
