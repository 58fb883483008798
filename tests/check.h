/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share.  Bytes that are known to be right are put together
 * here by hand, without any of the code that is tested.
 */
#ifndef SMFS_TESTS_CHECK_H
#define SMFS_TESTS_CHECK_H

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "error.h"

/* Run the tests of T: what main returns. */
static inline int check_run(TCase *t)
{
	Suite *suite = suite_create("smfs");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/*
 * Bytes that grow at their end
 */

struct bytes {
	uint8_t *at;
	size_t size;
	size_t room;
};

static inline void add(struct bytes *b, const void *p, size_t n)
{
	if (b->size + n > b->room) {
		b->room = 2 * (b->size + n);
		b->at = realloc(b->at, b->room);
		ck_assert_ptr_nonnull(b->at);
	}
	if (n)
		memcpy(b->at + b->size, p, n);
	b->size += n;
}

static inline void add_uint(struct bytes *b, unsigned width, uint64_t v)
{
	uint8_t byte;

	for (; width > 0; width--, v >>= 8) {
		byte = v & 255;
		add(b, &byte, 1);
	}
}

static inline void add_fill(struct bytes *b, uint8_t byte, size_t n)
{
	uint8_t *fill = malloc(n + 1);

	memset(fill, byte, n);
	add(b, fill, n);
	free(fill);
}

/* A count and the N bytes at P. */
static inline void add_counted(struct bytes *b, const void *p, size_t n)
{
	add_uint(b, 4, n);
	add(b, p, n);
}

static inline void add_string(struct bytes *b, const char *s)
{
	add_counted(b, s, strlen(s));
}

/* The bytes 0, 1, ... 255, 0, ... that the vectors have as intc. */
static inline void add_intc(struct bytes *b)
{
	unsigned i;

	add_uint(b, 4, 333);
	for (i = 0; i < 333; i++)
		add_uint(b, 1, i);
}

static inline void bytes_free(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){ 0 };
}

/* The start of a container, up to intc, which is not in it. */
static inline void add_head(struct bytes *b, unsigned num_cpus, uint64_t mem_size)
{
	add_uint(b, 1, num_cpus);
	add_uint(b, 8, mem_size);
	add(b, "\1\2\3\4\5\6", 6);
	add_uint(b, 8, 0x1122334455667788);
	add_uint(b, 8, 0x99aabbccddeeff00);
}

/* tests/vectors/NAME. */
static inline struct bytes read_vector(const char *name)
{
	const char *top = getenv("srcdir");
	struct bytes b = { 0 };
	char path[4096];
	char part[4096];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/vectors/%s", top ? top : ".", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		add(&b, part, n);
	ck_assert(!ferror(f));
	fclose(f);
	return b;
}

/* Fail unless the N bytes at GOT are the SIZE bytes at EXPECTED. */
static inline void check_bytes(const char *what, const void *got, size_t n, const void *expected,
			       size_t size)
{
	const uint8_t *a = got, *b = expected;
	size_t i;

	if (n != size)
		ck_abort_msg("%s: %zu bytes, not %zu", what, n, size);
	if (n == 0 || memcmp(a, b, n) == 0)
		return;
	for (i = 0; i < n; i++)
		if (a[i] != b[i])
			ck_abort_msg("%s: byte %zu is 0x%02x, not 0x%02x", what, i, a[i], b[i]);
}

/*
 * Containers
 */

/*
 * Decode the head of which ROOT is the row from a copy of just the N bytes at P, so that a
 * tool notices a look past them.
 */
static inline int try_decode_head(const struct field *root, const void *p, size_t n,
				  struct container **out, struct error *e)
{
	uint8_t *copy = malloc(n);
	int err;

	if (n)
		memcpy(copy, p, n);
	*e = (struct error){ 0 };
	err = container_decode(root, copy, n, 0, out, e);
	if (err)
		free(copy);
	return err;
}

/* A bare container's. */
static inline int try_decode(const void *p, size_t n, struct container **out, struct error *e)
{
	return try_decode_head(&format_bare, p, n, out, e);
}

static inline struct container *decode_good(const void *p, size_t n)
{
	struct container *c = NULL;
	struct error e;

	if (try_decode(p, n, &c, &e))
		ck_abort_msg("refused: %s", e.text);
	return c;
}

/* The node at PATH, which is there. */
static inline struct node find(const struct container *c, const char *path)
{
	struct node n;

	if (container_find(c, path, &n))
		ck_abort_msg("%s is not there", path);
	return n;
}

static inline struct value value_of(const struct container *c, struct node n)
{
	struct value v;

	ck_assert_int_eq(container_value(c, n, &v), 0);
	return v;
}

static inline void check_encoding(const struct container *c, const struct edits *pending,
				  const void *expected, size_t size)
{
	struct buffer out = { 0 };

	container_encode(c, pending, &out);
	ck_assert(!out.failed);
	check_bytes("encoding", out.bytes, out.size, expected, size);
	buffer_free(&out);
}

/* A random number, the same ones in every run. */
static inline uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

#endif
