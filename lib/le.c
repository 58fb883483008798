/* SPDX-License-Identifier: MIT */
#include "le.h"

bool le_read_u16(const uint8_t *p, size_t n, uint16_t *v)
{
	if (n < sizeof(*v))
		return false;
	*v = (uint16_t)le_get(p, sizeof(*v));
	return true;
}

bool le_read_u32(const uint8_t *p, size_t n, uint32_t *v)
{
	if (n < sizeof(*v))
		return false;
	*v = (uint32_t)le_get(p, sizeof(*v));
	return true;
}

bool le_read_u64(const uint8_t *p, size_t n, uint64_t *v)
{
	if (n < sizeof(*v))
		return false;
	*v = le_get(p, sizeof(*v));
	return true;
}

bool le_read_u128(const uint8_t *p, size_t n, u128 *v)
{
	if (n < sizeof(*v))
		return false;
	*v = (u128)le_get(p + 8, 8) << 64 | le_get(p, 8);
	return true;
}

uint64_t cap_count(uint64_t count, uint64_t min_elem, uint64_t region)
{
	uint64_t room = region / (min_elem ? min_elem : 1);

	return count < room ? count : room;
}
