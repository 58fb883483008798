/* SPDX-License-Identifier: MIT */
/* Saving by writing over the snapshot, with a journal that can undo it. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "io.h"
#include "journal.h"
#include "save.h"

/* What is written where. */
struct change {
	const uint8_t *bytes; /* the new ones */
	uint64_t offset;
	uint64_t size;
	bool shift; /* a tail that moves is copied, not moved by inserting a range */
};

/* The head and, where it got shorter, zeros for what it leaves behind. */
static int new_bytes(const struct save *s, struct buffer *out)
{
	buffer_add(out, s->head->bytes, s->head->size);
	buffer_add(out, NULL, parts_left_behind(&s->old, &s->new));
	return out->failed ? -ENOMEM : 0;
}

/* Bytes that the snapshot has from its head's offset on, at most N, in *OUT. */
static int old_bytes(const struct save *s, uint64_t n, struct buffer *out)
{
	uint64_t left = s->old.tail_offset - s->old.head_offset;

	buffer_add(out, NULL, n < left ? n : left);
	if (out->failed)
		return -ENOMEM;
	return io_read(s->fd, out->bytes, out->size, s->old.head_offset);
}

/* Leave out of C what is the same before and after. */
static void trim(struct change *c, const struct buffer *old, uint64_t head_offset)
{
	uint64_t same = old->size < c->size ? old->size : c->size;
	uint64_t skip = 0;

	if (old->size == c->size)
		while (c->size > 0 && old->bytes[c->size - 1] == c->bytes[c->size - 1])
			c->size--;
	if (same > c->size)
		same = c->size;
	while (skip < same && old->bytes[skip] == c->bytes[skip])
		skip++;
	c->bytes += skip;
	c->size -= skip;
	c->offset = head_offset + skip;
}

/* Add a range to the array in RANGES, which the file has at least a part of. */
static void add_range(struct buffer *ranges, uint64_t offset, uint64_t end, uint64_t file_size)
{
	struct journal_range range = { offset, (end < file_size ? end : file_size) - offset };

	if (offset < end && offset < file_size)
		buffer_add(ranges, &range, sizeof(range));
}

/* What the journal must hold, the ranges in *RANGES. */
static int plan(const struct save *s, const struct change *c, struct buffer *ranges,
		struct journal_plan *p)
{
	uint64_t offset = 0, size;
	bool inserts = save_moves_tail(s) && !c->shift;
	bool shifts = save_moves_tail(s) && c->shift;

	if (shifts) {
		add_range(ranges, c->offset, s->old.file_size, s->old.file_size);
	} else {
		/* What is inserted was not there before. */
		add_range(ranges, c->offset, c->offset + c->size,
			  inserts ? s->old.tail_offset : s->old.file_size);
		/* What is cut off will be. */
		add_range(ranges, s->new.file_size, s->old.file_size, s->old.file_size);
	}
	while (s->save_ram && !shifts && ram_next_written(s->ram, &offset, &size)) {
		uint64_t at = s->old.tail_offset + offset;

		add_range(ranges, at, at + size, s->old.file_size);
		offset += size;
	}
	*p = (struct journal_plan){
		.old_size = s->old.file_size,
		.new_size = s->new.file_size,
		.insert_offset = s->old.tail_offset,
		.insert_size = inserts ? s->new.tail_offset - s->old.tail_offset : 0,
		.ranges = (const struct journal_range *)ranges->bytes,
		.range_count = ranges->size / sizeof(struct journal_range),
	};
	return ranges->failed ? -ENOMEM : 0;
}

/* Where the file beside the snapshot begins to differ. */
static int plan_beside(const struct save *s, struct journal_beside *out)
{
	const struct save_beside *b = s->beside;
	uint64_t same = b->old_size < b->bytes->size ? b->old_size : b->bytes->size;
	struct buffer old = { 0 };
	int err;

	*out = (struct journal_beside){ b->suffix, b->fd, b->old_size, b->bytes->size, 0 };
	buffer_add(&old, NULL, same);
	err = old.failed ? -ENOMEM : same ? io_read(b->fd, old.bytes, same, 0) : 0;
	while (!err && out->offset < same && old.bytes[out->offset] == b->bytes->bytes[out->offset])
		out->offset++;
	buffer_free(&old);
	return err;
}

static int write_beside(const struct save_beside *b, uint64_t offset)
{
	int err = io_write(b->fd, b->bytes->bytes + offset, b->bytes->size - offset, offset);

	if (!err && b->bytes->size < b->old_size)
		err = io_truncate(b->fd, b->bytes->size);
	return err ? err : io_sync(b->fd);
}

static int insert(const struct save *s)
{
	off_t size = (off_t)(s->new.tail_offset - s->old.tail_offset);

	while (fallocate(s->fd, FALLOC_FL_INSERT_RANGE, (off_t)s->old.tail_offset, size) < 0)
		if (errno != EINTR)
			return errno == ENOTSUP || errno == EINVAL || errno == ENOSYS
				       ? -EOPNOTSUPP
				       : -errno;
	return 0;
}

/*
 * Write the tail to where it goes, holes too, for other bytes were there.  Of one that moves the
 * two places may overlap: its end goes first on the way up, its start on the way down.
 */
static int shift(const struct save *s)
{
	enum { CHUNK = 1 << 20 };
	bool anew = s->tail_fd >= 0;
	bool up = !anew && s->new.tail_offset > s->old.tail_offset;
	int from = anew ? s->tail_fd : s->fd;
	uint64_t offset = anew ? 0 : s->old.tail_offset;
	uint64_t size = s->new.file_size - s->new.tail_offset, done, at;
	uint8_t *chunk = malloc(CHUNK);
	int err = chunk ? 0 : -ENOMEM;
	size_t take;

	for (done = 0; !err && done < size; done += take) {
		take = size - done < CHUNK ? size - done : CHUNK;
		at = up ? size - done - take : done;
		err = io_read(from, chunk, take, offset + at);
		if (!err)
			err = io_write(s->fd, chunk, take, s->new.tail_offset + at);
	}
	free(chunk);
	if (!err && up)
		err = io_zero(s->fd, s->old.tail_offset, s->new.tail_offset - s->old.tail_offset);
	return err;
}

/* Move the tail, and the mapping of it along.  Nobody may look meanwhile. */
static int move_tail(const struct save *s, const struct change *c, struct error *e)
{
	int err;

	if (s->ram)
		ram_hold(s->ram);
	err = c->shift ? shift(s) : insert(s);
	if (err)
		error_set(e, -err, "cannot move RAM: %s", strerror(-err));
	else if (s->ram)
		err = ram_rebase(s->ram, s->fd, s->new.tail_offset, s->new.file_size, e);
	if (s->ram)
		ram_resume(s->ram);
	if (err || c->shift)
		return err;
	/*
	 * Before anything is written where the tail was: no crash may leave such bytes in a
	 * file that has no room for them.  RAM can be read meanwhile.
	 */
	err = io_sync(s->fd);
	return err ? error_set(e, -err, "cannot move RAM: %s", strerror(-err)) : 0;
}

static int write_changes(const struct save *s, const struct change *c)
{
	int err = io_write(s->fd, c->bytes, c->size, c->offset);

	if (!err && (!save_moves_tail(s) || s->new.file_size < s->old.file_size) &&
	    s->new.file_size != s->old.file_size)
		err = io_truncate(s->fd, s->new.file_size);
	if (!err && s->save_ram)
		err = save_write_ram(s, s->fd);
	return err ? err : io_sync(s->fd);
}

/*
 * E says why a save failed, which could not be undone: say too what will undo it, where that is so.
 * A journal that is without its name is none.
 */
static void tell_of_journal(const struct beside *b, struct error *e)
{
	char name[NAME_MAX + 1];
	struct stat st;

	if (e && !beside_name(b, JOURNAL_SUFFIX, name, NULL) &&
	    fstatat(b->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		error_set(e, e->code, "%s; %s is left and undoes the save when the snapshot is next opened or saved",
			  e->text, name);
}

static int write_journalled(const struct save *s, const struct beside *b,
			    const struct change *c, const struct journal_plan *p,
			    struct saved *out, struct error *e)
{
	struct error ignored;
	int err = journal_write(b, s->fd, p, e);

	if (err)
		return err;
	out->touched = true;
	if (save_moves_tail(s))
		err = move_tail(s, c, e);
	if (!err) {
		err = write_changes(s, c);
		if (!err && s->beside)
			err = write_beside(s->beside, p->beside->offset);
		if (err)
			error_set(e, -err, "cannot write: %s", strerror(-err));
	}
	if (!err)
		err = journal_commit(b, e);
	if (err && save_undo(s, b, &ignored)) {
		out->undo_first = true;
		tell_of_journal(b, e);
	}
	return err;
}

static int save_over(const struct save *s, bool shifting, struct saved *out, struct error *e)
{
	struct buffer bytes = { 0 }, old = { 0 }, ranges = { 0 };
	struct journal_beside with;
	struct journal_plan p;
	struct change c;
	struct beside b;
	int err;

	if (!s->fd_is_path)
		return error_set(e, EOPNOTSUPP, "a new file can't be written in place");
	/*
	 * Inserting is one call, but filesystems carry it out in many steps.  Of those that
	 * know it XFS makes the file longer first, and after a power cut recovery could not
	 * tell how far it got; ext4 has been seen to do all or nothing.
	 */
	if (!shifting && save_moves_tail(s) &&
	    (s->new.glued || s->new.tail_offset < s->old.tail_offset || !io_is_ext4(s->fd)))
		return error_set(e, EOPNOTSUPP, "no range can be inserted before RAM");
	err = beside_open(s->path, &b, e);
	if (err)
		return err;
	err = save_check_unchanged(s, &b, e);
	if (err)
		goto out;
	err = new_bytes(s, &bytes);
	c = (struct change){ .bytes = bytes.bytes, .size = bytes.size, .shift = shifting };
	if (!err)
		err = old_bytes(s, bytes.size, &old);
	if (!err) {
		trim(&c, &old, s->old.head_offset);
		err = plan(s, &c, &ranges, &p);
	}
	if (!err && s->beside) {
		err = plan_beside(s, &with);
		p.beside = &with;
	}
	if (err)
		error_set(e, -err, "%s", strerror(-err));
	else
		err = write_journalled(s, &b, &c, &p, out, e);
	out->fd = s->fd;
	out->way = "in place";
out:
	buffer_free(&ranges);
	buffer_free(&old);
	buffer_free(&bytes);
	beside_close(&b);
	return err;
}

int save_in_place(const struct save *s, struct saved *out, struct error *e)
{
	return save_over(s, false, out, e);
}

int save_shifting(const struct save *s, struct saved *out, struct error *e)
{
	return save_over(s, true, out, e);
}
