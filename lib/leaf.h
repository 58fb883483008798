/* SPDX-License-Identifier: MIT */
/* What the file of a leaf holds, and content for it as an edit: the mount's rules, for all. */
#ifndef SMFS_LEAF_H
#define SMFS_LEAF_H

#include "container.h"
#include "text.h"

/* Append up to SIZE bytes, from OFFSET on, of what the leaf N shows: 0 or a negative errno. */
int leaf_show(const struct container *c, struct node n, uint64_t offset, size_t size,
	      struct buffer *out);

/*
 * Read the SIZE bytes at BYTES, as if they were written in one piece to the empty file of ROW,
 * into *V, whose bytes then lie in SCRATCH or in BYTES.  0, -EACCES for what is read-only, or
 * what such a write answers.
 */
int leaf_parse(const struct field *row, const void *bytes, size_t size,
	       uint8_t scratch[TEXT_SCRATCH], struct value *v);

/*
 * Add to EDITS that the leaf N is to have that content, at WHEN.  0, or a negative errno, and
 * EDITS is as it was.
 */
int leaf_edit(const struct container *c, struct node n, const void *bytes, size_t size,
	      struct timespec when, struct edits *edits);

#endif
