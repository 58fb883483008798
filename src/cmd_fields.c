/* SPDX-License-Identifier: MIT */
/* smsnap fields: what there can be in a snapshot, from the format's tables. */
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "command.h"
#include "computed.h"
#include "form.h"
#include "layout.h"
#include "sidecar.h"

/* What stands for the index of a list, one for each level, and then inside blobs. */
static const char *const indices[] = { "N", "Q", "I" };
enum { INSIDE = 2 };

struct place_name {
	char path[128];
	unsigned lists; /* around it */
	const char *layout; /* that alone has it, or null */
	bool read_only; /* all of it */
	struct buffer *printed; /* lines, each with its NUL */
};

static void print_row(const struct field *row, const char *name,
		      struct place_name in);

static void print_rows(const struct field *rows, struct place_name in)
{
	for (; rows && rows->kind != END; rows++)
		print_row(rows, rows->name, in);
}

/* Print LINE, unless it was: what several choices or states have in common is said once. */
static void print_once(struct buffer *printed, const char *line)
{
	size_t n = strlen(line) + 1;
	const char *p = (const char *)printed->bytes, *end = p ? p + printed->size : p;

	for (; p < end; p += strlen(p) + 1)
		if (strcmp(p, line) == 0)
			return;
	buffer_add(printed, line, n);
	puts(line);
}

/* A line for each id that has a name, or one for all. */
static void print_map(const struct field *row, struct place_name in)
{
	const struct field *value = row->of->of;
	const struct id_name *id;
	char any[32];

	while (value[1].kind != END)
		value++;
	for (id = row->names; id && id->name; id++)
		print_row(value, id->name, in);
	snprintf(any, sizeof(any), "%sN", row->prefix ? row->prefix : "0x");
	print_row(value, any, in);
}

/* Whether a state before STATE has a row that is shown as ROW. */
static bool is_in_earlier(const struct state_row *states, const struct state_row *state,
			  const struct field *row)
{
	const struct field *other;

	for (; states < state; states++)
		for (other = states->of->of; other->kind != END; other++)
			if (other->name && strcmp(other->name, row->name) == 0)
				return true;
	return false;
}

static void print_states(const struct state_row *states, struct place_name in)
{
	const struct state_row *state;
	const struct field *row;

	in.lists = INSIDE;
	for (state = states; state && state->of; state++)
		for (row = state->of->of; row->kind != END; row++)
			if (row->name && !is_in_earlier(states, state, row))
				print_row(row, row->name, in);
}

static void print_row(const struct field *row, const char *name,
		      struct place_name in)
{
	struct place_name around = in;
	struct field shown;
	size_t used = strlen(in.path);
	char form[FORM_MAX], line[512];
	unsigned i;

	if (!name && row->kind != RECORD)
		return; /* it is not shown */
	if (name)
		snprintf(in.path + used, sizeof(in.path) - used, "%s%s", used ? "/" : "", name);
	switch (row->kind) {
	case LIST:
		name = indices[in.lists++];
		print_row(row->of, name, in);
		break;
	case MAP:
		print_map(row, in);
		break;
	case RECORD:
	case STRUCT:
		print_rows(row->views, in);
		print_rows(row->of, in);
		break;
	case VARIANT:
		print_rows(row->views, in);
		for (i = 0; row->choices[i].name; i++)
			print_rows(row->choices[i].of, in);
		break;
	default:
		shown = *row;
		if (in.read_only)
			shown.access = RO;
		snprintf(line, sizeof(line), "%s\t%s\t%s%s%s", in.path, form_of(&shown, form),
			 in.layout ? in.layout : "", in.layout ? ": " : "", row->doc);
		print_once(in.printed, line);
		print_states(row->states, around);
		break;
	}
}

/* The folder of a row has N for every index. */
static void print_computed(void)
{
	const struct computed *row;
	unsigned i, lists;
	const char *p;

	for (i = 0; (row = computed_row(i)); i++) {
		for (p = row->folder, lists = 0; *p; p++) {
			if (*p == 'N' && (p[1] == '/' || !p[1]))
				printf("%s", indices[lists++]);
			else
				putchar(*p);
		}
		printf("%s%s\ttext, read-only\t%s\n", *row->folder ? "/" : "", row->name, row->doc);
	}
}

static int print_fields(const struct arguments *a)
{
	const struct field *header, *container = NULL;
	const struct layout *layout;
	struct buffer lines = { 0 };
	unsigned i;

	(void)a;
	for (i = 0; (layout = layout_number(i)); i++) {
		header = layout->head->of;
		print_row(header, header->name, (struct place_name){ .layout = layout->name, .printed = &lines });
		container = header + 1;
	}
	print_rows(container, (struct place_name){ .printed = &lines });
	for (i = 0; i < SIDECARS; i++)
		print_rows(sidecar_row(i)->of, (struct place_name){ .path = SIDECAR_FOLDER, .layout = "hvf",
								    .read_only = true, .printed = &lines });
	print_computed();
	if (lines.failed)
		return complain(WRONG_INPUT, "out of memory");
	buffer_free(&lines);
	return printed();
}

const struct command cmd_fields = {
	.name = "fields",
	.operands = "",
	.summary = "list what there can be in a snapshot",
	.help = "A line for each file of the tree: its path, with capitals for indices, what it\n"
		"holds, and what that means, separated by tabs.\n",
	.run = print_fields,
};
