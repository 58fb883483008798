/* SPDX-License-Identifier: MIT */
/* Commands that edit a snapshot: what they made is saved, or only shown. */
#ifndef SMSNAP_EDIT_H
#define SMSNAP_EDIT_H

#include "head_diff.h"
#include "snapshot.h"

/* The row for --dry-run. */
#define DRY_RUN_OPTION \
	{ "dry-run", 0, NULL, offsetof(struct arguments, dry_run), \
	  "print what would differ, and change nothing" }

/* Save EDITS, which may get more, in S: 0 or an exit status. */
int edit_save(struct snapshot *s, struct edits *edits);

/* Call FN for each leaf that EDITS would change in S: how many, or a negative errno. */
int64_t edit_differences(struct snapshot *s, const struct edits *edits, head_difference *fn, void *ctx,
			 struct error *e);

/* Print what EDITS would change in S: 0 or an exit status. */
int edit_show(struct snapshot *s, const struct edits *edits);

#endif
