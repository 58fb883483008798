/* SPDX-License-Identifier: MIT */
/*
 * The value of a leaf: its bytes without what the format puts around them
 * (count, presence).  A UINT's are its little-endian bytes, a TAG's its byte, an
 * absent OPTION's none.
 */
#ifndef SMFS_VALUE_H
#define SMFS_VALUE_H

#include "buffer.h"
#include "format.h"

struct value {
	const uint8_t *bytes; /* not owned */
	size_t size;
};

/*
 * Whether a value of SIZE bytes can be one of ROW's: 0, or a negative errno:
 * -EFBIG for too many bytes, -ENAMETOOLONG in a STRING, -EINVAL for too few.  In
 * one place for all that reads or edits.
 */
int value_check_size(const struct field *row, uint64_t size);

/*
 * Whether V can be ROW's value: 0, or what value_check_size answers, -EILSEQ for a
 * STRING that is not UTF-8, -EINVAL for a word that is not listed or other magic,
 * -ERANGE for a number that can't be.
 */
int value_check(const struct field *row, const struct value *v);

/* Append V as the format has it in ROW, which is a leaf that is not a view. */
void value_encode(const struct field *row, const struct value *v, struct buffer *out);

/*
 * The value in the bytes at P, which are a whole and valid encoding of ROW.
 */
struct value value_decode(const struct field *row, const uint8_t *p);

#endif
