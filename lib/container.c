/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"
#include "text.h"

int container_decode(const struct field *root, uint8_t *bytes, size_t n, uint64_t base,
		     struct container **out, struct error *e)
{
	struct container *c = calloc(1, sizeof(*c));
	int err;

	if (!c || schema_init(&c->schema, root)) {
		free(c);
		return error_set(e, ENOMEM, "out of memory");
	}
	pthread_mutex_init(&c->states_lock, NULL);
	err = decode(&c->schema, 0, bytes, n, base, &c->head, e);
	if (err) {
		container_free(c);
		return err;
	}
	c->bytes = bytes;
	*out = c;
	return 0;
}

void container_free(struct container *c)
{
	if (!c)
		return;
	while (c->drafts)
		container_draft_end(c, c->drafts->node);
	states_free(c);
	pthread_mutex_destroy(&c->states_lock);
	edits_free(&c->edits);
	decoded_free(&c->head);
	schema_free(&c->schema);
	free(c->bytes);
	free(c);
}

uint64_t container_size(const struct container *c)
{
	return c->head.size;
}

struct node container_root(void)
{
	return (struct node){ 0, 0 };
}

const struct field *container_row(const struct container *c, struct node n)
{
	return c->schema.place[n.place].row;
}

bool container_is_directory(const struct container *c, struct node n)
{
	switch (container_row(c, n)->kind) {
	case LIST:
	case MAP:
	case RECORD:
	case STRUCT:
	case VARIANT:
		return true;
	default:
		return false;
	}
}

bool container_is_inside(const struct container *c, struct node n, struct node *blob)
{
	return is_inside(c, n) && owner_find(c, n, blob);
}

bool container_is_owner(const struct container *c, struct node n)
{
	const struct place *p = &c->schema.place[n.place];

	return p->row->kind == BLOB && p->children > 0;
}

bool container_is_counted(const struct container *c, struct node n)
{
	return c->schema.place[n.place].counted;
}

int container_check(const struct container *c, struct node n)
{
	uint64_t at;

	return is_inside(c, n) ? container_offset_inside(c, n, &at) : 0;
}

unsigned container_holds(const struct container *c, struct node blob)
{
	struct state *s;
	unsigned root;

	if (state_get(c, blob, &s))
		return UINT_MAX;
	root = s->root;
	state_put(c, s);
	return root;
}

int container_offset_inside(const struct container *c, struct node n, uint64_t *at)
{
	struct state *s;
	int err = state_get_at(c, n, &s, at);

	if (!err)
		state_put(c, s);
	return err;
}

bool container_follower(const struct container *c, struct node n, struct node *blob)
{
	const char *name = container_row(c, n)->follower;

	if (!name)
		return false;
	/* It is after N among the children of one thing, which have one tag. */
	do
		n = (struct node){ n.place + 1, decoded_end(&c->head, n.place, n.offset) };
	while (strcmp(container_row(c, n)->name, name) != 0);
	*blob = (struct node){ c->schema.place[n.place].first_child, n.offset };
	return true;
}

/* The edit in force for N, or for the blob that it is in, or null. */
static const struct edit *edit_of(const struct container *c, struct node n)
{
	struct node blob;

	if (container_is_inside(c, n, &blob))
		return edits_get(&c->edits, blob.offset);
	return is_view(container_row(c, n)) ? NULL : edits_get(&c->edits, n.offset);
}

struct value leaf_value(const struct container *c, struct node n)
{
	const struct field *row = container_row(c, n);
	const struct buffer *draft = container_draft_bytes(c, n);
	const struct edit *edit = is_view(row) ? NULL : edits_get(&c->edits, n.offset);

	if (draft)
		return (struct value){ draft->bytes, draft->size };
	return value_decode(row, edit ? edit->wire.bytes : c->bytes + n.offset);
}

int container_value(const struct container *c, struct node n, struct value *out)
{
	struct state *s;
	uint64_t at;
	int err;

	if (!is_inside(c, n)) {
		*out = leaf_value(c, n);
		return 0;
	}
	err = state_get_at(c, n, &s, &at);
	if (err)
		return err;
	*out = value_decode(container_row(c, n), s->d.bytes + at);
	state_put(c, s);
	return 0;
}

uint64_t container_mem_size(const struct container *c)
{
	uint64_t size = 0;

	container_number(c, "mem_size", &size);
	return size;
}

bool container_mtime(const struct container *c, struct node n, struct timespec *t)
{
	const struct edit *edit = edit_of(c, n);
	const struct timespec *when = edit ? &edit->when : NULL;
	const struct draft *draft;
	struct node blob = n;

	if (container_is_inside(c, n, &blob) && edit)
		when = edit_stamp(edit, n);
	draft = draft_find(c, blob);
	if (draft)
		when = &draft->when;
	if (when)
		*t = *when;
	return when != NULL;
}

/*
 * Children
 */

/* A walk over children. */
struct walk {
	uint64_t from;
	container_child *fn;
	void *ctx;
};

/* False: the walk is over. */
static bool tell(const struct walk *w, const char *name, uint64_t index, struct node n)
{
	return index < w->from || w->fn(w->ctx, name, index, n);
}

static bool list_children(const struct container *c, struct node dir, const struct walk *w)
{
	uint64_t count = decoded_count(&c->head, dir.place, dir.offset), i;
	struct node n = { c->schema.place[dir.place].first_child, 0 };

	if (w->from >= count)
		return true;
	n.offset = decoded_element(&c->head, dir.place, dir.offset, w->from);
	for (i = w->from; i < count; i++) {
		if (!w->fn(w->ctx, NULL, i, n))
			return false;
		if (i + 1 < count)
			n.offset = decoded_end(&c->head, n.place, n.offset);
	}
	return true;
}

/*
 * The children of the RECORD or STRUCT of PLACE, which is inside the blob with the number OWNER, at KEY;
 * their indices are from BASE on.
 */
static bool members_inside(const struct container *c, unsigned place, uint64_t owner, uint32_t key,
			   uint64_t base, const struct walk *w)
{
	const struct place *p = &c->schema.place[place], *child;
	unsigned i;

	for (i = 0; i < p->children; i++) {
		child = &c->schema.place[p->first_child + i];
		if (child->row->name &&
		    !tell(w, child->row->name, base + i, inside_node(p->first_child + i, owner, key)))
			return false;
	}
	return true;
}

/* What the blob BLOB of the directory DIR holds, beside it. */
static int states_children(const struct container *c, struct node blob, uint64_t base,
			   const struct walk *w)
{
	struct state *s;
	uint64_t owner;
	int err;

	if (!owner_number(c, blob, &owner))
		return 0;
	err = state_get(c, blob, &s);
	if (err)
		return err;
	if (s->root)
		members_inside(c, s->root, owner, 0, base, w);
	state_put(c, s);
	return 0;
}

static int record_children(const struct container *c, struct node dir, const struct walk *w)
{
	const struct place *p = &c->schema.place[dir.place];
	bool variant = p->row->kind == VARIANT;
	uint8_t tag = variant ? c->bytes[dir.offset] : 0;
	uint64_t at = dir.offset + variant;
	struct node blob = { 0, 0 };
	unsigned i;

	for (i = 0; i < p->children; i++) {
		struct node n = { p->first_child + i, at };
		const struct place *child = &c->schema.place[n.place];

		if (!place_includes(p, tag, child))
			continue;
		if (is_view(child->row))
			n.offset = dir.offset;
		else if (child->row->at_end)
			n.offset = c->head.size - child->row->size;
		else if (i + 1 < p->children)
			at = decoded_end(&c->head, n.place, at);
		if (child->row->name && !tell(w, child->row->name, i, n))
			return 0;
		if (container_is_owner(c, n))
			blob = n;
	}
	return blob.place ? states_children(c, blob, p->children, w) : 0;
}

/* The text of ID, which ROW, a map's, has no name for. */
static const char *id_text(const struct field *row, uint32_t id, char text[CONTAINER_NAME_MAX])
{
	const struct id_name *name;

	for (name = row->names; name && name->name; name++)
		if (name->id == id)
			return name->name;
	if (row->prefix)
		snprintf(text, CONTAINER_NAME_MAX, "%s%u", row->prefix, id);
	else
		snprintf(text, CONTAINER_NAME_MAX, "0x%x", id);
	return text;
}

/* The last entry with an id stands for it. */
static bool map_children(const struct container *c, const struct state *s, struct node dir,
			 uint64_t at, const struct walk *w)
{
	const struct list *map = decoded_list(&s->d, dir.place, at);
	const struct field *row = container_row(c, dir);
	unsigned value = schema_map_value(&c->schema, dir.place);
	const struct map_entry *entry;
	char text[CONTAINER_NAME_MAX];
	uint64_t i;

	/* By id, so that a walk goes on where it was after an edit of another entry. */
	for (i = w->from; i < map->count; i++) {
		entry = &map->entries[i];
		if (i + 1 < map->count && entry[1].id == entry->id)
			continue;
		if (!w->fn(w->ctx, id_text(row, entry->id, text), i,
			   inside_node(value, inside_owner(dir), entry->id)))
			return false;
	}
	return true;
}

static int inside_children(const struct container *c, struct node dir, const struct walk *w)
{
	uint64_t owner = inside_owner(dir), at, count, i;
	const struct place *p = &c->schema.place[dir.place];
	struct state *s;
	int err = state_get_at(c, dir, &s, &at);

	if (err)
		return err;
	if (p->row->kind == MAP) {
		map_children(c, s, dir, at, w);
	} else if (p->row->kind == LIST) {
		count = decoded_count(&s->d, dir.place, at);
		for (i = w->from; i < count; i++)
			if (!w->fn(w->ctx, NULL, i, inside_node(p->first_child, owner, (uint32_t)i)))
				break;
	} else {
		members_inside(c, dir.place, owner, inside_key(dir), 0, w);
	}
	state_put(c, s);
	return 0;
}

int container_children(const struct container *c, struct node dir, uint64_t from,
		       container_child *fn, void *ctx)
{
	const struct walk w = { from, fn, ctx };

	if (is_inside(c, dir))
		return inside_children(c, dir, &w);
	if (container_row(c, dir)->kind != LIST)
		return record_children(c, dir, &w);
	list_children(c, dir, &w);
	return 0;
}

void container_inside(const struct container *c, struct node blob,
		      void (*fn)(void *ctx, struct node n), void *ctx)
{
	uint64_t owner;
	unsigned i, key, times;

	if (!container_is_owner(c, blob) || !owner_number(c, blob, &owner))
		return;
	/* The blob is the first thing in it. */
	fn(ctx, (struct node){ c->schema.place[blob.place].parent, blob.offset });
	for (i = 0; i < c->schema.count; i++) {
		const struct place *p = &c->schema.place[i];

		if (p->owner != blob.place || p->parent == blob.place || p->counted)
			continue;
		for (times = 1; p->parent != p->owner; p = &c->schema.place[p->parent])
			if (c->schema.place[p->parent].row->kind == LIST)
				times = c->schema.place[p->parent].row->times;
		for (key = 0; key < times; key++)
			fn(ctx, inside_node(i, owner, key));
	}
}

static bool count_child(void *ctx, const char *name, uint64_t index, struct node n)
{
	(void)name;
	(void)index;
	(void)n;
	++*(uint64_t *)ctx;
	return true;
}

int container_count(const struct container *c, struct node dir, uint64_t *count)
{
	*count = 0;
	return container_children(c, dir, 0, count_child, count);
}

/*
 * Names
 */

struct search {
	const char *name;
	struct node found;
	bool done;
};

static bool match(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct search *s = ctx;

	(void)index;
	s->done = strcmp(name, s->name) == 0;
	s->found = n;
	return !s->done;
}

/* The number that NAME is in the one way that it is written; UINT64_MAX if it is not. */
static uint64_t parse_index(const char *name)
{
	char *end;
	uint64_t v;

	if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1]) || strlen(name) > 10)
		return UINT64_MAX;
	v = strtoull(name, &end, 10);
	return *end ? UINT64_MAX : v;
}

/* The id that NAME stands for in a map of ROW; false if it does for none. */
static bool parse_id(const struct field *row, const char *name, uint32_t *id)
{
	size_t n = row->prefix ? strlen(row->prefix) : 2;
	const struct id_name *known;
	char text[CONTAINER_NAME_MAX];

	for (known = row->names; known && known->name; known++) {
		if (strcmp(known->name, name) == 0) {
			*id = known->id;
			return true;
		}
	}
	if (strlen(name) <= n || strlen(name) > n + 10)
		return false;
	*id = (uint32_t)strtoull(name + n, NULL, row->prefix ? 10 : 16);
	return strcmp(id_text(row, *id, text), name) == 0;
}

static int lookup_inside(const struct container *c, struct node dir, const char *name,
			 struct node *out)
{
	const struct field *row = container_row(c, dir);
	const struct map_entry *entry;
	struct state *s;
	uint64_t at, index;
	bool found;
	uint32_t id;
	int err = state_get_at(c, dir, &s, &at);

	if (err)
		return err;
	if (row->kind == MAP) {
		found = parse_id(row, name, &id) && list_entries(decoded_list(&s->d, dir.place, at), id, &entry);
		*out = inside_node(schema_map_value(&c->schema, dir.place), inside_owner(dir), found ? id : 0);
	} else {
		index = parse_index(name);
		found = index < decoded_count(&s->d, dir.place, at);
		*out = inside_node(c->schema.place[dir.place].first_child, inside_owner(dir),
				   found ? (uint32_t)index : 0);
	}
	state_put(c, s);
	return found ? 0 : -ENOENT;
}

int container_lookup(const struct container *c, struct node dir, const char *name,
		     struct node *out)
{
	enum kind kind = container_row(c, dir)->kind;
	struct search s = { .name = name };
	uint64_t index;
	int err;

	if (is_inside(c, dir) && (kind == LIST || kind == MAP))
		return lookup_inside(c, dir, name, out);
	if (kind == LIST) {
		index = parse_index(name);
		if (index >= decoded_count(&c->head, dir.place, dir.offset))
			return -ENOENT;
		*out = (struct node){ c->schema.place[dir.place].first_child,
				      decoded_element(&c->head, dir.place, dir.offset, index) };
		return 0;
	}
	err = container_children(c, dir, 0, match, &s);
	if (err)
		return err;
	if (!s.done)
		return -ENOENT;
	*out = s.found;
	return 0;
}

int container_find(const struct container *c, const char *path, struct node *out)
{
	struct node n = container_root();
	char name[NAME_MAX + 1];
	size_t length;
	int err;

	while (*(path += strspn(path, "/"))) {
		length = strcspn(path, "/");
		if (!container_is_directory(c, n))
			return -ENOTDIR;
		if (length > NAME_MAX)
			return -ENOENT;
		memcpy(name, path, length);
		name[length] = 0;
		err = container_lookup(c, n, name, &n);
		if (err)
			return err;
		path += length;
	}
	*out = n;
	return 0;
}

/* The children of a directory up to the one that a node is in. */
struct descent {
	unsigned place; /* of that child */
	uint64_t offset; /* in it */
	bool list;
	struct node child;
	const char *name;
	uint64_t index;
};

static bool descend(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct descent *d = ctx;

	/* Elements of a list have one place, and the last that starts before it is it. */
	if (d->list ? n.offset > d->offset : n.place != d->place)
		return !d->list;
	d->child = n;
	d->name = name;
	d->index = index;
	return d->list;
}

/* The ancestor of PLACE that is a child of ABOVE. */
static unsigned place_below(const struct container *c, unsigned place, unsigned above)
{
	while (c->schema.place[place].parent != above)
		place = c->schema.place[place].parent;
	return place;
}

void container_path(const struct container *c, struct node n, char out[CONTAINER_PATH_MAX])
{
	struct node at = container_root();
	size_t used = 0;

	out[0] = 0;
	while (at.place != n.place) {
		struct descent d = {
			.place = place_below(c, n.place, at.place),
			.offset = n.offset,
			.list = container_row(c, at)->kind == LIST,
		};

		container_children(c, at, 0, descend, &d);
		if (d.name)
			snprintf(out + used, CONTAINER_PATH_MAX - used, "%s%s", used ? "/" : "", d.name);
		else
			snprintf(out + used, CONTAINER_PATH_MAX - used, "%s%" PRIu64, used ? "/" : "",
				 d.index);
		used += strlen(out + used);
		at = d.child;
	}
}

/* The length of the last name in the N bytes at PATTERN. */
static size_t last_name(const char *pattern, size_t n)
{
	size_t length = 0;

	while (length < n && pattern[n - length - 1] != '/')
		length++;
	return length;
}

bool container_stands(const struct container *c, struct node dir, const char *pattern)
{
	unsigned place = dir.place;
	size_t left = strlen(pattern), n;
	const char *name;

	/* From its end to its start, as places know their parents. */
	for (; left && place; place = c->schema.place[place].parent) {
		n = last_name(pattern, left);
		name = c->schema.place[place].row->name ? c->schema.place[place].row->name : "N";
		if (strlen(name) != n || strncmp(name, pattern + left - n, n) != 0)
			return false;
		left -= n;
		left -= left > 0; /* the slash */
	}
	return !left && !place;
}

struct node container_standing(const struct container *c, const char *pattern, uint64_t offset)
{
	struct node n = { .offset = offset };

	while (!container_stands(c, n, pattern))
		n.place++;
	return n;
}

bool container_number(const struct container *c, const char *path, uint64_t *out)
{
	struct node n;
	struct value v;

	if (container_find(c, path, &n) || container_row(c, n)->kind != UINT ||
	    container_row(c, n)->size > 8 || container_value(c, n, &v))
		return false;
	if (container_row(c, n)->words || text_is_none(container_row(c, n), &v))
		return false;
	*out = text_number(container_row(c, n), &v);
	return true;
}
