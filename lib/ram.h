/* SPDX-License-Identifier: MIT */
/*
 * The guest's RAM, copy-on-write: pages that were written live in memory of
 * our own, all others are its source's (ram_source.h), which is never written here.  Or all of it is a private file that shares the snapshot's
 * extents (ram_clone), and the filesystem does the copying.  Functions may run
 * side by side but where they say otherwise.
 */
#ifndef SMFS_RAM_H
#define SMFS_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include "ram_source.h"

enum { RAM_PAGE = 4096 };

struct ram;

/*
 * RAM of SIZE bytes (not 0) at OFFSET of FD, a file of FILE_LEN bytes that the
 * caller may close; the region is checked as cow_map_ram checks it.
 */
int ram_open(int fd, uint64_t offset, uint64_t size, uint64_t file_len, struct ram **out,
	     struct error *e);

/* The same of what SOURCE has, SIZE bytes; it becomes the RAM's, or is closed on failure. */
int ram_open_over(struct ram_source *source, uint64_t size, struct ram **out, struct error *e);

/* Nothing else may run.  R may be null. */
void ram_close(struct ram *r);

/*
 * Let FD, an empty file that nobody else has, be the RAM from now on: a clone of
 * the region, with RAM at offset 0.  FD becomes R's, and others may be given it to
 * read, write and map: what they write is RAM.  Nothing may have been written yet.
 * On failure, -EOPNOTSUPP where the filesystem has no clones, all stays as it was
 * and FD is the caller's.
 */
int ram_clone(struct ram *r, int fd, struct error *e);

/* The clone, or -1 if there is none. */
int ram_clone_fd(const struct ram *r);

/*
 * -EPERM if somebody wrote past the end of the clone, which has its size again then;
 * else 0.
 */
int ram_keep_size(struct ram *r);

/*
 * Make writes wait, from when those under way have ended.  Those that go to a
 * clone directly don't wait: what of them is saved is the clone of a moment.
 */
void ram_hold_writes(struct ram *r);
void ram_resume_writes(struct ram *r);

/* Make all that needs the file wait. */
void ram_hold(struct ram *r);
void ram_resume(struct ram *r);

/*
 * The snapshot's bytes are not what they were: what of RAM is there and was not written
 * here can't be read, with -EIO, until ram_rebase.  While all is held.
 */
void ram_lose(struct ram *r);

/*
 * The same bytes are now at OFFSET of FD, a file of FILE_LEN bytes.  Between
 * ram_hold and ram_resume.  On failure all stays as it was.
 */
int ram_rebase(struct ram *r, int fd, uint64_t offset, uint64_t file_len, struct error *e);

/*
 * What a diff's RAM is made of, also where it has been cloned; null if it is no diff's.  It is
 * to be changed only while all is held.
 */
struct ram_source *ram_diff(const struct ram *r);

uint64_t ram_size(const struct ram *r);

/*
 * Read N bytes at OFFSET, which must lie in the RAM, into TO: 0, or -EIO if the
 * file does not have them any more.
 */
int ram_read(struct ram *r, void *to, size_t n, uint64_t offset);

/*
 * As ram_read, COUNT times, at OFFSET and at each RAM_PAGE after it, one behind the other into TO:
 * who looks at the start of each page of much memory need not read it all.
 */
int ram_read_heads(struct ram *r, void *to, size_t n, uint64_t offset, unsigned count);

/*
 * Call FN with pieces of memory that hold the N bytes at OFFSET, in order, and
 * stay valid while it runs.  There are at most N / RAM_PAGE + 3, some may be empty.
 * A system call that copies from them, in order, may fail with EFAULT where ram_read
 * would have failed with -EIO; nothing else may touch them.  0, or -ENOMEM or -EIO, and
 * then FN was not called.
 */
typedef void ram_viewer(void *ctx, struct iovec *pieces, int count);
int ram_view(struct ram *r, size_t n, uint64_t offset, ram_viewer *fn, void *ctx);

/*
 * Pages may be written until they take BYTES in all.  From the start: all may.  A
 * clone has no limit but its filesystem's.
 */
void ram_set_limit(struct ram *r, uint64_t bytes);

/* Write likewise: 0, -EIO, or -ENOSPC past the limit. */
int ram_write(struct ram *r, const void *from, size_t n, uint64_t offset);

/*
 * The first run of written pages at or after *OFFSET: its start in *OFFSET and
 * its size in *SIZE, in bytes.  False if there is none.  A clone does not tell
 * what was written to it, only whether anything was: then that is all.
 */
bool ram_next_written(struct ram *r, uint64_t *offset, uint64_t *size);

/*
 * Likewise the first run of pages that a diff lists or that were written.  R is a diff's, and
 * not cloned.
 */
bool ram_next_changed(struct ram *r, uint64_t *offset, uint64_t *size);

/*
 * Make the RAM's bytes those of FD at OFFSET by sharing the clone's extents.
 * -EOPNOTSUPP if there is no clone or that can't be done; nothing has changed then.
 */
int ram_clone_to(struct ram *r, int fd, uint64_t offset);

/* Forget what was written: the file has those bytes now.  While all is held. */
void ram_clean(struct ram *r);

/* When RAM was last written: false if it never was. */
bool ram_mtime(struct ram *r, struct timespec *when);

/*
 * Bytes that the file stores for the RAM, without holes, plus those written here.  Here
 * and in ram_seek, what the file has lost is data and no hole.
 */
uint64_t ram_stored(struct ram *r);

/* lseek(2) with SEEK_DATA or SEEK_HOLE: an offset, or -ENXIO past the end. */
int64_t ram_seek(struct ram *r, uint64_t offset, int whence);

#endif
