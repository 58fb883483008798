/* SPDX-License-Identifier: MIT */
#include "schema.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Add a place of ROW below PARENT, which has all that it has of its own. */
static int add_place(struct schema *s, unsigned parent, const struct field *row, int16_t tag)
{
	unsigned room = s->room ? s->room * 2 : 128;
	const struct place *p;
	struct place *grown;

	assert(s->count < SCHEMA_MAX);
	if (s->count == s->room) {
		grown = realloc(s->place, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->place = grown;
		s->room = room;
	}
	s->place[s->count] = (struct place){ .row = row, .parent = (uint16_t)parent, .tag = tag };
	if (s->count > 0) {
		p = &s->place[parent];
		s->place[s->count].owner = p->row->kind == BLOB ? (uint16_t)parent : p->owner;
		s->place[s->count].counted = p->counted || (p->owner && p->row->kind == MAP) ||
					     (p->owner && p->row->kind == LIST && !p->row->times);
		s->place[parent].children++;
	}
	s->count++;
	return 0;
}

static int add_rows(struct schema *s, unsigned parent, const struct field *rows, int16_t tag)
{
	int err = 0;

	for (; !err && rows && rows->kind != END; rows++) {
		if (rows->kind == RECORD && !rows->name)
			err = add_rows(s, parent, rows->of, tag);
		else
			err = add_place(s, parent, rows, tag);
	}
	return err;
}

/* The states of the blob PARENT that are among those of the head's MACHINES. */
static int add_states(struct schema *s, unsigned parent, unsigned machines)
{
	const struct state_row *state = s->place[parent].row->states;
	int err = 0;

	/* What it holds is shown in the RECORD around it, which it is the first thing of. */
	assert(!state || s->place[s->place[parent].parent].first_child == parent);
	for (; !err && state && state->of; state++)
		if (state->machines & machines)
			err = add_place(s, parent, state->of, -1);
	return err;
}

static int add_children(struct schema *s, unsigned parent)
{
	const struct field *row = s->place[parent].row;
	int16_t tag;
	int err;

	s->place[parent].first_child = (uint16_t)s->count;
	switch (row->kind) {
	case RECORD:
	case STRUCT:
		err = add_rows(s, parent, row->views, -1);
		return err ? err : add_rows(s, parent, row->of, -1);
	case VARIANT:
		err = add_rows(s, parent, row->views, -1);
		for (tag = 0; !err && row->choices[tag].name; tag++)
			err = add_rows(s, parent, row->choices[tag].of, tag);
		return err;
	case LIST:
	case MAP:
		return add_place(s, parent, row->of, -1);
	case BLOB:
		return add_states(s, parent, s->place[0].row->machines);
	default:
		return 0;
	}
}

/* The sizes and checks of P, whose children have theirs. */
static void set_bounds(struct schema *s, struct place *p)
{
	const struct place *child = &s->place[p->first_child];
	const struct field *row = p->row;
	unsigned i;

	if (row->at_end) {
		p->fixed_size = true;
		return;
	}
	switch (row->kind) {
	case UINT:
	case BYTES:
	case MAGIC:
		p->min_size = row->size;
		p->fixed_size = true;
		p->checked = row->only || row->most || row->words || row->kind == MAGIC;
		break;
	case STRUCT:
		p->min_size = row->size;
		p->fixed_size = true;
		for (i = 0; i < p->children; i++) /* they are not looked at */
			assert(child[i].fixed_size && !child[i].checked &&
			       child[i].row->at + child[i].min_size <= row->size);
		break;
	case STRING:
	case BLOB:
	case TEXT:
		p->min_size = 4;
		p->checked = true;
		break;
	case LIST:
		p->min_size = row->times ? row->times * child->min_size : row->size;
		p->fixed_size = row->times != 0;
		p->checked = !row->times;
		assert(!row->times || (child->fixed_size && !child->checked));
		break;
	case MAP:
		p->min_size = row->times * child->min_size;
		p->fixed_size = row->times != 0;
		p->checked = true;
		assert(child->fixed_size && !child->checked);
		break;
	case OPTION:
	case VARIANT:
		p->min_size = 1;
		p->checked = true;
		break;
	case RECORD:
		p->fixed_size = true;
		for (i = 0; i < p->children; i++) {
			p->min_size += child[i].min_size;
			p->fixed_size &= child[i].fixed_size;
			p->checked |= child[i].checked;
		}
		break;
	case TAG:
	case RAW:
	case WORD:
	case END:
		p->fixed_size = true;
		break;
	}
}

/* Where P's children start, whose sizes are known. */
static void set_offsets(struct schema *s, const struct place *p)
{
	bool known = true;
	uint32_t at = 0;
	unsigned i;

	for (i = p->first_child; i < (unsigned)p->first_child + p->children; i++) {
		struct place *child = &s->place[i];

		child->at_known = known;
		child->at = p->row->kind == STRUCT ? child->row->at : at;
		at += child->min_size;
		known &= child->fixed_size;
	}
}

/* The runs of P's children, whose sizes and checks are known. */
static void set_runs(struct schema *s, const struct place *p)
{
	unsigned i;

	for (i = p->first_child + p->children; i-- > p->first_child;) {
		struct place *child = &s->place[i];
		const struct place *next = child + 1;

		if (!child->fixed_size || child->checked)
			continue;
		child->run = 1;
		child->run_size = child->min_size;
		if (i + 1 < (unsigned)p->first_child + p->children && next->tag == child->tag) {
			child->run = (uint16_t)(child->run + next->run);
			child->run_size += next->run_size;
		}
	}
}

int schema_init(struct schema *s, const struct field *root)
{
	unsigned i;
	int err;

	*s = (struct schema){ 0 };
	err = add_place(s, 0, root, -1);
	for (i = 0; !err && i < s->count; i++)
		err = add_children(s, i);
	if (err) {
		schema_free(s);
		return err;
	}
	while (i-- > 0) /* children come after their parents */
		set_bounds(s, &s->place[i]);
	for (i = 0; i < s->count; i++) {
		if (s->place[i].row->kind == RECORD || s->place[i].row->kind == VARIANT)
			set_runs(s, &s->place[i]);
		if (s->place[i].row->kind == RECORD || s->place[i].row->kind == STRUCT)
			set_offsets(s, &s->place[i]);
	}
	return 0;
}

void schema_free(struct schema *s)
{
	free(s->place);
	*s = (struct schema){ 0 };
}
