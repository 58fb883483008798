/* SPDX-License-Identifier: MIT */
/*
 * What the guest's RAM is before anything is written to it: a region of a file, which is
 * mapped; or for a differential snapshot its base's region, if that is to be had, with the
 * listed pages over it.  Functions that read may run side by side; the others need the source
 * for themselves.  Offsets are the RAM's, in bytes.
 */
#ifndef SMFS_RAM_SOURCE_H
#define SMFS_RAM_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base.h"
#include "page_list.h"

struct ram_source;

/*
 * SIZE bytes (not 0) at OFFSET of FD, a file of FILE_LEN bytes that the caller may close;
 * the region is checked as cow_map_ram checks it.
 */
int source_open(int fd, uint64_t offset, uint64_t size, uint64_t file_len,
		struct ram_source **out, struct error *e);

/*
 * SIZE bytes (not 0) that are BASE's, with the pages of LIST, which may be null, over them.
 * Both become the source's where this succeeds.  BASE's descriptor may be -1: then there is
 * none, and what is not listed can't be read, nor once somebody has changed the base.
 */
int source_open_diff(struct diff_base *base, struct page_list *list, uint64_t size,
		     struct ram_source **out, struct error *e);

/* A file that is wholly ours, as source_open takes it, and that others write: FD becomes the source's. */
int source_open_shared(int fd, uint64_t size, struct ram_source **out, struct error *e);

void source_close(struct ram_source *s);

/* The listed pages, or null if it is no diff. */
struct page_list *source_list(const struct ram_source *s);

/* List the pages of LIST, which becomes the source's, from now on; returns what it had, for the caller to close. */
struct page_list *source_relist(struct ram_source *s, struct page_list *list);

/* The base alone, a source of its own; null in *OUT where S has none. */
int source_open_base(const struct ram_source *s, struct ram_source **out, struct error *e);

/* The path of the base, or null if there is none. */
const char *source_base_path(const struct ram_source *s);

/* Whether BASE is of the file that S, a diff's, has its base in. */
bool source_is_base(const struct ram_source *s, const struct ram_source *base);

/* FN is called, once, when the base turns out to have changed; by whoever reads then. */
void source_watch(struct ram_source *s, void (*fn)(void *ctx, const char *base), void *ctx);

/*
 * What of the snapshot's file was mapped is now at OFFSET of FD, a file of FILE_LEN bytes: the
 * region, or the listed pages.  On failure all stays as it was.
 */
int source_move(struct ram_source *s, int fd, uint64_t offset, uint64_t file_len,
		struct error *e);

/* What of the snapshot's file was mapped is not to be had any more, until source_move. */
void source_lose(struct ram_source *s);

/* Whether S can't be read now, all of it or a part. */
bool source_is_lost(const struct ram_source *s);

/*
 * Copy N bytes at OFFSET to TO, and make *COPIED, which starts as 0, as great as the end of what
 * came from the region.  They may be looked at only once source_holds says so.  False if they
 * are not there.
 */
bool source_copy(const struct ram_source *s, void *to, size_t n, uint64_t offset, uint64_t *copied);

/* Whether the region still had what was copied, as COPIED tells, while it was. */
bool source_holds(struct ram_source *s, uint64_t copied);


/*
 * The mapping of all of RAM, if it may be shown: where what is past a cut of the file is
 * gone before the rest of the page that it is cut in is zeros.  Else null, and bytes are to be
 * copied and asked for.
 */
const uint8_t *source_shown(const struct ram_source *s);

/* Bytes that the files store for RAM, without holes. */
uint64_t source_stored(const struct ram_source *s);

/*
 * Where the next data (WHENCE SEEK_DATA) or hole (SEEK_HOLE) from OFFSET on is; RAM's
 * size where there is no more.  What the files have lost is data and no hole.
 */
uint64_t source_seek(const struct ram_source *s, uint64_t offset, int whence);

/*
 * Make FD, an empty file, a clone of RAM: it shares the extents of the region's file.
 * -EOPNOTSUPP where that can't be done, or a list is too long for it.
 */
int source_clone(struct ram_source *s, int fd);

#endif
