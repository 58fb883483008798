/* SPDX-License-Identifier: MIT */
/* A snapshot's virtqueues, with the memory that they are in. */
#ifndef SMFS_QUEUE_H
#define SMFS_QUEUE_H

#include "snapshot.h"
#include "vring.h"

struct queue {
	struct virtqueue ring;
	struct vring_window *windows; /* owned */
};

/*
 * The virtqueue whose folder, devices/K/mmio/queues/Q, is at PATH, in *OUT, which is to be put:
 * 0, -ENOENT or -ENOMEM.  RAM, C's, must outlive it; it may be null.
 */
int queue_get(const struct container *c, struct ram *ram, const char *path, struct queue *out);
void queue_put(struct queue *q);

#endif
