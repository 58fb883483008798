/* SPDX-License-Identifier: MIT */
/*
 * Guest memory for fuzz targets: the same for every input, its bytes are what the
 * target puts there.
 */
#ifndef SMFS_TESTS_FUZZ_MEMORY_H
#define SMFS_TESTS_FUZZ_MEMORY_H

#include "guest.h"

enum { FUZZ_MEMORY = 32 << 10 };

/* The memory at BASE, all zeros but the N bytes at P, as many as fit, from offset AT on. */
struct guest_memory fuzz_memory(uint64_t base, const uint8_t *p, size_t n, size_t at);

/* Put N bytes to offset AT of it, if they fit. */
void fuzz_memory_put(size_t at, const void *p, size_t n);

/*
 * A kernel that is found already in such memory: all of it is its image, at FUZZ_IMAGE, with page tables
 * in the last 16 KiB, and its VMCOREINFO is TEXT.
 */
#define FUZZ_IMAGE UINT64_C(0xffffffff80000000)
enum { FUZZ_TABLES = FUZZ_MEMORY - (16 << 10) };
struct guest_kernel fuzz_kernel(const uint8_t *p, size_t n, const char *text);

/* That ERR of a file's maker is one that it may give, and that OUT is not too long. */
void fuzz_check_file(int err, const struct buffer *out, const struct error *e);

#endif
