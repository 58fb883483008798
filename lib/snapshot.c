/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "beside.h"
#include "head.h"
#include "io.h"
#include "journal.h"
#include "layout.h"
#include "le.h"
#include "locked.h"
#include "relist.h"
#include "save.h"

/* So many containers that could not be saved may be beside a snapshot. */
enum { RECOVERED_MAX = 100 };

/* What a folder's snapshot is called, the first that is there. */
static const char *const names[] = { "restore.snap", "vm.snap", NULL };

static const char unfinished[] = "a save of it is not finished; try again when it is";

struct snapshot {
	char *path;     /* of the snapshot, without symbolic links */
	char *target;   /* where saves go: PATH, or the output */
	bool fd_is_target;
	int target_fd;  /* locks what TARGET is until FD is that; -1: there is nothing */
	bool replace;
	bool nolock;
	int fd;         /* what is at PATH, then TARGET once that was saved to */
	bool writable;  /* FD is open for writing as well */
	int lock_fd;    /* locks what FD is where FD itself does not; -1: it does */
	int ram_fd;     /* -1 if RAM is in the snapshot or there is none */
	char *ram_path; /* of the file that RAM is in, without symbolic links */
	struct stat st;
	struct identity identity;
	bool identity_known;
	uint64_t head_sum;  /* save_sum of the head that FD has */
	const struct layout *layout;
	struct parts parts;
	const char *way; /* the last save went */
	bool undo_first; /* the last save failed, and could not be undone */
	struct container *container;
	struct ram *ram;
	struct sidecars *sidecars; /* or null */
};

/*
 * Have what is to be replaced by the first save locked, and no unfinished save of it
 * left: it may be a snapshot that somebody has mounted.
 */
static int lock_target(struct snapshot *s, void (*tell)(const char *text), struct error *e)
{
	int fd;

	if (s->fd_is_target || (s->target_fd >= 0 && names_file(AT_FDCWD, s->target, s->target_fd)))
		return 0;
	if (names_file(AT_FDCWD, s->target, s->fd))
		return error_set(e, EINVAL, "is the snapshot itself");
	if (s->ram_fd >= 0 && names_file(AT_FDCWD, s->target, s->ram_fd))
		return error_set(e, EINVAL, "is the file that RAM is in");
	if (s->target_fd >= 0)
		close(s->target_fd);
	s->target_fd = -1;
	fd = save_open_locked(s->target, O_RDONLY, LOCK_EX,
			      s->nolock ? NO_LOCKS_GO_ON : NO_LOCKS_FAIL, tell, e);
	if (fd >= 0)
		s->target_fd = fd;
	return fd < 0 && fd != -ENOENT ? fd : 0;
}

/* The path that OUTPUT means: its folder must be there, the file need not. */
static int resolve_output(struct snapshot *s, const char *output,
			  void (*tell)(const char *text), struct error *e)
{
	const char *slash = strrchr(output, '/');
	char folder[PATH_MAX];
	char *real;
	int err;

	s->target = realpath(output, NULL);
	if (!s->target && errno == ENOENT) {
		snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - output + 1) : 2,
			 slash ? output : "./");
		real = realpath(folder, NULL);
		if (real && asprintf(&s->target, "%s/%s", real, slash ? slash + 1 : output) < 0)
			s->target = NULL;
		free(real);
	}
	if (!s->target)
		return error_set(e, errno, "output %s: %s", output, strerror(errno));
	err = beside_check_writable(s->target, e);
	if (!err)
		err = lock_target(s, tell, e);
	return err ? error_prefix(e, -err, "output %s", output) : 0;
}

/* Open the file that RAM is in instead of the snapshot; its size to *SIZE. */
static int open_ram_file(struct snapshot *s, const char *path, uint64_t *size, struct error *e)
{
	struct stat st;

	s->ram_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->ram_fd < 0 || fstat(s->ram_fd, &st) < 0)
		return error_set(e, errno, "ram %s: %s", path, strerror(errno));
	s->ram_path = realpath(path, NULL);
	if (!s->ram_path)
		return error_set(e, errno, "ram %s: %s", path, strerror(errno));
	/* Its RAM would move under the mapping of what is taken for another file. */
	if (names_file(AT_FDCWD, s->ram_path, s->fd))
		return error_set(e, EINVAL, "ram %s: is the snapshot itself", path);
	*size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Whether C, a bare container before the end of its file, is only what zeros, as at the
 * start of a RAM image, decode to.
 */
static bool is_hollow(const struct container *c, uint64_t head_end, uint64_t file_size)
{
	struct node n;

	return head_end < file_size && container_mem_size(c) == 0 &&
	       container_find(c, "vcpu/0", &n) == -ENOENT;
}

/* Add what a person can do to E. */
static void advise(const char *advice, struct error *e)
{
	struct error why = *e;

	error_set(e, why.code, "%s; %s", why.text, advice);
}

/* Tell the layout, and read the head. */
static int open_head(struct snapshot *s, const struct region_options *region, struct error *e)
{
	uint64_t size = (uint64_t)s->st.st_size, end;
	int err = layout_detect(s->fd, size, region->container_offset_given, &s->layout, e);

	if (err)
		return err;
	if (region->ram_offset_given && !s->layout->offsets_given)
		return error_set(e, EINVAL,
				 "says itself where RAM is (layout %s): leave the ram_offset option out",
				 s->layout->name);
	err = head_read(s->layout->head, s->fd, region->container_offset, size, &s->container,
			&s->head_sum, e);
	if (err == -ERR_TRUNCATED)
		advise("was it copied whole?", e);
	if (err && s->layout->offsets_given && !region->container_offset_given)
		return error_prefix(e, -err, "not a snapshot (no SMSNAP at its start), nor a bare container");
	if (err)
		return err;
	end = region->container_offset + container_size(s->container);
	if (s->layout->offsets_given && !region->container_offset_given &&
	    is_hollow(s->container, end, size))
		return error_set(e, EINVAL,
				 "not a snapshot (no SMSNAP at its start); is it a RAM image? To have it read as a bare container without RAM, give the option container_offset=0");
	return 0;
}

/* The base of the diff S, as the options say; one that is not to be had is told of and is none. */
static int open_base(struct snapshot *s, const struct snapshot_options *options,
		     struct diff_base *out, struct error *e)
{
	struct error why = { 0 };
	struct value recorded;
	struct node n;
	char *path;
	int err;

	*out = (struct diff_base){ .fd = -1 };
	if (options->base_use == BASE_UNUSED || container_find(s->container, LAYOUT_BASE, &n))
		return 0;
	err = container_value(s->container, n, &recorded);
	if (err)
		return error_set(e, -err, "%s: %s", LAYOUT_BASE, strerror(-err));
	if (options->base)
		recorded = (struct value){ (const uint8_t *)options->base, strlen(options->base) };
	path = strndup((const char *)recorded.bytes, recorded.size);
	if (!path)
		return error_set(e, ENOMEM, "out of memory");
	err = base_open(path, recorded.size, s->fd, s->path, container_mem_size(s->container), out,
			&why);
	free(path);
	if (!err)
		return 0;
	if (options->base)
		return error_set(e, -err, "base %s", why.text);
	/* That nothing is wrong with it a second try may tell. */
	if (err == -ENOMEM)
		return error_set(e, -err, "base %s", why.text);
	error_set(e, -err, "no base: %s; %s", why.text, options->base_hint);
	if (options->base_use == BASE_NEEDED)
		return err;
	if (options->tell)
		options->tell(e->text);
	*e = (struct error){ 0 };
	return 0;
}

/* The listed pages of the diff S over its base, and with that, its parts. */
static int set_up_diff(struct snapshot *s, const struct snapshot_options *options, struct error *e)
{
	uint64_t head_size = container_size(s->container), file_size = (uint64_t)s->st.st_size;
	uint64_t mem_size = container_mem_size(s->container), count = 0;
	struct ram_source *source;
	struct page_list *list;
	struct diff_base base;
	bool has_base;
	int err;

	s->parts = (struct parts){
		.head_size = head_size, .tail_offset = head_size, .file_size = file_size, .glued = true
	};
	container_number(s->container, LAYOUT_CHANGED_PAGES, &count);
	err = page_list_open(s->fd, head_size, count, file_size, mem_size, &list, e);
	if (err)
		return err;
	if (mem_size == 0) {
		page_list_close(list);
		return 0;
	}
	err = open_base(s, options, &base, e);
	has_base = base.fd >= 0;
	if (!err)
		err = source_open_diff(&base, list, mem_size, &source, e);
	if (err) {
		base_close(&base);
		page_list_close(list);
		return err;
	}
	err = ram_open_over(source, mem_size, &s->ram, e);
	if (err != -ENOMEM || has_base)
		return err;
	/* No base is as large as this one claims to be: what there is else can be looked at. */
	if (options->tell && options->base_use != BASE_UNUSED)
		options->tell(e->text);
	*e = (struct error){ 0 };
	return 0;
}

/* Find and map RAM, in RAM_LEN bytes of its file, and with that, know the parts. */
static int set_up_ram(struct snapshot *s, const struct snapshot_options *options,
		      uint64_t ram_len, struct error *e)
{
	struct region_options region = options->region;
	struct region_question q = {
		.options = &region,
		.head_end = region.container_offset + container_size(s->container),
		.mem_size = container_mem_size(s->container),
		.file_len = ram_len,
	};
	bool in_header = container_number(s->container, LAYOUT_RAM_OFFSET, &q.ram_offset);
	bool has_ram;
	uint64_t ram_offset;
	int err;

	if (s->layout->is_diff)
		return set_up_diff(s, options, e);
	s->parts = (struct parts){
		.head_offset = region.container_offset,
		.head_size = container_size(s->container),
		.tail_offset = q.head_end,
		.file_size = (uint64_t)s->st.st_size,
	};
	region.ram_elsewhere = options->ram_file != NULL;
	err = s->layout->find_ram(&q, &has_ram, &ram_offset, e);
	if (err)
		return err;
	if (has_ram && !options->ram_file)
		s->parts.tail_offset = ram_offset;
	/* Where there is no RAM the header says where it would be. */
	else if (!has_ram && in_header && q.ram_offset > q.head_end &&
		 q.ram_offset <= s->parts.file_size)
		s->parts.tail_offset = q.ram_offset;
	s->parts.glued = !in_header && s->parts.tail_offset == s->parts.file_size;
	if (!has_ram)
		return 0;
	return ram_open(options->ram_file ? s->ram_fd : s->fd, ram_offset, q.mem_size, ram_len,
			&s->ram, e);
}

/* Open and lock the snapshot as the options ask, with no unfinished save in it. */
static int open_recovered(struct snapshot *s, const struct snapshot_options *options,
			  struct error *e)
{
	bool edit = options->access == SNAPSHOT_EDIT && !options->output;
	enum no_locks no_locks = options->nolock	     ? NO_LOCKS_GO_ON
				 : edit || options->output ? NO_LOCKS_FAIL
							     : NO_LOCKS_TELL;
	int err;

	if (options->access != SNAPSHOT_LOOK)
		return save_open_locked(s->path, O_RDONLY, edit ? LOCK_EX : LOCK_SH, no_locks,
					options->tell, e);
	err = save_recover(s->path, no_locks, options->tell, e);
	return err < 0 ? err : open_plain(s->path, O_RDONLY, e);
}

static int open_file(struct snapshot *s, const struct snapshot_options *options,
		     struct error *e)
{
	uint64_t ram_len;
	int err;

	if (options->access == SNAPSHOT_EDIT && !options->output) {
		err = check_writable(s->path, e);
		if (!err)
			err = beside_check_writable(s->path, e);
		if (err)
			return err;
	}
	s->fd = open_recovered(s, options, e);
	if (s->fd < 0)
		return s->fd;
	err = identity_get(s->fd, &s->identity);
	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	/* One that is under way may have set the file's time already, and write on. */
	s->identity_known = options->access != SNAPSHOT_LOOK || !save_has_journal(s->path);
	if (!s->identity_known)
		return error_set(e, EBUSY, "%s", unfinished);
	if (fstat(s->fd, &s->st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (s->st.st_size == 0)
		return error_set(e, EINVAL, "is empty, not a snapshot; was it copied whole?");
	ram_len = (uint64_t)s->st.st_size;
	err = open_head(s, &options->region, e);
	if (!err && options->ram_file && !s->layout->offsets_given)
		err = error_set(e, EINVAL,
				"has its RAM itself (layout %s): leave the ram option out",
				s->layout->name);
	if (!err && options->base && !s->layout->is_diff)
		err = error_set(e, EINVAL, "has no base (layout %s): leave the base option out",
				s->layout->name);
	if (!err && options->ram_file)
		err = open_ram_file(s, options->ram_file, &ram_len, e);
	if (!err && options->output) {
		err = resolve_output(s, options->output, options->tell, e);
	} else if (!err) {
		s->fd_is_target = true;
		s->target = strdup(s->path);
		err = s->target ? 0 : error_set(e, ENOMEM, "out of memory");
	}
	if (!err)
		err = set_up_ram(s, options, ram_len, e);
	if (!err && s->layout->has_sidecars && sidecars_open(s->path, options->tell, &s->sidecars))
		err = error_set(e, ENOMEM, "out of memory");
	return err;
}

/* Whether no save came between while S was read without a lock. */
static bool is_settled(const struct snapshot *s)
{
	struct identity now = { 0 };

	if (s->fd < 0)
		return true; /* it failed for another reason */
	return s->identity_known && !save_has_journal(s->path) && !identity_get(s->fd, &now) &&
	       identity_equal(&now, &s->identity) && names_file(AT_FDCWD, s->path, s->fd);
}

char *snapshot_find(const char *path, struct error *e)
{
	char *real = realpath(path, NULL), *file, *found = NULL;
	struct stat st;
	unsigned i;

	if (!real || stat(real, &st) < 0) {
		error_set(e, errno, "%s", strerror(errno));
		free(real);
		return NULL;
	}
	if (!S_ISDIR(st.st_mode))
		return real;
	for (i = 0; names[i]; i++) {
		if (asprintf(&file, "%s/%s", real, names[i]) < 0)
			break;
		found = realpath(file, NULL);
		free(file);
		if (found || errno != ENOENT)
			break;
	}
	if (names[i] && !found)
		error_set(e, errno, "%s: %s", names[i], strerror(errno));
	else if (!names[i])
		error_set(e, ENOENT, "a folder without a snapshot: there is no %s or %s in it",
			  names[0], names[1]);
	free(real);
	return names[i] ? found : NULL;
}

static int open_once(const char *path, const struct snapshot_options *options,
		     struct snapshot **out, struct error *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	s->fd = s->lock_fd = s->ram_fd = s->target_fd = -1;
	s->replace = options->replace;
	s->nolock = options->nolock;
	s->path = snapshot_find(path, e);
	return s->path ? open_file(s, options, e) : -e->code;
}

int snapshot_open(const char *path, const struct snapshot_options *options,
		  struct snapshot **out, struct error *e)
{
	struct snapshot *s;
	int err = open_once(path, options, &s, e);
	int tries = 0;

	while (options->access == SNAPSHOT_LOOK && s && !is_settled(s)) {
		if (tries++ == LOCK_TRIES) {
			err = error_set(e, EBUSY, "%s", unfinished);
			break;
		}
		snapshot_close(s);
		pause_briefly();
		err = open_once(path, options, &s, e);
	}
	if (err) {
		snapshot_close(s);
		return error_prefix(e, -err, "%s", path);
	}
	*out = s;
	return 0;
}

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	sidecars_close(s->sidecars);
	ram_close(s->ram);
	container_free(s->container);
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->ram_fd >= 0)
		close(s->ram_fd);
	if (s->target_fd >= 0)
		close(s->target_fd);
	free(s->ram_path);
	free(s->target);
	free(s->path);
	free(s);
}

struct container *snapshot_container(struct snapshot *s)
{
	return s->container;
}

struct ram *snapshot_ram(struct snapshot *s)
{
	return s->ram;
}

struct sidecars *snapshot_sidecars(struct snapshot *s)
{
	return s->sidecars;
}

int snapshot_clone_ram(struct snapshot *s, struct error *e)
{
	struct beside b;
	int err = beside_open(s->ram_path ? s->ram_path : s->path, &b, e);
	int fd;

	if (err)
		return err;
	fd = openat(b.folder, ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		err = error_set(e, errno, "no file can be made beside RAM's: %s", strerror(errno));
	else
		err = ram_clone(s->ram, fd, e);
	if (fd >= 0 && err)
		close(fd);
	beside_close(&b);
	return err;
}

bool snapshot_has_ram_inside(const struct snapshot *s)
{
	return s->ram && s->ram_fd < 0;
}

int snapshot_space(const struct snapshot *s, struct statvfs *out)
{
	struct beside b;
	int err = beside_open(s->target, &b, NULL);

	if (err)
		return err;
	if (fstatvfs(b.folder, out) < 0)
		err = -errno;
	beside_close(&b);
	return err;
}

const struct stat *snapshot_stat(const struct snapshot *s)
{
	return &s->st;
}

const char *snapshot_path(const struct snapshot *s)
{
	return s->path;
}

bool snapshot_is_file(const struct snapshot *s, const char *path)
{
	char *real = realpath(path, NULL);
	bool is = real && (names_file(AT_FDCWD, real, s->fd) ||
			   (s->ram_fd >= 0 && names_file(AT_FDCWD, real, s->ram_fd)));

	free(real);
	return is;
}

const struct layout *snapshot_layout(const struct snapshot *s)
{
	return s->layout;
}

uint64_t snapshot_head_offset(const struct snapshot *s)
{
	return s->parts.head_offset;
}

uint64_t snapshot_ram_offset(const struct snapshot *s)
{
	return s->parts.tail_offset;
}

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

	err = lock_target(s, NULL, e);
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

bool snapshot_has_strays(const struct snapshot *s)
{
	const struct parts *p = &s->parts;
	uint64_t end = p->tail_offset, count = 0;

	if (s->layout->is_diff && container_number(s->container, LAYOUT_CHANGED_PAGES, &count))
		end += count * LIST_ENTRY;
	else if (snapshot_has_ram_inside(s))
		end += ram_size(s->ram);
	return !io_is_zero(s->fd, 0, p->head_offset) ||
	       !io_is_zero(s->fd, p->head_offset + p->head_size, p->tail_offset) ||
	       !io_is_zero(s->fd, end, p->file_size);
}

const char *snapshot_way(const struct snapshot *s)
{
	return s->way;
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
