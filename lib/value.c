/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <errno.h>
#include <unistr.h>

#include "le.h"

const struct field *value_row(const struct field *row)
{
	return row->kind == OPTION ? row->of : row;
}

int value_check_size(const struct field *row, uint64_t size)
{
	switch (row->kind) {
	case STRING:
		return size <= row->size ? 0 : -ENAMETOOLONG;
	case BLOB:
		return size <= row->size ? 0 : -EFBIG;
	default:
		if (size == row->size)
			return 0;
		return size > row->size ? -EFBIG : -EINVAL;
	}
}

static int check_uint(const struct field *row, uint64_t v)
{
	uint64_t i;

	for (i = 0; row->words; i++) {
		if (!row->words[i])
			return -EINVAL;
		if (i == v)
			break;
	}
	return row->limit && v >= row->limit ? -ERANGE : 0;
}

int value_check(const struct field *row, const struct value *v)
{
	int err = value_check_size(row, v->size);

	if (err)
		return err;
	switch (row->kind) {
	case UINT:
		return check_uint(row, le_get(v->bytes, row->size));
	case STRING:
		return u8_check(v->bytes, v->size) ? -EILSEQ : 0;
	default:
		return 0;
	}
}

void value_encode(const struct field *row, const struct value *v, struct buffer *out)
{
	if (row->kind == OPTION) {
		buffer_add_uint(out, 1, !v->absent);
		if (v->absent)
			return;
	}
	if (row->kind == STRING || row->kind == BLOB)
		buffer_add_uint(out, 4, v->size);
	buffer_add(out, v->size ? v->bytes : NULL, v->size);
}

struct value value_decode(const struct field *row, const uint8_t *p)
{
	switch (row->kind) {
	case STRING:
	case BLOB:
		return (struct value){ .bytes = p + 4, .size = le_get(p, 4) };
	case TAG:
		return (struct value){ .bytes = p, .size = 1 };
	case OPTION:
		if (p[0] == 0)
			return (struct value){ .absent = true };
		return (struct value){ .bytes = p + 1, .size = row->of->size };
	default:
		return (struct value){ .bytes = p, .size = row->size };
	}
}
