/* SPDX-License-Identifier: MIT */
/* What the kernel is told of the tree's files: inode numbers and attributes (docs/tree.md). */
#ifndef SMFS_INODE_H
#define SMFS_INODE_H

#include "fs.h"

/* The inode number of the node N. */
fuse_ino_t node_ino(struct node n);

/* Of the temporary ID, which is below 2^52. */
fuse_ino_t temp_ino(uint64_t id);

/* Of RAM.  It changes when the kernel has a wrong idea of RAM's size, see write_ram. */
fuse_ino_t ram_ino(const struct fs *fs);

/* Of the computed file of row ROW that stands in the directory DIR. */
fuse_ino_t computed_ino(unsigned row, struct node dir);

/* Of the core, whose later inodes have the numbers after it, and of file I of the guest's; I 0 is their directory. */
fuse_ino_t vmcore_ino(void);
fuse_ino_t guest_ino(unsigned i);

/* What INO is the number of. */
bool is_ram(fuse_ino_t ino);
bool is_temp(fuse_ino_t ino);
bool is_computed(fuse_ino_t ino);
bool is_vmcore(fuse_ino_t ino);
bool is_guest(fuse_ino_t ino);
bool is_node(fuse_ino_t ino);

/* The row of the computed file INO, and where the directory that it is in starts in the head. */
unsigned ino_computed(fuse_ino_t ino);
uint64_t ino_offset(fuse_ino_t ino);

/* Which of the guest's files INO is the number of. */
unsigned guest_number(fuse_ino_t ino);

/* The temporary that INO is the number of. */
uint64_t temp_id(fuse_ino_t ino);

/* The node that INO is the number of. */
struct node ino_node(fuse_ino_t ino);

/*
 * Of the node N of sidecar I, as it was read.  The roots of all have one number, as they are one
 * directory.
 */
fuse_ino_t sidecar_ino(unsigned i, struct node n);
bool is_sidecar(fuse_ino_t ino);

/* Which sidecar, and which of its nodes, INO is the number of. */
unsigned ino_sidecar(fuse_ino_t ino);
struct node ino_sidecar_node(fuse_ino_t ino);

/* Attributes of INO.  -ENOENT if it is a temporary that is gone. */
int inode_stat(struct fs *fs, fuse_ino_t ino, struct stat *st);

/* Seconds for which the kernel may keep INO's attributes. */
double attr_timeout(struct fs *fs, fuse_ino_t ino);

/* What the kernel is told when it has looked INO up.  As inode_stat. */
int fill_entry(struct fs *fs, fuse_ino_t ino, struct fuse_entry_param *entry);

#endif
