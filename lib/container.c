/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

void edit_free(struct edit *edit)
{
	if (!edit)
		return;
	buffer_free(&edit->wire);
	free(edit);
}

void container_free(struct container *c)
{
	size_t i;

	if (!c)
		return;
	for (i = 0; i < c->list_count; i++)
		free(c->lists[i].marks);
	free(c->lists);
	for (i = 0; i < c->edit_count; i++)
		edit_free(c->edits[i]);
	free(c->edits);
	free(c->bytes);
	free(c);
}

uint64_t container_size(const struct container *c)
{
	return c->size;
}

static const struct list *find_list(const struct container *c, uint64_t offset)
{
	size_t low = 0, high = c->list_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (c->lists[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &c->lists[low];
}

uint64_t container_node_end(const struct container *c, unsigned place, uint64_t at)
{
	const struct place *p = &c->schema.place[place];
	const uint8_t *bytes = c->bytes + at;
	const struct place *element;
	unsigned i;

	if (p->fixed_size)
		return at + p->min_size;
	switch (p->row->kind) {
	case STRING:
	case BLOB:
		return at + 4 + le_get(bytes, 4);
	case OPTION:
		return at + 1 + (bytes[0] ? p->row->of->size : 0);
	case LIST:
		element = &c->schema.place[p->first_child];
		if (element->fixed_size)
			return at + 4 + le_get(bytes, 4) * element->min_size;
		return find_list(c, at)->end;
	case RECORD:
		for (i = p->first_child; i < p->first_child + p->children; i++)
			at = container_node_end(c, i, at);
		return at;
	case VARIANT:
		at++;
		for (i = p->first_child; i < p->first_child + p->children; i++)
			if (c->schema.place[i].tag == bytes[0])
				at = container_node_end(c, i, at);
		return at;
	default:
		return at;
	}
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
	case RECORD:
	case VARIANT:
		return true;
	default:
		return false;
	}
}

static uint64_t list_count(const struct container *c, struct node list)
{
	return le_get(c->bytes + list.offset, 4);
}

/* Element INDEX, which the list has. */
static struct node list_element(const struct container *c, struct node list, uint64_t index)
{
	unsigned element = c->schema.place[list.place].first_child;
	const struct place *p = &c->schema.place[element];
	uint64_t at, i;

	if (p->fixed_size)
		return (struct node){ element, list.offset + 4 + index * p->min_size };
	at = find_list(c, list.offset)->marks[index / MARK_EVERY];
	for (i = index % MARK_EVERY; i > 0; i--)
		at = container_node_end(c, element, at);
	return (struct node){ element, at };
}

size_t container_find_edit(const struct container *c, uint64_t offset)
{
	size_t low = 0, high = c->edit_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c->edits[middle]->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The edit in force for N, or null.  Views share their offset with a leaf. */
static const struct edit *edit_of(const struct container *c, struct node n)
{
	enum kind kind = container_row(c, n)->kind;
	size_t i = container_find_edit(c, n.offset);

	if (kind == TAG || kind == RAW || i == c->edit_count || c->edits[i]->offset != n.offset)
		return NULL;
	return c->edits[i];
}

struct value container_value(const struct container *c, struct node n)
{
	const struct edit *edit = edit_of(c, n);

	return value_decode(container_row(c, n), edit ? edit->wire.bytes : c->bytes + n.offset);
}

uint64_t container_mem_size(const struct container *c)
{
	struct node n;

	if (container_lookup(c, container_root(), "mem_size", &n))
		return 0;
	return le_get(container_value(c, n).bytes, 8);
}

bool container_mtime(const struct container *c, struct node n, struct timespec *t)
{
	const struct edit *edit = edit_of(c, n);

	if (edit)
		*t = edit->when;
	return edit != NULL;
}

uint64_t container_version(const struct container *c, struct node n)
{
	const struct edit *edit = edit_of(c, n);

	return edit ? edit->version : 0;
}

static bool is_there(const struct container *c, struct node n)
{
	return container_row(c, n)->kind != OPTION || !container_value(c, n).absent;
}

static void list_children(const struct container *c, struct node dir, uint64_t from,
			  container_child *fn, void *ctx)
{
	uint64_t count = list_count(c, dir);
	struct node n;
	uint64_t i;

	if (from >= count)
		return;
	n = list_element(c, dir, from);
	for (i = from; i < count; i++) {
		if (!fn(ctx, NULL, i, n))
			return;
		if (i + 1 < count)
			n.offset = container_node_end(c, n.place, n.offset);
	}
}

/* Children of a RECORD or VARIANT; ABSENT ones as well if that is set. */
static void record_children(const struct container *c, struct node dir, uint64_t from,
			    bool absent, container_child *fn, void *ctx)
{
	const struct place *p = &c->schema.place[dir.place];
	bool variant = p->row->kind == VARIANT;
	uint64_t at = dir.offset + variant;
	unsigned i;

	for (i = 0; i < p->children; i++) {
		struct node n = { p->first_child + i, at };
		const struct place *child = &c->schema.place[n.place];

		if (variant && child->tag >= 0 && child->tag != c->bytes[dir.offset])
			continue;
		if (child->row->kind == TAG || child->row->kind == RAW)
			n.offset = dir.offset;
		else if (i + 1 < p->children)
			at = container_node_end(c, n.place, at);
		if (i >= from && (absent || is_there(c, n)) &&
		    !fn(ctx, child->row->name, i, n))
			return;
	}
}

void container_children(const struct container *c, struct node dir, uint64_t from,
			container_child *fn, void *ctx)
{
	if (container_row(c, dir)->kind == LIST)
		list_children(c, dir, from, fn, ctx);
	else
		record_children(c, dir, from, false, fn, ctx);
}

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

/* The number that NAME is in the one way a list writes it; UINT64_MAX if it is not. */
static uint64_t parse_index(const char *name)
{
	char *end;
	uint64_t v;

	if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1]) || strlen(name) > 10)
		return UINT64_MAX;
	v = strtoull(name, &end, 10);
	return *end ? UINT64_MAX : v;
}

int container_lookup(const struct container *c, struct node dir, const char *name,
		     struct node *out)
{
	struct search s = { .name = name };
	uint64_t index;

	if (container_row(c, dir)->kind == LIST) {
		index = parse_index(name);
		if (index >= list_count(c, dir))
			return -ENOENT;
		*out = list_element(c, dir, index);
		return 0;
	}
	record_children(c, dir, 0, false, match, &s);
	if (!s.done)
		return -ENOENT;
	*out = s.found;
	return 0;
}

bool container_find_option(const struct container *c, struct node dir, const char *name,
			   struct node *out)
{
	struct search s = { .name = name };

	if (container_row(c, dir)->kind == LIST)
		return false;
	record_children(c, dir, 0, true, match, &s);
	*out = s.found;
	return s.done && container_row(c, s.found)->kind == OPTION;
}
