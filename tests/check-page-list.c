/* SPDX-License-Identifier: MIT */
/* A diff's page list, RAM over a base, and the list that is made of it. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "le.h"
#include "relist.h"

enum { PAGE = LISTED_PAGE, PAGES = 600, RAM_SIZE = PAGES * PAGE, START = 449, BASE_RAM = 4096 };

static int temporary(char *path)
{
	int fd;

	strcpy(path, "/tmp/check-page-list-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void write_all(int fd, const void *p, size_t n, uint64_t offset)
{
	ck_assert_int_eq(pwrite(fd, p, n, (off_t)offset), (ssize_t)n);
}

/* Entry I of a list that begins at START: page NUMBER, full of FILL. */
static void write_entry(int fd, unsigned i, uint32_t number, int fill)
{
	uint8_t entry[LIST_ENTRY];

	le_put(entry, 4, number);
	memset(entry + 4, fill, PAGE);
	write_all(fd, entry, sizeof(entry), START + (uint64_t)i * LIST_ENTRY);
}

/* A list of these pages, each full of its place in the list and 1. */
static struct page_list *list_of(const uint32_t *numbers, unsigned count)
{
	struct page_list *list = NULL;
	char path[64];
	int fd = temporary(path);
	struct error e;
	unsigned i;

	unlink(path);
	for (i = 0; i < count; i++)
		write_entry(fd, i, numbers[i], (int)i + 1);
	ck_assert_int_eq(page_list_open(fd, START, count, START + (uint64_t)count * LIST_ENTRY, RAM_SIZE, &list, &e), 0);
	close(fd);
	return list;
}

static int first_byte(const struct page_list *list, size_t number)
{
	uint8_t byte;

	ck_assert(page_list_copy(list, number, &byte, 0, 1));
	return byte;
}

START_TEST(test_order)
{
	static const uint32_t numbers[] = { 7, 3, 599, 3, 0, 7, 3 };
	struct page_list *list = list_of(numbers, 7);

	/* 0, 3, 7, 599: of a repeated page the last. */
	ck_assert_uint_eq(page_list_count(list), 4);
	ck_assert_uint_eq(page_list_page(list, 0), 0);
	ck_assert_uint_eq(page_list_page(list, 1), 3);
	ck_assert_uint_eq(page_list_page(list, 2), 7);
	ck_assert_uint_eq(page_list_page(list, 3), 599);
	ck_assert_uint_eq(page_list_page(list, 4), UINT64_MAX);
	ck_assert_int_eq(first_byte(list, 0), 5);
	ck_assert_int_eq(first_byte(list, 1), 7);
	ck_assert_int_eq(first_byte(list, 2), 6);
	ck_assert_int_eq(first_byte(list, 3), 3);
	ck_assert_uint_eq(page_list_find(list, 3), 1);
	ck_assert_uint_eq(page_list_find(list, 4), 2);
	ck_assert_uint_eq(page_list_find(list, 600), 4);
	page_list_close(list);
}
END_TEST

/* The count is so much, the file so long; what is answered. */
static int try_open(uint64_t count, uint64_t file_len, uint32_t number, struct error *e)
{
	struct page_list *list = NULL;
	char path[64];
	int fd = temporary(path), err;

	unlink(path);
	write_entry(fd, 0, number, 1);
	ck_assert_int_eq(ftruncate(fd, (off_t)file_len), 0);
	err = page_list_open(fd, START, count, file_len, RAM_SIZE, &list, e);
	close(fd);
	page_list_close(list);
	return err;
}

START_TEST(test_lies)
{
	const uint64_t one = START + LIST_ENTRY;
	struct error e;

	ck_assert_int_eq(try_open(1, one, 599, &e), 0);
	ck_assert_int_eq(try_open(0, START, 0, &e), 0);
	ck_assert_int_eq(try_open(1, one - 1, 0, &e), -ERR_TRUNCATED);
	ck_assert_int_eq(try_open(2, one, 0, &e), -ERR_TRUNCATED);
	ck_assert_int_eq(try_open(1, START - 1, 0, &e), -ERR_TRUNCATED);
	/* A count decides nothing that is allocated. */
	ck_assert_int_eq(try_open(UINT32_MAX, one, 0, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "page list: offset 0x1c1: 4294967295 pages need more bytes, 4100 left");
	ck_assert_int_eq(try_open(1, one, 600, &e), -ERR_MALFORMED);
	ck_assert_str_eq(e.text, "page list: offset 0x1c1: page 600, RAM has 600");
	ck_assert_int_eq(try_open(1, one, UINT32_MAX, &e), -ERR_MALFORMED);
}
END_TEST

/*
 * RAM over a base
 */

/* A kvm snapshot with the least of a container; of its RAM every other page is full of 9. */
static void make_base(char *path)
{
	int fd = temporary(path);
	uint8_t head[80] = { 0 }, page[PAGE];
	unsigned i;

	memcpy(head, "SMSNAP07", 8);
	le_put(head + 8, 8, BASE_RAM);
	le_put(head + 17, 8, RAM_SIZE);
	write_all(fd, head, sizeof(head), 0);
	memset(page, 9, PAGE);
	for (i = 0; i < PAGES; i += 2)
		write_all(fd, page, PAGE, BASE_RAM + (uint64_t)i * PAGE);
	ck_assert_int_eq(ftruncate(fd, BASE_RAM + RAM_SIZE), 0);
	close(fd);
}

static struct ram *ram_over(const char *base_path, const uint32_t *numbers, unsigned count)
{
	struct diff_base base = { .fd = -1 };
	struct ram_source *source;
	struct ram *ram;
	struct error e = { 0 };

	if (base_path)
		ck_assert_msg(!base_open(base_path, strlen(base_path), -1, "/tmp/diff", RAM_SIZE, &base, &e), "%s", e.text);
	ck_assert_int_eq(source_open_diff(&base, list_of(numbers, count), RAM_SIZE, &source, &e), 0);
	ck_assert_int_eq(ram_open_over(source, RAM_SIZE, &ram, &e), 0);
	return ram;
}

static void has_page(struct ram *ram, unsigned page, int fill)
{
	uint8_t got[PAGE];

	ck_assert_int_eq(ram_read(ram, got, PAGE, (uint64_t)page * PAGE), 0);
	ck_assert_int_eq(got[0], fill);
	ck_assert_int_eq(got[PAGE - 1], fill);
}

/* List RAM anew; which pages there are, full of what. */
static void is_listed(struct ram *ram, struct ram_source *base, unsigned count, const uint32_t *numbers,
		      const int *fills)
{
	uint8_t entry[LIST_ENTRY];
	uint64_t listed = 0;
	struct error e = { 0 };
	char path[64];
	int fd = temporary(path);
	unsigned i;

	unlink(path);
	ck_assert_msg(!relist(ram, base, fd, START, &listed, NULL, NULL, &e), "%s", e.text);
	ck_assert_uint_eq(listed, count);
	for (i = 0; i < count; i++) {
		ck_assert_int_eq(pread(fd, entry, LIST_ENTRY, START + (off_t)i * LIST_ENTRY), LIST_ENTRY);
		ck_assert_uint_eq(le_get(entry, 4), numbers[i]);
		ck_assert_int_eq(entry[4], fills[i]);
	}
	close(fd);
}

START_TEST(test_over_base)
{
	/* 400 is full of 9, as the base has it, for it is the ninth. */
	static const uint32_t numbers[] = { 599, 1, 5, 6, 7, 8, 9, 10, 400 };
	static const uint32_t then[] = { 1, 5, 6, 7, 8, 9, 10, 300, 301, 599 };
	static const int fills[] = { 2, 3, 4, 5, 6, 7, 8, 0, 77, 1 };
	struct ram_source *base;
	uint8_t page[PAGE];
	struct error e;
	char path[64];
	struct ram *ram;
	unsigned i;

	make_base(path);
	ram = ram_over(path, numbers, 9);
	for (i = 0; i < 4; i++)
		has_page(ram, i, i == 1 ? 2 : i % 2 ? 0 : 9);
	has_page(ram, 599, 1);
	ck_assert_int_eq(ram_seek(ram, PAGE, SEEK_DATA), PAGE);
	ck_assert_int_eq(ram_seek(ram, 3 * PAGE, SEEK_DATA), 4 * PAGE);
	ck_assert_int_eq(ram_seek(ram, 4 * PAGE, SEEK_HOLE), 11 * PAGE);
	ck_assert_uint_eq(ram_stored(ram), (uint64_t)(PAGES / 2 + 5) * PAGE);
	/* One is the base's again, two are not any more; one becomes zeros where data was. */
	memset(page, 77, PAGE);
	ck_assert_int_eq(ram_write(ram, page, PAGE, 301 * PAGE), 0);
	memset(page, 0, PAGE);
	ck_assert_int_eq(ram_write(ram, page, PAGE, 300 * PAGE), 0);
	ck_assert_int_eq(ram_write(ram, page, PAGE, 303 * PAGE), 0);
	ck_assert_int_eq(source_open_base(ram_diff(ram), &base, &e), 0);
	ck_assert(source_is_base(ram_diff(ram), base));
	is_listed(ram, base, 10, then, fills);
	source_close(base);
	ram_close(ram);
	unlink(path);
}
END_TEST

static unsigned told;

static void count_calls(void *ctx, const char *base)
{
	(void)ctx;
	ck_assert_ptr_nonnull(base);
	told++;
}

START_TEST(test_changed_base)
{
	static const uint32_t numbers[] = { 1 };
	struct ram *ram;
	uint8_t page[PAGE];
	char path[64];

	make_base(path);
	ram = ram_over(path, numbers, 1);
	source_watch(ram_diff(ram), count_calls, NULL);
	has_page(ram, 0, 9);
	ck_assert_int_eq(truncate(path, BASE_RAM + RAM_SIZE + 1), 0);
	/* What the base has is not to be had, and is no hole; that is told once. */
	ck_assert_int_eq(ram_read(ram, page, PAGE, 0), -EIO);
	ck_assert_int_eq(ram_read(ram, page, 1, 3 * PAGE), -EIO);
	ck_assert_int_eq(ram_write(ram, page, 1, 3 * PAGE), -EIO);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(ram_seek(ram, 3 * PAGE, SEEK_DATA), 3 * PAGE);
	ck_assert_int_eq(ram_seek(ram, 0, SEEK_HOLE), RAM_SIZE);
	has_page(ram, 1, 1);
	ck_assert_int_eq(ram_write(ram, page, PAGE, 3 * PAGE), 0);
	ram_close(ram);
	unlink(path);
}
END_TEST

START_TEST(test_no_base)
{
	static const uint32_t numbers[] = { 2, 1 };
	static const uint32_t then[] = { 1, 2, 4 };
	static const int fills[] = { 2, 1, 5 };
	struct ram *ram = ram_over(NULL, numbers, 2);
	struct ram_source *base;
	uint8_t page[PAGE];
	struct error e;

	has_page(ram, 1, 2);
	ck_assert_int_eq(ram_read(ram, page, 1, 3 * PAGE), -EIO);
	memset(page, 5, PAGE);
	ck_assert_int_eq(ram_write(ram, page, 1, 4 * PAGE), -EIO);
	ck_assert_int_eq(ram_write(ram, page, PAGE, 4 * PAGE), 0);
	ck_assert_int_eq(source_open_base(ram_diff(ram), &base, &e), 0);
	ck_assert_ptr_null(base);
	is_listed(ram, NULL, 3, then, fills);
	ram_close(ram);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("page-list");

	guard_install();
	tcase_add_test(t, test_order);
	tcase_add_test(t, test_lies);
	tcase_add_test(t, test_over_base);
	tcase_add_test(t, test_changed_base);
	tcase_add_test(t, test_no_base);
	return check_run(t);
}
