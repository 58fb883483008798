/* SPDX-License-Identifier: MIT */
/* Leaves of text: a write is parsed, and is an edit. */
#include <fcntl.h>
#include <string.h>

#include "files_parts.h"
#include "text.h"

void files_before_free(struct before *before)
{
	buffer_free(&before->leaf);
	buffer_free(&before->blob);
}

void files_set_truncated(struct files *f, struct leaf *leaf, bool truncated)
{
	pthread_mutex_lock(&f->lock);
	leaf->truncated = truncated;
	pthread_mutex_unlock(&f->lock);
}

static int edit_text(struct files *f, struct leaf *leaf, const struct buffer *text,
		     const struct before *before)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;
	int err;

	if (text->failed)
		return -ENOMEM;
	err = text_parse(leaf->row, text->size ? (char *)text->bytes : "", text->size, scratch, &v);
	return err ? err : files_edit(f, leaf, &v, files_now(), before);
}

/* Whether what FILE wrote is still what the leaf is: then more pieces may follow. */
static bool is_current(struct file *file)
{
	struct mount *m = file->files->mount;
	struct leaf *leaf = file->leaf;
	uint8_t scratch[TEXT_SCRATCH];
	struct value wrote, v;
	bool same;

	if (text_parse(leaf->row, (char *)file->text.bytes, file->text.size, scratch, &wrote))
		return false;
	pthread_rwlock_rdlock(&m->lock);
	same = !container_value(m->container, leaf->node, &v) && v.size == wrote.size &&
	       (v.size == 0 || memcmp(v.bytes, wrote.bytes, v.size) == 0);
	pthread_rwlock_unlock(&m->lock);
	return same;
}

/* The text that a write of FILE changes, to OUT. */
static int start_text(struct file *file, struct buffer *out)
{
	if (file->truncated || (file->leaf->truncated && !file->text.size))
		return 0;
	if (!file->text.size || !(file->fresh || is_current(file)))
		return files_print(file->files->mount, file->leaf->node, out);
	buffer_add(out, file->text.bytes, file->text.size);
	return 0;
}

/* Append what the leaf of a value, not of text, shows. */
static void copy_value(struct mount *m, struct node n, struct buffer *out)
{
	struct value v;

	pthread_rwlock_rdlock(&m->lock);
	if (!container_value(m->container, n, &v) && v.size)
		buffer_add(out, v.bytes, v.size);
	pthread_rwlock_unlock(&m->lock);
}

/*
 * Whether the follower is what a change from BEFORE to the leaf's present value makes of it: else
 * it was edited since.
 */
static bool is_followed(struct file *file, const struct before *before)
{
	struct mount *m = file->files->mount;
	struct leaf *leaf = file->leaf;
	struct followed followed = { { before->leaf.bytes, before->leaf.size },
				     { before->blob.bytes, before->blob.size } };
	struct buffer now = { 0 }, resolved = { 0 };
	struct edits edits = { 0 };
	struct value v, to;
	bool same = false;

	copy_value(m, leaf->node, &now);
	v = (struct value){ now.bytes, now.size };
	if (now.failed || edits_resolve(m->container, leaf->node, &v, &resolved))
		goto out;
	to = (struct value){ resolved.bytes, resolved.size };
	pthread_rwlock_rdlock(&m->lock);
	if (!container_draft_bytes(m->container, leaf->blob->node) &&
	    !edits_make(&edits, m->container, leaf->node, &v, &to, files_now(), &followed))
		same = !edits_are_change(&edits, m->container);
	pthread_rwlock_unlock(&m->lock);
out:
	edits_free(&edits);
	buffer_free(&resolved);
	buffer_free(&now);
	return same;
}

/*
 * What the leaf, which has a follower, was before the pieces that FILE writes, the next of
 * which goes on with TEXT or is the first: a move by each piece could be another than one by
 * all of them.
 */
static int note_before(struct file *file, bool goes_on)
{
	struct mount *m = file->files->mount;
	struct before *before = &file->before;

	if (goes_on && before->blob.size && is_followed(file, before))
		return 0;
	files_before_free(before);
	copy_value(m, file->leaf->node, &before->leaf);
	copy_value(m, file->leaf->blob->node, &before->blob);
	return before->leaf.failed || before->blob.failed ? -ENOMEM : 0;
}

int files_write_text(struct file *file, const void *data, size_t n, uint64_t offset)
{
	struct leaf *leaf = file->leaf;
	struct before *before = leaf->row->follow ? &file->before : NULL;
	bool fresh = file->truncated || leaf->truncated || file->fresh;
	bool goes_on = file->text.size && !file->truncated && (file->fresh || is_current(file));
	struct buffer text = { 0 };
	int err = start_text(file, &text);

	if (file->flags & O_APPEND)
		offset = text.size;
	if (!err && before)
		err = note_before(file, goes_on);
	if (err) {
		;
	} else if (offset > text_max(leaf->row) || n > text_max(leaf->row) - offset) {
		err = leaf->row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	} else {
		if (offset + n > text.size)
			buffer_add(&text, NULL, offset + n - text.size);
		if (text.bytes && !text.failed)
			memcpy(text.bytes + offset, data, n);
		err = edit_text(file->files, leaf, &text, before);
	}
	files_set_truncated(file->files, leaf, false);
	if (err) {
		buffer_free(&text);
		return err;
	}
	buffer_free(&file->text);
	file->text = text;
	file->fresh = fresh;
	file->truncated = file->truncate_told = false;
	return 0;
}

int files_truncate_text(struct files *f, struct leaf *leaf, struct file *file, uint64_t size)
{
	const struct field *row = leaf->row;
	struct buffer text = { 0 };
	int err = 0;

	if (size == 0 && file) {
		file->truncated = file->truncate_told = true;
		return 0;
	}
	if (size == 0) {
		if (row->kind == STRING)
			err = edit_text(f, leaf, &text, NULL);
		files_set_truncated(f, leaf, !err);
		return err;
	}
	if (size > text_max(row))
		return row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	err = files_print(f->mount, leaf->node, &text);
	if (size > text.size)
		buffer_add(&text, NULL, size - text.size);
	text.size = size;
	if (!err)
		err = edit_text(f, leaf, &text, NULL);
	buffer_free(&text);
	if (!err)
		files_set_truncated(f, leaf, false);
	return err;
}

int files_flush_text(struct file *file)
{
	bool string = file->leaf->row->kind == STRING;
	struct buffer nothing = { 0 };
	int err = 0;

	/* O_TRUNC without a write leaves a string what it is, for the next one too. */
	if (!file->truncated || (string && !file->truncate_told))
		return 0;
	files_set_truncated(file->files, file->leaf, true);
	if (string) {
		err = edit_text(file->files, file->leaf, &nothing, NULL);
		file->truncate_told = false;
	}
	return err;
}
