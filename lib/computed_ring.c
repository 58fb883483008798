/* SPDX-License-Identifier: MIT */
/* The files ring and health of a virtqueue. */
#include <stdio.h>
#include <string.h>

#include "computed.h"
#include "queue.h"

int computed_ring(struct snapshot *s, const char *folder, struct buffer *out)
{
	struct queue q;
	int err = queue_get(s, folder, &q);

	if (err)
		return err;
	vring_print(&q.ring, out);
	queue_put(&q);
	return out->failed ? -ENOMEM : 0;
}

static void add_line(void *ctx, const struct finding *f)
{
	const char *const parts[] = { level_name(f->level), " ", f->path, ": ", f->wrong, "; ",
				      f->right, "\n" };
	struct buffer *out = ctx;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		buffer_add(out, parts[i], strlen(parts[i]));
}

int computed_health(struct snapshot *s, const char *folder, struct buffer *out)
{
	struct findings to = { add_line, out };
	struct queue q;
	int err = queue_get(s, folder, &q);

	if (err)
		return err;
	vring_check(&q.ring, &to);
	queue_put(&q);
	if (!out->size)
		buffer_add(out, "ok\n", 3);
	return out->failed ? -ENOMEM : 0;
}
