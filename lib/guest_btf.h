/* SPDX-License-Identifier: MIT */
/* BTF: the kernel's own description of its types, where it was built with one. */
#ifndef SMFS_GUEST_BTF_H
#define SMFS_GUEST_BTF_H

#include "guest_kernel.h"

/* A member that is looked for. */
struct btf_want {
	const char *name;
	bool found;
	uint32_t offset; /* bytes, in the structure */
};

/*
 * Find the kernel's structure called STRUCTURE, and in it MEMBERS, which end with a null name: 0, -ENOENT where
 * there is no such thing, -ENOMEM, -EIO.
 */
int guest_btf_find(struct guest_kernel *k, const char *structure, struct btf_want *members);

/* The same in the N bytes of BTF at P; for tests. */
int btf_find(const uint8_t *p, size_t n, const char *structure, struct btf_want *members);

#endif
