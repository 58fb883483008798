/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.  A target is LLVMFuzzerTestOneInput: libFuzzer calls
 * it with inputs that it makes up (scripts/fuzz), replay.c with those in files.
 */
#ifndef SMFS_TESTS_FUZZ_H
#define SMFS_TESTS_FUZZ_H

#include "container.h"
#include "error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Say what is wrong, and abort: a finding. */
void fuzz_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

#define demand(condition, ...) \
	do { \
		if (!(condition)) \
			fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

/*
 * For an array of bytes that are counters as libFuzzer has them for branches: an input
 * that makes another one not 0 is something new.
 */
#define FUZZ_COUNTERS __attribute__((section("__libfuzzer_extra_counters"), used))

/* An input that is taken from its start; past its end it is zeros. */
struct input {
	const uint8_t *at;
	size_t left;
};

/* A number of WIDTH (1 to 8) bytes. */
uint64_t input_uint(struct input *in, unsigned width);

/* N bytes, or as many as are left, in *TAKEN. */
const uint8_t *input_bytes(struct input *in, size_t n, size_t *taken);

/* A copy of just the N bytes at P, so that a look past them is noticed. */
void *fuzz_copy(const void *p, size_t n);

/* A folder in memory for the files of this process, which are removed when it exits. */
const char *fuzz_folder(void);

/* Make the N bytes at P the content of the file NAME in it. */
void fuzz_write_file(const char *name, const void *p, size_t n);

/* The content of the file PATH, appended to OUT. */
void fuzz_read_file(const char *path, struct buffer *out);

/* That ERR is a failure that E tells about, in one line. */
void demand_told(int err, const struct error *e);

/* That the buffer GOT holds the N bytes at P. */
void demand_bytes(const char *what, const struct buffer *got, const void *p, size_t n);

/* container_decode of a copy; E is cleared first. */
int fuzz_decode(const struct field *root, const void *p, size_t n, uint64_t base,
		struct container **out, struct error *e);

/*
 * Make the number of changed pages in the document 0, if it is a diff's: what is built of it has
 * none, whatever it says.
 */
struct json_object;
void fuzz_forget_pages(struct json_object *document);

/* Call FN for each leaf below DIR, views too.  LOOK_UP, which takes time: that each is found by its name. */
typedef void fuzz_leaf(void *ctx, const struct container *c, struct node n);
void fuzz_leaves(const struct container *c, struct node dir, bool look_up, fuzz_leaf *fn, void *ctx);

/*
 * The value that a number's file of WIDTH bytes takes the N bytes at TEXT for, as
 * docs/tree.md says: 0, -EINVAL or -ERANGE.  SIZES: with the suffixes of a size.
 * Independent of what is tested.
 */
int model_number(const char *text, size_t n, unsigned width, bool sizes, uint64_t *out);

/* Likewise for ROW's file, of a number or a word; -EINVAL for what is no word of its list. */
int model_text(const struct field *row, const char *text, size_t n, uint64_t *out);

/* Whether the N bytes at P are UTF-8, by its definition. */
bool model_utf8(const uint8_t *p, size_t n);

#endif
