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
