/* SPDX-License-Identifier: MIT */
#ifndef SMSNAP_READ_ALL_H
#define SMSNAP_READ_ALL_H

#include "buffer.h"
#include "error.h"

/* Append what is in the file PATH, or - for standard input, to OUT: 0 or a negative errno. */
int read_all(const char *path, struct buffer *out, struct error *e);

#endif
