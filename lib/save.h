/* SPDX-License-Identifier: MIT */
/*
 * Writing an edited container into a snapshot file, all or nothing
 * (docs/saving.md).
 */
#ifndef SMFS_SAVE_H
#define SMFS_SAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "buffer.h"
#include "error.h"
#include "ram.h"

/* Where things are in a snapshot file, in bytes. */
struct layout {
	uint64_t container_offset;
	uint64_t container_size;
	uint64_t tail_offset; /* of what comes after the container and its
	                         padding: RAM, or bytes that are not ours; the
	                         file's end if there is nothing */
	uint64_t file_size;
};

/* What tells a file from another, and from itself after a change. */
struct identity {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	struct timespec mtime;
};

int identity_get(int fd, struct identity *id);
bool identity_equal(const struct identity *a, const struct identity *b);

struct save {
	const char *path;  /* to be replaced or made; no symbolic link */
	int fd;            /* the file that has the old bytes, open to read */
	bool fd_is_path;   /* FD is what PATH names, else PATH is a new file */
	struct identity identity; /* of FD, when it was last seen */
	struct layout old;
	struct layout new;
	const struct buffer *container;
	struct ram *ram; /* null unless pages written to it are to be saved; it lies
	                    at the tail */
	bool replace;    /* never in place */
};

/* The layout of OLD after its container got SIZE bytes (docs/format.md, "Room"). */
struct layout layout_next(const struct layout *old, uint64_t size);

/*
 * Save.  On success the new snapshot is at PATH, durably; *FD_OUT is a
 * descriptor of it, which is FD itself if the file was written in place, else
 * a new one, open to read and write and locked exclusively, for the caller to
 * close.  On failure the old snapshot is at PATH.  -ESTALE if somebody else
 * changed or replaced it.
 */
int save(const struct save *s, int *fd_out, struct error *e);

/* The way of saving by a clone or, if CLONE is false, a copy beside, and a rename. */
int save_replace(const struct save *s, bool clone, int *fd_out, struct error *e);

/*
 * Bring the snapshot at PATH to the state after its last save that was
 * completed, if one that was not left something beside it.  To be called before
 * the snapshot is opened.
 */
int save_recover(const char *path, struct error *e);

/* Beside a snapshot: its name and one of these. */
#define SAVE_NEW_SUFFIX ".smfs-new"
#define SAVE_RECOVERED_SUFFIX ".smfs-recovered"

#endif
