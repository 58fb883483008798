/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"
#include "text.h"

void container_free(struct container *c)
{
	size_t i;

	if (!c)
		return;
	for (i = 0; i < c->list_count; i++)
		free(c->lists[i].marks);
	free(c->lists);
	edits_free(&c->edits);
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
		return at + 1 + (bytes[0] ? p->row->size : 0);
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

/* Whether ROW is a view: it shares its offset with a leaf. */
static bool is_view(const struct field *row)
{
	return row->kind == TAG || row->kind == RAW || row->kind == WORD;
}

/* The edit in force for N, or null. */
static const struct edit *edit_of(const struct container *c, struct node n)
{
	return is_view(container_row(c, n)) ? NULL : edits_get(&c->edits, n.offset);
}

struct value container_value(const struct container *c, struct node n)
{
	const struct edit *edit = edit_of(c, n);

	return value_decode(container_row(c, n), edit ? edit->wire.bytes : c->bytes + n.offset);
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

	if (edit)
		*t = edit->when;
	return edit != NULL;
}

uint64_t container_version(const struct container *c, struct node n)
{
	const struct edit *edit = edit_of(c, n);

	return edit ? edit->version : 0;
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

static void record_children(const struct container *c, struct node dir, uint64_t from,
			    container_child *fn, void *ctx)
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
		if (is_view(child->row))
			n.offset = dir.offset;
		else if (child->row->at_end)
			n.offset = c->size - child->row->size;
		else if (i + 1 < p->children)
			at = container_node_end(c, n.place, at);
		if (i >= from && child->row->name && !fn(ctx, child->row->name, i, n))
			return;
	}
}

void container_children(const struct container *c, struct node dir, uint64_t from,
			container_child *fn, void *ctx)
{
	if (container_row(c, dir)->kind == LIST)
		list_children(c, dir, from, fn, ctx);
	else
		record_children(c, dir, from, fn, ctx);
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
	record_children(c, dir, 0, match, &s);
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

bool container_number(const struct container *c, const char *path, uint64_t *out)
{
	struct node n;
	struct value v;

	if (container_find(c, path, &n) || container_row(c, n)->kind != UINT)
		return false;
	v = container_value(c, n);
	if (container_row(c, n)->words || text_is_none(container_row(c, n), &v))
		return false;
	*out = text_number(container_row(c, n), &v);
	return true;
}
