/* SPDX-License-Identifier: MIT */
#include "sample.h"
#include "le.h"
#include "text.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The value in a piece's bytes. */
static struct value piece_value(const struct piece *p)
{
	size_t skip = p->shape == STRINGS || p->shape == BLOBS ? 4 : p->shape == OPTIONAL;

	return (struct value){ p->wire.at + skip, p->wire.size - skip };
}

/*
 * Decoding what is right
 */

static struct bytes empty_bytes(void)
{
	struct bytes b = { 0 };

	add_head(&b, 1, 512 << 20);
	add_intc(&b);
	add_uint(&b, 4, 1);
	add_uint(&b, 4, 64);
	add_fill(&b, 0, 64);
	add_uint(&b, 4, 0);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 0);
	return b;
}

START_TEST(empty)
{
	struct bytes b = empty_bytes();
	struct container *c;
	struct node n;

	ck_assert_uint_eq(b.size, 449);
	c = decode_good(b.at, b.size);
	ck_assert_uint_eq(container_size(c), 449);
	ck_assert_uint_eq(container_mem_size(c), 536870912);
	check_encoding(c, NULL, b.at, b.size);
	ck_assert_int_eq(container_lookup(c, find(c, "devices"), "0", &n), -ENOENT);
	ck_assert_int_eq(container_lookup(c, find(c, "listeners"), "0", &n), -ENOENT);
	ck_assert_int_eq(container_lookup(c, find(c, "vcpu"), "1", &n), -ENOENT);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(full)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	struct container *c;
	size_t i;

	c = decode_good(b.at, b.size);
	ck_assert_uint_eq(container_size(c), 1516);
	check_encoding(c, NULL, b.at, b.size);
	for (i = 0; i < s->count; i++) {
		struct value v, expected = piece_value(&s->pieces[i]);

		if (s->pieces[i].shape == GLUE)
			continue;
		v = value_of(c, find(c, s->pieces[i].path));
		check_bytes(s->pieces[i].path, v.bytes, v.size, expected.bytes, expected.size);
	}
	container_free(c);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(nothing_after_the_container_is_looked_at)
{
	struct bytes b = empty_bytes();
	struct container *c;

	add_fill(&b, 0xff, 1000);
	c = decode_good(b.at, b.size);
	ck_assert_uint_eq(container_size(c), 449);
	check_encoding(c, NULL, b.at, 449);
	container_free(c);
	bytes_free(&b);
}
END_TEST

/* The least that a container can be. */
START_TEST(all_zeros)
{
	static const uint8_t zeros[48];
	struct container *c = decode_good(zeros, sizeof(zeros));

	ck_assert_uint_eq(container_size(c), 31 + 4 + 4 + 4 + 1 + 4);
	ck_assert_uint_eq(container_mem_size(c), 0);
	check_encoding(c, NULL, zeros, 48);
	container_free(c);
}
END_TEST

/*
 * The vectors: what another implementation wrote, and what it read back
 */

static const struct {
	const char *name, *end;
	const struct field *head;
} vectors[] = {
	{ "kvm-01", "snap", &format_kvm },  { "kvm-02", "snap", &format_kvm },
	{ "kvm-03", "snap", &format_kvm },  { "kvm-04", "snap", &format_kvm },
	{ "kvm-05", "snap", &format_kvm },  { "kvm-06", "snap", &format_kvm },
	{ "kvm-07", "snap", &format_kvm },  { "kvm-08", "snap", &format_kvm },
	{ "kvm-09", "snap", &format_kvm },  { "hvf-01", "snap", &format_hvf },
	{ "hvf-02", "snap", &format_hvf },  { "hvf-03", "snap", &format_hvf },
	{ "bare-01", "bin", &format_bare }, { "bare-02", "bin", &format_bare },
	{ "bare-03", "bin", &format_bare }, { "bare-04", "bin", &format_bare },
	{ "bare-05", "bin", &format_bare }, { "bare-06", "bin", &format_bare },
	{ "share-01", "snap", &format_kvm }, { "share-02", "snap", &format_kvm },
};
enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };

static struct bytes from_hex(const char *hex)
{
	struct bytes b = { 0 };

	for (; *hex; hex += 2) {
		char byte[3] = { hex[0], hex[1] };

		add_uint(&b, 1, strtoul(byte, NULL, 16));
	}
	return b;
}

/* The RAW node N shows just the bytes B, at once and in slices of SLICE bytes. */
static void check_raw(const struct container *c, const char *path, struct node n,
		      const struct bytes *b, size_t slice)
{
	struct buffer out = { 0 };
	size_t at;

	ck_assert_uint_eq(container_raw_size(c, n), b->size);
	container_raw(c, n, 0, UINT64_MAX, &out);
	check_bytes(path, out.bytes, out.size, b->at, b->size);
	for (at = 0; at < b->size; at += slice) {
		size_t left = b->size - at;

		out.size = 0;
		container_raw(c, n, at, slice, &out);
		check_bytes(path, out.bytes, out.size, b->at + at, slice < left ? slice : left);
	}
	/* What is asked for past the end is not there, what was in the buffer is. */
	out.size = 1;
	container_raw(c, n, b->size - 1, 1, &out);
	ck_assert_uint_eq(out.size, 2);
	ck_assert_uint_eq(out.bytes[1], b->at[b->size - 1]);
	container_raw(c, n, b->size, 1, &out);
	container_raw(c, n, UINT64_MAX, UINT64_MAX, &out);
	container_raw(c, n, 0, 0, &out);
	ck_assert_uint_eq(out.size, 2);
	buffer_free(&out);
}

/* One line's leaf, as C has it. */
static void check_leaf(const struct container *c, const char *path, const char *kind,
		       u128 number, const struct bytes *bytes)
{
	struct node n = find(c, path);
	const struct field *row = container_row(c, n);
	struct bytes expected = { 0 };
	const char *word = NULL;
	struct value v;

	ck_assert(!container_is_directory(c, n));
	if (row->kind == RAW) {
		check_raw(c, path, n, bytes, 1 + bytes->size / 50);
		return;
	}
	v = value_of(c, n);
	if (row->kind == WORD)
		word = row->words[0];
	else if (row->kind == TAG)
		word = row->choices[v.bytes[0]].name;
	else if (row->words)
		word = row->words[v.bytes[0]];
	if (row->none || row->base == BOOL) {
		ck_assert_uint_eq(text_number(row, &v), (uint64_t)number);
	} else if (word) {
		ck_assert_str_eq(kind, "text");
		check_bytes(path, word, strlen(word), bytes->at, bytes->size);
	} else if (strcmp(kind, "num") == 0) {
		ck_assert_int_eq(row->kind, UINT);
		add_uint(&expected, 8, (uint64_t)number);
		add_uint(&expected, 8, (uint64_t)(number >> 64));
		check_bytes(path, v.bytes, v.size, expected.at, v.size);
		ck_assert_msg(v.size == 16 || number >> (8 * v.size) == 0, "%s is cut", path);
	} else {
		ck_assert_int_eq(row->kind == STRING || row->kind == TEXT, strcmp(kind, "text") == 0);
		check_bytes(path, v.bytes, v.size, bytes->at, bytes->size);
	}
	bytes_free(&expected);
}

static u128 from_decimal(const char *digits)
{
	u128 v = 0;

	for (; *digits; digits++)
		v = v * 10 + (unsigned)(*digits - '0');
	return v;
}

/* The leaves of C are those of tests/vectors/NAME.tree; how many there are. */
static unsigned check_tree(const char *name, const struct container *c)
{
	char *line, *rest;
	unsigned leaves = 0;
	struct bytes text;
	char file[32];

	snprintf(file, sizeof(file), "%s.tree", name);
	text = read_vector(file);
	add_uint(&text, 1, 0);
	rest = (char *)text.at;
	while ((line = strsep(&rest, "\n")) && *line) {
		char *path = strsep(&line, "\t");
		char *kind = strsep(&line, ":");
		struct bytes bytes = { 0 };
		u128 number = 0;

		if (strcmp(kind, "num") == 0)
			number = from_decimal(line);
		else
			bytes = from_hex(line);
		check_leaf(c, path, kind, number, &bytes);
		bytes_free(&bytes);
		leaves++;
	}
	bytes_free(&text);
	return leaves;
}

struct walk {
	const struct container *c;
	unsigned leaves;
};

/* What is absent has no line in a .tree. */
static bool is_absent(const struct container *c, struct node n)
{
	const struct field *row = container_row(c, n);
	struct value v;

	if (row->kind != OPTION && !(row->kind == UINT && row->none))
		return false;
	v = value_of(c, n);
	return row->kind == OPTION ? v.size == 0 : text_is_none(row, &v);
}

static bool count_leaves(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct walk *w = ctx;

	(void)name;
	(void)index;
	if (container_is_directory(w->c, n))
		container_children(w->c, n, 0, count_leaves, w);
	else
		w->leaves += !is_absent(w->c, n);
	return true;
}

static struct bytes vector_bytes(unsigned i)
{
	char name[32];

	snprintf(name, sizeof(name), "%s.%s", vectors[i].name, vectors[i].end);
	return read_vector(name);
}

static void check_vector(unsigned i)
{
	struct bytes file = vector_bytes(i);
	struct walk w = { 0 };
	struct container *c;
	struct error e;
	unsigned leaves;

	if (try_decode_head(vectors[i].head, file.at, file.size, &c, &e))
		ck_abort_msg("%s: %s", vectors[i].name, e.text);
	w.c = c;
	leaves = check_tree(vectors[i].name, c);
	ck_assert_uint_ge(leaves, 6);
	check_encoding(c, NULL, file.at, container_size(c));
	container_children(c, container_root(), 0, count_leaves, &w);
	ck_assert_uint_eq(w.leaves, leaves);
	container_free(c);
	bytes_free(&file);
}

START_TEST(vectors_are_read_as_their_writer_does)
{
	unsigned i;

	for (i = 0; i < VECTORS; i++)
		check_vector(i);
}
END_TEST

/*
 * Decoding what is wrong
 */

/* Fail unless TEXT is "PATH: offset O: " and a reason, O from LOW to HIGH. */
static void check_where(const char *text, const char *path, uint64_t low, uint64_t high)
{
	size_t length = strlen(path);
	const char *number = text + length + strlen(": offset 0x");
	char *end;
	uint64_t at;

	if (strncmp(text, path, length) || strncmp(text + length, ": offset 0x", 11))
		ck_abort_msg("not about %s: %s", path, text);
	at = strtoull(number, &end, 16);
	if (at < low || at > high || strncmp(end, ": ", 2) || !end[2] || strchr(text, '\n'))
		ck_abort_msg("not about 0x%" PRIx64 ": %s", low, text);
}

static void check_refused(const struct bytes *b, int code, const char *path, uint64_t low,
			  uint64_t high)
{
	struct container *c = NULL;
	struct error e;
	int err = try_decode(b->at, b->size, &c, &e);

	ck_assert_msg(err == -code, "%s: %d, not %d: %s", path, err, -code, e.text);
	ck_assert_int_eq(e.code, code);
	check_where(e.text, path, low, high);
}

/* The first SIZE bytes of B are a head of which ROOT is the row. */
static void check_prefixes(const struct field *root, const struct bytes *b, size_t size,
			   size_t every)
{
	struct container *c;
	struct error e;
	size_t n;
	int err;

	for (n = 0; n < size; n++) {
		if (n > 600 && n + 100 < size && n % every)
			continue;
		err = try_decode_head(root, b->at, n, &c, &e);
		if (err != -ERR_TRUNCATED || e.code != ERR_TRUNCATED ||
		    !strstr(e.text, ": offset "))
			ck_abort_msg("the first %zu of %zu bytes: %d: %s", n, size, err, e.text);
	}
}

START_TEST(every_prefix_is_truncated)
{
	struct bytes b = full_bytes();
	struct container *c;
	struct error e;
	unsigned i;

	check_prefixes(&format_bare, &b, b.size, 1);
	bytes_free(&b);
	b = empty_bytes();
	check_prefixes(&format_bare, &b, b.size, 1);
	bytes_free(&b);
	for (i = 0; i < VECTORS; i++) {
		b = vector_bytes(i);
		ck_assert_int_eq(try_decode_head(vectors[i].head, b.at, b.size, &c, &e), 0);
		check_prefixes(vectors[i].head, &b, container_size(c), 1 + container_size(c) / 200);
		container_free(c);
		bytes_free(&b);
	}
}
END_TEST

START_TEST(an_error_says_where)
{
	struct bytes b = full_bytes();
	struct container *c;
	struct error e;
	uint8_t *copy;

	/* In the last queue of the second device, four bytes after it started. */
	ck_assert_int_eq(try_decode(b.at, 0x359, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "devices/1/mmio/queues: offset 0x355: needs 31 bytes, 4 left");
	ck_assert_int_eq(e.code, ERR_TRUNCATED);
	ck_assert_int_eq(try_decode(b.at, 0, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "num_cpus: offset 0x0: needs 1 byte, 0 left");
	ck_assert_int_eq(try_decode(b.at, 3, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "mem_size: offset 0x1: needs 8 bytes, 2 left");
	ck_assert_int_eq(try_decode(b.at, 0x30, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "intc/raw: offset 0x23: needs 333 bytes, 13 left");
	ck_assert_int_eq(try_decode(b.at, b.size - 1, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text, "listeners: offset 0x5d4: needs 24 bytes, 23 left");

	/* A container that is further on in its file. */
	copy = malloc(0x359);
	memcpy(copy, b.at, 0x359);
	ck_assert_int_eq(container_decode(&format_bare, copy, 0x359, 0x100000000, &c, &e), -ERR_TRUNCATED);
	ck_assert_str_eq(e.text,
			 "devices/1/mmio/queues: offset 0x100000355: needs 31 bytes, 4 left");
	/* And a caller who wants no words. */
	ck_assert_int_eq(container_decode(&format_bare, copy, 0x359, 0, &c, NULL), -ERR_TRUNCATED);
	copy[0x302] = 4;
	ck_assert_int_eq(container_decode(&format_bare, copy, 0x359, 0, &c, NULL), -ERR_MALFORMED);
	free(copy);
	bytes_free(&b);
}
END_TEST

/* Each byte value from FIRST to 255 at AT of the sample is refused, all below are not. */
static void check_bad_bytes(size_t at, unsigned first, const char *path, bool below_fit)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	struct container *c;
	struct error e;
	unsigned v;

	for (v = 0; v < first && below_fit; v++) {
		b.at[at] = (uint8_t)v;
		if (try_decode(b.at, b.size, &c, &e))
			ck_abort_msg("%u is refused: %s", v, e.text);
		container_free(c);
	}
	for (v = first; v < 256; v++) {
		b.at[at] = (uint8_t)v;
		check_refused(&b, ERR_MALFORMED, path, at, at);
	}
	bytes_free(&b);
	sample_free(s);
}

START_TEST(bytes_that_have_few_values)
{
	static const struct {
		const char *piece, *path;
		unsigned first;
		bool below_fit; /* the others change no size */
	} rows[] = {
		{ "devices/0/kind", "devices/0/kind", 4, true },
		{ "devices/3/kind", "devices/3/kind", 4, true },
		{ "devices/0/backing/", "devices/0/backing", 4, false },
		{ "devices/1/backing/", "devices/1/backing", 4, false },
		{ "devices/3/backing/", "devices/3/backing", 4, false },
		{ "tsi_token", "tsi_token", 2, false },
	};
	struct sample *s = sample_new();
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_bad_bytes(sample_offset(s, rows[i].piece), rows[i].first, rows[i].path,
				rows[i].below_fit);
	sample_free(s);
}
END_TEST

/* A container whose only device is a disk with the SIZE bytes at PATH as its path. */
static struct bytes disk_bytes(const void *path, size_t size)
{
	struct bytes b = { 0 };

	add_head(&b, 1, 0);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, 1);
	add_uint(&b, 1, 0);
	add_fill(&b, 0, 20);
	add_uint(&b, 1, 1);
	add_counted(&b, path, size);
	add_uint(&b, 8, 0);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 0);
	return b;
}

/* Where in it the string starts, with its count. */
enum { DISK_PATH = 31 + 4 + 4 + 4 + 1 + 20 + 1 };

static void check_path(const void *path, size_t size)
{
	struct bytes b = disk_bytes(path, size);
	struct container *c = decode_good(b.at, b.size);
	struct value v = value_of(c, find(c, "devices/0/backing/path"));

	check_bytes("path", v.bytes, v.size, path, size);
	check_encoding(c, NULL, b.at, b.size);
	container_free(c);
	bytes_free(&b);
}

START_TEST(strings_are_utf8)
{
	static const struct {
		const char *bytes;
		size_t size;
	} good[] = {
		{ "", 0 },
		{ "\0", 1 },
		{ "\n", 1 },
		{ "a\0b\nc\0", 6 },
		{ "\x7f", 1 },
		{ "\xc2\x80", 2 },
		{ "\xdf\xbf", 2 },
		{ "\xe0\xa0\x80", 3 },
		{ "\xed\x9f\xbf", 3 },
		{ "\xee\x80\x80", 3 },
		{ "\xef\xbf\xbf", 3 },
		{ "\xf0\x90\x80\x80", 4 },
		{ "\xf4\x8f\xbf\xbf", 4 },
	};
	static const char *const bad[] = {
		"\x80",             /* the inside of a character alone */
		"a\xbfz",           /* */
		"\xc0\x80",         /* NUL, overlong */
		"\xc1\xbf",         /* */
		"\xe0\x80\x80",     /* */
		"\xe0\x9f\xbf",     /* the last that would fit two bytes */
		"\xf0\x80\x80\x80", /* */
		"\xf0\x8f\xbf\xbf", /* the last that would fit three */
		"\xed\xa0\x80",     /* the first surrogate */
		"\xed\xbf\xbf",     /* the last */
		"\xf4\x90\x80\x80", /* U+110000 */
		"\xf5\x80\x80\x80", /* */
		"\xf8\x88\x80\x80\x80", /* five bytes */
		"\xff",
		"\xfe",
		"\xc3",         /* cut short */
		"abc\xc3",      /* */
		"\xe2\x82",     /* */
		"\xf0\x9f\xa6", /* */
		"\xc3(",        /* cut short by another character */
		"\xe2\x82z",    /* */
		"\xf0\x9f\xa6z",
	};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check_path(good[i].bytes, good[i].size);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t size = strlen(bad[i]);
		struct bytes b = disk_bytes(bad[i], size);

		check_refused(&b, ERR_MALFORMED, "devices/0/backing/path", DISK_PATH,
			      DISK_PATH + 4 + size);
		bytes_free(&b);
	}
}
END_TEST

START_TEST(every_string_is_checked)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	unsigned strings = 0;
	size_t i;

	for (i = 0; i < s->count; i++) {
		size_t at = sample_offset(s, s->pieces[i].path);
		uint8_t old = b.at[at + 4];

		if (s->pieces[i].shape != STRINGS)
			continue;
		b.at[at + 4] = 0xff;
		check_refused(&b, ERR_MALFORMED, s->pieces[i].path, at,
			      at + s->pieces[i].wire.size);
		b.at[at + 4] = old;
		strings++;
	}
	ck_assert_uint_eq(strings, 6);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(the_longest_string)
{
	struct bytes text = { 0 };
	struct bytes b;

	add_fill(&text, 'a', 65536);
	check_path(text.at, text.size);
	add_fill(&text, 'a', 1);
	b = disk_bytes(text.at, text.size);
	check_refused(&b, ERR_MALFORMED, "devices/0/backing/path", DISK_PATH, DISK_PATH + 4);
	/* Just as wrong where its bytes are not all there: they can't make it right. */
	b.size = DISK_PATH + 10;
	check_refused(&b, ERR_MALFORMED, "devices/0/backing/path", DISK_PATH, DISK_PATH + 4);
	bytes_free(&b);
	bytes_free(&text);
}
END_TEST

/* As intc, as the third vCPU, or as a device's state. */
static struct bytes blob_bytes(unsigned where, uint32_t size, const char **path, uint64_t *at)
{
	uint8_t *content = calloc(1, size);
	struct bytes b = { 0 };

	add_head(&b, 1, 0);
	*at = b.size;
	*path = "intc/raw";
	add_counted(&b, content, where == 0 ? size : 0);
	add_uint(&b, 4, 3);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, 0);
	if (where == 1) {
		*at = b.size;
		*path = "vcpu/2/raw";
	}
	add_counted(&b, content, where == 1 ? size : 0);
	add_uint(&b, 4, 1);
	add_uint(&b, 1, 3);
	add_fill(&b, 0, 20);
	add_uint(&b, 1, 3);
	add_fill(&b, 0, 3 * 4 + 2 * 8);
	add_uint(&b, 4, 0);
	if (where == 2) {
		*at = b.size;
		*path = "devices/0/backing/dax_state/raw";
	}
	add_counted(&b, content, where == 2 ? size : 0);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 0);
	free(content);
	return b;
}

START_TEST(the_biggest_blob)
{
	const uint32_t most = 16777216;
	struct container *c;
	const char *path;
	struct bytes b;
	uint64_t at;

	b = blob_bytes((unsigned)_i, most, &path, &at);
	c = decode_good(b.at, b.size);
	ck_assert_uint_eq(container_size(c), b.size);
	ck_assert_uint_eq(value_of(c, find(c, path)).size, most);
	container_free(c);
	b.size = at + 4 + most - 1;
	check_refused(&b, ERR_TRUNCATED, path, at, at + 4);
	bytes_free(&b);

	b = blob_bytes((unsigned)_i, most + 1, &path, &at);
	check_refused(&b, ERR_MALFORMED, path, at, at + 4);
	b.size = at + 4;
	check_refused(&b, ERR_MALFORMED, path, at, at + 4);
	bytes_free(&b);
}
END_TEST

/*
 * What a count makes the reader allocate
 */

enum { LITTLE = 1 << 20 };

/* Let the process map only a little more memory than it has. */
static void limit_memory(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	struct rlimit limit;
	unsigned long pages;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + LITTLE;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_ptr_eq(mmap(NULL, LITTLE + 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
			 MAP_FAILED);
}

static void free_memory(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Decode the bytes of B where they are, with only little memory left. */
static void check_refused_cheaply(const struct bytes *b, int code, const char *path, uint64_t low,
				  uint64_t high)
{
	struct container *c;
	struct error e = { 0 };
	int err;

	limit_memory();
	err = container_decode(&format_bare, b->at, b->size, 0, &c, &e);
	free_memory();
	ck_assert_msg(err == -code, "%s: %d, not %d: %s", path, err, -code, e.text);
	check_where(e.text, path, low, high);
}

START_TEST(a_blob_of_4_gib)
{
	struct bytes b = { 0 };

	add_uint(&b, 1, 1);
	add_fill(&b, 0, 30);
	add_fill(&b, 0xff, 4);
	check_refused_cheaply(&b, ERR_MALFORMED, "intc/raw", 31, 31);
	check_refused(&b, ERR_MALFORMED, "intc/raw", 31, 31);
	bytes_free(&b);
}
END_TEST

/* The start of a container up to the list at PATH, whose elements may be zeros. */
static struct bytes list_bytes(const char *path)
{
	struct bytes b = { 0 };

	add_head(&b, 1, 0);
	add_uint(&b, 4, 0);
	if (strcmp(path, "vcpu") == 0)
		return b;
	add_uint(&b, 4, 0);
	if (strcmp(path, "devices") == 0)
		return b;
	if (strcmp(path, "listeners") == 0) {
		add_uint(&b, 4, 0);
		add_uint(&b, 1, 0);
		return b;
	}
	ck_assert_str_eq(path, "devices/0/mmio/queues");
	add_uint(&b, 4, 1);
	add_fill(&b, 0, 17);
	return b;
}

START_TEST(counts_of_4_billion)
{
	static const struct {
		const char *path, *first; /* first: where the first element's bytes end early */
		unsigned element; /* bytes of one that is all zeros */
	} rows[] = {
		{ "vcpu", "vcpu/0/raw", 4 },
		{ "devices", "devices/0/kind", 22 },
		{ "devices/0/mmio/queues", "devices/0/mmio/queues", 31 },
		{ "listeners", "listeners", 24 },
	};
	struct bytes b = list_bytes(rows[_i].path);
	struct container *c;
	struct error e;
	size_t elements = (2 << 20) / rows[_i].element;
	size_t start;

	add_fill(&b, 0xff, 4);
	start = b.size;
	check_refused_cheaply(&b, ERR_TRUNCATED, rows[_i].first, start, start);
	/* With many elements that are there, memory follows those. */
	add_fill(&b, 0, elements * rows[_i].element);
	limit_memory();
	ck_assert_int_eq(container_decode(&format_bare, b.at, b.size, 0, &c, &e), -ERR_TRUNCATED);
	free_memory();
	bytes_free(&b);
}
END_TEST

/*
 * Finding nodes
 */

START_TEST(rows)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);

	ck_assert(container_is_directory(c, container_root()));
	ck_assert(container_is_directory(c, find(c, "vcpu")));
	ck_assert(container_is_directory(c, find(c, "devices/1")));
	ck_assert(container_is_directory(c, find(c, "devices/1/mmio")));
	ck_assert(container_is_directory(c, find(c, "devices/1/backing")));
	ck_assert(container_is_directory(c, find(c, "devices/1/mmio/queues/2")));
	ck_assert(!container_is_directory(c, find(c, "vcpu/3/raw")));
	ck_assert(!container_is_directory(c, find(c, "tsi_token")));
	ck_assert(!container_is_directory(c, find(c, "devices/1/mmio/raw")));
	ck_assert(!container_is_directory(c, find(c, "devices/1/backing/type")));
	ck_assert_str_eq(container_row(c, find(c, "devices/1/kind"))->name, "kind");
	ck_assert_int_eq(container_row(c, find(c, "vcpu/3/raw"))->kind, BLOB);

	ck_assert_int_eq(container_row(c, find(c, "num_cpus"))->access, RW);
	ck_assert_int_eq(container_row(c, find(c, "mem_size"))->access, RO);
	ck_assert_int_eq(container_row(c, find(c, "tsi_token"))->access, SECRET);
	ck_assert_int_eq(container_row(c, find(c, "devices/0/mmio/raw"))->access, RO);
	ck_assert_int_eq(container_row(c, find(c, "devices/0/backing/raw"))->access, RO);
	ck_assert_int_eq(container_row(c, find(c, "devices/0/backing/type"))->access, RO);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(names_that_are_not_there)
{
	static const struct {
		const char *dir, *name;
	} rows[] = {
		{ "", "" },
		{ "", "num_cpu" },
		{ "", "num_cpus " },
		{ "", "NUM_CPUS" },
		{ "", "0" },
		{ "", "." },
		{ "", "ram" },
		{ "", "raw" },
		{ "", "vcpu/0" },
		{ "vcpu", "" },
		{ "vcpu", "4" },
		{ "vcpu", "00" },
		{ "vcpu", "01" },
		{ "vcpu", "+1" },
		{ "vcpu", "-1" },
		{ "vcpu", "-0" },
		{ "vcpu", " 1" },
		{ "vcpu", "1 " },
		{ "vcpu", "1\n" },
		{ "vcpu", "0x1" },
		{ "vcpu", "1a" },
		{ "vcpu", "a" },
		{ "vcpu", "raw" },
		/* Those that a narrower number would take for 0 or 1. */
		{ "vcpu", "256" },
		{ "vcpu", "65536" },
		{ "vcpu", "4294967295" },
		{ "vcpu", "4294967296" },
		{ "vcpu", "4294967297" },
		{ "vcpu", "18446744073709551615" },
		{ "vcpu", "18446744073709551616" },
		{ "vcpu", "18446744073709551617" },
		{ "vcpu", "99999999999999999999999999999999" },
		{ "vcpu", "00000000000000000000000000000001" },
		{ "devices", "4" },
		{ "devices/0", "raw" },
		{ "devices/0", "type" },
		{ "devices/0/mmio", "type" },
		{ "devices/0/mmio/queues", "2" },
		{ "devices/0/mmio/queues", "raw" },
		{ "devices/0/mmio/queues/0", "raw" },
		/* The fields of other variants. */
		{ "devices/0/backing", "mount" },
		{ "devices/0/backing", "tag" },
		{ "devices/1/backing", "path" },
		{ "devices/2/backing", "dax_gpa" },
		{ "devices/3/backing", "path" },
		{ "devices/3/backing", "size" },
		{ "layout", "ram_offset" },
		{ "vcpu/0", "0" },
		{ "com1", "raw" },
		{ "listeners", "3" },
	};
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct node n;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct node dir = rows[i].dir[0] ? find(c, rows[i].dir) : container_root();
		int err = container_lookup(c, dir, rows[i].name, &n);

		ck_assert_msg(err == -ENOENT, "%s/%s: %d", rows[i].dir, rows[i].name, err);
	}
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(what_is_absent_is_there)
{
	struct bytes b = full_bytes(), none = empty_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct value v = value_of(c, find(c, "listeners/1/inet_port"));
	const struct field *row = container_row(c, find(c, "listeners/1/inet_port"));

	ck_assert(text_is_none(row, &v));
	v = value_of(c, find(c, "listeners/2/inet_port"));
	ck_assert(!text_is_none(row, &v));
	ck_assert_uint_eq(text_number(row, &v), 8082);
	ck_assert_uint_eq(value_of(c, find(c, "tsi_token")).size, 32);
	container_free(c);
	c = decode_good(none.at, none.size);
	ck_assert_uint_eq(value_of(c, find(c, "tsi_token")).size, 0);
	container_free(c);
	bytes_free(&none);
	bytes_free(&b);
}
END_TEST

START_TEST(paths)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	uint64_t number = 7;
	char name[1000];
	struct node n;

	ck_assert(node_equal(find(c, "/devices//0/kind/"), find(c, "devices/0/kind")));
	ck_assert(node_equal(find(c, ""), container_root()));
	ck_assert(node_equal(find(c, "///"), container_root()));
	ck_assert_int_eq(container_find(c, "devices/9/kind", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "devices/kind", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "num_cpus/x", &n), -ENOTDIR);
	ck_assert(container_number(c, "devices/0/backing/size", &number));
	ck_assert_uint_eq(number, 1 << 30);
	number = 7;
	ck_assert(!container_number(c, "devices/0/backing/path", &number));
	ck_assert(!container_number(c, "listeners/1/inet_port", &number));
	ck_assert(!container_number(c, "devices/1/kind", &number));
	ck_assert(!container_number(c, "layout/ram_offset", &number));
	ck_assert(!container_number(c, "devices", &number));
	ck_assert(!container_number(c, "devices/9/backing/size", &number));
	ck_assert(!container_number(c, "tsi_token", &number));
	ck_assert(!container_number(c, "layout/format", &number));
	ck_assert_uint_eq(number, 7);
	ck_assert(container_number(c, "com1/dlm", &number));
	ck_assert_uint_eq(number, 6);
	ck_assert(container_number(c, "listeners/2/inet_port", &number));
	ck_assert_uint_eq(number, 8082);
	memset(name, '1', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	ck_assert_int_eq(container_find(c, name, &n), -ENOENT);
	container_free(c);
	bytes_free(&b);
}
END_TEST

struct child {
	const char *name;
	uint64_t index;
	struct node n;
};

struct children {
	struct child child[64];
	size_t count;
	size_t most; /* the walk ends with this one */
};

static bool note_child(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct children *all = ctx;

	ck_assert_uint_lt(all->count, 64);
	all->child[all->count++] = (struct child){ name, index, n };
	return all->count < all->most;
}

static void list(const struct container *c, struct node dir, uint64_t from, size_t most,
		 struct children *out)
{
	*out = (struct children){ .most = most };
	container_children(c, dir, from, note_child, out);
}

/* Child names of DIR, any order, with blanks between; indices for lists. */
static void check_names(const struct container *c, const char *dir, const char *expected)
{
	char rest[256], name[24];
	struct children all;
	size_t count = 0, i;
	char *word, *next = rest;

	list(c, dir[0] ? find(c, dir) : container_root(), 0, 64, &all);
	snprintf(rest, sizeof(rest), "%s", expected);
	while ((word = strsep(&next, " "))) {
		if (!*word)
			continue;
		count++;
		for (i = 0; i < all.count; i++) {
			snprintf(name, sizeof(name), "%" PRIu64, all.child[i].index);
			if (strcmp(all.child[i].name ? all.child[i].name : name, word) == 0)
				break;
		}
		ck_assert_msg(i < all.count, "%s has no %s", dir, word);
	}
	ck_assert_msg(all.count == count, "%s has %zu children, not %zu", dir, all.count, count);
}

START_TEST(children)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);

	check_names(c, "", "layout num_cpus mem_size com1 clock_host_ticks clock_ref intc vcpu "
			   "devices tsi_token listeners");
	check_names(c, "vcpu", "0 1 2 3");
	check_names(c, "devices", "0 1 2 3");
	check_names(c, "devices/2", "kind mmio backing");
	check_names(c, "devices/2/mmio", "driver_features status interrupt_status queues raw");
	check_names(c, "devices/1/mmio/queues", "0 1 2");
	check_names(c, "devices/1/mmio/queues/1",
		    "size ready desc_table avail_ring used_ring last_avail_idx next_used_idx");
	check_names(c, "devices/0/backing", "type raw path size");
	check_names(c, "devices/1/backing", "type raw");
	check_names(c, "devices/2/backing", "type raw path size mount");
	check_names(c, "devices/3/backing",
		    "type raw tag mount host_path dax_gpa dax_window_len backend_state dax_state");
	check_names(c, "listeners", "0 1 2");
	check_names(c, "listeners/0", "cid peer_port vm_port family socktype inet_port");
	check_names(c, "listeners/1", "cid peer_port vm_port family socktype inet_port");
	check_names(c, "com1", "ier lcr mcr scr dll dlm");
	check_names(c, "layout", "format");
	check_names(c, "intc", "raw");
	check_names(c, "vcpu/2", "raw");
	check_names(c, "devices/3/backing/dax_state", "raw");
	container_free(c);

	bytes_free(&b);
	b = empty_bytes();
	c = decode_good(b.at, b.size);
	check_names(c, "", "layout num_cpus mem_size com1 clock_host_ticks clock_ref intc vcpu "
			   "devices tsi_token listeners");
	check_names(c, "devices", "");
	check_names(c, "listeners", "");
	container_free(c);
	bytes_free(&b);
}
END_TEST

/* A header before the container, byte for byte. */
START_TEST(headers)
{
	static const uint8_t kvm[] = "SMSNAP07\0\x20\0\0\0\0\0\0";
	static const uint8_t hvf[] = "SMSNAP\x0a\0\x0b\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\x40\0\0\0\0\0\0";
	struct bytes container = empty_bytes(), b = { 0 };
	struct container *c;
	uint64_t number;
	struct error e;

	add(&b, kvm, 16);
	add(&b, container.at, container.size);
	ck_assert_int_eq(try_decode_head(&format_kvm, b.at, b.size, &c, &e), 0);
	ck_assert_uint_eq(container_size(c), 16 + 449);
	ck_assert(container_number(c, "layout/ram_offset", &number));
	ck_assert_uint_eq(number, 8192);
	check_names(c, "layout", "format ram_offset");
	check_encoding(c, NULL, b.at, b.size);
	container_free(c);
	ck_assert_int_eq(try_decode_head(&format_hvf, b.at, b.size, &c, &e), -ERR_MALFORMED);
	b.at[7] = '8';
	ck_assert_int_eq(try_decode_head(&format_kvm, b.at, b.size, &c, &e), -ERR_MALFORMED);

	b.size = 0;
	add(&b, hvf, 32);
	add(&b, container.at, container.size);
	ck_assert_int_eq(try_decode_head(&format_hvf, b.at, b.size, &c, &e), 0);
	ck_assert(container_number(c, "layout/version", &number));
	ck_assert_uint_eq(number, 11);
	ck_assert(container_number(c, "layout/ram_gpa", &number));
	ck_assert_uint_eq(number, 0x80000000);
	ck_assert(container_number(c, "layout/ram_offset", &number));
	ck_assert_uint_eq(number, 0x4000);
	check_names(c, "layout", "format version ram_gpa ram_offset");
	ck_assert_int_eq(container_row(c, find(c, "layout/ram_gpa"))->access, RW);
	ck_assert_int_eq(container_row(c, find(c, "layout/ram_offset"))->access, RO);
	container_free(c);
	b.at[8] = 12;
	ck_assert_int_eq(try_decode_head(&format_hvf, b.at, b.size, &c, &e), -ERR_MALFORMED);
	ck_assert_str_eq(e.text, "layout/version: offset 0x8: is 12, only 11 is read here; "
				 "take the snapshot anew with a monitor that writes that");
	bytes_free(&b);
	bytes_free(&container);
}
END_TEST

/* What a walk from FROM must find, if ALL are there. */
static void check_resumed(const struct container *c, struct node dir, const struct children *all,
			  uint64_t from)
{
	struct children some;
	size_t skip = 0, i;

	while (skip < all->count && all->child[skip].index < from)
		skip++;
	list(c, dir, from, 64, &some);
	ck_assert_uint_eq(some.count, all->count - skip);
	for (i = 0; i < some.count; i++) {
		const struct child *a = &all->child[skip + i], *d = &some.child[i];

		ck_assert_uint_eq(d->index, a->index);
		ck_assert_ptr_eq(d->name, a->name);
		ck_assert(node_equal(d->n, a->n));
	}
}

static bool check_walks(void *ctx, const char *name, uint64_t index, struct node dir)
{
	const struct container *c = ctx;
	struct children all, some;
	struct node n;
	uint64_t from;
	char number[24];
	size_t i;

	(void)name;
	(void)index;
	if (!container_is_directory(c, dir))
		return true;
	list(c, dir, 0, 64, &all);
	for (i = 0; i < all.count; i++) {
		if (i)
			ck_assert_uint_gt(all.child[i].index, all.child[i - 1].index);
		snprintf(number, sizeof(number), "%" PRIu64, all.child[i].index);
		ck_assert_int_eq(container_lookup(c, dir,
						  all.child[i].name ? all.child[i].name : number,
						  &n),
				 0);
		ck_assert(node_equal(n, all.child[i].n));
		/* The walk ends where it is told to. */
		list(c, dir, 0, i + 1, &some);
		ck_assert_uint_eq(some.count, i + 1);
	}
	for (from = 0; from < 70; from++)
		check_resumed(c, dir, &all, from);
	check_resumed(c, dir, &all, UINT32_MAX);
	check_resumed(c, dir, &all, UINT64_C(1) << 32);
	check_resumed(c, dir, &all, UINT64_MAX);
	container_children(c, dir, 0, check_walks, ctx);
	return true;
}

START_TEST(walks_resume_anywhere)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);

	check_walks(c, NULL, 0, container_root());
	container_free(c);
	bytes_free(&b);
}
END_TEST

/*
 * Long lists, whose elements differ in size
 */

enum { MANY = 1000 };

static bool has_inet_port(unsigned i)
{
	/* Long runs of either size, and short ones. */
	return i < 300 ? i % 40 < 17 : i * i % 7 < 3;
}

static void check_listener(const struct container *c, unsigned i, struct node n)
{
	struct bytes b = { 0 };
	struct value v;
	struct node leaf;

	add_uint(&b, 8, 0xabcd000000000000 + i);
	ck_assert_int_eq(container_lookup(c, n, "cid", &leaf), 0);
	v = value_of(c, leaf);
	check_bytes("cid", v.bytes, v.size, b.at, b.size);
	ck_assert_int_eq(container_lookup(c, n, "inet_port", &leaf), 0);
	v = value_of(c, leaf);
	ck_assert_int_eq(text_is_none(container_row(c, leaf), &v), !has_inet_port(i));
	if (has_inet_port(i))
		ck_assert_uint_eq(text_number(container_row(c, leaf), &v), i);
	bytes_free(&b);
}

static struct bytes many_bytes(void)
{
	struct bytes b = { 0 };
	unsigned i;

	add_head(&b, 1, 0);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, MANY);
	for (i = 0; i < MANY; i++) {
		add_uint(&b, 4, i % 11);
		add_fill(&b, (uint8_t)i, i % 11);
	}
	add_uint(&b, 4, 1);
	add_fill(&b, 0, 17);
	add_uint(&b, 4, MANY);
	for (i = 0; i < MANY; i++) {
		add_uint(&b, 2, i);
		add_fill(&b, 0, 29);
	}
	add_uint(&b, 1, 0);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, MANY);
	for (i = 0; i < MANY; i++) {
		add_uint(&b, 8, 0xabcd000000000000 + i);
		add_fill(&b, 0, 12);
		/* Of a port only the low 16 bits count. */
		add_uint(&b, 4, has_inet_port(i) ? 0xabc0000u + i : 0xffffffff);
	}
	return b;
}

START_TEST(long_lists)
{
	struct bytes b = many_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct node listeners = find(c, "listeners");
	struct children one;
	char path[64];
	struct value v;
	struct node n;
	unsigned i;

	ck_assert_uint_eq(container_size(c), b.size);
	for (i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "%u", i);
		ck_assert_int_eq(container_lookup(c, listeners, path, &n), 0);
		check_listener(c, i, n);
		list(c, listeners, i, 1, &one);
		ck_assert_uint_eq(one.count, 1);
		ck_assert_uint_eq(one.child[0].index, i);
		ck_assert(node_equal(one.child[0].n, n));

		snprintf(path, sizeof(path), "vcpu/%u/raw", i);
		v = value_of(c, find(c, path));
		ck_assert_uint_eq(v.size, i % 11);
		if (v.size)
			ck_assert_uint_eq(v.bytes[v.size - 1], i & 255);

		snprintf(path, sizeof(path), "devices/0/mmio/queues/%u/size", i);
		v = value_of(c, find(c, path));
		ck_assert_uint_eq(v.bytes[0] + 256u * v.bytes[1], i);
	}
	snprintf(path, sizeof(path), "%u", MANY);
	ck_assert_int_eq(container_lookup(c, listeners, path, &n), -ENOENT);
	check_encoding(c, NULL, b.at, b.size);
	container_free(c);
	bytes_free(&b);
}
END_TEST

struct order {
	const struct container *c;
	unsigned next;
};

static bool next_listener(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct order *o = ctx;

	ck_assert_ptr_null(name);
	ck_assert_uint_eq(index, o->next);
	check_listener(o->c, o->next++, n);
	return true;
}

START_TEST(a_long_list_in_one_walk)
{
	struct bytes b = many_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct order o = { c, 0 };

	container_children(c, find(c, "listeners"), 0, next_listener, &o);
	ck_assert_uint_eq(o.next, MANY);
	o.next = 777;
	container_children(c, find(c, "listeners"), 777, next_listener, &o);
	ck_assert_uint_eq(o.next, MANY);
	container_free(c);
	bytes_free(&b);
}
END_TEST

/*
 * Edits
 */

static void add_edit(struct edits *edits, const struct container *c, struct node n,
		     const struct value *v, time_t when)
{
	struct timespec t = { .tv_sec = when, .tv_nsec = 7 };

	ck_assert_int_eq(edits_add(edits, c, n, v, t), 0);
}

static struct edits make_edit(const struct container *c, struct node n, const struct value *v,
			      time_t when)
{
	struct edits edits = { 0 };

	add_edit(&edits, c, n, v, when);
	ck_assert_uint_eq(edits.count, 1);
	return edits;
}

static void apply(struct container *c, struct edits edits)
{
	ck_assert_int_eq(container_reserve(c, edits.count), 0);
	container_apply(c, &edits);
	ck_assert_uint_eq(edits.count, 0);
}

/* The leaf at PATH was last edited at WHEN. */
static void check_time(const struct container *c, const char *path, time_t when)
{
	struct timespec t;

	ck_assert(container_mtime(c, find(c, path), &t));
	ck_assert_int_eq(t.tv_sec, when);
}

/* Put another value in the piece P: N bytes of FILL, or N as a number, or nothing. */
static void change_piece(struct piece *p, unsigned n, uint8_t fill)
{
	size_t size = p->wire.size;

	p->wire.size = 0;
	switch (p->shape) {
	case NUMBER:
		add_uint(&p->wire, (unsigned)size, p->values ? n % p->values : n * 0x0101010101u);
		break;
	case STRINGS:
		add_uint(&p->wire, 4, n);
		add_fill(&p->wire, fill & 127, n);
		break;
	case BLOBS:
		add_uint(&p->wire, 4, n);
		add_fill(&p->wire, fill, n);
		break;
	case OPTIONAL:
		add_uint(&p->wire, 1, n % 3 != 0);
		if (n % 3 != 0)
			add_fill(&p->wire, fill, 32);
		break;
	case GLUE:
		ck_abort_msg("%s is no leaf", p->path);
	}
}

/* All that C shows is what the model S has. */
static void check_model(const struct container *c, const struct sample *s)
{
	struct bytes b = sample_bytes(s, "");
	char path[64], prefix[64];
	unsigned d, record;

	check_encoding(c, NULL, b.at, b.size);
	bytes_free(&b);
	for (d = 0; d < 4; d++) {
		for (record = 0; record < 2; record++) {
			const char *name = record ? "backing" : "mmio";

			snprintf(path, sizeof(path), "devices/%u/%s/raw", d, name);
			snprintf(prefix, sizeof(prefix), "devices/%u/%s/", d, name);
			b = sample_bytes(s, prefix);
			check_raw(c, path, find(c, path), &b, 7 + b.size / 10);
			bytes_free(&b);
		}
	}
}

/* Make the change that P has seen, as an edit of C: pending first, then applied. */
static void check_edit(struct container *c, const struct sample *s, const struct piece *p,
		       const struct bytes *old, time_t when)
{
	struct node n = find(c, p->path);
	struct value v = piece_value(p);
	struct edits edit = make_edit(c, n, &v, when);
	bool change = p->wire.size != old->size || memcmp(p->wire.at, old->at, old->size);
	struct bytes now = sample_bytes(s, "");
	struct timespec t;
	struct value got;

	ck_assert_int_eq(edits_are_change(&edit, c), change);
	check_encoding(c, &edit, now.at, now.size);
	apply(c, edit);
	check_encoding(c, NULL, now.at, now.size);
	bytes_free(&now);

	got = value_of(c, n);
	check_bytes(p->path, got.bytes, got.size, v.bytes, v.size);
	ck_assert(container_mtime(c, n, &t));
	ck_assert_int_eq(t.tv_sec, when);
	ck_assert_int_eq(t.tv_nsec, 7);
	ck_assert(node_equal(find(c, p->path), n));
	check_model(c, s);
}

static struct bytes copy_bytes(const struct bytes *b)
{
	struct bytes copy = { 0 };

	add(&copy, b->at, b->size);
	return copy;
}

START_TEST(each_leaf_is_edited)
{
	/* Sizes: shorter, none, longer, much longer, and once the same again. */
	static const unsigned sizes[] = { 3, 0, 700, 65536, 65536, 1 };
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	size_t i, k;

	for (i = 0; i < s->count; i++) {
		struct container *c;
		struct bytes first, last;

		if (s->pieces[i].shape == GLUE)
			continue;
		c = decode_good(b.at, b.size);
		first = copy_bytes(&s->pieces[i].wire);
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct bytes old = copy_bytes(&s->pieces[i].wire);

			change_piece(&s->pieces[i], sizes[k], 0x61);
			check_edit(c, s, &s->pieces[i], &old, (time_t)(100 + k));
			bytes_free(&old);
		}
		/* And back to what it was. */
		last = s->pieces[i].wire;
		s->pieces[i].wire = first;
		check_edit(c, s, &s->pieces[i], &last, 200);
		bytes_free(&last);
		check_encoding(c, NULL, b.at, b.size);
		container_free(c);
	}
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(many_edits_in_any_order)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	struct container *c = decode_good(b.at, b.size);
	uint64_t random = 12345;
	unsigned k;

	for (k = 0; k < 1200; k++) {
		struct piece *p = &s->pieces[next_random(&random) % s->count];
		struct bytes old;

		if (p->shape == GLUE)
			continue;
		old = copy_bytes(&p->wire);
		change_piece(p, next_random(&random) % 400, (uint8_t)next_random(&random));
		check_edit(c, s, p, &old, (time_t)k);
		bytes_free(&old);
	}
	/* What was written reads as what was held. */
	container_free(c);
	bytes_free(&b);
	b = sample_bytes(s, "");
	c = decode_good(b.at, b.size);
	check_model(c, s);
	container_free(c);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(an_edit_that_is_none)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	struct container *c = decode_good(b.at, b.size);
	struct node n = find(c, "devices/2/backing/mount");
	struct value old = { (const uint8_t *)"/data", 5 };
	struct value other = { (const uint8_t *)"/datb", 5 };
	struct value longer = { (const uint8_t *)"/data1", 6 };
	struct value shorter = { (const uint8_t *)"/dat", 4 };
	struct edits edit;

	edit = make_edit(c, n, &old, 1);
	ck_assert(!edits_are_change(&edit, c));
	edits_free(&edit);
	edit = make_edit(c, n, &longer, 1);
	ck_assert(edits_are_change(&edit, c));
	edits_free(&edit);
	edit = make_edit(c, n, &shorter, 1);
	ck_assert(edits_are_change(&edit, c));
	edits_free(&edit);
	/* An edit that was only made, or dropped, changes nothing. */
	check_encoding(c, NULL, b.at, b.size);

	apply(c, make_edit(c, n, &other, 1));
	edit = make_edit(c, n, &other, 1);
	ck_assert(!edits_are_change(&edit, c));
	edits_free(&edit);
	edit = make_edit(c, n, &old, 1);
	ck_assert(edits_are_change(&edit, c));
	apply(c, edit);
	check_encoding(c, NULL, b.at, b.size);
	container_free(c);
	container_free(NULL);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(times)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct node kind = find(c, "devices/0/kind");
	struct node features = find(c, "devices/0/mmio/driver_features");
	struct node raw = find(c, "devices/0/mmio/raw");
	struct value one = { (const uint8_t *)"\1", 1 };
	struct value eight = { (const uint8_t *)"\1\2\3\4\5\6\7", 8 };
	struct timespec t;

	ck_assert(!container_mtime(c, kind, &t));

	apply(c, make_edit(c, kind, &one, 1000));
	ck_assert(container_mtime(c, kind, &t));
	ck_assert_int_eq(t.tv_sec, 1000);
	/* Its neighbours have not been edited, nor has what holds it. */
	ck_assert(!container_mtime(c, features, &t));

	/* The same value once more is an edit too. */
	apply(c, make_edit(c, kind, &one, 2000));
	ck_assert(container_mtime(c, kind, &t));
	ck_assert_int_eq(t.tv_sec, 2000);

	apply(c, make_edit(c, features, &eight, 3000));
	/* The view starts where this leaf does, and stays a view of all of it. */
	ck_assert_uint_eq(container_raw_size(c, raw), 20 + 2 * 31);
	ck_assert_uint_eq(value_of(c, find(c, "devices/0/backing/type")).bytes[0], 1);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(an_edited_size_of_memory)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct value v = { (const uint8_t *)"\0\0\0\0\1\0\0", 8 };

	apply(c, make_edit(c, find(c, "mem_size"), &v, 1));
	ck_assert_uint_eq(container_mem_size(c), UINT64_C(1) << 32);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(a_token_set_and_removed)
{
	struct bytes b = full_bytes(), expected = { 0 };
	struct container *c = decode_good(b.at, b.size);
	struct value none = { NULL, 0 }, token = { NULL, 32 };
	struct sample *s = sample_new();
	size_t at = sample_offset(s, "tsi_token");

	apply(c, make_edit(c, find(c, "tsi_token"), &none, 1));
	add(&expected, b.at, at);
	add_uint(&expected, 1, 0);
	add(&expected, b.at + at + 33, b.size - at - 33);
	check_encoding(c, NULL, expected.at, expected.size);
	ck_assert_uint_eq(value_of(c, find(c, "tsi_token")).size, 0);
	token.bytes = b.at + at + 1;
	apply(c, make_edit(c, find(c, "tsi_token"), &token, 2));
	check_encoding(c, NULL, b.at, b.size);
	ck_assert_int_eq(value_check_size(container_row(c, find(c, "tsi_token")), 31), -EINVAL);
	ck_assert_int_eq(value_check_size(container_row(c, find(c, "tsi_token")), 33), -EFBIG);
	sample_free(s);
	bytes_free(&expected);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(a_long_list_is_edited)
{
	struct bytes b = many_bytes(), expected = { 0 };
	struct container *c = decode_good(b.at, b.size), *again;
	struct value empty = { NULL, 0 }, none = { (const uint8_t *)"\xff\xff\xff\xff", 4 }, v;
	char path[64];
	unsigned i;

	/* From the end to the start, and with all of them gone the rest is still found. */
	for (i = MANY; i-- > 0;) {
		snprintf(path, sizeof(path), "listeners/%u/inet_port", i);
		apply(c, make_edit(c, find(c, path), &none, 1));
		snprintf(path, sizeof(path), "vcpu/%u/raw", i);
		apply(c, make_edit(c, find(c, path), &empty, 1));
		ck_assert_uint_eq(value_of(c, find(c, path)).size, 0);
		snprintf(path, sizeof(path), "listeners/%u/cid", i);
		ck_assert_uint_eq(value_of(c, find(c, path)).bytes[0], i & 255);
		snprintf(path, sizeof(path), "vcpu/%u/raw", i ? i - 1 : 0);
		v = value_of(c, find(c, path));
		ck_assert_uint_eq(v.size, i ? (i - 1) % 11 : 0);
	}
	add(&expected, b.at, 31 + 4 + 4);
	add_fill(&expected, 0, 4 * MANY);
	/* What is between the two lists has not been edited. */
	add(&expected, b.at + find(c, "devices").offset,
	    find(c, "listeners").offset + 4 - find(c, "devices").offset);
	for (i = 0; i < MANY; i++) {
		add_uint(&expected, 8, 0xabcd000000000000 + i);
		add_fill(&expected, 0, 12);
		add_fill(&expected, 0xff, 4);
	}
	check_encoding(c, NULL, expected.at, expected.size);
	again = decode_good(expected.at, expected.size);
	ck_assert_uint_eq(container_size(again), expected.size);
	container_free(again);
	container_free(c);
	bytes_free(&expected);
	bytes_free(&b);
}
END_TEST

/* A set is a change if any of its edits is one. */
START_TEST(sets_that_change_something)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct value four = { (const uint8_t *)"\4", 1 }, five = { (const uint8_t *)"\5", 1 };
	struct value data = { (const uint8_t *)"/data", 5 }, longer = { (const uint8_t *)"/data1", 6 };
	struct value port = { (const uint8_t *)"\x92\x1f\0", 4 }, other = { (const uint8_t *)"\x92\x1f\1", 4 };
	struct edits edits = { 0 };

	ck_assert(!edits_are_change(&edits, c));
	check_encoding(c, &edits, b.at, b.size);
	add_edit(&edits, c, find(c, "listeners/2/inet_port"), &port, 1);
	add_edit(&edits, c, find(c, "num_cpus"), &four, 1);
	add_edit(&edits, c, find(c, "devices/2/backing/mount"), &data, 1);
	ck_assert(!edits_are_change(&edits, c));
	add_edit(&edits, c, find(c, "num_cpus"), &five, 1);
	ck_assert(edits_are_change(&edits, c));
	add_edit(&edits, c, find(c, "num_cpus"), &four, 1);
	ck_assert(!edits_are_change(&edits, c));
	/* The last of them as well as the first. */
	add_edit(&edits, c, find(c, "listeners/2/inet_port"), &other, 1);
	ck_assert(edits_are_change(&edits, c));
	add_edit(&edits, c, find(c, "listeners/2/inet_port"), &port, 1);
	ck_assert(!edits_are_change(&edits, c));
	/* And one that only adds to what was there. */
	add_edit(&edits, c, find(c, "devices/2/backing/mount"), &longer, 1);
	ck_assert(edits_are_change(&edits, c));
	add_edit(&edits, c, find(c, "devices/2/backing/mount"), &data, 1);
	ck_assert(!edits_are_change(&edits, c));
	ck_assert_uint_eq(edits.count, 3);
	check_encoding(c, &edits, b.at, b.size);
	/* The later time of the two is the leaf's. */
	add_edit(&edits, c, find(c, "num_cpus"), &five, 9);
	apply(c, edits);
	check_time(c, "num_cpus", 9);
	check_time(c, "devices/2/backing/mount", 1);
	b.at[0] = 5;
	check_encoding(c, NULL, b.at, b.size);
	container_free(c);
	bytes_free(&b);
}
END_TEST

/* A header's fields are edited as the container's are; the container alone can be had. */
START_TEST(an_edited_header)
{
	struct bytes b = read_vector("hvf-03.snap"), expected = { 0 };
	struct value gpa = { (const uint8_t *)"\1\2\3\4\5\6\7", 8 }, cpus = { (const uint8_t *)"\x63", 1 };
	struct value offset = { (const uint8_t *)"\0\0\1\0\0\0\0", 8 };
	struct edits edits = { 0 };
	struct buffer out = { 0 };
	struct container *c;
	struct error e;

	ck_assert_int_eq(try_decode_head(&format_hvf, b.at, b.size, &c, &e), 0);
	add_edit(&edits, c, find(c, "num_cpus"), &cpus, 1);
	add_edit(&edits, c, find(c, "layout/ram_offset"), &offset, 1);
	add_edit(&edits, c, find(c, "layout/ram_gpa"), &gpa, 1);
	add(&expected, b.at, 16);
	add(&expected, gpa.bytes, 8);
	add(&expected, offset.bytes, 8);
	add(&expected, cpus.bytes, 1);
	add(&expected, b.at + 33, container_size(c) - 33);
	check_encoding(c, &edits, expected.at, expected.size);
	/* Pending edits are no part of what is in force. */
	container_encode_alone(c, &out);
	check_bytes("container", out.bytes, out.size, b.at + 32, container_size(c) - 32);
	apply(c, edits);
	check_encoding(c, NULL, expected.at, expected.size);
	out.size = 0;
	container_encode_alone(c, &out);
	check_bytes("container", out.bytes, out.size, expected.at + 32, expected.size - 32);
	ck_assert_uint_eq(container_size(c), expected.size);
	buffer_free(&out);
	container_free(c);
	bytes_free(&expected);
	bytes_free(&b);
}
END_TEST

/* Edits that are made together: in any order, one of a leaf, over those in force. */
START_TEST(sets_of_edits)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, ""), now;
	struct container *c = decode_good(b.at, b.size);
	static const char *const paths[] = { "listeners/2/cid", "num_cpus", "devices/0/backing/path",
					     "vcpu/1/raw", "devices/0/backing/path", "num_cpus" };
	unsigned round, i;
	size_t k;

	for (round = 0; round < 3; round++) {
		struct edits edits = { 0 };

		for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
			for (k = 0; strcmp(s->pieces[k].path, paths[i]); k++)
				;
			change_piece(&s->pieces[k], 10 * i + round, (uint8_t)(0x61 + i));
			add_edit(&edits, c, find(c, paths[i]), &(struct value){ piece_value(&s->pieces[k]).bytes,
				 piece_value(&s->pieces[k]).size }, 5);
		}
		ck_assert_uint_eq(edits.count, 4);
		now = sample_bytes(s, "");
		ck_assert(edits_are_change(&edits, c));
		check_encoding(c, &edits, now.at, now.size);
		if (round == 0)
			check_encoding(c, NULL, b.at, b.size);
		apply(c, edits);
		check_encoding(c, NULL, now.at, now.size);
		bytes_free(&now);
	}
	container_free(c);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

/*
 * The rest of the format
 */

START_TEST(limits)
{
	static const struct field string = { STRING, "string", .size = 65536 };
	static const struct field blob = { BLOB, "blob", .size = 16 << 20 };
	static const struct field six = { BYTES, "six", .size = 6 };

	ck_assert_int_eq(FORMAT_STRING_MAX, 65536);
	ck_assert_int_eq(FORMAT_BLOB_MAX, 16777216);
	ck_assert_int_eq(value_check_size(&string, 0), 0);
	ck_assert_int_eq(value_check_size(&string, 65536), 0);
	ck_assert_int_eq(value_check_size(&string, 65537), -ENAMETOOLONG);
	ck_assert_int_eq(value_check_size(&string, UINT64_MAX), -ENAMETOOLONG);
	ck_assert_int_eq(value_check_size(&blob, 0), 0);
	ck_assert_int_eq(value_check_size(&blob, 16777216), 0);
	ck_assert_int_eq(value_check_size(&blob, 16777217), -EFBIG);
	ck_assert_int_eq(value_check_size(&blob, UINT64_MAX), -EFBIG);
	ck_assert_int_eq(value_check_size(&six, 6), 0);
	ck_assert_int_eq(value_check_size(&six, 5), -EINVAL);
	ck_assert_int_eq(value_check_size(&six, 7), -EFBIG);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("container");

	tcase_add_test(t, empty);
	tcase_add_test(t, full);
	tcase_add_test(t, nothing_after_the_container_is_looked_at);
	tcase_add_test(t, all_zeros);
	tcase_add_test(t, vectors_are_read_as_their_writer_does);
	tcase_add_test(t, every_prefix_is_truncated);
	tcase_add_test(t, an_error_says_where);
	tcase_add_test(t, bytes_that_have_few_values);
	tcase_add_test(t, strings_are_utf8);
	tcase_add_test(t, every_string_is_checked);
	tcase_add_test(t, the_longest_string);
	tcase_add_loop_test(t, the_biggest_blob, 0, 3);
	tcase_add_test(t, a_blob_of_4_gib);
	tcase_add_loop_test(t, counts_of_4_billion, 0, 4);
	tcase_add_test(t, rows);
	tcase_add_test(t, names_that_are_not_there);
	tcase_add_test(t, what_is_absent_is_there);
	tcase_add_test(t, paths);
	tcase_add_test(t, headers);
	tcase_add_test(t, children);
	tcase_add_test(t, walks_resume_anywhere);
	tcase_add_test(t, long_lists);
	tcase_add_test(t, a_long_list_in_one_walk);
	tcase_add_test(t, each_leaf_is_edited);
	tcase_add_test(t, many_edits_in_any_order);
	tcase_add_test(t, an_edit_that_is_none);
	tcase_add_test(t, times);
	tcase_add_test(t, an_edited_size_of_memory);
	tcase_add_test(t, a_token_set_and_removed);
	tcase_add_test(t, a_long_list_is_edited);
	tcase_add_test(t, sets_that_change_something);
	tcase_add_test(t, an_edited_header);
	tcase_add_test(t, sets_of_edits);
	tcase_add_test(t, limits);
	return check_run(t);
}
