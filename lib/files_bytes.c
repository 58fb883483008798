/* SPDX-License-Identifier: MIT */
/* Leaves of bytes: what is written is gathered in a draft. */
#include <fcntl.h>
#include <string.h>

#include "files_parts.h"
#include "text.h"

/* The bytes of its draft, or null.  With WRITING held nobody else makes, changes or ends it. */
static struct buffer *draft_of(struct files *f, const struct leaf *leaf)
{
	struct buffer *draft;

	pthread_rwlock_rdlock(&f->mount->lock);
	draft = container_draft_bytes(f->mount->container, leaf->node);
	pthread_rwlock_unlock(&f->mount->lock);
	return draft;
}

/*
 * Make the draft of LEAF, which is not inside a blob, SIZE bytes long, and put the N bytes at
 * DATA to OFFSET in it.  A new draft starts from nothing if EMPTY, else from what the leaf
 * shows; it shows only when this is done.  With WRITING held.
 */
static int change_draft(struct files *f, struct leaf *leaf, bool empty, uint64_t size,
			const void *data, size_t n, uint64_t offset)
{
	struct container *c = f->mount->container;
	struct buffer made = { 0 }, *draft;
	bool fresh;
	int err = 0;

	draft = draft_of(f, leaf);
	fresh = empty || !draft;
	if (fresh) {
		draft = &made;
		err = empty ? 0 : files_print(f->mount, leaf->node, &made);
	}
	pthread_rwlock_wrlock(&f->mount->lock);
	if (!err && size > draft->size)
		buffer_add(draft, NULL, size - draft->size);
	if (draft->failed) {
		/* The bytes are as they were, only no more can be added. */
		draft->failed = false;
		err = -ENOMEM;
	}
	if (!err) {
		draft->size = size;
		if (n)
			memcpy(draft->bytes + offset, data, n);
		if (fresh)
			err = container_draft(c, leaf->node, &made, files_now());
		else
			container_draft_changed(c, leaf->node, files_now());
	}
	pthread_rwlock_unlock(&f->mount->lock);
	buffer_free(&made);
	if (!err)
		files_tell_inside(f, leaf->node);
	return err;
}

/* The leaf whose draft gathers what is written to LEAF. */
static struct leaf *drafting(struct leaf *leaf)
{
	return leaf->blob ? leaf->blob : leaf;
}

static void note_write(struct file *file)
{
	struct leaf *leaf = drafting(file->leaf);

	if (file->wrote)
		return;
	file->wrote = true;
	file->next = leaf->writers;
	leaf->writers = file;
}

/* Make the draft the leaf's value; without it, if that fails, the old value shows again. */
static int save_draft(struct files *f, struct leaf *leaf)
{
	struct buffer *draft = draft_of(f, leaf);
	struct value v = { .bytes = draft->bytes, .size = draft->size };
	int err = value_check(leaf->row, &v);
	struct timespec when;
	uint64_t size;

	if (!err)
		err = files_stat(f, leaf->node, &size, &when); /* since when it shows */
	if (!err)
		err = files_edit(f, leaf, &v, when, NULL);
	files_end_draft(f, leaf, err);
	return err;
}

static int shown_size(struct files *f, struct leaf *leaf, uint64_t *size)
{
	struct timespec when;

	return files_stat(f, leaf->node, size, &when);
}

/*
 * Bytes of a fixed size inside a blob, a part of the blob's draft: the N at DATA to OFFSET in them, and
 * the others zeros if EMPTY.
 */
static int change_part(struct files *f, struct leaf *leaf, bool empty, const void *data, size_t n,
		       uint64_t offset)
{
	struct buffer part = { 0 };
	uint64_t size, at;
	int err = shown_size(f, leaf->blob, &size);

	buffer_add(&part, NULL, empty ? offset : 0);
	buffer_add(&part, data, n);
	buffer_add(&part, NULL, empty ? leaf->row->size - offset - n : 0);
	pthread_rwlock_rdlock(&f->mount->lock);
	if (!err)
		err = container_offset_inside(f->mount->container, leaf->node, &at);
	pthread_rwlock_unlock(&f->mount->lock);
	if (!err && part.failed)
		err = -ENOMEM;
	if (!err)
		err = change_draft(f, leaf->blob, false, size, part.bytes, part.size, at + (empty ? 0 : offset));
	/* Who emptied the blob still starts from nothing, but it is not left empty. */
	leaf->blob->kept |= !err;
	buffer_free(&part);
	return err;
}

static int change_bytes(struct file *file, const void *data, size_t n, uint64_t offset)
{
	struct files *f = file->files;
	struct leaf *leaf = file->leaf;
	const struct field *row = leaf->row;
	bool empty = file->truncated || leaf->emptier;
	uint64_t size = 0;
	int err = empty ? 0 : shown_size(f, leaf, &size);

	if (err)
		return err;
	if (file->flags & O_APPEND)
		offset = size;
	if (offset > row->size || n > row->size - offset)
		return -EFBIG;
	if (size < offset + n)
		size = offset + n;
	/* A size that is fixed leaves no room for more pieces: refuse it here, not at close. */
	if (row->kind != BLOB && size != row->size)
		return -EINVAL;
	err = leaf->blob ? change_part(f, leaf, empty, data, n, offset)
			 : change_draft(f, leaf, empty, size, data, n, offset);
	if (!err) {
		leaf->emptier = NULL;
		file->truncated = false;
		note_write(file);
	}
	return err;
}

int files_write_bytes(struct file *file, const void *data, size_t n, uint64_t offset)
{
	int err = change_bytes(file, data, n, offset);

	file->leaf->kept = err != 0;
	return err;
}

int files_truncate_bytes(struct files *f, struct leaf *leaf, struct file *file, uint64_t size)
{
	const struct field *row = leaf->row;
	uint64_t now_shown;
	int err = shown_size(f, leaf, &now_shown);

	if (err || (size == now_shown && row->kind != BLOB))
		return err;
	if (row->kind == BYTES || (row->kind == OPTION && size > 0))
		return -EINVAL;
	if (size > row->size)
		return -EFBIG;
	err = change_draft(f, leaf, leaf->emptier != NULL, size, NULL, 0, 0);
	if (!err)
		leaf->emptier = NULL;
	if (file && !err)
		note_write(file);
	return err || file ? err : save_draft(f, leaf);
}

int files_flush_bytes(struct file *file)
{
	int err;

	/* Else another call has saved what FILE wrote, or failed to. */
	if (file->wrote)
		save_draft(file->files, drafting(file->leaf));
	err = file->lost;
	file->lost = 0;
	return err;
}

int files_save_emptied(struct files *f, struct leaf *leaf)
{
	int err;

	leaf->emptier = NULL;
	if (leaf->kept)
		return 0;
	err = change_draft(f, leaf, true, 0, NULL, 0, 0);
	return err ? err : save_draft(f, leaf);
}
