/* SPDX-License-Identifier: MIT */
#include "ram.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guard.h"
#include "io.h"

/* Copies are made in memory that is kept: to get it anew takes longer than to copy. */
enum { SPARE_SIZE = 1 << 20, SPARES = 4 };

struct ram {
	uint64_t size;
	struct ram_source *source; /* the bytes of what was not written */
	struct ram_source *diff;   /* SOURCE, or what a clone was made of, where that is a diff's */
	uint8_t *top;              /* ours, valid where written says so */
	_Atomic uint64_t *written; /* a bit for each page */
	_Atomic uint64_t written_pages;
	uint64_t limit; /* of them */
	int clone;      /* a private copy, which SOURCE is of: the copy-on-write is its
	                   filesystem's; -1: there is none */
	_Atomic bool unsaved;       /* cloned: was written since the last save began */
	_Atomic bool saving;        /* cloned: and before that, if it has not ended */
	_Atomic int64_t written_at; /* nanoseconds since the epoch; 0: never */
	void *spares[SPARES]; /* of SPARE_SIZE bytes each */
	unsigned spare_count;
	pthread_mutex_t sparing; /* while one is taken or put back */
	pthread_mutex_t copy_up; /* while a page becomes ours */
	pthread_rwlock_t writes; /* read-locked by writes */
	pthread_rwlock_t moves;  /* read-locked by all that looks at SOURCE */
};

static bool is_cloned(const struct ram *r)
{
	return r->clone >= 0;
}

static uint64_t page_count(const struct ram *r)
{
	return r->size / RAM_PAGE + (r->size % RAM_PAGE != 0);
}

static bool is_written(const struct ram *r, uint64_t page)
{
	return r->written[page / 64] >> page % 64 & 1;
}

/* The first page from PAGE on, and before END, whose state is WRITTEN, or END. */
static uint64_t find_page(const struct ram *r, uint64_t page, uint64_t end, bool written)
{
	while (page < end) {
		uint64_t word = r->written[page / 64];

		if (!written)
			word = ~word;
		word >>= page % 64;
		if (word) {
			page += (uint64_t)__builtin_ctzll(word);
			return page < end ? page : end;
		}
		page += 64 - page % 64;
	}
	return end;
}

/* Where the pages from OFFSET's on that are all written, or all not, end: at END at the latest. */
static uint64_t run_end(const struct ram *r, uint64_t offset, uint64_t end, bool written)
{
	/* From the next page on: this one may be written meanwhile. */
	uint64_t next = find_page(r, offset / RAM_PAGE + 1, (end + RAM_PAGE - 1) / RAM_PAGE, !written);

	return next * RAM_PAGE < end ? next * RAM_PAGE : end;
}

/* Readers that never end must not keep a writer waiting. */
static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

/*
 * A clone is written by others: the file's time tells that it was.  This is the one
 * that it is given when that has been noticed, which no write gives it.
 */
static const struct timespec NOTICED[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 0 } };

static int64_t nanoseconds(struct timespec t)
{
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void notice_writes(struct ram *r)
{
	struct stat st;

	if (!is_cloned(r) || fstat(r->clone, &st) < 0 || nanoseconds(st.st_mtim) == 0)
		return;
	r->unsaved = true;
	r->written_at = nanoseconds(st.st_mtim);
	/* Should this fail, it is noticed again: a save more than needed, no less. */
	futimens(r->clone, NOTICED);
}

/* Memory of our own for what is the guest's: guests keep secrets there, no core file may. */
static void *map_memory(size_t size)
{
	/* cppcheck-suppress invalidFunctionArg; -1 is what MAP_ANONYMOUS takes */
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_DONTDUMP);
	return p;
}

int ram_open(int fd, uint64_t offset, uint64_t size, uint64_t file_len, struct ram **out,
	     struct error *e)
{
	struct ram_source *source;
	int err = source_open(fd, offset, size, file_len, &source, e);

	return err ? err : ram_open_over(source, size, out, e);
}

int ram_open_over(struct ram_source *source, uint64_t size, struct ram **out, struct error *e)
{
	struct ram *r = calloc(1, sizeof(*r));

	if (!r) {
		source_close(source);
		return error_set(e, ENOMEM, "out of memory");
	}
	*r = (struct ram){ .size = size, .source = source, .clone = -1, .limit = UINT64_MAX };
	r->diff = source_list(source) ? source : NULL;
	pthread_mutex_init(&r->sparing, NULL);
	pthread_mutex_init(&r->copy_up, NULL);
	init_lock(&r->writes);
	init_lock(&r->moves);
	r->top = map_memory(size);
	r->written = calloc(page_count(r) / 64 + 1, sizeof(*r->written));
	if (!r->top || !r->written) {
		ram_close(r);
		return error_set(e, ENOMEM, "%llu bytes of RAM cannot be mapped twice: %s",
				 (unsigned long long)size, strerror(ENOMEM));
	}
	*out = r;
	return 0;
}

void ram_close(struct ram *r)
{
	if (!r)
		return;
	while (r->spare_count > 0)
		munmap(r->spares[--r->spare_count], SPARE_SIZE);
	pthread_mutex_destroy(&r->sparing);
	pthread_mutex_destroy(&r->copy_up);
	pthread_rwlock_destroy(&r->writes);
	pthread_rwlock_destroy(&r->moves);
	if (r->diff != r->source)
		source_close(r->diff);
	source_close(r->source);
	if (r->top)
		munmap(r->top, r->size);
	free(r->written);
	free(r);
}

/* With all held. */
static int become_clone(struct ram *r, int fd, struct error *e)
{
	struct ram_source *shared;
	int err = source_clone(r->source, fd);

	if (err)
		return error_set(e, -err, "cannot clone RAM: %s", strerror(-err));
	if (futimens(fd, NOTICED) < 0)
		return error_set(e, errno, "cannot set a time: %s", strerror(errno));
	err = source_open_shared(fd, r->size, &shared, e);
	if (err)
		return err;
	/* What is saved of a diff is compared with its base once more. */
	if (!r->diff)
		source_close(r->source);
	r->source = shared;
	r->clone = fd;
	return 0;
}

int ram_clone(struct ram *r, int fd, struct error *e)
{
	int err;

	ram_hold_writes(r);
	ram_hold(r);
	if (is_cloned(r) || r->written_pages || source_is_lost(r->source))
		err = error_set(e, EBUSY, "RAM is in use already");
	else
		err = become_clone(r, fd, e);
	ram_resume(r);
	ram_resume_writes(r);
	return err;
}

int ram_clone_fd(const struct ram *r)
{
	return r->clone;
}

int ram_keep_size(struct ram *r)
{
	struct stat st;

	if (!is_cloned(r) || fstat(r->clone, &st) < 0 || (uint64_t)st.st_size <= r->size)
		return 0;
	io_truncate(r->clone, r->size);
	return -EPERM;
}

int ram_clone_to(struct ram *r, int fd, uint64_t offset)
{
	int err, sync_err;

	if (!is_cloned(r))
		return -EOPNOTSUPP;
	err = io_clone(r->clone, 0, fd, offset, r->size);
	if (err != -EOPNOTSUPP)
		return err;
	/* A page that is mapped tells of the next store only once it is clean, as cloning makes it. */
	sync_err = io_sync(r->clone);
	return sync_err ? sync_err : err;
}

void ram_hold_writes(struct ram *r)
{
	pthread_rwlock_wrlock(&r->writes);
	/* What is written from here on is noticed after what is saved. */
	notice_writes(r);
	r->saving = r->unsaved;
	r->unsaved = false;
}

void ram_resume_writes(struct ram *r)
{
	if (r->saving)
		r->unsaved = true;
	r->saving = false;
	pthread_rwlock_unlock(&r->writes);
}

void ram_hold(struct ram *r)
{
	pthread_rwlock_wrlock(&r->moves);
}

void ram_resume(struct ram *r)
{
	pthread_rwlock_unlock(&r->moves);
}

/* What is in the snapshot's file; null if that has been cloned. */
static struct ram_source *source_in_file(const struct ram *r)
{
	return r->diff ? r->diff : is_cloned(r) ? NULL : r->source;
}

void ram_lose(struct ram *r)
{
	if (source_in_file(r))
		source_lose(source_in_file(r));
}

int ram_rebase(struct ram *r, int fd, uint64_t offset, uint64_t file_len, struct error *e)
{
	struct ram_source *source = source_in_file(r);

	return source ? source_move(source, fd, offset, file_len, e) : 0;
}

struct ram_source *ram_diff(const struct ram *r)
{
	return r->diff;
}

void ram_set_limit(struct ram *r, uint64_t bytes)
{
	r->limit = bytes / RAM_PAGE;
}

uint64_t ram_size(const struct ram *r)
{
	return r->size;
}

/* Copy what source_holds, asked of *COPIED, has to confirm. */
static int copy_run(struct ram *r, void *to, size_t n, uint64_t offset, uint64_t *copied)
{
	uint64_t end = offset + n;
	uint8_t *out = to;

	while (offset < end) {
		bool ours = is_written(r, offset / RAM_PAGE);
		size_t take = run_end(r, offset, end, ours) - offset;

		if (ours ? !guard_copy(out, r->top + offset, take)
			 : !source_copy(r->source, out, take, offset, copied))
			return -EIO;
		out += take;
		offset += take;
	}
	return 0;
}

static int read_run(struct ram *r, void *to, size_t n, uint64_t offset)
{
	uint64_t copied = 0;
	int err = copy_run(r, to, n, offset, &copied);

	return err || source_holds(r->source, copied) ? err : -EIO;
}

int ram_read(struct ram *r, void *to, size_t n, uint64_t offset)
{
	int err;

	pthread_rwlock_rdlock(&r->moves);
	err = read_run(r, to, n, offset);
	pthread_rwlock_unlock(&r->moves);
	return err;
}

int ram_read_heads(struct ram *r, void *to, size_t n, uint64_t offset, unsigned count)
{
	uint64_t copied = 0;
	uint8_t *out = to;
	unsigned i;
	int err = 0;

	pthread_rwlock_rdlock(&r->moves);
	for (i = 0; i < count && !err; i++)
		err = copy_run(r, out + i * n, n, offset + (uint64_t)i * RAM_PAGE, &copied);
	if (!err && !source_holds(r->source, copied))
		err = -EIO;
	pthread_rwlock_unlock(&r->moves);
	return err;
}

struct view {
	const uint8_t *mapping; /* of the file, source_shown */
	struct iovec *pieces;
	int count;
	int last_of_file; /* the last piece that is in the file's mapping, or -1 */
	size_t page_size; /* of the mapping */
	uint8_t *copy;    /* of a page */
};

/*
 * Who looks at the pieces does so later, and nobody can ask the file after that.  But where
 * the mapping may be shown the pages after one that the file is cut in are gone before its rest is
 * zeros, so a fault in the last page tells of a cut in any before it that was seen sooner.
 * Of the last page itself the first byte is left in the mapping, for it is right or a
 * fault, and the rest is copied and asked for now.
 */
static int settle_last_page(struct ram *r, struct view *v)
{
	struct iovec *piece = &v->pieces[v->last_of_file];
	const uint8_t *start = piece->iov_base, *end = start + piece->iov_len;
	const uint8_t *page = end - 1 - (uintptr_t)(end - 1) % v->page_size;
	const uint8_t *from = page < start ? start : page;
	size_t n;

	if (v->last_of_file > 0 || page > start)
		from++;
	n = (size_t)(end - from);
	if (!guard_copy(v->copy, from, n) || !source_holds(r->source, (uint64_t)(end - v->mapping)))
		return -EIO;
	if (from == start) {
		piece->iov_base = v->copy;
		return 0;
	}
	memmove(piece + 2, piece + 1, (size_t)(v->count - 1 - v->last_of_file) * sizeof(*piece));
	piece[0].iov_len -= n;
	piece[1] = (struct iovec){ v->copy, n };
	v->count++;
	return 0;
}

/* The piece from OFFSET on, and not past END; returns its size. */
static size_t add_piece(const struct ram *r, struct view *v, uint64_t offset, uint64_t end)
{
	bool ours = is_written(r, offset / RAM_PAGE);
	size_t size = run_end(r, offset, end, ours) - offset;

	if (!ours)
		v->last_of_file = v->count;
	v->pieces[v->count++] = (struct iovec){ (uint8_t *)(ours ? r->top : v->mapping) + offset, size };
	return size;
}

/* Memory for N bytes of RAM; put_spare takes it back.  Null if there is none. */
static void *take_spare(struct ram *r, size_t n)
{
	void *p = NULL;

	if (n > SPARE_SIZE)
		return map_memory(n);
	pthread_mutex_lock(&r->sparing);
	if (r->spare_count > 0)
		p = r->spares[--r->spare_count];
	pthread_mutex_unlock(&r->sparing);
	return p ? p : map_memory(SPARE_SIZE);
}

static void put_spare(struct ram *r, void *p, size_t n)
{
	bool kept;

	pthread_mutex_lock(&r->sparing);
	kept = n <= SPARE_SIZE && r->spare_count < SPARES;
	if (kept)
		r->spares[r->spare_count++] = p;
	pthread_mutex_unlock(&r->sparing);
	if (!kept)
		munmap(p, n > SPARE_SIZE ? n : SPARE_SIZE);
}

/* Where the mapping may show zeros that the file never had: a copy, which read_run has checked. */
static int view_copy(struct ram *r, size_t n, uint64_t offset, ram_viewer *fn, void *ctx)
{
	struct iovec piece = { take_spare(r, n), n };
	int err;

	if (!piece.iov_base)
		return -ENOMEM;
	err = read_run(r, piece.iov_base, n, offset);
	if (!err)
		fn(ctx, &piece, 1);
	put_spare(r, piece.iov_base, n);
	return err;
}

static int view_mapping(struct ram *r, const uint8_t *mapping, size_t n, uint64_t offset,
			ram_viewer *fn, void *ctx)
{
	struct view v = { .mapping = mapping, .last_of_file = -1,
			  .page_size = (size_t)sysconf(_SC_PAGESIZE) };
	size_t most = n / RAM_PAGE + 3;
	uint64_t end = offset + n;
	int err = 0;

	v.pieces = malloc(most * sizeof(*v.pieces) + v.page_size);
	if (!v.pieces)
		return -ENOMEM;
	v.copy = (uint8_t *)(v.pieces + most);
	while (offset < end)
		offset += add_piece(r, &v, offset, end);
	if (v.last_of_file >= 0)
		err = settle_last_page(r, &v);
	if (!err)
		fn(ctx, v.pieces, v.count);
	free(v.pieces);
	return err;
}

int ram_view(struct ram *r, size_t n, uint64_t offset, ram_viewer *fn, void *ctx)
{
	const uint8_t *mapping;
	int err;

	pthread_rwlock_rdlock(&r->moves);
	mapping = source_shown(r->source);
	err = mapping ? view_mapping(r, mapping, n, offset, fn, ctx) : view_copy(r, n, offset, fn, ctx);
	pthread_rwlock_unlock(&r->moves);
	return err;
}

/* Write to a page that is not ours yet, N bytes at FROM in it. */
static int write_first(struct ram *r, uint64_t page, const uint8_t *data, size_t from, size_t n)
{
	uint64_t at = page * RAM_PAGE;
	size_t size = r->size - at < RAM_PAGE ? r->size - at : RAM_PAGE;
	uint64_t copied = 0;
	bool ok = true;

	pthread_mutex_lock(&r->copy_up);
	if (!is_written(r, page) && r->written_pages >= r->limit) {
		pthread_mutex_unlock(&r->copy_up);
		return -ENOSPC;
	}
	if (!is_written(r, page) && n < size)
		ok = source_copy(r->source, r->top + at, size, at, &copied) &&
		     source_holds(r->source, copied);
	ok = ok && guard_copy(r->top + at + from, data, n);
	if (ok && !is_written(r, page)) {
		atomic_fetch_or(&r->written[page / 64], UINT64_C(1) << page % 64);
		r->written_pages++;
	}
	pthread_mutex_unlock(&r->copy_up);
	return ok ? 0 : -EIO;
}

int ram_write(struct ram *r, const void *from, size_t n, uint64_t offset)
{
	const uint8_t *data = from;
	struct timespec now;
	int err = 0;

	pthread_rwlock_rdlock(&r->writes);
	pthread_rwlock_rdlock(&r->moves);
	if (is_cloned(r)) {
		err = io_write(r->clone, data, n, offset);
		n = 0;
	}
	while (n > 0 && !err) {
		uint64_t page = offset / RAM_PAGE;
		size_t in_page = offset % RAM_PAGE;
		size_t take = RAM_PAGE - in_page < n ? RAM_PAGE - in_page : n;

		if (!is_written(r, page))
			err = write_first(r, page, data, in_page, take);
		else if (!guard_copy(r->top + offset, data, take))
			err = -EIO;
		data += take;
		offset += take;
		n -= take;
	}
	pthread_rwlock_unlock(&r->moves);
	pthread_rwlock_unlock(&r->writes);
	clock_gettime(CLOCK_REALTIME, &now);
	r->written_at = nanoseconds(now);
	return err;
}

static bool next_written(const struct ram *r, uint64_t *offset, uint64_t *size)
{
	uint64_t first = find_page(r, *offset / RAM_PAGE, page_count(r), true);
	uint64_t end;

	if (*offset >= r->size || first >= page_count(r))
		return false;
	end = find_page(r, first, page_count(r), false) * RAM_PAGE;
	*offset = first * RAM_PAGE;
	*size = (end < r->size ? end : r->size) - *offset;
	return true;
}

bool ram_next_written(struct ram *r, uint64_t *offset, uint64_t *size)
{
	if (!is_cloned(r))
		return next_written(r, offset, size);
	notice_writes(r);
	if (!(r->unsaved || r->saving) || *offset >= r->size)
		return false;
	*size = r->size - *offset;
	return true;
}

bool ram_next_changed(struct ram *r, uint64_t *offset, uint64_t *size)
{
	const struct page_list *list = source_list(r->source);
	size_t i = page_list_find(list, *offset / RAM_PAGE);
	uint64_t listed = page_list_page(list, i), end = listed;
	/* Not further than to the next that is listed: else whoever asks for all of them looks at all for each. */
	uint64_t limit = listed < page_count(r) ? listed : page_count(r);

	if (find_page(r, *offset / RAM_PAGE, limit, true) < limit)
		return next_written(r, offset, size);
	if (listed >= page_count(r))
		return false;
	while (page_list_page(list, i++) == end)
		end++;
	*offset = listed * RAM_PAGE;
	*size = (end - listed) * RAM_PAGE;
	return true;
}

void ram_clean(struct ram *r)
{
	uint64_t i;

	r->saving = false;
	for (i = 0; i <= page_count(r) / 64; i++)
		r->written[i] = 0;
	r->written_pages = 0;
	madvise(r->top, r->size, MADV_DONTNEED);
}

bool ram_mtime(struct ram *r, struct timespec *when)
{
	int64_t at;

	notice_writes(r);
	at = r->written_at;
	if (at)
		*when = (struct timespec){ at / 1000000000, at % 1000000000 };
	return at != 0;
}

uint64_t ram_stored(struct ram *r)
{
	uint64_t stored = r->written_pages * RAM_PAGE;
	struct stat st;

	if (is_cloned(r) && fstat(r->clone, &st) == 0)
		return (uint64_t)st.st_blocks * 512;
	pthread_rwlock_rdlock(&r->moves);
	stored += source_stored(r->source);
	pthread_rwlock_unlock(&r->moves);
	return stored < r->size ? stored : r->size;
}

static int64_t seek(const struct ram *r, uint64_t offset, int whence)
{
	uint64_t data, written;

	if (offset >= r->size)
		return -ENXIO;
	for (;;) {
		data = source_seek(r->source, offset, SEEK_DATA);
		written = find_page(r, offset / RAM_PAGE, (data + RAM_PAGE - 1) / RAM_PAGE, true) * RAM_PAGE;
		if (written < offset)
			written = offset;
		if (written < data)
			data = written;
		if (whence == SEEK_DATA)
			return data < r->size ? (int64_t)data : -ENXIO;
		if (data > offset || data == r->size)
			return (int64_t)offset;
		/* There is data here, in the file or written: go past it. */
		if (is_written(r, offset / RAM_PAGE))
			offset = find_page(r, offset / RAM_PAGE, page_count(r), false) * RAM_PAGE;
		else
			offset = source_seek(r->source, offset, SEEK_HOLE);
		if (offset >= r->size)
			return (int64_t)r->size;
	}
}

int64_t ram_seek(struct ram *r, uint64_t offset, int whence)
{
	int64_t at;

	pthread_rwlock_rdlock(&r->moves);
	at = seek(r, offset, whence);
	pthread_rwlock_unlock(&r->moves);
	return at;
}
