/* SPDX-License-Identifier: MIT */
#include "guest_space.h"

#include <errno.h>

#include "le.h"

static unsigned bits_a_level(const struct guest_space *s)
{
	return s->page_shift - 3;
}

/* Levels are counted from below: 0 has the entries of pages. */
static unsigned levels(const struct guest_space *s)
{
	return (s->va_bits - s->page_shift + bits_a_level(s) - 1) / bits_a_level(s);
}

static unsigned shift_of(const struct guest_space *s, unsigned level)
{
	return s->page_shift + level * bits_a_level(s);
}

void guest_space_x86_64(struct guest_space *s, const struct guest_memory *memory, uint64_t cr3,
			bool five_levels)
{
	*s = (struct guest_space){
		.memory = *memory,
		.machine = GUEST_X86_64,
		.root = cr3 & UINT64_C(0x000ffffffffff000),
		.page_shift = 12,
		.va_bits = five_levels ? 57 : 48,
	};
}

int guest_space_aarch64(struct guest_space *s, const struct guest_memory *memory, uint64_t root,
			uint64_t page_size, unsigned va_bits)
{
	unsigned shift = page_size == 4096 ? 12 : page_size == 16384 ? 14 : page_size == 65536 ? 16 : 0;

	if (!shift || va_bits < 36 || va_bits > 52)
		return -EINVAL;
	*s = (struct guest_space){
		.memory = *memory,
		.machine = GUEST_AARCH64,
		.root = root & UINT64_C(0x0000ffffffffffff) & ~(uint64_t)63,
		.page_shift = shift,
		.va_bits = va_bits,
	};
	return 0;
}

/* Whether what is above the bits that are translated is a copy of the highest of those. */
static bool is_canonical(const struct guest_space *s, uint64_t va)
{
	int64_t top = (int64_t)va >> (s->va_bits - (s->machine == GUEST_X86_64));

	/* On aarch64, addresses of the lower half have tables of their own. */
	return top == -1 || (top == 0 && s->machine == GUEST_X86_64);
}

/*
 * What ENTRY of a table of LEVEL leads to, in *PA, and whether that is memory, no table, in *LEAF.
 * False: to nothing.
 */
static bool follow(const struct guest_space *s, uint64_t entry, unsigned level, uint64_t *pa,
		   bool *leaf)
{
	uint64_t below = (UINT64_C(1) << shift_of(s, level)) - 1;
	bool bit1 = entry & 2;

	if (!(entry & 1))
		return false;
	if (s->machine == GUEST_X86_64) {
		*leaf = level == 0 || (entry & 0x80);
		if (*leaf && level > 2)
			return false;
		*pa = entry & UINT64_C(0x000ffffffffff000);
	} else {
		*leaf = level == 0 || !bit1;
		if ((level == 0 && !bit1) || (*leaf && level > (s->page_shift == 12 ? 2 : 1)))
			return false;
		*pa = entry & UINT64_C(0x0000ffffffffffff) & ~((UINT64_C(1) << s->page_shift) - 1);
	}
	if (*leaf)
		*pa &= ~below;
	return true;
}

/* ENTRY, by its INDEX, of the table of LEVEL at TABLE: 0, -EFAULT, -EIO. */
static int read_entry(struct guest_space *s, uint64_t table, uint64_t index, uint64_t *entry)
{
	uint8_t bytes[8];
	int err = guest_read_kept(&s->memory, &s->pages, bytes, sizeof(bytes), table + 8 * index);

	*entry = le_get(bytes, 8);
	return err;
}

static uint64_t index_of(const struct guest_space *s, uint64_t va, unsigned level)
{
	unsigned shift = shift_of(s, level);
	unsigned bits = bits_a_level(s);

	if (shift + bits > s->va_bits)
		bits = s->va_bits - shift;
	return va >> shift & ((UINT64_C(1) << bits) - 1);
}

/* As guest_translate; on -EFAULT *SIZE is what is not mapped together with VA, 0 if it can't be. */
static int walk(struct guest_space *s, uint64_t va, uint64_t *pa, uint64_t *size)
{
	uint64_t table = s->root, entry, below;
	unsigned level = levels(s);
	bool leaf = false;
	int err = 0;

	*size = 0;
	if (!is_canonical(s, va))
		return -EFAULT;
	while (!err && !leaf) {
		level--;
		err = read_entry(s, table, index_of(s, va, level), &entry);
		if (!err && !follow(s, entry, level, &table, &leaf))
			err = -EFAULT;
	}
	below = (UINT64_C(1) << shift_of(s, level)) - 1;
	*pa = table + (va & below);
	*size = below - (va & below) + 1;
	return err;
}

int guest_translate(struct guest_space *s, uint64_t va, uint64_t *pa, uint64_t *size)
{
	uint64_t whole;

	return walk(s, va, pa, size ? size : &whole);
}

/* As guest_translate, to the end of the page, and remembered. */
static int translate_page(struct guest_space *s, uint64_t va, uint64_t *pa, uint64_t *size)
{
	uint64_t in_page = va & ((UINT64_C(1) << s->page_shift) - 1);
	uint64_t page = va - in_page;
	unsigned slot = (page >> s->page_shift) % GUEST_SPACE_CACHE;
	uint64_t whole;
	int err;

	*size = (UINT64_C(1) << s->page_shift) - in_page;
	if (s->cache[slot].page != page + 1) {
		err = walk(s, page, pa, &whole);
		if (err)
			return err;
		s->cache[slot].page = page + 1;
		s->cache[slot].pa = *pa;
	}
	*pa = s->cache[slot].pa + in_page;
	return 0;
}

int guest_read_virtual(struct guest_space *s, void *to, size_t n, uint64_t va)
{
	uint8_t *at = to;
	uint64_t pa, take;
	int err;

	/* The last byte that there is has no address after it. */
	if (n > UINT64_MAX - va)
		return -EFAULT;
	for (; n > 0; n -= take, at += take, va += take) {
		err = translate_page(s, va, &pa, &take);
		if (take > n)
			take = n;
		if (!err)
			err = guest_read_kept(&s->memory, &s->pages, at, take, pa);
		if (err)
			return err;
	}
	return 0;
}

int guest_read_number(struct guest_space *s, uint64_t va, unsigned width, uint64_t *v)
{
	uint8_t bytes[8] = { 0 };
	int err = guest_read_virtual(s, bytes, width, va);

	*v = le_get(bytes, 8);
	return err;
}

uint64_t guest_run(struct guest_space *s, uint64_t va, uint64_t limit)
{
	uint64_t first, pa, size, done = 0, end;

	if (guest_translate(s, va, &first, &size) || !guest_has(&s->memory, first, 1))
		return 0;
	end = s->memory.base + guest_size(&s->memory) - first;
	if (limit > end)
		limit = end;
	if (limit > UINT64_MAX - va)
		limit = UINT64_MAX - va;
	for (done = size; done < limit; done += size)
		if (guest_translate(s, va + done, &pa, &size) || pa != first + done)
			break;
	return done < limit ? done : limit;
}

bool guest_next_mapped(struct guest_space *s, uint64_t *va, uint64_t *pa, uint64_t *size,
		       unsigned *budget)
{
	while (*budget > 0) {
		--*budget;
		if (walk(s, *va, pa, size) == 0)
			return true;
		if (*size == 0 || *va + *size < *va)
			return false;
		*va += *size;
	}
	return false;
}
