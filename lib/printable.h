/* SPDX-License-Identifier: MIT */
/* Text of whatever origin, as it can be shown to a person. */
#ifndef SMFS_PRINTABLE_H
#define SMFS_PRINTABLE_H

#include <stddef.h>

/*
 * TEXT in OUT, of SIZE bytes: what is not printable UTF-8 becomes \xNN, a byte each, and
 * can neither start a line nor drive a terminal.  What does not fit is cut.
 */
void printable(const char *text, char *out, size_t size);

#endif
