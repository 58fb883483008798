/* SPDX-License-Identifier: MIT */
/* Reading a container: the only code that looks at bytes that nobody has checked. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

static const uint64_t FAILED = UINT64_MAX;

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

static uint64_t decode_bytes(struct decoder *d, const struct field *row, uint64_t at)
{
	struct value v = { .bytes = d->c->bytes + at, .size = row->size };

	if (!have(d, at, row->size))
		return FAILED;
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
	presence = d->c->bytes[at];
	if (presence > 1)
		return fail(d, ERR_MALFORMED, at, "presence byte is %u, not 0 or 1", presence);
	if (presence && !have(d, at + 1, row->size))
		return FAILED;
	return at + 1 + (presence ? row->size : 0);
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
				return child->row->name ? fail_in(d, child->row->name, 0) : FAILED;
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
	case BYTES:
	case MAGIC:
		return decode_bytes(d, row, at);
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
	case WORD:
	case END:
		break;
	}
	return at;
}

int container_decode(const struct field *root, uint8_t *bytes, size_t n, uint64_t base,
		     struct container **out, struct error *e)
{
	struct decoder d = { .size = n, .base = base, .error = e };
	struct error local = { 0 };
	uint64_t end;

	if (!e)
		d.error = &local;
	d.c = calloc(1, sizeof(*d.c));
	if (!d.c)
		return error_set(e, ENOMEM, "out of memory");
	schema_init(&d.c->schema, root);
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
