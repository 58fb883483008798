/* SPDX-License-Identifier: MIT */
/*
 * Opening a snapshot's file: whoever may change it has it locked exclusively
 * (flock), whoever shows it and must not see that has a shared lock.
 */
#ifndef SMFS_LOCKED_H
#define SMFS_LOCKED_H

#include <stdbool.h>

#include "error.h"

/* What to do where the file system has no locks. */
enum no_locks {
	NO_LOCKS_FAIL,
	NO_LOCKS_TELL, /* go on, and say so: nothing will be written */
	NO_LOCKS_GO_ON,
};

/* So often a lock is tried, 10 ms after one another. */
enum { LOCK_TRIES = 100 };

void pause_briefly(void);

/*
 * Open the regular file PATH with open(2)'s FLAGS, through no symbolic link at its
 * end, without waiting for anything.  A descriptor, or a negative errno.
 */
int open_plain(const char *path, int flags, struct error *e);

/* Whether PATH could be opened for writing, without doing it: 0, or a negative errno. */
int check_writable(const char *path, struct error *e);

/*
 * Whether ERR, of flock(2), says that there are no locks; on NFS -EBADF may as well mean that
 * only what is open for writing can be locked so.
 */
bool says_no_locks(int err);

/*
 * The same, and lock it: LOCK_EX or LOCK_SH, for which it may have to be opened for writing
 * too.  A lock that somebody else has is waited for a second; then -EBUSY, and E says who
 * has it.  Where there are no locks, which flock(2) tells by the errno in *NONE, else 0, it
 * goes on if MAY_GO_ON.
 */
int open_locked(const char *path, int flags, int lock, bool may_go_on, int *none,
		struct error *e);

#endif
