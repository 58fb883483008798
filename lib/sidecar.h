/* SPDX-License-Identifier: MIT */
/*
 * The files that a monitor keeps beside an hvf snapshot (docs/format.md, "Beside an hvf
 * snapshot").  Each is decoded as a head is, into a container of its own whose root is the
 * folder /sidecars of the tree.  Nobody has checked them: only regular files are opened, and a
 * file that is not understood is as one that is not there.
 */
#ifndef SMFS_SIDECAR_H
#define SMFS_SIDECAR_H

#include "container.h"
#include "share.h"

enum sidecar { SIDECAR_POSIXFS, SIDECAR_DAX, SIDECAR_SMPARK, SIDECARS };

/* The folder in the tree's root that they are shown in. */
#define SIDECAR_FOLDER "sidecars"

/* One with more bytes is not read. */
enum { SIDECAR_SIZE_MAX = 256 << 20 };

/* The row of sidecar I, a RECORD; and what the snapshot's name and this is its name. */
const struct field *sidecar_row(unsigned i);
const char *sidecar_suffix(unsigned i);

struct sidecars;

/*
 * See which there are beside the snapshot at PATH, which must stay; nothing is opened.  *OUT is
 * to be closed, and null where there are none.  TELL, or null, gets a line for the person for
 * each that turns out not to be understood.  0 or -ENOMEM.
 */
int sidecars_open(const char *path, void (*tell)(const char *text), struct sidecars **out);
void sidecars_close(struct sidecars *s);

/* Open sidecar I to read, understood or not: a descriptor, -ENOENT or another negative errno. */
int sidecar_open(const struct sidecars *s, unsigned i, struct error *e);

/*
 * Read those that were not read yet, and keep all as they are until sidecars_release, to which
 * every call that succeeds leads.  0, or a negative errno where trying again may do better:
 * -ENOMEM, -EMFILE, -EBUSY while another program saves.  May be called side by side, and more
 * than once.
 */
int sidecars_hold(struct sidecars *s, struct error *e);
void sidecars_release(struct sidecars *s);

/*
 * While held.
 */

/* Sidecar I as it was read and as we have saved it since; null: it is not there, or not understood. */
const struct container *sidecar_container(const struct sidecars *s, unsigned i);

/* Why sidecar I is not understood, its name first; null: it is, or it is not there. */
const char *sidecar_wrong(const struct sidecars *s, unsigned i);

/* When it was written. */
struct timespec sidecar_mtime(const struct sidecars *s, unsigned i);

/* 0, or -ESTALE where another program has changed sidecar I since. */
int sidecar_check_unchanged(const struct sidecars *s, unsigned i);

/*
 * From now on, what changes of the states of shares goes where MAP says, too, if it does not move
 * with a host_path.
 */
void sidecars_map(struct sidecars *s, share_map *map, const void *ctx);

/*
 * Add to EDITS those of the states of shares that follow from other host_paths in NEW than in
 * OLD, two heads of the snapshot: 0, -ENOMEM, -EFBIG, or why the file could not be read.
 */
int sidecar_follow(const struct sidecars *s, const struct container *old,
		   const struct container *new, struct edits *edits, struct error *e);

/* Append the file of the states of shares with EDITS to OUT. */
void sidecar_encode(const struct sidecars *s, const struct edits *edits, struct buffer *out);

/*
 * A change of the file of the states of shares, which is saved with its snapshot.
 */
struct sidecar_change {
	int fd;              /* the file, open to read and write; -1: nothing changes */
	uint64_t old_size;   /* of the file, in bytes */
	struct buffer bytes; /* all that is to be in it */
	struct edits edits;
};

/*
 * Not held: what follows from OLD and NEW, heads of the snapshot, in *OUT, which is to be ended
 * whatever this answers.  -ESTALE where another program has changed the file, or what reading
 * or opening it answers; where there is none, or it is not understood, nothing changes.
 */
int sidecar_change_begin(struct sidecars *s, const struct container *old,
			 const struct container *new, struct sidecar_change *out, struct error *e);

/* It was SAVED, or not; TOUCHED: the file was written to, even if that was undone. */
void sidecar_change_end(struct sidecars *s, struct sidecar_change *change, bool saved, bool touched);

/* A save before, which was of the file too, has been undone now. */
void sidecar_undone(struct sidecars *s);

#endif
