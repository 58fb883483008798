/* SPDX-License-Identifier: MIT */
#include "guest_memory.h"

#include <string.h>
#include <unistd.h>

/* More than that is read at once, and would only push out what is looked at again. */
enum { KEPT_MAX = 512 };

struct guest_memory guest_memory_of(const struct container *c, struct ram *ram)
{
	struct guest_memory g = { ram, 0 };

	/* Where the header does not say, it is at 0. */
	if (!container_number(c, "layout/ram_gpa", &g.base))
		g.base = 0;
	return g;
}

uint64_t guest_size(const struct guest_memory *g)
{
	uint64_t size = g->ram ? ram_size(g->ram) : 0;

	/* A base that was edited can be anywhere: what would wrap around is not there. */
	return size <= UINT64_MAX - g->base ? size : UINT64_MAX - g->base;
}

bool guest_has(const struct guest_memory *g, uint64_t gpa, uint64_t n)
{
	uint64_t size = guest_size(g);

	return n == 0 || (gpa >= g->base && gpa - g->base <= size && n <= size - (gpa - g->base));
}

int guest_read(const struct guest_memory *g, void *to, size_t n, uint64_t gpa)
{
	if (!guest_has(g, gpa, n))
		return -EFAULT;
	return n ? ram_read(g->ram, to, n, gpa - g->base) : 0;
}

/* Where KEPT has PAGE, or else what was not used for the longest time. */
static unsigned slot_of(const struct guest_pages *kept, uint64_t page)
{
	unsigned i, oldest = 0;

	if (kept->page[kept->last] == page + 1)
		return kept->last;
	for (i = 0; i < GUEST_PAGES; i++) {
		if (kept->page[i] == page + 1)
			return i;
		if (kept->used[i] < kept->used[oldest])
			oldest = i;
	}
	return oldest;
}

int guest_read_kept(const struct guest_memory *g, struct guest_pages *kept, void *to, size_t n, uint64_t gpa)
{
	uint64_t page = gpa / RAM_PAGE, at = gpa % RAM_PAGE;
	unsigned slot;
	int err;

	if (n > KEPT_MAX || at + n > RAM_PAGE || !guest_has(g, page * RAM_PAGE, RAM_PAGE)) {
		kept->reads += 1 + n / RAM_PAGE;
		return guest_read(g, to, n, gpa);
	}
	slot = slot_of(kept, page);
	if (kept->page[slot] != page + 1) {
		kept->reads++;
		kept->page[slot] = 0;
		err = guest_read(g, kept->bytes[slot], RAM_PAGE, page * RAM_PAGE);
		if (err)
			return err;
		kept->page[slot] = page + 1;
	}
	kept->used[slot] = ++kept->uses;
	kept->last = slot;
	memcpy(to, kept->bytes[slot] + at, n);
	return 0;
}

int guest_read_heads(const struct guest_memory *g, void *to, size_t n, uint64_t gpa, unsigned count)
{
	if (!guest_has(g, gpa, (uint64_t)(count - 1) * RAM_PAGE + n))
		return -EFAULT;
	return ram_read_heads(g->ram, to, n, gpa - g->base, count);
}

bool guest_next_stored(const struct guest_memory *g, uint64_t *gpa, uint64_t *size)
{
	uint64_t offset = *gpa > g->base ? *gpa - g->base : 0;
	uint64_t end = guest_size(g);
	int64_t data, hole;

	if (offset >= end)
		return false;
	data = ram_seek(g->ram, offset, SEEK_DATA);
	if (data < 0 || (uint64_t)data >= end)
		return false;
	hole = ram_seek(g->ram, (uint64_t)data, SEEK_HOLE);
	/* A file that changes meanwhile may have lost the hole: then all the rest is looked at. */
	if (hole > data && (uint64_t)hole < end)
		end = (uint64_t)hole;
	*gpa = g->base + (uint64_t)data;
	*size = end - (uint64_t)data;
	return true;
}
