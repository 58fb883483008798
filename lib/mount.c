/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <stdio.h>

static void base_changed(void *ctx, const char *base)
{
	const struct mount *m = ctx;
	char text[PATH_MAX + 128];

	snprintf(text, sizeof(text),
		 "base %s: has changed since the mount: what ram has of it can't be read any more; mount again",
		 base);
	m->report(text);
}

void mount_init(struct mount *m, struct snapshot *snapshot)
{
	pthread_rwlockattr_t attr;

	m->snapshot = snapshot;
	m->container = snapshot_container(snapshot);
	m->ram = snapshot_ram(snapshot);
	if (m->ram && ram_diff(m->ram))
		source_watch(ram_diff(m->ram), base_changed, m);
	pthread_mutex_init(&m->editing, NULL);
	/* Readers that never end must not keep an edit waiting. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&m->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

void mount_destroy(struct mount *m)
{
	pthread_rwlock_destroy(&m->lock);
	pthread_mutex_destroy(&m->editing);
}

/* With EDITING held. */
static int save(struct mount *m, struct edits *edits, bool ram)
{
	struct error e = { 0 };
	char text[64];
	int err = snapshot_save(m->snapshot, edits, ram, &e);

	if (err) {
		m->report(e.text);
	} else if (m->verbose) {
		snprintf(text, sizeof(text), "saved %s", snapshot_way(m->snapshot));
		m->report(text);
	}
	return err;
}

/* Room for EDITS and for the one that a save may add. */
static int reserve(struct mount *m, const struct edits *edits)
{
	int err;

	pthread_rwlock_wrlock(&m->lock);
	err = container_reserve(m->container, edits->count + 1);
	pthread_rwlock_unlock(&m->lock);
	return err;
}

static void apply(struct mount *m, struct edits *edits)
{
	pthread_rwlock_wrlock(&m->lock);
	container_apply(m->container, edits);
	pthread_rwlock_unlock(&m->lock);
}

int mount_edit(struct mount *m, struct edits *edits)
{
	bool change;
	int err;

	pthread_mutex_lock(&m->editing);
	change = edits_are_change(edits, m->container);
	err = reserve(m, edits);
	if (!err && change && m->policy == SAVE_AT_ONCE)
		err = save(m, edits, false);
	if (!err)
		apply(m, edits);
	if (!err && change && m->policy == SAVE_ON_SYNC)
		m->unsaved = true;
	pthread_mutex_unlock(&m->editing);
	edits_free(edits);
	return err;
}

/* With EDITING held. */
static int save_held(struct mount *m)
{
	uint64_t offset = 0, size;
	bool ram = m->save_ram && m->policy != SAVE_NEVER && m->ram &&
		   ram_next_written(m->ram, &offset, &size);
	struct edits added = { 0 };
	int err;

	if (!m->unsaved && !ram)
		return 0;
	err = reserve(m, &added);
	if (!err)
		err = save(m, &added, ram);
	if (!err) {
		apply(m, &added);
		m->unsaved = false;
	}
	edits_free(&added);
	return err;
}

int mount_sync(struct mount *m)
{
	int err;

	pthread_mutex_lock(&m->editing);
	err = save_held(m);
	pthread_mutex_unlock(&m->editing);
	return err;
}

int mount_finish(struct mount *m)
{
	struct error e = { 0 };
	char text[sizeof(e.text) + NAME_MAX + 64];
	char name[NAME_MAX + 1];
	int err;

	pthread_mutex_lock(&m->editing);
	err = save_held(m);
	/* Memory may be there again, as the threads are gone. */
	if (err == -ENOMEM)
		err = save_held(m);
	if (err && m->unsaved) {
		if (snapshot_rescue(m->snapshot, name, &e))
			snprintf(text, sizeof(text), "the edits are lost: %s", e.text);
		else
			snprintf(text, sizeof(text),
				 "the container with the edits is kept beside the snapshot, as %s", name);
		m->report(text);
	}
	pthread_mutex_unlock(&m->editing);
	return err;
}
