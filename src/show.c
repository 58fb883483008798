/* SPDX-License-Identifier: MIT */
#include "show.h"

#include <string.h>

#include "printable.h"
#include "text.h"

enum { BYTES_SHOWN = 32, TEXT_SHOWN = 1000 };

/*
 * What is shown of a content: SIZE bytes from the byte AT on.  Of both sides AT is the same, and the
 * bytes before it are.
 */
struct window {
	size_t at;
	size_t size;
};

/* How many bytes of CONTENT there are to be shown: of a text not the newline. */
static size_t size_of(const struct field *row, const struct buffer *content)
{
	return content->size && text_is_text(row) ? content->size - 1 : content->size;
}

/*
 * The first bytes; where both sides have more than these, and these are the same, those around the
 * first that differs.
 */
static struct window find_window(const struct difference *d)
{
	bool text = text_is_text(d->row);
	struct window w = { 0, text ? TEXT_SHOWN : BYTES_SHOWN };
	size_t a = d->old ? size_of(d->row, d->old) : 0, b = d->new ? size_of(d->row, d->new) : 0;
	size_t most = a < b ? a : b, same = 0;

	if (most <= w.size)
		return w;
	while (same < most && d->old->bytes[same] == d->new->bytes[same])
		same++;
	if (same < w.size)
		return w;
	w.at = same - w.size / 2;
	/* Not with the middle of a character. */
	while (text && w.at < same && (d->old->bytes[w.at] & 0xc0) == 0x80)
		w.at++;
	return w;
}

static void show_bytes(FILE *out, const struct buffer *content, const struct window *w)
{
	size_t i;

	fprintf(out, "%s", w->at ? "..." : "");
	for (i = w->at; i < content->size && i - w->at < w->size; i++)
		fprintf(out, "%02x", content->bytes[i]);
	if (content->size > w->size)
		fprintf(out, "%s (%zu bytes)", i < content->size ? "..." : "", content->size);
	else if (!content->size)
		fprintf(out, "(empty)");
}

/* The N bytes at TEXT, at most TEXT_SHOWN; a NUL, which printable takes for the end, is one like others. */
static void show_some(FILE *out, const uint8_t *text, size_t n)
{
	char part[TEXT_SHOWN + 1], shown[4 * TEXT_SHOWN + 1];
	size_t i, size;

	for (i = 0; i < n; i += size) {
		size = strnlen((const char *)text + i, n - i);
		memcpy(part, text + i, size);
		part[size] = 0;
		printable(part, shown, sizeof(shown));
		fprintf(out, "%s", shown);
		if (i + size < n) {
			fprintf(out, "\\x00");
			size++;
		}
	}
}

static void show_text(FILE *out, const struct field *row, const struct buffer *content,
		      const struct window *w)
{
	const char *quote = row->kind == UINT || row->kind == TAG || row->kind == WORD ? "" : "\"";
	size_t left = size_of(row, content) - w->at, n = left < w->size ? left : w->size;

	fprintf(out, "%s%s", quote, w->at ? "..." : "");
	if (n)
		show_some(out, content->bytes + w->at, n);
	fprintf(out, "%s%s", n < left ? "..." : "", quote);
}

static void show_content(FILE *out, const struct field *row, const struct buffer *content,
			 const struct window *w)
{
	if (!content)
		fprintf(out, "(not there)");
	else if (row->access == SECRET)
		fprintf(out, "(%zu secret bytes)", content->size);
	else if (text_is_text(row))
		show_text(out, row, content, w);
	else
		show_bytes(out, content, w);
}

void show_difference(FILE *out, const struct difference *d)
{
	struct window w = find_window(d);

	fprintf(out, "%s: ", d->path);
	show_content(out, d->row, d->old, &w);
	fprintf(out, " -> ");
	show_content(out, d->row, d->new, &w);
	fprintf(out, "\n");
}
