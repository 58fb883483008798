/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "save.h"

static void check_next(struct layout old, uint64_t size, struct layout expected)
{
	struct layout next = layout_next(&old, size);

	ck_assert_uint_eq(next.container_offset, expected.container_offset);
	ck_assert_uint_eq(next.container_size, expected.container_size);
	ck_assert_uint_eq(next.tail_offset, expected.tail_offset);
	ck_assert_uint_eq(next.file_size, expected.file_size);
}

enum { RAM = 1 << 20 };

START_TEST(fits)
{
	const struct layout old = { 0, 449, 4096, 4096 + RAM };

	check_next(old, 449, old);
	check_next(old, 31, (struct layout){ 0, 31, 4096, 4096 + RAM });
	check_next(old, 4095, (struct layout){ 0, 4095, 4096, 4096 + RAM });
	check_next(old, 4096, (struct layout){ 0, 4096, 4096, 4096 + RAM });
}
END_TEST

START_TEST(no_room_to_begin_with)
{
	/* The container ends right where RAM starts. */
	const struct layout old = { 0, 4096, 4096, 4096 + RAM };

	check_next(old, 4096, old);
	check_next(old, 4097, (struct layout){ 0, 4097, 65536, 65536 + RAM });
}
END_TEST

START_TEST(outgrows)
{
	const struct layout old = { 0, 449, 4096, 4096 + RAM };

	check_next(old, 4097, (struct layout){ 0, 4097, 65536, 65536 + RAM });
	check_next(old, 65535, (struct layout){ 0, 65535, 65536, 65536 + RAM });
	check_next(old, 65536, (struct layout){ 0, 65536, 65536, 65536 + RAM });
	check_next(old, 65537, (struct layout){ 0, 65537, 131072, 131072 + RAM });
	check_next(old, 16 << 20, (struct layout){ 0, 16 << 20, 16 << 20, (16 << 20) + RAM });
}
END_TEST

START_TEST(ram_never_moves_back)
{
	const struct layout old = { 0, 65537, 131072, 131072 + RAM };

	check_next(old, 449, (struct layout){ 0, 449, 131072, 131072 + RAM });
}
END_TEST

START_TEST(a_tail_that_is_not_aligned_stays)
{
	const struct layout old = { 0, 449, 5000, 5123 };

	check_next(old, 5000, (struct layout){ 0, 5000, 5000, 5123 });
	check_next(old, 5001, (struct layout){ 0, 5001, 65536, 65536 + 123 });
}
END_TEST

START_TEST(bare)
{
	const struct layout old = { 0, 449, 449, 449 };

	check_next(old, 449, old);
	check_next(old, 100, (struct layout){ 0, 100, 100, 100 });
	check_next(old, 450, (struct layout){ 0, 450, 450, 450 });
	check_next(old, 70000, (struct layout){ 0, 70000, 70000, 70000 });
}
END_TEST

START_TEST(bare_after_other_bytes)
{
	const struct layout old = { 512, 449, 961, 961 };

	check_next(old, 500, (struct layout){ 512, 500, 1012, 1012 });
	check_next(old, 400, (struct layout){ 512, 400, 912, 912 });
}
END_TEST

START_TEST(after_other_bytes)
{
	const struct layout old = { 4096, 449, 8192, 8192 + RAM };
	const struct layout odd = { 70000, 449, 73728, 73728 + RAM };

	check_next(old, 4096, (struct layout){ 4096, 4096, 8192, 8192 + RAM });
	check_next(old, 4097, (struct layout){ 4096, 4097, 65536, 65536 + RAM });
	check_next(old, 61440, (struct layout){ 4096, 61440, 65536, 65536 + RAM });
	check_next(old, 61441, (struct layout){ 4096, 61441, 131072, 131072 + RAM });
	check_next(odd, 3728, (struct layout){ 70000, 3728, 73728, 73728 + RAM });
	check_next(odd, 3729, (struct layout){ 70000, 3729, 131072, 131072 + RAM });
}
END_TEST

START_TEST(bytes_after_ram_move_with_it)
{
	const struct layout old = { 0, 449, 4096, 4096 + RAM + 77 };

	check_next(old, 4096, (struct layout){ 0, 4096, 4096, 4096 + RAM + 77 });
	check_next(old, 4097, (struct layout){ 0, 4097, 65536, 65536 + RAM + 77 });
}
END_TEST

START_TEST(beyond_4_gib)
{
	const uint64_t ram = UINT64_C(1) << 40;
	const struct layout old = { UINT64_C(5) << 30, 449, (UINT64_C(5) << 30) + 4096,
				    (UINT64_C(5) << 30) + 4096 + ram };

	check_next(old, 4097,
		   (struct layout){ UINT64_C(5) << 30, 4097, (UINT64_C(5) << 30) + 65536,
				    (UINT64_C(5) << 30) + 65536 + ram });
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("layout");

	tcase_add_test(t, fits);
	tcase_add_test(t, no_room_to_begin_with);
	tcase_add_test(t, outgrows);
	tcase_add_test(t, ram_never_moves_back);
	tcase_add_test(t, a_tail_that_is_not_aligned_stays);
	tcase_add_test(t, bare);
	tcase_add_test(t, bare_after_other_bytes);
	tcase_add_test(t, after_other_bytes);
	tcase_add_test(t, bytes_after_ram_move_with_it);
	tcase_add_test(t, beyond_4_gib);
	return check_run(t);
}
