/* SPDX-License-Identifier: MIT */
/* A snapshot's folder, and the files of ours beside the snapshot. */
#ifndef SMFS_BESIDE_H
#define SMFS_BESIDE_H

#include <limits.h>
#include <stdbool.h>

#include "error.h"

struct beside {
	int folder; /* descriptor */
	char name[NAME_MAX + 1]; /* of the snapshot in it */
};

/* Open the folder of PATH.  To be closed. */
int beside_open(const char *path, struct beside *b, struct error *e);
void beside_close(struct beside *b);

/* Whether files can be made beside PATH, without making one: 0 or a negative errno. */
int beside_check_writable(const char *path, struct error *e);

/* The snapshot's name with SUFFIX in OUT: 0 or -ENAMETOOLONG. */
int beside_name(const struct beside *b, const char *suffix, char out[NAME_MAX + 1],
		struct error *e);

/*
 * Make the file NAME, empty, mode 0600, to read and write, locked exclusively
 * (flock) where there are locks, in place of one that is left from before: that nobody has locked.  A
 * descriptor, or a negative errno; -EBUSY if somebody has.
 */
int beside_create(const struct beside *b, const char *name, struct error *e);

/* The same, but -EEXIST, without an error told, if there is something of that name. */
int beside_create_new(const struct beside *b, const char *name, struct error *e);

/* Whether NAME in FOLDER, or a path with AT_FDCWD, is the file open as FD, and no link to it. */
bool names_file(int folder, const char *name, int fd);

#endif
