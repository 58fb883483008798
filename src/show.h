/* SPDX-License-Identifier: MIT */
/* Differences for a person, on a line each. */
#ifndef SMSNAP_SHOW_H
#define SMSNAP_SHOW_H

#include <stdio.h>

#include "head_diff.h"

/*
 * Print to OUT what D says: a line "PATH: OLD -> NEW".  Strings are in quotes, bytes hexadecimal.  Of
 * long ones the first bytes are printed, or, if these are the same, those around the first that
 * differs, with "..." for what is left out; a secret is not printed.
 */
void show_difference(FILE *out, const struct difference *d);

#endif
