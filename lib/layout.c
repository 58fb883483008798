/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <string.h>

#include "io.h"
#include "le.h"

/* Every layout but bare begins with so many bytes of magic. */
enum { MAGIC_SIZE = 8 };

/* In this order; the last, which has no magic, is what is left. */
static const struct layout layouts[] = {
	{ .name = "kvm", .head = &format_kvm, .find_ram = region_at_ram_offset, .is_base = true,
	  .ram_multiple = 4096, .ram_step = 4096 },
	{ .name = "kvm-diff", .head = &format_kvm_diff, .is_diff = true },
	{ .name = "hvf", .head = &format_hvf, .find_ram = region_at_ram_offset,
	  .ram_multiple = 4096, .ram_step = 16384 },
	{ .name = "bare", .head = &format_bare, .find_ram = region_at_end, .offsets_given = true,
	  .ram_multiple = 1, .ram_step = 4096 },
};

enum { LAYOUTS = sizeof(layouts) / sizeof(layouts[0]) };

const struct layout *layout_number(unsigned i)
{
	return i < LAYOUTS ? &layouts[i] : NULL;
}

const struct layout *layout_named(const char *name)
{
	unsigned i;

	for (i = 0; i < LAYOUTS; i++)
		if (strcmp(layouts[i].name, name) == 0)
			return &layouts[i];
	return NULL;
}

int layout_place_ram(const struct container *c, uint64_t offset, struct timespec when,
		     struct edits *edits)
{
	uint8_t bytes[8];
	struct value v = { bytes, sizeof(bytes) };
	struct node n;

	if (container_find(c, LAYOUT_RAM_OFFSET, &n))
		return 0;
	le_put(bytes, sizeof(bytes), offset);
	return edits_add(edits, c, n, &v, when);
}

/* The magic that a head of LAYOUT begins with, or null. */
static const char *magic_of(const struct layout *layout)
{
	const struct field *header = layout->head->of->of;

	return header->kind == MAGIC ? header->magic : NULL;
}

/* Say of MAGIC, which begins as those of snapshots do, why it is not read. */
static int refuse_format(const uint8_t *magic, struct error *e)
{
	unsigned tens = magic[6] - '0', ones = magic[7] - '0';
	bool diff = magic[7] == 'D';
	unsigned number = diff ? tens : tens * 10 + ones;

	/* hvf's end with a number and a zero, KVM's with two digits, or one and a D. */
	if (magic[7] == 0)
		return error_set(e, EINVAL,
				 "is an hvf snapshot of format %u, only %u is read here; take it anew with a monitor that writes that",
				 magic[6], FORMAT_HVF_MAGIC);
	if (tens > 9 || (ones > 9 && !diff))
		return error_set(e, EINVAL, "is a snapshot of an unknown format: %.8s",
				 (const char *)magic);
	return error_set(e, EINVAL, "is a%s snapshot of the %s format %.8s, only %.6s%s is read here; %s",
			 diff ? " differential" : "n ordinary",
			 number < FORMAT_KVM_NUMBER ? "older" : "newer", (const char *)magic,
			 (const char *)magic, diff ? "7D" : "07",
			 number < FORMAT_KVM_NUMBER ? "it has to be baked again" : "a newer smfs may read it");
}

int layout_detect(int fd, uint64_t file_size, bool bare, const struct layout **out,
		  struct error *e)
{
	static const char family[] = "SMSNAP", process[] = "SMSTSNP1";
	const struct layout *last = &layouts[LAYOUTS - 1], *l;
	uint8_t magic[MAGIC_SIZE] = { 0 };
	size_t n = file_size < sizeof(magic) ? file_size : sizeof(magic);
	int err;

	*out = last;
	if (bare)
		return 0;
	err = io_read(fd, magic, n, 0);
	if (err)
		return error_set(e, -err, "cannot be read: %s", strerror(-err));
	for (l = layouts; l < last; l++) {
		if (n >= MAGIC_SIZE && memcmp(magic, magic_of(l), MAGIC_SIZE) == 0) {
			*out = l;
			return 0;
		}
	}
	if (memcmp(magic, process, MAGIC_SIZE) == 0)
		return error_set(e, EINVAL, "is a process snapshot (SMSTSNP1): there is no machine in it");
	if (memcmp(magic, family, sizeof(family) - 1))
		return 0;
	if (n < MAGIC_SIZE)
		return error_set(e, ERR_TRUNCATED, "is cut short: it ends after %zu bytes", n);
	return refuse_format(magic, e);
}
