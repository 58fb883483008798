/* SPDX-License-Identifier: MIT */
/*
 * VMCOREINFO: what a Linux kernel wrote into its memory, when it booted, for those that will
 * look into it: a text, `KEY=value` a line.
 */
#ifndef SMFS_GUEST_VMCOREINFO_H
#define SMFS_GUEST_VMCOREINFO_H

#include "guest_memory.h"

/* Of the text: a page, which has 64 KiB at most. */
enum { VMCOREINFO_MAX = 65536 };

struct vmcoreinfo {
	char *text;  /* owned; a NUL after it */
	size_t size; /* without that */
};

void vmcoreinfo_free(struct vmcoreinfo *v);

/*
 * Call FN for each VMCOREINFO in memory, the likeliest first, until it returns false; V is the
 * caller's, who may keep its text by setting it to null.  Some are no kernel's: copies, and what a
 * guest made up.  Only so many are looked at.  0, -ENOMEM or -EIO.
 */
typedef bool vmcoreinfo_found(void *ctx, struct vmcoreinfo *v);
int vmcoreinfo_find(const struct guest_memory *g, vmcoreinfo_found *fn, void *ctx);

/* The value of the line KEY, and its size in *SIZE; null if there is none. */
const char *vmcoreinfo_line(const struct vmcoreinfo *v, const char *key, size_t *size);

/*
 * It as a number in *OUT, modulo 2^64: false if there is none.  The value of `SYMBOL(NAME)` and
 * `KERNELOFFSET` is in hexadecimal, any other in decimal or, with 0x before it, in hexadecimal.
 */
bool vmcoreinfo_number(const struct vmcoreinfo *v, const char *key, uint64_t *out);

/* A row of what is asked for at once. */
struct vmcoreinfo_want {
	const char *key;
	uint64_t *out;
};

/* All of WANT, which ends with a null key: the first that is missing, or null. */
const char *vmcoreinfo_numbers(const struct vmcoreinfo *v, const struct vmcoreinfo_want *want);

#endif
