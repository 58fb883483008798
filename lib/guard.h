/* SPDX-License-Identifier: MIT */
/*
 * Copies from and to mapped files.  A file that another program truncates
 * loses pages of its mapping, and touching those raises SIGBUS; here that is
 * an error of the one copy.
 */
#ifndef SMFS_GUARD_H
#define SMFS_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Take over SIGBUS for the process.  Outside of guard_copy it kills, as ever. */
void guard_install(void);

/* memcpy; false if a page of either side is not there any more. */
bool guard_copy(void *to, const void *from, size_t n);

#endif
