/* SPDX-License-Identifier: MIT */
/*
 * The Linux kernel in a guest's memory, found by its VMCOREINFO alone: where it is, in both
 * kinds of addresses.
 */
#ifndef SMFS_GUEST_KERNEL_H
#define SMFS_GUEST_KERNEL_H

#include "error.h"
#include "guest_space.h"
#include "guest_vmcoreinfo.h"

/* One thread at a time. */
struct guest_kernel {
	struct guest_memory memory;
	struct vmcoreinfo info;   /* owned */
	struct guest_space space; /* the kernel's own page tables */

	/* The image, as it is in both kinds of addresses, from the page of _stext on. */
	uint64_t image, image_pa, image_size;

	/* The virtual address of the guest-physical address 0, modulo 2^64, in the direct map. */
	bool has_direct_map;
	uint64_t direct_map;
};

/*
 * Find the kernel in the memory G, in K, which may be freed in any case: 0; -ENOENT where there is none that
 * has its VMCOREINFO written already; -EIO, -ENOMEM.  E says why.
 */
int guest_kernel_find(struct guest_kernel *k, const struct guest_memory *g, struct error *e);
void guest_kernel_free(struct guest_kernel *k);

#endif
