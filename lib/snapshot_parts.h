/* SPDX-License-Identifier: MIT */
/* What a snapshot consists of, for the files that implement it. */
#ifndef SMFS_SNAPSHOT_PARTS_H
#define SMFS_SNAPSHOT_PARTS_H

#include "save.h"
#include "snapshot.h"

struct snapshot {
	char *path;     /* of the snapshot, without symbolic links */
	char *target;   /* where saves go: PATH, or the output */
	bool fd_is_target;
	int target_fd;  /* locks what TARGET is until FD is that; -1: there is nothing */
	bool replace;
	bool nolock;
	int fd;         /* what is at PATH, then TARGET once that was saved to */
	bool writable;  /* FD is open for writing as well */
	int lock_fd;    /* locks what FD is where FD itself does not; -1: it does */
	int ram_fd;     /* -1 if RAM is in the snapshot or there is none */
	char *ram_path; /* of the file that RAM is in, without symbolic links */
	struct stat st;
	struct identity identity;
	bool identity_known;
	uint64_t head_sum;  /* save_sum of the head that FD has */
	const struct layout *layout;
	struct parts parts;
	const char *way; /* the last save went */
	bool undo_first; /* the last save failed, and could not be undone */
	struct container *container;
	struct ram *ram;
	struct sidecars *sidecars; /* or null */
};

/*
 * Have what is to be replaced by the first save locked, and no unfinished save of it
 * left: it may be a snapshot that somebody has mounted.
 */
int snapshot_lock_target(struct snapshot *s, void (*tell)(const char *text), struct error *e);

#endif
