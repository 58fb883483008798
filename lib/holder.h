/* SPDX-License-Identifier: MIT */
/* Who has a file locked, for a person. */
#ifndef SMFS_HOLDER_H
#define SMFS_HOLDER_H

#include <stddef.h>

/*
 * Put who has the file PATH (absolute, without symbolic links) locked with flock(2), and
 * what to do about it, into TEXT of SIZE bytes: a mount or a program, as far as may be
 * seen from here.
 */
void holder_describe(const char *path, char *text, size_t size);

#endif
