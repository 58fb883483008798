/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "le.h"

static const char NONE[] = "none";

/* A number's text with its NUL, at most; the longest is 0x and 32 digits. */
enum { NUMBER_MAX = 40 };

/* Bytes of a value of ROW that count. */
static uint32_t shown_size(const struct field *row)
{
	return row->shown ? row->shown : row->size;
}

/* The number in V, which has 16 bytes. */
static u128 wide_number(const struct value *v)
{
	u128 n = 0;

	le_read_u128(v->bytes, v->size, &n);
	return n;
}

uint64_t text_number(const struct field *row, const struct value *v)
{
	uint64_t n = le_get(v->bytes, shown_size(row));

	return row->base == BOOL ? n != 0 : n;
}

bool text_is_none(const struct field *row, const struct value *v)
{
	return row->none && le_get(v->bytes, row->size) == row->none;
}

bool text_is_text(const struct field *row)
{
	return row->kind == UINT || row->kind == STRING || row->kind == TEXT || row->kind == TAG ||
	       row->kind == WORD;
}

size_t text_max(const struct field *row)
{
	return row->kind == STRING ? row->size + 1 : TEXT_WORD_MAX;
}

/* The text of a number or word, without the newline; null if V is neither. */
static const char *short_text(const struct field *row, const struct value *v, char number[NUMBER_MAX])
{
	uint64_t n;

	if (row->kind == TAG)
		return row->choices[v->bytes[0]].name;
	if (row->kind == WORD)
		return row->words[0];
	if (row->kind != UINT)
		return NULL;
	if (text_is_none(row, v))
		return NONE;
	if (row->size == 16) {
		u128 wide = wide_number(v);

		snprintf(number, NUMBER_MAX, "0x%016" PRIx64 "%016" PRIx64, (uint64_t)(wide >> 64),
			 (uint64_t)wide);
		return number;
	}
	n = text_number(row, v);
	if (row->words)
		return row->words[n];
	snprintf(number, NUMBER_MAX, row->base == HEX ? "0x%" PRIx64 : "%" PRIu64, n);
	return number;
}

void text_print(const struct field *row, const struct value *v, struct buffer *out)
{
	char number[NUMBER_MAX];
	const char *text;

	text = short_text(row, v, number);
	if (text)
		buffer_add(out, text, strlen(text));
	else
		buffer_add(out, v->size ? v->bytes : NULL, v->size);
	if (text || row->kind == STRING || row->kind == TEXT)
		buffer_add(out, "\n", 1);
}

size_t text_size(const struct field *row, const struct value *v)
{
	char number[NUMBER_MAX];
	const char *text;

	text = short_text(row, v, number);
	return (text ? strlen(text) : v->size) + (text || row->kind == STRING || row->kind == TEXT);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* The power of 1,024 that the suffix C stands for, as a shift; -1 if it is none. */
static int suffix_shift(char c)
{
	const char *suffixes = "KMGT";
	const char *found = c ? strchr(suffixes, c) : NULL;

	return found ? (int)(found - suffixes + 1) * 10 : -1;
}

static int parse_number(const struct field *row, const char *text, size_t n, u128 *out)
{
	bool overflow = false;
	u128 v = 0;
	int base = 10;
	int suffix, shift = 0;

	if (n > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
		n -= 2;
	}
	suffix = n > 1 && row->base == SIZE ? suffix_shift(text[n - 1]) : -1;
	if (suffix > 0) {
		shift = suffix;
		n--;
	}
	if (n == 0)
		return -EINVAL;
	for (; n > 0; text++, n--) {
		int d = digit(*text);

		if (d >= base)
			return -EINVAL;
		overflow |= __builtin_mul_overflow(v, (u128)base, &v);
		overflow |= __builtin_add_overflow(v, (u128)d, &v);
	}
	overflow |= __builtin_mul_overflow(v, (u128)1 << shift, &v);
	if (overflow || (shown_size(row) < 16 && v >> (shown_size(row) * 8)) ||
	    (row->base == BOOL && v > 1))
		return -ERANGE;
	*out = v;
	return 0;
}

static int parse_word(const struct field *row, const char *text, size_t n, u128 *out)
{
	unsigned i;

	for (i = 0; row->words[i]; i++) {
		if (strlen(row->words[i]) == n && memcmp(row->words[i], text, n) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

int text_parse(const struct field *row, const char *text, size_t n, uint8_t scratch[TEXT_SCRATCH],
	       struct value *v)
{
	u128 number = 0;
	int err = 0;

	if (row->kind == STRING) {
		if (n > 0 && text[n - 1] == '\n')
			n--;
		*v = (struct value){ .bytes = (const uint8_t *)text, .size = n };
		return value_check(row, v);
	}
	while (n > 0 && is_blank(text[0])) {
		text++;
		n--;
	}
	while (n > 0 && is_blank(text[n - 1]))
		n--;
	if (row->words)
		err = parse_word(row, text, n, &number);
	else if (row->none && n == strlen(NONE) && memcmp(text, NONE, n) == 0)
		number = row->none;
	else
		err = parse_number(row, text, n, &number);
	if (err)
		return err;
	le_put(scratch, 8, (uint64_t)number);
	le_put(scratch + 8, 8, (uint64_t)(number >> 64));
	*v = (struct value){ .bytes = scratch, .size = row->size };
	return value_check(row, v);
}
