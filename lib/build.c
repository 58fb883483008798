/* SPDX-License-Identifier: MIT */
#include "build.h"

#include "io.h"
#include "new_file.h"

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

static int fill(int fd, void *ctx)
{
	const struct build_parts *p = ctx;
	uint64_t end = p->head_offset + container_size(p->container), at = p->ram_offset, size = end;
	uint64_t mem_size = container_mem_size(p->container), step = p->layout->ram_step;
	struct buffer head = { 0 };
	int err;

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
	if (!err && p->ram_fd >= 0)
		err = io_copy(p->ram_fd, 0, fd, at, mem_size);
	buffer_free(&head);
	return err;
}

int build_snapshot(const char *path, const struct build_parts *parts, struct error *e)
{
	return new_file(path, fill, (void *)parts, e);
}
