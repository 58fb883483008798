/* SPDX-License-Identifier: MIT */
/* What the unit tests take a snapshot's container from, put together by hand. */
#ifndef SMFS_TESTS_SAMPLE_H
#define SMFS_TESTS_SAMPLE_H

#include "check.h"

#include <stdarg.h>

/*
 * A bare container that has everything, put together by hand in pieces that each know
 * where in the tree they are: a model for edits, and a map of its offsets.
 */

enum shape { GLUE, NUMBER, STRINGS, BLOBS, OPTIONAL };

struct piece {
	char path[64];
	enum shape shape; /* GLUE: counts and tags, which are no leaves */
	struct bytes wire;
	uint64_t values; /* NUMBER: how many are valid; 0: all of its width */
};

struct sample {
	struct piece pieces[200];
	size_t count;
};

static inline struct piece *piece(struct sample *s, enum shape shape, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static inline struct piece *piece(struct sample *s, enum shape shape, const char *fmt, ...)
{
	struct piece *p = &s->pieces[s->count++];
	va_list ap;

	ck_assert_uint_le(s->count, sizeof(s->pieces) / sizeof(s->pieces[0]));
	p->shape = shape;
	va_start(ap, fmt);
	vsnprintf(p->path, sizeof(p->path), fmt, ap);
	va_end(ap);
	return p;
}

static inline void sample_queue(struct sample *s, unsigned d, unsigned q)
{
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/size", d, q)->wire, 2, 256);
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/ready", d, q)->wire, 1, q % 2 == 0);
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/desc_table", d, q)->wire, 8,
		 0x1000 * (q + 1));
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/avail_ring", d, q)->wire, 8,
		 0x2000 * (q + 1));
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/used_ring", d, q)->wire, 8,
		 0x3000 * (q + 1));
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/last_avail_idx", d, q)->wire, 2, q);
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/queues/%u/next_used_idx", d, q)->wire, 2,
		 7 + q);
}

static inline void sample_device(struct sample *s, unsigned d, unsigned kind, unsigned queues)
{
	struct piece *p = piece(s, NUMBER, "devices/%u/kind", d);
	unsigned q;

	add_uint(&p->wire, 1, kind);
	p->values = 4;
	p = piece(s, NUMBER, "devices/%u/mmio/driver_features", d);
	add_uint(&p->wire, 4, d + 1);
	add_uint(&p->wire, 4, 0xdeadbeee - d);
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/status", d)->wire, 4, 15);
	add_uint(&piece(s, NUMBER, "devices/%u/mmio/interrupt_status", d)->wire, 4, 1);
	add_uint(&piece(s, GLUE, "devices/%u/mmio/queues", d)->wire, 4, queues);
	for (q = 0; q < queues; q++)
		sample_queue(s, d, q);
}

static inline void sample_listener(struct sample *s, unsigned i, bool inet)
{
	add_uint(&piece(s, NUMBER, "listeners/%u/cid", i)->wire, 8, 3);
	add_uint(&piece(s, NUMBER, "listeners/%u/peer_port", i)->wire, 4, 1000 + i);
	add_uint(&piece(s, NUMBER, "listeners/%u/vm_port", i)->wire, 4, 80);
	add_uint(&piece(s, NUMBER, "listeners/%u/family", i)->wire, 2, 2);
	add_uint(&piece(s, NUMBER, "listeners/%u/socktype", i)->wire, 2, 1);
	add_uint(&piece(s, NUMBER, "listeners/%u/inet_port", i)->wire, 4,
		 inet ? 8080 + i : 0xffffffff);
}

static inline void sample_backings(struct sample *s)
{
	struct piece *p;

	sample_device(s, 0, 0, 2);
	add_uint(&piece(s, GLUE, "devices/0/backing/")->wire, 1, 1);
	add_string(&piece(s, STRINGS, "devices/0/backing/path")->wire, "/var/lib/sm/root.img");
	add_uint(&piece(s, NUMBER, "devices/0/backing/size")->wire, 8, 1 << 30);

	sample_device(s, 1, 1, 3);
	add_uint(&piece(s, GLUE, "devices/1/backing/")->wire, 1, 0);

	sample_device(s, 2, 2, 1);
	add_uint(&piece(s, GLUE, "devices/2/backing/")->wire, 1, 2);
	add_string(&piece(s, STRINGS, "devices/2/backing/path")->wire, "/var/lib/sm/vol-b.img");
	add_uint(&piece(s, NUMBER, "devices/2/backing/size")->wire, 8, 4 << 20);
	add_string(&piece(s, STRINGS, "devices/2/backing/mount")->wire, "/data");

	sample_device(s, 3, 3, 2);
	add_uint(&piece(s, GLUE, "devices/3/backing/")->wire, 1, 3);
	add_string(&piece(s, STRINGS, "devices/3/backing/tag")->wire, "shared");
	add_string(&piece(s, STRINGS, "devices/3/backing/mount")->wire, "/mnt/shared");
	add_string(&piece(s, STRINGS, "devices/3/backing/host_path")->wire, "/srv/share");
	add_uint(&piece(s, NUMBER, "devices/3/backing/dax_gpa")->wire, 8, 1 << 30);
	add_uint(&piece(s, NUMBER, "devices/3/backing/dax_window_len")->wire, 8, 128 << 20);
	p = piece(s, BLOBS, "devices/3/backing/backend_state/raw");
	add_uint(&p->wire, 4, 200);
	add_fill(&p->wire, 0xab, 200);
	p = piece(s, BLOBS, "devices/3/backing/dax_state/raw");
	add_uint(&p->wire, 4, 80);
	add_fill(&p->wire, 0xcd, 80);
}

static inline struct sample *sample_new(void)
{
	static const char *const com1[] = { "ier", "lcr", "mcr", "scr", "dll", "dlm" };
	struct sample *s = calloc(1, sizeof(*s));
	struct piece *p;
	unsigned i;

	add_uint(&piece(s, NUMBER, "num_cpus")->wire, 1, 4);
	add_uint(&piece(s, NUMBER, "mem_size")->wire, 8, 512 << 20);
	for (i = 0; i < 6; i++)
		add_uint(&piece(s, NUMBER, "com1/%s", com1[i])->wire, 1, i + 1);
	add_uint(&piece(s, NUMBER, "clock_host_ticks")->wire, 8, 0x1122334455667788);
	add_uint(&piece(s, NUMBER, "clock_ref")->wire, 8, 0x99aabbccddeeff00);
	add_intc(&piece(s, BLOBS, "intc/raw")->wire);
	add_uint(&piece(s, GLUE, "vcpu")->wire, 4, 4);
	for (i = 0; i < 4; i++) {
		p = piece(s, BLOBS, "vcpu/%u/raw", i);
		add_uint(&p->wire, 4, 64 + i);
		add_fill(&p->wire, (uint8_t)i, 64 + i);
	}
	add_uint(&piece(s, GLUE, "devices")->wire, 4, 4);
	sample_backings(s);
	p = piece(s, OPTIONAL, "tsi_token");
	add_uint(&p->wire, 1, 1);
	add_fill(&p->wire, 0x5a, 32);
	add_uint(&piece(s, GLUE, "listeners")->wire, 4, 3);
	for (i = 0; i < 3; i++)
		sample_listener(s, i, i != 1);
	return s;
}

static inline void sample_free(struct sample *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		bytes_free(&s->pieces[i].wire);
	free(s);
}

/* The bytes of all pieces whose path starts with PREFIX. */
static inline struct bytes sample_bytes(const struct sample *s, const char *prefix)
{
	struct bytes b = { 0 };
	size_t i;

	for (i = 0; i < s->count; i++)
		if (strncmp(s->pieces[i].path, prefix, strlen(prefix)) == 0)
			add(&b, s->pieces[i].wire.at, s->pieces[i].wire.size);
	return b;
}

/* Where the piece at PATH starts. */
static inline size_t sample_offset(const struct sample *s, const char *path)
{
	size_t offset = 0, i;

	for (i = 0; i < s->count; i++) {
		if (strcmp(s->pieces[i].path, path) == 0)
			return offset;
		offset += s->pieces[i].wire.size;
	}
	ck_abort_msg("the sample has no %s", path);
	return 0;
}

/* All that there can be. */
static inline struct bytes full_bytes(void)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");

	sample_free(s);
	return b;
}

#endif
