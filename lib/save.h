/* SPDX-License-Identifier: MIT */
/*
 * Writing an edited head, its header and container, into a snapshot file, all or nothing
 * (docs/saving.md).
 */
#ifndef SMFS_SAVE_H
#define SMFS_SAVE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "beside.h"
#include "buffer.h"
#include "error.h"
#include "locked.h"
#include "ram.h"

/* Where things are in a snapshot file, in bytes. */
struct parts {
	uint64_t head_offset;
	uint64_t head_size;
	uint64_t tail_offset; /* of what comes after the head and its padding:
	                         RAM, or bytes that are not ours */
	uint64_t file_size;
	bool glued;           /* the tail has to follow the head at once */
};

/* What tells a file from another, and from itself after a change. */
struct identity {
	uint64_t device;
	uint64_t inode;
	uint64_t size;
	struct timespec mtime;
	struct timespec ctime;
};

int identity_get(int fd, struct identity *id);
bool identity_equal(const struct identity *a, const struct identity *b);

/*
 * A sum of N bytes, to tell by whether they have changed.  SUM is 0, or that of the bytes
 * before them, of which there must be a multiple of 8.
 */
uint64_t save_sum(uint64_t sum, const uint8_t *bytes, size_t n);

/* A file beside the snapshot that gets other bytes with it: both or neither. */
struct save_beside {
	const char *suffix;  /* its name is the snapshot's and this */
	int fd;              /* open to read and write */
	uint64_t old_size;
	const struct buffer *bytes; /* all that is to be in it */
};

struct save {
	const char *path;  /* to be replaced or made; no symbolic link */
	int fd;            /* the file that has the old bytes, open to read */
	bool fd_is_path;   /* FD is what PATH names, and open to write as well; else
	                      PATH is a new file */
	struct identity identity; /* of FD, when it was last seen */
	uint64_t old_sum;  /* save_sum of the head that FD had then */
	struct parts old;
	struct parts new;
	const struct buffer *head;
	struct ram *ram;   /* what is mapped of FD's tail, or null */
	bool save_ram;     /* the pages written to RAM as well; the caller holds
	                      writes to it */
	int tail_fd;       /* has the new tail, all of it, or is -1 if that stays as it is */
	bool replace;      /* in place only if there is no other way */
	const struct save_beside *beside; /* or null; with it the save is in place */
	bool undo_first;   /* the save before failed, and could not be undone */
};

/* What a save did. */
struct saved {
	int fd;          /* the snapshot: the one from before if it was written in
	                    place, else a new one, open to read and write and locked
	                    exclusively, for the caller to close */
	const char *way; /* for a person */
	bool touched;    /* FD's file was written to, even if that was undone */
	bool undo_first; /* for the next save; RAM is lost until then if it has moved */
};

/*
 * Before a save of S->fd: undo the one before if that could not be undone (S->undo_first), or whose
 * journal could not be removed.  Then RAM is to be had again; NEW and TAIL_FD say that nothing
 * moves.
 */
int save_finish_undo(const struct save *s, struct saved *out, struct error *e);

/* Whether the tail is to be written elsewhere in the file, or anew. */
bool save_moves_tail(const struct save *s);

/* The parts of OLD after its head got SIZE bytes (docs/format.md, "Room"). */
struct parts parts_next(const struct parts *old, uint64_t size);

/* Bytes after the head of NEW that are to be zeros, for the longer one of OLD was there. */
uint64_t parts_left_behind(const struct parts *old, const struct parts *new);

/*
 * Save.  On success the new snapshot is at PATH, durably, and *OUT tells more.  On
 * failure the old one is at PATH.  -ESTALE if somebody else changed or replaced it.
 */
int save(const struct save *s, struct saved *out, struct error *e);

/*
 * The ways.  -EOPNOTSUPP if this one can't be gone here; then nothing has changed.
 */
int save_clone(const struct save *s, struct saved *out, struct error *e);
int save_copy(const struct save *s, struct saved *out, struct error *e);
int save_in_place(const struct save *s, struct saved *out, struct error *e);

/* In place as well, but a tail that has to move is copied, and its bytes journalled. */
int save_shifting(const struct save *s, struct saved *out, struct error *e);

/*
 * For them: 0 if FD is, unchanged, what the snapshot's name stands for, else -ESTALE.
 * Times alone are no change: where they differ the head's bytes tell.
 */
int save_check_unchanged(const struct save *s, const struct beside *b, struct error *e);

/*
 * For them: put the old bytes back from the journal, and RAM's mapping.  Where
 * that fails it is to be done before anything else.
 */
int save_undo(const struct save *s, const struct beside *b, struct error *e);

/* For them: write the pages that were written to RAM to FD, RAM at the new tail. */
int save_write_ram(const struct save *s, int fd);

/*
 * Bring the snapshot at PATH to the state after its last save that was
 * completed, if one that was not left something beside it.  To be called before
 * the snapshot is opened.  1 if there was something to undo, 0 if not (or if
 * the program that is saving is alive and has the snapshot locked), or an error.
 * TELL, or null, gets a line for the person where a save was undone.  Where there are no
 * locks nothing is done but with NO_LOCKS_GO_ON.
 */
int save_recover(const char *path, enum no_locks no_locks, void (*tell)(const char *text),
		 struct error *e);

/*
 * Open the snapshot at PATH and lock it (open_locked in locked.h), with no save in it
 * that is not finished: recovered by now, as save_recover does.  A descriptor, or a
 * negative errno.
 */
int save_open_locked(const char *path, int flags, int lock, enum no_locks no_locks,
		     void (*tell)(const char *text), struct error *e);

/* Whether the snapshot at PATH has a journal: a save is under way or was interrupted. */
bool save_has_journal(const char *path);

/* Beside a snapshot: its name and one of these. */
#define SAVE_NEW_SUFFIX ".smfs-new"
#define SAVE_RECOVERED_SUFFIX ".smfs-recovered"

#endif
