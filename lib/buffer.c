/* SPDX-License-Identifier: MIT */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#include "le.h"

void buffer_add(struct buffer *b, const void *p, size_t n)
{
	size_t room = b->room;
	uint8_t *grown;

	if (b->failed)
		return;
	if (n > SIZE_MAX / 2 - b->size) {
		b->failed = true;
		return;
	}
	if (n > room - b->size) {
		room = b->size + n > room * 2 ? b->size + n : room * 2;
		grown = realloc(b->bytes, room);
		if (!grown) {
			b->failed = true;
			return;
		}
		b->bytes = grown;
		b->room = room;
	}
	if (n && p)
		memcpy(b->bytes + b->size, p, n);
	else if (n)
		memset(b->bytes + b->size, 0, n);
	b->size += n;
}

void buffer_add_uint(struct buffer *b, unsigned width, uint64_t v)
{
	uint8_t bytes[8];

	le_put(bytes, width, v);
	buffer_add(b, bytes, width);
}

void buffer_free(struct buffer *b)
{
	free(b->bytes);
	*b = (struct buffer){ 0 };
}
