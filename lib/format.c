/* SPDX-License-Identifier: MIT */
#include "format.h"

/* clang-format off */

/* Defined by this project: the reference imports the record and does not publish its encoding. */
static const struct field queue[] = {
	{ UINT, "size",            2, DEC, .doc = "descriptors in the ring" },
	{ UINT, "ready",           1, DEC, .limit = 2, .doc = "1: the driver enabled the queue" },
	{ UINT, "desc_table",      8, HEX, .doc = "guest-physical address" },
	{ UINT, "avail_ring",      8, HEX, .doc = "guest-physical address" },
	{ UINT, "used_ring",       8, HEX, .doc = "guest-physical address" },
	{ UINT, "last_avail_idx",  2, DEC, .doc = "available entries that the device has taken" },
	{ UINT, "next_used_idx",   2, DEC, .doc = "used entries that the device has given back" },
	{ .kind = END }
};

static const struct field queue_record = { RECORD, .of = queue };

/* Defined by this project, as the queue is.  The features are a low and a high u32: a u64. */
static const struct field mmio[] = {
	{ UINT, "driver_features",  8, HEX, .doc = "virtio feature bits the driver accepted" },
	{ UINT, "status",           4, HEX, .doc = "virtio device status" },
	{ UINT, "interrupt_status", 4, HEX, .doc = "virtio-mmio InterruptStatus" },
	{ LIST, "queues", .of = &queue_record },
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

static const struct field virtiofs[] = {
	{ STRING, "tag",            FORMAT_STRING_MAX, .doc = "the share's name for the guest" },
	{ STRING, "mount",          FORMAT_STRING_MAX, .doc = "where the guest mounts it" },
	{ STRING, "host_path",      FORMAT_STRING_MAX, .doc = "the folder on the host that is shared" },
	{ UINT,   "dax_gpa",        8, HEX,            .doc = "guest-physical address of the DAX window" },
	{ UINT,   "dax_window_len", 8, SIZE,           .doc = "bytes" },
	{ BLOB,   "backend_state",  FORMAT_BLOB_MAX,   .doc = "opaque" },
	{ BLOB,   "dax_state",      FORMAT_BLOB_MAX,   .doc = "opaque" },
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

/* Defined by this project: the reference imports the record and does not publish its encoding. */
static const struct field inet_port = { UINT, .size = 2 };

static const struct field listener[] = {
	{ UINT,   "cid",       8, DEC, .doc = "vsock context id" },
	{ UINT,   "peer_port", 4, DEC, .doc = "vsock port of the peer" },
	{ UINT,   "vm_port",   4, DEC, .doc = "vsock port in the guest" },
	{ UINT,   "family",    2, DEC, .doc = "address family" },
	{ UINT,   "socktype",  2, DEC, .doc = "socket type" },
	{ OPTION, "inet_port", .of = &inet_port, .doc = "port on the host" },
	{ .kind = END }
};

static const struct field vcpu = { BLOB, .size = FORMAT_BLOB_MAX, .doc = "vCPU state, opaque" };
static const struct field device_record = { RECORD, .of = device };
static const struct field tsi_token = { BYTES, .size = 32 };
static const struct field listener_record = { RECORD, .of = listener };

static const struct field container[] = {
	{ UINT,   "num_cpus",         1, DEC,  .doc = "vCPUs of the guest" },
	{ UINT,   "mem_size",         8, SIZE, RO, .doc = "bytes of guest RAM" },
	{ BYTES,  "com1",             6,       .doc = "16550 UART state" },
	{ UINT,   "clock_host_ticks", 8, DEC,  .doc = "unit not defined" },
	{ UINT,   "clock_ref",        8, DEC,  .doc = "unit not defined" },
	{ BLOB,   "intc", FORMAT_BLOB_MAX,     .doc = "interrupt controller state, opaque" },
	{ LIST,   "vcpu",      .of = &vcpu },
	{ LIST,   "devices",   .of = &device_record },
	{ OPTION, "tsi_token", .of = &tsi_token, .access = SECRET, .doc = "a secret shared with the host" },
	{ LIST,   "listeners", .of = &listener_record },
	{ .kind = END }
};

/* clang-format on */

const struct field format_container = { RECORD, .of = container };

const char *format_device_kind(uint32_t virtio_id)
{
	enum { VIRTIO_ID_VSOCK = 19, VIRTIO_ID_FS = 26 };

	switch (virtio_id) {
	case VIRTIO_ID_VSOCK:
		return "vsock";
	case VIRTIO_ID_FS:
		return "virtiofs";
	default:
		return "blk";
	}
}
