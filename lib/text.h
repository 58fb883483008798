/* SPDX-License-Identifier: MIT */
/* Values as the text of files (docs/tree.md, "Files"). */
#ifndef SMFS_TEXT_H
#define SMFS_TEXT_H

#include "value.h"

/* What a file of a number or a word takes at most, in bytes. */
enum { TEXT_WORD_MAX = 128 };

/* What text_parse needs for a number, in bytes. */
enum { TEXT_SCRATCH = 16 };

/* The number that V, a value of the UINT ROW of at most 8 bytes, which is not none, counts as. */
uint64_t text_number(const struct field *row, const struct value *v);

/* Whether V, a value of the UINT ROW, is shown as the word none. */
bool text_is_none(const struct field *row, const struct value *v);

/* Whether ROW's file is text: a number, word or string.  Else it is bytes. */
bool text_is_text(const struct field *row);

/* The greatest number of bytes that the file of ROW takes; callers see to that. */
size_t text_max(const struct field *row);

/* Append what the file of ROW with the value V holds. */
void text_print(const struct field *row, const struct value *v, struct buffer *out);

/* The number of bytes that text_print would append. */
size_t text_size(const struct field *row, const struct value *v);

/*
 * Read a value for ROW, which has a text, from the N bytes at TEXT into *V,
 * whose bytes then lie in SCRATCH or in TEXT.  0, or a negative errno: -EINVAL,
 * -ERANGE, -EILSEQ, -ENAMETOOLONG.
 */
int text_parse(const struct field *row, const char *text, size_t n, uint8_t scratch[TEXT_SCRATCH],
	       struct value *v);

#endif
