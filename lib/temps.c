/* SPDX-License-Identifier: MIT */
#include "temps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void temps_init(struct temps *t)
{
	*t = (struct temps){ 0 };
	pthread_mutex_init(&t->lock, NULL);
}

static void temp_free(struct temp *temp)
{
	buffer_free(&temp->content);
	free(temp);
}

void temps_destroy(struct temps *t)
{
	while (t->first) {
		struct temp *temp = t->first;

		t->first = temp->next;
		temp_free(temp);
	}
	pthread_mutex_destroy(&t->lock);
}

/* The rest is called with the lock held. */

static struct temp *by_id(struct temps *t, uint64_t id)
{
	struct temp *temp = t->first;

	while (temp && temp->id != id)
		temp = temp->next;
	return temp;
}

static struct temp *by_name(struct temps *t, uint64_t folder, const char *name)
{
	struct temp *temp = t->first;

	while (temp && (temp->folder != folder || strcmp(temp->name, name) != 0))
		temp = temp->next;
	return temp;
}

static void drop_if_unused(struct temps *t, struct temp *temp)
{
	struct temp **link;

	if (temp->opens || temp->name[0])
		return;
	for (link = &t->first; *link != temp; link = &(*link)->next)
		;
	*link = temp->next;
	t->count--;
	temp_free(temp);
}

static void fill_stat(const struct temp *temp, struct temp_stat *st)
{
	*st = (struct temp_stat){ temp->id, temp->content.size, temp->changed };
}

static int make(struct temps *t, uint64_t folder, const char *name, struct temp_stat *st)
{
	struct temp *temp, **end = &t->first;

	if (by_name(t, folder, name))
		return -EEXIST;
	if (t->count >= TEMPS_MAX)
		return -ENOSPC;
	if (strlen(name) >= sizeof(temp->name))
		return -ENAMETOOLONG;
	temp = calloc(1, sizeof(*temp));
	if (!temp)
		return -ENOMEM;
	temp->id = ++t->last_id;
	temp->folder = folder;
	strcpy(temp->name, name);
	temp->opens = 1;
	clock_gettime(CLOCK_REALTIME, &temp->changed);
	while (*end)
		end = &(*end)->next;
	*end = temp;
	t->count++;
	fill_stat(temp, st);
	return 0;
}

static int resize(struct temp *temp, uint64_t size)
{
	if (size > TEMP_SIZE_MAX)
		return -EFBIG;
	if (size > temp->content.size)
		buffer_add(&temp->content, NULL, size - temp->content.size);
	else
		temp->content.size = size;
	if (temp->content.failed) {
		temp->content.failed = false;
		return -ENOMEM;
	}
	clock_gettime(CLOCK_REALTIME, &temp->changed);
	return 0;
}

/* And these take it. */

#ifndef __clang__ /* gcc's analyzer does not see that what make() made is in the list */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

int temps_make(struct temps *t, uint64_t folder, const char *name, struct temp_stat *st)
{
	int err;

	pthread_mutex_lock(&t->lock);
	err = make(t, folder, name, st);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int temps_find(struct temps *t, uint64_t folder, const char *name, struct temp_stat *st)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = by_name(t, folder, name);
	if (temp)
		fill_stat(temp, st);
	pthread_mutex_unlock(&t->lock);
	return temp ? 0 : -ENOENT;
}

int temps_stat(struct temps *t, uint64_t id, struct temp_stat *st)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	if (temp)
		fill_stat(temp, st);
	pthread_mutex_unlock(&t->lock);
	return temp ? 0 : -ENOENT;
}

int temps_unlink(struct temps *t, uint64_t folder, const char *name)
{
	struct temp *temp;
	int err = -ENOENT;

	pthread_mutex_lock(&t->lock);
	temp = by_name(t, folder, name);
	if (temp) {
		temp->name[0] = 0;
		drop_if_unused(t, temp);
		err = 0;
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

int temps_open(struct temps *t, uint64_t id)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	if (temp)
		temp->opens++;
	pthread_mutex_unlock(&t->lock);
	return temp ? 0 : -ENOENT;
}

void temps_close(struct temps *t, uint64_t id)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	if (temp) {
		temp->opens--;
		drop_if_unused(t, temp);
	}
	pthread_mutex_unlock(&t->lock);
}

int temps_read(struct temps *t, uint64_t id, size_t n, uint64_t offset, struct buffer *out)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	if (temp && offset < temp->content.size) {
		uint64_t left = temp->content.size - offset;

		buffer_add(out, temp->content.bytes + offset, left < n ? left : n);
	}
	pthread_mutex_unlock(&t->lock);
	if (!temp)
		return -ENOENT;
	return out->failed ? -ENOMEM : 0;
}

int temps_write(struct temps *t, uint64_t id, const void *data, size_t n, uint64_t offset)
{
	struct temp *temp;
	int err = -ENOENT;

	if (offset > TEMP_SIZE_MAX || n > TEMP_SIZE_MAX - offset)
		return -EFBIG;
	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	if (temp)
		err = resize(temp, offset + n > temp->content.size ? offset + n
								   : temp->content.size);
	if (!err && n)
		memcpy(temp->content.bytes + offset, data, n);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int temps_truncate(struct temps *t, uint64_t id, uint64_t size)
{
	struct temp *temp;
	int err;

	pthread_mutex_lock(&t->lock);
	temp = by_id(t, id);
	err = temp ? resize(temp, size) : -ENOENT;
	pthread_mutex_unlock(&t->lock);
	return err;
}

int temps_next(struct temps *t, uint64_t folder, uint64_t id, char name[256],
	       struct temp_stat *st)
{
	struct temp *temp;

	pthread_mutex_lock(&t->lock);
	temp = t->first;
	while (temp && (temp->id < id || temp->folder != folder || !temp->name[0]))
		temp = temp->next;
	if (temp) {
		strcpy(name, temp->name);
		fill_stat(temp, st);
	}
	pthread_mutex_unlock(&t->lock);
	return temp ? 0 : -ENOENT;
}
