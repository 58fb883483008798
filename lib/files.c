/* SPDX-License-Identifier: MIT */
#include "files_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "leaf.h"
#include "text.h"

void files_init(struct files *f, struct mount *m)
{
	*f = (struct files){ .mount = m };
	pthread_mutex_init(&f->lock, NULL);
}

static void leaf_free(struct leaf *leaf)
{
	pthread_mutex_destroy(&leaf->writing);
	free(leaf);
}

static void file_free(struct file *file)
{
	buffer_free(&file->text);
	files_before_free(&file->before);
	free(file);
}

void files_destroy(struct files *f)
{
	while (f->newest) {
		struct file *file = f->newest;

		f->newest = file->older;
		file_free(file);
	}
	while (f->leaves) {
		struct leaf *leaf = f->leaves;

		f->leaves = leaf->next;
		leaf_free(leaf);
	}
	pthread_mutex_destroy(&f->lock);
}

/* With the lock held. */
static struct leaf *find_leaf(struct files *f, struct node n)
{
	struct leaf *leaf = f->leaves;

	while (leaf && !node_equal(leaf->node, n))
		leaf = leaf->next;
	return leaf;
}

/* Likewise; made if it is not there.  Null if memory runs out. */
static struct leaf *need_leaf(struct files *f, struct node n)
{
	struct leaf *leaf = find_leaf(f, n);
	struct node blob;

	if (!leaf) {
		leaf = calloc(1, sizeof(*leaf));
		if (!leaf)
			return NULL;
		leaf->node = n;
		leaf->row = container_row(f->mount->container, n);
		if (container_is_inside(f->mount->container, n, &blob) ||
		    container_follower(f->mount->container, n, &blob)) {
			leaf->blob = need_leaf(f, blob);
			if (!leaf->blob) {
				free(leaf);
				return NULL;
			}
		}
		pthread_mutex_init(&leaf->writing, NULL);
		leaf->next = f->leaves;
		f->leaves = leaf;
	}
	leaf->users++;
	return leaf;
}

static struct leaf *leaf_get(struct files *f, struct node n)
{
	struct leaf *leaf;

	pthread_mutex_lock(&f->lock);
	leaf = need_leaf(f, n);
	pthread_mutex_unlock(&f->lock);
	return leaf;
}

static void leaf_put(struct files *f, struct leaf *leaf)
{
	struct leaf **link, *blob;

	pthread_mutex_lock(&f->lock);
	while (leaf && --leaf->users == 0 && !leaf->truncated) {
		blob = leaf->blob;
		for (link = &f->leaves; *link != leaf; link = &(*link)->next)
			;
		*link = leaf->next;
		leaf_free(leaf);
		leaf = blob;
	}
	pthread_mutex_unlock(&f->lock);
}

static void lock_writing(struct leaf *leaf)
{
	pthread_mutex_lock(&leaf->writing);
	if (leaf->blob)
		pthread_mutex_lock(&leaf->blob->writing);
}

static void unlock_writing(struct leaf *leaf)
{
	if (leaf->blob)
		pthread_mutex_unlock(&leaf->blob->writing);
	pthread_mutex_unlock(&leaf->writing);
}

struct timespec files_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t;
}

/* Append up to N bytes, from OFFSET on, of what a leaf shows. */
static int print_slice(struct mount *m, struct node node, size_t n, uint64_t offset,
		       struct buffer *out)
{
	int err;

	pthread_rwlock_rdlock(&m->lock);
	err = leaf_show(m->container, node, offset, n, out);
	pthread_rwlock_unlock(&m->lock);
	return err;
}

int files_print(struct mount *m, struct node n, struct buffer *out)
{
	return print_slice(m, n, SIZE_MAX, 0, out);
}

int file_read(struct file *file, size_t n, uint64_t offset, struct buffer *out)
{
	return print_slice(file->files->mount, file->leaf->node, n, offset, out);
}

static int check_there(struct files *f, struct node n)
{
	int err;

	pthread_rwlock_rdlock(&f->mount->lock);
	err = container_check(f->mount->container, n);
	pthread_rwlock_unlock(&f->mount->lock);
	return err;
}

/*
 * Changes that others see
 */

static void tell_node(void *ctx, struct node n)
{
	struct files *f = ctx;

	f->changed(f->changed_ctx, n);
}

void files_tell_inside(struct files *f, struct node blob)
{
	if (f->changed)
		container_inside(f->mount->container, blob, tell_node, f);
}

static unsigned holds(struct mount *m, struct node blob)
{
	unsigned what;

	pthread_rwlock_rdlock(&m->lock);
	what = container_holds(m->container, blob);
	pthread_rwlock_unlock(&m->lock);
	return what;
}

void files_end_draft(struct files *f, struct leaf *leaf, int err)
{
	while (leaf->writers) {
		struct file *file = leaf->writers;

		leaf->writers = file->next;
		file->wrote = false;
		if (err)
			file->lost = err;
	}
	pthread_rwlock_wrlock(&f->mount->lock);
	container_draft_end(f->mount->container, leaf->node);
	pthread_rwlock_unlock(&f->mount->lock);
	if (err)
		files_tell_inside(f, leaf->node);
}

int files_edit(struct files *f, struct leaf *leaf, const struct value *v, struct timespec when,
	       const struct before *before)
{
	struct followed followed = { 0 };
	struct mount *m = f->mount;
	struct edits edits = { 0 };
	unsigned held = leaf->blob ? holds(m, leaf->blob->node) : 0;
	struct buffer resolved = { 0 };
	struct value to;
	bool with_blob;
	int err = edits_resolve(m->container, leaf->node, v, &resolved);

	if (before)
		followed = (struct followed){ { before->leaf.bytes, before->leaf.size },
					      { before->blob.bytes, before->blob.size } };
	to = (struct value){ resolved.bytes, resolved.size };
	pthread_rwlock_rdlock(&m->lock);
	if (!err)
		err = edits_make(&edits, m->container, leaf->node, v, &to, when, before ? &followed : NULL);
	pthread_rwlock_unlock(&m->lock);
	buffer_free(&resolved);
	if (err) {
		edits_free(&edits); /* the room for it */
		return err;
	}
	with_blob = leaf->blob && edits_have(&edits, leaf->blob->node);
	err = mount_edit(m, &edits);
	if (err)
		return err;
	if (!leaf->blob)
		files_tell_inside(f, leaf->node);
	if (!with_blob)
		return 0;
	leaf->blob->kept = true;
	/* What it had is in the blob now.  A follower may be another in all that it has. */
	files_end_draft(f, leaf->blob, 0);
	if (holds(m, leaf->blob->node) != held)
		files_tell_inside(f, leaf->blob->node);
	return 0;
}

/*
 * Calls
 */

/*
 * What is opened with O_TRUNC keeps its value until a write brings the next one:
 * whoever writes it starts from nothing.  Bytes that may be empty are so once FILE
 * is closed and nobody wrote any.
 */
static void truncate_at_open(struct file *file)
{
	struct leaf *leaf = file->leaf;

	if (leaf->row->kind == BYTES || text_is_text(leaf->row)) {
		file->truncated = true;
		return;
	}
	pthread_mutex_lock(&leaf->writing);
	leaf->emptier = file;
	leaf->closed = leaf->kept = false;
	pthread_mutex_unlock(&leaf->writing);
}

/* With the lock held, both. */
static void link_open(struct files *f, struct file *file)
{
	file->older = f->newest;
	if (file->older)
		file->older->newer = file;
	f->newest = file;
}

static void unlink_open(struct files *f, struct file *file)
{
	if (file->newer)
		file->newer->older = file->older;
	else
		f->newest = file->older;
	if (file->older)
		file->older->newer = file->newer;
}

int file_open(struct files *f, struct node n, int flags, struct file **out)
{
	struct file *file;
	int err;

	if (((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC) &&
	    container_row(f->mount->container, n)->access == RO)
		return -EACCES;
	err = check_there(f, n);
	if (err)
		return err;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->files = f;
	file->flags = flags;
	file->leaf = leaf_get(f, n);
	if (!file->leaf) {
		free(file);
		return -ENOMEM;
	}
	if (flags & O_TRUNC)
		truncate_at_open(file);
	pthread_mutex_lock(&f->lock);
	link_open(f, file);
	pthread_mutex_unlock(&f->lock);
	*out = file;
	return 0;
}

static bool may_write(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

bool file_may_change(const struct file *file)
{
	return may_write(file) || file->flags & O_TRUNC;
}

int file_write(struct file *file, const void *data, size_t n, uint64_t offset)
{
	int err;

	if (n == 0)
		return 0;
	lock_writing(file->leaf);
	err = check_there(file->files, file->leaf->node);
	if (err)
		;
	else if (text_is_text(file->leaf->row))
		err = files_write_text(file, data, n, offset);
	else
		err = files_write_bytes(file, data, n, offset);
	unlock_writing(file->leaf);
	return err;
}

int file_flush(struct file *file)
{
	struct leaf *leaf = file->leaf;
	int err = 0;

	/* Who only reads does not wait for another's save. */
	if (!file_may_change(file))
		return 0;
	lock_writing(leaf);
	leaf->closed |= leaf->emptier == file;
	if (may_write(file))
		err = text_is_text(leaf->row) ? files_flush_text(file) : files_flush_bytes(file);
	unlock_writing(leaf);
	return err;
}

void file_close(struct file *file)
{
	struct files *f = file->files;
	struct leaf *leaf = file->leaf;

	file_flush(file);
	/*
	 * Only then: the kernel has few releases under way at once, and those of readers
	 * that wait for a save hold up all others.
	 */
	if (file->flags & O_TRUNC) {
		lock_writing(leaf);
		/* Whoever truncates and closes after FILE may still write. */
		if (leaf->emptier == file)
			files_save_emptied(f, leaf);
		unlock_writing(leaf);
	}
	pthread_mutex_lock(&f->lock);
	unlink_open(f, file);
	pthread_mutex_unlock(&f->lock);
	leaf_put(f, leaf);
	file_free(file);
}

int files_finish(struct files *f)
{
	struct leaf *leaf;
	int err = 0;

	for (leaf = f->leaves; leaf; leaf = leaf->next)
		if (leaf->emptier && leaf->closed && files_save_emptied(f, leaf))
			err = -EIO;
	return err;
}

int files_truncate(struct files *f, struct node n, struct file *file, uint64_t size)
{
	struct leaf *leaf;
	int err;

	if (container_row(f->mount->container, n)->access == RO)
		return -EACCES;
	leaf = leaf_get(f, n);
	if (!leaf)
		return -ENOMEM;
	lock_writing(leaf);
	if (text_is_text(leaf->row))
		err = files_truncate_text(f, leaf, file, size);
	else
		err = files_truncate_bytes(f, leaf, file, size);
	unlock_writing(leaf);
	leaf_put(f, leaf);
	return err;
}

int files_stat(struct files *f, struct node n, uint64_t *size, struct timespec *when)
{
	struct mount *m = f->mount;
	const struct field *row = container_row(m->container, n);
	struct value v;
	int err = 0;

	pthread_rwlock_rdlock(&m->lock);
	if (row->kind == RAW) {
		*size = container_raw_size(m->container, n);
	} else {
		err = container_value(m->container, n, &v);
		if (!err)
			*size = text_size(row, &v);
		container_mtime(m->container, n, when);
	}
	pthread_rwlock_unlock(&m->lock);
	return err;
}

/* What was begun before the edit that was now made is over: that one came later. */
static void end_begun(struct files *f, struct leaf *leaf)
{
	files_set_truncated(f, leaf, false);
	if (!leaf->blob)
		files_end_draft(f, leaf, 0);
	leaf->emptier = NULL;
}

static int replace(struct files *f, struct leaf *leaf, const void *data, size_t size)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;
	int err = leaf_parse(leaf->row, data, size, scratch, &v);

	return err ? err : files_edit(f, leaf, &v, files_now(), NULL);
}

int files_replace(struct files *f, struct node n, const void *data, size_t size)
{
	struct leaf *leaf = leaf_get(f, n);
	int err;

	if (!leaf)
		return -ENOMEM;
	lock_writing(leaf);
	err = replace(f, leaf, data, size);
	if (!err)
		end_begun(f, leaf);
	unlock_writing(leaf);
	leaf_put(f, leaf);
	return err;
}
