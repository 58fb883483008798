/* SPDX-License-Identifier: MIT */
#include "json_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistr.h>

#include "text.h"

json_object *json_hex(const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	struct buffer hex = { 0 };
	json_object *o;
	size_t i;

	for (i = 0; i < n; i++) {
		buffer_add(&hex, &digits[bytes[i] >> 4], 1);
		buffer_add(&hex, &digits[bytes[i] & 15], 1);
	}
	o = json_object_new_string_len(hex.size ? (char *)hex.bytes : "", (int)hex.size);
	buffer_free(&hex);
	return o;
}

json_object *json_text(const char *text, size_t n)
{
	json_object *o;

	if (u8_check((const uint8_t *)text, n) == NULL)
		return json_object_new_string_len(text, (int)n);
	o = json_object_new_object();
	json_object_object_add(o, "bytes", json_hex((const uint8_t *)text, n));
	return o;
}

json_object *json_content(const struct field *row, const struct buffer *content)
{
	bool number = row->kind == UINT && !row->words && row->base != HEX;
	const char *text;

	if (!content || row->access == SECRET)
		return NULL;
	if (!text_is_text(row))
		return json_hex(content->bytes, content->size);
	text = (const char *)content->bytes;
	if (number && text[0] >= '0' && text[0] <= '9')
		return json_object_new_uint64(strtoull(text, NULL, 10));
	return json_text(text, content->size - 1); /* without the newline */
}

void json_print_line(json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
