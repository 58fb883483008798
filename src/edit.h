/* SPDX-License-Identifier: MIT */
/* Commands that edit a snapshot: what they made is saved, or only shown. */
#ifndef SMSNAP_EDIT_H
#define SMSNAP_EDIT_H

#include "snapshot.h"

/* The row for --dry-run. */
#define DRY_RUN_OPTION \
	{ "dry-run", 0, NULL, offsetof(struct arguments, dry_run), \
	  "print what would differ, and change nothing" }

/* Save EDITS, which may get more, in S, which PATH names: 0 or an exit status. */
int edit_save(struct snapshot *s, const char *path, struct edits *edits);

/* Print what EDITS would change in S: 0 or an exit status. */
int edit_show(struct snapshot *s, const struct edits *edits);

#endif
