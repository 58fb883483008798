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
};

enum { HEADER = 64, WINDOW = 1 << 16 };

static struct {
	struct beside beside;
	char journal[NAME_MAX + 1];
	int snapshot;
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

/* Bytes 12 to 31 of a journal of the snapshot. */
static void identity(uint8_t *to)
{
	struct statx st;

	demand(!statx(world.snapshot, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st), "statx");
	le_put(to, 4, st.stx_mask & STATX_BTIME ? st.stx_btime.tv_nsec : 0);
	le_put(to + 4, 8, st.stx_mask & STATX_BTIME ? (uint64_t)st.stx_btime.tv_sec : 0);
	le_put(to + 12, 8, st.stx_ino);
}

static void put_right(unsigned flags, uint8_t *journal, size_t n, uint64_t size)
{
	if (n < HEADER + 4)
		return;
	if (flags & RIGHT_MAGIC)
		memcpy(journal, "SMFSUNDO\1\0\0\0", 12);
	if (flags & RIGHT_IDENTITY)
		identity(journal + 12);
	if (flags & RIGHT_SIZES) {
		le_put(journal + (journal[32] & 1 ? 32 : 40), 8, size);
		memset(journal + 56, 0, 8);
	}
	if (flags & RIGHT_CHECKSUM)
		le_put(journal + n - 4, 4, crc32c(journal, n - 4));
}

/* Whether all ranges of the journal lie in it, and in the old file. */
static bool has_good_ranges(const uint8_t *journal, size_t n, uint64_t old_size)
{
	size_t at = HEADER;

	while (at + 16 <= n - 4) {
		u128 offset = le_get(journal + at, 8), size = le_get(journal + at + 8, 8);

		at += 16;
		if (offset + size > old_size || at + size > n - 4)
			return false;
		at += (size_t)size;
	}
	return at == n - 4;
}

/* Whether the journal is to be carried out on a snapshot of SIZE bytes. */
static bool is_good(const uint8_t *journal, size_t n, uint64_t size)
{
	uint64_t old, new, inserted;
	uint8_t mine[20];

	if (n < HEADER + 4 || memcmp(journal, "SMFSUNDO\1\0\0\0", 12) != 0 ||
	    le_get(journal + n - 4, 4) != crc32c(journal, n - 4))
		return false;
	identity(mine);
	old = le_get(journal + 32, 8);
	new = le_get(journal + 40, 8);
	inserted = le_get(journal + 56, 8);
	if (memcmp(journal + 12, mine, sizeof(mine)) != 0 || old > INT64_MAX)
		return false;
	/* What is inserted can't be taken out again in memory. */
	if (inserted)
		return size == old && new == old + inserted && has_good_ranges(journal, n, old);
	return size >= (old < new ? old : new) && size <= (old < new ? new : old) &&
	       has_good_ranges(journal, n, old);
}

/* The first WINDOW bytes of the file after the journal. */
static void model_undo(const uint8_t *journal, size_t n, uint8_t *window)
{
	uint64_t old_size = le_get(journal + 32, 8), i;
	size_t at = HEADER;

	while (at < n - 4) {
		uint64_t offset = le_get(journal + at, 8), size = le_get(journal + at + 8, 8);

		for (i = 0, at += 16; i < size; i++, at++)
			if (offset + i < WINDOW)
				window[offset + i] = journal[at];
	}
	if (old_size < WINDOW)
		memset(window + old_size, 0, WINDOW - old_size);
}

static void check_snapshot(const char *when, uint64_t size, const uint8_t *window)
{
	static uint8_t now[WINDOW];
	struct stat st;
	ssize_t n;

	demand(!fstat(world.snapshot, &st) && (uint64_t)st.st_size == size,
	       "%s: %llu bytes, not %llu", when, (unsigned long long)st.st_size,
	       (unsigned long long)size);
	n = pread(world.snapshot, now, WINDOW, 0);
	demand(n == (size < WINDOW ? (ssize_t)size : WINDOW), "%s: read %zd bytes", when, n);
	demand(memcmp(now, window, (size_t)n) == 0, "%s: other bytes", when);
}

static void write_files(const uint8_t *snapshot, size_t size, const uint8_t *journal, size_t n)
{
	fuzz_write_file(world.journal, journal, n);
	demand(!ftruncate(world.snapshot, 0) &&
	       pwrite(world.snapshot, snapshot, size, 0) == (ssize_t)size,
	       "cannot write the snapshot");
}

static void check(const uint8_t *snapshot, size_t size, const uint8_t *journal, size_t n)
{
	static uint8_t window[WINDOW];
	struct error e = { 0 };
	int err;

	memset(window, 0, WINDOW);
	memcpy(window, snapshot, size);
	write_files(snapshot, size, journal, n);
	err = journal_undo(&world.beside, world.snapshot, &e);
	if (is_good(journal, n, size)) {
		demand(!err, "a good journal is refused: %s", e.text);
		demand(!journal_exists(&world.beside), "the journal is still there");
		model_undo(journal, n, window);
		check_snapshot("undone", le_get(journal + 32, 8), window);
	} else {
		demand_told(err, &e);
		demand(journal_exists(&world.beside), "refused, and removed");
		check_snapshot("refused", size, window);
	}
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
