/* SPDX-License-Identifier: MIT */
/* Texts and what files hold, as smsnap dump --decode has them in JSON. */
#ifndef SMSNAP_JSON_TEXT_H
#define SMSNAP_JSON_TEXT_H

#include <json-c/json_object.h>

#include "buffer.h"
#include "format.h"

/* The N bytes at BYTES as a string of hexadecimal digits. */
json_object *json_hex(const uint8_t *bytes, size_t n);

/* The N bytes at TEXT: a string, or where that is not in UTF-8 an object with its "bytes". */
json_object *json_text(const char *text, size_t n);

/* CONTENT of a file of ROW; null where there is none, and for a secret. */
json_object *json_content(const struct field *row, const struct buffer *content);

/* Print O, which is put, on a line. */
void json_print_line(json_object *o);

#endif
