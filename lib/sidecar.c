/* SPDX-License-Identifier: MIT */
#include "sidecar.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "head.h"
#include "io.h"
#include "save.h"
#include "share.h"

static const struct {
	const char *suffix;
	const struct field *row;
} kinds[SIDECARS] = {
	[SIDECAR_POSIXFS] = { ".posixfs", &format_posixfs },
	[SIDECAR_DAX] = { ".dax_sidecar", &format_dax },
	[SIDECAR_SMPARK] = { ".smpark", &format_smpark },
};

struct one {
	bool there;             /* something has its name */
	char *path;
	struct identity was;    /* when it was read, or last saved */
	bool saving;            /* it is being written to, by us */
	struct container *c;    /* null: it is not understood */
	struct buffer rest;     /* bytes after what is decoded, which are kept */
	int code;               /* why, a negative errno, ... */
	char wrong[512];        /* ... and for a person, or empty */
};

struct sidecars {
	const char *path; /* of the snapshot; not owned */
	void (*tell)(const char *text);
	share_map *map;          /* or null */
	const void *map_ctx;
	pthread_mutex_t reading; /* of what READ is about */
	bool read;
	pthread_rwlock_t lock; /* of the containers, once they were read */
	struct one one[SIDECARS];
};

const struct field *sidecar_row(unsigned i)
{
	return kinds[i].row;
}

const char *sidecar_suffix(unsigned i)
{
	return kinds[i].suffix;
}

int sidecars_open(const char *path, void (*tell)(const char *text), struct sidecars **out)
{
	struct sidecars *s = calloc(1, sizeof(*s));
	bool any = false;
	struct stat st;
	unsigned i;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->path = path;
	s->tell = tell;
	pthread_mutex_init(&s->reading, NULL);
	pthread_rwlock_init(&s->lock, NULL);
	for (i = 0; i < SIDECARS; i++) {
		if (asprintf(&s->one[i].path, "%s%s", path, kinds[i].suffix) < 0) {
			s->one[i].path = NULL;
			sidecars_close(s);
			return -ENOMEM;
		}
		s->one[i].there = lstat(s->one[i].path, &st) == 0;
		any |= s->one[i].there;
	}
	if (any)
		*out = s;
	else
		sidecars_close(s);
	return 0;
}

void sidecars_close(struct sidecars *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; i < SIDECARS; i++) {
		container_free(s->one[i].c);
		buffer_free(&s->one[i].rest);
		free(s->one[i].path);
	}
	pthread_rwlock_destroy(&s->lock);
	pthread_mutex_destroy(&s->reading);
	free(s);
}

/*
 * Reading
 */

/* A regular file and nothing that a name may lead to instead: a descriptor. */
static int open_one(const struct one *one, int flags, struct error *e)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO must not make the open wait. */
	int fd = open(one->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0 && errno == ELOOP)
		return error_set(e, ELOOP, "is a symbolic link, which is not followed");
	if (fd < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(e, EINVAL, "not a regular file");
	}
	return fd;
}

int sidecar_open(const struct sidecars *s, unsigned i, struct error *e)
{
	int fd = open_one(&s->one[i], O_RDONLY, e);

	return fd < 0 ? error_prefix(e, -fd, "%s", s->one[i].path) : fd;
}

/* The bytes after what was decoded of the file FD. */
static int read_rest(struct one *one, int fd, uint64_t size)
{
	uint64_t at = container_size(one->c);

	buffer_add(&one->rest, NULL, size - at);
	if (one->rest.failed)
		return -ENOMEM;
	return size > at ? io_read(fd, one->rest.bytes, size - at, at) : 0;
}

static int decode_one(struct sidecars *s, unsigned i, int fd, struct error *e)
{
	struct one *one = &s->one[i];
	struct identity now;
	int err = identity_get(fd, &one->was);

	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	if (one->was.size > SIDECAR_SIZE_MAX)
		return error_set(e, EFBIG, "%" PRIu64 " bytes, at most %d are read", one->was.size,
				 SIDECAR_SIZE_MAX);
	err = head_read(kinds[i].row, fd, 0, one->was.size, &one->c, NULL, e);
	if (!err) {
		err = read_rest(one, fd, one->was.size);
		if (err)
			error_set(e, -err, "cannot be read: %s", strerror(-err));
	}
	/* Who looks without a lock may come while another program saves. */
	if (save_has_journal(s->path) ||
	    (!identity_get(fd, &now) && !identity_equal(&now, &one->was)))
		return error_set(e, EBUSY, "a save of it is not finished; try again when it is");
	return err;
}

/* Whether a second try may do better than one that ended with ERR. */
static bool is_passing(int err)
{
	return err == -ENOMEM || err == -EBUSY || err == -EMFILE || err == -ENFILE || err == -EINTR;
}

/* Whether ERR says what a file is like, and not that nobody can tell. */
static bool is_verdict(int err)
{
	return err == -ERR_TRUNCATED || err == -ERR_MALFORMED || err == -EFBIG || err == -ELOOP ||
	       err == -EINVAL || err == -ENOENT;
}

static int read_one(struct sidecars *s, unsigned i, struct error *e)
{
	struct one *one = &s->one[i];
	struct error why = { 0 };
	int fd = open_one(one, O_RDONLY, &why), err = fd;

	if (fd >= 0) {
		err = decode_one(s, i, fd, &why);
		close(fd);
	}
	if (err >= 0)
		return 0;
	container_free(one->c);
	one->c = NULL;
	buffer_free(&one->rest);
	error_prefix(&why, -err, "%s", one->path);
	if (is_passing(err))
		return error_set(e, -err, "%s", why.text);
	one->code = err;
	snprintf(one->wrong, sizeof(one->wrong), "%.*s", (int)sizeof(one->wrong) - 1, why.text);
	if (s->tell)
		s->tell(one->wrong);
	return 0;
}

static int read_all(struct sidecars *s, struct error *e)
{
	unsigned i;
	int err = 0;

	for (i = 0; !err && i < SIDECARS; i++)
		if (s->one[i].there && !s->one[i].c && !s->one[i].wrong[0])
			err = read_one(s, i, e);
	s->read = !err;
	return err;
}

int sidecars_hold(struct sidecars *s, struct error *e)
{
	int err = 0;

	pthread_mutex_lock(&s->reading);
	if (!s->read)
		err = read_all(s, e);
	pthread_mutex_unlock(&s->reading);
	if (!err)
		pthread_rwlock_rdlock(&s->lock);
	return err;
}

void sidecars_release(struct sidecars *s)
{
	pthread_rwlock_unlock(&s->lock);
}

const struct container *sidecar_container(const struct sidecars *s, unsigned i)
{
	return s->one[i].c;
}

const char *sidecar_wrong(const struct sidecars *s, unsigned i)
{
	return s->one[i].wrong[0] ? s->one[i].wrong : NULL;
}

struct timespec sidecar_mtime(const struct sidecars *s, unsigned i)
{
	return s->one[i].was.mtime;
}

int sidecar_check_unchanged(const struct sidecars *s, unsigned i)
{
	struct stat st;
	struct identity now;

	if (s->one[i].saving)
		return 0;
	if (lstat(s->one[i].path, &st) < 0)
		return -ESTALE;
	now = (struct identity){ st.st_dev, st.st_ino, (uint64_t)st.st_size, st.st_mtim, st.st_ctim };
	return identity_equal(&now, &s->one[i].was) ? 0 : -ESTALE;
}

/*
 * Changes
 */

/* The host_path of the device INDEX of C in *OUT; false if it has none. */
static bool host_path(const struct container *c, uint64_t index, struct value *out)
{
	char path[CONTAINER_PATH_MAX];
	struct node n;

	snprintf(path, sizeof(path), "devices/%" PRIu64 "/backing/host_path", index);
	return !container_find(c, path, &n) && !container_value(c, n, out);
}

void sidecars_map(struct sidecars *s, share_map *map, const void *ctx)
{
	s->map = map;
	s->map_ctx = ctx;
}

/* The state of share NUMBER moves to TO, if it is not null, and as the map says. */
static int move_share(const struct sidecars *s, uint64_t number, const struct value *to,
		      struct edits *edits, struct error *e)
{
	struct share_moves moves = { .map = s->map, .ctx = s->map_ctx };
	struct buffer resolved = { 0 };
	struct value root;
	const struct one *one = &s->one[SIDECAR_POSIXFS];
	const struct container *c = one->c;
	char path[CONTAINER_PATH_MAX];
	struct buffer moved = { 0 };
	struct value v, next;
	struct timespec when;
	struct node blob;
	int err;

	/* What may be there to move is not left behind because it could not be read. */
	if (!c)
		return one->code && !is_verdict(one->code) ? error_set(e, -one->code, "%s", one->wrong) : 0;
	snprintf(path, sizeof(path), "posixfs/%" PRIu64 "/raw", number);
	if (container_find(c, path, &blob))
		return 0; /* there are fewer than shares */
	err = container_value(c, blob, &v);
	if (!err)
		err = to ? share_resolve(to, &resolved) : 0;
	root = (struct value){ resolved.bytes, resolved.size };
	moves.root = to ? &root : NULL;
	if (!err)
		err = share_move(c, blob, &v, &moves, &moved);
	next = (struct value){ moved.bytes, moved.size };
	clock_gettime(CLOCK_REALTIME, &when);
	if (!err && (next.size != v.size || (v.size && memcmp(next.bytes, v.bytes, v.size) != 0)))
		err = edits_add(edits, c, blob, &next, when);
	buffer_free(&resolved);
	buffer_free(&moved);
	return err ? error_set(e, -err, SIDECAR_FOLDER "/%s: %s", path, strerror(-err)) : 0;
}

int sidecar_follow(const struct sidecars *s, const struct container *old,
		   const struct container *new, struct edits *edits, struct error *e)
{
	uint64_t i, count = 0, number = 0;
	struct value before, after;
	struct node devices;
	bool moves;
	int err = 0;

	if (container_find(new, "devices", &devices))
		return 0;
	container_count(new, devices, &count);
	for (i = 0; !err && i < count; i++) {
		if (!host_path(new, i, &after))
			continue;
		moves = host_path(old, i, &before) &&
			(before.size != after.size ||
			 (after.size && memcmp(before.bytes, after.bytes, after.size) != 0));
		if (moves || s->map)
			err = move_share(s, number, moves ? &after : NULL, edits, e);
		number++;
	}
	return err;
}

void sidecar_encode(const struct sidecars *s, const struct edits *edits, struct buffer *out)
{
	const struct one *one = &s->one[SIDECAR_POSIXFS];

	container_encode(one->c, edits, out);
	buffer_add(out, one->rest.size ? one->rest.bytes : NULL, one->rest.size);
}

static int open_to_write(const struct sidecars *s, struct error *e)
{
	const struct one *one = &s->one[SIDECAR_POSIXFS];
	struct identity now;
	int fd = open_one(one, O_RDWR, e);
	int err = fd < 0 ? fd : identity_get(fd, &now);

	if (fd >= 0 && err)
		error_set(e, -err, "%s", strerror(-err));
	else if (fd >= 0 && !identity_equal(&now, &one->was))
		err = error_set(e, ESTALE, "another program changed it");
	if (!err || fd < 0)
		return fd < 0 ? error_prefix(e, -err, "%s", one->path) : fd;
	close(fd);
	return error_prefix(e, -err, "%s", one->path);
}

int sidecar_change_begin(struct sidecars *s, const struct container *old,
			 const struct container *new, struct sidecar_change *out, struct error *e)
{
	struct one *one = &s->one[SIDECAR_POSIXFS];
	int err;

	*out = (struct sidecar_change){ .fd = -1 };
	err = sidecars_hold(s, e);
	if (err)
		return err;
	err = sidecar_follow(s, old, new, &out->edits, e);
	if (!err && out->edits.count) {
		sidecar_encode(s, &out->edits, &out->bytes);
		out->old_size = one->was.size;
	}
	sidecars_release(s);
	if (err || !out->edits.count)
		return err;
	pthread_rwlock_wrlock(&s->lock);
	err = out->bytes.failed ? -ENOMEM : container_reserve(one->c, out->edits.count);
	if (err)
		error_set(e, -err, "out of memory");
	else
		err = out->fd = open_to_write(s, e);
	one->saving = out->fd >= 0;
	pthread_rwlock_unlock(&s->lock);
	return err < 0 ? err : 0;
}

void sidecar_undone(struct sidecars *s)
{
	struct one *one = &s->one[SIDECAR_POSIXFS];
	struct identity now;
	int fd = open_one(one, O_RDONLY, NULL);

	if (fd < 0)
		return;
	pthread_rwlock_wrlock(&s->lock);
	if (!identity_get(fd, &now) && now.device == one->was.device && now.inode == one->was.inode)
		one->was = now;
	pthread_rwlock_unlock(&s->lock);
	close(fd);
}

void sidecar_change_end(struct sidecars *s, struct sidecar_change *change, bool saved, bool touched)
{
	struct one *one = &s->one[SIDECAR_POSIXFS];

	if (change->fd >= 0) {
		pthread_rwlock_wrlock(&s->lock);
		if (saved)
			container_apply(one->c, &change->edits);
		/* Not else: what another program did must stay noticed. */
		if (saved || touched)
			identity_get(change->fd, &one->was);
		one->saving = false;
		pthread_rwlock_unlock(&s->lock);
		close(change->fd);
	}
	edits_free(&change->edits);
	buffer_free(&change->bytes);
	*change = (struct sidecar_change){ .fd = -1 };
}
