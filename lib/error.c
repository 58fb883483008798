/* SPDX-License-Identifier: MIT */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names from elsewhere may be in it: one line, and no escapes for a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		e->code = code;
		va_start(ap, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, ap);
		va_end(ap);
		make_printable(e->text);
	}
	return -code;
}

int error_prefix(struct error *e, int code, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	va_list ap;
	int n;

	if (!e)
		return -code;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	make_printable(e->text);
	if (n >= 0 && (size_t)n + 2 < sizeof(e->text)) {
		memcpy(e->text + n, ": ", 2);
		memcpy(e->text + n + 2, old, sizeof(e->text) - (size_t)n - 2);
		e->text[sizeof(e->text) - 1] = 0;
	}
	return -e->code;
}
