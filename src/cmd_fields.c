/* SPDX-License-Identifier: MIT */
/* smsnap fields: what there can be in a snapshot, from the format's tables. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "computed.h"
#include "form.h"
#include "layout.h"

/* What stands for the index of a list, one for each level, and then inside blobs. */
static const char *const indices[] = { "N", "Q", "I" };
enum { INSIDE = 2 };

struct place_name {
	char path[128];
	unsigned lists; /* around it */
	const char *layout; /* that alone has it, or null */
};

static void print_row(const struct field *row, const char *name,
		      struct place_name in);

static void print_rows(const struct field *rows, struct place_name in)
{
	for (; rows && rows->kind != END; rows++)
		print_row(rows, rows->name, in);
}

/* Whether one of the choices before INDEX has a row that is shown just as ROW. */
static bool is_repeated(const struct choice *choices, unsigned index, const struct field *row)
{
	const struct field *other;
	unsigned i;

	for (i = 0; i < index; i++)
		for (other = choices[i].of; other && other->kind != END; other++)
			if (other->name && other->doc && strcmp(other->name, row->name) == 0 && other->kind == row->kind &&
			    other->size == row->size && strcmp(other->doc, row->doc) == 0)
				return true;
	return false;
}

static void print_choice(const struct choice *choices, unsigned index, struct place_name in)
{
	const struct field *row;

	for (row = choices[index].of; row && row->kind != END; row++)
		if (!row->name || !row->doc || !is_repeated(choices, index, row))
			print_row(row, row->name, in);
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
	size_t used = strlen(in.path);
	char form[FORM_MAX];
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
			print_choice(row->choices, i, in);
		break;
	default:
		printf("%s\t%s\t%s%s%s\n", in.path, form_of(row, form), in.layout ? in.layout : "", in.layout ? ": " : "",
			row->doc);
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
	unsigned i;

	(void)a;
	for (i = 0; (layout = layout_number(i)); i++) {
		header = layout->head->of;
		print_row(header, header->name, (struct place_name){ .layout = layout->name });
		container = header + 1;
	}
	print_rows(container, (struct place_name){ .lists = 0 });
	print_computed();
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
