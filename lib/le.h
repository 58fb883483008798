/* SPDX-License-Identifier: MIT */
/*
 * Little-endian integers in unaligned bytes.  Every integer of the format
 * is one of these (docs/format.md, "The snapshot file").
 */
#ifndef SMFS_LE_H
#define SMFS_LE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

/*
 * Read an integer from the leading bytes of the N bytes at P into *V; what
 * follows them is not looked at.  False, and *V untouched, if N is too small.
 */
bool le_read_u16(const uint8_t *p, size_t n, uint16_t *v);
bool le_read_u32(const uint8_t *p, size_t n, uint32_t *v);
bool le_read_u64(const uint8_t *p, size_t n, uint64_t *v);
bool le_read_u128(const uint8_t *p, size_t n, u128 *v);

/* The integer in the WIDTH (1 to 8) bytes at P, all of which must be there. */
static inline uint64_t le_get(const uint8_t *p, unsigned width)
{
	uint64_t v = 0;

	memcpy(&v, p, width);
	return le64toh(v);
}

/* Write the low WIDTH (1 to 8) bytes of V to P. */
static inline void le_put(uint8_t *p, unsigned width, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, width);
}

/*
 * How many of COUNT elements of at least MIN_ELEM bytes a region of REGION
 * bytes can hold: min(COUNT, REGION / max(MIN_ELEM, 1)).
 */
uint64_t cap_count(uint64_t count, uint64_t min_elem, uint64_t region);

#endif
