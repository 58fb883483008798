/* SPDX-License-Identifier: MIT */
/*
 * Computed files: what they hold is made when they are opened (docs/tree.md, "Computed
 * files").  A row each.
 */
#ifndef SMFS_COMPUTED_H
#define SMFS_COMPUTED_H

#include "snapshot.h"

struct computed {
	const char *folder; /* where it stands: a path with N for each index; "": in the root */
	const char *name;
	enum access access; /* RO, or SECRET: read by whoever mounted alone */
	const char *doc;

	/*
	 * Append what it holds to OUT.  FOLDER is the path of the folder that it is in.  C is the
	 * snapshot's container or a copy of it, and stays as it is meanwhile.  0 or a negative errno.
	 */
	int (*make)(struct snapshot *s, const struct container *c, const char *folder,
		    struct buffer *out);
	bool waits; /* for other files: it is to be made from a copy, as nothing may wait with it */
};

enum { COMPUTED_MAX = 64 };

/* The row of number I; null after the last. */
const struct computed *computed_row(unsigned i);

/* The first row at or after *I that stands in the directory DIR: false if there is none. */
bool computed_next(const struct container *c, struct node dir, unsigned *i);

/* The row in DIR called NAME, in *I: false if there is none. */
bool computed_lookup(const struct container *c, struct node dir, const char *name, unsigned *i);

/* The makers, in files of their own. */
int computed_ring(struct snapshot *s, const struct container *c, const char *folder, struct buffer *out);
int computed_check(struct snapshot *s, const struct container *c, const char *folder, struct buffer *out);
int computed_health(struct snapshot *s, const struct container *c, const char *folder, struct buffer *out);

#endif
