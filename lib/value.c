/* SPDX-License-Identifier: MIT */
#include "value.h"

#include <errno.h>
#include <string.h>
#include <unistr.h>

#include "le.h"

int value_check_size(const struct field *row, uint64_t size)
{
	switch (row->kind) {
	case STRING:
		return size <= row->size ? 0 : -ENAMETOOLONG;
	case BLOB:
	case TEXT:
		return size <= row->size ? 0 : -EFBIG;
	case OPTION:
		if (size == 0)
			return 0;
		/* fall through */
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
	return (row->only && v != row->only) || (row->most && v > row->most) ? -ERANGE : 0;
}

int value_check(const struct field *row, const struct value *v)
{
	int err = value_check_size(row, v->size);

	if (err)
		return err;
	switch (row->kind) {
	case UINT:
		if (!row->words && !row->only && !row->most)
			return 0;
		return check_uint(row, le_get(v->bytes, row->size));
	case MAGIC:
		return memcmp(v->bytes, row->magic, v->size) ? -EINVAL : 0;
	case STRING:
		return u8_check(v->bytes, v->size) ? -EILSEQ : 0;
	default:
		return 0;
	}
}

void value_encode(const struct field *row, const struct value *v, struct buffer *out)
{
	if (row->kind == OPTION)
		buffer_add_uint(out, 1, v->size != 0);
	if (row->kind == STRING || row->kind == BLOB || row->kind == TEXT)
		buffer_add_uint(out, 4, v->size);
	buffer_add(out, v->size ? v->bytes : NULL, v->size);
}

struct value value_decode(const struct field *row, const uint8_t *p)
{
	switch (row->kind) {
	case STRING:
	case BLOB:
	case TEXT:
		return (struct value){ .bytes = p + 4, .size = le_get(p, 4) };
	case TAG:
		return (struct value){ .bytes = p, .size = 1 };
	case OPTION:
		return (struct value){ .bytes = p + 1, .size = p[0] ? row->size : 0 };
	default:
		return (struct value){ .bytes = p, .size = row->size };
	}
}
