/* SPDX-License-Identifier: MIT */
/*
 * A mounted snapshot: who may read and edit it when, and when edits are saved
 * (docs/tree.md, "Saving").  Functions may run side by side; errors are
 * negative errnos.
 */
#ifndef SMFS_MOUNT_H
#define SMFS_MOUNT_H

#include <pthread.h>

#include "snapshot.h"

enum save_policy {
	SAVE_AT_ONCE, /* every edit, before the call that made it returns */
	SAVE_ON_SYNC, /* on fsync and at the end */
	SAVE_NEVER,
};

struct mount {
	struct snapshot *snapshot;
	struct container *container;
	struct ram *ram; /* null if there is none */
	enum save_policy policy;
	bool save_ram;
	bool verbose; /* report how each save went */

	void (*report)(const char *text); /* a line for whoever looks after the daemon */

	pthread_mutex_t editing; /* held over an edit and its save; one at a time */
	pthread_rwlock_t lock;   /* the container's edits */
	bool unsaved;            /* edits are held; under EDITING */
};

/* Set up M for SNAPSHOT, which stays the caller's. */
void mount_init(struct mount *m, struct snapshot *snapshot);
void mount_destroy(struct mount *m);

/*
 * Make EDITS, and save them as the policy asks.  They are in force, all of them, when this
 * returns 0; else nothing has changed.  EDITS is empty afterwards.
 */
int mount_edit(struct mount *m, struct edits *edits);

/* Save what is held: edits and, if so asked for, RAM. */
int mount_sync(struct mount *m);

/*
 * The last save of all.  Where it fails, the container is kept beside the
 * snapshot; both are reported.
 */
int mount_finish(struct mount *m);

#endif
