/* SPDX-License-Identifier: MIT */
#include "snapshot_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "head.h"
#include "io.h"
#include "layout.h"
#include "le.h"
#include "relist.h"

/* So many containers that could not be saved may be beside a snapshot. */
enum { RECOVERED_MAX = 100 };

/* Where JOB put the snapshot, it is from now on; SAVED_RAM: with all of RAM. */
static void adopt(struct snapshot *s, const struct save *job, const struct saved *saved,
		  bool saved_ram)
{
	struct error ignored;
	int err = 0;

	if (job->ram) {
		ram_hold(job->ram);
		/*
		 * RAM's bytes are the same in the old file: where they can't be mapped
		 * in the new one, the old one stays mapped.
		 */
		if (saved->fd != s->fd)
			err = ram_rebase(job->ram, saved->fd, job->new.tail_offset,
					 job->new.file_size, &ignored);
		if (!err && saved_ram)
			ram_clean(job->ram);
		ram_resume(job->ram);
	}
	if (saved->fd != s->fd) {
		close(s->fd);
		if (s->lock_fd >= 0)
			close(s->lock_fd);
		s->lock_fd = -1;
		s->writable = true;
	}
	if (s->target_fd >= 0)
		close(s->target_fd);
	s->target_fd = -1;
	s->fd = saved->fd;
	s->fd_is_target = true;
	s->parts = job->new;
	s->way = saved->way;
}

/*
 * Have FD open for writing.  It was not when the snapshot was opened: on overlayfs that alone
 * copies all of it.
 */
static int open_to_write(struct snapshot *s, struct error *e)
{
	bool inside = snapshot_has_ram_inside(s);
	int fd, err = 0;

	if (s->writable || !s->fd_is_target)
		return 0;
	fd = open_plain(s->path, O_RDWR, e);
	if (fd < 0)
		return fd;
	if (!names_file(AT_FDCWD, s->path, s->fd) || !names_file(AT_FDCWD, s->path, fd)) {
		close(fd);
		return error_set(e, ESTALE, "another program replaced the snapshot");
	}
	/* What is mapped stays the file below on overlayfs, and what is saved goes to the copy. */
	if (inside) {
		ram_hold(s->ram);
		err = ram_rebase(s->ram, fd, s->parts.tail_offset, s->parts.file_size, e);
		ram_resume(s->ram);
	}
	if (err) {
		close(fd);
		return err;
	}
	s->lock_fd = s->fd;
	s->fd = fd;
	s->writable = true;
	return 0;
}

/* A page list for what RAM of a diff is now. */
struct new_list {
	int fd; /* has the whole tail; -1: there is no new list */
	uint64_t tail_size;
	struct page_list *old; /* while RAM has the new one */
};

/* A file that nobody else sees, beside S where that can be. */
static int open_temporary(const struct snapshot *s)
{
	struct beside b;
	FILE *f;
	int fd = -1;

	if (!beside_open(s->target, &b, NULL)) {
		fd = openat(b.folder, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
		beside_close(&b);
	}
	if (fd >= 0)
		return fd;
	f = tmpfile();
	if (!f)
		return -errno;
	fd = fcntl(fileno(f), F_DUPFD_CLOEXEC, 0);
	fclose(f);
	return fd < 0 ? -errno : fd;
}

static int add_count(struct snapshot *s, struct edits *edits, uint64_t count)
{
	uint8_t bytes[4];
	struct value v = { bytes, sizeof(bytes) };
	struct node n;
	int err = container_find(s->container, LAYOUT_CHANGED_PAGES, &n);

	le_put(bytes, sizeof(bytes), count);
	return err ? err : edits_add(edits, s->container, n, &v, s->st.st_mtim);
}

/*
 * Write the tail anew, for what RAM is now, and have RAM list its pages; its count becomes one
 * of EDITS.  Writes to RAM are held.
 */
static int make_list(struct snapshot *s, struct edits *edits, struct new_list *out,
		     struct error *e)
{
	struct ram_source *base = NULL;
	uint64_t rest = s->parts.tail_offset, old_count = 0, count, end;
	struct page_list *list = NULL;
	int err;

	out->fd = open_temporary(s);
	if (out->fd < 0)
		return error_set(e, -out->fd, "no file can be made for the page list: %s", strerror(-out->fd));
	container_number(s->container, LAYOUT_CHANGED_PAGES, &old_count);
	rest += old_count * LIST_ENTRY;
	err = source_open_base(ram_diff(s->ram), &base, e);
	if (!err)
		err = relist(s->ram, base, out->fd, 0, &count, NULL, NULL, e);
	source_close(base);
	if (err)
		return err;
	end = count * LIST_ENTRY;
	out->tail_size = end + s->parts.file_size - rest;
	/* There may be a hole at the end. */
	err = io_truncate(out->fd, out->tail_size);
	if (!err)
		err = io_copy(s->fd, rest, out->fd, end, s->parts.file_size - rest);
	if (err)
		return error_set(e, -err, "the page list cannot be written: %s", strerror(-err));
	err = page_list_open(out->fd, 0, count, end, ram_size(s->ram), &list, e);
	if (!err && add_count(s, edits, count)) {
		page_list_close(list);
		err = error_set(e, ENOMEM, "out of memory");
	}
	if (err)
		return err;
	ram_hold(s->ram);
	out->old = source_relist(ram_diff(s->ram), list);
	ram_resume(s->ram);
	return 0;
}

/* The save is over: RAM keeps the new list if that is SAVED, else it has the old one again. */
static void end_list(struct snapshot *s, struct new_list *l, bool saved)
{
	if (l->old && !saved) {
		ram_hold(s->ram);
		l->old = source_relist(ram_diff(s->ram), l->old);
		ram_resume(s->ram);
	}
	page_list_close(l->old);
	if (l->fd >= 0)
		close(l->fd);
}

/*
 * The parts after a save of EDITS, with the tail of LIST, to which what the header says of
 * them is added.
 */
static int plan_parts(struct snapshot *s, struct edits *edits, const struct new_list *list,
		      struct buffer *head, struct parts *next)
{
	int err = 0;

	container_encode(s->container, edits, head);
	*next = parts_next(&s->parts, head->size);
	if (list->fd >= 0)
		next->file_size = next->tail_offset + list->tail_size;
	if (!head->failed && next->tail_offset != s->parts.tail_offset) {
		err = layout_place_ram(s->container, next->tail_offset, s->st.st_mtim, edits);
		/* The number is as long as it was, so the parts stay where they are. */
		head->size = 0;
		if (!err)
			container_encode(s->container, edits, head);
	}
	return head->failed ? -ENOMEM : err;
}

/* What follows from the new HEAD for a file beside the snapshot, if that is what is saved. */
static int plan_sidecar(struct snapshot *s, const struct buffer *head, struct sidecar_change *out,
			struct error *e)
{
	struct container *old = NULL, *new = NULL;
	struct buffer copy = { 0 };
	int err;

	if (!s->sidecars || !s->fd_is_target || strcmp(s->target, s->path) != 0)
		return 0;
	err = head_read(s->layout->head, s->fd, s->parts.head_offset, s->parts.file_size, &old, NULL, e);
	if (err)
		return err;
	buffer_add(&copy, head->bytes, head->size);
	err = copy.failed ? error_set(e, ENOMEM, "out of memory")
			  : container_decode(s->layout->head, copy.bytes, copy.size, 0, &new, e);
	if (err)
		buffer_free(&copy);
	else
		err = sidecar_change_begin(s->sidecars, old, new, out, e);
	container_free(new);
	container_free(old);
	return err;
}

int snapshot_save(struct snapshot *s, struct edits *edits, bool with_ram, struct error *e)
{
	struct sidecar_change change = { .fd = -1 };
	struct save_beside beside = { .suffix = sidecar_suffix(SIDECAR_POSIXFS), .bytes = &change.bytes };
	struct buffer head = { 0 };
	struct saved saved = { .fd = -1, .undo_first = s->undo_first };
	struct new_list list = { .fd = -1 };
	bool save_ram = with_ram && snapshot_has_ram_inside(s);
	struct save job = {
		.path = s->target,
		.fd_is_path = s->fd_is_target,
		.identity = s->identity,
		.old_sum = s->head_sum,
		.old = s->parts,
		.new = s->parts,
		.head = &head,
		.ram = snapshot_has_ram_inside(s) ? s->ram : NULL,
		.save_ram = save_ram && !s->layout->is_diff,
		.tail_fd = -1,
		.replace = s->replace,
		.undo_first = s->undo_first,
	};
	int err;

	err = snapshot_lock_target(s, NULL, e);
	if (!err)
		err = open_to_write(s, e);
	job.fd = s->fd;
	/* Before a new list is made of what RAM is. */
	if (!err)
		err = save_finish_undo(&job, &saved, e);
	/* Nor was its identity to be had, maybe; nobody else may have the lock. */
	if (saved.touched && s->sidecars)
		sidecar_undone(s->sidecars);
	if (saved.touched || (!err && !s->identity_known))
		s->identity_known = identity_get(s->fd, &s->identity) == 0;
	job.identity = s->identity;
	if (save_ram)
		ram_hold_writes(s->ram);
	if (!err && save_ram && s->layout->is_diff)
		err = make_list(s, edits, &list, e);
	if (!err && plan_parts(s, edits, &list, &head, &job.new))
		err = error_set(e, ENOMEM, "out of memory");
	job.tail_fd = list.fd;
	if (!err)
		err = plan_sidecar(s, &head, &change, e);
	if (change.fd >= 0) {
		beside.fd = change.fd;
		beside.old_size = change.old_size;
		job.beside = &beside;
	}
	if (!err)
		err = save(&job, &saved, e);
	if (s->sidecars)
		sidecar_change_end(s->sidecars, &change, !err, saved.touched);
	if (!err) {
		adopt(s, &job, &saved, save_ram);
		s->head_sum = save_sum(0, head.bytes, head.size);
	}
	s->undo_first = saved.undo_first;
	/* Not else: what another program did must stay noticed. */
	if (!err || saved.touched)
		s->identity_known = identity_get(s->fd, &s->identity) == 0;
	end_list(s, &list, !err);
	if (save_ram)
		ram_resume_writes(s->ram);
	buffer_free(&head);
	return err ? error_prefix(e, -err, "%s", s->target) : 0;
}

/* A new file for what could not be saved, and its NAME: what is there of that kind stays. */
static int create_recovered(const struct beside *b, char name[NAME_MAX + 1], struct error *e)
{
	char suffix[sizeof(SAVE_RECOVERED_SUFFIX) + 4] = SAVE_RECOVERED_SUFFIX;
	unsigned i;
	int fd;

	for (i = 1; i <= RECOVERED_MAX; i++) {
		fd = beside_name(b, suffix, name, e);
		if (!fd)
			fd = beside_create_new(b, name, e);
		if (fd != -EEXIST)
			return fd;
		snprintf(suffix, sizeof(suffix), "%s.%u", SAVE_RECOVERED_SUFFIX, i);
	}
	return error_set(e, EEXIST, "%s: there are %d of them", name, RECOVERED_MAX);
}

int snapshot_rescue(struct snapshot *s, char name[NAME_MAX + 1], struct error *e)
{
	struct buffer container = { 0 };
	struct beside b;
	int err, fd = -1;

	/* Without the header, which says where RAM is in a file that has some. */
	container_encode_alone(s->container, &container);
	err = beside_open(s->target, &b, e);
	if (err)
		goto out;
	if (container.failed)
		fd = error_set(e, ENOMEM, "out of memory");
	else
		fd = create_recovered(&b, name, e);
	err = fd < 0 ? fd : io_write(fd, container.bytes, container.size, 0);
	if (!err)
		err = io_sync(fd);
	if (!err)
		err = io_sync(b.folder);
	if (err && fd >= 0) {
		error_set(e, -err, "%s: %s", name, strerror(-err));
		/* A part of it would be taken for all. */
		unlinkat(b.folder, name, 0);
	}
	if (fd >= 0)
		close(fd);
	beside_close(&b);
out:
	buffer_free(&container);
	return err;
}
