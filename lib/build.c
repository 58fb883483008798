/* SPDX-License-Identifier: MIT */
#include "build.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "le.h"
#include "new_file.h"

/* RAM is copied in pieces of this size. */
enum { PIECE = 1 << 20 };

struct build {
	const struct build_parts *parts;
	struct error error; /* what went wrong, if that is known better than by a number */
};

/* Append the head of P to OUT, with RAM at RAM_OFFSET. */
static int encode(const struct build_parts *p, uint64_t ram_offset, struct buffer *out)
{
	struct edits edits = { 0 };
	int err = layout_place_ram(p->container, ram_offset, (struct timespec){ 0 }, &edits);

	if (!err)
		container_encode(p->container, &edits, out);
	edits_free(&edits);
	return out->failed ? -ENOMEM : err;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0;
}

/* Write N bytes of RAM to OFFSET of FD, but for pages of zeros, which are holes there. */
static int write_pages(int fd, const uint8_t *bytes, size_t n, uint64_t offset)
{
	size_t start = 0, end, at, take;
	int err = 0;

	for (at = 0; !err && at < n; at = end) {
		for (start = at, end = at; end < n; end += take) {
			take = n - end < RAM_PAGE ? n - end : RAM_PAGE;
			if (is_zero(bytes + end, take))
				break;
		}
		err = io_write(fd, bytes + start, end - start, offset + start);
		if (end < n)
			end += n - end < RAM_PAGE ? n - end : RAM_PAGE;
	}
	return err;
}

static int copy_ram(struct build *b, int fd, uint64_t offset)
{
	struct ram *ram = b->parts->ram;
	uint8_t *piece = malloc(PIECE);
	int64_t at = 0, end;
	size_t take;
	int err = piece ? 0 : -ENOMEM;

	while (!err && (at = ram_seek(ram, (uint64_t)at, SEEK_DATA)) >= 0) {
		end = ram_seek(ram, (uint64_t)at, SEEK_HOLE);
		/* Pieces begin at pages, for holes are of whole ones. */
		for (at -= at % RAM_PAGE; !err && at < end; at += (int64_t)take) {
			take = end - at < PIECE ? (size_t)(end - at) : PIECE;
			err = ram_read(ram, piece, take, (uint64_t)at);
			if (err)
				error_set(&b->error, -err, "RAM cannot be read at 0x%llx: %s",
					  (unsigned long long)at, strerror(-err));
			else
				err = write_pages(fd, piece, take, offset + (uint64_t)at);
			if (!err && b->parts->progress &&
			    b->parts->progress(b->parts->ctx, (uint64_t)at, ram_size(ram)))
				err = error_set(&b->error, EINTR, "interrupted");
		}
	}
	free(piece);
	return err;
}

/* The head, and the pages that differ from the base's. */
static int fill_diff(struct build *b, int fd)
{
	const struct build_parts *p = b->parts;
	struct buffer head = { 0 };
	uint64_t count = 0;
	uint8_t bytes[4];
	int err = encode(p, 0, &head);

	if (!err && p->ram)
		err = relist(p->ram, p->base, fd, head.size, &count, p->progress, p->ctx, &b->error);
	if (!err)
		err = io_write(fd, head.bytes, head.size, 0);
	le_put(bytes, sizeof(bytes), count);
	/* The count ends the head. */
	if (!err)
		err = io_write(fd, bytes, sizeof(bytes), head.size - sizeof(bytes));
	buffer_free(&head);
	return err;
}

static int fill(int fd, void *ctx)
{
	struct build *b = ctx;
	const struct build_parts *p = b->parts;
	uint64_t end = p->head_offset + container_size(p->container), at = p->ram_offset, size = end;
	uint64_t mem_size = container_mem_size(p->container), step = p->layout->ram_step;
	struct buffer head = { 0 };
	int err;

	if (p->layout->is_diff)
		return fill_diff(b, fd);
	if (at < end || at % p->layout->ram_multiple)
		at = (end + step - 1) / step * step;
	if (p->has_ram && (at > INT64_MAX || mem_size > INT64_MAX - at))
		return -EFBIG;
	if (p->has_ram)
		size = at + mem_size;
	err = encode(p, at, &head);
	if (!err)
		err = io_truncate(fd, size);
	if (!err)
		err = io_write(fd, head.bytes, head.size, p->head_offset);
	if (!err && p->ram)
		err = copy_ram(b, fd, at);
	buffer_free(&head);
	return err;
}

int build_snapshot(const char *path, const struct build_parts *parts, struct error *e)
{
	struct build b = { .parts = parts };
	int err = new_file(path, fill, &b, e);

	if (err && b.error.code)
		*e = b.error;
	return err;
}

/* What a header has where nothing is known of it. */
static void add_blank(const struct field *rows, struct buffer *out)
{
	for (; rows->kind != END; rows++) {
		if (rows->kind == MAGIC)
			buffer_add(out, rows->magic, rows->size);
		else if (rows->kind == STRING)
			buffer_add_uint(out, 4, 0);
		else
			buffer_add_uint(out, rows->size, rows->only);
	}
}

void build_head(const struct container *from, const struct layout *to, struct buffer *out)
{
	const struct field *row = to->head->of;

	/* A header, the container, and in some layouts what ends the head. */
	add_blank(row->of, out);
	container_encode_alone(from, out);
	add_blank(row + 2, out);
}
