/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <unistd.h>

#include "guest_memory.h"

enum { OFFSET = 65536, PAGES = 64, MEMORY = PAGES * RAM_PAGE, LAST = PAGES - 1 };

static const uint64_t BASE = 0x80000000;

/* RAM of which pages 3 and 4 and the last are stored: a file full of the page's number + 1. */
static struct guest_memory memory_at(uint64_t base)
{
	struct guest_memory g = { .base = base };
	char name[] = "/tmp/check-guest-memory-XXXXXX";
	int fd = mkstemp(name);
	uint8_t page[RAM_PAGE];
	unsigned stored[] = { 3, 4, LAST }, i;
	struct error e;

	ck_assert_int_ge(fd, 0);
	unlink(name);
	ck_assert_int_eq(ftruncate(fd, OFFSET + MEMORY), 0);
	for (i = 0; i < 3; i++) {
		memset(page, (int)stored[i] + 1, sizeof(page));
		ck_assert_int_eq(pwrite(fd, page, sizeof(page), OFFSET + stored[i] * RAM_PAGE), RAM_PAGE);
	}
	ck_assert_int_eq(ram_open(fd, OFFSET, MEMORY, OFFSET + MEMORY, &g.ram, &e), 0);
	close(fd);
	return g;
}

/* Reads of the N bytes at GPA are refused, and leave what they would have been read to. */
static void refused(const struct guest_memory *g, uint64_t gpa, size_t n)
{
	uint8_t to[16];

	memset(to, 0xee, sizeof(to));
	ck_assert_int_eq(guest_read(g, to, n, gpa), -EFAULT);
	ck_assert(!guest_has(g, gpa, n));
	ck_assert_uint_eq(to[0], 0xee);
}

START_TEST(test_read)
{
	struct guest_memory g = memory_at(BASE);
	uint8_t to[2] = { 0 };

	ck_assert_uint_eq(guest_size(&g), MEMORY);
	ck_assert_int_eq(guest_read(&g, to, 2, BASE + 4 * RAM_PAGE - 1), 0);
	ck_assert_uint_eq(to[0], 4);
	ck_assert_uint_eq(to[1], 5);
	ck_assert_int_eq(guest_read(&g, to, 2, BASE + MEMORY - 2), 0);
	ck_assert_uint_eq(to[1], LAST + 1);
	ck_assert_int_eq(guest_read(&g, to, 2, BASE), 0);
	ck_assert_uint_eq(to[0], 0);
	ram_close(g.ram);
}
END_TEST

START_TEST(test_outside)
{
	struct guest_memory g = memory_at(BASE);

	refused(&g, 0, 1);
	refused(&g, BASE - 1, 1);
	refused(&g, BASE - 1, 2);
	refused(&g, BASE + MEMORY - 1, 2);
	refused(&g, BASE + MEMORY, 1);
	refused(&g, BASE + MEMORY + RAM_PAGE, 1);
	refused(&g, UINT64_MAX, 1);
	refused(&g, UINT64_MAX, 2);
	refused(&g, BASE, SIZE_MAX);
	refused(&g, BASE + 1, MEMORY);
	refused(&g, BASE + 1, SIZE_MAX - 1);
	ck_assert_int_eq(guest_read(&g, NULL, 0, 0), 0);
	ck_assert_int_eq(guest_read(&g, NULL, 0, UINT64_MAX), 0);
	ram_close(g.ram);
}
END_TEST

/* A base with which memory would go on at address 0. */
START_TEST(test_base_at_the_end)
{
	struct guest_memory g = memory_at(UINT64_MAX - RAM_PAGE);
	uint64_t at = 0, size;
	uint8_t to;

	ck_assert_uint_eq(guest_size(&g), RAM_PAGE);
	ck_assert_int_eq(guest_read(&g, &to, 1, UINT64_MAX - 1), 0);
	refused(&g, UINT64_MAX, 1);
	refused(&g, UINT64_MAX - RAM_PAGE, RAM_PAGE + 1);
	refused(&g, 0, 1);
	ck_assert(!guest_next_stored(&g, &at, &size));
	ram_close(g.ram);
}
END_TEST

START_TEST(test_stored)
{
	struct guest_memory g = memory_at(BASE);
	uint64_t at = 0, size;

	ck_assert(guest_next_stored(&g, &at, &size));
	ck_assert_uint_eq(at, BASE + 3 * RAM_PAGE);
	ck_assert_uint_eq(size, 2 * RAM_PAGE);
	at += RAM_PAGE + 1;
	ck_assert(guest_next_stored(&g, &at, &size));
	ck_assert_uint_eq(at, BASE + 4 * RAM_PAGE + 1);
	ck_assert_uint_eq(size, RAM_PAGE - 1);
	at += size;
	ck_assert(guest_next_stored(&g, &at, &size));
	ck_assert_uint_eq(at, BASE + LAST * RAM_PAGE);
	ck_assert_uint_eq(size, RAM_PAGE);
	at += size;
	ck_assert(!guest_next_stored(&g, &at, &size));
	at = UINT64_MAX;
	ck_assert(!guest_next_stored(&g, &at, &size));

	/* What is written through the mount is memory like all other. */
	ck_assert_int_eq(ram_write(g.ram, "x", 1, 10 * RAM_PAGE), 0);
	at = BASE + 6 * RAM_PAGE;
	ck_assert(guest_next_stored(&g, &at, &size));
	ck_assert_uint_eq(at, BASE + 10 * RAM_PAGE);
	ck_assert_uint_eq(size, RAM_PAGE);
	ram_close(g.ram);
}
END_TEST

START_TEST(test_no_memory)
{
	struct guest_memory g = { NULL, 0 };
	uint64_t at = 0, size;

	ck_assert_uint_eq(guest_size(&g), 0);
	refused(&g, 0, 1);
	ck_assert(!guest_next_stored(&g, &at, &size));
}
END_TEST

START_TEST(test_lost)
{
	struct guest_memory g = memory_at(BASE);
	uint8_t to;

	ram_hold(g.ram);
	ram_lose(g.ram);
	ram_resume(g.ram);
	ck_assert_int_eq(guest_read(&g, &to, 1, BASE), -EIO);
	ck_assert_int_eq(guest_read(&g, &to, 1, BASE - 1), -EFAULT);
	ram_close(g.ram);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("guest-memory");

	tcase_add_test(t, test_read);
	tcase_add_test(t, test_outside);
	tcase_add_test(t, test_base_at_the_end);
	tcase_add_test(t, test_stored);
	tcase_add_test(t, test_no_memory);
	tcase_add_test(t, test_lost);
	return check_run(t);
}
