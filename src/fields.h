/* SPDX-License-Identifier: MIT */
#ifndef SMFS_FIELDS_H
#define SMFS_FIELDS_H

#include <stdio.h>

/*
 * Print a line for each kind of file in the tree: its path, with capitals for
 * indices, what it holds and what that means.  From the format's table.
 */
void fields_print(FILE *out);

#endif
