/* SPDX-License-Identifier: MIT */
/* The kernel's log, record by record. */
#ifndef SMFS_GUEST_DMESG_H
#define SMFS_GUEST_DMESG_H

#include "guest_kernel.h"

struct guest_record {
	uint64_t time; /* nanoseconds since the guest began to count */
	const uint8_t *text;
	size_t size;
};

/*
 * Call FN for each record, the oldest first, until it returns other than 0: what it returned,
 * which is to be negative or positive as it likes; else 0; -ENOENT where VMCOREINFO does not say where
 * the log is; -ERR_MALFORMED, -EIO, -ENOMEM.  E says why.
 */
typedef int guest_record_fn(void *ctx, const struct guest_record *r);
int guest_records(struct guest_kernel *k, guest_record_fn *fn, void *ctx, struct error *e);

#endif
