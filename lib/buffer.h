/* SPDX-License-Identifier: MIT */
/* Bytes that grow at their end. */
#ifndef SMFS_BUFFER_H
#define SMFS_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts as { 0 }.  The first failure sticks, and later calls do nothing. */
struct buffer {
	uint8_t *bytes; /* owned; from malloc */
	size_t size;
	size_t room;
	bool failed; /* memory ran out */
};

/* Append the N bytes at P, or N zero bytes if P is null. */
void buffer_add(struct buffer *b, const void *p, size_t n);

/* Append the low WIDTH bytes of V, little-endian. */
void buffer_add_uint(struct buffer *b, unsigned width, uint64_t v);

void buffer_free(struct buffer *b);

#endif
