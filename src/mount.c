/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include <stdio.h>

void mount_init(struct mount *m, struct snapshot *snapshot)
{
	pthread_rwlockattr_t attr;

	m->snapshot = snapshot;
	m->container = snapshot_container(snapshot);
	m->ram = snapshot_ram(snapshot);
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
static int save(struct mount *m, const struct edit *pending, bool ram)
{
	struct error e = { 0 };
	char text[64];
	int err = snapshot_save(m->snapshot, pending, ram, &e);

	if (err) {
		m->report(e.text);
	} else if (m->verbose) {
		snprintf(text, sizeof(text), "saved %s", snapshot_way(m->snapshot));
		m->report(text);
	}
	return err;
}

/* With EDITING held.  EDIT is taken over. */
static int put_in_force(struct mount *m, struct edit *edit)
{
	bool change = edit_is_change(m->container, edit);
	int err;

	pthread_rwlock_wrlock(&m->lock);
	err = container_reserve(m->container);
	pthread_rwlock_unlock(&m->lock);
	if (!err && change && m->policy == SAVE_AT_ONCE)
		err = save(m, edit, false);
	if (err) {
		edit_free(edit);
		return err;
	}
	pthread_rwlock_wrlock(&m->lock);
	container_apply(m->container, edit);
	pthread_rwlock_unlock(&m->lock);
	if (change && m->policy == SAVE_ON_SYNC)
		m->unsaved = true;
	return 0;
}

int mount_edit(struct mount *m, struct node n, const struct value *v, struct timespec when)
{
	struct edit *edit;
	int err;

	pthread_mutex_lock(&m->editing);
	edit = edit_new(m->container, n, v, when);
	err = edit ? put_in_force(m, edit) : -ENOMEM;
	pthread_mutex_unlock(&m->editing);
	return err;
}

int mount_touch(struct mount *m, struct node n, struct timespec when)
{
	struct edit *edit;
	struct value v;
	int err;

	pthread_mutex_lock(&m->editing);
	v = container_value(m->container, n);
	edit = edit_new(m->container, n, &v, when);
	err = edit ? put_in_force(m, edit) : -ENOMEM;
	pthread_mutex_unlock(&m->editing);
	return err;
}

/* With EDITING held. */
static int save_held(struct mount *m)
{
	uint64_t offset = 0, size;
	bool ram = m->save_ram && m->policy != SAVE_NEVER && m->ram &&
		   ram_next_written(m->ram, &offset, &size);
	int err;

	if (!m->unsaved && !ram)
		return 0;
	err = save(m, NULL, ram);
	if (!err)
		m->unsaved = false;
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
