/* SPDX-License-Identifier: MIT */
/* The tree as FUSE sees it: its operations, which the classes of files carry out (docs/tree.md). */
#ifndef SMFS_FS_H
#define SMFS_FS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#include "files.h"
#include "passthrough.h"
#include "temps.h"

/*
 * Which of the guest's files there are: looked for when somebody wants to know.  What is there stays;
 * what is not is looked for again once RAM was written.
 */
struct guest_names {
	pthread_mutex_t lock;
	uint32_t known, present; /* bit I: guest_files[I] */
	struct timespec written; /* when RAM was, as of what is known; 0: never */
	_Atomic bool failed;     /* once that could not be told: the kernel is to keep no listing since */
};

/* The core's inodes, each with a head of its own, the newest first (class_vmcore.c). */
struct vmcore_inodes {
	pthread_mutex_t lock;
	struct vmcore_inode *newest; /* owned; null: the core was never open */
};

struct fs {
	struct mount mount;
	struct files files;
	struct temps temps;
	struct passthrough passthrough;
	struct guest_names guest;
	struct vmcore_inodes vmcore;
	struct fuse_session *session;
	bool initialized; /* the kernel's first request was taken */
	unsigned max_read; /* bytes, as the mount was told; 0: no limit of ours */
	bool read_only;
	bool cache_listings;
	bool ram_direct; /* RAM is not cached by the kernel */
	bool writeback;  /* what is written to RAM is kept back by the kernel; fields are
	                    read-only then */
	uid_t uid;
	gid_t gid;
	mode_t umask;            /* bits taken away from 0666 and 0777 */
	struct timespec mtime;   /* of what was not edited */
	_Atomic uint32_t ram_renewals;
};

/* The operations; their user data is a struct fs. */
extern const struct fuse_lowlevel_ops fs_operations;

#endif
