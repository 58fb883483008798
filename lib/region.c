/* SPDX-License-Identifier: MIT */
#include "region.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "le.h"

bool ram_region_within(uint64_t ram_offset, uint64_t mem_size, uint64_t file_len)
{
	return ram_offset <= file_len && mem_size <= file_len - ram_offset;
}

static int check(uint64_t ram_offset, uint64_t mem_size, uint64_t file_len, struct error *e)
{
	const uint64_t low_digits = 10000000000000000000u; /* ten to the 19 */
	u128 end = (u128)ram_offset + mem_size;

	if (ram_region_within(ram_offset, mem_size, file_len))
		return 0;
	/* The end may need 65 bits: print it in two parts. */
	if (end >= low_digits)
		return error_set(e, EINVAL,
				 "snapshot RAM region [%" PRIu64 ", %" PRIu64 "%019" PRIu64
				 ") exceeds file length %" PRIu64,
				 ram_offset, (uint64_t)(end / low_digits),
				 (uint64_t)(end % low_digits), file_len);
	return error_set(e, EINVAL,
			 "snapshot RAM region [%" PRIu64 ", %" PRIu64 ") exceeds file length %" PRIu64,
			 ram_offset, (uint64_t)end, file_len);
}

static uint64_t page_size(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int cow_map_ram(int fd, uint64_t ram_offset, uint64_t mem_size, uint64_t file_len,
		int extra_flags, void **out, struct error *e)
{
	uint64_t in_page = ram_offset % page_size();
	int err = check(ram_offset, mem_size, file_len, e);
	uint8_t *p;

	if (err)
		return err;
	if (mem_size == 0)
		return error_set(e, EINVAL, "snapshot RAM region is empty");
	p = mmap(NULL, in_page + mem_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | extra_flags, fd,
		 (off_t)(ram_offset - in_page));
	if (p == MAP_FAILED)
		return error_set(e, errno, "cannot map the snapshot's RAM: %s", strerror(errno));
	madvise(p, in_page + mem_size, MADV_DONTDUMP); /* guests keep secrets there */
	*out = p + in_page;
	return 0;
}

void cow_unmap_ram(void *ram, uint64_t mem_size)
{
	uint64_t in_page = (uintptr_t)ram % page_size();

	munmap((uint8_t *)ram - in_page, in_page + mem_size);
}

static int check_order(const struct region_question *q, uint64_t ram_offset, struct error *e)
{
	if (ram_offset >= q->head_end)
		return 0;
	return error_set(e, EINVAL,
			 "snapshot RAM region starts at %" PRIu64
			 ", inside the container, which ends at %" PRIu64,
			 ram_offset, q->head_end);
}

int region_at_ram_offset(const struct region_question *q, bool *has_ram, uint64_t *ram_offset,
			 struct error *e)
{
	int err;

	*has_ram = q->mem_size > 0;
	*ram_offset = q->ram_offset;
	if (!*has_ram)
		return 0;
	err = check_order(q, *ram_offset, e);
	if (!err)
		err = check(*ram_offset, q->mem_size, q->file_len, e);
	if (!err && *ram_offset % page_size())
		err = error_set(e, EINVAL,
				"snapshot RAM region starts at %" PRIu64
				", not at a multiple of the page size %" PRIu64,
				*ram_offset, page_size());
	return err;
}

int region_at_end(const struct region_question *q, bool *has_ram, uint64_t *ram_offset,
		  struct error *e)
{
	bool given = q->options->ram_offset_given || q->options->ram_elsewhere;
	int err = 0;

	*has_ram = q->mem_size > 0 && (given || q->head_end < q->file_len);
	if (!*has_ram)
		return 0;
	if (given)
		*ram_offset = q->options->ram_offset;
	else if (ram_region_within(q->head_end, q->mem_size, q->file_len))
		*ram_offset = q->file_len - q->mem_size;
	else /* too little room: let the message say so */
		*ram_offset = q->head_end;
	if (!q->options->ram_elsewhere)
		err = check_order(q, *ram_offset, e);
	return err ? err : check(*ram_offset, q->mem_size, q->file_len, e);
}
