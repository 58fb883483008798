/* SPDX-License-Identifier: MIT */
/* Where RAM is found, against the rules in numbers that cannot overflow. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "le.h"
#include "region.h"

__extension__ typedef __int128 number;

/* Of an input; the last two make it likelier that a region is good. */
enum { GIVEN = 1, ELSEWHERE = 2, IN_PAGES = 4, NO_LONGER = 8 };

struct region {
	struct region_options options;
	uint64_t container_end;
	uint64_t mem_size;
	uint64_t file_len;
};

static bool is_within(number offset, number size, number length)
{
	return offset >= 0 && offset + size <= length;
}

/* N in decimal, put to the end of TEXT. */
static const char *decimal(number n, char text[48])
{
	char *p = text + 47;

	*p = 0;
	do
		*--p = (char)('0' + (int)(n % 10));
	while ((n /= 10) > 0);
	return p;
}

/* That E names the region that does not fit. */
static void check_numbers(const struct region *r, number offset, const struct error *e)
{
	char start[48], end[48], text[256];

	snprintf(text, sizeof(text), "snapshot RAM region [%s, %s) exceeds file length %llu",
		 decimal(offset, start), decimal(offset + r->mem_size, end),
		 (unsigned long long)r->file_len);
	demand(strcmp(text, e->text) == 0, "\"%s\", not \"%s\"", e->text, text);
}

/* In a bare file. */
static void check_last(const struct region *r)
{
	bool given = r->options.ram_offset_given || r->options.ram_elsewhere;
	bool none = r->mem_size == 0 || (!given && r->container_end >= r->file_len);
	number offset = given ? (number)r->options.ram_offset
			      : (number)r->file_len - (number)r->mem_size;
	number least = r->options.ram_elsewhere ? 0 : (number)r->container_end;
	bool good = offset >= least && is_within(offset, r->mem_size, r->file_len);
	struct region_question q = { &r->options, r->container_end, 0, r->mem_size, r->file_len };
	struct error e = { 0 };
	uint64_t found = 1;
	bool has_ram = false;
	int err = region_at_end(&q, &has_ram, &found, &e);

	if (none || good) {
		demand(!err, "a good region is refused: %s", e.text);
		demand(has_ram == !none, "RAM is %sfound", has_ram ? "" : "not ");
		demand(none || found == (uint64_t)offset, "RAM is found elsewhere");
		return;
	}
	demand_told(err, &e);
	demand(err == -EINVAL, "refused with %d", err);
	if (offset < least && given)
		return;
	if (offset < least)
		offset = least;
	if (!is_within(offset, r->mem_size, r->file_len))
		check_numbers(r, offset, &e);
}

/* Where a header says: the offset that else a user gives. */
static void check_header(const struct region *r)
{
	const struct region_options none = { 0 };
	uint64_t offset = r->options.ram_offset, found = 1;
	struct region_question q = { &none, r->container_end, offset, r->mem_size, r->file_len };
	bool within = is_within((number)offset, (number)r->mem_size, (number)r->file_len);
	bool good = r->mem_size == 0 || (offset >= r->container_end && within &&
					 offset % (uint64_t)sysconf(_SC_PAGESIZE) == 0);
	struct error e = { 0 };
	bool has_ram = false;
	int err = region_at_ram_offset(&q, &has_ram, &found, &e);

	if (good) {
		demand(!err, "a good region is refused: %s", e.text);
		demand(has_ram == (r->mem_size > 0) && found == offset, "RAM is found elsewhere");
		return;
	}
	demand_told(err, &e);
	demand(err == -EINVAL, "refused with %d", err);
	if (offset >= r->container_end && !within)
		check_numbers(r, (number)offset, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned flags = (unsigned)input_uint(&in, 1);
	struct region r = { .container_end = input_uint(&in, 8), .mem_size = input_uint(&in, 8) };

	r.file_len = input_uint(&in, 8);
	r.options.ram_offset = input_uint(&in, 8);
	if (flags & IN_PAGES) {
		r.file_len = (r.file_len & ~UINT64_C(4095)) + (r.mem_size & 4095);
		r.options.ram_offset &= ~UINT64_C(4095);
	}
	/* A container ends within its file. */
	if (!(flags & ELSEWHERE) && r.container_end > r.file_len)
		r.container_end = r.file_len;
	if (flags & NO_LONGER && r.mem_size > r.file_len)
		r.mem_size = r.file_len;
	r.options.ram_offset_given = flags & GIVEN;
	r.options.ram_elsewhere = flags & ELSEWHERE;
	check_last(&r);
	check_header(&r);
	demand(ram_region_within(r.options.ram_offset, r.mem_size, r.file_len) ==
	       is_within((number)r.options.ram_offset, (number)r.mem_size, (number)r.file_len),
	       "within the file or not");
	return 0;
}
