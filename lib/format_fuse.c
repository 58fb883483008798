/* SPDX-License-Identifier: MIT */
/* State of a virtio-fs share: its inodes, names and open files, and its DAX window. */
#include "format.h"

/* clang-format off */

static const char *const inode_kinds[] = { "file", "dir", "symlink", "other", NULL };

static const struct field inode[] = {
	{ UINT, "nodeid", 8, DEC, .doc = "number of the inode; 1 is the share's root" },
	{ UINT, "kind",   1, .words = inode_kinds, .doc = "what it is" },
	{ TEXT, "path",   FORMAT_BLOB_MAX, .access = RO, .doc = "absolute path on the host" },
	{ .kind = END }
};

static const struct field child[] = {
	{ UINT, "parent", 8, DEC, .doc = "number of the directory's inode" },
	{ TEXT, "name",   FORMAT_BLOB_MAX, .access = RO, .doc = "in the directory" },
	{ UINT, "child",  8, DEC, .doc = "number of the inode that has the name" },
	{ .kind = END }
};

static const struct field handle[] = {
	{ UINT,  "fh",     8, DEC, .doc = "number of the open file" },
	{ UINT,  "nodeid", 8, DEC, .doc = "number of its inode" },
	{ UINT,  "flags",  4, HEX, .doc = "as open(2) has them" },
	{ BYTES, .size = 4 },
	{ .kind = END }
};

static const struct field slot[] = {
	{ UINT,  "moffset", 8, DEC, .doc = "offset in the window, in bytes" },
	{ UINT,  "len",     8, DEC, .doc = "bytes" },
	{ UINT,  "nodeid",  8, DEC, .doc = "number of the inode that is mapped" },
	{ UINT,  "foffset", 8, DEC, .doc = "offset in its file, in bytes" },
	{ UINT,  "prot",    4, HEX, .doc = "as mmap(2) has it" },
	{ BYTES, .size = 4 },
	{ .kind = END }
};

static const struct field inode_record = { RECORD, .of = inode };
static const struct field child_record = { RECORD, .of = child };
static const struct field handle_record = { RECORD, .of = handle };
static const struct field slot_record = { RECORD, .of = slot };

#define MAGIC_AND_VERSION \
	{ BYTES, .size = 4 }, \
	{ UINT,  "version",  4, DEC, .doc = "of the state's format" }

#define TABLES \
	MAGIC_AND_VERSION, \
	{ UINT,  "next_nodeid", 8, DEC, .doc = "number of the next inode" }, \
	{ LIST,  "inodes",      8, .of = &inode_record }, \
	{ LIST,  "children",    8, .of = &child_record }

static const struct field share[] = {
	TABLES,
	{ UINT,  "next_fh",     8, DEC, .doc = "number of the next open file" },
	{ LIST,  "handles",     8, .of = &handle_record },
	{ .kind = END }
};

static const struct field share_1[] = {
	TABLES,
	{ .kind = END }
};

static const struct field dax[] = {
	MAGIC_AND_VERSION,
	{ UINT,  "base_gpa",     8, HEX, .doc = "guest-physical address of the window" },
	{ UINT,  "window_len",   8, DEC, .doc = "bytes" },
	{ UINT,  "cap_bytes",    8, DEC, .doc = "bytes that may be mapped" },
	{ UINT,  "mapped_bytes", 8, DEC, .doc = "bytes that are" },
	{ LIST,  "slots",        8, .of = &slot_record },
	{ .kind = END }
};

/* clang-format on */

const struct field state_share = { RECORD, .size = 8, .magic = "PFSS\2\0\0\0", .of = share };
const struct field state_share_1 = { RECORD, .size = 8, .magic = "PFSS\1\0\0\0", .of = share_1 };
const struct field state_dax = { RECORD, .size = 8, .magic = "DAXS\1\0\0\0", .of = dax };
