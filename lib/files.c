/* SPDX-License-Identifier: MIT */
#include "files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "leaf.h"
#include "text.h"

/* What a leaf's open files share. */
struct leaf {
	struct leaf *next;
	struct node node;
	const struct field *row;
	struct leaf *blob; /* that it is inside of, or that follows it, or null; one of its users */
	unsigned users;
	pthread_mutex_t writing; /* held over a write and its save; then the blob's */
	bool truncated;        /* text: the next write starts from nothing */
	/* Bytes that O_TRUNC emptied and nobody wrote since, under WRITING: */
	const struct file *emptier; /* whose O_TRUNC that was, the last one's; or null */
	bool closed;                /* a descriptor of EMPTIER is */
	bool refused;               /* the last write was; then O_TRUNC alone empties nothing */
	struct file *writers; /* those that wrote in the draft, under WRITING */
};

/* What a leaf and the blob that follows it were. */
struct before {
	struct buffer leaf;
	struct buffer blob;
};

struct file {
	struct files *files;
	struct file *newer, *older; /* of all that are open, under the lock */
	struct leaf *leaf;
	int flags;
	bool truncated;     /* by open or ftruncate, and not written since; not in a BLOB */
	bool truncate_told; /* by ftruncate: that alone is an edit where it can be */
	bool wrote;         /* in the draft: one of its WRITERS */
	struct file *next;  /* of those */
	int lost;           /* why a draft that it wrote in could not be saved; not told yet */
	bool fresh;         /* TEXT started from nothing */
	struct buffer text; /* as this file wrote it, piece by piece */
	struct before before; /* the first of these pieces */
};

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

static void before_free(struct before *before)
{
	buffer_free(&before->leaf);
	buffer_free(&before->blob);
}

static void file_free(struct file *file)
{
	buffer_free(&file->text);
	before_free(&file->before);
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

static struct timespec now(void)
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

/* All of it. */
static int print(struct mount *m, struct node n, struct buffer *out)
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

/* All that is inside BLOB may be another now. */
static void tell_inside(struct files *f, struct node blob)
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

/*
 * The draft is no more.  If it could not be saved for the reason ERR, what each of
 * its writers wrote is lost, whoever's call it was that tried.  With WRITING held.
 */
static void end_draft(struct files *f, struct leaf *leaf, int err)
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
		tell_inside(f, leaf->node);
}

/* Give the leaf the value V, as a part of a change before which it was as BEFORE; null: as it is. */
static int edit(struct files *f, struct leaf *leaf, const struct value *v, struct timespec when,
		const struct before *before)
{
	struct followed followed = { 0 };
	struct mount *m = f->mount;
	struct edits edits = { 0 };
	unsigned held = leaf->blob ? holds(m, leaf->blob->node) : 0;
	bool with_blob;
	int err;

	if (before)
		followed = (struct followed){ { before->leaf.bytes, before->leaf.size },
					      { before->blob.bytes, before->blob.size } };
	pthread_rwlock_rdlock(&m->lock);
	err = edits_make(&edits, m->container, leaf->node, v, when, before ? &followed : NULL);
	pthread_rwlock_unlock(&m->lock);
	if (err) {
		edits_free(&edits); /* the room for it */
		return err;
	}
	with_blob = leaf->blob && edits_have(&edits, leaf->blob->node);
	err = mount_edit(m, &edits);
	if (err)
		return err;
	if (!leaf->blob)
		tell_inside(f, leaf->node);
	if (!with_blob)
		return 0;
	/* What it had is in the blob now.  A follower may be another in all that it has. */
	end_draft(f, leaf->blob, 0);
	if (holds(m, leaf->blob->node) != held)
		tell_inside(f, leaf->blob->node);
	return 0;
}

/*
 * Text
 */

static void set_truncated(struct files *f, struct leaf *leaf, bool truncated)
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
	return err ? err : edit(f, leaf, &v, now(), before);
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
		return print(file->files->mount, file->leaf->node, out);
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
	struct edits edits = { 0 };
	struct value v;
	bool same = false;

	pthread_rwlock_rdlock(&m->lock);
	if (!container_draft_bytes(m->container, leaf->blob->node) &&
	    !container_value(m->container, leaf->node, &v) &&
	    !edits_make(&edits, m->container, leaf->node, &v, now(), &followed))
		same = !edits_are_change(&edits, m->container);
	pthread_rwlock_unlock(&m->lock);
	edits_free(&edits);
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
	before_free(before);
	copy_value(m, file->leaf->node, &before->leaf);
	copy_value(m, file->leaf->blob->node, &before->blob);
	return before->leaf.failed || before->blob.failed ? -ENOMEM : 0;
}

static int write_text(struct file *file, const void *data, size_t n, uint64_t offset)
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
	set_truncated(file->files, leaf, false);
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

/*
 * Truncating a text to nothing is the start of a write: numbers and words have
 * no empty value, and a string must not pass through one.
 */
static int truncate_text(struct files *f, struct leaf *leaf, struct file *file, uint64_t size)
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
		set_truncated(f, leaf, !err);
		return err;
	}
	if (size > text_max(row))
		return row->kind == STRING ? -ENAMETOOLONG : -EINVAL;
	err = print(f->mount, leaf->node, &text);
	if (size > text.size)
		buffer_add(&text, NULL, size - text.size);
	text.size = size;
	if (!err)
		err = edit_text(f, leaf, &text, NULL);
	buffer_free(&text);
	if (!err)
		set_truncated(f, leaf, false);
	return err;
}

static int flush_text(struct file *file)
{
	bool string = file->leaf->row->kind == STRING;
	struct buffer nothing = { 0 };
	int err = 0;

	/* O_TRUNC without a write leaves a string what it is, for the next one too. */
	if (!file->truncated || (string && !file->truncate_told))
		return 0;
	set_truncated(file->files, file->leaf, true);
	if (string) {
		err = edit_text(file->files, file->leaf, &nothing, NULL);
		file->truncate_told = false;
	}
	return err;
}

/*
 * Bytes
 */

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
		err = empty ? 0 : print(f->mount, leaf->node, &made);
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
			err = container_draft(c, leaf->node, &made, now());
		else
			container_draft_changed(c, leaf->node, now());
	}
	pthread_rwlock_unlock(&f->mount->lock);
	buffer_free(&made);
	if (err)
		return err;
	leaf->emptier = NULL;
	tell_inside(f, leaf->node);
	return 0;
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
		err = edit(f, leaf, &v, when, NULL);
	end_draft(f, leaf, err);
	return err;
}

static int shown_size(struct files *f, struct leaf *leaf, uint64_t *size)
{
	struct timespec when;

	return files_stat(f, leaf->node, size, &when);
}

/* Bytes of a fixed size inside a blob: a part of the blob's draft. */
static int change_part(struct files *f, struct leaf *leaf, const void *data, size_t n, uint64_t offset)
{
	uint64_t size, at;
	int err = shown_size(f, leaf->blob, &size);

	pthread_rwlock_rdlock(&f->mount->lock);
	if (!err)
		err = container_offset_inside(f->mount->container, leaf->node, &at);
	pthread_rwlock_unlock(&f->mount->lock);
	return err ? err : change_draft(f, leaf->blob, false, size, data, n, at + offset);
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
	err = leaf->blob ? change_part(f, leaf, data, n, offset)
			 : change_draft(f, leaf, empty, size, data, n, offset);
	if (!err) {
		file->truncated = false;
		note_write(file);
	}
	return err;
}

static int write_bytes(struct file *file, const void *data, size_t n, uint64_t offset)
{
	int err = change_bytes(file, data, n, offset);

	file->leaf->refused = err != 0;
	return err;
}

static int truncate_bytes(struct files *f, struct leaf *leaf, struct file *file, uint64_t size)
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
	if (file && !err)
		note_write(file);
	return err || file ? err : save_draft(f, leaf);
}

static int flush_bytes(struct file *file)
{
	int err;

	/* Else another call has saved what FILE wrote, or failed to. */
	if (file->wrote)
		save_draft(file->files, drafting(file->leaf));
	err = file->lost;
	file->lost = 0;
	return err;
}

/* Bytes that O_TRUNC emptied are empty, as nobody wrote any.  With WRITING held. */
static int save_emptied(struct files *f, struct leaf *leaf)
{
	int err;

	leaf->emptier = NULL;
	if (leaf->refused)
		return 0;
	err = change_draft(f, leaf, true, 0, NULL, 0, 0);
	return err ? err : save_draft(f, leaf);
}

/*
 * Both
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
	leaf->closed = leaf->refused = false;
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
		err = write_text(file, data, n, offset);
	else
		err = write_bytes(file, data, n, offset);
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
		err = text_is_text(leaf->row) ? flush_text(file) : flush_bytes(file);
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
			save_emptied(f, leaf);
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
		if (leaf->emptier && leaf->closed && save_emptied(f, leaf))
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
		err = truncate_text(f, leaf, file, size);
	else
		err = truncate_bytes(f, leaf, file, size);
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
	set_truncated(f, leaf, false);
	if (!leaf->blob)
		end_draft(f, leaf, 0);
	leaf->emptier = NULL;
}

static int replace(struct files *f, struct leaf *leaf, const void *data, size_t size)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;
	int err = leaf_parse(leaf->row, data, size, scratch, &v);

	return err ? err : edit(f, leaf, &v, now(), NULL);
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
