/* SPDX-License-Identifier: MIT */
#include "computed.h"

#include <assert.h>
#include <string.h>

static const struct computed rows[] = {
	{ "", "check", RO, "would it restore: ok, or a line for each thing that is wrong", computed_check, true },
	{ "devices/N/mmio/queues/N", "ring", RO, "the virtqueue in guest memory: what is pending, a line a descriptor", computed_ring, false },
	{ "devices/N/mmio/queues/N", "health", RO, "ok, or a line for each thing that is wrong with it", computed_health, false },
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
static_assert((int)ROWS <= (int)COMPUTED_MAX, "numbers of rows");

const struct computed *computed_row(unsigned i)
{
	return i < ROWS ? &rows[i] : NULL;
}

bool computed_next(const struct container *c, struct node dir, unsigned *i)
{
	while (*i < ROWS && !container_stands(c, dir, rows[*i].folder))
		++*i;
	return *i < ROWS;
}

bool computed_lookup(const struct container *c, struct node dir, const char *name, unsigned *i)
{
	for (*i = 0; computed_next(c, dir, i); ++*i)
		if (strcmp(rows[*i].name, name) == 0)
			return true;
	return false;
}
