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
	long page = sysconf(_SC_PAGESIZE);
	int err;

	if (!ram_region_within(ram_offset, mem_size, file_len)) {
		/* The end may need 65 bits: print it in two parts. */
		if (end >= low_digits)
			err = error_set(e, EINVAL,
					"snapshot RAM region [%" PRIu64 ", %" PRIu64 "%019" PRIu64
					") exceeds file length %" PRIu64,
					ram_offset, (uint64_t)(end / low_digits),
					(uint64_t)(end % low_digits), file_len);
		else
			err = error_set(e, EINVAL,
					"snapshot RAM region [%" PRIu64 ", %" PRIu64
					") exceeds file length %" PRIu64,
					ram_offset, (uint64_t)end, file_len);
		return err;
	}
	if (ram_offset % (uint64_t)page)
		return error_set(e, EINVAL,
				 "snapshot RAM region starts at %" PRIu64
				 ", not at a multiple of the page size %ld",
				 ram_offset, page);
	return 0;
}

int cow_map_ram(int fd, uint64_t ram_offset, uint64_t mem_size, uint64_t file_len,
		int extra_flags, void **out, struct error *e)
{
	int err = check(ram_offset, mem_size, file_len, e);
	void *p;

	if (err)
		return err;
	if (mem_size == 0)
		return error_set(e, EINVAL, "snapshot RAM region is empty");
	p = mmap(NULL, mem_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | extra_flags, fd,
		 (off_t)ram_offset);
	if (p == MAP_FAILED)
		return error_set(e, errno, "cannot map the snapshot's RAM: %s", strerror(errno));
	*out = p;
	return 0;
}

int region_find(const struct region_options *options, uint64_t container_end,
		uint64_t mem_size, uint64_t file_len, bool *has_ram, uint64_t *ram_offset,
		struct error *e)
{
	bool given = options->ram_offset_given || options->ram_elsewhere;

	*has_ram = mem_size > 0 && (given || container_end < file_len);
	if (!*has_ram)
		return 0;
	if (given)
		*ram_offset = options->ram_offset;
	else if (ram_region_within(container_end, mem_size, file_len))
		*ram_offset = file_len - mem_size;
	else /* too little room: let the message say so */
		*ram_offset = container_end;
	if (!options->ram_elsewhere && *ram_offset < container_end)
		return error_set(e, EINVAL,
				 "snapshot RAM region starts at %" PRIu64
				 ", inside the container, which ends at %" PRIu64,
				 *ram_offset, container_end);
	return check(*ram_offset, mem_size, file_len, e);
}
