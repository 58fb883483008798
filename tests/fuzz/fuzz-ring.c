/* SPDX-License-Identifier: MIT */
/*
 * Virtqueues in memory that is made up: what is said of them is lines, ring and health agree,
 * nothing is read outside.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "vring.h"

enum { MEMORY = 64 << 10 };

struct seen {
	unsigned faults;
	char first[128];
};

static void note(void *ctx, const struct finding *f)
{
	struct seen *s = ctx;

	demand(f->path[0] && f->wrong[0] && f->right[0], "a finding that says nothing");
	demand(!strchr(f->wrong, '\n'), "a finding of two lines");
	if (!s->faults++)
		snprintf(s->first, sizeof(s->first), "%s: %s", f->path, f->wrong);
}

/* Lines of TEXT that begin with the name of a level. */
static unsigned count_faults(const struct buffer *text)
{
	static const char *const levels[] = { "error ", "warning ", "note " };
	const char *p = (const char *)text->bytes, *end = p + text->size, *newline;
	unsigned n = 0, i;

	for (; p < end; p = newline + 1) {
		newline = memchr(p, '\n', (size_t)(end - p));
		demand(newline, "the last line does not end");
		for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
			n += strncmp(p, levels[i], strlen(levels[i])) == 0;
	}
	return n;
}

/* RAM of zeros, made once. */
static struct ram *zeros(void)
{
	static struct ram *ram;
	char path[4096];
	struct error e = { 0 };
	int fd;

	if (ram)
		return ram;
	snprintf(path, sizeof(path), "%s/memory", fuzz_folder());
	fuzz_write_file("memory", "", 0);
	demand(truncate(path, MEMORY) == 0, "truncate");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	demand(fd >= 0 && ram_open(fd, 0, MEMORY, MEMORY, &ram, &e) == 0, "no RAM: %s", e.text);
	close(fd);
	return ram;
}

/* RAM that starts with the N bytes at BYTES. */
static struct ram *memory_of(const uint8_t *bytes, size_t n)
{
	static const uint8_t nothing[MEMORY];
	static size_t used;
	struct ram *ram = zeros();

	demand(!n || !ram_write(ram, bytes, n, 0), "not written");
	demand(used <= n || !ram_write(ram, nothing, used - n, n), "not cleared");
	used = n;
	return ram;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct vring_window window = { .gpa = input_uint(&in, 5), .size = input_uint(&in, 3) };
	struct virtqueue q = { .windows = &window, .window_count = 1, .ready = true };
	struct seen seen = { 0 };
	struct findings to = { note, &seen };
	struct buffer text = { 0 };
	const uint8_t *bytes;
	size_t taken;

	q.features = input_uint(&in, 5) & ~(UINT64_C(1) << 34);
	q.size = (uint16_t)(1u << input_uint(&in, 1) % 17);
	q.desc_table = input_uint(&in, 2) & ~15u;
	q.avail_ring = input_uint(&in, 2) & ~1u;
	q.used_ring = input_uint(&in, 2) & ~3u;
	q.last_avail_idx = (uint16_t)input_uint(&in, 2);
	q.next_used_idx = (uint16_t)input_uint(&in, 2);
	q.memory.base = input_uint(&in, 1) & 1 ? 1 << 12 : 0;
	bytes = input_bytes(&in, MEMORY, &taken);
	q.memory.ram = memory_of(bytes, taken);
	vring_check(&q, &to);
	vring_print(&q, &text);
	demand(!text.failed, "memory");
	demand(count_faults(&text) == seen.faults, "ring tells of %u, health of %u: %s", count_faults(&text),
	       seen.faults, seen.first);
	buffer_free(&text);
	return 0;
}
