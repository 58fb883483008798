/* SPDX-License-Identifier: MIT */
#include "decoded.h"

#include <stdlib.h>

#include "le.h"

void decoded_free(struct decoded *d)
{
	size_t i;

	for (i = 0; i < d->list_count; i++) {
		free(d->lists[i].marks);
		free(d->lists[i].entries);
	}
	free(d->lists);
	*d = (struct decoded){ 0 };
}

const struct list *decoded_list(const struct decoded *d, unsigned place, uint64_t at)
{
	size_t low = 0, high = d->list_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		const struct list *l = &d->lists[middle];

		if (l->offset < at || (l->offset == at && l->place <= place))
			low = middle;
		else
			high = middle;
	}
	return &d->lists[low];
}

uint64_t decoded_end(const struct decoded *d, unsigned place, uint64_t at)
{
	const struct place *p = &d->schema->place[place];
	const uint8_t *bytes = d->bytes + at;
	const struct place *element;
	unsigned i;

	if (p->fixed_size)
		return at + p->min_size;
	switch (p->row->kind) {
	case STRING:
	case BLOB:
	case TEXT:
		return at + 4 + le_get(bytes, 4);
	case OPTION:
		return at + 1 + (bytes[0] ? p->row->size : 0);
	case LIST:
		element = &d->schema->place[p->first_child];
		if (element->fixed_size)
			return at + p->row->size + decoded_count(d, place, at) * element->min_size;
		return decoded_list(d, place, at)->end;
	case MAP:
		return decoded_list(d, place, at)->end;
	case RECORD:
		for (i = p->first_child; i < p->first_child + p->children; i++)
			at = decoded_end(d, i, at);
		return at;
	case VARIANT:
		at++;
		for (i = p->first_child; i < p->first_child + p->children; i++)
			if (d->schema->place[i].tag == bytes[0])
				at = decoded_end(d, i, at);
		return at;
	default:
		return at;
	}
}

uint64_t decoded_member(const struct decoded *d, unsigned place, uint64_t at)
{
	const struct place *p = &d->schema->place[place];
	const struct place *parent = &d->schema->place[p->parent];
	uint8_t tag = parent->row->kind == VARIANT ? d->bytes[at] : 0;
	unsigned i = place;

	if (is_view(p->row))
		return at;
	if (p->row->at_end)
		return d->size - p->row->size;
	while (i > parent->first_child && !d->schema->place[i].at_known)
		i--;
	at += parent->row->kind == VARIANT ? 1 : d->schema->place[i].at;
	for (; i < place; i++)
		if (place_includes(parent, tag, &d->schema->place[i]))
			at = decoded_end(d, i, at);
	return at;
}

uint64_t decoded_count(const struct decoded *d, unsigned place, uint64_t at)
{
	const struct field *row = d->schema->place[place].row;

	return row->times ? row->times : le_get(d->bytes + at, row->size);
}

uint64_t decoded_element(const struct decoded *d, unsigned place, uint64_t at, uint64_t index)
{
	const struct place *p = &d->schema->place[place];
	const struct place *element = &d->schema->place[p->first_child];
	uint64_t i;

	if (element->fixed_size)
		return at + p->row->size + index * element->min_size;
	at = decoded_list(d, place, at)->marks[index / MARK_EVERY];
	for (i = index % MARK_EVERY; i > 0; i--)
		at = decoded_end(d, p->first_child, at);
	return at;
}

uint64_t decoded_index(const struct decoded *d, const struct list *list, uint64_t offset)
{
	unsigned element = d->schema->place[list->place].first_child;
	size_t low = 0, high = list->mark_count;
	uint64_t index, at, end;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (list->marks[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	at = list->marks[low];
	for (index = low * MARK_EVERY; (end = decoded_end(d, element, at)) <= offset; index++)
		at = end;
	return index;
}

size_t list_entries(const struct list *map, uint32_t id, const struct map_entry **first)
{
	size_t low = 0, high = map->count, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (map->entries[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	*first = map->entries + low;
	while (low + n < map->count && map->entries[low + n].id == id)
		n++;
	return n;
}

uint64_t decoded_entry(const struct decoded *d, const struct list *map, uint32_t index)
{
	unsigned entry = d->schema->place[map->place].first_child;
	unsigned value = schema_map_value(d->schema, map->place);

	return decoded_member(d, value, map->offset + (uint64_t)index * d->schema->place[entry].min_size);
}
