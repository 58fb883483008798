/* SPDX-License-Identifier: MIT */
#include "relist.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"
#include "le.h"

/* Pages that are compared at a time. */
enum { BATCH = 256 };

struct relist {
	struct ram *ram;
	struct ram_source *base; /* or null */
	bool over_base;          /* RAM differs from BASE only where ram_next_changed says */
	int fd;
	uint64_t at; /* where the next entry goes */
	uint64_t count;
	uint8_t now[BATCH * LISTED_PAGE];
	uint8_t old[BATCH * LISTED_PAGE];
	uint8_t entries[BATCH * LIST_ENTRY];
};

/* The first bytes from *OFFSET on that may differ from the base's; false if there are none. */
static bool next_run(const struct relist *l, uint64_t *offset, uint64_t *size)
{
	int64_t data;
	uint64_t start, end, base_data;

	if (l->over_base)
		return ram_next_changed(l->ram, offset, size);
	if (*offset >= ram_size(l->ram))
		return false;
	/* Where neither has data both are zeros. */
	data = ram_seek(l->ram, *offset, SEEK_DATA);
	start = data < 0 ? ram_size(l->ram) : (uint64_t)data;
	base_data = source_seek(l->base, *offset, SEEK_DATA);
	if (base_data < start) {
		start = base_data;
		end = source_seek(l->base, start, SEEK_HOLE);
	} else if (start < ram_size(l->ram)) {
		end = (uint64_t)ram_seek(l->ram, start, SEEK_HOLE);
	} else {
		return false;
	}
	start -= start % LISTED_PAGE;
	*offset = start;
	*size = end - start;
	return true;
}

static int read_base(struct relist *l, uint64_t offset, size_t n)
{
	uint64_t copied = 0;

	if (!source_copy(l->base, l->old, n, offset, &copied) || !source_holds(l->base, copied))
		return -EIO;
	return 0;
}

/* List what differs of N bytes at OFFSET, at most a batch. */
static int list_batch(struct relist *l, uint64_t offset, size_t n, struct error *e)
{
	size_t i, take, size = 0;
	int err = ram_read(l->ram, l->now, n, offset);

	if (err)
		return error_set(e, -err, "RAM cannot be read at 0x%llx: %s",
				 (unsigned long long)offset, strerror(-err));
	if (l->base && read_base(l, offset, n))
		return error_set(e, EIO, "the base cannot be read, or has been changed");
	for (i = 0; i < n; i += take) {
		take = n - i < LISTED_PAGE ? n - i : LISTED_PAGE;
		if (l->base && memcmp(l->now + i, l->old + i, take) == 0)
			continue;
		if (take < LISTED_PAGE)
			return error_set(e, EINVAL,
					 "RAM ends inside of a page, which a differential snapshot cannot list");
		le_put(l->entries + size, 4, (offset + i) / LISTED_PAGE);
		memcpy(l->entries + size + 4, l->now + i, LISTED_PAGE);
		size += LIST_ENTRY;
	}
	err = io_write(l->fd, l->entries, size, l->at);
	if (err)
		return error_set(e, -err, "cannot write the page list: %s", strerror(-err));
	l->at += size;
	l->count += size / LIST_ENTRY;
	return 0;
}

int relist(struct ram *ram, struct ram_source *base, int fd, uint64_t offset, uint64_t *count,
	   ram_progress *progress, void *ctx, struct error *e)
{
	struct relist *l = malloc(sizeof(*l));
	uint64_t at = 0, size, end;
	size_t take;
	int err = 0;

	if (!l)
		return error_set(e, ENOMEM, "out of memory");
	l->ram = ram;
	l->base = base;
	l->over_base = ram_diff(ram) && ram_clone_fd(ram) < 0 &&
		       (!base || source_is_base(ram_diff(ram), base));
	l->fd = fd;
	l->at = offset;
	l->count = 0;
	while (!err && next_run(l, &at, &size)) {
		for (end = at + size; !err && at < end; at += take) {
			take = end - at < sizeof(l->now) ? end - at : sizeof(l->now);
			err = list_batch(l, at, take, e);
			if (!err && progress && progress(ctx, at, ram_size(ram)))
				err = error_set(e, EINTR, "interrupted");
		}
	}
	*count = l->count;
	free(l);
	return err;
}
