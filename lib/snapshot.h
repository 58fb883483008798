/* SPDX-License-Identifier: MIT */
/*
 * A snapshot file: its container, its RAM, the lock on it, and where edits are
 * saved (docs/format.md, docs/saving.md).
 */
#ifndef SMFS_SNAPSHOT_H
#define SMFS_SNAPSHOT_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "layout.h"
#include "ram.h"
#include "sidecar.h"

enum snapshot_access {
	SNAPSHOT_EDIT,    /* saves go to the snapshot; needs an exclusive lock */
	SNAPSHOT_READ,    /* nothing is saved; needs a shared lock */
	SNAPSHOT_LOOK,    /* read once, now, even while another program has it locked */
};

enum base_use {
	BASE_UNUSED, /* only the pages that are listed are asked for */
	BASE_WANTED, /* that it is not to be had is told */
	BASE_NEEDED, /* that it is not to be had is an error */
};

struct snapshot_options {
	enum snapshot_access access;
	const char *output;   /* saves go to this file instead; null: to the snapshot.
	                         With it SNAPSHOT_READ's lock is enough */
	const char *ram_file; /* RAM is in this file; null: in the snapshot */
	const char *base;     /* of a diff: this file is its base; null: the one that it names */
	enum base_use base_use; /* of a diff */
	const char *base_hint;  /* what a person can do where its base is not to be had */
	bool replace;         /* never save in place */
	bool nolock;          /* go on where the file system has no locks; where nothing is
	                         saved anyway that is told, and the rest goes on */
	struct region_options region;
	void (*tell)(const char *text); /* a line for the person, or null */
};

struct snapshot;

/*
 * The path, without symbolic links, of the file that PATH, a file or a folder, means: to be freed.
 * Null if there is none, and E says why.
 */
char *snapshot_find(const char *path, struct error *e);

/*
 * Open the snapshot at PATH, a file or a folder with one: recover it from a save that was killed, lock it,
 * decode its container, find and map its RAM.  *OUT is the caller's, to close.
 * -EBUSY if others have had it locked for a second: it is open elsewhere, or a save
 * of it is not finished.  E starts with the file's name.
 */
int snapshot_open(const char *path, const struct snapshot_options *options,
		  struct snapshot **out, struct error *e);
void snapshot_close(struct snapshot *s);

struct container *snapshot_container(struct snapshot *s);

/* Null if there is no RAM. */
struct ram *snapshot_ram(struct snapshot *s);

/* The files beside it that belong to it; null if there are none. */
struct sidecars *snapshot_sidecars(struct snapshot *s);

/*
 * Make the RAM a clone of its region (ram_clone), an unlinked file in the folder
 * of the file that it is in.
 */
int snapshot_clone_ram(struct snapshot *s, struct error *e);

/* Whether RAM is a part of the file that is saved. */
bool snapshot_has_ram_inside(const struct snapshot *s);

/* Whether there are bytes in the file, other than zeros, that belong to none of its parts. */
bool snapshot_has_strays(const struct snapshot *s);

/* The space of the file system that saves go to: 0 or a negative errno. */
int snapshot_space(const struct snapshot *s, struct statvfs *out);

/* As the file was when it was opened. */
const struct stat *snapshot_stat(const struct snapshot *s);

/* Where its file is, without symbolic links. */
const char *snapshot_path(const struct snapshot *s);

/* Whether PATH leads to the file that the snapshot, or its RAM, is in. */
bool snapshot_is_file(const struct snapshot *s, const char *path);

const struct layout *snapshot_layout(const struct snapshot *s);

/* Where the file's parts are now, in bytes; RAM's only if there is any. */
uint64_t snapshot_head_offset(const struct snapshot *s);
uint64_t snapshot_ram_offset(const struct snapshot *s);

/*
 * Save the edits in force and EDITS; and if WITH_RAM the pages of RAM that were written.
 * All or nothing.  What the header says of where RAM is becomes one of EDITS where that
 * changes: on success all of them are to be put in force.  Where a share's host_path changes,
 * its state beside the snapshot moves along in the same save.  The caller keeps other saves
 * and edits away meanwhile; reads and writes of RAM may go on.
 */
int snapshot_save(struct snapshot *s, struct edits *edits, bool with_ram, struct error *e);

/* The way that the last save went, for a person; null before the first. */
const char *snapshot_way(const struct snapshot *s);

/*
 * Keep the container with its edits beside the snapshot, after a save that failed, as
 * SNAPSHOT.smfs-recovered or, where that is there from before, SNAPSHOT.smfs-recovered.1
 * and so on: NAME.
 */
int snapshot_rescue(struct snapshot *s, char name[NAME_MAX + 1], struct error *e);

#endif
