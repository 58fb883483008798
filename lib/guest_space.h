/* SPDX-License-Identifier: MIT */
/*
 * A guest's virtual addresses: its page tables, walked as the processor does.  The guest
 * wrote them, so a walk reads at most one entry a level, and what an entry points at need
 * not be memory.
 */
#ifndef SMFS_GUEST_SPACE_H
#define SMFS_GUEST_SPACE_H

#include "guest_memory.h"

enum guest_machine { GUEST_X86_64, GUEST_AARCH64 };

/* Translations that are remembered. */
enum { GUEST_SPACE_CACHE = 64 };

/*
 * Fixed when it is first used: what was read is remembered, so a space is made
 * anew where memory may have changed.  Owns nothing.  One thread at a time.
 */
struct guest_space {
	struct guest_memory memory;
	enum guest_machine machine;
	uint64_t root;       /* guest-physical address of the top table */
	unsigned page_shift; /* 12, 14 or 16 */
	unsigned va_bits;    /* of an address that are translated; the others are the same */
	struct {
		uint64_t page, pa; /* of virtual page PAGE (plus 1, 0: free), when mapped */
	} cache[GUEST_SPACE_CACHE];
	struct guest_pages pages; /* of tables, and what is read */
};

/* x86-64: CR3, and whether there are five levels. */
void guest_space_x86_64(struct guest_space *s, const struct guest_memory *memory, uint64_t cr3,
			bool five_levels);

/*
 * aarch64, the kernel's half: ROOT, the size of a page (4096, 16384 or 65536) and the bits of
 * an address.  -EINVAL for what no processor has.
 */
int guest_space_aarch64(struct guest_space *s, const struct guest_memory *memory, uint64_t root,
			uint64_t page_size, unsigned va_bits);

/*
 * The guest-physical address that the virtual address VA has in *PA, and in *SIZE, if it is not
 * null, the bytes from VA to the end of what one entry maps: 0, -EFAULT if it is not mapped, -EIO.
 */
int guest_translate(struct guest_space *s, uint64_t va, uint64_t *pa, uint64_t *size);

/* As guest_read, by virtual address; what was read before an error stays in TO. */
int guest_read_virtual(struct guest_space *s, void *to, size_t n, uint64_t va);

/* The little-endian number of WIDTH (1 to 8) bytes at VA in *V. */
int guest_read_number(struct guest_space *s, uint64_t va, unsigned width, uint64_t *v);

/*
 * The memory from the virtual address VA on that lies in one piece in physical memory too: its size in bytes, at most LIMIT and never past the guest's memory.  0 if VA is
 * not memory.
 */
uint64_t guest_run(struct guest_space *s, uint64_t va, uint64_t limit);

/*
 * The first mapped address at or after *VA, which must be one that can be translated: it in *VA, as
 * guest_translate the rest.  *BUDGET, the walks that it may take, is counted down.  False if there is none.
 */
bool guest_next_mapped(struct guest_space *s, uint64_t *va, uint64_t *pa, uint64_t *size,
		       unsigned *budget);

#endif
