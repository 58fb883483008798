/* SPDX-License-Identifier: MIT */
/* Directories as the kernel reads them. */
#ifndef SMFS_LISTING_H
#define SMFS_LISTING_H

#include "fs.h"

/*
 * Answer REQ with the entries of the directory DIR from OFFSET on, 0 or what an entry says
 * comes next, as many as fit into SIZE bytes; with attributes if PLUS.  ENOMEM;
 * ESTALE for what is inside a blob and not there any more.
 */
void reply_listing(fuse_req_t req, struct fs *fs, fuse_ino_t dir, size_t size, off_t offset,
		   bool plus);

#endif
