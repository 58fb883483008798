/* SPDX-License-Identifier: MIT */
/*
 * The undo journal of a save in place: what the snapshot was before, and a file beside it that
 * is saved with it (docs/saving.md, "The undo journal").
 *
 * A journal that has its name is whole, and as long as it has it the snapshot's
 * bytes may be old, new or both; with the journal undone they are the old ones.
 */
#ifndef SMFS_JOURNAL_H
#define SMFS_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "beside.h"

#define JOURNAL_SUFFIX ".smfs-undo"

/* Bytes of the snapshot as it is, by offset, that will be written over. */
struct journal_range {
	uint64_t offset;
	uint64_t size;
};

/* A file beside the snapshot that will be written over from the byte at OFFSET on. */
struct journal_beside {
	const char *suffix; /* its name is the snapshot's and this: JOURNAL_BESIDE_SUFFIX */
	int fd;             /* open to read */
	uint64_t old_size;
	uint64_t new_size;
	uint64_t offset;
};

/* The only one that there is. */
#define JOURNAL_BESIDE_SUFFIX ".posixfs"

struct journal_plan {
	uint64_t old_size; /* of the file */
	uint64_t new_size;
	uint64_t insert_offset; /* where a range is to be inserted */
	uint64_t insert_size;   /* 0: none is */
	const struct journal_range *ranges;
	size_t range_count;
	const struct journal_beside *beside; /* or null */
};

/* Whether there is a journal beside the snapshot, or that can't be told. */
bool journal_exists(const struct beside *b);

/*
 * Write the journal of PLAN for the snapshot open as FD, durably, under its
 * name.  On failure there is none.
 */
int journal_write(const struct beside *b, int fd, const struct journal_plan *plan,
		  struct error *e);

/*
 * The snapshot is as it is to be, durably: take away the journal, durably.  On
 * failure its save is to be undone, once the journal has its name: see
 * journal_rename_back.
 */
int journal_commit(const struct beside *b, struct error *e);

/*
 * Give the journal its name again if a journal_commit that failed has taken it.
 * 0, also if it has it, -ENOENT if there is none, or another negative errno.
 */
int journal_rename_back(const struct beside *b, struct error *e);

/*
 * Undo the save that left its journal for the snapshot open to read and write as
 * FD, and for the file beside it that was to be saved too, and remove the journal.  It can be stopped at any point, and done again.
 * -EBADMSG for a journal that is damaged, is not this file's, or may have been made
 * by somebody who may not write the snapshot; then nothing is changed.
 */
int journal_undo(const struct beside *b, int fd, struct error *e);

#endif
