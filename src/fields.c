/* SPDX-License-Identifier: MIT */
#include "fields.h"

#include <inttypes.h>
#include <string.h>

#include "layout.h"

/* What stands for the index of a list, one for each level. */
static const char *const indices[] = { "N", "Q" };

struct place_name {
	char path[128];
	unsigned lists; /* around it */
	const char *layout; /* that alone has it, or null */
};

static void print_words(FILE *out, const struct field *row)
{
	unsigned i;

	for (i = 0; row->words && row->words[i]; i++)
		fprintf(out, "%s%s", i ? "|" : "", row->words[i]);
	for (i = 0; row->choices && row->choices[i].name; i++)
		fprintf(out, "%s%s", i ? "|" : "", row->choices[i].name);
}

static void print_form(FILE *out, const struct field *row)
{
	switch (row->kind) {
	case UINT:
		if (row->words)
			print_words(out, row);
		else
			fprintf(out, "%s%" PRIu32, row->base == HEX ? "hex" : "number",
				row->size * 8);
		break;
	case TAG:
	case WORD:
		print_words(out, row);
		break;
	case STRING:
		fprintf(out, "string<=%" PRIu32, row->size);
		break;
	case BLOB:
		fprintf(out, "bytes<=%" PRIu32, row->size);
		break;
	case BYTES:
		fprintf(out, "bytes=%" PRIu32, row->size);
		break;
	case OPTION:
		fprintf(out, "bytes=%" PRIu32 " or none", row->size);
		break;
	default:
		fputs("bytes", out);
		break;
	}
	if (row->access == RO)
		fputs(", read-only", out);
}

static void print_row(FILE *out, const struct field *row, const char *name,
		      struct place_name in);

static void print_rows(FILE *out, const struct field *rows, struct place_name in)
{
	for (; rows && rows->kind != END; rows++)
		print_row(out, rows, rows->name, in);
}

static void print_row(FILE *out, const struct field *row, const char *name,
		      struct place_name in)
{
	size_t used = strlen(in.path);
	unsigned i;

	if (!name && row->kind != RECORD)
		return; /* it is not shown */
	if (name)
		snprintf(in.path + used, sizeof(in.path) - used, "%s%s", used ? "/" : "", name);
	switch (row->kind) {
	case LIST:
		name = indices[in.lists++];
		print_row(out, row->of, name, in);
		break;
	case RECORD:
		print_rows(out, row->views, in);
		print_rows(out, row->of, in);
		break;
	case VARIANT:
		print_rows(out, row->views, in);
		for (i = 0; row->choices[i].name; i++)
			print_rows(out, row->choices[i].of, in);
		break;
	default:
		fprintf(out, "%s\t", in.path);
		print_form(out, row);
		fprintf(out, "\t%s%s%s\n", in.layout ? in.layout : "", in.layout ? ": " : "",
			row->doc);
		break;
	}
}

void fields_print(FILE *out)
{
	const struct field *header, *container = NULL;
	const struct layout *layout;
	unsigned i;

	for (i = 0; (layout = layout_number(i)); i++) {
		header = layout->head->of;
		print_row(out, header, header->name, (struct place_name){ .layout = layout->name });
		container = header + 1;
	}
	print_rows(out, container, (struct place_name){ .lists = 0 });
}
