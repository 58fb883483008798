/* SPDX-License-Identifier: MIT */
/*
 * The snapshot that a differential one differs from (docs/format.md, "Base").  A diff is
 * not to be trusted, and names any file: only a snapshot of layout kvm is taken, whose RAM
 * is as large, and it is never written.
 */
#ifndef SMFS_BASE_H
#define SMFS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"

struct diff_base {
	int fd;              /* locked shared */
	uint64_t ram_offset;
	uint64_t file_len;
	struct stat st;      /* as it was when it was opened */
	char *path;          /* without symbolic links */
};

/*
 * Open and lock the base at PATH, of LENGTH bytes, for a diff that is open as DIFF_FD and
 * stands in the folder of DIFF_PATH: an absolute path as it stands, a relative one in that
 * folder or else in the working directory.  Its RAM must have MEM_SIZE bytes.  *OUT is the
 * caller's, to close.  On failure E says what is wrong, beginning with the path.
 */
int base_open(const char *path, size_t length, int diff_fd, const char *diff_path,
	      uint64_t mem_size, struct diff_base *out, struct error *e);
void base_close(struct diff_base *b);

/* Whether nobody changed the file since it was opened. */
bool base_is_unchanged(const struct diff_base *b);

#endif
