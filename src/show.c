/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <string.h>

#include "printable.h"
#include "text.h"

enum { BYTES_SHOWN = 32, TEXT_SHOWN = 1000 };

static void show_bytes(FILE *out, const struct buffer *content)
{
	size_t i;

	for (i = 0; i < content->size && i < BYTES_SHOWN; i++)
		fprintf(out, "%02x", content->bytes[i]);
	if (content->size > BYTES_SHOWN)
		fprintf(out, "... (%zu bytes)", content->size);
	else if (!content->size)
		fprintf(out, "(empty)");
}

static void show_text(FILE *out, const struct field *row, const struct buffer *content)
{
	const char *quote = row->kind == UINT || row->kind == TAG || row->kind == WORD ? "" : "\"";
	char text[TEXT_SHOWN + 1] = "", shown[4 * TEXT_SHOWN + 1];
	size_t n = content->size ? content->size - 1 : 0, i; /* without the newline */

	for (i = 0; i < n && i < TEXT_SHOWN; i++)
		text[i] = content->bytes[i] ? (char)content->bytes[i] : '\1';
	text[i] = 0;
	printable(text, shown, sizeof(shown));
	fprintf(out, "%s%s%s%s", quote, shown, n > TEXT_SHOWN ? "..." : "", quote);
}

static void show_content(FILE *out, const struct field *row, const struct buffer *content)
{
	if (!content)
		fprintf(out, "(not there)");
	else if (row->access == SECRET)
		fprintf(out, "(%zu secret bytes)", content->size);
	else if (text_is_text(row))
		show_text(out, row, content);
	else
		show_bytes(out, content);
}

void show_difference(FILE *out, const struct difference *d)
{
	fprintf(out, "%s: ", d->path);
	show_content(out, d->row, d->old);
	fprintf(out, " -> ");
	show_content(out, d->row, d->new);
	fprintf(out, "\n");
}
