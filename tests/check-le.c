/* SPDX-License-Identifier: MIT */
#include "check.h"

#include "le.h"

/* Little-endian, this is the number whose hexadecimal digits run from 1 up. */
static const uint8_t known[16] = { 0xf0, 0xde, 0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12,
				   0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01 };
static const uint64_t known_low = 0x123456789abcdef0;
static const uint64_t known_high = 0x0102030405060708;

/* A slice of N bytes with nothing after it that could be read unnoticed. */
static uint8_t *slice(size_t n)
{
	uint8_t *p = malloc(n);
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = i < sizeof(known) ? known[i] : 0xee;
	return p;
}

START_TEST(short_slices_are_refused)
{
	const u128 untouched = (u128)0x5555555555555555 << 64 | 0x5555555555555555;
	size_t n;

	for (n = 0; n < 16; n++) {
		uint16_t v16 = 0x5555;
		uint32_t v32 = 0x55555555;
		uint64_t v64 = 0x5555555555555555;
		u128 v128 = untouched;
		uint8_t *p = slice(n);

		ck_assert_int_eq(le_read_u16(p, n, &v16), n >= 2);
		ck_assert_int_eq(le_read_u32(p, n, &v32), n >= 4);
		ck_assert_int_eq(le_read_u64(p, n, &v64), n >= 8);
		ck_assert(!le_read_u128(p, n, &v128));
		ck_assert_uint_eq(v16, n < 2 ? 0x5555 : 0xdef0);
		ck_assert_uint_eq(v32, n < 4 ? 0x55555555 : 0x9abcdef0);
		ck_assert_uint_eq(v64, n < 8 ? 0x5555555555555555 : known_low);
		ck_assert(v128 == untouched);
		free(p);
	}
	ck_assert(!le_read_u16(NULL, 0, &(uint16_t){ 0 }));
	ck_assert(!le_read_u32(NULL, 0, &(uint32_t){ 0 }));
	ck_assert(!le_read_u64(NULL, 0, &(uint64_t){ 0 }));
	ck_assert(!le_read_u128(NULL, 0, &(u128){ 0 }));
}
END_TEST

START_TEST(leading_bytes_are_read)
{
	size_t n;

	for (n = 16; n < 40; n++) {
		uint16_t v16;
		uint32_t v32;
		uint64_t v64;
		u128 v128;
		uint8_t *p = slice(n);

		ck_assert(le_read_u16(p, n, &v16));
		ck_assert(le_read_u32(p, n, &v32));
		ck_assert(le_read_u64(p, n, &v64));
		ck_assert(le_read_u128(p, n, &v128));
		ck_assert_uint_eq(v16, 0xdef0);
		ck_assert_uint_eq(v32, 0x9abcdef0);
		ck_assert_uint_eq(v64, known_low);
		ck_assert(v128 == ((u128)known_high << 64 | known_low));
		free(p);
	}
}
END_TEST

START_TEST(extremes)
{
	uint8_t ones[17];
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;
	u128 v128 = 0;

	/* One byte in, so that nothing is aligned. */
	memset(ones, 0xff, sizeof(ones));
	ck_assert(le_read_u16(ones + 1, 2, &v16));
	ck_assert(le_read_u32(ones + 1, 4, &v32));
	ck_assert(le_read_u64(ones + 1, 8, &v64));
	ck_assert(le_read_u128(ones + 1, 16, &v128));
	ck_assert_uint_eq(v16, UINT16_MAX);
	ck_assert_uint_eq(v32, UINT32_MAX);
	ck_assert_uint_eq(v64, UINT64_MAX);
	ck_assert(v128 == ~(u128)0);

	ck_assert(le_read_u16((const uint8_t *)"\0\1", 2, &v16));
	ck_assert_uint_eq(v16, 256);
}
END_TEST

START_TEST(get_and_put_every_width)
{
	static const uint64_t values[] = { 0,
					   0xf0,
					   0xdef0,
					   0xbcdef0,
					   0x9abcdef0,
					   0x789abcdef0,
					   0x56789abcdef0,
					   0x3456789abcdef0,
					   0x123456789abcdef0 };
	unsigned width, i;

	for (width = 1; width <= 8; width++) {
		uint8_t *p = slice(width);
		uint8_t out[10];

		ck_assert_uint_eq(le_get(p, width), values[width]);
		memset(p, 0, width);
		le_put(p, width, known_low);
		check_bytes("le_put", p, width, known, width);
		free(p);

		memset(out, 0xee, sizeof(out));
		le_put(out + 1, width, known_low);
		for (i = 0; i < sizeof(out); i++)
			ck_assert_uint_eq(out[i], i >= 1 && i <= width ? known[i - 1] : 0xee);
	}
}
END_TEST

START_TEST(counts_are_capped)
{
	static const struct {
		uint64_t count, min_elem, region, expected;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ 0, 31, 1000, 0 },
		{ 1, 31, 30, 0 },
		{ 1, 31, 31, 1 },
		{ 2, 31, 61, 1 },
		{ 2, 31, 62, 2 },
		{ 2, 31, 1000, 2 },
		{ 4294967295, 21, 100, 4 },
		{ 10, 1, 7, 7 },
		/* Elements of no size count as one byte. */
		{ 10, 0, 7, 7 },
		{ 5, 0, 7, 5 },
		{ 10, 0, 0, 0 },
		/* Nothing is multiplied, so nothing can overflow. */
		{ UINT64_MAX, 0, UINT64_MAX, UINT64_MAX },
		{ UINT64_MAX, 1, UINT64_MAX, UINT64_MAX },
		{ UINT64_MAX, 2, UINT64_MAX, UINT64_MAX / 2 },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX, 1 },
		{ UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, 0 },
		{ UINT64_MAX, UINT64_MAX, 0, 0 },
		{ 1, UINT64_MAX, UINT64_MAX, 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(cap_count(rows[i].count, rows[i].min_elem, rows[i].region) ==
				      rows[i].expected,
			      "row %zu", i);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("le");

	tcase_add_test(t, short_slices_are_refused);
	tcase_add_test(t, leading_bytes_are_read);
	tcase_add_test(t, extremes);
	tcase_add_test(t, get_and_put_every_width);
	tcase_add_test(t, counts_are_capped);
	return check_run(t);
}
