/* SPDX-License-Identifier: MIT */
#include "format.h"

#include "share.h"

/* clang-format off */

static const struct field queue[] = {
	{ UINT, "size",            2, DEC, .doc = "descriptors in the ring" },
	{ UINT, "ready",           1, BOOL, .doc = "1: the driver enabled the queue" },
	{ UINT, "desc_table",      8, HEX, .doc = "guest-physical address" },
	{ UINT, "avail_ring",      8, HEX, .doc = "guest-physical address" },
	{ UINT, "used_ring",       8, HEX, .doc = "guest-physical address" },
	{ UINT, "last_avail_idx",  2, DEC, .doc = "available entries that the device has taken" },
	{ UINT, "next_used_idx",   2, DEC, .doc = "used entries that the device has given back" },
	{ .kind = END }
};

static const struct field queue_record = { RECORD, .of = queue };

/* The features are a low and a high u32: a u64. */
static const struct field mmio[] = {
	{ UINT, "driver_features",  8, HEX, .doc = "virtio feature bits the driver accepted" },
	{ UINT, "status",           4, HEX, .doc = "virtio device status" },
	{ UINT, "interrupt_status", 4, HEX, .doc = "virtio-mmio InterruptStatus" },
	{ LIST, "queues", 4, .of = &queue_record },
	{ .kind = END }
};

static const struct field mmio_views[] = {
	{ RAW, "raw", .access = RO, .doc = "the record as it is encoded" },
	{ .kind = END }
};

static const struct field none[] = {
	{ .kind = END }
};

static const struct field disk[] = {
	{ STRING, "path", FORMAT_STRING_MAX, .doc = "image file on the host" },
	{ UINT,   "size", 8, SIZE,           .doc = "bytes" },
	{ .kind = END }
};

static const struct field volume[] = {
	{ STRING, "path",  FORMAT_STRING_MAX, .doc = "image file on the host" },
	{ UINT,   "size",  8, SIZE,           .doc = "bytes" },
	{ STRING, "mount", FORMAT_STRING_MAX, .doc = "where the guest mounts it" },
	{ .kind = END }
};

static const struct state_row shares[] = { { MACHINE_ANY, &state_share }, { MACHINE_ANY, &state_share_1 }, { 0 } };
static const struct state_row windows[] = { { MACHINE_ANY, &state_dax }, { 0 } };

static const struct field backend_state[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .states = shares, .doc = "the share's inodes and open files" },
	{ .kind = END }
};

static const struct field dax_state[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .states = windows, .doc = "what the DAX window maps" },
	{ .kind = END }
};

static const struct field virtiofs[] = {
	{ STRING, "tag",            FORMAT_STRING_MAX, .doc = "the share's name for the guest" },
	{ STRING, "mount",          FORMAT_STRING_MAX, .doc = "where the guest mounts it" },
	{ STRING, "host_path",      FORMAT_STRING_MAX, .doc = "the folder on the host that is shared",
	  .follower = "backend_state", .resolve = share_resolve, .follow = share_follow },
	{ UINT,   "dax_gpa",        8, HEX,            .doc = "guest-physical address of the DAX window" },
	{ UINT,   "dax_window_len", 8, SIZE,           .doc = "bytes" },
	{ RECORD, "backend_state", .of = backend_state },
	{ RECORD, "dax_state",     .of = dax_state },
	{ .kind = END }
};

static const struct choice backings[] = {
	{ "none", none }, { "disk", disk }, { "volume", volume }, { "virtiofs", virtiofs }, { NULL, NULL }
};

static const struct field backing_views[] = {
	{ TAG, "type", .access = RO, .choices = backings, .doc = "what backs the device on the host" },
	{ RAW, "raw",  .access = RO, .doc = "tag and fields as they are encoded" },
	{ .kind = END }
};

static const char *const device_kinds[] = { "blk", "vsock", "volume", "virtiofs", NULL };

static const struct field device[] = {
	{ UINT,    "kind", 1, .words = device_kinds, .doc = "what the guest sees" },
	{ RECORD,  "mmio",    .of = mmio, .views = mmio_views },
	{ VARIANT, "backing", .choices = backings, .views = backing_views },
	{ .kind = END }
};

static const struct field listener[] = {
	{ UINT,   "cid",       8, DEC, .doc = "vsock context id" },
	{ UINT,   "peer_port", 4, DEC, .doc = "vsock port of the peer" },
	{ UINT,   "vm_port",   4, DEC, .doc = "vsock port in the guest" },
	{ UINT,   "family",    2, DEC, .doc = "address family" },
	{ UINT,   "socktype",  2, DEC, .doc = "socket type" },
	{ UINT,   "inet_port", 4, DEC, .none = UINT32_MAX, .shown = 2, .doc = "port on the host, or none" },
	{ .kind = END }
};

static const struct state_row vcpus[] = { { MACHINE_KVM, &state_kvm_vcpu }, { MACHINE_HVF, &state_hvf_vcpu }, { 0 } };
static const struct state_row controllers[] = { { MACHINE_KVM, &state_kvm_intc }, { 0 } };

static const struct field vcpu[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .states = vcpus, .doc = "state of the vCPU" },
	{ .kind = END }
};

static const struct field intc[] = {
	{ BLOB, "raw", FORMAT_BLOB_MAX, .states = controllers, .doc = "state of the interrupt controllers" },
	{ .kind = END }
};

static const struct field com1[] = {
	{ UINT, "ier", 1, HEX, .doc = "interrupt enable" },
	{ UINT, "lcr", 1, HEX, .doc = "line control" },
	{ UINT, "mcr", 1, HEX, .doc = "modem control" },
	{ UINT, "scr", 1, HEX, .doc = "scratch" },
	{ UINT, "dll", 1, HEX, .doc = "divisor latch, low" },
	{ UINT, "dlm", 1, HEX, .doc = "divisor latch, high" },
	{ .kind = END }
};

static const struct field vcpu_record = { RECORD, .of = vcpu };
static const struct field device_record = { RECORD, .of = device };
static const struct field listener_record = { RECORD, .of = listener };

static const struct field container[] = {
	{ UINT,   "num_cpus",         1, DEC,  .doc = "vCPUs of the guest" },
	{ UINT,   "mem_size",         8, SIZE, RO, .doc = "bytes of guest RAM" },
	{ RECORD, "com1",      .of = com1 },
	{ UINT,   "clock_host_ticks", 8, DEC,  .doc = "ticks of the host's clock" },
	{ UINT,   "clock_ref",        8, DEC,  .doc = "the clock that they belong to" },
	{ RECORD, "intc",      .of = intc },
	{ LIST,   "vcpu",      4, .of = &vcpu_record },
	{ LIST,   "devices",   4, .of = &device_record },
	{ OPTION, "tsi_token", 32, .access = SECRET, .doc = "a secret shared with the host; may be empty" },
	{ LIST,   "listeners", 4, .of = &listener_record },
	{ .kind = END }
};

#define LAYOUT_FORMAT(word) \
	{ WORD, "format", .access = RO, .words = (const char *const[]){ word, NULL }, .doc = "how the file is laid out" }

static const struct field kvm_views[] = {
	LAYOUT_FORMAT("kvm"),
	{ .kind = END }
};

static const struct field kvm_diff_views[] = {
	LAYOUT_FORMAT("kvm-diff"),
	{ UINT, "changed_pages", 4, DEC, RO, .at_end = true, .doc = "pages that differ from the base's" },
	{ .kind = END }
};

static const struct field hvf_views[] = {
	LAYOUT_FORMAT("hvf"),
	{ .kind = END }
};

static const struct field bare_views[] = {
	LAYOUT_FORMAT("bare"),
	{ .kind = END }
};

static const struct field kvm_header[] = {
	{ MAGIC, .size = 8, .magic = "SMSNAP07" },
	{ UINT, "ram_offset", 8, DEC, RO, .doc = "where RAM is in the file" },
	{ .kind = END }
};

static const struct field kvm_diff_header[] = {
	{ MAGIC, .size = 8, .magic = "SMSNAP7D" },
	{ STRING, "base", FORMAT_STRING_MAX, .doc = "the snapshot that this one differs from" },
	{ UINT, .size = 8 },
	{ .kind = END }
};

static const struct field hvf_header[] = {
	{ MAGIC, .size = 8, .magic = "SMSNAP\n" },
	{ UINT, "version",    8, DEC, RO, .only = FORMAT_HVF_VERSION, .doc = "of the format" },
	{ UINT, "ram_gpa",    8, HEX,     .doc = "guest-physical address of RAM" },
	{ UINT, "ram_offset", 8, DEC, RO, .doc = "where RAM is in the file" },
	{ .kind = END }
};

static const struct field kvm[] = {
	{ RECORD, "layout", .of = kvm_header, .views = kvm_views },
	{ RECORD, .of = container },
	{ .kind = END }
};

/* The page list's count, which changed_pages shows, ends the head; its entries come after. */
static const struct field kvm_diff[] = {
	{ RECORD, "layout", .of = kvm_diff_header, .views = kvm_diff_views },
	{ RECORD, .of = container },
	{ UINT, .size = 4, .doc = "page list" },
	{ .kind = END }
};

static const struct field hvf[] = {
	{ RECORD, "layout", .of = hvf_header, .views = hvf_views },
	{ RECORD, .of = container },
	{ .kind = END }
};

static const struct field bare[] = {
	{ RECORD, "layout", .of = none, .views = bare_views },
	{ RECORD, .of = container },
	{ .kind = END }
};

/* clang-format on */

const struct field format_kvm = { RECORD, .of = kvm, .machines = MACHINE_KVM };
const struct field format_kvm_diff = { RECORD, .of = kvm_diff, .machines = MACHINE_KVM };
const struct field format_hvf = { RECORD, .of = hvf, .machines = MACHINE_HVF };
const struct field format_bare = { RECORD, .of = bare, .machines = MACHINE_ANY };
