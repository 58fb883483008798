/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "le.h"
#include "save.h"

/*
 * The header's fields, by offset; then ranges (offset, size, bytes); then a u32 checksum.  Of a
 * file beside the snapshot there is another header before the ranges, and its ranges are last.
 */
enum {
	AT_MAGIC = 0, /* of the other: the file's suffix */
	AT_VERSION = 8,      /* u32 */
	AT_BIRTH_NSEC = 12,  /* u32 */
	AT_BIRTH_SEC = 16,   /* u64; both 0 where the file system does not tell */
	AT_INODE = 24,       /* u64 */
	AT_OLD_SIZE = 32,    /* u64 */
	AT_NEW_SIZE = 40,    /* u64 */
	AT_INSERT_OFFSET = 48, /* u64; of the other: where its ranges are in the journal */
	AT_INSERT_SIZE = 56, /* u64 */
	HEADER_SIZE = 64,
	RANGE_SIZE = 16,
	CHECKSUM_SIZE = 4,
};

static const uint8_t MAGIC[8] = "SMFSUNDO";
enum { MAGIC_SIZE = sizeof(MAGIC) };
static_assert(sizeof(JOURNAL_BESIDE_SUFFIX) - 1 == MAGIC_SIZE, "it stands where the magic is");

/* The second version has a file beside the snapshot. */
enum { JOURNAL_ALONE = 1, JOURNAL_WITH_BESIDE = 2, CHUNK = 1 << 16, BLOCK = 4096 };

/* CRC-32C, the polynomial 0x1edc6f41 reflected. */
static uint32_t checksum(uint32_t crc, const uint8_t *p, size_t n)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	crc = ~crc;
	for (; n > 0; p++, n--) {
		crc = crc >> 4 ^ nibble[(crc ^ *p) & 15];
		crc = crc >> 4 ^ nibble[(crc ^ *p >> 4) & 15];
	}
	return ~crc;
}

/* What tells FD's file from all others that may get its name. */
static int put_identity(int fd, uint8_t header[HEADER_SIZE])
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
		return -errno;
	le_put(header + AT_INODE, 8, st.stx_ino);
	if (st.stx_mask & STATX_BTIME) {
		le_put(header + AT_BIRTH_SEC, 8, (uint64_t)st.stx_btime.tv_sec);
		le_put(header + AT_BIRTH_NSEC, 4, st.stx_btime.tv_nsec);
	}
	return 0;
}

bool journal_exists(const struct beside *b)
{
	char name[NAME_MAX + 1];
	struct stat st;

	return !beside_name(b, JOURNAL_SUFFIX, name, NULL) &&
	       (fstatat(b->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT);
}

/*
 * Writing
 */

struct writer {
	int fd;
	uint64_t at;
	uint32_t crc;
};

static int add(struct writer *w, const uint8_t *p, size_t n)
{
	int err = io_write(w->fd, p, n, w->at);

	w->crc = checksum(w->crc, p, n);
	w->at += n;
	return err;
}

static int add_range(struct writer *w, int fd, struct journal_range range)
{
	uint8_t head[RANGE_SIZE];
	uint8_t *chunk;
	int err;

	le_put(head, 8, range.offset);
	le_put(head + 8, 8, range.size);
	err = add(w, head, sizeof(head));
	chunk = malloc(CHUNK);
	if (!chunk)
		return -ENOMEM;
	while (!err && range.size > 0) {
		size_t take = range.size < CHUNK ? range.size : CHUNK;

		err = io_read(fd, chunk, take, range.offset);
		if (!err)
			err = add(w, chunk, take);
		range.offset += take;
		range.size -= take;
	}
	free(chunk);
	return err;
}

/* The header of the snapshot FD, with BESIDE or without. */
static int add_header(struct writer *w, int fd, const struct journal_plan *plan)
{
	uint8_t header[HEADER_SIZE] = { 0 };
	int err = put_identity(fd, header);

	memcpy(header + AT_MAGIC, MAGIC, MAGIC_SIZE);
	le_put(header + AT_VERSION, 4, plan->beside ? JOURNAL_WITH_BESIDE : JOURNAL_ALONE);
	le_put(header + AT_OLD_SIZE, 8, plan->old_size);
	le_put(header + AT_NEW_SIZE, 8, plan->new_size);
	le_put(header + AT_INSERT_OFFSET, 8, plan->insert_offset);
	le_put(header + AT_INSERT_SIZE, 8, plan->insert_size);
	return err ? err : add(w, header, sizeof(header));
}

/* That of the file beside it, whose ranges come after those of PLAN. */
static int add_beside_header(struct writer *w, const struct journal_plan *plan)
{
	const struct journal_beside *b = plan->beside;
	uint8_t header[HEADER_SIZE] = { 0 };
	uint64_t ranges_at = w->at + HEADER_SIZE;
	int err = put_identity(b->fd, header);
	size_t i;

	for (i = 0; i < plan->range_count; i++)
		ranges_at += RANGE_SIZE + plan->ranges[i].size;
	memcpy(header + AT_MAGIC, b->suffix, MAGIC_SIZE);
	le_put(header + AT_OLD_SIZE, 8, b->old_size);
	le_put(header + AT_NEW_SIZE, 8, b->new_size);
	le_put(header + AT_INSERT_OFFSET, 8, ranges_at);
	return err ? err : add(w, header, sizeof(header));
}

static int write_all(int journal, int fd, const struct journal_plan *plan)
{
	const struct journal_beside *b = plan->beside;
	struct writer w = { .fd = journal };
	uint8_t sum[CHECKSUM_SIZE];
	size_t i;
	int err = add_header(&w, fd, plan);

	if (!err && b)
		err = add_beside_header(&w, plan);
	for (i = 0; i < plan->range_count && !err; i++)
		err = add_range(&w, fd, plan->ranges[i]);
	if (!err && b && b->offset < b->old_size)
		err = add_range(&w, b->fd, (struct journal_range){ b->offset, b->old_size - b->offset });
	le_put(sum, sizeof(sum), w.crc);
	if (!err)
		err = io_write(journal, sum, sizeof(sum), w.at);
	return err ? err : io_sync(journal);
}

/* The journal's name, and the one that files of ours have while they have no meaning. */
static int names(const struct beside *b, char name[NAME_MAX + 1], char spare[NAME_MAX + 1],
		 struct error *e)
{
	int err = beside_name(b, JOURNAL_SUFFIX, name, e);

	return err ? err : beside_name(b, SAVE_NEW_SUFFIX, spare, e);
}

int journal_write(const struct beside *b, int fd, const struct journal_plan *plan,
		  struct error *e)
{
	char name[NAME_MAX + 1], spare[NAME_MAX + 1];
	int journal, err;

	err = names(b, name, spare, e);
	if (err)
		return err;
	journal = beside_create(b, spare, e);
	if (journal < 0)
		return journal;
	err = write_all(journal, fd, plan);
	close(journal);
	/* Whole before it has its name, and named before anything it undoes is done. */
	if (!err && renameat(b->folder, spare, b->folder, name) < 0)
		err = -errno;
	if (err) {
		unlinkat(b->folder, spare, 0);
	} else {
		err = io_sync(b->folder);
		if (err)
			unlinkat(b->folder, name, 0);
	}
	return err ? error_set(e, -err, "cannot write %s beside the snapshot: %s", name,
			       strerror(-err))
		   : 0;
}

int journal_commit(const struct beside *b, struct error *e)
{
	char name[NAME_MAX + 1], spare[NAME_MAX + 1];
	int err = names(b, name, spare, e);

	if (err)
		return err;
	/* Not removed yet: it can have its name back if the folder can't be made durable. */
	if (renameat(b->folder, name, b->folder, spare) < 0)
		return error_set(e, errno, "cannot take away %s: %s", name, strerror(errno));
	err = io_sync(b->folder);
	if (err)
		return error_set(e, -err, "cannot take away %s: %s", name, strerror(-err));
	unlinkat(b->folder, spare, 0);
	return 0;
}

int journal_rename_back(const struct beside *b, struct error *e)
{
	char name[NAME_MAX + 1], spare[NAME_MAX + 1];
	int err = names(b, name, spare, e);

	if (err || journal_exists(b))
		return err;
	if (renameat(b->folder, spare, b->folder, name) < 0)
		return error_set(e, errno, "cannot undo a save: %s: %s", name, strerror(errno));
	return 0;
}

/*
 * Undoing
 */

/* A file that is to be as it was. */
struct part {
	int fd; /* open to read and write */
	uint64_t size;
	uint8_t header[HEADER_SIZE];
	uint64_t start, end; /* of its ranges in the journal */
};

struct reader {
	int fd;
	uint64_t size; /* without the checksum */
	struct stat st;
	struct part snapshot;
	struct part beside; /* FD -1: there is none */
};

/* That the journal is whole. */
static int verify(struct reader *r, struct error *e)
{
	uint8_t *chunk = malloc(CHUNK);
	uint64_t at = 0;
	uint32_t crc = 0;
	int err = chunk ? 0 : -ENOMEM;

	while (!err && at < r->size) {
		size_t take = r->size - at < CHUNK ? r->size - at : CHUNK;

		err = io_read(r->fd, chunk, take, at);
		if (!err)
			crc = checksum(crc, chunk, take);
		at += take;
	}
	if (!err)
		err = io_read(r->fd, chunk, CHECKSUM_SIZE, r->size);
	if (err)
		error_set(e, -err, "%s", strerror(-err));
	else if (le_get(chunk, CHECKSUM_SIZE) != crc)
		err = error_set(e, EBADMSG, "is damaged");
	free(chunk);
	return err;
}

/* That the journal is of the file of P, whatever a save had done to it. */
static int check_owner(const struct part *p, struct error *e)
{
	uint8_t mine[HEADER_SIZE] = { 0 };
	uint64_t old_size = le_get(p->header + AT_OLD_SIZE, 8);
	uint64_t new_size = le_get(p->header + AT_NEW_SIZE, 8);
	uint64_t inserted = le_get(p->header + AT_INSERT_SIZE, 8);
	uint64_t low = old_size < new_size ? old_size : new_size;
	uint64_t high = old_size < new_size ? new_size : old_size;
	int err = put_identity(p->fd, mine);

	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	if (old_size > INT64_MAX || (inserted && (new_size < old_size || new_size - old_size != inserted)))
		return error_set(e, EBADMSG, "has sizes that can't be");
	if (memcmp(mine + AT_BIRTH_NSEC, p->header + AT_BIRTH_NSEC, AT_OLD_SIZE - AT_BIRTH_NSEC) ||
	    p->size < low || p->size > high || (inserted && p->size != low && p->size != high))
		return error_set(e, EBADMSG,
				 "belongs to another file; remove it if this snapshot is the right one");
	return 0;
}

/*
 * Whether the file JOURNAL can only be of somebody who may change SNAPSHOT anyway: in a
 * folder that others can write to, they could have it changed for them.
 */
static bool is_trusted(const struct stat *journal, const struct stat *snapshot)
{
	return (journal->st_uid == geteuid() || journal->st_uid == 0 ||
		journal->st_uid == snapshot->st_uid) &&
	       !(journal->st_mode & ~snapshot->st_mode & (S_IWGRP | S_IWOTH));
}

static int refuse_owner(struct error *e)
{
	return error_set(e, EBADMSG, "may be somebody else's; chown and chmod it if it is not, else remove it");
}

/* The headers, and with them where the ranges are. */
static int read_headers(struct reader *r, struct error *e)
{
	int err = io_read(r->fd, r->snapshot.header, HEADER_SIZE, 0);
	uint64_t version = le_get(r->snapshot.header + AT_VERSION, 4), split;

	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	if (memcmp(r->snapshot.header + AT_MAGIC, MAGIC, MAGIC_SIZE) != 0 ||
	    (version != JOURNAL_ALONE && version != JOURNAL_WITH_BESIDE))
		return error_set(e, EBADMSG, "is not a journal that this version knows");
	r->snapshot.start = HEADER_SIZE;
	r->snapshot.end = r->size;
	if (version == JOURNAL_ALONE)
		return 0;
	if (r->size < 2 * HEADER_SIZE || io_read(r->fd, r->beside.header, HEADER_SIZE, HEADER_SIZE))
		return error_set(e, EBADMSG, "is damaged");
	split = le_get(r->beside.header + AT_INSERT_OFFSET, 8);
	if (memcmp(r->beside.header + AT_MAGIC, JOURNAL_BESIDE_SUFFIX, MAGIC_SIZE) != 0 ||
	    le_get(r->beside.header + AT_INSERT_SIZE, 8) || split < 2 * HEADER_SIZE || split > r->size)
		return error_set(e, EBADMSG, "is not a journal that this version knows");
	r->snapshot.start = 2 * HEADER_SIZE;
	r->snapshot.end = r->beside.start = split;
	r->beside.end = r->size;
	return 0;
}

static int open_journal(struct reader *r, const struct beside *b, const char *name,
			const struct stat *snapshot, struct error *e)
{
	int err;

	r->fd = openat(b->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (r->fd < 0 || fstat(r->fd, &r->st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (!S_ISREG(r->st.st_mode) || r->st.st_size < HEADER_SIZE + CHECKSUM_SIZE)
		return error_set(e, EBADMSG, "is damaged");
	if (!is_trusted(&r->st, snapshot))
		return refuse_owner(e);
	r->size = (uint64_t)r->st.st_size - CHECKSUM_SIZE;
	err = read_headers(r, e);
	return err ? err : verify(r, e);
}

/* Open the file beside the snapshot, if the journal is of one, which it must be right for too. */
static int open_beside(struct reader *r, const struct beside *b, struct error *e)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int err;

	if (!r->beside.start)
		return 0;
	err = beside_name(b, JOURNAL_BESIDE_SUFFIX, name, e);
	if (err)
		return err;
	r->beside.fd = openat(b->folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (r->beside.fd < 0 || fstat(r->beside.fd, &st) < 0)
		return error_set(e, errno, "is of %s too, which cannot be written: %s", name, strerror(errno));
	r->beside.size = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode))
		return error_set(e, EBADMSG, "is of %s too, which is not a regular file", name);
	/* It may be a link to what whoever made the journal may not write to. */
	if (!is_trusted(&r->st, &st))
		return refuse_owner(e);
	err = check_owner(&r->beside, e);
	return err ? error_prefix(e, -err, "of %s", name) : 0;
}

/*
 * Write N bytes to OFFSET, but for blocks that have them: where there is no space, what was a
 * hole and was not written to must take none.
 */
static int write_changed(int fd, const uint8_t *bytes, size_t n, uint64_t offset)
{
	uint8_t now[BLOCK];
	size_t done, take;
	int err = 0;

	for (done = 0; !err && done < n; done += take) {
		take = BLOCK - (offset + done) % BLOCK;
		if (take > n - done)
			take = n - done;
		if (io_read(fd, now, take, offset + done) || memcmp(now, bytes + done, take) != 0)
			err = io_write(fd, bytes + done, take, offset + done);
	}
	return err;
}

static int put_back(const struct reader *r, int fd, uint64_t at, uint64_t offset, uint64_t size,
		    uint8_t *chunk)
{
	int err = 0;

	while (!err && size > 0) {
		size_t take = size < CHUNK ? size : CHUNK;

		err = io_read(r->fd, chunk, take, at);
		if (!err)
			err = io_write(fd, chunk, take, offset);
		if (err == -ENOSPC || err == -EDQUOT)
			err = write_changed(fd, chunk, take, offset);
		at += take;
		offset += take;
		size -= take;
	}
	return err;
}

/* The range of P at *AT of the journal; its bytes are at *AT then. */
static int read_range(const struct reader *r, const struct part *p, uint64_t *at,
		      struct journal_range *range)
{
	uint64_t old_size = le_get(p->header + AT_OLD_SIZE, 8);
	uint8_t head[RANGE_SIZE];
	int err;

	if (p->end - *at < RANGE_SIZE)
		return -EBADMSG;
	err = io_read(r->fd, head, RANGE_SIZE, *at);
	if (err)
		return err;
	*at += RANGE_SIZE;
	*range = (struct journal_range){ le_get(head, 8), le_get(head + 8, 8) };
	if (range->size > p->end - *at || range->offset > old_size ||
	    range->size > old_size - range->offset)
		return -EBADMSG;
	return 0;
}

/* That all ranges lie in the journal and in the old file, before the first is put back. */
static int check_ranges(const struct reader *r, const struct part *p, struct error *e)
{
	struct journal_range range;
	uint64_t at = p->start;
	int err;

	for (; at < p->end; at += range.size) {
		err = read_range(r, p, &at, &range);
		if (err)
			return error_set(e, -err, "has wrong ranges: %s", strerror(-err));
	}
	return 0;
}

static int put_all_back(const struct reader *r, const struct part *p)
{
	struct journal_range range;
	uint64_t at = p->start;
	uint8_t *chunk = malloc(CHUNK);
	int err = chunk ? 0 : -ENOMEM;

	while (!err && at < p->end) {
		err = read_range(r, p, &at, &range);
		if (!err) {
			err = put_back(r, p->fd, at, range.offset, range.size, chunk);
			at += range.size;
		}
	}
	free(chunk);
	return err;
}

static int collapse(int fd, uint64_t offset, uint64_t size)
{
	while (fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, (off_t)offset, (off_t)size) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int undo(const struct reader *r, const struct part *p)
{
	uint64_t old_size = le_get(p->header + AT_OLD_SIZE, 8);
	uint64_t inserted = le_get(p->header + AT_INSERT_SIZE, 8);
	struct stat st;
	int err = 0;

	if (inserted && p->size == old_size + inserted) {
		err = collapse(p->fd, le_get(p->header + AT_INSERT_OFFSET, 8), inserted);
		/* Offsets from here on are those of the file without the range. */
		if (!err)
			err = io_sync(p->fd);
	}
	if (!err)
		err = put_all_back(r, p);
	if (!err)
		err = io_truncate(p->fd, old_size);
	/* Some files have a size that cannot be set: a block device's, through FUSE. */
	if (err == -ENOSYS && fstat(p->fd, &st) == 0 && (uint64_t)st.st_size == old_size)
		err = 0;
	return err ? err : io_sync(p->fd);
}

/* Nothing is written before all of the journal is known to be right. */
static int check_and_undo(struct reader *r, const struct beside *b, struct error *e)
{
	int err = check_owner(&r->snapshot, e);

	if (!err)
		err = open_beside(r, b, e);
	if (!err)
		err = check_ranges(r, &r->snapshot, e);
	if (!err && r->beside.fd >= 0)
		err = check_ranges(r, &r->beside, e);
	if (err)
		return err;
	err = undo(r, &r->snapshot);
	if (!err && r->beside.fd >= 0)
		err = undo(r, &r->beside);
	return err ? error_set(e, -err, "cannot put back what it holds: %s%s", strerror(-err),
			       err == -ENOSPC ? "; make room and open it again" : "")
		   : 0;
}

int journal_undo(const struct beside *b, int fd, struct error *e)
{
	char name[NAME_MAX + 1];
	struct reader r = { .fd = -1, .snapshot.fd = fd, .beside.fd = -1 };
	struct stat st;
	int err = beside_name(b, JOURNAL_SUFFIX, name, e);

	if (err)
		return err;
	if (fstat(fd, &st) < 0)
		err = error_set(e, errno, "%s", strerror(errno));
	r.snapshot.size = err ? 0 : (uint64_t)st.st_size;
	if (!err)
		err = open_journal(&r, b, name, &st, e);
	if (!err)
		err = check_and_undo(&r, b, e);
	if (r.beside.fd >= 0)
		close(r.beside.fd);
	if (r.fd >= 0)
		close(r.fd);
	if (err)
		return error_prefix(e, -err, "%s", name);
	/* Durably: it must not come back once another program has changed the snapshot. */
	if (unlinkat(b->folder, name, 0) < 0)
		return error_set(e, errno, "cannot remove %s: %s", name, strerror(errno));
	err = io_sync(b->folder);
	return err ? error_set(e, -err, "cannot remove %s: %s", name, strerror(-err)) : 0;
}
