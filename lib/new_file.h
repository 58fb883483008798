/* SPDX-License-Identifier: MIT */
/* A file that is made whole or not at all. */
#ifndef SMFS_NEW_FILE_H
#define SMFS_NEW_FILE_H

#include "error.h"

/* Write all of the file to FD, which is empty: 0 or a negative errno. */
typedef int file_filler(int fd, void *ctx);

/*
 * Have FILL make a file, and give it the name PATH, durably, in place of the file that is
 * there, if there is one.  Its mode is 0600, whatever the umask and whatever it replaces:
 * what is made here holds a guest's memory and secrets.  -EBUSY if what is there is a
 * snapshot that is mounted; -EINVAL if it is no regular file.  On failure what was there
 * is there still.  *E is set where it fails; it may not be null.
 */
int new_file(const char *path, file_filler *fill, void *ctx, struct error *e);

#endif
