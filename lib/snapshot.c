/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "beside.h"
#include "io.h"
#include "journal.h"
#include "save.h"

/* The first try at reading a container reads so many bytes, the next ones more. */
enum { FIRST_READ = 256 << 10 };

/* Each after a pause of 10 ms. */
enum { LOCK_TRIES = 100 };

struct snapshot {
	char *path;     /* of the snapshot, without symbolic links */
	char *target;   /* where saves go: PATH, or the output */
	bool fd_is_target;
	bool replace;
	int fd;
	int ram_fd;     /* -1 if RAM is in the snapshot or there is none */
	char *ram_path; /* of the file that RAM is in, without symbolic links */
	struct stat st;
	struct identity identity;
	bool identity_known;
	struct layout layout;
	const char *way; /* the last save went */
	bool undo_first; /* the last save failed, and could not be undone */
	struct container *container;
	struct ram *ram;
};

/* The container at OFFSET of FD: read as far as it turns out to go. */
static int read_container(int fd, uint64_t offset, uint64_t file_size, struct container **out,
			  struct error *e)
{
	uint64_t left = offset < file_size ? file_size - offset : 0;
	uint64_t n = left < FIRST_READ ? left : FIRST_READ;
	uint8_t *bytes;
	int err;

	for (;; n = n < left / 4 ? n * 4 : left) {
		bytes = malloc(n ? n : 1);
		if (!bytes)
			return error_set(e, ENOMEM, "out of memory");
		err = io_read(fd, bytes, n, offset);
		if (err) {
			free(bytes);
			return error_set(e, -err, "cannot read the container: %s", strerror(-err));
		}
		err = container_decode(bytes, n, offset, out, e);
		if (!err)
			return 0;
		free(bytes);
		if (err != -ERR_TRUNCATED || n == left)
			return err;
	}
}

static bool has_name(int fd, const char *path)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && lstat(path, &there) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static void pause_briefly(void)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

	nanosleep(&pause, NULL);
}

/* A daemon ends a little after its unmount: give it time to let go. */
static int lock_patiently(int fd, int lock)
{
	int tries;

	for (tries = 0; flock(fd, lock | LOCK_NB) < 0; tries++) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return -errno;
		pause_briefly();
	}
	return 0;
}

static int open_plain(const char *path, int flags, struct error *e)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO must not make the open wait; no effect on files. */
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && (flags & O_ACCMODE) == O_RDWR &&
	    (errno == EACCES || errno == EROFS || errno == EPERM))
		return error_set(e, errno, "cannot be written: %s; use -o ro, scratch or output=FILE",
				 strerror(errno));
	if (fd < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(e, EINVAL, "not a regular file");
	}
	return fd;
}

/*
 * Open PATH, which has no symbolic links, and lock it.  Saves by renaming make
 * a name's file another one: see that it still has the name once it is locked.
 */
static int open_locked(const char *path, int flags, int lock, struct error *e)
{
	int fd, err;

	for (;;) {
		fd = open_plain(path, flags, e);
		if (fd < 0)
			return fd;
		err = lock_patiently(fd, lock);
		if (!err && has_name(fd, path))
			return fd;
		close(fd);
		if (err == -EWOULDBLOCK)
			return error_set(e, EBUSY, "in use by another mount; unmount that one first");
		if (err)
			return error_set(e, -err, "cannot be locked: %s", strerror(-err));
	}
}

/* The path that OUTPUT means: its folder must be there, the file need not. */
static int resolve_output(struct snapshot *s, const char *output, struct error *e)
{
	struct stat st;
	const char *slash = strrchr(output, '/');
	char folder[PATH_MAX];
	char *real;

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
	if (stat(s->target, &st) < 0)
		return 0;
	if (!S_ISREG(st.st_mode))
		return error_set(e, EINVAL, "output %s: not a regular file", output);
	if (st.st_dev == s->st.st_dev && st.st_ino == s->st.st_ino)
		return error_set(e, EINVAL, "output %s: is the snapshot itself", output);
	return 0;
}

/* Find and map RAM, and with that, know the layout. */
static int set_up_ram(struct snapshot *s, const struct snapshot_options *options,
		      struct error *e)
{
	uint64_t mem_size = container_mem_size(s->container);
	uint64_t ram_len = (uint64_t)s->st.st_size;
	struct region_options region = options->region;
	uint64_t ram_offset;
	struct stat st;
	bool has_ram;
	int err;

	s->layout.container_offset = region.container_offset;
	s->layout.container_size = container_size(s->container);
	s->layout.file_size = (uint64_t)s->st.st_size;
	s->layout.tail_offset = s->layout.container_offset + s->layout.container_size;
	if (options->ram_file) {
		region.ram_elsewhere = true;
		s->ram_fd = open(options->ram_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		s->ram_path = realpath(options->ram_file, NULL);
		if (s->ram_fd < 0 || !s->ram_path || fstat(s->ram_fd, &st) < 0)
			return error_set(e, errno, "ram %s: %s", options->ram_file,
					 strerror(errno));
		ram_len = (uint64_t)st.st_size;
	}
	err = region_find(&region, s->layout.tail_offset, mem_size, ram_len, &has_ram,
			  &ram_offset, e);
	if (err || !has_ram)
		return err;
	if (!options->ram_file)
		s->layout.tail_offset = ram_offset;
	return ram_open(options->ram_file ? s->ram_fd : s->fd, ram_offset, mem_size, ram_len,
			&s->ram, e);
}

static bool has_journal(const char *path)
{
	struct beside b;
	bool found;

	if (beside_open(path, &b, NULL))
		return false;
	found = journal_exists(&b);
	beside_close(&b);
	return found;
}

/* Open and lock the snapshot as the options ask, with no unfinished save in it. */
static int open_recovered(struct snapshot *s, const struct snapshot_options *options,
			  struct error *e)
{
	bool edit = options->access == SNAPSHOT_EDIT && !options->output;
	int tries, err, fd;

	for (tries = 0;; tries++) {
		err = save_recover(s->path, e);
		if (err < 0)
			return err;
		if (err > 0 && options->tell)
			options->tell("a save was interrupted: it has been undone, the snapshot is as before it");
		if (options->access == SNAPSHOT_LOOK)
			return open_plain(s->path, O_RDONLY, e);
		fd = open_locked(s->path, edit ? O_RDWR : O_RDONLY, edit ? LOCK_EX : LOCK_SH, e);
		/* Somebody had it locked when it was to be recovered, and not any more. */
		if (fd < 0 || !has_journal(s->path))
			return fd;
		close(fd);
		if (tries == LOCK_TRIES)
			return error_set(e, EBUSY, "a save was interrupted and can't be undone while others have the snapshot open");
		pause_briefly();
	}
}

static int open_file(struct snapshot *s, const struct snapshot_options *options,
		     struct error *e)
{
	int err;

	s->fd = open_recovered(s, options, e);
	if (s->fd < 0)
		return s->fd;
	err = identity_get(s->fd, &s->identity);
	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	s->identity_known = true;
	if (fstat(s->fd, &s->st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (s->st.st_size == 0)
		return error_set(e, EINVAL, "is empty, not a snapshot");
	if (options->output) {
		err = resolve_output(s, options->output, e);
	} else {
		s->fd_is_target = true;
		s->target = strdup(s->path);
		err = s->target ? 0 : error_set(e, ENOMEM, "out of memory");
	}
	if (!err)
		err = read_container(s->fd, options->region.container_offset,
				     (uint64_t)s->st.st_size, &s->container, e);
	if (!err)
		err = set_up_ram(s, options, e);
	return err;
}

/* Whether no save came between while S was read without a lock. */
static bool is_settled(const struct snapshot *s)
{
	struct identity now = { 0 };

	if (s->fd < 0)
		return true; /* it failed for another reason */
	return !has_journal(s->path) && !identity_get(s->fd, &now) &&
	       identity_equal(&now, &s->identity) && has_name(s->fd, s->path);
}

static int open_once(const char *path, const struct snapshot_options *options,
		     struct snapshot **out, struct error *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	s->fd = s->ram_fd = -1;
	s->replace = options->replace;
	s->path = realpath(path, NULL);
	return s->path ? open_file(s, options, e) : error_set(e, errno, "%s", strerror(errno));
}

int snapshot_open(const char *path, const struct snapshot_options *options,
		  struct snapshot **out, struct error *e)
{
	struct snapshot *s;
	int err = open_once(path, options, &s, e);
	int tries = 0;

	while (options->access == SNAPSHOT_LOOK && s && !is_settled(s)) {
		if (tries++ == LOCK_TRIES) {
			err = error_set(e, EBUSY, "a save of it is not finished; try again when it is");
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
	ram_close(s->ram);
	container_free(s->container);
	if (s->fd >= 0)
		close(s->fd);
	if (s->ram_fd >= 0)
		close(s->ram_fd);
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

const struct stat *snapshot_stat(const struct snapshot *s)
{
	return &s->st;
}

uint64_t snapshot_container_offset(const struct snapshot *s)
{
	return s->layout.container_offset;
}

uint64_t snapshot_ram_offset(const struct snapshot *s)
{
	return s->layout.tail_offset;
}

uint64_t snapshot_file_size(const struct snapshot *s)
{
	return s->layout.file_size;
}

/* Where JOB put the snapshot, it is from now on. */
static void adopt(struct snapshot *s, const struct save *job, const struct saved *saved)
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
		if (!err && job->save_ram)
			ram_clean(job->ram);
		ram_resume(job->ram);
	}
	if (saved->fd != s->fd)
		close(s->fd);
	s->fd = saved->fd;
	s->fd_is_target = true;
	s->layout = job->new;
	s->way = saved->way;
}

int snapshot_save(struct snapshot *s, const struct edit *pending, bool with_ram,
		  struct error *e)
{
	struct buffer container = { 0 };
	struct saved saved = { .fd = -1, .undo_first = s->undo_first };
	struct save job = {
		.path = s->target,
		.fd = s->fd,
		.fd_is_path = s->fd_is_target,
		.identity = s->identity,
		.old = s->layout,
		.container = &container,
		.ram = snapshot_has_ram_inside(s) ? s->ram : NULL,
		.save_ram = with_ram && snapshot_has_ram_inside(s),
		.replace = s->replace,
		.undo_first = s->undo_first,
	};
	int err;

	container_encode(s->container, pending, &container);
	if (container.failed) {
		buffer_free(&container);
		return error_set(e, ENOMEM, "%s: out of memory", s->target);
	}
	job.new = layout_next(&s->layout, container.size);
	/* It could not be had after the last save; nobody else may have the lock. */
	if (!s->identity_known)
		s->identity_known = identity_get(s->fd, &job.identity) == 0;
	if (job.save_ram)
		ram_hold_writes(job.ram);
	err = save(&job, &saved, e);
	if (!err)
		adopt(s, &job, &saved);
	if (job.save_ram)
		ram_resume_writes(job.ram);
	s->undo_first = saved.undo_first;
	/* Not else: what another program did must stay noticed. */
	if (!err || saved.touched || !s->identity_known)
		s->identity_known = identity_get(s->fd, &s->identity) == 0;
	buffer_free(&container);
	return err ? error_prefix(e, -err, "%s", s->target) : 0;
}

const char *snapshot_way(const struct snapshot *s)
{
	return s->way;
}

int snapshot_rescue(struct snapshot *s, struct error *e)
{
	struct buffer container = { 0 };
	char name[NAME_MAX + 1];
	struct beside b;
	int err, fd = -1;

	container_encode(s->container, NULL, &container);
	err = beside_open(s->target, &b, e);
	if (err)
		goto out;
	err = beside_name(&b, SAVE_RECOVERED_SUFFIX, name, e);
	if (!err && container.failed)
		err = error_set(e, ENOMEM, "out of memory");
	if (!err) {
		fd = beside_create(&b, name, e);
		err = fd < 0 ? fd : io_write(fd, container.bytes, container.size, 0);
	}
	if (!err)
		err = io_sync(fd);
	if (!err)
		err = io_sync(b.folder);
	if (err)
		error_set(e, -err, "%s: %s", name, strerror(-err));
	/* A part of it would be taken for all. */
	if (err && fd >= 0)
		unlinkat(b.folder, name, 0);
	if (fd >= 0)
		close(fd);
	beside_close(&b);
out:
	buffer_free(&container);
	return err;
}
