/* SPDX-License-Identifier: MIT */
#include "layout.h"

#include <string.h>

#include "io.h"
#include "le.h"

/* Every layout but bare begins with so many bytes of magic. */
enum { MAGIC_SIZE = 8 };

/* So many bytes tell what a file is. */
enum { START_SIZE = 262 };

/* In this order; the last, which has no magic, is what is left. */
static const struct layout layouts[] = {
	{ .name = "kvm", .head = &format_kvm, .find_ram = region_at_ram_offset, .is_base = true,
	  .ram_multiple = 4096, .ram_step = 4096 },
	{ .name = "kvm-diff", .head = &format_kvm_diff, .is_diff = true },
	{ .name = "hvf", .head = &format_hvf, .find_ram = region_at_ram_offset, .has_sidecars = true,
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

/* What people have beside snapshots, by how it begins. */
static const struct {
	unsigned at;        /* bytes before the magic */
	const char *magic;
	unsigned size;
	const char *what;   /* with what to do */
} others[] = {
	{ 0, "\x1f\x8b", 2, "is compressed with gzip: unpack it first, with gunzip" },
	{ 0, "\xfd" "7zXZ\0", 6, "is compressed with xz: unpack it first, with unxz" },
	{ 0, "\x28\xb5\x2f\xfd", 4, "is compressed with zstd: unpack it first, with unzstd" },
	{ 0, "\x04\x22\x4d\x18", 4, "is compressed with lz4: unpack it first, with unlz4" },
	{ 0, "BZh", 3, "is compressed with bzip2: unpack it first, with bunzip2" },
	{ 0, "PK\x03\x04", 4, "is a zip archive: unpack it first" },
	{ 257, "ustar", 5, "is a tar archive: unpack it first, with tar" },
	{ 0, "\x7f" "ELF", 4, "is an ELF file, a program or a core, not a snapshot" },
	{ 0, "QFI\xfb", 4, "is a qcow2 disk image, not a snapshot" },
	{ 0, "KDMV", 4, "is a VMDK disk image, not a snapshot" },
	{ 0, "SMFSUNDO", 8, "is an undo journal of smfs: give the snapshot beside it" },
};

/* A JSON document begins with a brace, and after that with a name or what may be before it. */
static bool is_json(const uint8_t *start, size_t n)
{
	return n >= 2 && start[0] == '{' && memchr("\"\n\r\t }", start[1], 6);
}

/* Say what a file that begins with the N bytes at START is, if that is known. */
static int refuse_other(const uint8_t *start, size_t n, struct error *e)
{
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (n >= others[i].at + others[i].size &&
		    memcmp(start + others[i].at, others[i].magic, others[i].size) == 0)
			return error_set(e, EINVAL, "%s", others[i].what);
	if (is_json(start, n))
		return error_set(e, EINVAL, "is a JSON document, not a snapshot: smsnap build makes one of it");
	return 0;
}

int layout_detect(int fd, uint64_t file_size, bool bare, const struct layout **out,
		  struct error *e)
{
	static const char family[] = "SMSNAP", process[] = "SMSTSNP1";
	const struct layout *last = &layouts[LAYOUTS - 1], *l;
	uint8_t magic[START_SIZE] = { 0 };
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
		return refuse_other(magic, n, e);
	if (n < MAGIC_SIZE)
		return error_set(e, ERR_TRUNCATED, "is cut short: it ends after %zu bytes", n);
	return refuse_format(magic, e);
}
