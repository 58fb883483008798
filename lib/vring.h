/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues in guest memory (Virtual I/O Device specification 1.3, "Split
 * Virtqueues"), with its terms.  Nothing that the guest says is believed: time and
 * memory are bounded by VRING_FOLLOWED.
 */
#ifndef SMFS_VRING_H
#define SMFS_VRING_H

#include "buffer.h"
#include "finding.h"
#include "guest_memory.h"

/* The most descriptors that are followed in one virtqueue. */
enum { VRING_FOLLOWED = 1 << 17 };

/* The greatest number of descriptors that a split virtqueue may have. */
enum { VRING_SIZE_MAX = 32768 };

/* Guest-physical addresses that are no RAM and still the guest's: a share's DAX window. */
struct vring_window {
	uint64_t gpa;
	uint64_t size; /* bytes */
};

/* A virtqueue as the snapshot has it.  Owns nothing. */
struct virtqueue {
	struct guest_memory memory;
	const struct vring_window *windows;
	unsigned window_count;
	uint64_t features; /* that the driver accepted */
	bool ready;
	uint16_t size; /* descriptors */
	uint64_t desc_table, avail_ring, used_ring; /* guest-physical addresses */
	uint16_t last_avail_idx, next_used_idx;
};

/*
 * Tell TO what is wrong with Q, by the names of the files in the queue's folder and of the
 * ring.  What is not ready has nothing wrong.  A ring that cannot be read, as guest memory is not
 * to be had, is a note.
 */
void vring_check(const struct virtqueue *q, const struct findings *to);

/*
 * Append a text, one fact a line, to OUT: the indices, what is owed, each descriptor of the
 * chains that are pending, and what is wrong with them.
 */
void vring_print(const struct virtqueue *q, struct buffer *out);

#endif
