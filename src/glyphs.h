/* SPDX-License-Identifier: MIT */
/* Letters for pictures. */
#ifndef SMSNAP_GLYPHS_H
#define SMSNAP_GLYPHS_H

#include <stdint.h>

enum { GLYPH_WIDTH = 5, GLYPH_HEIGHT = 9 };

/*
 * The rows of C from the top, bit 4 of each its leftmost dot; the line that letters stand on
 * is below the seventh.  What has none is blank: there are those that pictures use.
 */
const uint8_t *glyph_of(char c);

#endif
