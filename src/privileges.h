/* SPDX-License-Identifier: MIT */
#ifndef SMFS_PRIVILEGES_H
#define SMFS_PRIVILEGES_H

/*
 * Give up, for good, what root can do and a daemon that serves a snapshot need not
 * (SECURITY.md).  Before any thread is there, since each has its own.  Other users
 * have nothing to give up, and need fusermount3's set-uid bit to unmount.
 */
void privileges_drop(void);

#endif
