/* SPDX-License-Identifier: MIT */
#include "printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unictype.h>
#include <unistr.h>

static bool is_printable(ucs4_t c)
{
	return !uc_is_general_category_withtable(c, UC_CATEGORY_MASK_C | UC_CATEGORY_MASK_Zl |
							    UC_CATEGORY_MASK_Zp);
}

/* How many of the N bytes at P, from the first on, are printable ASCII: mostly all are. */
static size_t ascii(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && p[i] >= ' ' && p[i] < 0x7f)
		i++;
	return i;
}

void printable(const char *text, char *out, size_t size)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strlen(text);
	size_t used = 0;

	while (left > 0) {
		size_t room = size - used - 1;
		size_t n = ascii(p, left < room ? left : room);
		size_t needed = n;
		bool shown = n > 0;

		if (!shown) {
			ucs4_t c;
			int length = u8_mbtoucr(&c, p, left);

			shown = length > 0 && is_printable(c);
			n = shown ? (size_t)length : 1;
			needed = shown ? n : sizeof("\\xNN") - 1;
		}
		if (needed > room)
			break;
		if (shown)
			memcpy(out + used, p, n);
		else
			snprintf(out + used, size - used, "\\x%02x", *p);
		used += needed;
		p += n;
		left -= n;
	}
	out[used] = 0;
}
