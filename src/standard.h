/* SPDX-License-Identifier: MIT */
/* Standard input, output and error, as whoever starts a program left them. */
#ifndef SMFS_STANDARD_H
#define SMFS_STANDARD_H

#include <stddef.h>

#include "error.h"

/*
 * See that descriptors 0, 1 and 2 are open, before anything else is opened: a file
 * with one of these numbers would get what is printed.  One that was closed stays
 * as good as closed, reads of 0 and writes to 1 and 2 fail with EBADF.  0, or a
 * negative errno; then nothing may be opened.
 */
int standard_open(struct error *e);

/*
 * Right after something was printed to standard output: have it written.  0, or a
 * negative errno if any of it could not be.
 */
int standard_flush(struct error *e);

/*
 * Take what is printed to standard error, by programs that are run meanwhile too, until
 * standard_release.  A descriptor for that, or a negative errno; then nothing is taken.
 */
int standard_capture(void);

/*
 * Standard error is what it was before CAPTURED = standard_capture(), which may have failed.
 * What came is in TEXT of SIZE bytes, lines with "; " between them.
 */
void standard_release(int captured, char *text, size_t size);

#endif
