/* SPDX-License-Identifier: MIT */
#include "leaf.h"

static void add_slice(struct buffer *out, const uint8_t *bytes, size_t size, uint64_t offset,
		      size_t n)
{
	if (offset < size)
		buffer_add(out, bytes + offset, size - offset < n ? size - offset : n);
}

int leaf_show(const struct container *c, struct node n, uint64_t offset, size_t size,
	      struct buffer *out)
{
	const struct field *row = container_row(c, n);
	struct buffer text = { 0 };
	struct value v;
	int err;

	if (row->kind == RAW) {
		container_raw(c, n, offset, size, out);
		return out->failed ? -ENOMEM : 0;
	}
	err = container_value(c, n, &v);
	if (!err && text_is_text(row)) {
		text_print(row, &v, &text);
		v = (struct value){ .bytes = text.bytes, .size = text.size };
		out->failed |= text.failed;
	}
	if (!err)
		add_slice(out, v.bytes, v.size, offset, size);
	buffer_free(&text);
	return out->failed ? -ENOMEM : err;
}

int leaf_parse(const struct field *row, const void *bytes, size_t size,
	       uint8_t scratch[TEXT_SCRATCH], struct value *v)
{
	if (row->access == RO)
		return -EACCES;
	*v = (struct value){ .bytes = bytes, .size = size };
	if (!text_is_text(row))
		return value_check(row, v);
	if (size > text_max(row))
		return row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	return text_parse(row, size ? bytes : "", size, scratch, v);
}

int leaf_edit(const struct container *c, struct node n, const void *bytes, size_t size,
	      struct timespec when, struct edits *edits)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct buffer resolved = { 0 };
	struct value v, to;
	int err = leaf_parse(container_row(c, n), bytes, size, scratch, &v);

	if (!err)
		err = edits_resolve(c, n, &v, &resolved);
	to = (struct value){ resolved.bytes, resolved.size };
	if (!err)
		err = edits_make(edits, c, n, &v, &to, when, NULL);
	buffer_free(&resolved);
	return err;
}
