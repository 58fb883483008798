/* SPDX-License-Identifier: MIT */
/*
 * Opening a snapshot's file: whoever may change it has it locked exclusively
 * (flock), whoever shows it and must not see that has a shared lock.
 */
#ifndef SMFS_LOCKED_H
#define SMFS_LOCKED_H

#include "error.h"

/* So often a lock is tried, 10 ms after one another. */
enum { LOCK_TRIES = 100 };

void pause_briefly(void);

/*
 * Open the regular file PATH with open(2)'s FLAGS, through no symbolic link at its
 * end, without waiting for anything.  A descriptor, or a negative errno.
 */
int open_plain(const char *path, int flags, struct error *e);

/*
 * The same, and lock it: LOCK_EX or LOCK_SH.  A lock that somebody else has is
 * waited for a second; then -EBUSY.
 */
int open_locked(const char *path, int flags, int lock, struct error *e);

#endif
