/* SPDX-License-Identifier: MIT */
#include "save.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "journal.h"
#include "le.h"
#include "locked.h"

/* RAM that has to move goes to a multiple of this, which every page size divides. */
enum { TAIL_ALIGNMENT = 65536 };

int identity_get(int fd, struct identity *id)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*id = (struct identity){ st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim, st.st_ctim };
	return 0;
}

static bool is_same_but_times(const struct identity *a, const struct identity *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size;
}

static bool is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
	return is_same_but_times(a, b) && is_same_time(a->mtime, b->mtime) &&
	       is_same_time(a->ctime, b->ctime);
}

uint64_t save_sum(uint64_t sum, const uint8_t *bytes, size_t n)
{
	size_t take;

	for (; n > 0; bytes += take, n -= take) {
		take = n < 8 ? n : 8;
		/* Each step has an inverse: words that differ never come to one sum at once. */
		sum = (sum ^ le_get(bytes, take)) * UINT64_C(0x9e3779b97f4a7c15);
		sum ^= sum >> 32;
	}
	return sum;
}

/* The sum of the head that FD has now in *SUM. */
static int sum_head(const struct save *s, uint64_t *sum)
{
	uint64_t at = s->old.head_offset, left = s->old.head_size;
	uint8_t chunk[1 << 14];
	size_t take;
	int err = 0;

	for (*sum = 0; !err && left > 0; at += take, left -= take) {
		take = left < sizeof(chunk) ? left : sizeof(chunk);
		err = io_read(s->fd, chunk, take, at);
		if (!err)
			*sum = save_sum(*sum, chunk, take);
	}
	return err;
}

struct parts parts_next(const struct parts *old, uint64_t size)
{
	struct parts next = *old;
	uint64_t end = old->head_offset + size;
	uint64_t tail_size = old->file_size - old->tail_offset;

	next.head_size = size;
	if (old->glued)
		next.tail_offset = end;
	else if (end > old->tail_offset)
		next.tail_offset = (end + TAIL_ALIGNMENT - 1) / TAIL_ALIGNMENT * TAIL_ALIGNMENT;
	next.file_size = next.tail_offset + tail_size;
	return next;
}

uint64_t parts_left_behind(const struct parts *old, const struct parts *new)
{
	uint64_t start = new->head_offset + new->head_size;
	uint64_t end = old->head_offset + old->head_size;

	if (end > new->tail_offset)
		end = new->tail_offset;
	if (end > new->file_size)
		end = new->file_size;
	return end > start ? end - start : 0;
}

bool save_moves_tail(const struct save *s)
{
	return s->tail_fd >= 0 || (s->old.tail_offset < s->old.file_size &&
				   s->new.tail_offset != s->old.tail_offset);
}

int save_check_unchanged(const struct save *s, const struct beside *b, struct error *e)
{
	struct identity now = { 0 };
	int err = identity_get(s->fd, &now);
	bool same = !err && is_same_but_times(&now, &s->identity) &&
		    (!s->fd_is_path || names_file(b->folder, b->name, s->fd));
	uint64_t sum;

	if (same && !identity_equal(&now, &s->identity)) {
		err = sum_head(s, &sum);
		same = sum == s->old_sum;
	}
	if (err)
		return error_set(e, -err, "cannot be read: %s", strerror(-err));
	return same ? 0 : error_set(e, ESTALE, "another program changed the snapshot");
}

int save_write_ram(const struct save *s, int fd)
{
	uint8_t page[RAM_PAGE];
	uint64_t offset = 0, size;
	int err = ram_clone_to(s->ram, fd, s->new.tail_offset);

	if (err != -EOPNOTSUPP)
		return err;
	err = 0;
	while (!err && ram_next_written(s->ram, &offset, &size)) {
		uint64_t end = offset + size;

		for (; !err && offset < end; offset += RAM_PAGE) {
			size_t take = end - offset < RAM_PAGE ? end - offset : RAM_PAGE;

			err = ram_read(s->ram, page, take, offset);
			if (!err)
				err = io_write(fd, page, take, s->new.tail_offset + offset);
		}
	}
	return err;
}

static int undo_held(const struct save *s, const struct beside *b, struct error *e)
{
	int err = journal_rename_back(b, e);

	if (!err)
		err = journal_undo(b, s->fd, e);
	else if (err == -ENOENT)
		err = 0; /* it was undone, and only the folder could not be made durable */
	/* A new tail is in a file of its own, which has not changed. */
	if (!err && s->ram && s->tail_fd >= 0)
		err = ram_rebase(s->ram, s->tail_fd, 0, s->new.file_size - s->new.tail_offset, e);
	else if (!err && s->ram)
		err = ram_rebase(s->ram, s->fd, s->old.tail_offset, s->old.file_size, e);
	return err;
}

int save_undo(const struct save *s, const struct beside *b, struct error *e)
{
	int err;

	/* RAM's place in the file may be the new one, the old one, or in between. */
	if (s->ram)
		ram_hold(s->ram);
	err = undo_held(s, b, e);
	/* What failed may have been passing, and the snapshot is not whole until it is done. */
	if (err)
		err = undo_held(s, b, e);
	if (err && s->ram && save_moves_tail(s))
		ram_lose(s->ram);
	if (s->ram)
		ram_resume(s->ram);
	return err;
}

int save_finish_undo(const struct save *s, struct saved *out, struct error *e)
{
	struct beside b;
	int err = beside_open(s->path, &b, e);

	if (err)
		return err;
	if (s->fd_is_path && s->undo_first) {
		out->touched = true;
		err = save_undo(s, &b, e);
		out->undo_first = err != 0;
	} else if (s->fd_is_path && journal_exists(&b)) {
		out->touched = true;
		err = journal_undo(&b, s->fd, e);
		if (err == -ENOENT)
			err = 0; /* there was none, only no telling */
	}
	beside_close(&b);
	return err;
}

/* Whether FD's name is a mount point: then no other file can have it. */
static bool is_mounted_over(int fd)
{
	struct statx st;

	return statx(fd, "", AT_EMPTY_PATH, 0, &st) == 0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int save(const struct save *s, struct saved *out, struct error *e)
{
	typedef int way(const struct save *, struct saved *, struct error *);
	/* A renamed file would leave the other names of the old one behind. */
	static way *const with_links[] = { save_in_place, save_shifting, NULL };
	static way *const replacing[] = { save_clone, save_copy, save_in_place, NULL };
	/*
	 * In place first: what a clone costs grows with the file's extents, and those that hold
	 * memory of a guest may be very many.  With RAM to save it is the journal that grows.
	 */
	static way *const all[] = { save_in_place, save_clone, save_copy, NULL };
	static way *const with_ram[] = { save_clone, save_in_place, save_copy, NULL };
	/* A tail that follows its head is no larger than a diff: its bytes can be journalled. */
	static way *const glued[] = {
		save_clone, save_in_place, save_copy, save_shifting, NULL
	};
	static way *const glued_replacing[] = {
		save_clone, save_copy, save_in_place, save_shifting, NULL
	};
	static way *const new_tail[] = { save_copy, save_shifting, NULL };
	static way *const mounted_over[] = { save_in_place, NULL };
	static way *const new_tail_with_links[] = { save_shifting, NULL };
	way *const *ways = s->replace ? replacing : s->save_ram ? with_ram : all;
	struct save job = *s;
	struct stat st;
	int err = 0;

	if (fstat(s->fd, &st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (s->new.glued)
		ways = s->replace ? glued_replacing : glued;
	if (s->tail_fd >= 0)
		ways = new_tail;
	/* Two names cannot be exchanged at once, and one journal undoes both files. */
	if (s->beside)
		ways = with_links;
	if (s->fd_is_path && st.st_nlink > 1)
		ways = s->tail_fd >= 0 ? new_tail_with_links : with_links;
	/* RAM can be on another machine: it is not copied to find out that it was for nothing. */
	if (s->fd_is_path && is_mounted_over(s->fd)) {
		if (save_moves_tail(s))
			return error_set(e, EOPNOTSUPP, "RAM would have to move, and a file that is a mount point cannot be replaced; edit it where it is stored");
		ways = mounted_over;
	}
	for (; *ways; ways++) {
		if (out->touched)
			identity_get(job.fd, &job.identity);
		err = (*ways)(&job, out, e);
		if (out->undo_first || err != -EOPNOTSUPP)
			break;
	}
	return err;
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Durably: it may be a journal that was taken away, and must not have its name again. */
static int remove_new(const struct beside *b, struct error *e)
{
	char name[NAME_MAX + 1];
	int err;

	if (beside_name(b, SAVE_NEW_SUFFIX, name, NULL) || unlinkat(b->folder, name, 0) < 0)
		return 0;
	err = io_sync(b->folder);
	return err ? error_set(e, -err, "cannot remove %s: %s", name, strerror(-err)) : 0;
}

/* Whether FD is locked now, or there are no locks and that is no matter. */
static bool lock_alone(int fd, enum no_locks no_locks)
{
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ||
	       (no_locks == NO_LOCKS_GO_ON && says_no_locks(-errno));
}

static int undo(const char *path, const struct beside *b, enum no_locks no_locks,
		struct error *e)
{
	const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int undone = journal_exists(b);
	int fd = open(path, (undone ? O_RDWR : O_RDONLY) | flags);
	int code = fd < 0 ? errno : 0;
	int err = 0;

	if (code == ENOENT)
		return 0; /* for the caller to find out */
	/* Who may only read can still see whether somebody is saving it. */
	if (fd < 0 && undone)
		fd = open(path, O_RDONLY | flags);
	if (fd >= 0 && (!is_regular(fd) || !lock_alone(fd, no_locks) ||
			!names_file(AT_FDCWD, path, fd))) {
		/* Locked by who is saving it, or not the file of this name any more: not ours to mend. */
		close(fd);
		return 0;
	}
	/* Whoever had it locked until now may have finished. */
	undone = undone && journal_exists(b);
	if (code && (undone || fd < 0))
		err = error_set(e, code, "a save was interrupted and cannot be undone: %s", strerror(code));
	else if (undone)
		err = journal_undo(b, fd, e);
	if (!err)
		err = remove_new(b, e);
	if (fd >= 0)
		close(fd);
	return err ? err : undone;
}

int save_recover(const char *path, enum no_locks no_locks, void (*tell)(const char *text),
		 struct error *e)
{
	char name[NAME_MAX + 1];
	struct beside b;
	struct stat st;
	int err = beside_open(path, &b, e);

	if (err)
		return err;
	if (journal_exists(&b) || (!beside_name(&b, SAVE_NEW_SUFFIX, name, NULL) &&
				   fstatat(b.folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0))
		err = undo(path, &b, no_locks, e);
	beside_close(&b);
	if (err > 0 && tell)
		tell("a save was interrupted: it has been undone, the snapshot is as before it");
	return err;
}

bool save_has_journal(const char *path)
{
	struct beside b;
	bool found;

	if (beside_open(path, &b, NULL))
		return false;
	found = journal_exists(&b);
	beside_close(&b);
	return found;
}

static void tell_of_no_locks(const char *path, int code, void (*tell)(const char *text))
{
	char text[PATH_MAX + 128];

	snprintf(text, sizeof(text),
		 "%s: cannot be locked (%s): changes by other programs are not kept away", path,
		 strerror(code));
	tell(text);
}

int save_open_locked(const char *path, int flags, int lock, enum no_locks no_locks,
		     void (*tell)(const char *text), struct error *e)
{
	int tries, err, none, fd;

	for (tries = 0;; tries++) {
		err = save_recover(path, no_locks, tell, e);
		if (err < 0)
			return err;
		fd = open_locked(path, flags, lock, no_locks != NO_LOCKS_FAIL, &none, e);
		/* Whoever had it locked when it was to be recovered may have died since. */
		if (fd < 0 || !save_has_journal(path)) {
			if (fd >= 0 && none && tell && no_locks == NO_LOCKS_TELL)
				tell_of_no_locks(path, none, tell);
			return fd;
		}
		close(fd);
		if (tries == LOCK_TRIES)
			return error_set(e, EBUSY, "a save was interrupted and can't be undone while others have the snapshot open, or without locks; if nobody has it open, mount it with -o nolock");
		pause_briefly();
	}
}
