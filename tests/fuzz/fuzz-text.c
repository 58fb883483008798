/* SPDX-License-Identifier: MIT */
/* Text to values: the first byte is the number of a row, the rest its text. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "le.h"
#include "text.h"

/* Every row of the table that text is parsed for. */
struct rows {
	const struct field *row[64];
	size_t count;
};

static void collect(struct rows *r, const struct field *row)
{
	const struct choice *choice;
	const struct field *child;

	if (row->kind != TAG && row->kind != WORD && text_is_text(row)) {
		demand(r->count < 64, "more rows than there is room for");
		r->row[r->count++] = row;
	}
	if (row->kind == LIST)
		collect(r, row->of);
	for (child = row->of; row->kind == RECORD && child->kind != END; child++)
		collect(r, child);
	for (choice = row->choices; row->kind == VARIANT && choice->name; choice++)
		for (child = choice->of; child->kind != END; child++)
			collect(r, child);
}

static void check_string(const struct value *v, int err, const char *text, size_t n)
{
	size_t size = n > 0 && text[n - 1] == '\n' ? n - 1 : n;

	if (size > FORMAT_STRING_MAX)
		demand(err == -ENAMETOOLONG, "%zu bytes gave %d", size, err);
	else if (!model_utf8((const uint8_t *)text, size))
		demand(err == -EILSEQ, "not UTF-8 gave %d", err);
	else
		demand(!err && v->size == size && v->bytes == (const uint8_t *)text,
		       "UTF-8 gave %d", err);
}

static void check_number(const struct field *row, const struct value *v, int err,
			 const char *text, size_t n)
{
	uint64_t expected = 0;
	int expected_err = model_text(row, text, n, &expected);

	demand(err == expected_err, "gave %d, not %d", err, expected_err);
	if (!err)
		demand(v->size == row->size && le_get(v->bytes, row->size) == expected,
		       "not the number %llu", (unsigned long long)expected);
}

/* The text that is shown for V is V again. */
static void check_canonical(const struct field *row, const struct value *v)
{
	struct buffer shown = { 0 }, again = { 0 };
	uint8_t scratch[TEXT_SCRATCH];
	struct value same;

	demand(!value_check(row, v), "a value that can't be");
	text_print(row, v, &shown);
	demand(!shown.failed && shown.size == text_size(row, v) && shown.size <= text_max(row),
	       "shown in %zu bytes", shown.size);
	demand(!text_parse(row, (char *)shown.bytes, shown.size, scratch, &same) &&
	       same.size == v->size && memcmp(same.bytes, v->bytes, v->size) == 0,
	       "what is shown is another value");
	text_print(row, &same, &again);
	demand_bytes("shown again", &again, shown.bytes, shown.size);
	buffer_free(&shown);
	buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rows rows;
	struct input in = { data, size };
	struct value v = { .size = 0 };
	const struct field *row;
	uint8_t scratch[TEXT_SCRATCH];
	size_t n;
	char *text;
	int err;

	if (!rows.count)
		collect(&rows, &format_hvf);
	row = rows.row[input_uint(&in, 1) % rows.count];
	n = in.left < text_max(row) ? in.left : text_max(row);
	text = fuzz_copy(in.at, n);
	err = text_parse(row, text, n, scratch, &v);
	demand(n == 0 || memcmp(text, in.at, n) == 0, "the text was changed");
	if (row->kind == STRING)
		check_string(&v, err, text, n);
	else
		check_number(row, &v, err, text, n);
	if (!err)
		check_canonical(row, &v);
	free(text);
	return 0;
}
