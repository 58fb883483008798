/* SPDX-License-Identifier: MIT */
/*
 * Programs that open, write, truncate and close the files of a mount in any order,
 * against a model of what docs/tree.md says ("Files", "Edits").
 *
 * An input is a byte that chooses whether edits are saved, the container with its size
 * before it (u16; where it is none, that in full.bin is taken, and with a size that is too large
 * that in states.bin, whose blobs are understood) and then operations: a byte that says which,
 * and its operands.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "fuzz.h"
#include "le.h"

/* The first byte of an input. */
enum { LARGE = 249, SAVED = 250 };

enum { LEAVES_MAX = 192, HANDLES_MAX = 4, OPERATIONS_MAX = 32 };

/* One in so many of the numbers in blobs is operated on. */
enum { INSIDE_STEP = 8 };

/* A leaf, and what it is known to be. */
struct leaf {
	struct node node;
	struct world *world;
	const struct field *row;
	struct leaf *blob; /* that it is inside of, or null */
	bool read_only;
	bool text;
	size_t old_size; /* in the container as it was read */
	struct buffer value;
	unsigned edits;
	bool truncated;  /* text: the next write starts from nothing */
	bool drafting;
	bool emptied;    /* bytes: by O_TRUNC, and not written since */
	const struct handle *emptier; /* whose it was */
	bool kept;       /* the last write was refused, or what is inside was edited since it was emptied */
	struct buffer draft;
};

/* A view, which shows bytes of the container from OFFSET on. */
struct view {
	struct node node;
	size_t old_size;
};

struct handle {
	struct file *file; /* null: not open */
	struct leaf *leaf;
	int flags;
	struct buffer text; /* as it was written here */
	bool fresh;
	struct buffer value; /* of the leaf after that */
	bool truncated;     /* not yet written since */
	bool told;          /* by ftruncate */
	bool wrote;         /* bytes, in the draft */
	int lost;           /* why such bytes were not saved; flush is yet to say so */
};

struct world {
	struct mount mount;
	struct files files;
	struct container *container;
	struct buffer original; /* its bytes */
	struct leaf leaves[LEAVES_MAX];
	size_t leaf_count;
	size_t inside_count; /* leaves in blobs, operated on or not */
	struct view views[LEAVES_MAX];
	size_t view_count;
	struct handle handles[HANDLES_MAX];
	struct snapshot *snapshot; /* null: nothing is saved */
	char path[4200];           /* of its file */
	struct buffer saved;       /* what its file is to be */
	bool large;                /* strings may be as long as can be, which takes time */
	bool unsaved;              /* edits wait for a sync */
	bool disturbed;            /* another program changed it: no edit can be saved */
};

static void copy(struct buffer *to, const void *p, size_t n)
{
	to->size = 0;
	buffer_add(to, n ? p : NULL, n);
	demand(!to->failed, "out of memory");
}

/*
 * The model
 */

static void show(struct leaf *l, struct buffer *out);

/* What is inside a blob is there as long as the blob says so. */
static bool is_there(const struct leaf *l)
{
	return !l->blob || !container_check(l->world->container, l->node);
}

/* The bytes that the blob of L shows, in OUT, and where L is in them. */
static size_t show_around(const struct leaf *l, struct buffer *out)
{
	uint64_t at = 0;

	show(l->blob, out);
	demand(!container_offset_inside(l->world->container, l->node, &at) && at <= out->size &&
	       l->row->size <= out->size - at, "it is not in its blob");
	return (size_t)at;
}

/* Have the value of a leaf inside a blob be what the blob shows: false if it is not there. */
static bool load(struct leaf *l)
{
	struct buffer around = { 0 };
	size_t at;

	if (!l->blob)
		return true;
	l->value.size = 0;
	if (!is_there(l))
		return false;
	at = show_around(l, &around);
	copy(&l->value, around.bytes + at, l->row->size);
	buffer_free(&around);
	return true;
}

/* What the leaf's file shows; nothing if it is not there. */
static void show(struct leaf *l, struct buffer *out)
{
	char number[24];
	uint64_t v;

	out->size = 0;
	if (!load(l))
		return;
	if (l->drafting)
		copy(out, l->draft.bytes, l->draft.size);
	else
		copy(out, l->value.bytes, l->value.size);
	if (l->drafting || !l->text)
		return;
	if (l->row->kind == UINT) {
		v = le_get(l->value.bytes, l->row->size);
		if (l->row->none && v == l->row->none) {
			copy(out, "none\n", 5);
			return;
		}
		v &= l->row->shown ? (UINT64_C(1) << 8 * l->row->shown) - 1 : UINT64_MAX;
		if (l->row->base == BOOL)
			v = v != 0;
		snprintf(number, sizeof(number), l->row->base == HEX ? "0x%llx" : "%llu",
			 (unsigned long long)v);
		if (l->row->words)
			copy(out, l->row->words[v], strlen(l->row->words[v]));
		else
			copy(out, number, strlen(number));
	}
	buffer_add(out, "\n", 1);
}

static size_t shown_size(struct leaf *l)
{
	struct buffer shown = { 0 };
	size_t size;

	show(l, &shown);
	size = shown.size;
	buffer_free(&shown);
	return size;
}

static void model_end_draft(struct leaf *l, int err);
static int set_value(struct leaf *l, const void *p, size_t n);

/* The same for a leaf inside a blob: the blob is what it shows, with that in it. */
static int set_inside(struct leaf *l, const void *p)
{
	struct buffer around = { 0 };
	size_t at;
	int err;

	if (!is_there(l))
		return -ESTALE;
	at = show_around(l, &around);
	memcpy(around.bytes + at, p, l->row->size);
	err = set_value(l->blob, around.bytes, around.size);
	buffer_free(&around);
	if (!err) {
		model_end_draft(l->blob, 0);
		l->blob->kept = true;
	}
	return err;
}

/* Give the leaf the N bytes at P as its value. */
static int set_value(struct leaf *l, const void *p, size_t n)
{
	bool change;

	if (l->blob)
		return set_inside(l, p);
	change = n != l->value.size || (n && memcmp(p, l->value.bytes, n) != 0);

	if (change && l->world->disturbed && l->world->mount.policy == SAVE_AT_ONCE)
		return -ESTALE;
	l->world->unsaved |= change && l->world->mount.policy == SAVE_ON_SYNC;
	copy(&l->value, p, n);
	l->edits++;
	return 0;
}

static size_t most_text(const struct leaf *l)
{
	return l->row->kind == STRING ? FORMAT_STRING_MAX + 1 : 128;
}

/* Make TEXT the leaf's value, or say why not. */
static int set_text(struct leaf *l, const char *text, size_t n)
{
	uint8_t bytes[8];
	uint64_t v = 0;
	int err;

	if (l->row->kind == STRING) {
		n -= n > 0 && text[n - 1] == '\n';
		if (n > FORMAT_STRING_MAX)
			return -ENAMETOOLONG;
		if (!model_utf8((const uint8_t *)text, n))
			return -EILSEQ;
		return set_value(l, text, n);
	}
	err = model_text(l->row, text, n, &v);
	le_put(bytes, 8, v);
	return err ? err : set_value(l, bytes, l->row->size);
}

/* TEXT with N bytes put to OFFSET. */
static void overlay(struct buffer *text, const void *data, size_t n, size_t offset)
{
	if (offset + n > text->size)
		buffer_add(text, NULL, offset + n - text->size);
	demand(!text->failed, "out of memory");
	if (n)
		memcpy(text->bytes + offset, data, n);
}

/* Whether the leaf's value is that which H wrote. */
static bool is_current(const struct handle *h)
{
	return load(h->leaf) && h->value.size == h->leaf->value.size &&
	       (h->value.size == 0 || memcmp(h->value.bytes, h->leaf->value.bytes, h->value.size) == 0);
}

static int model_write_text(struct handle *h, const void *data, size_t n, uint64_t offset)
{
	struct leaf *l = h->leaf;
	bool empty = h->truncated || (l->truncated && !h->text.size);
	bool fresh = h->truncated || l->truncated || h->fresh;
	struct buffer text = { 0 };
	int err;

	if (!empty && h->text.size && (h->fresh || is_current(h)))
		copy(&text, h->text.bytes, h->text.size);
	else if (!empty)
		show(l, &text);
	if (h->flags & O_APPEND)
		offset = text.size;
	l->truncated = false;
	if (offset > most_text(l) || n > most_text(l) - offset) {
		buffer_free(&text);
		return l->row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	}
	overlay(&text, data, n, offset);
	err = set_text(l, (char *)text.bytes, text.size);
	if (err) {
		buffer_free(&text);
		return err;
	}
	buffer_free(&h->text);
	h->text = text;
	h->fresh = fresh;
	h->truncated = h->told = false;
	copy(&h->value, l->value.bytes, l->value.size);
	return 0;
}

static int model_write_bytes(struct handle *h, const void *data, size_t n, uint64_t offset)
{
	struct leaf *l = h->leaf;
	struct buffer bytes = { 0 }, around = { 0 };

	if (!h->truncated && !l->emptied)
		show(l, &bytes);
	if (h->flags & O_APPEND)
		offset = bytes.size;
	if (offset > l->row->size || n > l->row->size - offset) {
		buffer_free(&bytes);
		return -EFBIG;
	}
	overlay(&bytes, data, n, offset);
	if (l->row->kind != BLOB && bytes.size != l->row->size) {
		buffer_free(&bytes);
		return -EINVAL;
	}
	if (l->blob) {
		/* It is gathered in the blob's draft. */
		size_t at = show_around(l, &around);

		memcpy(around.bytes + at, bytes.bytes, bytes.size);
		buffer_free(&bytes);
		bytes = around;
		l = l->blob;
		l->kept = true;
	} else {
		l->emptied = false;
	}
	buffer_free(&l->draft);
	l->draft = bytes;
	l->drafting = true;
	h->truncated = false;
	h->wrote = true;
	return 0;
}

/* ERR: why it is not saved, which is for all who wrote in it to know. */
static void model_end_draft(struct leaf *l, int err)
{
	size_t i;

	l->drafting = false;
	for (i = 0; i < HANDLES_MAX; i++) {
		struct handle *h = &l->world->handles[i];

		if (!h->leaf || (h->leaf != l && h->leaf->blob != l) || !h->wrote)
			continue;
		h->wrote = false;
		h->lost = err ? err : h->lost;
	}
}

/* Where that fails the old value shows again. */
static int model_save_draft(struct leaf *l)
{
	int err = set_value(l, l->draft.bytes, l->draft.size);

	model_end_draft(l, err);
	return err;
}

static int model_flush(struct handle *h)
{
	struct leaf *l = h->leaf;
	int err = 0;

	if ((h->flags & O_ACCMODE) == O_RDONLY)
		return 0;
	if (!l->text) {
		if (h->wrote)
			model_save_draft(l->blob ? l->blob : l);
		err = h->lost;
		h->lost = 0;
	} else if (h->truncated && l->row->kind != STRING) {
		l->truncated = true;
	} else if (h->truncated && h->told) {
		l->truncated = true;
		h->told = false;
		err = set_value(l, NULL, 0);
	}
	return err;
}

/* H may be null: truncate(2). */
static int model_truncate(struct leaf *l, struct handle *h, uint64_t size)
{
	struct buffer content = { 0 };
	int err = 0;

	if (l->read_only)
		return -EACCES;
	if (l->text && size == 0) {
		if (h)
			h->truncated = h->told = true;
		else if (l->row->kind == STRING)
			err = set_value(l, NULL, 0);
		if (!h)
			l->truncated = !err;
		return err;
	}
	if (l->text && size > most_text(l))
		return l->row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	if (!is_there(l))
		return -ESTALE;
	if (!l->text && l->row->kind != BLOB && size == shown_size(l))
		return 0;
	if (!l->text && (l->row->kind == BYTES || (l->row->kind == OPTION && size > 0)))
		return -EINVAL;
	if (!l->text && size > l->row->size)
		return -EFBIG;
	if (!l->emptied)
		show(l, &content);
	overlay(&content, NULL, 0, size);
	content.size = size;
	if (l->text) {
		err = set_text(l, (char *)content.bytes, size);
		l->truncated &= err != 0;
		buffer_free(&content);
		return err;
	}
	buffer_free(&l->draft);
	l->draft = content;
	l->drafting = true;
	l->emptied = false;
	if (!h)
		return model_save_draft(l);
	h->wrote = true;
	return 0;
}

static void model_close(struct handle *h)
{
	struct leaf *l = h->leaf;

	model_flush(h);
	if (l->emptied && l->emptier == h) {
		if (!l->kept)
			model_end_draft(l, set_value(l, NULL, 0));
		l->emptied = false;
	}
	buffer_free(&h->text);
	buffer_free(&h->value);
	*h = (struct handle){ 0 };
}

/* What was begun before the leaf was replaced. */
static void model_end_begun(struct leaf *l)
{
	l->truncated = l->emptied = false;
	if (!l->blob)
		model_end_draft(l, 0);
}

/* The bytes of the leaf in the container. */
static size_t wire_size(const struct leaf *l)
{
	bool counted = l->row->kind == STRING || l->row->kind == BLOB;

	return (size_t)(l->row->kind == OPTION) + (counted ? 4 : 0) + l->value.size;
}

/* The container: what it was read from, with the leaves that were edited in it. */
static void model_encode(const struct world *w, struct buffer *out)
{
	size_t at = 0, i;

	out->size = 0;
	for (i = 0; i < w->leaf_count; i++) {
		const struct leaf *l = &w->leaves[i];

		if (!l->edits || l->blob)
			continue;
		buffer_add(out, w->original.bytes + at, l->node.offset - at);
		if (l->row->kind == OPTION)
			buffer_add_uint(out, 1, l->value.size > 0);
		if (l->row->kind == STRING || l->row->kind == BLOB)
			buffer_add_uint(out, 4, l->value.size);
		buffer_add(out, l->value.size ? l->value.bytes : NULL, l->value.size);
		at = l->node.offset + l->old_size;
	}
	buffer_add(out, w->original.bytes + at, w->original.size - at);
	demand(!out->failed, "out of memory");
}

/*
 * Comparing
 */

static void check_shown(const struct handle *h)
{
	static struct buffer expected, got;

	show(h->leaf, &expected);
	got.size = 0;
	demand(file_read(h->file, SIZE_MAX, 0, &got) == (is_there(h->leaf) ? 0 : -ESTALE), "not read");
	demand_bytes("read", &got, expected.bytes, expected.size);
}

static void check_stat(struct world *w, struct leaf *l)
{
	struct timespec when;
	uint64_t size = 0;

	demand(files_stat(&w->files, l->node, &size, &when) == (is_there(l) ? 0 : -ESTALE), "no attributes");
	demand(size == shown_size(l), "stat: %llu bytes, not %zu", (unsigned long long)size,
	       shown_size(l));
}

/* Each shows its part of the container as it is now. */
static void check_views(struct world *w)
{
	struct buffer all = { 0 }, got = { 0 };
	size_t i, k;

	model_encode(w, &all);
	for (i = 0; i < w->view_count; i++) {
		const struct view *v = &w->views[i];
		size_t at = v->node.offset, size = v->old_size;

		for (k = 0; k < w->leaf_count; k++) {
			const struct leaf *l = &w->leaves[k];
			size_t now = wire_size(l);

			if (l->blob)
				continue;
			if (l->node.offset < v->node.offset)
				at += now - l->old_size;
			else if (l->node.offset < v->node.offset + v->old_size)
				size += now - l->old_size;
		}
		demand(at + size <= all.size, "a view past the end");
		demand(container_raw_size(w->container, v->node) == size, "a view of another size");
		got.size = 0;
		container_raw(w->container, v->node, 0, UINT64_MAX, &got);
		demand_bytes("view", &got, all.bytes + at, size);
	}
	buffer_free(&got);
	buffer_free(&all);
}

static void check_file(struct world *w)
{
	struct buffer got = { 0 };

	fuzz_read_file(w->path, &got);
	demand_bytes("snapshot", &got, w->saved.bytes, w->saved.size);
	buffer_free(&got);
}

/* After each operation: the container, what is saved, and what the open files show. */
static void check_all(struct world *w)
{
	static struct buffer expected, got;
	size_t i;

	model_encode(w, &expected);
	got.size = 0;
	container_encode(w->container, NULL, &got);
	demand_bytes("container", &got, expected.bytes, expected.size);
	if (w->mount.policy == SAVE_AT_ONCE && !w->disturbed)
		copy(&w->saved, expected.bytes, expected.size);
	if (w->snapshot)
		check_file(w);
	for (i = 0; i < HANDLES_MAX; i++) {
		if (w->handles[i].file) {
			check_shown(&w->handles[i]);
			check_stat(w, w->handles[i].leaf);
		}
	}
}

/*
 * Operations
 */

/* What an operation met, for libFuzzer to look for more. */
enum met { OPEN, WRITE, WRITE_LATER, APPEND, TRUNCATE, EMPTY, FLUSH, CLOSE, REPLACE, METS };
static uint8_t states[METS][512] FUZZ_COUNTERS;

/* H may be null. */
static void note(enum met met, const struct handle *h, const struct leaf *l)
{
	unsigned kind = l->row->kind == STRING ? 1 : l->row->kind == BLOB ? 2 : l->row->kind == BYTES ? 3 : 0;
	unsigned state = kind + 4u * l->truncated + 8u * l->drafting + 16u * l->emptied;

	if (h)
		state += 32u * h->truncated + 64u * (h->text.size > 0 || h->wrote) +
			 128u * h->fresh + 256u * is_current(h);
	else
		state += 32u * (l->value.size > 0) + 128u * l->world->disturbed;
	states[met][state] = 1;
}

/* Any, or rather one that is open. */
static struct leaf *choose_leaf(struct world *w, struct input *in)
{
	unsigned which = (unsigned)input_uint(in, 1);
	const struct handle *h = &w->handles[which % HANDLES_MAX];

	return which >= 128 && h->file ? h->leaf : &w->leaves[which % w->leaf_count];
}

/* One that is open, or null. */
static struct handle *choose_handle(struct world *w, struct input *in)
{
	struct handle *h = &w->handles[input_uint(in, 1) % HANDLES_MAX];

	return h->file ? h : NULL;
}

/* An offset or size: mostly small, or near the most that the leaf takes. */
static uint64_t choose_offset(const struct leaf *l, struct input *in)
{
	unsigned v = (unsigned)input_uint(in, 1);
	uint64_t most = l->text ? most_text(l) : l->row->size, any;

	if (v == 255) {
		any = input_uint(in, 8);
		/* Millions of bytes take too long. */
		return any > FORMAT_BLOB_MAX ? any : any % 4096;
	}
	if (v >= 250 && (most <= 128 || (l->text && l->world->large)))
		return most + v - 252;
	return v >= 250 ? most + 1 : v % 80;
}

static void do_open(struct world *w, struct input *in)
{
	struct handle *h = &w->handles[input_uint(in, 1) % HANDLES_MAX];
	struct leaf *l = choose_leaf(w, in);
	unsigned bits = (unsigned)input_uint(in, 1);
	int flags = (int[]){ O_RDONLY, O_WRONLY, O_RDWR, O_RDWR }[bits & 3];
	int err, expected = 0;

	if (h->file)
		return;
	note(OPEN, NULL, l);
	flags |= (bits & 4 ? O_TRUNC : 0) | (bits & 8 ? O_APPEND : 0);
	if ((bits & 3 || flags & O_TRUNC) && l->read_only)
		expected = -EACCES;
	else if (!is_there(l))
		expected = -ESTALE;
	err = file_open(&w->files, l->node, flags, &h->file);
	demand(err == expected, "open gave %d, not %d", err, expected);
	if (err) {
		h->file = NULL;
		return;
	}
	h->leaf = l;
	h->flags = flags;
	h->truncated = flags & O_TRUNC && (l->text || l->row->kind == BYTES);
	if (flags & O_TRUNC && !h->truncated) {
		l->emptied = true;
		l->emptier = h;
		l->kept = false;
	}
}

static void do_write(struct world *w, struct input *in)
{
	struct handle *h = choose_handle(w, in);
	const void *data;
	uint64_t offset;
	size_t n = (size_t)input_uint(in, 1);
	int err, expected = 0;

	if (!h || (h->flags & O_ACCMODE) == O_RDONLY)
		return;
	offset = choose_offset(h->leaf, in);
	/* Else what has a fixed size would rarely be written as a whole. */
	n = n >= 128 && (h->leaf->row->kind == BYTES || h->leaf->row->kind == OPTION) ? h->leaf->row->size : n % 64;
	data = input_bytes(in, n, &n);
	note(h->flags & O_APPEND ? APPEND : offset > 0 ? WRITE_LATER : WRITE, h, h->leaf);
	if (n > 0 && !is_there(h->leaf)) {
		expected = -ESTALE;
	} else if (n > 0) {
		expected = h->leaf->text ? model_write_text(h, data, n, offset)
					 : model_write_bytes(h, data, n, offset);
		h->leaf->kept = expected != 0;
	}
	err = file_write(h->file, data, n, offset);
	demand(err == expected, "write gave %d, not %d", err, expected);
}

static void do_truncate(struct world *w, struct input *in, bool open)
{
	struct handle *h = open ? choose_handle(w, in) : NULL;
	struct leaf *l = open ? (h ? h->leaf : NULL) : choose_leaf(w, in);
	uint64_t size;
	int err, expected;

	if (!l || (h && (h->flags & O_ACCMODE) == O_RDONLY))
		return;
	size = choose_offset(l, in);
	note(size ? TRUNCATE : EMPTY, h, l);
	expected = model_truncate(l, h, size);
	err = files_truncate(&w->files, l->node, h ? h->file : NULL, size);
	demand(err == expected, "truncate to %llu gave %d, not %d", (unsigned long long)size, err,
	       expected);
}

static void do_read(struct world *w, struct input *in)
{
	struct handle *h = choose_handle(w, in);
	struct buffer expected = { 0 }, got = { 0 };
	uint64_t offset;
	size_t n;

	if (!h)
		return;
	offset = choose_offset(h->leaf, in);
	n = (size_t)input_uint(in, 1);
	show(h->leaf, &expected);
	offset = offset < expected.size || offset > UINT32_MAX ? offset : expected.size;
	demand(file_read(h->file, n, offset, &got) == (is_there(h->leaf) ? 0 : -ESTALE), "not read");
	if (offset >= expected.size)
		n = offset = 0;
	else if (n > expected.size - offset)
		n = expected.size - offset;
	demand_bytes("read", &got, n ? expected.bytes + offset : NULL, n);
	buffer_free(&expected);
	buffer_free(&got);
}

static void do_flush(struct world *w, struct input *in)
{
	struct handle *h = choose_handle(w, in);
	int err, expected;

	if (!h)
		return;
	note(FLUSH, h, h->leaf);
	expected = model_flush(h);
	err = file_flush(h->file);
	demand(err == expected, "flush gave %d, not %d", err, expected);
}

static void do_close(struct handle *h)
{
	if (!h || !h->file)
		return;
	note(CLOSE, h, h->leaf);
	file_close(h->file);
	model_close(h);
}

static void do_replace(struct world *w, struct input *in)
{
	struct leaf *l = choose_leaf(w, in);
	size_t n = (size_t)input_uint(in, 1) % 64;
	const void *data = input_bytes(in, n, &n);
	int err, expected = 0;

	note(REPLACE, NULL, l);
	if (l->read_only)
		expected = -EACCES;
	else if (l->text)
		expected = set_text(l, data, n);
	else if (l->row->kind == OPTION && n == 0)
		expected = set_value(l, data, n);
	else if (l->row->kind != BLOB && n != l->row->size)
		expected = n > l->row->size ? -EFBIG : -EINVAL;
	else
		expected = set_value(l, data, n);
	if (!expected)
		model_end_begun(l);
	err = files_replace(&w->files, l->node, data, n);
	demand(err == expected, "replace gave %d, not %d", err, expected);
}

static void do_sync(struct world *w)
{
	struct buffer now = { 0 };
	int err = mount_sync(&w->mount);

	demand(err == (w->unsaved && w->disturbed ? -ESTALE : 0), "sync gave %d", err);
	model_encode(w, &now);
	if (w->unsaved && !err)
		copy(&w->saved, now.bytes, now.size);
	w->unsaved &= err != 0;
	buffer_free(&now);
}

/* What another program does to the snapshot: a time of it alone is no matter. */
static void disturb(struct world *w, struct input *in)
{
	const struct timespec long_ago[2] = { { 1, 0 }, { 1, 0 } };

	if (!w->snapshot)
		return;
	if (input_uint(in, 1) % 2 && !w->disturbed) {
		w->saved.bytes[w->saved.size - 1] ^= 1;
		fuzz_write_file("snap", w->saved.bytes, w->saved.size);
		w->disturbed = true;
	}
	demand(!utimensat(AT_FDCWD, w->path, long_ago, 0), "not touched");
}

static void operate(struct world *w, struct input *in)
{
	switch (input_uint(in, 1) % 13) {
	case 0:
	case 1:
		do_open(w, in);
		break;
	case 2:
	case 3:
	case 4:
		do_write(w, in);
		break;
	case 5:
		do_truncate(w, in, false);
		break;
	case 6:
		do_truncate(w, in, true);
		break;
	case 7:
		do_read(w, in);
		break;
	case 8:
		do_flush(w, in);
		break;
	case 9:
		do_close(choose_handle(w, in));
		break;
	case 10:
		do_replace(w, in);
		break;
	case 11:
		do_sync(w);
		break;
	case 12:
		disturb(w, in);
		break;
	}
}

/*
 * Setting up
 */

static void add_leaf(struct world *w, struct node n)
{
	const struct field *row = container_row(w->container, n);
	struct leaf *l = &w->leaves[w->leaf_count];
	struct value v;
	struct node blob;

	if (w->leaf_count == LEAVES_MAX)
		return;
	/* Of those in blobs what has one place, and can be given. */
	if (container_is_inside(w->container, n, &blob) &&
	    (container_is_counted(w->container, n) || row->kind == STRING || row->size > 64 ||
	     (row->kind == UINT && (row->size > 8 || w->inside_count++ % INSIDE_STEP))))
		return;
	/* What moves a share's paths is not modelled. */
	if (container_follower(w->container, n, &blob) && container_holds(w->container, blob))
		return;
	demand(!container_value(w->container, n, &v), "a leaf that is listed is not there");
	*l = (struct leaf){ .node = n, .world = w, .row = row, .read_only = row->access == RO };
	l->text = l->row->kind == UINT || l->row->kind == STRING;
	copy(&l->value, v.bytes, v.size);
	l->old_size = container_is_inside(w->container, n, &blob) ? 0 : wire_size(l);
	w->leaf_count++;
}

static bool add_child(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct world *w = ctx;
	enum kind kind = container_row(w->container, n)->kind;

	(void)name;
	(void)index;
	if (container_is_directory(w->container, n))
		container_children(w->container, n, 0, add_child, w);
	else if (kind == RAW && w->view_count < LEAVES_MAX)
		w->views[w->view_count++] = (struct view){ n, container_raw_size(w->container, n) };
	else if (kind != RAW && kind != TAG && kind != WORD)
		add_leaf(w, n);
	return true;
}

static int by_offset(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;

	if (!x->old_size != !y->old_size)
		return x->old_size ? -1 : 1;
	return (x->node.offset > y->node.offset) - (x->node.offset < y->node.offset);
}

static void report(const char *text)
{
	demand(text[0] && !strchr(text, '\n'), "not a line is reported");
}

/* Once all are there: those inside blobs have their blobs, and come last. */
static void find_blobs(struct world *w)
{
	size_t i, k;
	struct node blob;

	qsort(w->leaves, w->leaf_count, sizeof(w->leaves[0]), by_offset);
	for (i = 0; i < w->leaf_count; i++) {
		if (!container_is_inside(w->container, w->leaves[i].node, &blob))
			continue;
		for (k = 0; w->leaves[k].node.offset != blob.offset; k++)
			demand(k + 1 < w->leaf_count, "a blob that is not listed");
		w->leaves[i].blob = &w->leaves[k];
	}
}

/* The mount of the snapshot in a file, which has the container alone. */
static void save_to_file(struct world *w, enum save_policy policy)
{
	/* Said, for a container may begin as another layout's magic does. */
	const struct snapshot_options options = {
		.access = SNAPSHOT_EDIT, .region = { .container_offset_given = true }
	};
	struct error e;

	fuzz_write_file("snap", w->original.bytes, w->original.size);
	snprintf(w->path, sizeof(w->path), "%s/snap", fuzz_folder());
	demand(!snapshot_open(w->path, &options, &w->snapshot, &e), "%s", e.text);
	container_free(w->container);
	mount_init(&w->mount, w->snapshot);
	w->mount.policy = policy;
	w->container = w->mount.container;
	copy(&w->saved, w->original.bytes, w->original.size);
}

/* Read the file NAME of this folder into OUT, once. */
static void read_once(const char *name, struct buffer *out)
{
	const char *top = getenv("srcdir");
	char path[4200];

	snprintf(path, sizeof(path), "%s/tests/fuzz/%s", top ? top : ".", name);
	if (!out->size)
		fuzz_read_file(path, out);
}

static void set_up(struct world *w, struct input *in)
{
	static struct buffer full, states;
	unsigned how = (unsigned)input_uint(in, 1);
	size_t n = (size_t)input_uint(in, 2);
	bool understood = n >= 1 << 15;
	const uint8_t *bytes = input_bytes(in, understood ? 0 : n % 4096, &n);
	const struct buffer *there = understood ? &states : &full;
	struct error e;

	read_once("full.bin", &full);
	read_once("states.bin", &states);
	if (understood || fuzz_decode(&format_bare, bytes, n, 0, &w->container, &e))
		demand(!fuzz_decode(&format_bare, there->bytes, there->size, 0, &w->container, &e), "%s", e.text);
	container_encode(w->container, NULL, &w->original);
	w->large = how == LARGE;
	if (how >= SAVED) {
		save_to_file(w, how & 1 ? SAVE_AT_ONCE : SAVE_ON_SYNC);
	} else {
		w->mount.container = w->container;
		w->mount.policy = SAVE_NEVER;
		pthread_mutex_init(&w->mount.editing, NULL);
		pthread_rwlock_init(&w->mount.lock, NULL);
	}
	w->mount.report = report;
	files_init(&w->files, &w->mount);
	container_children(w->container, container_root(), 0, add_child, w);
	find_blobs(w);
}

static void tear_down(struct world *w)
{
	size_t i;

	check_views(w);
	for (i = 0; i < HANDLES_MAX; i++)
		do_close(&w->handles[i]);
	check_all(w);
	for (i = 0; i < w->leaf_count; i++) {
		buffer_free(&w->leaves[i].value);
		buffer_free(&w->leaves[i].draft);
	}
	files_destroy(&w->files);
	mount_destroy(&w->mount);
	if (w->snapshot)
		snapshot_close(w->snapshot);
	else
		container_free(w->container);
	buffer_free(&w->original);
	buffer_free(&w->saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	static struct world w;
	unsigned i;

	w = (struct world){ 0 };
	set_up(&w, &in);
	check_all(&w);
	for (i = 0; i < OPERATIONS_MAX && in.left > 0; i++) {
		operate(&w, &in);
		check_all(&w);
	}
	tear_down(&w);
	return 0;
}
