/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region.h"

START_TEST(within)
{
	static const struct {
		uint64_t offset, size, file;
		bool within;
	} rows[] = {
		{ 0, 0, 0, true },
		{ 0, 1, 0, false },
		{ 1, 0, 0, false },
		{ 0, 4096, 4096, true },
		{ 0, 4097, 4096, false },
		{ 4096, 0, 4096, true },
		{ 4096, 1, 4096, false },
		{ 4097, 0, 4096, false },
		{ 4096, 4096, 8192, true },
		{ 4096, 4097, 8192, false },
		/* Each of these sums overflows to something small. */
		{ UINT64_MAX, 1, 4096, false },
		{ 1, UINT64_MAX, 4096, false },
		{ UINT64_MAX, UINT64_MAX, 4096, false },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, false },
		{ UINT64_MAX, 1, UINT64_MAX, false },
		{ 1, UINT64_MAX, UINT64_MAX, false },
		{ UINT64_C(1) << 63, UINT64_C(1) << 63, 4096, false },
		{ UINT64_MAX - 4095, 4096, 0, false },
		/* And these reach the end exactly. */
		{ UINT64_MAX, 0, UINT64_MAX, true },
		{ 0, UINT64_MAX, UINT64_MAX, true },
		{ 1, UINT64_MAX - 1, UINT64_MAX, true },
		{ UINT64_C(1) << 63, (UINT64_C(1) << 63) - 1, UINT64_MAX, true },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(ram_region_within(rows[i].offset, rows[i].size, rows[i].file) ==
				      rows[i].within,
			      "row %zu", i);
}
END_TEST

static uint64_t page;

/* A file of PAGES pages that has no name any more, each page full of its number from 1 on. */
static int make_file(unsigned pages)
{
	char name[] = "/tmp/check-region-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *bytes;
	unsigned i;

	page = (uint64_t)sysconf(_SC_PAGESIZE);
	ck_assert_int_ge(fd, 0);
	unlink(name);
	bytes = malloc(page);
	for (i = 0; i < pages; i++) {
		memset(bytes, (int)i + 1, page);
		ck_assert_int_eq(pwrite(fd, bytes, page, (off_t)(i * page)), (ssize_t)page);
	}
	free(bytes);
	return fd;
}

static void check_refused(int fd, uint64_t offset, uint64_t size, uint64_t file, const char *text)
{
	void *const untouched = &page;
	void *p = untouched;
	struct error e = { 0 };

	ck_assert_int_eq(cow_map_ram(fd, offset, size, file, 0, &p, &e), -EINVAL);
	ck_assert_int_eq(e.code, EINVAL);
	if (text)
		ck_assert_str_eq(e.text, text);
	ck_assert_str_ne(e.text, "");
	ck_assert_ptr_eq(p, untouched);
	ck_assert_int_eq(cow_map_ram(fd, offset, size, file, 0, &p, NULL), -EINVAL);
}

START_TEST(past_the_end_is_refused)
{
	int fd = make_file(2);

	check_refused(fd, 8192, 4096, 8192,
		      "snapshot RAM region [8192, 12288) exceeds file length 8192");
	check_refused(fd, 4096, 4097, 8192,
		      "snapshot RAM region [4096, 8193) exceeds file length 8192");
	check_refused(fd, 0, 536870912, 449,
		      "snapshot RAM region [0, 536870912) exceeds file length 449");
	check_refused(fd, 12288, 4096, 8192,
		      "snapshot RAM region [12288, 16384) exceeds file length 8192");
	/* Bounds come first: this one is not aligned either. */
	check_refused(fd, 8191, 2, 8192,
		      "snapshot RAM region [8191, 8193) exceeds file length 8192");
	close(fd);
}
END_TEST

START_TEST(the_end_is_exact_where_it_overflows)
{
	int fd = make_file(1);

	/* The greatest end of 64 bits, and one more. */
	check_refused(fd, 0, UINT64_MAX, 4096,
		      "snapshot RAM region [0, 18446744073709551615) exceeds file length 4096");
	check_refused(fd, 1, UINT64_MAX, 4096,
		      "snapshot RAM region [1, 18446744073709551616) exceeds file length 4096");
	check_refused(fd, 18446744073709547520u, 8192, 4096,
		      "snapshot RAM region [18446744073709547520, 18446744073709555712) "
		      "exceeds file length 4096");
	check_refused(fd, UINT64_MAX, UINT64_MAX, UINT64_MAX,
		      "snapshot RAM region [18446744073709551615, 36893488147419103230) "
		      "exceeds file length 18446744073709551615");
	/* Ends with many zeros in them, around the powers of ten. */
	check_refused(fd, 1, 9999999999999999998u, 4096,
		      "snapshot RAM region [1, 9999999999999999999) exceeds file length 4096");
	check_refused(fd, 1, 9999999999999999999u, 4096,
		      "snapshot RAM region [1, 10000000000000000000) exceeds file length 4096");
	check_refused(fd, 10000000000000000000u, 10000000000000000007u, 4096,
		      "snapshot RAM region [10000000000000000000, 20000000000000000007) "
		      "exceeds file length 4096");
	close(fd);
}
END_TEST

START_TEST(empty_is_refused)
{
	int fd = make_file(2);

	check_refused(fd, 0, 0, 2 * page, NULL);
	check_refused(fd, page, 0, 2 * page, NULL);
	close(fd);
}
END_TEST

static bool is_mapped(const uint8_t *at)
{
	return msync((void *)((uintptr_t)at / page * page), page, MS_ASYNC) == 0;
}

START_TEST(from_inside_of_a_page)
{
	int fd = make_file(3);
	uint8_t *p = NULL;
	struct error e;

	ck_assert_int_eq(cow_map_ram(fd, page - 1, page + 2, 3 * page, 0, (void **)&p, &e), 0);
	ck_assert_uint_eq(p[0], 1);
	ck_assert_uint_eq(p[1], 2);
	ck_assert_uint_eq(p[page], 2);
	ck_assert_uint_eq(p[page + 1], 3);
	ck_assert(is_mapped(p) && is_mapped(p + page + 1));
	cow_unmap_ram(p, page + 2);
	/* Pages that it has bytes of are three. */
	ck_assert(!is_mapped(p));
	ck_assert(!is_mapped(p + 1));
	ck_assert(!is_mapped(p + page + 1));
	check_refused(fd, page + 1, 2 * page, 3 * page, NULL);
	close(fd);
}
END_TEST

START_TEST(stores_stay_out_of_the_file)
{
	int fd = make_file(4);
	uint8_t *p = NULL;
	uint8_t byte;
	struct error e;
	uint64_t i;

	ck_assert_int_eq(cow_map_ram(fd, page, 2 * page, 4 * page, 0, (void **)&p, &e), 0);
	for (i = 0; i < 2 * page; i++)
		if (p[i] != 2 + i / page)
			ck_abort_msg("byte %llu is %u", (unsigned long long)i, p[i]);
	memset(p, 0xee, 2 * page);
	ck_assert_uint_eq(p[0], 0xee);
	ck_assert_uint_eq(p[2 * page - 1], 0xee);
	for (i = 0; i < 4 * page; i++) {
		ck_assert_int_eq(pread(fd, &byte, 1, (off_t)i), 1);
		if (byte != 1 + i / page)
			ck_abort_msg("the file's byte %llu became %u", (unsigned long long)i, byte);
	}
	cow_unmap_ram(p, 2 * page);
	close(fd);
}
END_TEST

START_TEST(a_file_opened_to_read_is_enough)
{
	int fd = make_file(1);
	char name[64];
	uint8_t *p = NULL;
	struct error e;
	int read_only;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	read_only = open(name, O_RDONLY);
	ck_assert_int_ge(read_only, 0);
	ck_assert_int_eq(cow_map_ram(read_only, 0, page, page, 0, (void **)&p, &e), 0);
	close(read_only);
	p[0] = 0xee;
	ck_assert_uint_eq(p[0], 0xee);
	ck_assert_uint_eq(p[1], 1);
	munmap(p, page);
	close(fd);
}
END_TEST

START_TEST(a_size_that_is_not_whole_pages)
{
	int fd = make_file(2);
	uint8_t *p = NULL;
	struct error e;

	ck_assert_int_eq(cow_map_ram(fd, page, 5, 2 * page, 0, (void **)&p, &e), 0);
	ck_assert_uint_eq(p[0], 2);
	ck_assert_uint_eq(p[4], 2);
	munmap(p, 5);
	close(fd);
}
END_TEST

/* The flags of the mapping that starts at P, as the kernel shows them; empty if it does not. */
static void mapping_flags(const void *p, char *out, size_t room)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512], start[32];
	bool here = false;

	out[0] = 0;
	snprintf(start, sizeof(start), "%llx-", (unsigned long long)(uintptr_t)p);
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			here = true;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	if (f && !feof(f))
		snprintf(out, room, "%s", line + 8);
	if (f)
		fclose(f);
}

/* Whether the page at P is in memory; bit 63 of its word in the page map says so. */
static bool is_present(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word = 0;

	ck_assert_int_eq(pread(fd, &word, 8, (off_t)((uintptr_t)p / page * 8)), 8);
	close(fd);
	return word >> 63;
}

START_TEST(extra_flags_are_passed)
{
	const int extra = MAP_POPULATE | MAP_NORESERVE;
	int fd = make_file(4);
	char without[512], with[512];
	uint8_t *p = NULL;
	struct error e;

	ck_assert_int_eq(cow_map_ram(fd, 0, 4 * page, 4 * page, 0, (void **)&p, &e), 0);
	mapping_flags(p, without, sizeof(without));
	ck_assert(!is_present(p));
	ck_assert(!is_present(p + 3 * page));
	munmap(p, 4 * page);

	ck_assert_int_eq(cow_map_ram(fd, 0, 4 * page, 4 * page, extra, (void **)&p, &e), 0);
	mapping_flags(p, with, sizeof(with));
	ck_assert(is_present(p));
	ck_assert(is_present(p + 3 * page));
	ck_assert_uint_eq(p[0], 1);
	p[0] = 0xee;
	munmap(p, 4 * page);
	ck_assert_ptr_null(strstr(without, " nr"));
	ck_assert_msg(!with[0] || strstr(with, " nr"), "the mapping has the flags %s", with);
	close(fd);
}
END_TEST

START_TEST(an_error_of_mmap_is_returned)
{
	int fd = make_file(1);
	void *p = NULL;
	struct error e;

	/* An ordinary file cannot be mapped so: the kernel says EINVAL. */
	ck_assert_int_eq(cow_map_ram(fd, 0, page, page, MAP_HUGETLB, &p, &e), -EINVAL);
	ck_assert_str_ne(e.text, "");
	ck_assert_ptr_null(p);
	close(fd);
	ck_assert_int_eq(cow_map_ram(fd, 0, page, page, 0, &p, &e), -EBADF);
	ck_assert_int_eq(e.code, EBADF);
}
END_TEST

/*
 * Finding RAM.  Sizes in whole pages of 64 KiB, which every page size divides.
 */

enum { P = 65536 };

/* In a bare file. */
static int find_last(const struct region_options *options, uint64_t head_end, uint64_t mem_size,
		     uint64_t file_len, bool *has_ram, uint64_t *ram_offset, struct error *e)
{
	struct region_question q = { options, head_end, 0, mem_size, file_len };

	return region_at_end(&q, has_ram, ram_offset, e);
}

static void check_found(struct region_options options, uint64_t container_end, uint64_t mem_size,
			uint64_t file_len, uint64_t expected)
{
	bool has_ram = false;
	uint64_t offset = 1;
	struct error e = { 0 };
	int err = find_last(&options, container_end, mem_size, file_len, &has_ram, &offset, &e);

	ck_assert_msg(!err, "%s", e.text);
	ck_assert(has_ram);
	ck_assert_uint_eq(offset, expected);
}

static void check_none(struct region_options options, uint64_t container_end, uint64_t mem_size,
		       uint64_t file_len)
{
	bool has_ram = true;
	uint64_t offset = 1;
	struct error e = { 0 };
	int err = find_last(&options, container_end, mem_size, file_len, &has_ram, &offset, &e);

	ck_assert_msg(!err, "%s", e.text);
	ck_assert(!has_ram);
}

static void check_not_found(struct region_options options, uint64_t container_end,
			    uint64_t mem_size, uint64_t file_len, const char *text)
{
	bool has_ram;
	uint64_t offset;
	struct error e = { 0 };

	ck_assert_int_eq(
		find_last(&options, container_end, mem_size, file_len, &has_ram, &offset, &e),
		-EINVAL);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strstr(e.text, text) != NULL, "no \"%s\" in: %s", text, e.text);
	ck_assert_int_eq(
		find_last(&options, container_end, mem_size, file_len, &has_ram, &offset, NULL),
		-EINVAL);
}

static const struct region_options by_default;

START_TEST(ram_is_the_last_bytes)
{
	check_found(by_default, 449, P, 2 * P, P);
	check_found(by_default, 449, 4 * P, 5 * P, P);
	/* Much padding, and none. */
	check_found(by_default, 449, P, 100 * P, 99 * P);
	check_found(by_default, P, P, 2 * P, P);
	/* A size that is not whole pages, with an end to match. */
	check_found(by_default, 449, P + 5, 2 * P + 5, P);
}
END_TEST

START_TEST(a_bare_container_has_no_ram)
{
	check_none(by_default, 449, 536870912, 449);
	check_none(by_default, 449, UINT64_MAX, 449);
	check_none(by_default, P, 1, P);
}
END_TEST

START_TEST(no_memory_no_ram)
{
	const struct region_options odd = { .ram_offset = 7, .ram_offset_given = true };
	const struct region_options other = { .ram_elsewhere = true };

	check_none(by_default, 449, 0, 449);
	check_none(by_default, 449, 0, P);
	/* With nothing to map there is nothing to check. */
	check_none(odd, 449, 0, 449);
	check_none(other, 449, 0, 0);
}
END_TEST

START_TEST(too_short_a_file)
{
	check_not_found(by_default, 449, P, P,
			"snapshot RAM region [449, 65985) exceeds file length 65536");
	check_not_found(by_default, 449, P, 450, "exceeds file length 450");
	check_not_found(by_default, 449, 536870912, P, "exceeds file length 65536");
	check_not_found(by_default, 449, UINT64_MAX, P,
			"snapshot RAM region [449, 18446744073709552064) "
			"exceeds file length 65536");
	/* One byte of the container short. */
	check_not_found(by_default, P + 1, P, 2 * P, "exceeds file length 131072");
}
END_TEST

START_TEST(ram_need_not_be_aligned)
{
	check_found(by_default, 449, P, 2 * P + 1, P + 1);
	check_found(by_default, 449, P - 512, 2 * P, P + 512);
	check_found(by_default, 449, 1, 450, 449);
}
END_TEST

/* Where the header says. */
static int find_at(uint64_t head_end, uint64_t ram_offset, uint64_t mem_size, uint64_t file_len,
		   bool *has_ram, struct error *e)
{
	struct region_question q = { &by_default, head_end, ram_offset, mem_size, file_len };
	uint64_t found = 1;
	int err = region_at_ram_offset(&q, has_ram, &found, e);

	if (!err && *has_ram)
		ck_assert_uint_eq(found, ram_offset);
	return err;
}

static void check_header(uint64_t head_end, uint64_t ram_offset, uint64_t mem_size,
			 uint64_t file_len, const char *text)
{
	struct error e = { 0 };
	bool has_ram;

	ck_assert_int_eq(find_at(head_end, ram_offset, mem_size, file_len, &has_ram, &e), -EINVAL);
	ck_assert_str_eq(e.text, text);
}

START_TEST(the_offset_of_a_header)
{
	struct error e;
	bool has_ram;

	ck_assert_int_eq(find_at(449, 8192, 4096, 12288, &has_ram, &e), 0);
	ck_assert(has_ram);
	ck_assert_int_eq(find_at(8192, 8192, 4096, 20000, &has_ram, &e), 0);
	ck_assert(has_ram);
	/* With no RAM there is no region. */
	ck_assert_int_eq(find_at(449, 8192, 0, 8192, &has_ram, &e), 0);
	ck_assert(!has_ram);
	ck_assert_int_eq(find_at(449, UINT64_MAX, 0, 8192, &has_ram, &e), 0);
	ck_assert(!has_ram);
	check_header(8193, 8192, 4096, 12288,
		     "snapshot RAM region starts at 8192, inside the container, which ends at 8193");
	check_header(449, 8192, 4097, 12288,
		     "snapshot RAM region [8192, 12289) exceeds file length 12288");
	check_header(449, 16384, 4096, 12288,
		     "snapshot RAM region [16384, 20480) exceeds file length 12288");
	check_header(449, UINT64_MAX - 4095, 4096, 12288,
		     "snapshot RAM region [18446744073709547520, 18446744073709551616) exceeds file length 12288");
	check_header(449, 8193, 4096, 13000,
		     "snapshot RAM region starts at 8193, not at a multiple of the page size 4096");
	check_header(449, 10240, 4096, 16384,
		     "snapshot RAM region starts at 10240, not at a multiple of the page size 4096");
	/* The order of these rules. */
	check_header(8194, 8193, 4096, 8192,
		     "snapshot RAM region starts at 8193, inside the container, which ends at 8194");
	check_header(449, 8193, 4096, 8192,
		     "snapshot RAM region [8193, 12289) exceeds file length 8192");
}
END_TEST

START_TEST(the_offset_that_is_given)
{
	struct region_options given = { .ram_offset = P, .ram_offset_given = true };

	/* The last of the file is somebody else's. */
	check_found(given, 449, P, 2 * P, P);
	check_found(given, 449, P, 2 * P + 123, P);
	check_found(given, 449, P, 100 * P, P);
	check_found(given, P, P, 2 * P, P);
	check_not_found(given, 449, P, 2 * P - 1,
			"snapshot RAM region [65536, 131072) exceeds file length 131071");
	check_not_found(given, P + 1, P, 2 * P, "65536");
	/* Given is given: nobody looks whether the container is bare. */
	check_not_found(given, 449, P, 449,
			"snapshot RAM region [65536, 131072) exceeds file length 449");

	given.ram_offset = 0;
	check_not_found(given, 449, P, 2 * P, "449");
	given.ram_offset = P + 1;
	check_found(given, 449, P, 3 * P, P + 1);
	given.ram_offset = UINT64_MAX;
	check_not_found(given, 449, P, 2 * P,
			"snapshot RAM region [18446744073709551615, 18446744073709617151) exceeds");
}
END_TEST

START_TEST(a_container_further_on)
{
	const struct region_options later = { .container_offset = P };
	const struct region_options before = {
		.container_offset = 3 * P, .ram_offset = P, .ram_offset_given = true
	};

	check_found(later, P + 449, P, 3 * P, 2 * P);
	check_none(later, P + 449, P, P + 449);
	check_not_found(later, P + 449, P, 2 * P, "exceeds file length 131072");
	/* RAM comes after the container, never before it. */
	check_not_found(before, 3 * P + 449, P, 4 * P, "65536");
}
END_TEST

START_TEST(ram_in_another_file)
{
	struct region_options other = { .ram_elsewhere = true };

	/* Where the container ends in its own file is nothing to this one. */
	check_found(other, 449, P, P, 0);
	check_found(other, 100 * P, P, P, 0);
	check_found(other, 449, P, 5 * P, 0);
	check_not_found(other, 449, P, P - 1,
			"snapshot RAM region [0, 65536) exceeds file length 65535");
	check_not_found(other, 449, P, 449, "exceeds file length 449");
	check_not_found(other, 449, P, 0, "exceeds file length 0");

	other.ram_offset_given = true;
	other.ram_offset = 2 * P;
	check_found(other, 449, P, 3 * P, 2 * P);
	check_not_found(other, 449, P, 3 * P - 1, "exceeds file length 196607");
	other.ram_offset = 100;
	check_found(other, 449, P, 3 * P, 100);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("region");

	tcase_add_test(t, within);
	tcase_add_test(t, past_the_end_is_refused);
	tcase_add_test(t, the_end_is_exact_where_it_overflows);
	tcase_add_test(t, empty_is_refused);
	tcase_add_test(t, from_inside_of_a_page);
	tcase_add_test(t, stores_stay_out_of_the_file);
	tcase_add_test(t, a_file_opened_to_read_is_enough);
	tcase_add_test(t, a_size_that_is_not_whole_pages);
	tcase_add_test(t, extra_flags_are_passed);
	tcase_add_test(t, an_error_of_mmap_is_returned);
	tcase_add_test(t, ram_is_the_last_bytes);
	tcase_add_test(t, a_bare_container_has_no_ram);
	tcase_add_test(t, no_memory_no_ram);
	tcase_add_test(t, too_short_a_file);
	tcase_add_test(t, ram_need_not_be_aligned);
	tcase_add_test(t, the_offset_of_a_header);
	tcase_add_test(t, the_offset_that_is_given);
	tcase_add_test(t, a_container_further_on);
	tcase_add_test(t, ram_in_another_file);
	return check_run(t);
}
