/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number at PATH/NAME; 0 if there is none. */
static uint64_t number(const struct container *c, const char *path, const char *name)
{
	char full[2 * CONTAINER_PATH_MAX];
	uint64_t v = 0;

	snprintf(full, sizeof(full), "%s/%s", path, name);
	container_number(c, full, &v);
	return v;
}

struct gathering {
	const struct container *c;
	struct buffer windows;
};

static bool add_window(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct gathering *g = ctx;
	char path[CONTAINER_PATH_MAX];
	struct vring_window w;

	(void)name;
	(void)n;
	snprintf(path, sizeof(path), "devices/%" PRIu64 "/backing", index);
	w.gpa = number(g->c, path, "dax_gpa");
	w.size = number(g->c, path, "dax_window_len");
	if (w.size)
		buffer_add(&g->windows, &w, sizeof(w));
	return true;
}

int queue_get(const struct container *c, struct ram *ram, const char *path, struct queue *out)
{
	static const char queues[] = "/queues/";
	const char *end = strstr(path, queues);
	struct gathering g = { .c = c };
	char mmio[CONTAINER_PATH_MAX];
	struct node n;
	int err = end ? container_find(c, path, &n) : -ENOENT;

	if (!err)
		err = container_find(c, "devices", &n);
	if (!err)
		err = container_children(c, n, 0, add_window, &g);
	if (!err && g.windows.failed)
		err = -ENOMEM;
	if (err) {
		buffer_free(&g.windows);
		return err;
	}
	snprintf(mmio, sizeof(mmio), "%.*s", (int)(end - path), path);
	*out = (struct queue){
		.ring = {
			.memory = guest_memory_of(c, ram),
			.windows = (struct vring_window *)g.windows.bytes,
			.window_count = (unsigned)(g.windows.size / sizeof(struct vring_window)),
			.features = number(c, mmio, "driver_features"),
			.ready = number(c, path, "ready"),
			.size = (uint16_t)number(c, path, "size"),
			.desc_table = number(c, path, "desc_table"),
			.avail_ring = number(c, path, "avail_ring"),
			.used_ring = number(c, path, "used_ring"),
			.last_avail_idx = (uint16_t)number(c, path, "last_avail_idx"),
			.next_used_idx = (uint16_t)number(c, path, "next_used_idx"),
		},
		.windows = (struct vring_window *)g.windows.bytes,
	};
	return 0;
}

void queue_put(struct queue *q)
{
	free(q->windows);
}
