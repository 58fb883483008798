/* SPDX-License-Identifier: MIT */
/*
 * Guest memory by guest-physical address, for all that looks into it: nothing is read
 * outside of it, whatever the guest says.
 */
#ifndef SMFS_GUEST_MEMORY_H
#define SMFS_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "ram.h"

/* Addresses and sizes in bytes.  Owns nothing, and may be copied. */
struct guest_memory {
	struct ram *ram; /* null: there is no memory */
	uint64_t base;   /* the guest-physical address of its first byte (docs/format.md, "RAM") */
};

/* The memory of the guest whose head is C and whose RAM is RAM, which may be null; as C is now. */
struct guest_memory guest_memory_of(const struct container *c, struct ram *ram);

/* How much memory there is from BASE on: 0 if there is none, and never past the last address. */
uint64_t guest_size(const struct guest_memory *g);

/* Whether all N bytes at GPA are memory.  No bytes are memory anywhere. */
bool guest_has(const struct guest_memory *g, uint64_t gpa, uint64_t n);

/*
 * Read the N bytes at GPA into TO: 0; -EFAULT if not all of them are memory, and then TO is as
 * it was; -EIO if the snapshot's file does not have them any more.
 */
int guest_read(const struct guest_memory *g, void *to, size_t n, uint64_t gpa);

/*
 * Pages that were read, for those who look at little in many places: those that were used last,
 * whichever they are, for page tables and what they lead to must not push each other out.  Starts
 * as { 0 }.  As memory was then: it is made anew where that may have changed.
 */
enum { GUEST_PAGES = 16 };
struct guest_pages {
	uint64_t page[GUEST_PAGES]; /* the number of each, plus 1; 0: none */
	uint64_t used[GUEST_PAGES]; /* the value of USES when it was used last */
	uint64_t uses;
	unsigned last;  /* the one that was used last */
	uint64_t reads; /* how often memory was read, pages: what looks in too many places is told by it */
	uint8_t bytes[GUEST_PAGES][RAM_PAGE];
};

/* As guest_read, from KEPT where that has it. */
int guest_read_kept(const struct guest_memory *g, struct guest_pages *kept, void *to, size_t n, uint64_t gpa);

/* As guest_read of N bytes at GPA and at each RAM_PAGE after it, COUNT times (not 0), one behind the other. */
int guest_read_heads(const struct guest_memory *g, void *to, size_t n, uint64_t gpa, unsigned count);

/*
 * The first run of memory at or after *GPA that is stored, that is no hole: its start in *GPA
 * and its size in *SIZE.  False if there is none.  What is not stored reads as zeros.
 */
bool guest_next_stored(const struct guest_memory *g, uint64_t *gpa, uint64_t *size);

#endif
