/* SPDX-License-Identifier: MIT */
/* The files ring and health of a virtqueue. */
#include "computed.h"
#include "queue.h"

int computed_ring(struct snapshot *s, const struct container *c, const char *folder,
		  struct buffer *out)
{
	struct queue q;
	int err = queue_get(c, snapshot_ram(s), folder, &q);

	if (err)
		return err;
	vring_print(&q.ring, out);
	queue_put(&q);
	return out->failed ? -ENOMEM : 0;
}

int computed_health(struct snapshot *s, const struct container *c, const char *folder,
		  struct buffer *out)
{
	struct findings to = { finding_add_line, out };
	struct queue q;
	int err = queue_get(c, snapshot_ram(s), folder, &q);

	if (err)
		return err;
	vring_check(&q.ring, &to);
	queue_put(&q);
	if (!out->size)
		buffer_add(out, "ok\n", 3);
	return out->failed ? -ENOMEM : 0;
}
