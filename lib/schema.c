/* SPDX-License-Identifier: MIT */
#include "schema.h"

#include <assert.h>

static void add_rows(struct schema *s, unsigned parent, const struct field *rows,
		     int16_t tag)
{
	for (; rows && rows->kind != END; rows++) {
		if (rows->kind == RECORD && !rows->name) {
			add_rows(s, parent, rows->of, tag);
			continue;
		}
		assert(s->count < SCHEMA_MAX);
		s->place[s->count++] = (struct place){
			.row = rows, .parent = (uint8_t)parent, .tag = tag
		};
		s->place[parent].children++;
	}
}

static void add_children(struct schema *s, unsigned parent)
{
	const struct field *row = s->place[parent].row;
	int16_t tag;

	s->place[parent].first_child = (uint8_t)s->count;
	switch (row->kind) {
	case RECORD:
		add_rows(s, parent, row->views, -1);
		add_rows(s, parent, row->of, -1);
		break;
	case VARIANT:
		add_rows(s, parent, row->views, -1);
		for (tag = 0; row->choices[tag].name; tag++)
			add_rows(s, parent, row->choices[tag].of, tag);
		break;
	case LIST:
		assert(s->count < SCHEMA_MAX);
		s->place[s->count++] = (struct place){
			.row = row->of, .parent = (uint8_t)parent, .tag = -1
		};
		s->place[parent].children = 1;
		break;
	default:
		break;
	}
}

/* The sizes and checks of P, whose children have theirs. */
static void set_bounds(struct schema *s, struct place *p)
{
	const struct place *child = &s->place[p->first_child];
	unsigned i;

	if (p->row->at_end) {
		p->fixed_size = true;
		return;
	}
	switch (p->row->kind) {
	case UINT:
	case BYTES:
	case MAGIC:
		p->min_size = p->row->size;
		p->fixed_size = true;
		p->checked = p->row->only || p->row->words ||
			     p->row->kind == MAGIC;
		break;
	case STRING:
	case BLOB:
	case LIST:
		p->min_size = 4;
		p->checked = true;
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
			child->run = (uint8_t)(child->run + next->run);
			child->run_size += next->run_size;
		}
	}
}

void schema_init(struct schema *s, const struct field *root)
{
	unsigned i;

	*s = (struct schema){ .count = 1 };
	s->place[0] = (struct place){ .row = root, .tag = -1 };
	for (i = 0; i < s->count; i++)
		add_children(s, i);
	while (i-- > 0) /* children come after their parents */
		set_bounds(s, &s->place[i]);
	for (i = 0; i < s->count; i++)
		if (s->place[i].row->kind == RECORD || s->place[i].row->kind == VARIANT)
			set_runs(s, &s->place[i]);
}
