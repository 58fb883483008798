/* SPDX-License-Identifier: MIT */
#include "finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "printable.h"

const char *level_name(enum level level)
{
	static const char *const names[] = { "note", "warning", "error" };

	return names[level];
}

void finding_tell(const struct findings *to, enum level level, const char *path, const char *right,
		  const char *format, ...)
{
	char text[1024], wrong[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	printable(text, wrong, sizeof(wrong)); /* names from the snapshot may be in it */
	to->fn(to->ctx, &(struct finding){ level, path, wrong, right });
}

void finding_add_line(void *ctx, const struct finding *f)
{
	const char *const parts[] = { level_name(f->level), " ", f->path, ": ", f->wrong, "; ",
				      f->right, "\n" };
	struct buffer *out = ctx;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		buffer_add(out, parts[i], strlen(parts[i]));
}
