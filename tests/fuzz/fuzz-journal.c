/* SPDX-License-Identifier: MIT */
/*
 * Undoing a save with any journal beside a snapshot, against another reading of
 * docs/saving.md.
 *
 * An input is a byte of flags, the snapshot with its size before it (u16), and the
 * journal.  No input can know the snapshot's inode or be lucky with a checksum, so
 * flags tell to put in what is right.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "journal.h"
#include "le.h"

enum {
	RIGHT_MAGIC = 1,
	RIGHT_IDENTITY = 2,
	RIGHT_CHECKSUM = 4,
	RIGHT_SIZES = 8, /* the old or new size is the snapshot's, nothing is inserted */
	WITH_BESIDE = 16, /* the journal is of the file beside the snapshot too */
};

enum { HEADER = 64, WINDOW = 1 << 16 };

/* What the file beside the snapshot has, always. */
static const uint8_t beside_bytes[] = "beside the snapshot";

static struct {
	struct beside beside;
	char journal[NAME_MAX + 1];
	int snapshot;
	int other; /* the file beside it */
} world;

/* One snapshot for all inputs. */
static void set_up(void)
{
	char path[4200];
	struct error e;

	snprintf(path, sizeof(path), "%s/snap", fuzz_folder());
	demand(!beside_open(path, &world.beside, &e) &&
	       !beside_name(&world.beside, JOURNAL_SUFFIX, world.journal, &e), "%s", e.text);
	world.snapshot = openat(world.beside.folder, world.beside.name,
				O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	demand(world.snapshot >= 0, "cannot make %s", path);
	world.other = openat(world.beside.folder, "snap" JOURNAL_BESIDE_SUFFIX,
			     O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	demand(world.other >= 0, "cannot make a file beside %s", path);
}

static uint32_t crc32c(const uint8_t *p, size_t n)
{
	static uint32_t table[256];
	uint32_t crc = UINT32_MAX;
	unsigned i, bit;

	for (i = 1; !table[255] && i < 256; i++)
		for (table[i] = i, bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
	while (n-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 255];
	return ~crc;
}

/* Bytes 12 to 31 of a journal of FD, or of the header of the file beside it. */
static void identity(int fd, uint8_t *to)
{
	struct statx st;

	demand(!statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st), "statx");
	le_put(to, 4, st.stx_mask & STATX_BTIME ? st.stx_btime.tv_nsec : 0);
	le_put(to + 4, 8, st.stx_mask & STATX_BTIME ? (uint64_t)st.stx_btime.tv_sec : 0);
	le_put(to + 12, 8, st.stx_ino);
}

static void put_sizes_right(uint8_t *header, uint64_t size)
{
	le_put(header + (header[32] & 1 ? 32 : 40), 8, size);
	memset(header + 56, 0, 8);
}

static void put_right(unsigned flags, uint8_t *journal, size_t n, uint64_t size)
{
	bool with = flags & WITH_BESIDE && n >= 2 * HEADER + 4;

	if (n < HEADER + 4)
		return;
	if (flags & RIGHT_MAGIC)
		memcpy(journal, with ? "SMFSUNDO\2\0\0\0" : "SMFSUNDO\1\0\0\0", 12);
	if (flags & RIGHT_MAGIC && with)
		memcpy(journal + HEADER, ".posixfs", 8);
	if (flags & RIGHT_IDENTITY)
		identity(world.snapshot, journal + 12);
	if (flags & RIGHT_IDENTITY && with)
		identity(world.other, journal + HEADER + 12);
	if (flags & RIGHT_SIZES)
		put_sizes_right(journal, size);
	if (flags & RIGHT_SIZES && with) {
		put_sizes_right(journal + HEADER, sizeof(beside_bytes));
		/* Somewhere after the headers, where it can be found by chance. */
		le_put(journal + HEADER + 48, 8, 2 * HEADER + journal[HEADER + 48] % (n - 2 * HEADER - 3));
	}
	if (flags & RIGHT_CHECKSUM)
		le_put(journal + n - 4, 4, crc32c(journal, n - 4));
}

/* One of the files that a journal is of: its header, and where its ranges are. */
struct part {
	const uint8_t *header;
	size_t start, end;
	uint64_t size; /* the file's now */
};

/* The parts of the journal: how many, or 0 where it is none. */
static unsigned find_parts(const uint8_t *journal, size_t n, uint64_t size, struct part out[2])
{
	uint64_t split;

	out[0] = (struct part){ journal, HEADER, n - 4, size };
	if (n < HEADER + 4 || memcmp(journal, "SMFSUNDO", 8) != 0)
		return 0;
	if (le_get(journal + 8, 4) == 1)
		return 1;
	if (le_get(journal + 8, 4) != 2 || n < 2 * HEADER + 4 ||
	    memcmp(journal + HEADER, ".posixfs", 8) != 0 || le_get(journal + HEADER + 56, 8))
		return 0;
	split = le_get(journal + HEADER + 48, 8);
	if (split < 2 * HEADER || split > n - 4)
		return 0;
	out[0] = (struct part){ journal, 2 * HEADER, (size_t)split, size };
	out[1] = (struct part){ journal + HEADER, (size_t)split, n - 4, sizeof(beside_bytes) };
	return 2;
}

/* Whether all ranges of P lie in its part of the journal, and in the old file. */
static bool has_good_ranges(const uint8_t *journal, const struct part *p, uint64_t old_size)
{
	size_t at = p->start;

	while (at + 16 <= p->end) {
		u128 offset = le_get(journal + at, 8), size = le_get(journal + at + 8, 8);

		at += 16;
		if (offset + size > old_size || at + size > p->end)
			return false;
		at += (size_t)size;
	}
	return at == p->end;
}

/* Whether P is of the file FD, as it is. */
static bool is_good_part(const uint8_t *journal, const struct part *p, int fd)
{
	uint64_t old = le_get(p->header + 32, 8), new = le_get(p->header + 40, 8);
	uint64_t inserted = le_get(p->header + 56, 8);
	uint8_t mine[20];

	identity(fd, mine);
	if (memcmp(p->header + 12, mine, sizeof(mine)) != 0 || old > INT64_MAX)
		return false;
	/* What is inserted can't be taken out again in memory. */
	if (inserted)
		return p->size == old && new == old + inserted && has_good_ranges(journal, p, old);
	return p->size >= (old < new ? old : new) && p->size <= (old < new ? new : old) &&
	       has_good_ranges(journal, p, old);
}

/* Whether the journal is to be carried out on a snapshot of SIZE bytes, and how many PARTS it has. */
static bool is_good(const uint8_t *journal, size_t n, uint64_t size, struct part parts[2],
		    unsigned *count)
{
	*count = find_parts(journal, n, size, parts);
	return *count && le_get(journal + n - 4, 4) == crc32c(journal, n - 4) &&
	       is_good_part(journal, &parts[0], world.snapshot) &&
	       (*count == 1 || is_good_part(journal, &parts[1], world.other));
}

/* The first WINDOW bytes of the file of P after the journal. */
static void model_undo(const uint8_t *journal, const struct part *p, uint8_t *window)
{
	uint64_t old_size = le_get(p->header + 32, 8), i;
	size_t at = p->start;

	while (at < p->end) {
		uint64_t offset = le_get(journal + at, 8), size = le_get(journal + at + 8, 8);

		for (i = 0, at += 16; i < size; i++, at++)
			if (offset + i < WINDOW)
				window[offset + i] = journal[at];
	}
	if (old_size < WINDOW)
		memset(window + old_size, 0, WINDOW - old_size);
}

static void check_file(const char *when, int fd, uint64_t size, const uint8_t *window)
{
	static uint8_t now[WINDOW];
	struct stat st;
	ssize_t n;

	demand(!fstat(fd, &st) && (uint64_t)st.st_size == size,
	       "%s: %llu bytes, not %llu", when, (unsigned long long)st.st_size,
	       (unsigned long long)size);
	n = pread(fd, now, WINDOW, 0);
	demand(n == (size < WINDOW ? (ssize_t)size : WINDOW), "%s: read %zd bytes", when, n);
	demand(memcmp(now, window, (size_t)n) == 0, "%s: other bytes", when);
}

static void write_files(const uint8_t *snapshot, size_t size, const uint8_t *journal, size_t n)
{
	fuzz_write_file(world.journal, journal, n);
	demand(!ftruncate(world.snapshot, 0) &&
	       pwrite(world.snapshot, snapshot, size, 0) == (ssize_t)size,
	       "cannot write the snapshot");
	demand(!ftruncate(world.other, 0) &&
	       pwrite(world.other, beside_bytes, sizeof(beside_bytes), 0) == sizeof(beside_bytes),
	       "cannot write the file beside it");
}

static void check(const uint8_t *snapshot, size_t size, const uint8_t *journal, size_t n)
{
	static uint8_t window[WINDOW], other[WINDOW];
	uint64_t sizes[2] = { size, sizeof(beside_bytes) };
	struct error e = { 0 };
	struct part parts[2];
	unsigned count;
	bool good;
	int err;

	memset(window, 0, WINDOW);
	memcpy(window, snapshot, size);
	memset(other, 0, WINDOW);
	memcpy(other, beside_bytes, sizeof(beside_bytes));
	write_files(snapshot, size, journal, n);
	good = is_good(journal, n, size, parts, &count);
	err = journal_undo(&world.beside, world.snapshot, &e);
	if (good) {
		demand(!err, "a good journal is refused: %s", e.text);
		demand(!journal_exists(&world.beside), "the journal is still there");
		model_undo(journal, &parts[0], window);
		sizes[0] = le_get(journal + 32, 8);
		if (count == 2) {
			model_undo(journal, &parts[1], other);
			sizes[1] = le_get(journal + HEADER + 32, 8);
		}
	} else {
		demand_told(err, &e);
		demand(journal_exists(&world.beside), "refused, and removed");
	}
	check_file("the snapshot", world.snapshot, sizes[0], window);
	check_file("beside it", world.other, sizes[1], other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned flags = (unsigned)input_uint(&in, 1);
	size_t snapshot_size = input_uint(&in, 2) % (WINDOW / 2);
	const uint8_t *snapshot;
	uint8_t *journal;

	if (!world.snapshot)
		set_up();
	snapshot = input_bytes(&in, snapshot_size, &snapshot_size);
	journal = fuzz_copy(in.at, in.left);
	put_right(flags, journal, in.left, snapshot_size);
	check(snapshot, snapshot_size, journal, in.left);
	free(journal);
	return 0;
}
