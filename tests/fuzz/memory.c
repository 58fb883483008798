/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "le.h"

/* The file that RAM is, which is changed under it. */
static uint8_t *bytes;
static struct ram *ram;

static void make_memory(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct error e;

	demand(fd >= 0 && ftruncate(fd, FUZZ_MEMORY) == 0, "no memory");
	bytes = mmap(NULL, FUZZ_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	demand(bytes != MAP_FAILED, "no memory");
	/* So that no page is a hole. */
	memset(bytes, 1, FUZZ_MEMORY);
	demand(!ram_open(fd, 0, FUZZ_MEMORY, FUZZ_MEMORY, &ram, &e), "%s", e.text);
	close(fd);
}

struct guest_memory fuzz_memory(uint64_t base, const uint8_t *p, size_t n, size_t at)
{
	if (!ram)
		make_memory();
	memset(bytes, 0, FUZZ_MEMORY);
	fuzz_memory_put(at, p, n < FUZZ_MEMORY - at ? n : FUZZ_MEMORY - at);
	return (struct guest_memory){ ram, base };
}

void fuzz_memory_put(size_t at, const void *p, size_t n)
{
	if (n && at <= FUZZ_MEMORY && n <= FUZZ_MEMORY - at)
		memcpy(bytes + at, p, n);
}

static void put_entry(size_t table, unsigned index, uint64_t entry)
{
	uint8_t e[8];

	le_put(e, 8, entry);
	fuzz_memory_put(FUZZ_TABLES + table * 4096 + index * 8, e, sizeof(e));
}

struct guest_kernel fuzz_kernel(const uint8_t *p, size_t n, const char *text)
{
	struct guest_kernel k = { .memory = fuzz_memory(0, p, n, 0) };
	size_t size = strlen(text);
	unsigned i;

	put_entry(0, 511, (FUZZ_TABLES + 0x1000) | 3);
	put_entry(1, 510, (FUZZ_TABLES + 0x2000) | 3);
	put_entry(2, 0, (FUZZ_TABLES + 0x3000) | 3);
	for (i = 0; i < FUZZ_MEMORY / 4096; i++)
		put_entry(3, i, i * 4096 | 3);
	guest_space_x86_64(&k.space, &k.memory, FUZZ_TABLES, false);
	k.info.text = fuzz_copy(text, size + 1);
	k.info.size = size;
	k.image = FUZZ_IMAGE;
	k.image_size = FUZZ_MEMORY;
	return k;
}

void fuzz_check_file(int err, const struct buffer *out, const struct error *e)
{
	if (err)
		demand_told(err, e);
	else
		demand(out->size <= GUEST_FILE_MAX && !out->failed, "%zu bytes", out->size);
	demand(err == 0 || err == -ENOENT || err == -ERR_MALFORMED || err == -EFBIG,
	       "failed with %d", err);
}
