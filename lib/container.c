/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

/* Of a list whose elements differ in size, the offset of every so many is kept. */
enum { MARK_EVERY = 16 };

static const uint64_t FAILED = UINT64_MAX;

struct list {
	uint64_t offset; /* of its count */
	uint64_t end;
	uint64_t *marks; /* offsets of the elements 0, MARK_EVERY, ... */
	size_t mark_count;
};

/* The bytes of one leaf, once they have been edited. */
struct edit {
	uint64_t offset; /* of the leaf in the container as it was read */
	uint64_t old_size;
	struct buffer wire;
	struct timespec when;
	uint64_t version;
};

struct container {
	struct schema schema;
	uint8_t *bytes;
	uint64_t size;
	struct list *lists; /* by offset */
	size_t list_count;
	struct edit **edits; /* by offset */
	size_t edit_count;
	size_t edit_room;
	uint64_t version;
};

/*
 * Decoding
 */

struct decoder {
	struct container *c;
	uint64_t size; /* of c->bytes */
	uint64_t base;
	struct error *error;
	char path[128]; /* of what failed, completed on the way back up */
};

static uint64_t fail(struct decoder *d, int code, uint64_t at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static uint64_t fail(struct decoder *d, int code, uint64_t at, const char *fmt, ...)
{
	char why[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	error_set(d->error, code, "offset 0x%" PRIx64 ": %s", d->base + at, why);
	return FAILED;
}

/* Put NAME, or INDEX where it is null, before the path of what failed. */
static uint64_t fail_in(struct decoder *d, const char *name, uint64_t index)
{
	char rest[sizeof(d->path)];
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, index);
	memcpy(rest, d->path, sizeof(rest));
	snprintf(d->path, sizeof(d->path), "%.40s%s%.80s", name ? name : number,
		 rest[0] ? "/" : "", rest);
	return FAILED;
}

static bool have(struct decoder *d, uint64_t at, uint64_t n)
{
	uint64_t left = d->size - at;

	if (n <= left)
		return true;
	fail(d, ERR_TRUNCATED, at, "needs %" PRIu64 " byte%s, %" PRIu64 " left", n,
	     n == 1 ? "" : "s", left);
	return false;
}

static uint64_t decode(struct decoder *d, unsigned place, uint64_t at);

static uint64_t decode_counted(struct decoder *d, const struct field *row, uint64_t at)
{
	struct value v;
	uint64_t n;

	if (!have(d, at, 4))
		return FAILED;
	n = le_get(d->c->bytes + at, 4);
	if (value_check_size(row, n))
		return fail(d, ERR_MALFORMED, at, "%" PRIu64 " bytes, at most %" PRIu32 " are allowed",
			    n, row->size);
	if (!have(d, at + 4, n))
		return FAILED;
	v = value_decode(row, d->c->bytes + at);
	if (value_check(row, &v))
		return fail(d, ERR_MALFORMED, at + 4, "not UTF-8");
	return at + 4 + n;
}

static uint64_t decode_uint(struct decoder *d, const struct field *row, uint64_t at)
{
	struct value v = { .bytes = d->c->bytes + at, .size = row->size };

	if (!have(d, at, row->size))
		return FAILED;
	if (value_check(row, &v))
		return fail(d, ERR_MALFORMED, at, "%" PRIu64 " is not a valid value",
			    le_get(v.bytes, row->size));
	return at + row->size;
}

static uint64_t decode_option(struct decoder *d, const struct field *row, uint64_t at)
{
	uint8_t presence;

	if (!have(d, at, 1))
		return FAILED;
	presence = d->c->bytes[at];
	if (presence > 1)
		return fail(d, ERR_MALFORMED, at, "presence byte is %u, not 0 or 1", presence);
	if (presence && !have(d, at + 1, row->of->size))
		return FAILED;
	return at + 1 + (presence ? row->of->size : 0);
}

/* The children of PLACE that have TAG, one after the other. */
static uint64_t decode_members(struct decoder *d, const struct place *p, int16_t tag, uint64_t at)
{
	const struct place *child = &d->c->schema.place[p->first_child];
	const struct place *end = child + p->children;

	while (child < end) {
		if (child->tag != tag) {
			child++;
		} else if (child->run && child->run_size <= d->size - at) {
			at += child->run_size;
			child += child->run;
		} else {
			at = decode(d, (unsigned)(child - d->c->schema.place), at);
			if (at == FAILED)
				return fail_in(d, child->row->name, 0);
			child++;
		}
	}
	return at;
}

static uint64_t decode_variant(struct decoder *d, unsigned place, uint64_t at)
{
	const struct place *p = &d->c->schema.place[place];
	unsigned choices = 0;
	uint8_t tag;

	if (!have(d, at, 1))
		return FAILED;
	while (p->row->choices[choices].name)
		choices++;
	tag = d->c->bytes[at];
	if (tag >= choices)
		return fail(d, ERR_MALFORMED, at, "tag is %u, at most %u is defined", tag,
			    choices - 1);
	return decode_members(d, p, tag, at + 1);
}

/* Elements of one size need no index, and where any bytes will do, no look. */
static uint64_t decode_fixed_list(struct decoder *d, unsigned element, uint64_t count,
				  uint64_t at)
{
	const struct place *p = &d->c->schema.place[element];
	uint64_t n = cap_count(count, p->min_size, d->size - at);
	uint64_t i;

	for (i = 0; p->checked && i < n; i++)
		if (decode(d, element, at + i * p->min_size) == FAILED)
			return fail_in(d, NULL, i);
	at += n * p->min_size;
	if (n < count && !have(d, at, p->min_size))
		return FAILED;
	return at;
}

static bool add_mark(struct decoder *d, struct list *l, uint64_t at)
{
	uint64_t *grown;

	/* Room is 1, 2, 4, ... marks: grown when the count is such a number. */
	if ((l->mark_count & (l->mark_count - 1)) == 0) {
		grown = realloc(l->marks, (l->mark_count ? l->mark_count * 2 : 1) * sizeof(*grown));
		if (!grown) {
			fail(d, ENOMEM, at, "out of memory");
			return false;
		}
		l->marks = grown;
	}
	l->marks[l->mark_count++] = at;
	return true;
}

static uint64_t decode_list(struct decoder *d, unsigned place, uint64_t at)
{
	unsigned element = d->c->schema.place[place].first_child;
	struct list *grown;
	uint64_t count, i;
	size_t self;

	if (!have(d, at, 4))
		return FAILED;
	count = le_get(d->c->bytes + at, 4);
	if (d->c->schema.place[element].fixed_size)
		return decode_fixed_list(d, element, count, at + 4);

	grown = realloc(d->c->lists, (d->c->list_count + 1) * sizeof(*grown));
	if (!grown)
		return fail(d, ENOMEM, at, "out of memory");
	d->c->lists = grown;
	self = d->c->list_count++;
	d->c->lists[self] = (struct list){ .offset = at };
	at += 4;
	for (i = 0; i < count; i++) {
		if (i % MARK_EVERY == 0 && !add_mark(d, &d->c->lists[self], at))
			return FAILED;
		at = decode(d, element, at);
		if (at == FAILED)
			return fail_in(d, NULL, i);
	}
	d->c->lists[self].end = at;
	return at;
}

/* Where the node of PLACE at AT ends, or FAILED.  As deep as the schema, not as the input. */
static uint64_t decode(struct decoder *d, unsigned place, uint64_t at)
{
	const struct field *row = d->c->schema.place[place].row;

	switch (row->kind) {
	case UINT:
		return decode_uint(d, row, at);
	case BYTES:
		return have(d, at, row->size) ? at + row->size : FAILED;
	case STRING:
	case BLOB:
		return decode_counted(d, row, at);
	case LIST:
		return decode_list(d, place, at);
	case OPTION:
		return decode_option(d, row, at);
	case RECORD:
		return decode_members(d, &d->c->schema.place[place], -1, at);
	case VARIANT:
		return decode_variant(d, place, at);
	case TAG:
	case RAW:
	case END:
		break;
	}
	return at;
}

int container_decode(uint8_t *bytes, size_t n, uint64_t base, struct container **out,
		     struct error *e)
{
	struct decoder d = { .size = n, .base = base, .error = e };
	struct error local;
	uint64_t end;

	if (!e)
		d.error = &local;
	d.c = calloc(1, sizeof(*d.c));
	if (!d.c)
		return error_set(e, ENOMEM, "out of memory");
	schema_init(&d.c->schema);
	d.c->bytes = bytes;
	end = decode(&d, 0, 0);
	if (end == FAILED) {
		d.c->bytes = NULL;
		container_free(d.c);
		return error_prefix(d.error, d.error->code, "%s", d.path);
	}
	d.c->size = end;
	*out = d.c;
	return 0;
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

/*
 * Finding nodes
 */

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

/* Where the node of PLACE at AT ends; its bytes were decoded. */
static uint64_t node_end(const struct container *c, unsigned place, uint64_t at)
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
			at = node_end(c, i, at);
		return at;
	case VARIANT:
		at++;
		for (i = p->first_child; i < p->first_child + p->children; i++)
			if (c->schema.place[i].tag == bytes[0])
				at = node_end(c, i, at);
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
		at = node_end(c, element, at);
	return (struct node){ element, at };
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
			n.offset = node_end(c, n.place, n.offset);
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
			at = node_end(c, n.place, at);
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

/*
 * Values and edits
 */

/* The first edit at or after OFFSET, as an index. */
static size_t find_edit(const struct container *c, uint64_t offset)
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
	size_t i = find_edit(c, n.offset);

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

struct edit *edit_new(const struct container *c, struct node n, const struct value *v,
		      struct timespec when)
{
	struct edit *edit = calloc(1, sizeof(*edit));

	if (!edit)
		return NULL;
	edit->offset = n.offset;
	edit->old_size = node_end(c, n.place, n.offset) - n.offset;
	edit->when = when;
	value_encode(container_row(c, n), v, &edit->wire);
	if (edit->wire.failed) {
		edit_free(edit);
		return NULL;
	}
	return edit;
}

void edit_free(struct edit *edit)
{
	if (!edit)
		return;
	buffer_free(&edit->wire);
	free(edit);
}

bool edit_is_change(const struct container *c, const struct edit *edit)
{
	size_t i = find_edit(c, edit->offset);
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
	size_t i = find_edit(c, edit->offset);

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

	for (i = find_edit(c, at); i < c->edit_count && c->edits[i]->offset < end; i++) {
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

	encode_range(c, n.offset, node_end(c, record, n.offset), NULL, &w);
}

uint64_t container_raw_size(const struct container *c, struct node n)
{
	unsigned record = c->schema.place[n.place].parent;
	uint64_t end = node_end(c, record, n.offset);
	uint64_t size = end - n.offset;
	size_t i;

	for (i = find_edit(c, n.offset); i < c->edit_count && c->edits[i]->offset < end; i++)
		size += c->edits[i]->wire.size - c->edits[i]->old_size;
	return size;
}
