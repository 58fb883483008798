/* SPDX-License-Identifier: MIT */
/*
 * A guest as an ELF core (docs/guest.md, "The core"), for debuggers: a head that is made, and
 * guest memory after it as it is.
 */
#ifndef SMFS_VMCORE_H
#define SMFS_VMCORE_H

#include "guest_kernel.h"
#include "vcpu_registers.h"

/* May be read side by side. */
struct vmcore {
	struct guest_memory memory;
	uint8_t *head;      /* owned */
	uint64_t head_size; /* a multiple of 64 KiB */
	uint64_t size;      /* of all, in bytes */
};

/* The size of the core of CPUS vCPUs and the memory G, whatever is in either. */
uint64_t vmcore_size(uint64_t cpus, const struct guest_memory *g);

/*
 * Make the core of C and the memory G in V, which is to be freed: 0 or -ENOMEM.  K is the kernel that
 * was found in G; without one, null, the core has physical addresses.
 */
int vmcore_make(struct vmcore *v, const struct container *c, const struct guest_memory *g,
		struct guest_kernel *k, struct error *e);
void vmcore_free(struct vmcore *v);

/* Call FN with the N bytes at OFFSET, or those of them that there are, as ram_view does. */
int vmcore_view(struct vmcore *v, size_t n, uint64_t offset, ram_viewer *fn, void *ctx);

/* lseek(2) with SEEK_DATA or SEEK_HOLE: an offset, or -ENXIO past the end. */
int64_t vmcore_seek(struct vmcore *v, uint64_t offset, int whence);

#endif
