/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layout.h"
#include "save.h"

/*
 * Telling layouts apart
 */

/* Detect the layout of the N bytes at BYTES, as a file. */
static int detect(const void *bytes, size_t n, bool bare, const struct layout **out,
		  struct error *e)
{
	char name[] = "/tmp/check-layout-XXXXXX";
	int fd = mkstemp(name), err;

	ck_assert_int_ge(fd, 0);
	unlink(name);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	*e = (struct error){ 0 };
	err = layout_detect(fd, n, bare, out, e);
	close(fd);
	return err;
}

static void check_is(const char *layout, const void *bytes, size_t n, bool bare)
{
	const struct layout *found = NULL;
	struct error e;

	if (detect(bytes, n, bare, &found, &e))
		ck_abort_msg("%s: %s", layout, e.text);
	ck_assert_str_eq(found->name, layout);
	ck_assert_ptr_eq(layout_named(layout), found);
}

static void check_refused(const char *bytes, size_t n, int code, const char *text)
{
	const struct layout *found;
	struct error e;

	ck_assert_int_eq(detect(bytes, n, false, &found, &e), -code);
	ck_assert_str_eq(e.text, text);
	/* Who says that it is bare is believed. */
	check_is("bare", bytes, n, true);
}

START_TEST(by_magic)
{
	check_is("kvm", "SMSNAP07", 8, false);
	check_is("kvm", "SMSNAP07and more", 16, false);
	check_is("hvf", "SMSNAP\x0a\0", 8, false);
	check_is("bare", "\1\0\0\0\x20\0\0\0\0", 9, false);
	check_is("bare", "SMSNA", 5, false);
	check_is("bare", "smsnap07", 8, false);
	check_is("bare", "SMSTSNP0", 8, false);
	ck_assert_ptr_null(layout_named("qcow2"));
	ck_assert_ptr_null(layout_named(""));
}
END_TEST

START_TEST(neighbours)
{
	check_refused("SMSNAP06", 8, EINVAL,
		      "is an ordinary snapshot of the older format SMSNAP06, only SMSNAP07 is read here; it has to be baked again");
	check_refused("SMSNAP08....", 12, EINVAL,
		      "is an ordinary snapshot of the newer format SMSNAP08, only SMSNAP07 is read here; a newer smfs may read it");
	check_refused("SMSNAP10", 8, EINVAL,
		      "is an ordinary snapshot of the newer format SMSNAP10, only SMSNAP07 is read here; a newer smfs may read it");
	check_refused("SMSNAP4D", 8, EINVAL,
		      "is a differential snapshot of the older format SMSNAP4D, only SMSNAP7D is read here; it has to be baked again");
	check_refused("SMSNAP7D", 8, EINVAL,
		      "is a differential snapshot (kvm-diff), which is not read yet; mount the one that it differs from");
	check_refused("SMSNAP\x09\0", 8, EINVAL,
		      "is an hvf snapshot of format 9, only 10 is read here; take it anew with a monitor that writes that");
	check_refused("SMSNAPxy", 8, EINVAL, "is a snapshot of an unknown format: SMSNAPxy");
	check_refused("SMSTSNP1", 8, EINVAL,
		      "is a process snapshot (SMSTSNP1): there is no machine in it");
	check_refused("SMSNAP0", 7, ERR_TRUNCATED, "is cut short: it ends after 7 bytes");
	check_refused("SMSNAP", 6, ERR_TRUNCATED, "is cut short: it ends after 6 bytes");
}
END_TEST

/*
 * The parts of a file after a save
 */

static void check_next(struct parts old, uint64_t size, struct parts expected)
{
	struct parts next = parts_next(&old, size);

	ck_assert_uint_eq(next.head_offset, expected.head_offset);
	ck_assert_uint_eq(next.head_size, expected.head_size);
	ck_assert_uint_eq(next.tail_offset, expected.tail_offset);
	ck_assert_uint_eq(next.file_size, expected.file_size);
	ck_assert_int_eq(next.glued, old.glued);
}

enum { RAM = 1 << 20 };

START_TEST(fits)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM, false };

	check_next(old, 449, old);
	check_next(old, 31, (struct parts){ 0, 31, 4096, 4096 + RAM, false });
	check_next(old, 4095, (struct parts){ 0, 4095, 4096, 4096 + RAM, false });
	check_next(old, 4096, (struct parts){ 0, 4096, 4096, 4096 + RAM, false });
}
END_TEST

START_TEST(no_room_to_begin_with)
{
	/* The container ends right where RAM starts. */
	const struct parts old = { 0, 4096, 4096, 4096 + RAM, false };

	check_next(old, 4096, old);
	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM, false });
}
END_TEST

START_TEST(outgrows)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM, false };

	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM, false });
	check_next(old, 65535, (struct parts){ 0, 65535, 65536, 65536 + RAM, false });
	check_next(old, 65536, (struct parts){ 0, 65536, 65536, 65536 + RAM, false });
	check_next(old, 65537, (struct parts){ 0, 65537, 131072, 131072 + RAM, false });
	check_next(old, 16 << 20, (struct parts){ 0, 16 << 20, 16 << 20, (16 << 20) + RAM, false });
}
END_TEST

START_TEST(ram_never_moves_back)
{
	const struct parts old = { 0, 65537, 131072, 131072 + RAM, false };

	check_next(old, 449, (struct parts){ 0, 449, 131072, 131072 + RAM, false });
}
END_TEST

START_TEST(a_tail_that_is_not_aligned_stays)
{
	const struct parts old = { 0, 449, 5000, 5123, false };

	check_next(old, 5000, (struct parts){ 0, 5000, 5000, 5123, false });
	check_next(old, 5001, (struct parts){ 0, 5001, 65536, 65536 + 123, false });
}
END_TEST

START_TEST(bare)
{
	const struct parts old = { 0, 449, 449, 449, true };

	check_next(old, 449, old);
	check_next(old, 100, (struct parts){ 0, 100, 100, 100, false });
	check_next(old, 450, (struct parts){ 0, 450, 450, 450, false });
	check_next(old, 70000, (struct parts){ 0, 70000, 70000, 70000, false });
}
END_TEST

START_TEST(bare_after_other_bytes)
{
	const struct parts old = { 512, 449, 961, 961, true };

	check_next(old, 500, (struct parts){ 512, 500, 1012, 1012, false });
	check_next(old, 400, (struct parts){ 512, 400, 912, 912, false });
}
END_TEST

START_TEST(after_other_bytes)
{
	const struct parts old = { 4096, 449, 8192, 8192 + RAM, false };
	const struct parts odd = { 70000, 449, 73728, 73728 + RAM, false };

	check_next(old, 4096, (struct parts){ 4096, 4096, 8192, 8192 + RAM, false });
	check_next(old, 4097, (struct parts){ 4096, 4097, 65536, 65536 + RAM, false });
	check_next(old, 61440, (struct parts){ 4096, 61440, 65536, 65536 + RAM, false });
	check_next(old, 61441, (struct parts){ 4096, 61441, 131072, 131072 + RAM, false });
	check_next(odd, 3728, (struct parts){ 70000, 3728, 73728, 73728 + RAM, false });
	check_next(odd, 3729, (struct parts){ 70000, 3729, 131072, 131072 + RAM, false });
}
END_TEST

START_TEST(bytes_after_ram_move_with_it)
{
	const struct parts old = { 0, 449, 4096, 4096 + RAM + 77, false };

	check_next(old, 4096, (struct parts){ 0, 4096, 4096, 4096 + RAM + 77, false });
	check_next(old, 4097, (struct parts){ 0, 4097, 65536, 65536 + RAM + 77, false });
}
END_TEST

START_TEST(beyond_4_gib)
{
	const uint64_t ram = UINT64_C(1) << 40;
	const struct parts old = { UINT64_C(5) << 30, 449, (UINT64_C(5) << 30) + 4096,
				    (UINT64_C(5) << 30) + 4096 + ram, false };

	check_next(old, 4097,
		   (struct parts){ UINT64_C(5) << 30, 4097, (UINT64_C(5) << 30) + 65536,
				    (UINT64_C(5) << 30) + 65536 + ram, false });
}
END_TEST

/* Its tail has to follow at once: it moves both ways. */
START_TEST(a_tail_that_is_glued)
{
	const struct parts old = { 0, 500, 500, 5000, true };

	check_next(old, 500, old);
	check_next(old, 501, (struct parts){ 0, 501, 501, 5001, true });
	check_next(old, 100, (struct parts){ 0, 100, 100, 4600, true });
}
END_TEST

START_TEST(what_is_left_behind)
{
	const struct parts old = { 100, 500, 4096, 8192, false };
	struct parts next = parts_next(&old, 400);

	ck_assert_uint_eq(parts_left_behind(&old, &next), 100);
	next = parts_next(&old, 500);
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
	next = parts_next(&old, 600);
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
	/* Where a tail or the end is, there is nothing left to be zeros. */
	next = (struct parts){ 100, 400, 550, 8192, false };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 50);
	next = (struct parts){ 100, 400, 550, 520, false };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 20);
	next = (struct parts){ 100, 400, 500, 4596, true };
	ck_assert_uint_eq(parts_left_behind(&old, &next), 0);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("layout");

	tcase_add_test(t, by_magic);
	tcase_add_test(t, neighbours);
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
	tcase_add_test(t, a_tail_that_is_glued);
	tcase_add_test(t, what_is_left_behind);
	return check_run(t);
}
