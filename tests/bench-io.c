/* SPDX-License-Identifier: MIT */
/*
 * The inner loops of scripts/bench.
 *
 *   bench-io read   FILE OFFSET SIZE BLOCK [COUNT]   pread
 *   bench-io touch  FILE OFFSET SIZE BLOCK [COUNT]   a byte of each block, mapped
 *   bench-io write  FILE OFFSET SIZE BLOCK [COUNT]   pwrite
 *   bench-io memcpy FILE OFFSET SIZE BLOCK [COUNT]   into a private mapping
 *   bench-io cat    FILE          each of the files whose names are FILE's lines
 *   bench-io decode FILE COUNT    the container that FILE starts with
 *   bench-io edit   A B COUNT     as "echo TEXT > A" and then B, COUNT times
 *
 * The first four go through SIZE bytes at OFFSET: all blocks in order or, with a
 * COUNT, that many in an order that is mixed, but the same each time.  They and
 * cat do it twice, opening the file anew (only memcpy keeps its mapping), and
 * print the nanoseconds of the loop alone: "first second".  write adds a third
 * number, of the first loop and an fsync after it: a kernel that keeps writes
 * back has more to do then.
 *
 * decode prints the nanoseconds of decoding, those of copying the same bytes as
 * often, and how many bytes there were in all.  edit prints the median for each
 * of the two files: what an edit waits for is a disk now and then.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "container.h"

struct job {
	const char *file;
	off_t offset;
	size_t size;
	size_t block;
	size_t *order; /* the blocks to visit */
	size_t count;
	char *buffer;        /* of a block */
	char *kept;          /* memcpy's mapping, once there is one */
	uint64_t with_fsync; /* write's last pass and an fsync */
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "bench-io: ");
	perror(what);
	exit(1);
}

static void check(bool ok, const char *what)
{
	if (!ok)
		die(what);
}

static void *allocate(size_t size)
{
	void *p = malloc(size ? size : 1);

	check(p, "malloc");
	memset(p, 'x', size); /* its pages are there before a clock runs */
	return p;
}

static int open_file(const char *file, int flags)
{
	int fd = open(file, flags | O_CLOEXEC);

	check(fd >= 0, file);
	return fd;
}

static char *map(const struct job *j, int protection)
{
	int fd = open_file(j->file, O_RDONLY);
	char *p = mmap(NULL, j->size, protection, MAP_PRIVATE, fd, j->offset);

	check(p != MAP_FAILED, j->file);
	close(fd);
	return p;
}

/*
 * Passes: each goes through the job's blocks once, and returns the time of that.
 */

static uint64_t read_pass(struct job *j)
{
	int fd = open_file(j->file, O_RDONLY);
	uint64_t start = now(), took;
	size_t i;

	for (i = 0; i < j->count; i++) {
		off_t at = j->offset + (off_t)(j->order[i] * j->block);

		check(pread(fd, j->buffer, j->block, at) == (ssize_t)j->block, "pread");
	}
	took = now() - start;
	close(fd);
	return took;
}

static uint64_t touch_pass(struct job *j)
{
	const volatile char *p = map(j, PROT_READ);
	uint64_t start = now(), took;
	size_t i;

	for (i = 0; i < j->count; i++)
		(void)p[j->order[i] * j->block];
	took = now() - start;
	munmap((void *)p, j->size);
	return took;
}

static uint64_t write_pass(struct job *j)
{
	int fd = open_file(j->file, O_WRONLY);
	uint64_t start = now(), took;
	size_t i;

	for (i = 0; i < j->count; i++) {
		off_t at = j->offset + (off_t)(j->order[i] * j->block);

		check(pwrite(fd, j->buffer, j->block, at) == (ssize_t)j->block, "pwrite");
	}
	took = now() - start;
	check(fsync(fd) == 0, "fsync");
	j->with_fsync = now() - start;
	close(fd);
	return took;
}

static uint64_t memcpy_pass(struct job *j)
{
	uint64_t start;
	size_t i;

	if (!j->kept)
		j->kept = map(j, PROT_READ | PROT_WRITE);
	start = now();
	for (i = 0; i < j->count; i++)
		memcpy(j->kept + j->order[i] * j->block, j->buffer, j->block);
	return now() - start;
}

/* xorshift64, from the same seed in each run */
static uint64_t next_random(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* COUNT of N blocks: the first of them in order, or mixed and no block twice. */
static size_t *make_order(size_t n, size_t count, bool mixed)
{
	size_t *order = allocate(n * sizeof(*order)), i;

	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = 0; mixed && i < count; i++) {
		size_t k = i + next_random() % (n - i), other = order[k];

		order[k] = order[i];
		order[i] = other;
	}
	return order;
}

static const struct {
	const char *mode;
	uint64_t (*pass)(struct job *);
} passes[] = {
	{ "read", read_pass },
	{ "touch", touch_pass },
	{ "write", write_pass },
	{ "memcpy", memcpy_pass },
};

static bool run_passes(const char *mode, int argc, char **argv)
{
	struct job j = { 0 };
	uint64_t first, with_fsync;
	size_t i, blocks;

	for (i = 0; i < sizeof(passes) / sizeof(passes[0]); i++)
		if (strcmp(mode, passes[i].mode) == 0)
			break;
	if (i == sizeof(passes) / sizeof(passes[0]) || argc < 4)
		return false;
	j.file = argv[0];
	j.offset = (off_t)strtoull(argv[1], NULL, 0);
	j.size = strtoull(argv[2], NULL, 0);
	j.block = strtoull(argv[3], NULL, 0);
	blocks = j.block ? j.size / j.block : 0;
	j.count = argc > 4 ? strtoull(argv[4], NULL, 0) : blocks;
	if (j.count > blocks)
		j.count = blocks;
	j.order = make_order(blocks, j.count, argc > 4);
	j.buffer = allocate(j.block);

	first = passes[i].pass(&j);
	with_fsync = j.with_fsync;
	printf("%" PRIu64 " %" PRIu64, first, passes[i].pass(&j));
	if (with_fsync)
		printf(" %" PRIu64, with_fsync);
	printf("\n");
	free(j.order);
	free(j.buffer);
	return true;
}

/* The whole file, with a NUL after it. */
static char *read_file(const char *file, size_t *size)
{
	int fd = open_file(file, O_RDONLY);
	struct stat st;
	char *bytes;

	check(fstat(fd, &st) == 0, file);
	*size = (size_t)st.st_size;
	bytes = allocate(*size + 1);
	check(read(fd, bytes, *size) == (ssize_t)*size, file);
	bytes[*size] = 0;
	close(fd);
	return bytes;
}

static uint64_t cat_pass(char **names, size_t count)
{
	static char buffer[128 << 10];
	uint64_t start = now();
	struct stat st;
	ssize_t n;
	size_t i;

	for (i = 0; i < count; i++) {
		int fd = open_file(names[i], O_RDONLY);

		check(fstat(fd, &st) == 0, names[i]); /* as cat does */
		while ((n = read(fd, buffer, sizeof(buffer))) > 0)
			;
		check(n == 0, names[i]);
		close(fd);
	}
	return now() - start;
}

static void cat(const char *list)
{
	size_t size, count = 0, room = 0;
	char *text = read_file(list, &size), **names = NULL, *line, *rest = text;
	uint64_t first;

	while ((line = strsep(&rest, "\n")) && *line) {
		if (count == room) {
			room = room ? 2 * room : 1024;
			names = realloc(names, room * sizeof(*names));
			check(names, "realloc");
		}
		names[count++] = line;
	}
	first = cat_pass(names, count);
	printf("%" PRIu64 " %" PRIu64 "\n", first, cat_pass(names, count));
	free(names);
	free(text);
}

static void decode(const char *file, size_t count)
{
	uint64_t start, decoding = 0, copying = 0;
	struct container *c;
	size_t size, used = 0, i;
	char *bytes = read_file(file, &size);
	char *copy = allocate(size);
	struct error e = { 0 };

	for (i = 0; i < count; i++) {
		uint8_t *own = allocate(size); /* container_decode takes it over */

		memcpy(own, bytes, size);
		start = now();
		if (container_decode(&format_bare, own, size, 0, &c, &e)) {
			fprintf(stderr, "bench-io: %s: %s\n", file, e.text);
			exit(1);
		}
		decoding += now() - start;
		used = container_size(c);
		container_free(c);

		start = now();
		memcpy(copy, bytes, used);
		copying += now() - start;
		/* Let the compiler think that somebody looks. */
		__asm__ volatile("" : : "r"(copy) : "memory");
	}
	printf("%" PRIu64 " %" PRIu64 " %zu\n", decoding, copying, used * count);
	free(copy);
	free(bytes);
}

/* Edit number I of a file that takes paths: each moves what follows. */
static uint64_t edit(const char *file, size_t i)
{
	const char *text = i % 2 ? "/srv/images/root.raw\n" : "/srv/images/another/root-v2.raw\n";
	uint64_t start = now();
	int fd = open_file(file, O_WRONLY | O_TRUNC);

	check(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
	check(close(fd) == 0, "close");
	return now() - start;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void edit_both(char **files, size_t count)
{
	uint64_t *took[2];
	size_t i, k;

	for (k = 0; k < 2; k++)
		took[k] = allocate((count + 1) * sizeof(uint64_t));
	for (i = 0; i < count; i++)
		for (k = 0; k < 2; k++)
			took[k][i] = edit(files[k], i);
	for (k = 0; k < 2; k++)
		qsort(took[k], count, sizeof(uint64_t), compare);
	printf("%" PRIu64 " %" PRIu64 "\n", took[0][count / 2], took[1][count / 2]);
	free(took[0]);
	free(took[1]);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	if (strcmp(mode, "cat") == 0) {
		cat(argv[2]);
	} else if (argc > 3 && strcmp(mode, "decode") == 0) {
		decode(argv[2], strtoull(argv[3], NULL, 0));
	} else if (argc > 4 && strcmp(mode, "edit") == 0) {
		edit_both(argv + 2, strtoull(argv[4], NULL, 0));
	} else if (!run_passes(mode, argc - 2, argv + 2)) {
		fprintf(stderr, "bench-io: wrong arguments; they are at the top of bench-io.c\n");
		return 2;
	}
	return 0;
}
