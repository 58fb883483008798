/* SPDX-License-Identifier: MIT */
/* Lines for a person. */
#ifndef SMFS_MESSAGE_H
#define SMFS_MESSAGE_H

#include <stddef.h>

/*
 * TEXT in OUT, of SIZE bytes, as it can be shown: paths and strings in it may come from
 * a snapshot, so what is not printable UTF-8 becomes \xNN and can neither start a line
 * nor drive a terminal.  What does not fit is cut.
 */
void message_escape(const char *text, char *out, size_t size);

#endif
