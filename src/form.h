/* SPDX-License-Identifier: MIT */
/* What a field's file holds, in a few words. */
#ifndef SMSNAP_FORM_H
#define SMSNAP_FORM_H

#include "format.h"

enum { FORM_MAX = 128 };

/* The form of ROW's content, as smsnap fields prints it: in OUT, which it returns. */
const char *form_of(const struct field *row, char out[FORM_MAX]);

/* The same for whoever has to write one: words, ranges, sizes. */
const char *form_wanted(const struct field *row, char out[FORM_MAX]);

#endif
