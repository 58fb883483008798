/* SPDX-License-Identifier: MIT */
/* What smsnap does where memory runs out in a library that does not tell. */
#ifndef SMSNAP_MEMORY_H
#define SMSNAP_MEMORY_H

#include <stdbool.h>

/*
 * From now on, if MUST: the first allocation that fails ends the process, with exit status
 * 1 and "out of memory" on standard error. json-c needs it: what it has no memory for
 * it leaves out of the text that it makes, and a name that it could not copy it reads all
 * the same. While files are being written it is not to be in force.
 */
void memory_must_suffice(bool must);

#endif
