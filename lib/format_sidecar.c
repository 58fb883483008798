/* SPDX-License-Identifier: MIT */
/* Files beside an hvf snapshot: the states of its shares, and where its vCPUs are parked. */
#include "format.h"

/* clang-format off */

static const struct state_row shares[] = { { MACHINE_ANY, &state_share }, { MACHINE_ANY, &state_share_1 }, { 0 } };
static const struct state_row windows[] = { { MACHINE_ANY, &state_dax }, { 0 } };

static const struct field share[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .access = RO, .states = shares, .doc = "a share's inodes and open files" },
	{ .kind = END }
};

static const struct field window[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .access = RO, .states = windows, .doc = "what a share's DAX window maps" },
	{ .kind = END }
};

static const struct field share_record = { RECORD, .of = share };
static const struct field window_record = { RECORD, .of = window };

static const struct field posixfs[] = {
	{ MAGIC, .size = 4, .magic = "PFXS", .doc = "magic" },
	{ UINT, .size = 4, .only = 1, .doc = "version" },
	{ LIST, "posixfs", 4, .of = &share_record },
	{ .kind = END }
};

static const struct field dax[] = {
	{ MAGIC, .size = 4, .magic = "DAXC", .doc = "magic" },
	{ UINT, .size = 4, .only = 1, .doc = "version" },
	{ LIST, "dax", 4, .of = &window_record },
	{ .kind = END }
};

static const struct field parking[] = {
	{ MAGIC, .size = 4, .magic = "SMPK", .doc = "magic" },
	{ UINT, "version", 4, DEC, RO, .only = 1, .doc = "of the file's format" },
	{ UINT, "gpa",     8, HEX, RO, .doc = "guest-physical address of the page that lets parked vCPUs go" },
	{ .kind = END }
};

static const struct field smpark[] = {
	{ RECORD, "smpark", .of = parking },
	{ .kind = END }
};

/* clang-format on */

const struct field format_posixfs = { RECORD, .of = posixfs, .machines = MACHINE_ANY };
const struct field format_dax = { RECORD, .of = dax, .machines = MACHINE_ANY };
const struct field format_smpark = { RECORD, .of = smpark, .machines = MACHINE_ANY };
