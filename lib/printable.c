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

void printable(const char *text, char *out, size_t size)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strlen(text);
	size_t used = 0;

	while (left > 0) {
		ucs4_t c;
		int n = u8_mbtoucr(&c, p, left);
		bool shown = n > 0 && is_printable(c);
		size_t needed;

		if (!shown)
			n = 1;
		needed = shown ? (size_t)n : sizeof("\\xNN") - 1;
		if (used + needed >= size)
			break;
		if (shown)
			memcpy(out + used, p, (size_t)n);
		else
			snprintf(out + used, size - used, "\\x%02x", *p);
		used += needed;
		p += n;
		left -= (size_t)n;
	}
	out[used] = 0;
}
