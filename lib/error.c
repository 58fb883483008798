/* SPDX-License-Identifier: MIT */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "printable.h"

/* Names from elsewhere may be in it. */
static size_t format(struct error *e, const char *fmt, va_list ap)
{
	char text[sizeof(e->text)];

	vsnprintf(text, sizeof(text), fmt, ap);
	printable(text, e->text, sizeof(e->text));
	return strlen(e->text);
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e) {
		e->code = code;
		va_start(ap, fmt);
		format(e, fmt, ap);
		va_end(ap);
	}
	return -code;
}

int error_prefix(struct error *e, int code, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	va_list ap;
	size_t n;

	if (!e)
		return -code;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	n = format(e, fmt, ap);
	va_end(ap);
	if (n + 2 < sizeof(e->text)) {
		memcpy(e->text + n, ": ", 2);
		memcpy(e->text + n + 2, old, sizeof(e->text) - n - 2);
		e->text[sizeof(e->text) - 1] = 0;
	}
	return -e->code;
}
