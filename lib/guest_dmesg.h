/* SPDX-License-Identifier: MIT */
/* The kernel's log, record by record. */
#ifndef SMFS_GUEST_DMESG_H
#define SMFS_GUEST_DMESG_H

#include "guest_kernel.h"

struct guest_log;

struct guest_record {
	uint64_t time; /* nanoseconds since the guest began to count */
	uint64_t va;   /* of its text */
	size_t size;   /* of its text, bytes */
};

/*
 * Call FN for each record, the oldest first, until it returns other than 0: what it returned,
 * which is to be negative or positive as it likes; else 0; -ENOENT where VMCOREINFO does not say where
 * the log is; -ERR_MALFORMED, also where reading it takes more than a kernel's log does; -EIO, -ENOMEM.  E
 * says why.  The buffer before Linux 5.10 has an empty record of time 0 where it goes on at its start.
 */
typedef int guest_record_fn(void *ctx, struct guest_log *l, const struct guest_record *r);
int guest_records(struct guest_kernel *k, guest_record_fn *fn, void *ctx, struct error *e);

/*
 * The first N bytes, at most its size, of the text of R, which L hands over just now, in *TEXT until the
 * next are asked for: 0, or -ERR_MALFORMED, -EIO, and guest_records' E says why.  Who needs little of each
 * record is to ask for no more.
 */
int guest_record_text(struct guest_log *l, const struct guest_record *r, size_t n, const uint8_t **text);

#endif
