/* SPDX-License-Identifier: MIT */
/* File input and output that is whole or fails: short and interrupted calls are continued. */
#ifndef SMFS_IO_H
#define SMFS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All return 0 or a negative errno.  Offsets and sizes are bytes. */

/* -ENODATA if the file ends before N bytes are read. */
int io_read(int fd, void *to, size_t n, uint64_t offset);
int io_write(int fd, const void *from, size_t n, uint64_t offset);
int io_truncate(int fd, uint64_t size);
int io_sync(int fd);

/*
 * Copy N bytes between files, both offsets in whole pages or the range small.
 * Holes of the source stay holes where the target, which must be zero there,
 * allows it.  -ENODATA if the source ends before them.
 */
int io_copy(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n);

/*
 * Have TO share N bytes of FROM, both offsets in whole blocks.  -EOPNOTSUPP if the
 * filesystem has no such thing, or not for these.
 */
int io_clone(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t n);

/* Whether there are only zeros from byte FROM up to byte TO.  Where it can't be read there are not. */
bool io_is_zero(int fd, uint64_t from, uint64_t to);

/* Write N zero bytes. */
int io_zero(int fd, uint64_t offset, uint64_t n);

/* Whether the file is of ext4's own kind, made of extents; those of ext2 and ext3 are not. */
bool io_is_ext4(int fd);

#endif
