/* SPDX-License-Identifier: MIT */
/* What blobs hold: decoded when it is looked at, and kept for a while. */
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

/*
 * Which blob a node is in
 */

/* The node of PLACE that is in element NUMBER of the list around it, if there is one. */
static bool find_numbered(const struct container *c, unsigned place, uint64_t number, struct node *out)
{
	const struct place *p = &c->schema.place[place];
	const struct place *parent = &c->schema.place[p->parent];
	struct node n;

	*out = container_root();
	if (place == 0)
		return true;
	if (!find_numbered(c, p->parent, number, &n))
		return false;
	if (parent->row->kind == LIST) {
		if (number >= decoded_count(&c->head, n.place, n.offset))
			return false;
		*out = (struct node){ place, decoded_element(&c->head, n.place, n.offset, number) };
		return true;
	}
	if (!place_includes(parent, c->bytes[n.offset], p))
		return false;
	*out = (struct node){ place, decoded_member(&c->head, place, n.offset) };
	return true;
}

bool owner_find(const struct container *c, struct node n, struct node *blob)
{
	return find_numbered(c, c->schema.place[n.place].owner, inside_owner(n), blob);
}

bool owner_number(const struct container *c, struct node blob, uint64_t *number)
{
	unsigned place = blob.place;
	struct node list;

	while (place && c->schema.place[place].row->kind != LIST)
		place = c->schema.place[place].parent;
	*number = 0;
	if (place && find_numbered(c, place, 0, &list))
		*number = decoded_index(&c->head, decoded_list(&c->head, place, list.offset), blob.offset);
	return *number >> OWNER_BITS == 0;
}

/*
 * States
 */

static void state_free(struct state *s)
{
	decoded_free(&s->d);
	free(s);
}

int state_decode(const struct container *c, unsigned place, const uint8_t *bytes, uint64_t n,
		 struct state *s)
{
	const struct place *blob = &c->schema.place[place];
	unsigned i;
	int err;

	s->root = 0;
	for (i = blob->first_child; i < (unsigned)blob->first_child + blob->children; i++) {
		const struct field *row = c->schema.place[i].row;

		if (row->magic && (n < row->size || memcmp(bytes, row->magic, row->size) != 0))
			continue;
		err = decode(&c->schema, i, bytes, n, 0, &s->d, NULL);
		if (err == -ENOMEM)
			return err;
		if (!err && s->d.size == n) {
			s->root = i;
			return 0;
		}
		decoded_free(&s->d);
	}
	return 0;
}

/* The state that is kept for the blob at OFFSET becomes the first; with the lock held. */
static struct state *kept(struct container *c, uint64_t offset)
{
	struct state *s = NULL;
	unsigned i;

	for (i = 0; i < STATES_KEPT && c->states[i]; i++) {
		if (c->states[i]->offset != offset)
			continue;
		s = c->states[i];
		memmove(c->states + 1, c->states, i * sizeof(c->states[0]));
		c->states[0] = s;
		s->users++;
		break;
	}
	return s;
}

/* Keep S, which has one user, in place of the one that was looked at the longest time ago. */
static void keep(struct container *c, struct state *s)
{
	struct state *last = c->states[STATES_KEPT - 1];

	memmove(c->states + 1, c->states, (STATES_KEPT - 1) * sizeof(c->states[0]));
	c->states[0] = s;
	s->users++;
	if (last && --last->users == 0)
		state_free(last);
}

int state_get(const struct container *shared, struct node blob, struct state **out)
{
	/* What is kept changes nothing that anybody sees. */
	struct container *c = (struct container *)shared;
	struct state *s, *other;
	struct value v;
	int err;

	pthread_mutex_lock(&c->states_lock);
	s = kept(c, blob.offset);
	pthread_mutex_unlock(&c->states_lock);
	if (s) {
		*out = s;
		return 0;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct state){ .offset = blob.offset, .users = 1 };
	v = leaf_value(c, blob);
	err = state_decode(c, blob.place, v.bytes, v.size, s);
	if (err) {
		free(s);
		return err;
	}
	pthread_mutex_lock(&c->states_lock);
	other = kept(c, blob.offset);
	if (!other)
		keep(c, s);
	pthread_mutex_unlock(&c->states_lock);
	if (other)
		state_free(s);
	*out = other ? other : s;
	return 0;
}

void state_put(const struct container *shared, struct state *s)
{
	struct container *c = (struct container *)shared;
	bool last;

	pthread_mutex_lock(&c->states_lock);
	last = --s->users == 0;
	pthread_mutex_unlock(&c->states_lock);
	if (last)
		state_free(s);
}

int state_get_at(const struct container *c, struct node n, struct state **out, uint64_t *at)
{
	struct node blob;
	int err;

	if (!owner_find(c, n, &blob))
		return -ESTALE;
	err = state_get(c, blob, out);
	if (!err && !state_locate(*out, n.place, inside_key(n), at)) {
		state_put(c, *out);
		err = -ESTALE;
	}
	return err;
}

void state_forget(struct container *c, uint64_t offset)
{
	struct state *s;

	pthread_mutex_lock(&c->states_lock);
	s = kept(c, offset);
	if (s) {
		memmove(c->states, c->states + 1, (STATES_KEPT - 1) * sizeof(c->states[0]));
		c->states[STATES_KEPT - 1] = NULL;
		s->users--; /* that of the array */
	}
	pthread_mutex_unlock(&c->states_lock);
	if (s)
		state_put(c, s);
}

void states_free(struct container *c)
{
	unsigned i;

	for (i = 0; i < STATES_KEPT && c->states[i]; i++)
		state_free(c->states[i]);
}

const struct list *state_map(const struct state *s, unsigned place)
{
	const struct schema *schema = s->d.schema;
	unsigned map = schema->place[schema->place[place].parent].parent;
	uint64_t at;

	if (schema->place[map].row->kind != MAP || !state_locate(s, map, 0, &at))
		return NULL;
	return decoded_list(&s->d, map, at);
}

/* As deep as the schema. */
bool state_locate(const struct state *s, unsigned place, uint32_t key, uint64_t *at)
{
	const struct map_entry *entry;
	const struct list *map;
	const struct place *p;
	uint64_t start;
	size_t n;

	*at = 0;
	if (!s->root || place == s->root)
		return s->root != 0;
	p = &s->d.schema->place[place];
	if (p->parent == p->owner) /* another state's root */
		return false;
	map = state_map(s, place);
	if (map) {
		n = list_entries(map, key, &entry);
		if (n)
			*at = decoded_entry(&s->d, map, entry[n - 1].index);
		return n > 0;
	}
	if (!state_locate(s, p->parent, key, &start))
		return false;
	if (s->d.schema->place[p->parent].row->kind != LIST) {
		*at = decoded_member(&s->d, place, start);
		return true;
	}
	if (key >= decoded_count(&s->d, p->parent, start))
		return false;
	*at = decoded_element(&s->d, p->parent, start, key);
	return true;
}
