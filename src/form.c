/* SPDX-License-Identifier: MIT */
#include "form.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(char out[FORM_MAX], const char *format, ...)
{
	size_t used = strlen(out);
	va_list ap;

	va_start(ap, format);
	vsnprintf(out + used, FORM_MAX - used, format, ap);
	va_end(ap);
}

static void add_words(const struct field *row, char out[FORM_MAX])
{
	unsigned i;

	for (i = 0; row->words && row->words[i]; i++)
		add(out, "%s%s", i ? "|" : "", row->words[i]);
	for (i = 0; row->choices && row->choices[i].name; i++)
		add(out, "%s%s", i ? "|" : "", row->choices[i].name);
}

const char *form_of(const struct field *row, char out[FORM_MAX])
{
	out[0] = 0;
	switch (row->kind) {
	case UINT:
		if (row->words)
			add_words(row, out);
		else
			add(out, "%s%" PRIu32, row->base == HEX ? "hex" : "number", row->size * 8);
		break;
	case TAG:
	case WORD:
		add_words(row, out);
		break;
	case STRING:
		add(out, "string<=%" PRIu32, row->size);
		break;
	case TEXT:
		add(out, "text");
		break;
	case BLOB:
		add(out, "bytes<=%" PRIu32, row->size);
		break;
	case BYTES:
		add(out, "bytes=%" PRIu32, row->size);
		break;
	case OPTION:
		add(out, "bytes=%" PRIu32 " or none", row->size);
		break;
	default:
		add(out, "bytes");
		break;
	}
	if (row->access == RO)
		add(out, ", read-only");
	return out;
}

/* The greatest number that ROW takes. */
static uint64_t greatest(const struct field *row)
{
	uint32_t bytes = row->shown ? row->shown : row->size;

	if (row->base == BOOL)
		return 1;
	if (row->only || row->most)
		return row->only ? row->only : row->most;
	return bytes < 8 ? (UINT64_C(1) << 8 * bytes) - 1 : UINT64_MAX;
}

const char *form_wanted(const struct field *row, char out[FORM_MAX])
{
	out[0] = 0;
	if (row->access == RO) {
		add(out, "read-only");
	} else if (row->kind == UINT && !row->words && row->size <= 8) {
		add(out, row->base == HEX ? "a number from 0 to 0x%" PRIx64 : "a number from 0 to %" PRIu64,
		    greatest(row));
		if (row->none)
			add(out, ", or none");
		if (row->base == SIZE)
			add(out, ", with K, M, G or T if you like");
	} else if (row->kind == UINT && !row->words) {
		add(out, "a number of %" PRIu32 " bits", row->size * 8);
	} else if (row->kind == STRING) {
		add(out, "UTF-8 of at most %" PRIu32 " bytes", row->size);
	} else if (row->kind == BLOB) {
		add(out, "at most %" PRIu32 " bytes", row->size);
	} else if (row->kind == BYTES || row->kind == OPTION) {
		add(out, "%" PRIu32 " bytes%s", row->size, row->kind == OPTION ? ", or none" : "");
	} else if (row->words || row->choices) {
		add(out, "one of ");
		add_words(row, out);
	} else {
		form_of(row, out);
	}
	return out;
}
