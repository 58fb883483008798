/* SPDX-License-Identifier: MIT */
/*
 * What a guest's Linux kernel tells of itself, as files (docs/guest.md): each is made from
 * guest memory when it is asked for.
 */
#ifndef SMFS_GUEST_H
#define SMFS_GUEST_H

#include "buffer.h"
#include "guest_kernel.h"

/* Bytes that a file has at most: a guest could make up one without end. */
enum { GUEST_FILE_MAX = 16 << 20 };

struct guest_file {
	const char *name;
	bool secret; /* may hold the token: for its owner alone */
	/*
	 * Append the content to OUT: 0; -ENOENT where the kernel has no such thing;
	 * -ERR_MALFORMED where what the guest has is damaged; -EFBIG past GUEST_FILE_MAX;
	 * -EIO, -ENOMEM.  E says why.
	 */
	int (*make)(struct guest_kernel *k, struct buffer *out, struct error *e);
};

/* In the order of their names' list; ends with a null name. */
extern const struct guest_file guest_files[];

/* The file called NAME, or null. */
const struct guest_file *guest_file_named(const char *name);

/*
 * Append the content of F of the kernel in the memory G to OUT: as F's make, and -ENOENT where
 * there is no kernel.
 */
int guest_file_read(const struct guest_file *f, const struct guest_memory *g, struct buffer *out,
		    struct error *e);

/*
 * Those of the files WHICH (bit I: number I) that the kernel in G has, in *PRESENT; what is
 * damaged is there.  0; -ENOENT where there is no kernel, and so none of them all; -EIO or -ENOMEM where
 * that can't be told.
 */
int guest_files_look(const struct guest_memory *g, uint32_t which, uint32_t *present);

/* The same for those to whom what can't be told is not there. */
uint32_t guest_files_present(const struct guest_memory *g, uint32_t which);

/* The files that are more than a few lines. */
int guest_dmesg(struct guest_kernel *k, struct buffer *out, struct error *e);
int guest_kallsyms(struct guest_kernel *k, struct buffer *out, struct error *e);
int guest_tasks(struct guest_kernel *k, struct buffer *out, struct error *e);

/* Append formatted text: 0, -EFBIG, -ENOMEM. */
int guest_print(struct buffer *out, struct error *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ERR of a read of WHAT, told. */
int guest_unreadable(int err, const char *what, struct error *e);

#endif
