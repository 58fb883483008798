/* SPDX-License-Identifier: MIT */
#include "vring.h"

#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

enum { DESC_SIZE = 16, USED_ELEM_SIZE = 8 };

/* A descriptor, in this machine's order of bytes. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* Both rings' fields. */
struct indices {
	uint16_t avail_flags, avail_idx, used_event;
	uint16_t used_flags, used_idx, avail_event;
};

/* One look at a virtqueue. */
struct look {
	const struct virtqueue *q;
	const struct findings *to;
	struct buffer *text; /* null: only faults are wanted */
	uint8_t *seen;       /* a bit for each descriptor of the table: it is in a chain */
	unsigned followed;
	bool lost;           /* memory could not be read: the file does not have it */
	struct guest_pages pages;
};

static bool has_feature(const struct virtqueue *q, unsigned bit)
{
	return q->features >> bit & 1;
}

static void line(struct look *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct look *l, const char *format, ...)
{
	char text[512];
	va_list ap;
	int n;

	if (!l->text)
		return;
	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	buffer_add(l->text, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/*
 * Memory
 */

static bool take(struct look *l, void *to, size_t n, uint64_t gpa)
{
	int err = guest_read_kept(&l->q->memory, &l->pages, to, n, gpa);

	l->lost |= err == -EIO;
	return !err;
}

static uint16_t take_u16(struct look *l, uint64_t gpa)
{
	uint8_t bytes[2] = { 0 };

	take(l, bytes, sizeof(bytes), gpa);
	return (uint16_t)le_get(bytes, 2);
}

static bool take_desc(struct look *l, uint64_t gpa, struct desc *d)
{
	uint8_t bytes[DESC_SIZE];

	if (!take(l, bytes, sizeof(bytes), gpa))
		return false;
	*d = (struct desc){
		.addr = le_get(bytes, 8),
		.len = (uint32_t)le_get(bytes + 8, 4),
		.flags = (uint16_t)le_get(bytes + 12, 2),
		.next = (uint16_t)le_get(bytes + 14, 2),
	};
	return true;
}

/* The rings are memory, as was seen to: an address in them cannot wrap around. */
static void take_indices(struct look *l, struct indices *i)
{
	const struct virtqueue *q = l->q;

	i->avail_flags = take_u16(l, q->avail_ring);
	i->avail_idx = take_u16(l, q->avail_ring + 2);
	i->used_flags = take_u16(l, q->used_ring);
	i->used_idx = take_u16(l, q->used_ring + 2);
	if (has_feature(q, VIRTIO_RING_F_EVENT_IDX)) {
		i->used_event = take_u16(l, q->avail_ring + 4 + 2u * q->size);
		i->avail_event = take_u16(l, q->used_ring + 4 + (uint64_t)USED_ELEM_SIZE * q->size);
	}
}

static bool in_window(const struct virtqueue *q, uint64_t gpa, uint64_t n)
{
	unsigned i;

	for (i = 0; i < q->window_count; i++) {
		const struct vring_window *w = &q->windows[i];

		if (gpa >= w->gpa && gpa - w->gpa <= w->size && n <= w->size - (gpa - w->gpa))
			return true;
	}
	return false;
}

static const char *where(const struct virtqueue *q, const struct desc *d)
{
	if (guest_has(&q->memory, d->addr, d->len))
		return "RAM";
	return in_window(q, d->addr, d->len) ? "DAX window" : "nowhere";
}

/*
 * What the snapshot itself says
 */

struct part {
	const char *name;
	uint64_t gpa, size;
	unsigned align;
};

static bool check_part(struct look *l, const struct part *p)
{
	if (p->gpa % p->align)
		finding_tell(l->to, LEVEL_ERROR, p->name, "an address that is a multiple",
			     "0x%" PRIx64 " is not a multiple of %u", p->gpa, p->align);
	if (guest_has(&l->q->memory, p->gpa, p->size))
		return true;
	if (!guest_size(&l->q->memory)) {
		finding_tell(l->to, LEVEL_NOTE, p->name, "a snapshot with its RAM",
			     "guest memory is not to be had, the ring is not judged");
		return false;
	}
	finding_tell(l->to, LEVEL_ERROR, p->name, "an address in RAM",
		     "0x%" PRIx64 " and the %" PRIu64 " bytes from there are not all in RAM [0x%" PRIx64 ", 0x%" PRIx64 ")",
		     p->gpa, p->size, l->q->memory.base,
		     l->q->memory.base + guest_size(&l->q->memory));
	return false;
}

/* Whether there is a ring to look at. */
static bool check_layout(struct look *l)
{
	const struct virtqueue *q = l->q;
	unsigned event = has_feature(q, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;
	const struct part parts[] = {
		{ "desc_table", q->desc_table, (uint64_t)DESC_SIZE * q->size, 16 },
		{ "avail_ring", q->avail_ring, 4 + 2u * q->size + event, 2 },
		{ "used_ring", q->used_ring, 4 + (uint64_t)USED_ELEM_SIZE * q->size + event, 4 },
	};
	bool there = true;
	unsigned i;

	if (q->size == 0 || q->size > VRING_SIZE_MAX || q->size & (q->size - 1)) {
		finding_tell(l->to, LEVEL_ERROR, "size", "a power of 2, at most 32768",
			     "a split virtqueue cannot have %u descriptors", q->size);
		return false;
	}
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		there &= check_part(l, &parts[i]);
		/* Without memory they are all the same. */
		if (!there && !guest_size(&q->memory))
			break;
	}
	return there;
}

/*
 * Chains
 */

static void fault(struct look *l, const char *right, uint16_t entry, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void fault(struct look *l, const char *right, uint16_t entry, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	finding_tell(l->to, LEVEL_ERROR, "ring", right, "available entry %u: %s", entry, text);
}

/* A place in a chain: descriptor HEAD of the table, or with it INDEX of the table it names. */
struct chain {
	uint16_t entry;
	unsigned count; /* descriptors so far */
	bool writable;  /* one was that the device writes */
	uint64_t bytes;
};

static void show_desc(struct look *l, const struct chain *c, const char *name,
		      const struct desc *d)
{
	line(l, "%u: desc %s: addr 0x%" PRIx64 " len %" PRIu32 "%s%s%s: %s\n", c->entry, name,
	     d->addr, d->len, d->flags & VRING_DESC_F_NEXT ? " NEXT" : "",
	     d->flags & VRING_DESC_F_WRITE ? " WRITE" : "",
	     d->flags & VRING_DESC_F_INDIRECT ? " INDIRECT" : "", where(l->q, d));
}

/* What is wrong with the buffer of D. */
static void check_buffer(struct look *l, struct chain *c, const char *name, const struct desc *d)
{
	bool write = d->flags & VRING_DESC_F_WRITE;

	if (strcmp(where(l->q, d), "nowhere") == 0)
		fault(l, "a buffer in RAM", c->entry,
		      "desc %s: 0x%" PRIx64 " and the %" PRIu32 " bytes from there are nowhere", name,
		      d->addr, d->len);
	if (c->writable && !write)
		fault(l, "what the device reads comes first", c->entry,
		      "desc %s: the device reads it, after one that it writes", name);
	c->writable |= write;
	if (c->bytes <= UINT32_MAX && c->bytes + d->len > UINT32_MAX)
		fault(l, "at most 2^32 - 1 bytes in a chain", c->entry,
		      "desc %s: the chain has more than 2^32 - 1 bytes", name);
	c->bytes += d->len;
}

/* One more descriptor in C, and in all: whether to go on. */
static bool count_desc(struct look *l, struct chain *c, const char *name)
{
	if (++c->count > l->q->size) {
		fault(l, "a chain that ends", c->entry,
		      "desc %s: the chain is longer than the queue's size, %u: a loop?", name,
		      l->q->size);
		return false;
	}
	return l->followed++ < VRING_FOLLOWED;
}

/* The chain in the table that D, descriptor HEAD, names. */
static void follow_indirect(struct look *l, struct chain *c, uint16_t head, const struct desc *d)
{
	uint32_t size = d->len / DESC_SIZE, index = 0;
	struct desc next;
	char name[32];

	snprintf(name, sizeof(name), "%u", head);
	if (!has_feature(l->q, VIRTIO_RING_F_INDIRECT_DESC))
		fault(l, "VIRTIO_RING_F_INDIRECT_DESC in driver_features", c->entry,
		      "desc %s: is INDIRECT, which was not agreed on", name);
	if (d->flags & VRING_DESC_F_NEXT)
		fault(l, "one of both", c->entry, "desc %s: has INDIRECT and NEXT", name);
	if (!size || d->len % DESC_SIZE)
		fault(l, "whole descriptors", c->entry,
		      "desc %s: an indirect table of %" PRIu32 " bytes is not made of descriptors", name,
		      d->len);
	if (!guest_has(&l->q->memory, d->addr, d->len)) {
		fault(l, "a table in RAM", c->entry,
		      "desc %s: the indirect table at 0x%" PRIx64 " is not all in RAM", name, d->addr);
		return;
	}
	/* The descriptor that names the table is no part of the chain. */
	c->count--;
	while (size) {
		snprintf(name, sizeof(name), "%u[%" PRIu32 "]", head, index);
		if (!count_desc(l, c, name) ||
		    !take_desc(l, d->addr + (uint64_t)DESC_SIZE * index, &next))
			return;
		show_desc(l, c, name, &next);
		if (next.flags & VRING_DESC_F_INDIRECT) {
			fault(l, "a table of buffers", c->entry,
			      "desc %s: INDIRECT in an indirect table", name);
			return;
		}
		check_buffer(l, c, name, &next);
		if (!(next.flags & VRING_DESC_F_NEXT))
			return;
		if (next.next >= size) {
			fault(l, "an index in the table", c->entry,
			      "desc %s: next is %u, the table has %" PRIu32, name, next.next, size);
			return;
		}
		index = next.next;
	}
}

static void follow_chain(struct look *l, uint16_t entry, uint16_t head)
{
	struct chain c = { .entry = entry };
	struct desc d;
	char name[16];

	if (head >= l->q->size) {
		fault(l, "an index in the table", entry, "head is %u, the table has %u", head,
		      l->q->size);
		return;
	}
	for (;;) {
		snprintf(name, sizeof(name), "%u", head);
		/* Each is in one chain, once: so many are followed as there are, and loops end. */
		if (l->seen[head / 8] >> head % 8 & 1) {
			fault(l, "a descriptor in one place", entry,
			      "desc %s: is in this chain or another pending one already", name);
			return;
		}
		l->seen[head / 8] |= (uint8_t)(1u << head % 8);
		if (!count_desc(l, &c, name) ||
		    !take_desc(l, l->q->desc_table + (uint64_t)DESC_SIZE * head, &d))
			return;
		show_desc(l, &c, name, &d);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			follow_indirect(l, &c, head, &d);
			return;
		}
		check_buffer(l, &c, name, &d);
		if (!(d.flags & VRING_DESC_F_NEXT))
			return;
		if (d.next >= l->q->size) {
			fault(l, "an index in the table", entry,
			      "desc %s: next is %u, the table has %u", name, d.next, l->q->size);
			return;
		}
		head = d.next;
	}
}

static void follow_chains(struct look *l, uint16_t pending)
{
	const struct virtqueue *q = l->q;
	uint16_t i, entry;

	l->seen = calloc(q->size / 8u + 1, 1);
	if (!l->seen) {
		if (l->text)
			l->text->failed = true;
		return;
	}
	for (i = 0; i < pending && l->followed < VRING_FOLLOWED; i++) {
		entry = (uint16_t)(q->last_avail_idx + i);
		follow_chain(l, entry, take_u16(l, q->avail_ring + 4 + 2u * (entry % q->size)));
	}
	if (l->followed >= VRING_FOLLOWED)
		finding_tell(l->to, LEVEL_WARNING, "ring", "fewer descriptors",
			     "more than %d descriptors are pending, the rest is not judged",
			     VRING_FOLLOWED);
	free(l->seen);
}

/*
 * Indices
 */

/* Whether a driver or device that went from OLD to NEW passed EVENT. */
static bool passed(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

static void show_owed(struct look *l, const struct indices *i, uint16_t pending)
{
	const struct virtqueue *q = l->q;
	bool notify, interrupt;

	if (!has_feature(q, VIRTIO_RING_F_EVENT_IDX)) {
		notify = pending && !(i->used_flags & VRING_USED_F_NO_NOTIFY);
		line(l, "notification: %s%s\n", notify ? "owed" : "not owed",
		     i->used_flags & VRING_USED_F_NO_NOTIFY ? ", the device wants none" : "");
		line(l, "interrupt: %s\n", i->avail_flags & VRING_AVAIL_F_NO_INTERRUPT
						   ? "not owed, the driver wants none"
						   : "the driver wants one a used buffer");
		return;
	}
	notify = passed(i->avail_event, i->avail_idx, q->last_avail_idx);
	/* What the driver has seen of the used ring is its own: at most a ring ago. */
	interrupt = passed(i->used_event, i->used_idx, (uint16_t)(i->used_idx - q->size));
	line(l, "notification: %s, avail_event %u\n", notify ? "owed" : "not owed", i->avail_event);
	line(l, "interrupt: %s, used_event %u\n", interrupt ? "owed" : "not owed", i->used_event);
}

/* The chains that are pending; 0 where the indices cannot be right. */
static uint16_t check_indices(struct look *l, const struct indices *i)
{
	const struct virtqueue *q = l->q;
	uint16_t pending = (uint16_t)(i->avail_idx - q->last_avail_idx);
	uint16_t in_flight = (uint16_t)(q->last_avail_idx - q->next_used_idx);

	if (i->used_idx != q->next_used_idx)
		finding_tell(l->to, LEVEL_ERROR, "next_used_idx", "both the same",
			     "%u, and used.idx in memory is %u: the driver would see buffers that were not used, or miss some",
			     q->next_used_idx, i->used_idx);
	if (in_flight > q->size)
		finding_tell(l->to, LEVEL_ERROR, "next_used_idx", "at most size of them between the two",
			     "%u, and last_avail_idx is %u: %u buffers in use in a queue of %u",
			     q->next_used_idx, q->last_avail_idx, in_flight, q->size);
	else if (in_flight)
		finding_tell(l->to, LEVEL_WARNING, "next_used_idx", "a queue at rest",
			     "%u buffers were taken and not given back: what becomes of them is the device's",
			     in_flight);
	if (pending <= q->size)
		return pending;
	finding_tell(l->to, LEVEL_ERROR, "last_avail_idx", "avail.idx, or at most size before it",
		     "%u, and avail.idx in memory is %u: %u chains cannot be pending in a queue of %u",
		     q->last_avail_idx, i->avail_idx, pending, q->size);
	return 0;
}

static void look(struct look *l)
{
	const struct virtqueue *q = l->q;
	struct indices i = { 0 };
	uint16_t pending;

	if (!q->ready) {
		line(l, "not ready\n");
		return;
	}
	if (has_feature(q, VIRTIO_F_RING_PACKED)) {
		line(l, "a packed virtqueue, which is not decoded\n");
		finding_tell(l->to, LEVEL_NOTE, "ring", "a split virtqueue",
			     "a packed virtqueue is not judged");
		return;
	}
	line(l, "size: %u\n", q->size);
	if (!check_layout(l))
		return;
	take_indices(l, &i);
	if (!l->lost) {
		line(l, "avail: idx %u, last_avail_idx %u, %u pending\n", i.avail_idx,
		     q->last_avail_idx, (uint16_t)(i.avail_idx - q->last_avail_idx));
		line(l, "used: idx %u, next_used_idx %u, %u in use\n", i.used_idx, q->next_used_idx,
		     (uint16_t)(q->last_avail_idx - q->next_used_idx));
		pending = check_indices(l, &i);
		show_owed(l, &i, pending);
		follow_chains(l, pending);
	}
	if (l->lost)
		finding_tell(l->to, LEVEL_NOTE, "ring", "a snapshot, and its base, with all of the RAM",
			     "guest memory is not to be had, the ring is not judged");
}

void vring_check(const struct virtqueue *q, const struct findings *to)
{
	look(&(struct look){ .q = q, .to = to });
}

static void print_finding(void *ctx, const struct finding *f)
{
	struct look *l = ctx;

	line(l, "%s %s: %s; %s\n", level_name(f->level), f->path, f->wrong, f->right);
}

void vring_print(const struct virtqueue *q, struct buffer *out)
{
	struct look l = { .q = q, .text = out };
	struct findings to = { print_finding, &l };

	l.to = &to;
	look(&l);
}
