/* SPDX-License-Identifier: MIT */
#include "guest_dmesg.h"

#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "le.h"

/* A record's text, whose size has 16 bits. */
enum { TEXT_MAX = 65535 };

/* Records of a ring that are gone through: the newest so many. */
static const uint64_t RECORDS_MAX = UINT64_C(1) << 18;

/* Records of the older buffer, where the oldest is the first: as many as a file has room for, without text. */
static const uint64_t OLD_RECORDS_MAX = GUEST_FILE_MAX / (sizeof("[    0.000000] \n") - 1);

/*
 * Pages that are read, page tables among them.  What those records have in the largest log that a kernel is
 * built with, 2^25 bytes of text, takes less than half of it: they are one after the other.
 */
static const uint64_t READS_MAX = UINT64_C(1) << 18;

struct guest_log {
	struct guest_space *space;
	uint64_t reads_end; /* of the space's pages: what it may have read in the end */
	uint8_t *text;      /* TEXT_MAX bytes */
	guest_record_fn *fn;
	void *ctx;
	struct error *e;
};

/* Hand over the record of TIME with the SIZE bytes of text at VA. */
static int hand_over(struct guest_log *l, uint64_t time, uint64_t va, size_t size)
{
	struct guest_record r = { time, va, size };

	return l->fn(l->ctx, l, &r);
}

/* Whether more may be read: 0, -ERR_MALFORMED. */
static int check_reads(const struct guest_log *l)
{
	return l->space->pages.reads <= l->reads_end ? 0
		: error_set(l->e, ERR_MALFORMED, "the kernel's log is in more places than a log can be: it is damaged");
}

int guest_record_text(struct guest_log *l, const struct guest_record *r, size_t n, const uint8_t **text)
{
	int err = guest_read_virtual(l->space, l->text, n, r->va);

	*text = l->text;
	return err ? guest_unreadable(err, "the text of a record of the kernel's log", l->e) : 0;
}

/*
 * The ring of Linux 5.10 and later: descriptors, each with a place in the text's ring, and
 * an info for each.
 */

/* What VMCOREINFO says of it. */
struct ring_layout {
	uint64_t prb;
	uint64_t desc_ring, text_ring;                     /* in the ring */
	uint64_t count_bits, descs, infos, head_id, tail_id; /* in desc_ring */
	uint64_t size_bits, data;                          /* in text_ring */
	uint64_t desc_size, state, lpos, begin, next;      /* of a descriptor */
	uint64_t info_size, time, text_len;                /* of an info */
	uint64_t counter;                                  /* of an atomic number */
};

/* As it is now. */
struct ring {
	struct ring_layout in;
	unsigned count_bits, size_bits;
	uint64_t descs, infos, data, head_id, tail_id;
};

/* Identifiers have 62 bits, and the two above them are the descriptor's state. */
static const uint64_t ID_MASK = UINT64_MAX >> 2;
enum { STATE_SHIFT = 62, COMMITTED = 1, FINALIZED = 2 };

/* Before a block's text stands its descriptor's identifier. */
enum { BLOCK_HEAD = 8 };

static int find_ring(const struct vmcoreinfo *info, struct ring_layout *l, struct error *e)
{
	const struct vmcoreinfo_want want[] = {
		{ "SYMBOL(prb)", &l->prb },
		{ "OFFSET(printk_ringbuffer.desc_ring)", &l->desc_ring },
		{ "OFFSET(printk_ringbuffer.text_data_ring)", &l->text_ring },
		{ "OFFSET(prb_desc_ring.count_bits)", &l->count_bits },
		{ "OFFSET(prb_desc_ring.descs)", &l->descs },
		{ "OFFSET(prb_desc_ring.infos)", &l->infos },
		{ "OFFSET(prb_desc_ring.head_id)", &l->head_id },
		{ "OFFSET(prb_desc_ring.tail_id)", &l->tail_id },
		{ "OFFSET(prb_data_ring.size_bits)", &l->size_bits },
		{ "OFFSET(prb_data_ring.data)", &l->data },
		{ "SIZE(prb_desc)", &l->desc_size },
		{ "OFFSET(prb_desc.state_var)", &l->state },
		{ "OFFSET(prb_desc.text_blk_lpos)", &l->lpos },
		{ "OFFSET(prb_data_blk_lpos.begin)", &l->begin },
		{ "OFFSET(prb_data_blk_lpos.next)", &l->next },
		{ "SIZE(printk_info)", &l->info_size },
		{ "OFFSET(printk_info.ts_nsec)", &l->time },
		{ "OFFSET(printk_info.text_len)", &l->text_len },
		{ "OFFSET(atomic_long_t.counter)", &l->counter },
		{ 0 }
	};
	const char *missing = vmcoreinfo_numbers(info, want);

	return missing ? error_set(e, ENOENT, "VMCOREINFO lacks %s", missing) : 0;
}

/* A number that is read: WIDTH bytes at VA, into *OUT. */
struct number {
	uint64_t va;
	unsigned width;
	uint64_t *out;
};

static int read_ring(struct guest_space *s, struct ring *r, struct error *e)
{
	const struct ring_layout *l = &r->in;
	uint64_t prb = 0, desc, text, count_bits = 0, size_bits = 0;
	int err = guest_read_number(s, l->prb, 8, &prb);
	size_t i;

	desc = prb + l->desc_ring;
	text = prb + l->text_ring;
	{
		const struct number numbers[] = {
			{ desc + l->count_bits, 4, &count_bits },
			{ desc + l->descs, 8, &r->descs },
			{ desc + l->infos, 8, &r->infos },
			{ desc + l->head_id + l->counter, 8, &r->head_id },
			{ desc + l->tail_id + l->counter, 8, &r->tail_id },
			{ text + l->size_bits, 4, &size_bits },
			{ text + l->data, 8, &r->data },
		};

		for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && !err; i++)
			err = guest_read_number(s, numbers[i].va, numbers[i].width, numbers[i].out);
	}
	if (err)
		return guest_unreadable(err, "the kernel's log", e);
	if (count_bits > 24 || size_bits < 3 || size_bits > 31)
		return error_set(e, ERR_MALFORMED,
				 "the kernel's log has 2^%llu records and 2^%llu bytes, which cannot be: it is damaged",
				 (unsigned long long)count_bits, (unsigned long long)size_bits);
	r->count_bits = (unsigned)count_bits;
	r->size_bits = (unsigned)size_bits;
	r->head_id &= ID_MASK;
	r->tail_id &= ID_MASK;
	return 0;
}

/* Where the block from BEGIN to NEXT is in the text's ring, and its size; false if there is none. */
static bool block(const struct ring *r, uint64_t begin, uint64_t next, uint64_t *at, uint64_t *size)
{
	uint64_t ring = UINT64_C(1) << r->size_bits, mask = ring - 1;

	if (begin >> r->size_bits == (next - 1) >> r->size_bits) {
		*at = begin & mask;
		*size = next - begin;
	} else {
		/* It did not fit before the ring's end. */
		*at = 0;
		*size = next & mask;
	}
	return *size >= BLOCK_HEAD && *size <= ring - *at;
}

/* Hand over the record ID, if it is one. */
static int ring_record(struct guest_log *l, const struct ring *r, uint64_t id)
{
	uint64_t index = id & ((UINT64_C(1) << r->count_bits) - 1);
	uint64_t desc = r->descs + index * r->in.desc_size;
	uint64_t info = r->infos + index * r->in.info_size;
	uint64_t state, begin, next, time, text_len, at, size, block_id;
	int err = guest_read_number(l->space, desc + r->in.state + r->in.counter, 8, &state);

	if (err)
		return guest_unreadable(err, "a record of the kernel's log", l->e);
	if ((state & ID_MASK) != id ||
	    (state >> STATE_SHIFT != COMMITTED && state >> STATE_SHIFT != FINALIZED))
		return 0;
	err = guest_read_number(l->space, desc + r->in.lpos + r->in.begin, 8, &begin);
	if (!err)
		err = guest_read_number(l->space, desc + r->in.lpos + r->in.next, 8, &next);
	if (!err)
		err = guest_read_number(l->space, info + r->in.time, 8, &time);
	if (!err)
		err = guest_read_number(l->space, info + r->in.text_len, 2, &text_len);
	if (err)
		return guest_unreadable(err, "a record of the kernel's log", l->e);
	/* A place that is odd is none: the record has no text, or lost it. */
	if (begin & 1)
		return hand_over(l, time, 0, 0);
	if (!block(r, begin, next, &at, &size))
		return 0;
	err = guest_read_number(l->space, r->data + at, BLOCK_HEAD, &block_id);
	if (err)
		return guest_unreadable(err, "the text of a record of the kernel's log", l->e);
	if (block_id != id)
		return 0;
	size -= BLOCK_HEAD;
	return hand_over(l, time, r->data + at + BLOCK_HEAD, text_len < size ? text_len : size);
}

static int ring_records(struct guest_log *l, struct guest_kernel *k)
{
	struct ring r = { 0 };
	uint64_t count, id, most;
	int err = find_ring(&k->info, &r.in, l->e);

	if (!err)
		err = read_ring(&k->space, &r, l->e);
	if (err)
		return err;
	most = UINT64_C(1) << r.count_bits;
	if (most > RECORDS_MAX)
		most = RECORDS_MAX;
	count = ((r.head_id - r.tail_id) & ID_MASK) + 1;
	if (count > most)
		count = most;
	for (id = (r.head_id - count + 1) & ID_MASK; count > 0 && !err; count--, id = (id + 1) & ID_MASK) {
		err = check_reads(l);
		if (!err)
			err = ring_record(l, &r, id);
	}
	return err;
}

/*
 * The buffer before that: records one after the other, each with its size.
 */

struct old_layout {
	uint64_t log_buf, log_buf_len, first, next; /* symbols */
	uint64_t size, time, len, text_len;         /* of a record */
};

static int old_is_damaged(const struct guest_log *l)
{
	return error_set(l->e, ERR_MALFORMED, "the kernel's log has no end: it is damaged");
}

/* Hand over the record at AT in the buffer of BUF_LEN bytes at BUF; in *LEN what it takes there, 0 for the last. */
static int old_record(struct guest_log *l, const struct old_layout *o, uint64_t buf, uint64_t buf_len,
		      uint64_t at, uint64_t *len)
{
	uint64_t time, text_len, place;
	int err = guest_read_number(l->space, buf + at + o->len, 2, len);

	if (!err)
		err = guest_read_number(l->space, buf + at + o->time, 8, &time);
	if (!err)
		err = guest_read_number(l->space, buf + at + o->text_len, 2, &text_len);
	if (err)
		return guest_unreadable(err, "a record of the kernel's log", l->e);
	place = *len ? *len : buf_len - at;
	if (o->size > place || text_len > place - o->size)
		return error_set(l->e, ERR_MALFORMED,
				 "a record of the kernel's log is longer than its place: it is damaged");
	return hand_over(l, time, buf + at + o->size, text_len);
}

static int old_records(struct guest_log *l, struct guest_kernel *k)
{
	struct old_layout o;
	const struct vmcoreinfo_want want[] = {
		{ "SYMBOL(log_buf)", &o.log_buf },
		{ "SYMBOL(log_buf_len)", &o.log_buf_len },
		{ "SYMBOL(log_first_idx)", &o.first },
		{ "SYMBOL(log_next_idx)", &o.next },
		{ "SIZE(printk_log)", &o.size },
		{ "OFFSET(printk_log.ts_nsec)", &o.time },
		{ "OFFSET(printk_log.len)", &o.len },
		{ "OFFSET(printk_log.text_len)", &o.text_len },
		{ 0 }
	};
	const char *missing = vmcoreinfo_numbers(&k->info, want);
	uint64_t buf, buf_len, first, next, at, count, len;
	bool wrapped = false;
	int err;

	if (missing)
		return error_set(l->e, ENOENT, "VMCOREINFO lacks %s", missing);
	err = guest_read_number(l->space, o.log_buf, 8, &buf);
	if (!err)
		err = guest_read_number(l->space, o.log_buf_len, 4, &buf_len);
	if (!err)
		err = guest_read_number(l->space, o.first, 4, &first);
	if (!err)
		err = guest_read_number(l->space, o.next, 4, &next);
	if (err)
		return guest_unreadable(err, "the kernel's log", l->e);
	for (at = first, count = 0; at != next && !err; count++) {
		if (at >= buf_len)
			return old_is_damaged(l);
		if (count > OLD_RECORDS_MAX)
			return error_set(l->e, ERR_MALFORMED,
					 "the kernel's log has more records than a log can have: it is damaged");
		err = check_reads(l);
		if (!err)
			err = old_record(l, &o, buf, buf_len, at, &len);
		if (!err && len == 0) {
			/* The next did not fit before the buffer's end, which is passed once. */
			if (wrapped)
				return old_is_damaged(l);
			wrapped = true;
			at = 0;
		} else if (!err) {
			at += len;
		}
	}
	return err;
}

int guest_records(struct guest_kernel *k, guest_record_fn *fn, void *ctx, struct error *e)
{
	struct guest_log l = {
		&k->space, k->space.pages.reads + READS_MAX, malloc(TEXT_MAX), fn, ctx, e
	};
	uint64_t prb;
	int err;

	if (!l.text)
		return error_set(e, ENOMEM, "out of memory");
	if (vmcoreinfo_number(&k->info, "SYMBOL(prb)", &prb))
		err = ring_records(&l, k);
	else
		err = old_records(&l, k);
	free(l.text);
	return err;
}

struct print {
	struct buffer *out;
	struct error *e;
};

/* As vmcore-dmesg has it: what is printed or white in ASCII. */
static bool is_shown(uint8_t c)
{
	return (c >= ' ' && c < 0x7f) || (c >= '\t' && c <= '\r');
}

static int print_record(void *ctx, struct guest_log *l, const struct guest_record *r)
{
	static const char digits[] = "0123456789abcdef";
	struct print *p = ctx;
	unsigned long long s = r->time / 1000000000, us = r->time / 1000 % 1000000;
	const uint8_t *text;
	size_t i, from;
	int err = guest_record_text(l, r, r->size, &text);

	if (err)
		return err;
	if (guest_print(p->out, p->e, "[%5llu.%06llu] ", s, us))
		return -p->e->code;
	for (i = from = 0; i < r->size; i++) {
		if (is_shown(text[i]))
			continue;
		buffer_add(p->out, text + from, i - from);
		buffer_add(p->out, (char[]){ '\\', 'x', digits[text[i] >> 4], digits[text[i] & 15] }, 4);
		from = i + 1;
	}
	buffer_add(p->out, text + from, i - from);
	return guest_print(p->out, p->e, "\n");
}

int guest_dmesg(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	struct print p = { out, e };

	return guest_records(k, print_record, &p, e);
}
