/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include "text.h"

static const char *const colours[] = { "red", "green", "blue", NULL };
static const struct field nothing[] = { { .kind = END } };
static const struct choice shapes[] = { { "none", nothing }, { "round", nothing }, { NULL, NULL } };

static const struct field dec8 = { UINT, "dec8", 1, .base = DEC };
static const struct field dec16 = { UINT, "dec16", 2, .base = DEC };
static const struct field dec32 = { UINT, "dec32", 4, .base = DEC };
static const struct field dec64 = { UINT, "dec64", 8, .base = DEC };
static const struct field hex32 = { UINT, "hex32", 4, .base = HEX };
static const struct field hex64 = { UINT, "hex64", 8, .base = HEX };
static const struct field size16 = { UINT, "size16", 2, .base = SIZE };
static const struct field size64 = { UINT, "size64", 8, .base = SIZE };
static const struct field flag = { UINT, "flag", 1, .base = BOOL };
static const struct field word = { UINT, "word", 1, .words = colours };
static const struct field string = { STRING, "string", .size = FORMAT_STRING_MAX };
static const struct field blob = { BLOB, "blob", .size = FORMAT_BLOB_MAX };
static const struct field six = { BYTES, "six", .size = 6 };
static const struct field tag = { TAG, "tag", .choices = shapes };
static const struct field raw = { .kind = RAW, .name = "raw" };
static const struct field some_port = { UINT, "port", 4, .base = DEC, .none = UINT32_MAX, .shown = 2 };
static const struct field some_key = { OPTION, "key", .size = 6 };

/* A value of N bytes at P. */
#define VALUE(p, n) ((struct value){ (const uint8_t *)(p), (n) })

/* What ROW's file with the value V holds, and its size. */
static void check_print(const struct field *row, struct value v, const char *text, size_t n)
{
	struct buffer out = { 0 };

	/* It is appended to what is there. */
	buffer_add(&out, "before", 6);
	text_print(row, &v, &out);
	ck_assert(!out.failed);
	ck_assert_mem_eq(out.bytes, "before", 6);
	check_bytes(row->name, out.bytes + 6, out.size - 6, text, n);
	ck_assert_uint_eq(text_size(row, &v), n);
	buffer_free(&out);
}

static void check_number_text(const struct field *row, uint64_t number, const char *text)
{
	struct bytes b = { 0 };

	add_uint(&b, row->size, number);
	check_print(row, VALUE(b.at, b.size), text, strlen(text));
	bytes_free(&b);
}

/* Read a copy of the N bytes at TEXT that a tool sees the end of. */
static int parse(const struct field *row, const char *text, size_t n, uint8_t out[8], size_t *size)
{
	char *copy = malloc(n);
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;
	int err;

	if (n)
		memcpy(copy, text, n);
	err = text_parse(row, copy, n, scratch, &v);
	if (!err) {
		*size = v.size;
		memcpy(out, v.bytes, v.size < 8 ? v.size : 8);
	}
	free(copy);
	return err;
}

static void check_number_n(const struct field *row, const char *text, size_t n, uint64_t expected)
{
	struct bytes b = { 0 };
	uint8_t got[8];
	size_t size = 0;
	int err = parse(row, text, n, got, &size);

	ck_assert_msg(!err, "%s: \"%s\" is refused: %d", row->name, text, err);
	add_uint(&b, row->size, expected);
	check_bytes(text, got, size, b.at, b.size);
	bytes_free(&b);
}

static void check_number(const struct field *row, const char *text, uint64_t expected)
{
	check_number_n(row, text, strlen(text), expected);
}

static void check_refused_n(const struct field *row, const char *text, size_t n, int expected)
{
	uint8_t got[8];
	size_t size;
	int err = parse(row, text, n, got, &size);

	ck_assert_msg(err == expected, "%s: \"%s\": %d, not %d", row->name, text, err, expected);
}

static void check_refused(const struct field *row, const char *text, int expected)
{
	check_refused_n(row, text, strlen(text), expected);
}

START_TEST(which_rows_are_text)
{
	ck_assert(text_is_text(&dec8));
	ck_assert(text_is_text(&hex64));
	ck_assert(text_is_text(&size64));
	ck_assert(text_is_text(&word));
	ck_assert(text_is_text(&string));
	ck_assert(text_is_text(&tag));
	ck_assert(text_is_text(&some_port));
	ck_assert(!text_is_text(&blob));
	ck_assert(!text_is_text(&six));
	ck_assert(!text_is_text(&raw));
	ck_assert(!text_is_text(&some_key));
}
END_TEST

START_TEST(decimal_is_printed)
{
	check_number_text(&dec8, 0, "0\n");
	check_number_text(&dec8, 255, "255\n");
	check_number_text(&dec16, 256, "256\n");
	check_number_text(&dec16, 65535, "65535\n");
	check_number_text(&dec32, 4294967295, "4294967295\n");
	check_number_text(&dec64, 0x1122334455667788, "1234605616436508552\n");
	check_number_text(&dec64, UINT64_MAX, "18446744073709551615\n");
	check_number_text(&size64, 536870912, "536870912\n");
	check_number_text(&size64, UINT64_MAX, "18446744073709551615\n");
	check_number_text(&some_port, 8080, "8080\n");
	check_number_text(&some_port, 0xffffffff, "none\n");
	check_number_text(&some_port, 0xfffffffe, "65534\n");
	check_number_text(&some_port, 0x10050, "80\n");
	check_number_text(&flag, 0, "0\n");
	check_number_text(&flag, 1, "1\n");
	check_number_text(&flag, 255, "1\n");
}
END_TEST

START_TEST(hexadecimal_is_printed)
{
	check_number_text(&hex32, 0, "0x0\n");
	check_number_text(&hex32, 15, "0xf\n");
	check_number_text(&hex32, 0xabcdef, "0xabcdef\n");
	check_number_text(&hex32, UINT32_MAX, "0xffffffff\n");
	check_number_text(&hex64, 0xdeadbeee00000001, "0xdeadbeee00000001\n");
	check_number_text(&hex64, UINT64_MAX, "0xffffffffffffffff\n");
}
END_TEST

START_TEST(decimal_is_read)
{
	check_number(&dec8, "0", 0);
	check_number(&dec8, "255", 255);
	check_number(&dec8, "007", 7);
	check_number(&dec8, "00000000000000000000000000000042", 42);
	check_number(&dec16, "65535", 65535);
	check_number(&dec32, "4294967295", 4294967295);
	check_number(&dec64, "18446744073709551615", UINT64_MAX);
	check_number(&size64, "12345", 12345);
	/* Each base is read wherever the other is shown. */
	check_number(&hex32, "10", 10);
	check_number(&hex64, "18446744073709551615", UINT64_MAX);
	check_number(&some_port, "8080", 8080);
	check_number(&some_port, "none", 0xffffffff);
	check_number(&some_port, " none\n", 0xffffffff);
	check_number(&some_port, "65535", 65535);
}
END_TEST

START_TEST(hexadecimal_is_read)
{
	check_number(&hex32, "0x0", 0);
	check_number(&hex32, "0XfF", 255);
	check_number(&hex32, "0xABCDEF", 0xabcdef);
	check_number(&hex32, "0xabcdef", 0xabcdef);
	check_number(&hex32, "0xffffffff", UINT32_MAX);
	check_number(&hex32, "0x00000000000000000000ff", 255);
	check_number(&hex64, "0xffffffffffffffff", UINT64_MAX);
	check_number(&dec8, "0xff", 255);
	check_number(&dec64, "0x123456789abcdef0", 0x123456789abcdef0);
	check_number(&size64, "0x1000", 4096);
}
END_TEST

START_TEST(blanks_around_do_not_count)
{
	check_number(&dec8, "7\n", 7);
	check_number(&dec8, "7\r\n", 7);
	check_number(&dec8, " 7", 7);
	check_number(&dec8, "\t 7 \t\n\n", 7);
	check_number(&hex32, " 0x1f ", 31);
	check_number(&size64, " 2K\n", 2048);
	/* But those between do. */
	check_refused(&dec8, "1 2", -EINVAL);
	check_refused(&dec8, "1\n2", -EINVAL);
	check_refused(&hex32, "0x 1", -EINVAL);
	check_refused(&hex32, "0 x1", -EINVAL);
	check_refused(&size64, "2 K", -EINVAL);
}
END_TEST

START_TEST(sizes_have_suffixes)
{
	check_number(&size64, "1K", 1024);
	check_number(&size64, "3M", 3145728);
	check_number(&size64, "8G", 8589934592);
	check_number(&size64, "2T", 2199023255552);
	check_number(&size64, "0K", 0);
	check_number(&size64, "0x10K", 16384);
	check_number(&size64, "0xffK", 261120);
	check_number(&size16, "63K", 64512);
	check_number(&size64, "16777215T", 0xffffff0000000000);
	check_number(&size64, "18014398509481983K", 0xfffffffffffffc00);
	check_refused(&size64, "16777216T", -ERANGE);
	check_refused(&size64, "18014398509481984K", -ERANGE);
	check_refused(&size64, "18446744073709551615T", -ERANGE);
	check_refused(&size16, "64K", -ERANGE);
	check_refused(&size16, "1M", -ERANGE);

	check_refused(&size64, "K", -EINVAL);
	check_refused(&size64, "0xK", -EINVAL);
	check_refused(&size64, "1KK", -EINVAL);
	check_refused(&size64, "1KB", -EINVAL);
	check_refused(&size64, "1k", -EINVAL);
	check_refused(&size64, "1P", -EINVAL);
	check_refused(&size64, "1.5G", -EINVAL);
	check_refused(&size64, "K1", -EINVAL);
	check_refused_n(&size64, "1\0", 2, -EINVAL);

	/* All else is no size. */
	check_refused(&dec64, "1K", -EINVAL);
	check_refused(&hex64, "0x1M", -EINVAL);
	check_refused(&dec8, "1G", -EINVAL);
	check_refused(&hex32, "1T", -EINVAL);
}
END_TEST

START_TEST(numbers_that_are_too_great)
{
	check_refused(&dec8, "256", -ERANGE);
	check_refused(&dec8, "0x100", -ERANGE);
	check_refused(&dec8, "4294967296", -ERANGE);
	check_refused(&dec16, "65536", -ERANGE);
	check_refused(&dec32, "4294967296", -ERANGE);
	check_refused(&hex32, "0x100000000", -ERANGE);
	check_refused(&dec64, "18446744073709551616", -ERANGE);
	check_refused(&dec64, "18446744073709551625", -ERANGE);
	check_refused(&dec64, "99999999999999999999", -ERANGE);
	check_refused(&hex64, "0x10000000000000000", -ERANGE);
	check_refused(&dec8, "18446744073709551616", -ERANGE);
	/* This many digits overflow more than once, and come back to 0. */
	check_refused(&hex64, "0x100000000000000000000000000000000", -ERANGE);
	check_refused(&dec64, "340282366920938463463374607431768211456", -ERANGE);
	check_refused(&some_port, "65536", -ERANGE);
	check_refused(&some_port, "0xffffffff", -ERANGE);
	check_refused(&some_port, "None", -EINVAL);
	check_refused(&some_port, "none1", -EINVAL);
	check_refused(&some_port, "no", -EINVAL);
	check_refused(&dec16, "none", -EINVAL);
	check_refused(&flag, "2", -ERANGE);
	check_refused(&flag, "255", -ERANGE);
	check_refused(&flag, "256", -ERANGE);
	check_number(&flag, "0", 0);
	check_number(&flag, "1", 1);
}
END_TEST

START_TEST(what_is_no_number)
{
	static const char *const rows[] = {
		"",    " ",   "\n",     " \t\r\n", "-1",  "+1",   "-0",  "0x",     "0X",
		"x1",  "0xg", "1x",     "0b1",     "ff",  "1.0",  "1e3", "1,000",  "0x-1",
		"0x+1", "one", "0x1 0x1", "1_000",  "1'", "\"1\"", "'1'", "0x0x1",  "\v1",
		"1\f", "/",   ":",      "0x/",     "0x:", "0x@",  "0xG", "0x`",    "\xc2\xa0" "1",
		/* Junk is junk, even after more digits than fit. */
		"99999999999999999999999x", "0x10000000000000000g",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_refused(&dec8, rows[i], -EINVAL);
		check_refused(&hex64, rows[i], -EINVAL);
		check_refused(&size64, rows[i], -EINVAL);
	}
	check_refused_n(&dec8, "1\0", 2, -EINVAL);
	check_refused_n(&dec8, "\0001", 2, -EINVAL);
	check_refused_n(&dec8, "1\0002", 3, -EINVAL);
	check_refused_n(&hex64, "0x\0001", 4, -EINVAL);
	check_refused_n(&dec8, "\0", 1, -EINVAL);
}
END_TEST

START_TEST(only_the_given_bytes_are_read)
{
	check_number_n(&dec8, "123", 2, 12);
	check_number_n(&size64, "1K", 1, 1);
	check_refused_n(&hex32, "0x1", 2, -EINVAL);
}
END_TEST

START_TEST(words)
{
	check_number_text(&word, 0, "red\n");
	check_number_text(&word, 2, "blue\n");
	check_number(&word, "red", 0);
	check_number(&word, "green\n", 1);
	check_number(&word, "  blue \n", 2);
	check_refused(&word, "", -EINVAL);
	check_refused(&word, "\n", -EINVAL);
	check_refused(&word, "Red", -EINVAL);
	check_refused(&word, "re", -EINVAL);
	check_refused(&word, "redd", -EINVAL);
	check_refused(&word, "red green", -EINVAL);
	check_refused(&word, "0", -EINVAL);
	check_refused(&word, "1", -EINVAL);
	check_refused_n(&word, "red\0", 4, -EINVAL);
}
END_TEST

START_TEST(tags)
{
	check_print(&tag, VALUE("\0", 1), "none\n", 5);
	check_print(&tag, VALUE("\1", 1), "round\n", 6);
}
END_TEST

START_TEST(strings_are_printed)
{
	check_print(&string, VALUE(NULL, 0), "\n", 1);
	check_print(&string, VALUE("/a/b", 4), "/a/b\n", 5);
	check_print(&string, VALUE("a\n", 2), "a\n\n", 3);
	check_print(&string, VALUE("a\0b", 3), "a\0b\n", 4);
	check_print(&string, VALUE("\xc3\xa9", 2), "\xc3\xa9\n", 3);
}
END_TEST

START_TEST(bytes_are_printed_as_they_are)
{
	check_print(&blob, VALUE(NULL, 0), "", 0);
	check_print(&blob, VALUE("a\n\0", 3), "a\n\0", 3);
	check_print(&six, VALUE("\1\2\3\4\5\6", 6), "\1\2\3\4\5\6", 6);
	check_print(&some_key, VALUE("\1\2\3\4\5\6", 6), "\1\2\3\4\5\6", 6);
	check_print(&some_key, VALUE("", 0), "", 0);
}
END_TEST

static void check_string(const char *text, size_t n, const char *expected, size_t size)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;

	ck_assert_int_eq(text_parse(&string, text, n, scratch, &v), 0);
	check_bytes("string", v.bytes, v.size, expected, size);
}

START_TEST(strings_are_read)
{
	check_string("", 0, "", 0);
	check_string("\n", 1, "", 0);
	check_string("\n\n", 2, "\n", 1);
	check_string("a", 1, "a", 1);
	check_string("a\n", 2, "a", 1);
	check_string("a\n\n", 3, "a\n", 2);
	check_string("a\nb", 3, "a\nb", 3);
	/* Nothing else is dropped. */
	check_string(" a \n", 4, " a ", 3);
	check_string("a\r\n", 3, "a\r", 2);
	check_string("\na", 2, "\na", 2);
	check_string("a\0b\n", 4, "a\0b", 3);
	check_string("\xf0\x9f\xa6\x80\n", 5, "\xf0\x9f\xa6\x80", 4);
}
END_TEST

START_TEST(strings_that_are_not_utf8)
{
	check_refused(&string, "\xff", -EILSEQ);
	check_refused(&string, "a\x80z\n", -EILSEQ);
	check_refused(&string, "\xc3\n", -EILSEQ);
	check_refused(&string, "\xc0\x80", -EILSEQ);
	check_refused(&string, "\xed\xa0\x80", -EILSEQ);
	check_refused(&string, "\xf4\x90\x80\x80", -EILSEQ);
}
END_TEST

START_TEST(long_strings)
{
	struct bytes b = { 0 };
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;

	add_fill(&b, 'a', 65536);
	ck_assert_int_eq(text_parse(&string, (char *)b.at, b.size, scratch, &v), 0);
	ck_assert_uint_eq(v.size, 65536);
	/* The newline at the end does not count, anything else does. */
	add_fill(&b, '\n', 1);
	ck_assert_int_eq(text_parse(&string, (char *)b.at, b.size, scratch, &v), 0);
	ck_assert_uint_eq(v.size, 65536);
	check_print(&string, v, (char *)b.at, 65537);
	b.at[65536] = 'a';
	ck_assert_int_eq(text_parse(&string, (char *)b.at, b.size, scratch, &v), -ENAMETOOLONG);
	b.at[65536] = '\n';
	add_fill(&b, '\n', 1);
	ck_assert_int_eq(text_parse(&string, (char *)b.at, b.size, scratch, &v), -ENAMETOOLONG);
	bytes_free(&b);
}
END_TEST

START_TEST(how_long_a_text_may_be)
{
	ck_assert_uint_eq(text_max(&string), 65537);
	ck_assert_uint_eq(text_max(&dec64), TEXT_WORD_MAX);
	ck_assert_uint_eq(text_max(&word), TEXT_WORD_MAX);
	ck_assert_uint_eq(text_max(&some_port), TEXT_WORD_MAX);
	/* Every number in its longest form, and then some blanks, has to fit. */
	ck_assert_uint_ge(TEXT_WORD_MAX, strlen(" 0xffffffffffffffff \r\n"));
}
END_TEST

/* A few rows of the real format, for the base that each is shown in. */
START_TEST(the_formats_own_rows)
{
	static const struct {
		const char *path, *text;
	} rows[] = {
		{ "num_cpus", "4\n" },
		{ "mem_size", "536870912\n" },
		{ "clock_ref", "11072869122414935808\n" },
		{ "devices/0/kind", "blk\n" },
		{ "devices/1/kind", "vsock\n" },
		{ "devices/2/kind", "volume\n" },
		{ "devices/3/kind", "virtiofs\n" },
		{ "devices/0/mmio/driver_features", "0xdeadbeee00000001\n" },
		{ "devices/0/mmio/status", "0xf\n" },
		{ "devices/0/mmio/interrupt_status", "0x1\n" },
		{ "devices/0/mmio/queues/1/size", "256\n" },
		{ "devices/0/mmio/queues/1/ready", "0\n" },
		{ "devices/0/mmio/queues/1/desc_table", "0x2000\n" },
		{ "devices/0/mmio/queues/1/avail_ring", "0x4000\n" },
		{ "devices/0/mmio/queues/1/used_ring", "0x6000\n" },
		{ "devices/0/mmio/queues/1/last_avail_idx", "1\n" },
		{ "devices/0/mmio/queues/1/next_used_idx", "8\n" },
		{ "devices/0/backing/type", "disk\n" },
		{ "devices/0/backing/path", "/var/lib/sm/root.img\n" },
		{ "devices/0/backing/size", "1073741824\n" },
		{ "devices/1/backing/type", "none\n" },
		{ "devices/2/backing/type", "volume\n" },
		{ "devices/2/backing/mount", "/data\n" },
		{ "devices/3/backing/type", "virtiofs\n" },
		{ "devices/3/backing/tag", "shared\n" },
		{ "devices/3/backing/dax_gpa", "0x40000000\n" },
		{ "devices/3/backing/dax_window_len", "134217728\n" },
		{ "com1/dlm", "0x6\n" },
		{ "layout/format", "bare\n" },
		{ "listeners/2/peer_port", "1002\n" },
		{ "listeners/2/family", "2\n" },
		{ "listeners/2/socktype", "1\n" },
		{ "listeners/1/inet_port", "none\n" },
		{ "listeners/2/inet_port", "8082\n" },
	};
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node n = find(c, rows[i].path);

		check_print(container_row(c, n), value_of(c, n), rows[i].text,
			    strlen(rows[i].text));
	}
	container_free(c);
	bytes_free(&b);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("text");

	tcase_add_test(t, which_rows_are_text);
	tcase_add_test(t, decimal_is_printed);
	tcase_add_test(t, hexadecimal_is_printed);
	tcase_add_test(t, decimal_is_read);
	tcase_add_test(t, hexadecimal_is_read);
	tcase_add_test(t, blanks_around_do_not_count);
	tcase_add_test(t, sizes_have_suffixes);
	tcase_add_test(t, numbers_that_are_too_great);
	tcase_add_test(t, what_is_no_number);
	tcase_add_test(t, only_the_given_bytes_are_read);
	tcase_add_test(t, words);
	tcase_add_test(t, tags);
	tcase_add_test(t, strings_are_printed);
	tcase_add_test(t, bytes_are_printed_as_they_are);
	tcase_add_test(t, strings_are_read);
	tcase_add_test(t, strings_that_are_not_utf8);
	tcase_add_test(t, long_strings);
	tcase_add_test(t, how_long_a_text_may_be);
	tcase_add_test(t, the_formats_own_rows);
	return check_run(t);
}
