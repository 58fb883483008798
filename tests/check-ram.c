/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard.h"
#include "ram.h"

enum {
	RAM_OFFSET = 131072, /* of RAM in its file; a multiple of every page size */
	PAGES = 200,     /* whole ones */
	REST = 1234,     /* and what comes after them */
	RAM_SIZE = PAGES * RAM_PAGE + REST,
	ALL = PAGES + 1,
	TRAILER = 5000,  /* bytes of somebody else's */
};

/* Where RAM starts: in a bare file that may be anywhere in a page. */
static const uint64_t offsets[] = { RAM_OFFSET, RAM_OFFSET + 449, RAM_OFFSET - 1, 2 * RAM_PAGE + 512 };
enum { OFFSETS = sizeof(offsets) / sizeof(offsets[0]) };

/* A sparse file, RAM in it, and what both must be. */
struct bench {
	int fd;
	uint64_t offset;    /* of RAM */
	struct ram *ram;
	uint8_t *file;      /* all of the file's bytes */
	uint64_t file_size;
	uint8_t *bytes;     /* of RAM as it is now */
	bool written[ALL];
	bool *data;         /* of RAM's bytes: the file has data there */
	bool stored[ALL];   /* and at the start of the page */
};

static int temporary(void)
{
	char name[] = "/tmp/check-ram-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	unlink(name);
	return fd;
}

/* Runs of data and of holes, long and short, and data in the last part of a page. */
static bool has_data(unsigned page)
{
	return page == 0 || page / 8 % 3 == 1 || page % 13 == 5 || page >= PAGES - 1;
}

static void write_all(int fd, const void *p, size_t n, uint64_t offset)
{
	ck_assert_int_eq(pwrite(fd, p, n, (off_t)offset), (ssize_t)n);
}

static void read_file(const struct bench *b, uint8_t *out)
{
	ck_assert_int_eq(pread(b->fd, out, b->file_size, 0), (ssize_t)b->file_size);
}

static uint64_t page_bytes(unsigned page)
{
	return page < PAGES ? RAM_PAGE : REST;
}

/* What of RAM the file has data for, as its own file system sees it. */
static void find_data(struct bench *b)
{
	off_t start = (off_t)b->offset, end = start + RAM_SIZE, at, hole;
	unsigned i;

	memset(b->data, 0, RAM_SIZE);
	for (at = start; (at = lseek(b->fd, at, SEEK_DATA)) >= 0 && at < end; at = hole) {
		hole = lseek(b->fd, at, SEEK_HOLE);
		memset(b->data + (at - start), 1, (size_t)((hole < end ? hole : end) - at));
	}
	for (i = 0; i < ALL; i++)
		b->stored[i] = b->data[(size_t)i * RAM_PAGE];
}

static struct bench *bench_at(uint64_t offset, uint64_t trailer)
{
	struct bench *b = calloc(1, sizeof(*b));
	uint64_t random = 1;
	uint8_t page[RAM_PAGE];
	struct error e;
	unsigned i, k;

	b->fd = temporary();
	b->offset = offset;
	b->file_size = offset + RAM_SIZE + trailer;
	ck_assert_int_eq(ftruncate(b->fd, (off_t)b->file_size), 0);
	for (i = 0; i < ALL; i++) {
		for (k = 0; k < RAM_PAGE; k++)
			page[k] = (uint8_t)next_random(&random);
		if (has_data(i))
			write_all(b->fd, page, page_bytes(i), offset + (uint64_t)i * RAM_PAGE);
	}
	for (i = 0; i < trailer; i++)
		write_all(b->fd, "t", 1, offset + RAM_SIZE + i);
	write_all(b->fd, "container", 9, 0);
	b->data = malloc(RAM_SIZE);
	find_data(b);

	b->file = malloc(b->file_size);
	read_file(b, b->file);
	b->bytes = malloc(RAM_SIZE);
	memcpy(b->bytes, b->file + offset, RAM_SIZE);
	ck_assert_int_eq(ram_open(b->fd, offset, RAM_SIZE, b->file_size, &b->ram, &e), 0);
	return b;
}

static struct bench *bench_new(uint64_t trailer)
{
	return bench_at(RAM_OFFSET, trailer);
}

static void check_file(const struct bench *b)
{
	uint8_t *now = malloc(b->file_size);

	read_file(b, now);
	check_bytes("the file", now, b->file_size, b->file, b->file_size);
	free(now);
}

static void check_all(const struct bench *b)
{
	uint8_t *now = malloc(RAM_SIZE);

	ck_assert_int_eq(ram_read(b->ram, now, RAM_SIZE, 0), 0);
	check_bytes("RAM", now, RAM_SIZE, b->bytes, RAM_SIZE);
	free(now);
}

static void bench_free(struct bench *b)
{
	ram_close(b->ram);
	close(b->fd);
	free(b->file);
	free(b->bytes);
	free(b->data);
	free(b);
}

static void bench_write(struct bench *b, const void *p, size_t n, uint64_t offset)
{
	uint64_t page;

	ck_assert_int_eq(ram_write(b->ram, p, n, offset), 0);
	memcpy(b->bytes + offset, p, n);
	for (page = offset / RAM_PAGE; n > 0 && page * RAM_PAGE < offset + n; page++)
		b->written[page] = true;
}

START_TEST(as_the_file_has_it)
{
	struct bench *b = bench_new(0);
	uint64_t offset = 0, size;

	ck_assert_uint_eq(ram_size(b->ram), RAM_SIZE);
	check_all(b);
	ck_assert(!ram_next_written(b->ram, &offset, &size));
	/* RAM has the file open for itself. */
	close(b->fd);
	b->fd = temporary();
	check_all(b);
	ck_assert_int_ge(ram_seek(b->ram, 0, SEEK_DATA), 0);
	bench_free(b);
	ram_close(NULL);
}
END_TEST

START_TEST(what_cannot_be_opened)
{
	struct bench *b = bench_new(0);
	struct ram *r = NULL;
	struct error e = { 0 };

	ck_assert_int_eq(ram_open(b->fd, RAM_OFFSET, RAM_SIZE + 1, b->file_size, &r, &e), -EINVAL);
	ck_assert_str_eq(e.text, "snapshot RAM region [131072, 951507) exceeds file length 951506");
	ck_assert_int_eq(ram_open(b->fd, UINT64_MAX, RAM_SIZE, b->file_size, &r, &e), -EINVAL);
	ck_assert_int_eq(ram_open(-1, RAM_OFFSET, RAM_SIZE, b->file_size, &r, &e), -EBADF);
	ck_assert_ptr_null(r);
	bench_free(b);
}
END_TEST

/*
 * Random operations, and the model
 */

static void check_read(const struct bench *b, size_t n, uint64_t offset)
{
	uint8_t *out = malloc(n);

	ck_assert_int_eq(ram_read(b->ram, out, n, offset), 0);
	check_bytes("read", out, n, b->bytes + offset, n);
	free(out);
}

struct view {
	const struct bench *b;
	uint64_t offset;
	size_t n;
	bool called;
};

static void look(void *ctx, struct iovec *pieces, int count)
{
	struct view *v = ctx;
	uint64_t at = v->offset;
	int i;

	v->called = true;
	ck_assert_int_le(count, (int)(v->n / RAM_PAGE + 3));
	for (i = 0; i < count; i++) {
		if (pieces[i].iov_len > v->offset + v->n - at)
			ck_abort_msg("piece %d of %zu bytes", i, pieces[i].iov_len);
		check_bytes("view", pieces[i].iov_base, pieces[i].iov_len, v->b->bytes + at,
			    pieces[i].iov_len);
		at += pieces[i].iov_len;
	}
	ck_assert_uint_eq(at, v->offset + v->n);
}

static void check_view(const struct bench *b, size_t n, uint64_t offset)
{
	struct view v = { b, offset, n, false };

	ck_assert_int_eq(ram_view(b->ram, n, offset, look, &v), 0);
	ck_assert(v.called);
}

static void check_next_written(const struct bench *b, unsigned page)
{
	uint64_t offset = (uint64_t)page * RAM_PAGE, size = 0;
	bool found = ram_next_written(b->ram, &offset, &size);
	uint64_t end;

	while (page < ALL && !b->written[page])
		page++;
	ck_assert_int_eq(found, page < ALL);
	if (!found)
		return;
	ck_assert_uint_eq(offset, (uint64_t)page * RAM_PAGE);
	while (page < ALL && b->written[page])
		page++;
	end = page < ALL ? (uint64_t)page * RAM_PAGE : RAM_SIZE;
	ck_assert_uint_eq(size, end - offset);
}

static bool is_data(const struct bench *b, uint64_t at)
{
	return b->written[at / RAM_PAGE] || b->data[at];
}

static void check_seek(const struct bench *b, uint64_t offset, int whence)
{
	int64_t expected, got = ram_seek(b->ram, offset, whence);
	uint64_t at = offset;

	if (offset >= RAM_SIZE) {
		ck_assert_int_eq(got, -ENXIO);
		return;
	}
	while (at < RAM_SIZE && is_data(b, at) != (whence == SEEK_DATA))
		at++;
	expected = at == RAM_SIZE && whence == SEEK_DATA ? -ENXIO : (int64_t)at;
	if (got != expected)
		ck_abort_msg("%s from %llu: %lld, not %lld",
			     whence == SEEK_DATA ? "data" : "hole", (unsigned long long)offset,
			     (long long)got, (long long)expected);
}

static void random_operation(struct bench *b, uint64_t *random, uint8_t *scratch)
{
	uint64_t offset = next_random(random) % RAM_SIZE;
	size_t n = next_random(random) % (next_random(random) % 8 ? 300 : 3 * RAM_PAGE);
	size_t i;

	/* Often whole pages, and often up to the end. */
	if (next_random(random) % 3 == 0) {
		offset -= offset % RAM_PAGE;
		n -= n % RAM_PAGE;
	}
	if (n > RAM_SIZE - offset || next_random(random) % 16 == 0)
		n = RAM_SIZE - offset < 4 * RAM_PAGE ? RAM_SIZE - offset : n;
	switch (next_random(random) % 8) {
	case 0:
		for (i = 0; i < n; i++)
			scratch[i] = (uint8_t)next_random(random);
		bench_write(b, scratch, n, offset);
		break;
	case 1:
		check_next_written(b, next_random(random) % ALL);
		break;
	case 2:
		check_seek(b, offset, SEEK_DATA);
		break;
	case 3:
		check_seek(b, offset, SEEK_HOLE);
		break;
	case 4:
		check_view(b, n, offset);
		break;
	default:
		check_read(b, n, offset);
	}
}

START_TEST(random_operations)
{
	struct bench *b = bench_at(offsets[_i / 2], _i % 2 ? TRAILER : 0);
	uint8_t *scratch = malloc(4 * RAM_PAGE);
	uint64_t random = 99 + (uint64_t)_i;
	unsigned i;

	for (i = 0; i < (_i < 2 ? 6000 : 3000); i++)
		random_operation(b, &random, scratch);
	check_all(b);
	check_view(b, RAM_SIZE, 0);
	check_file(b);
	free(scratch);
	bench_free(b);
}
END_TEST

/* As a caller goes on who adds the size of a run to its start. */
START_TEST(after_the_last_short_page)
{
	struct bench *b = bench_new(0);
	uint64_t offset = 0, size;

	bench_write(b, "end", 3, RAM_SIZE - 3);
	ck_assert(ram_next_written(b->ram, &offset, &size));
	ck_assert_uint_eq(offset + size, RAM_SIZE);
	offset += size;
	ck_assert(!ram_next_written(b->ram, &offset, &size));
	bench_free(b);
}
END_TEST

START_TEST(seeking)
{
	struct bench *b = bench_at(offsets[_i], TRAILER);
	unsigned i;

	for (i = 0; i < ALL; i++) {
		check_seek(b, (uint64_t)i * RAM_PAGE, SEEK_DATA);
		check_seek(b, (uint64_t)i * RAM_PAGE, SEEK_HOLE);
		check_seek(b, (uint64_t)i * RAM_PAGE + 1, SEEK_DATA);
		check_seek(b, (uint64_t)i * RAM_PAGE + 1, SEEK_HOLE);
	}
	check_seek(b, RAM_SIZE - 1, SEEK_DATA);
	check_seek(b, RAM_SIZE - 1, SEEK_HOLE);
	check_seek(b, RAM_SIZE, SEEK_DATA);
	check_seek(b, RAM_SIZE, SEEK_HOLE);
	check_seek(b, RAM_SIZE + 1, SEEK_DATA);
	check_seek(b, UINT64_MAX, SEEK_DATA);
	check_seek(b, UINT64_MAX, SEEK_HOLE);
	bench_free(b);
}
END_TEST

/* RAM that is one hole, at the end of its file and not. */
START_TEST(nothing_but_a_hole)
{
	int fd = temporary();
	const uint64_t length = RAM_OFFSET + RAM_SIZE + (_i ? 10 * RAM_PAGE : 0);
	struct error e;
	struct ram *r;

	ck_assert_int_eq(ftruncate(fd, (off_t)length), 0);
	write_all(fd, "container", 9, 0);
	if (_i)
		write_all(fd, "x", 1, length - 1);
	if (lseek(fd, RAM_OFFSET, SEEK_HOLE) != RAM_OFFSET) {
		close(fd); /* the file system has none */
		return;
	}
	ck_assert_int_eq(ram_open(fd, RAM_OFFSET, RAM_SIZE, length, &r, &e), 0);
	ck_assert_int_eq(ram_seek(r, 0, SEEK_DATA), -ENXIO);
	ck_assert_int_eq(ram_seek(r, 0, SEEK_HOLE), 0);
	ck_assert_uint_eq(ram_stored(r), 0);

	ck_assert_int_eq(ram_write(r, "a", 1, 3 * RAM_PAGE + 7), 0);
	ck_assert_int_eq(ram_seek(r, 0, SEEK_DATA), 3 * RAM_PAGE);
	ck_assert_int_eq(ram_seek(r, 3 * RAM_PAGE + 9, SEEK_DATA), 3 * RAM_PAGE + 9);
	ck_assert_int_eq(ram_seek(r, 3 * RAM_PAGE, SEEK_HOLE), 4 * RAM_PAGE);
	ck_assert_int_eq(ram_seek(r, 4 * RAM_PAGE, SEEK_DATA), -ENXIO);
	ck_assert_uint_eq(ram_stored(r), RAM_PAGE);

	/* The last page is short, and written it is data up to the end. */
	ck_assert_int_eq(ram_write(r, "z", 1, RAM_SIZE - 1), 0);
	ck_assert_int_eq(ram_seek(r, 4 * RAM_PAGE, SEEK_DATA), PAGES * RAM_PAGE);
	ck_assert_int_eq(ram_seek(r, RAM_SIZE - 1, SEEK_HOLE), RAM_SIZE);
	ram_close(r);
	close(fd);
}
END_TEST

START_TEST(what_is_stored)
{
	struct bench *b = bench_new(TRAILER), *odd;
	uint8_t page[RAM_PAGE] = { 1 };
	uint64_t in_file = 0, holes = 0;
	unsigned i;

	odd = bench_at(offsets[1], TRAILER);
	for (i = 0; i < RAM_SIZE; i++)
		in_file += odd->data[i];
	ck_assert_uint_eq(ram_stored(odd->ram), in_file);
	bench_free(odd);
	for (in_file = 0, i = 0; i < ALL; i++)
		in_file += b->stored[i] ? page_bytes(i) : 0;
	ck_assert_uint_eq(ram_stored(b->ram), in_file);
	for (i = 0; i < ALL; i++) {
		if (b->stored[i])
			continue;
		bench_write(b, "x", 1, (uint64_t)i * RAM_PAGE + 5);
		bench_write(b, "y", 1, (uint64_t)i * RAM_PAGE + 6);
		holes++;
		ck_assert_uint_eq(ram_stored(b->ram), in_file + holes * RAM_PAGE);
	}
	/* Never more than there is. */
	for (i = 0; i < ALL; i++)
		bench_write(b, page, page_bytes(i), (uint64_t)i * RAM_PAGE);
	ck_assert_uint_eq(ram_stored(b->ram), RAM_SIZE);
	bench_free(b);
}
END_TEST

/*
 * Saving: the file gets what was written, or another file takes over
 */

START_TEST(clean)
{
	struct bench *b = bench_new(0);
	uint64_t offset = 0, size;

	bench_write(b, "one", 3, 10);
	bench_write(b, "two", 3, 5 * RAM_PAGE - 1);
	bench_write(b, "end", 3, RAM_SIZE - 3);
	ram_hold_writes(b->ram);
	while (ram_next_written(b->ram, &offset, &size)) {
		write_all(b->fd, b->bytes + offset, size, RAM_OFFSET + offset);
		offset = (offset + size + RAM_PAGE - 1) / RAM_PAGE * RAM_PAGE;
	}
	ram_hold(b->ram);
	ram_clean(b->ram);
	ram_resume(b->ram);
	ram_resume_writes(b->ram);
	memset(b->written, 0, sizeof(b->written));
	offset = 0;
	ck_assert(!ram_next_written(b->ram, &offset, &size));
	check_all(b);
	bench_write(b, "again", 5, 4 * RAM_PAGE);
	check_next_written(b, 0);
	check_all(b);
	bench_free(b);
}
END_TEST

START_TEST(forget_what_was_written)
{
	struct bench *b = bench_new(0);

	bench_write(b, "one", 3, 10);
	bench_write(b, "end", 3, RAM_SIZE - 3);
	ram_hold(b->ram);
	ram_clean(b->ram);
	ram_resume(b->ram);
	memcpy(b->bytes, b->file + RAM_OFFSET, RAM_SIZE);
	check_all(b);
	/* A page that is written in part takes the rest from the file, not from before. */
	bench_write(b, "x", 1, 11);
	check_all(b);
	check_file(b);
	bench_free(b);
}
END_TEST

/* As where a save moves RAM. */
START_TEST(rebase)
{
	struct bench *b = bench_at(offsets[_i], 0);
	const uint64_t offset = 2 * RAM_OFFSET + (_i == 3);
	int other = temporary();
	struct error e;
	unsigned i;

	bench_write(b, "one", 3, 10);
	bench_write(b, "two", 3, 7 * RAM_PAGE - 1);
	/* The other file has the same RAM further on, with holes elsewhere. */
	ck_assert_int_eq(ftruncate(other, (off_t)(offset + RAM_SIZE + 7)), 0);
	for (i = 0; i < ALL; i++)
		if (i % 4 != 2 || has_data(i))
			write_all(other, b->file + b->offset + (uint64_t)i * RAM_PAGE,
				  page_bytes(i), offset + (uint64_t)i * RAM_PAGE);

	ram_hold(b->ram);
	ck_assert_int_eq(ram_rebase(b->ram, other, offset, offset + RAM_SIZE + 7, &e), 0);
	ram_resume(b->ram);
	ck_assert_int_eq(ftruncate(b->fd, 0), 0);
	close(b->fd);
	b->fd = other;
	b->offset = offset;
	find_data(b);

	/* What was written is still there, on top of it. */
	check_all(b);
	check_next_written(b, 0);
	check_next_written(b, 1);
	for (i = 0; i < ALL; i++) {
		check_seek(b, (uint64_t)i * RAM_PAGE, SEEK_DATA);
		check_seek(b, (uint64_t)i * RAM_PAGE, SEEK_HOLE);
	}
	bench_write(b, "three", 5, 20 * RAM_PAGE + 9);
	check_all(b);
	bench_free(b);
}
END_TEST

START_TEST(rebase_that_fails)
{
	struct bench *b = bench_new(0);
	int other = temporary();
	struct error e = { 0 };

	bench_write(b, "one", 3, 10);
	ram_hold(b->ram);
	ck_assert_int_eq(ram_rebase(b->ram, other, RAM_OFFSET, b->file_size - 1, &e), -EINVAL);
	ck_assert_str_ne(e.text, "");
	ck_assert_int_eq(ram_rebase(b->ram, -1, RAM_OFFSET, b->file_size, &e), -EBADF);
	ram_resume(b->ram);
	close(other);
	check_all(b);
	check_seek(b, 9 * RAM_PAGE, SEEK_HOLE);
	check_file(b);
	bench_free(b);
}
END_TEST

/*
 * A file that loses its bytes
 */

START_TEST(a_truncated_file)
{
	struct bench *b = bench_new(0);
	const uint64_t left = 10 * RAM_PAGE;
	uint8_t out[2 * RAM_PAGE];
	uint8_t page[RAM_PAGE];
	unsigned i;

	guard_install();
	bench_write(b, "kept", 4, 50 * RAM_PAGE);
	ck_assert_int_eq(ftruncate(b->fd, (off_t)(RAM_OFFSET + left)), 0);
	for (i = 0; i < 3; i++) {
		check_read(b, left, 0);
		ck_assert_int_eq(ram_read(b->ram, out, 1, left), -EIO);
		ck_assert_int_eq(ram_read(b->ram, out, 2 * RAM_PAGE, left - 100), -EIO);
		ck_assert_int_eq(ram_read(b->ram, out, 1, RAM_SIZE - 1), -EIO);
	}
	/* What was written does not need the file. */
	check_read(b, RAM_PAGE, 50 * RAM_PAGE);
	ck_assert_int_eq(ram_read(b->ram, out, RAM_PAGE + 1, 50 * RAM_PAGE), -EIO);
	bench_write(b, "more", 4, 50 * RAM_PAGE + 4);
	check_read(b, RAM_PAGE, 50 * RAM_PAGE);

	/* A page can't be written in part if the rest is gone: it stays unwritten. */
	ck_assert_int_eq(ram_write(b->ram, "x", 1, 60 * RAM_PAGE), -EIO);
	check_next_written(b, 0);
	check_next_written(b, 51);
	memset(page, 0x77, sizeof(page));
	bench_write(b, page, RAM_PAGE, 60 * RAM_PAGE);
	check_read(b, RAM_PAGE, 60 * RAM_PAGE);
	/* What is lost is no hole that a copy could leave out. */
	ck_assert_int_eq(ram_seek(b->ram, 20 * RAM_PAGE, SEEK_DATA), 20 * RAM_PAGE);
	ck_assert_int_eq(ram_seek(b->ram, left + 1, SEEK_DATA), left + 1);
	ck_assert_int_eq(ram_seek(b->ram, left, SEEK_HOLE), RAM_SIZE);
	ck_assert_uint_ge(ram_stored(b->ram), RAM_SIZE - left);

	/* And when the file is long again, all is well. */
	ck_assert_int_eq(ftruncate(b->fd, (off_t)b->file_size), 0);
	write_all(b->fd, b->file, b->file_size, 0);
	check_all(b);
	bench_free(b);
}
END_TEST

/* Bytes from which the file was cut, and which page of RAM that is in. */
static const uint64_t cuts[] = {
	10 * RAM_PAGE + 1, 10 * RAM_PAGE + 2000, 11 * RAM_PAGE - 1, 10 * RAM_PAGE,
	PAGES * RAM_PAGE + 1, RAM_SIZE - 1
};
enum { CUTS = sizeof(cuts) / sizeof(cuts[0]) };

/* The page that a file ends in has zeros after that end: they are nobody's. */
START_TEST(a_page_cut_through)
{
	struct bench *b = bench_at(offsets[_i / CUTS], 0);
	const uint64_t cut = cuts[_i % CUTS], page = cut / RAM_PAGE * RAM_PAGE;
	struct view v = { b, 0, 0, false };
	uint8_t out[RAM_SIZE];

	guard_install();
	/* A hole before the end is one; after it there is none. */
	ck_assert_int_eq(ftruncate(b->fd, (off_t)(b->offset + cut)), 0);
	if (cut > page) {
		check_read(b, cut - page, page);
		check_view(b, cut - page, page);
	}
	check_read(b, cut, 0);
	check_view(b, cut, 0);
	ck_assert_int_eq(ram_read(b->ram, out, cut - page + 1, page), -EIO);
	ck_assert_int_eq(ram_read(b->ram, out, 1, cut), -EIO);
	ck_assert_int_eq(ram_read(b->ram, out, cut + 1, 0), -EIO);
	ck_assert_int_eq(ram_view(b->ram, cut - page + 1, page, look, &v), -EIO);
	ck_assert_int_eq(ram_view(b->ram, 1, cut, look, &v), -EIO);
	ck_assert_int_eq(ram_view(b->ram, cut + 1, 0, look, &v), -EIO);
	ck_assert(!v.called);
	ck_assert_int_eq(ram_write(b->ram, "x", 1, page), -EIO);
	check_next_written(b, 0);
	ck_assert_int_eq(ram_seek(b->ram, cut, SEEK_DATA), (int64_t)cut);
	ck_assert_int_eq(ram_seek(b->ram, cut, SEEK_HOLE), RAM_SIZE);

	/* A page of ours after it hides nothing. */
	if (page + RAM_PAGE < RAM_SIZE) {
		memset(out, 0x77, RAM_PAGE);
		bench_write(b, out, RAM_PAGE, page + RAM_PAGE);
		check_view(b, RAM_PAGE, page + RAM_PAGE);
		ck_assert_int_eq(ram_read(b->ram, out, 2 * RAM_PAGE, page), -EIO);
		ck_assert_int_eq(ram_view(b->ram, 2 * RAM_PAGE, page, look, &v), -EIO);
	}
	bench_free(b);
}
END_TEST

struct late_cut {
	const struct bench *b;
	uint64_t offset;
	uint64_t cut;
	int into;
	unsigned seen;
};

/* The file is cut between the call of this and its own. */
static void cut_and_look(void *ctx, struct iovec *pieces, int count)
{
	struct late_cut *late = ctx;
	static uint8_t got[RAM_SIZE];
	size_t all = 0;
	ssize_t n;
	int i;

	for (i = 0; i < count; i++)
		all += pieces[i].iov_len;
	ck_assert_int_eq(ftruncate(late->b->fd, (off_t)(late->b->offset + late->cut)), 0);
	n = pwritev(late->into, pieces, count, 0);
	if (n != (ssize_t)all)
		return;
	late->seen++;
	ck_assert_int_eq(pread(late->into, got, all, 0), n);
	check_bytes("seen late", got, all, late->b->bytes + late->offset, all);
}

START_TEST(cut_while_it_is_seen)
{
	struct bench *b = bench_at(offsets[_i / 2], 0);
	struct late_cut late = { .b = b, .into = temporary() };
	uint64_t random = 7;
	unsigned i;

	guard_install();
	if (_i % 2)
		for (i = 0; i < ALL; i += 7)
			bench_write(b, "ours", 4, (uint64_t)i * RAM_PAGE + 9);
	for (i = 0; i < 3000; i++) {
		uint64_t n = 1 + next_random(&random) % (next_random(&random) % 2 ? 20 : 4) * 900;

		late.offset = next_random(&random) % (RAM_SIZE - n);
		if (next_random(&random) % 2)
			late.offset = late.offset / RAM_PAGE * RAM_PAGE;
		if (next_random(&random) % 2)
			n = n / RAM_PAGE * RAM_PAGE + RAM_PAGE;
		if (n > RAM_SIZE - late.offset)
			n = RAM_SIZE - late.offset;
		late.cut = late.offset + next_random(&random) % n;
		if (next_random(&random) % 4 == 0)
			late.cut = late.cut / RAM_PAGE * RAM_PAGE;
		ck_assert_int_eq(ram_view(b->ram, n, late.offset, cut_and_look, &late), 0);
		write_all(b->fd, b->file, b->file_size, 0);
	}
	/* Some were in time, or nothing was compared. */
	ck_assert_uint_gt(late.seen, 300);
	/* Where pages of RAM lie across those of the file, they are copied before they are seen. */
	if (_i < 2)
		ck_assert_uint_lt(late.seen, 3000);
	else
		ck_assert_uint_eq(late.seen, 3000);
	close(late.into);
	bench_free(b);
}
END_TEST

START_TEST(guarded_copies)
{
	char from[100] = "bytes", to[100] = "";
	int fd = temporary();
	char *p;

	guard_install();
	ck_assert(guard_copy(to, from, sizeof(to)));
	ck_assert_str_eq(to, "bytes");
	ck_assert(guard_copy(to, from, 0));
	p = mmap(NULL, RAM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert(!guard_copy(to, p, 1));
	ck_assert(!guard_copy(p, from, 1));
	ck_assert(guard_copy(to, from, sizeof(to)));
	ck_assert_int_eq(ftruncate(fd, RAM_PAGE), 0);
	ck_assert(guard_copy(p, from, sizeof(from)));
	ck_assert_str_eq(p, "bytes");
	munmap(p, RAM_PAGE);
	close(fd);
}
END_TEST

START_TEST(sigbus_elsewhere_kills)
{
	int fd = temporary();
	volatile char *p;
	char to[8];

	guard_install();
	p = mmap(NULL, RAM_PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	/* Not even a guarded copy before it makes a difference. */
	guard_copy(to, (const char *)p, sizeof(to));
	to[0] = p[0];
	ck_abort_msg("alive, with %d", to[0]);
}
END_TEST

/*
 * Side by side
 */

enum { WRITERS = 4, STRIPED_PAGES = 50 };

struct writer {
	struct bench *b;
	unsigned stripe;
};

/* Every so many bytes are this thread's, so that all have a part of every page. */
static void *write_stripe(void *ctx)
{
	struct writer *w = ctx;
	uint64_t at;

	for (at = w->stripe; at < STRIPED_PAGES * RAM_PAGE; at += WRITERS) {
		uint8_t byte = (uint8_t)(at * 7 + w->stripe);

		if (ram_write(w->b->ram, &byte, 1, at))
			return w;
	}
	return NULL;
}

START_TEST(writers_of_the_same_pages)
{
	struct bench *b = bench_new(0);
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	void *failed;
	unsigned i;

	for (i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ b, i };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_stripe, &writers[i]), 0);
	}
	for (i = 0; i < WRITERS; i++) {
		pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	for (i = 0; i < STRIPED_PAGES * RAM_PAGE; i++)
		b->bytes[i] = (uint8_t)(i * 7 + i % WRITERS);
	check_all(b);
	check_file(b);
	bench_free(b);
}
END_TEST

enum { RACED_PAGES = 5000 };

struct race {
	struct ram *ram;
	atomic_uint page; /* that the reader waits for */
};

static void *write_pages(void *ctx)
{
	struct race *race = ctx;
	unsigned i;

	for (i = 0; i < RACED_PAGES; i++) {
		while (atomic_load(&race->page) < i)
			sched_yield();
		if (ram_write(race->ram, "abc", 3, (uint64_t)i * RAM_PAGE + 100))
			return race;
	}
	return NULL;
}

static void first_byte(void *ctx, struct iovec *pieces, int count)
{
	ck_assert_int_eq(count, 1);
	ck_assert_uint_eq(pieces[0].iov_len, 1);
	memcpy(ctx, pieces[0].iov_base, 1);
}

/* A read inside of a page, at the moment when another thread writes to it first. */
START_TEST(reader_of_a_page_that_becomes_written)
{
	const uint64_t size = (uint64_t)RACED_PAGES * RAM_PAGE;
	int fd = temporary();
	struct race race = { 0 };
	struct error e;
	pthread_t thread;
	void *failed;
	unsigned i;

	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	ck_assert_int_eq(ram_open(fd, 0, size, size, &race.ram, &e), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_pages, &race), 0);
	for (i = 0; i < RACED_PAGES; i++) {
		const uint64_t at = (uint64_t)i * RAM_PAGE + 100;
		char out[2] = { 0, 'z' };
		unsigned spins = 0;

		atomic_store(&race.page, i);
		while (out[0] != 'a') {
			if (++spins % 1024 == 0)
				sched_yield(); /* there may be one processor only */
			if (_i && ram_view(race.ram, 1, at, first_byte, out))
				ck_abort_msg("cannot look at page %u", i);
			if (!_i && ram_read(race.ram, out, 1, at))
				ck_abort_msg("cannot read page %u", i);
			if (out[1] != 'z' || (out[0] && out[0] != 'a'))
				ck_abort_msg("page %u has 0x%02x", i, (uint8_t)out[0]);
		}
	}
	pthread_join(thread, &failed);
	ck_assert_ptr_null(failed);
	ram_close(race.ram);
	close(fd);
}
END_TEST

struct held {
	struct ram *ram;
	atomic_bool done;
};

static void *write_once(void *ctx)
{
	struct held *h = ctx;
	int err = ram_write(h->ram, "abc", 3, 100);

	atomic_store(&h->done, true);
	return err ? h : NULL;
}

START_TEST(held_writes_wait)
{
	struct bench *b = bench_new(0);
	struct held h = { b->ram, false };
	pthread_t thread;
	void *failed;
	unsigned i;

	ram_hold_writes(b->ram);
	ck_assert_int_eq(pthread_create(&thread, NULL, write_once, &h), 0);
	for (i = 0; i < 2000; i++) {
		check_read(b, 3, 100); /* reads go on */
		ck_assert(!atomic_load(&h.done));
	}
	check_next_written(b, 0);
	ram_resume_writes(b->ram);
	pthread_join(thread, &failed);
	ck_assert_ptr_null(failed);
	memcpy(b->bytes + 100, "abc", 3);
	b->written[0] = true;
	check_all(b);
	check_next_written(b, 0);
	bench_free(b);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("ram");

	tcase_add_test(t, as_the_file_has_it);
	tcase_add_test(t, what_cannot_be_opened);
	tcase_add_loop_test(t, random_operations, 0, 2 * OFFSETS);
	tcase_add_test(t, after_the_last_short_page);
	tcase_add_loop_test(t, seeking, 0, OFFSETS);
	tcase_add_loop_test(t, nothing_but_a_hole, 0, 2);
	tcase_add_test(t, what_is_stored);
	tcase_add_test(t, clean);
	tcase_add_test(t, forget_what_was_written);
	tcase_add_loop_test(t, rebase, 0, OFFSETS);
	tcase_add_test(t, rebase_that_fails);
	tcase_add_test(t, a_truncated_file);
	tcase_add_loop_test(t, a_page_cut_through, 0, OFFSETS * CUTS);
	tcase_add_loop_test(t, cut_while_it_is_seen, 0, 4);
	tcase_add_test(t, guarded_copies);
	tcase_add_test_raise_signal(t, sigbus_elsewhere_kills, SIGBUS);
	tcase_add_test(t, writers_of_the_same_pages);
	tcase_add_loop_test(t, reader_of_a_page_that_becomes_written, 0, 2);
	tcase_add_test(t, held_writes_wait);
	return check_run(t);
}
