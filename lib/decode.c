/* SPDX-License-Identifier: MIT */
/* Decoding: the only code that looks at bytes that nobody has checked. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoded.h"
#include "le.h"
#include "value.h"

static const uint64_t FAILED = UINT64_MAX;

struct decoder {
	struct decoded *out;
	uint64_t size; /* of d->bytes */
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

static uint64_t decode_node(struct decoder *d, unsigned place, uint64_t at);

static uint64_t decode_counted(struct decoder *d, const struct field *row, uint64_t at)
{
	struct value v;
	uint64_t n;

	if (!have(d, at, 4))
		return FAILED;
	n = le_get(d->out->bytes + at, 4);
	if (value_check_size(row, n))
		return fail(d, ERR_MALFORMED, at, "%" PRIu64 " bytes, at most %" PRIu32 " are allowed",
			    n, row->size);
	if (!have(d, at + 4, n))
		return FAILED;
	v = value_decode(row, d->out->bytes + at);
	if (value_check(row, &v))
		return fail(d, ERR_MALFORMED, at + 4, "not UTF-8");
	return at + 4 + n;
}

static uint64_t decode_bytes(struct decoder *d, const struct field *row, uint64_t at)
{
	struct value v;

	/* Bytes that are none have no address. */
	if (!have(d, at, row->size))
		return FAILED;
	v = (struct value){ .bytes = d->out->bytes + at, .size = row->size };
	if (row->only && value_check(row, &v))
		return fail(d, ERR_MALFORMED, at,
			    "is %" PRIu64 ", only %" PRIu64 " is read here; take the snapshot anew with a monitor that writes that",
			    le_get(v.bytes, row->size), row->only);
	if (row->kind == UINT && value_check(row, &v))
		return fail(d, ERR_MALFORMED, at, "%" PRIu64 " is not a valid value",
			    le_get(v.bytes, row->size));
	if (value_check(row, &v))
		return fail(d, ERR_MALFORMED, at, "not the bytes that mark this layout");
	return at + row->size;
}

static uint64_t decode_option(struct decoder *d, const struct field *row, uint64_t at)
{
	uint8_t presence;

	if (!have(d, at, 1))
		return FAILED;
	presence = d->out->bytes[at];
	if (presence > 1)
		return fail(d, ERR_MALFORMED, at, "presence byte is %u, not 0 or 1", presence);
	if (presence && !have(d, at + 1, row->size))
		return FAILED;
	return at + 1 + (presence ? row->size : 0);
}

static uint64_t decode_map(struct decoder *d, unsigned place, uint64_t record, uint64_t at);

/* One child of the RECORD or VARIANT whose members begin at START. */
static uint64_t decode_member(struct decoder *d, unsigned place, uint64_t start, uint64_t at)
{
	return d->out->schema->place[place].row->kind == MAP ? decode_map(d, place, start, at)
							   : decode_node(d, place, at);
}

/* The children of PLACE that have TAG, one after the other. */
static uint64_t decode_members(struct decoder *d, const struct place *p, int16_t tag, uint64_t at)
{
	const struct place *child = &d->out->schema->place[p->first_child];
	const struct place *end = child + p->children;
	uint64_t start = at;
	const char *name;

	while (child < end) {
		name = child->row->name ? child->row->name : child->row->doc;
		if (child->tag != tag) {
			child++;
		} else if (child->run && child->run_size <= d->size - at) {
			at += child->run_size;
			child += child->run;
		} else {
			at = decode_member(d, (unsigned)(child - d->out->schema->place), start, at);
			if (at == FAILED)
				return name ? fail_in(d, name, 0) : FAILED;
			child++;
		}
	}
	return at;
}

static uint64_t decode_variant(struct decoder *d, unsigned place, uint64_t at)
{
	const struct place *p = &d->out->schema->place[place];
	unsigned choices = 0;
	uint8_t tag;

	if (!have(d, at, 1))
		return FAILED;
	while (p->row->choices[choices].name)
		choices++;
	tag = d->out->bytes[at];
	if (tag >= choices)
		return fail(d, ERR_MALFORMED, at, "tag is %u, at most %u is defined", tag,
			    choices - 1);
	return decode_members(d, p, tag, at + 1);
}

/* Elements of one size need no index, and where any bytes will do, no look. */
static uint64_t decode_fixed_list(struct decoder *d, unsigned element, uint64_t count,
				  uint64_t at)
{
	const struct place *p = &d->out->schema->place[element];
	uint64_t n = cap_count(count, p->min_size, d->size - at);
	uint64_t i;

	for (i = 0; p->checked && i < n; i++)
		if (decode_node(d, element, at + i * p->min_size) == FAILED)
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

/* Append one; lists are met in the order of their offsets, and of places at one offset. */
static struct list *add_list(struct decoder *d, unsigned place, uint64_t at)
{
	struct list *grown = realloc(d->out->lists, (d->out->list_count + 1) * sizeof(*grown));

	if (!grown) {
		fail(d, ENOMEM, at, "out of memory");
		return NULL;
	}
	d->out->lists = grown;
	grown[d->out->list_count] = (struct list){ .offset = at, .place = place };
	return &grown[d->out->list_count++];
}

/* No list is in one whose elements differ in size, so the struct list stays where it is. */
static uint64_t decode_list(struct decoder *d, unsigned place, uint64_t at)
{
	const struct place *p = &d->out->schema->place[place];
	unsigned element = p->first_child;
	struct list *l;
	uint64_t i;

	if (p->row->times)
		return have(d, at, p->min_size) ? at + p->min_size : FAILED;
	if (!have(d, at, p->row->size))
		return FAILED;
	if (d->out->schema->place[element].fixed_size)
		return decode_fixed_list(d, element, decoded_count(d->out, place, at),
					 at + p->row->size);
	l = add_list(d, place, at);
	if (!l)
		return FAILED;
	l->count = decoded_count(d->out, place, at);
	at += p->row->size;
	for (i = 0; i < l->count; i++) {
		if (i % MARK_EVERY == 0 && !add_mark(d, l, at))
			return FAILED;
		at = decode_node(d, element, at);
		if (at == FAILED)
			return fail_in(d, NULL, i);
	}
	l->end = at;
	return at;
}

static int by_id(const void *a, const void *b)
{
	const struct map_entry *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* RECORD is where the record that the map is in starts: its count is there. */
static uint64_t decode_map(struct decoder *d, unsigned place, uint64_t record, uint64_t at)
{
	const struct place *p = &d->out->schema->place[place];
	uint64_t size = d->out->schema->place[p->first_child].min_size;
	uint64_t count, there, i;
	struct list *l;

	count = le_get(d->out->bytes + decoded_member(d->out, place - p->row->counted, record), 4);
	there = p->row->times ? p->row->times : cap_count(count, size, d->size - at);
	if (!have(d, at, there * size) || (there < count && !p->row->times && !have(d, at + there * size, size)))
		return FAILED;
	l = add_list(d, place, at);
	if (!l)
		return FAILED;
	l->count = count < there ? count : there;
	l->end = at + there * size;
	l->entries = malloc((l->count + 1) * sizeof(*l->entries));
	if (!l->entries)
		return fail(d, ENOMEM, at, "out of memory");
	for (i = 0; i < l->count; i++)
		l->entries[i] = (struct map_entry){ (uint32_t)le_get(d->out->bytes + at + i * size, 4), (uint32_t)i };
	qsort(l->entries, l->count, sizeof(*l->entries), by_id);
	return l->end;
}

/* Where the node of PLACE at AT ends, or FAILED.  As deep as the schema, not as the input. */
static uint64_t decode_node(struct decoder *d, unsigned place, uint64_t at)
{
	const struct field *row = d->out->schema->place[place].row;

	switch (row->kind) {
	case UINT:
	case BYTES:
	case MAGIC:
	case STRUCT:
		return decode_bytes(d, row, at);
	case STRING:
	case BLOB:
	case TEXT:
		return decode_counted(d, row, at);
	case LIST:
		return decode_list(d, place, at);
	case OPTION:
		return decode_option(d, row, at);
	case RECORD:
		return decode_members(d, &d->out->schema->place[place], -1, at);
	case VARIANT:
		return decode_variant(d, place, at);
	case MAP: /* decode_member */
	case TAG:
	case RAW:
	case WORD:
	case END:
		break;
	}
	return at;
}

int decode(const struct schema *schema, unsigned root, const uint8_t *bytes, uint64_t n,
	   uint64_t base, struct decoded *out, struct error *e)
{
	struct decoder d = { .out = out, .size = n, .base = base, .error = e };
	struct error local = { 0 };
	uint64_t end;

	if (!e)
		d.error = &local;
	*out = (struct decoded){ .schema = schema, .bytes = bytes };
	end = decode_node(&d, root, 0);
	if (end == FAILED) {
		decoded_free(out);
		return error_prefix(d.error, d.error->code, "%s", d.path);
	}
	out->size = end;
	return 0;
}
