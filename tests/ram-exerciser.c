/* SPDX-License-Identifier: MIT */
/*
 * ram-exerciser [OPTION]... FILE MODEL SEED OPERATIONS THREADS
 *
 * Reads and writes FILE in all ways that there are, at random, and compares each
 * byte that it reads with a model in memory.  MODEL is a file of what FILE holds
 * now; in the end all of both is compared, and MODEL is written anew.  FILE's size
 * is fixed: what would change it must be refused.
 *
 *   -s        it can be mapped shared
 *   -e HOW    a write past the end is cut short "at-once", or an error of fsync
 *             "late" (with one thread only: the others would be told)
 *   -f WHAT   make the model wrong in one byte of what the first WHAT compares:
 *             "read", "shared", "private", "hole" or "end"
 *
 * The file is cut in ranges of all sizes, down to a byte, and each belongs to one of
 * the threads: it alone writes there, so it knows what must be there.  With one
 * thread all depends on SEED alone.
 *
 * Exit status 0, or 1 and a line on standard error that says which operation saw
 * what; a mapping that lost its file ends it with SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PAGE = 4096,
	MOST = 128 << 10,       /* bytes of one operation */
	MOST_MAPPED = 64 * PAGE /* of one mapping */
};

struct range {
	size_t at;
	size_t n;
};

struct thread {
	pthread_t id;
	unsigned index;
	uint64_t random;
	uint64_t operations;
	uint64_t done;
	const char *doing;
	int fd;
	struct range *own;
	size_t count; /* of own */
	uint8_t buffer[MOST];
	uint8_t *map; /* shared, of part of the file; null if there is none */
	struct range mapped;
	size_t first, last; /* own ranges that are in it: first <= i < last */
};

/* Set before there are threads. */
static const char *file;
static uint8_t *model;
static size_t size;
static uint64_t seed;
static unsigned threads;
static bool can_share, ends_at_once, ends_late;

/* Of the thread 0 alone. */
static const char *flip;

/* xorshift64* */
static uint64_t next(struct thread *t)
{
	t->random ^= t->random >> 12;
	t->random ^= t->random << 25;
	t->random ^= t->random >> 27;
	return t->random * UINT64_C(0x2545f4914f6cdd1d) >> 11;
}

static size_t below(struct thread *t, size_t n)
{
	return (size_t)(next(t) % n);
}

static bool one_in(struct thread *t, unsigned n)
{
	return below(t, n) == 0;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t end_of(struct range r)
{
	return r.at + r.n;
}

static void complain(const struct thread *t)
{
	flockfile(stderr);
	fprintf(stderr,
		"ram-exerciser: %s: seed %" PRIu64 ", thread %u of %u, operation %" PRIu64 ", %s: ",
		file, seed, t->index, threads, t->done, t->doing);
}

/* The other threads are in the midst of things: no clean-up. */
static void give_up(void)
{
	fputc('\n', stderr);
	fflush(NULL);
	_exit(1);
}

static void require(const struct thread *t, bool ok, const char *what)
{
	int code = errno;

	if (ok)
		return;
	complain(t);
	fprintf(stderr, "%s (errno %d, %s)", what, code, strerror(code));
	give_up();
}

static void mismatch(const struct thread *t, size_t at, const uint8_t *expected,
		     const uint8_t *got, size_t n)
{
	size_t i, wrong = 0, first = n;

	for (i = 0; i < n; i++) {
		if (expected[i] == got[i])
			continue;
		if (first == n)
			first = i;
		wrong++;
	}
	complain(t);
	fprintf(stderr, "offset %zu: %zu of %zu bytes are wrong, expected", at + first, wrong, n);
	for (i = first; i < n && i < first + 16; i++)
		fprintf(stderr, " %02x", expected[i]);
	fprintf(stderr, ", got");
	for (i = first; i < n && i < first + 16; i++)
		fprintf(stderr, " %02x", got[i]);
	give_up();
}

/* The first of T's ranges that ends after AT, or their count. */
static size_t find_own(const struct thread *t, size_t at)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (end_of(t->own[middle]) > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static struct range common(struct range a, struct range b)
{
	size_t at = a.at > b.at ? a.at : b.at;
	size_t end = smaller(end_of(a), end_of(b));

	return (struct range){ at, end > at ? end - at : 0 };
}

/* BYTES were seen at AT: those that are T's must be the model's. */
static void check(struct thread *t, const char *what, size_t at, const uint8_t *bytes, size_t n)
{
	struct range seen = { at, n };
	size_t i;

	t->doing = what;
	for (i = find_own(t, at); i < t->count && t->own[i].at < at + n; i++) {
		struct range r = common(t->own[i], seen);

		if (flip && t->index == 0 && strcmp(flip, what) == 0) {
			model[r.at + below(t, r.n)] ^= 1 << below(t, 8);
			flip = NULL;
		}
		if (memcmp(model + r.at, bytes + r.at - at, r.n) != 0)
			mismatch(t, r.at, model + r.at, bytes + r.at - at, r.n);
	}
}

/*
 * Where
 */

static size_t pick_size(struct thread *t)
{
	switch (below(t, 32)) {
	case 0:
		return 1 + below(t, MOST);
	case 1:
	case 2:
		return PAGE * (1 + below(t, 4));
	case 3:
	case 4:
	case 5:
		return 1 + below(t, 3 * PAGE);
	default:
		return 1 + below(t, 300);
	}
}

/* Some bytes of R, which has some. */
static struct range pick_in(struct thread *t, struct range r)
{
	size_t n = pick_size(t);
	size_t at;

	if (n > r.n)
		n = 1 + below(t, r.n);
	at = r.at + below(t, r.n - n + 1);
	switch (below(t, 16)) {
	case 0:
		at = end_of(r) - n;
		break;
	case 1:
	case 2:
	case 3:
		if (at / PAGE * PAGE >= r.at)
			at = at / PAGE * PAGE;
	}
	return (struct range){ at, n };
}

static struct range pick_own(struct thread *t)
{
	return pick_in(t, t->own[below(t, t->count)]);
}

/* To be read: it may go on into what is others'. */
static struct range pick_seen(struct thread *t)
{
	struct range r = pick_own(t);

	if (one_in(t, 4))
		r.n = smaller(MOST, r.n + pick_size(t));
	r.n = smaller(r.n, size - r.at);
	return r;
}

static void fill(struct thread *t, uint8_t *to, size_t n)
{
	/* Zeros are what wrong bytes often are: let some be right. */
	bool zeros = one_in(t, 16);
	size_t i;

	for (i = 0; i < n; i += sizeof(uint64_t)) {
		uint64_t word = zeros ? 0 : next(t) * UINT64_C(0x9e3779b97f4a7c15);

		memcpy(to + i, &word, smaller(sizeof(word), n - i));
	}
}

/* N bytes in as many pieces of BUFFER as there are vectors. */
static void cut(struct thread *t, size_t n, struct iovec *v, int count)
{
	uint8_t *at = t->buffer;
	int i;

	for (i = 0; i < count; i++) {
		size_t take = i == count - 1 ? n : below(t, n + 1);

		v[i] = (struct iovec){ at, take };
		at += take;
		n -= take;
	}
}

/*
 * Operations
 */

static void open_it(struct thread *t)
{
	t->fd = open(file, O_RDWR | O_CLOEXEC);
	require(t, t->fd >= 0, "open");
	/* Then the kernel asks for what is read, and not for more. */
	if (one_in(t, 2))
		require(t, posix_fadvise(t->fd, 0, 0, POSIX_FADV_RANDOM) == 0, "fadvise");
}

static void do_read(struct thread *t)
{
	struct range r = pick_seen(t);

	require(t, pread(t->fd, t->buffer, r.n, (off_t)r.at) == (ssize_t)r.n, "pread");
	check(t, "read", r.at, t->buffer, r.n);
}

static void do_readv(struct thread *t)
{
	struct range r = pick_seen(t);
	struct iovec v[4];
	int count = 2 + (int)below(t, 3);

	cut(t, r.n, v, count);
	require(t, preadv(t->fd, v, count, (off_t)r.at) == (ssize_t)r.n, "preadv");
	check(t, "read", r.at, t->buffer, r.n);
}

static void do_write(struct thread *t)
{
	struct range r = pick_own(t);

	fill(t, t->buffer, r.n);
	require(t, pwrite(t->fd, t->buffer, r.n, (off_t)r.at) == (ssize_t)r.n, "pwrite");
	memcpy(model + r.at, t->buffer, r.n);
}

static void do_writev(struct thread *t)
{
	struct range r = pick_own(t);
	struct iovec v[4];
	int count = 2 + (int)below(t, 3);

	fill(t, t->buffer, r.n);
	cut(t, r.n, v, count);
	require(t, pwritev(t->fd, v, count, (off_t)r.at) == (ssize_t)r.n, "pwritev");
	memcpy(model + r.at, t->buffer, r.n);
}

/* Within the file; the kernel takes as much as it likes. */
static void do_copy(struct thread *t)
{
	struct range from = pick_own(t), to = pick_own(t);
	off_t source = (off_t)from.at, target = (off_t)to.at;
	size_t n = smaller(from.n, to.n);
	ssize_t copied;

	if (from.at < to.at + n && to.at < from.at + n)
		return;
	copied = copy_file_range(t->fd, &source, t->fd, &target, n, 0);
	require(t, copied > 0 && (size_t)copied <= n, "copy_file_range");
	memcpy(model + to.at, model + from.at, (size_t)copied);
}

/* A piece of the file that has some of T's bytes, in whole pages. */
static struct range pick_mapping(struct thread *t)
{
	size_t page = pick_own(t).at / PAGE;
	size_t pages = 1 + below(t, MOST_MAPPED / PAGE);

	page -= smaller(page, below(t, pages));
	return (struct range){ page * PAGE, smaller(pages * PAGE, size - page * PAGE) };
}

static void unmap(struct thread *t)
{
	if (t->map)
		require(t, munmap(t->map, t->mapped.n) == 0, "munmap");
	t->map = NULL;
}

/* Map another piece shared. */
static void remap(struct thread *t)
{
	void *p;

	unmap(t);
	t->mapped = pick_mapping(t);
	p = mmap(NULL, t->mapped.n, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
		 (off_t)t->mapped.at);
	require(t, p != MAP_FAILED, "mmap shared");
	t->map = p;
	t->first = t->last = find_own(t, t->mapped.at);
	while (t->last < t->count && t->own[t->last].at < end_of(t->mapped))
		t->last++;
}

/* What of T's is mapped shared; nothing if nothing is. */
static struct range pick_mapped(struct thread *t)
{
	size_t i;

	if (!t->map || one_in(t, 1000))
		remap(t);
	/* It was chosen for a byte that is T's, and may end before that. */
	if (t->first == t->last)
		return (struct range){ 0 };
	i = t->first + below(t, t->last - t->first);
	return pick_in(t, common(t->own[i], t->mapped));
}

static void do_load(struct thread *t)
{
	struct range r = pick_mapped(t);

	r.n = smaller(r.n, MOST);
	memcpy(t->buffer, t->map + r.at - t->mapped.at, r.n);
	check(t, "shared", r.at, t->buffer, r.n);
}

static void do_store(struct thread *t)
{
	struct range r = pick_mapped(t);

	fill(t, model + r.at, r.n);
	memcpy(t->map + r.at - t->mapped.at, model + r.at, r.n);
}

static void sync_stores(struct thread *t)
{
	if (t->map)
		require(t, msync(t->map, t->mapped.n, MS_SYNC) == 0, "msync");
}

static void do_msync(struct thread *t)
{
	if (t->map)
		require(t, msync(t->map, t->mapped.n, one_in(t, 4) ? MS_ASYNC : MS_SYNC) == 0,
			"msync");
}

/* What is stored in a private mapping must stay there. */
static void do_private(struct thread *t)
{
	struct range r = pick_mapping(t), seen;
	uint8_t *p = mmap(NULL, r.n, PROT_READ | PROT_WRITE, MAP_PRIVATE, t->fd, (off_t)r.at);
	unsigned i;

	require(t, p != MAP_FAILED, "mmap private");
	if (one_in(t, 2))
		require(t, madvise(p, r.n, MADV_RANDOM) == 0, "madvise");
	for (i = 0; i < 4; i++) {
		seen = pick_in(t, r);
		seen.n = smaller(seen.n, MOST);
		check(t, "private", seen.at, p + seen.at - r.at, seen.n);
	}
	memset(p + seen.at - r.at, 0xee, seen.n);
	require(t, munmap(p, r.n) == 0, "munmap private");
}

static void do_sync(struct thread *t)
{
	require(t, (one_in(t, 2) ? fsync(t->fd) : fdatasync(t->fd)) == 0, "fsync");
}

/* What is read next comes from the file system's server again. */
static void forget(struct thread *t, struct range r)
{
	require(t, fdatasync(t->fd) == 0, "fdatasync");
	require(t, posix_fadvise(t->fd, (off_t)r.at, (off_t)r.n, POSIX_FADV_DONTNEED) == 0,
		"fadvise");
}

static void do_forget(struct thread *t)
{
	struct range all = { 0, size };

	unmap(t);
	forget(t, one_in(t, 2) ? all : pick_mapping(t));
}

static void do_reopen(struct thread *t)
{
	/* A mapping outlives the descriptor that it was made of. */
	require(t, close(t->fd) == 0, "close");
	open_it(t);
}

static void check_size(struct thread *t)
{
	struct stat st;

	require(t, fstat(t->fd, &st) == 0, "fstat");
	require(t, st.st_size == (off_t)size, "the size has changed");
}

static void do_resize(struct thread *t)
{
	size_t other = below(t, 2 * size);

	require(t, ftruncate(t->fd, (off_t)size) == 0, "ftruncate to the same size");
	if (other != size)
		require(t, ftruncate(t->fd, (off_t)other) < 0 && errno == EPERM,
			"ftruncate to another size is not EPERM");
	require(t, fallocate(t->fd, 0, (off_t)size, PAGE) < 0, "fallocate past the end works");
	require(t,
		fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0,
		"fallocate makes a hole");
	check_size(t);
}

/* The last pages are thread 0's. */
static void do_end(struct thread *t)
{
	size_t n = 1 + below(t, smaller(t->own[t->count - 1].n, PAGE)), at = size - n;
	size_t more = 1 + below(t, 2 * PAGE);
	ssize_t taken;

	/* A page of which a write is not taken in full is read anew: what is stored in a
	   mapping of it meanwhile may be lost. */
	unmap(t);
	require(t, pread(t->fd, t->buffer, n + more, (off_t)at) == (ssize_t)n, "a read to the end");
	check(t, "read", at, t->buffer, n);
	require(t, pread(t->fd, t->buffer, more, (off_t)size) == 0, "a read at the end");
	if (!ends_at_once && !ends_late)
		return;
	fill(t, t->buffer, n + more);
	taken = pwrite(t->fd, t->buffer, n + more, (off_t)at);
	memcpy(model + at, t->buffer, n);
	if (ends_at_once) {
		require(t, taken == (ssize_t)n, "a write across the end is not cut short");
		require(t, pwrite(t->fd, t->buffer, more, (off_t)size) < 0 && errno == EPERM,
			"a write at the end is not EPERM");
	} else {
		require(t, taken == (ssize_t)(n + more), "a write across the end");
		require(t, fsync(t->fd) < 0 && errno == EPERM, "fsync after it is not EPERM");
	}
	check_size(t);
}

static void do_end_of_thread_0(struct thread *t)
{
	if (t->index == 0)
		do_end(t);
}

/* What is told to be a hole is zeros, up to where data is told to begin. */
static void do_seek(struct thread *t)
{
	static const uint8_t zeros[MOST];
	off_t start = (off_t)below(t, size), hole, data;

	/* A store is in the file when it was synced. */
	sync_stores(t);
	hole = one_in(t, 4) ? start : lseek(t->fd, start, SEEK_HOLE);
	require(t, hole >= start && hole <= (off_t)size, "SEEK_HOLE");
	if (hole == (off_t)size)
		return;
	data = lseek(t->fd, hole, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		data = (off_t)size;
	require(t, data >= hole && data <= (off_t)size, "SEEK_DATA");
	while (hole < data) {
		size_t n = smaller(MOST, (size_t)(data - hole));

		check(t, "hole", (size_t)hole, zeros, n);
		hole += (off_t)n;
	}
}

static const struct operation {
	const char *name;
	void (*run)(struct thread *t);
	unsigned weight;
	bool shares; /* needs a shared mapping */
} operations[] = {
	{ "read", do_read, 2400, false },
	{ "readv", do_readv, 300, false },
	{ "write", do_write, 800, false },
	{ "writev", do_writev, 120, false },
	{ "copy", do_copy, 20, false },
	{ "private", do_private, 10, false },
	{ "sync", do_sync, 5, false },
	{ "forget", do_forget, 2, false },
	{ "reopen", do_reopen, 5, false },
	{ "resize", do_resize, 3, false },
	{ "end", do_end_of_thread_0, 4, false },
	{ "seek", do_seek, 6, false },
	{ "load", do_load, 16000, true },
	{ "store", do_store, 6000, true },
	{ "msync", do_msync, 6, true },
};

static const struct operation *pick_operation(struct thread *t)
{
	static const size_t count = sizeof(operations) / sizeof(operations[0]);
	unsigned all = 0;
	size_t i, at;

	for (i = 0; i < count; i++)
		if (can_share || !operations[i].shares)
			all += operations[i].weight;
	at = below(t, all);
	for (i = 0;; i++) {
		if (operations[i].shares && !can_share)
			continue;
		if (at < operations[i].weight)
			return &operations[i];
		at -= operations[i].weight;
	}
}

static void *exercise(void *arg)
{
	struct thread *t = arg;

	open_it(t);
	for (t->done = 0; t->done < t->operations; t->done++) {
		const struct operation *o = pick_operation(t);

		t->doing = o->name;
		o->run(t);
	}
	t->doing = "the end";
	unmap(t);
	require(t, close(t->fd) == 0, "close");
	return NULL;
}

/*
 * Before and after
 */

static void die(const char *what)
{
	fprintf(stderr, "ram-exerciser: ");
	perror(what);
	exit(1);
}

static void *allocate(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		die("calloc");
	return p;
}

static void read_model(const char *name)
{
	FILE *f = fopen(name, "r");
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0)
		die(name);
	size = (size_t)st.st_size;
	model = allocate(size);
	if (fread(model, 1, size, f) != size)
		die(name);
	fclose(f);
}

static void write_model(const char *name)
{
	FILE *f = fopen(name, "w");

	if (!f || fwrite(model, 1, size, f) != size || fclose(f) != 0)
		die(name);
}

static size_t pick_width(struct thread *t, size_t at)
{
	switch (below(t, 4)) {
	case 0:
		return 1 + below(t, 60);
	case 1: /* to the end of a page, and some pages */
		return PAGE - at % PAGE + PAGE * below(t, 8);
	case 2:
		return 1 + below(t, 2 * PAGE);
	default:
		return 1 + below(t, 8 * PAGE);
	}
}

static void add_range(struct thread *t, struct range r)
{
	/* Room for 1, 2, 4, 8, ... */
	if ((t->count & (t->count - 1)) == 0) {
		t->own = realloc(t->own, (t->count ? 2 * t->count : 1) * sizeof(*t->own));
		if (!t->own)
			die("realloc");
	}
	t->own[t->count++] = r;
}

static void share_out(struct thread *all)
{
	struct thread chooser = { .random = seed + 1 };
	/* Thread 0 has the last pages to itself, see do_end. */
	size_t last = threads == 1 || size < 2 * PAGE ? 0 : (size / PAGE - 1) * PAGE;
	size_t at = 0;

	while (at < last) {
		size_t n = smaller(pick_width(&chooser, at), last - at);

		add_range(&all[below(&chooser, threads)], (struct range){ at, n });
		at += n;
	}
	add_range(&all[0], (struct range){ last, size - last });
}

static void compare_all(struct thread *t)
{
	struct range all = { 0, size };
	size_t at;

	free(t->own);
	t->own = NULL;
	t->count = 0;
	add_range(t, all);
	open_it(t);
	forget(t, all);
	for (at = 0; at < size; at += MOST) {
		size_t n = smaller(MOST, size - at);

		require(t, pread(t->fd, t->buffer, n, (off_t)at) == (ssize_t)n, "pread");
		check(t, "end", at, t->buffer, n);
	}
	check_size(t);
	close(t->fd);
}

static void run(uint64_t operations_of_all)
{
	struct thread *all = allocate(threads * sizeof(*all));
	unsigned i;

	share_out(all);
	for (i = 0; i < threads; i++) {
		struct thread *t = &all[i];

		t->index = i;
		t->random = (seed + 1) * 1000003 + i;
		t->operations = operations_of_all / threads + (i < operations_of_all % threads);
		if (t->count == 0) {
			fprintf(stderr, "ram-exerciser: %s is too small\n", file);
			exit(2);
		}
	}
	for (i = 0; i < threads; i++)
		if (pthread_create(&all[i].id, NULL, exercise, &all[i]) != 0)
			die("pthread_create");
	for (i = 0; i < threads; i++)
		pthread_join(all[i].id, NULL);
	compare_all(&all[0]);
	for (i = 0; i < threads; i++)
		free(all[i].own);
	free(all);
}

int main(int argc, char **argv)
{
	uint64_t count;
	int c;

	while ((c = getopt(argc, argv, "se:f:")) >= 0) {
		if (c == 's')
			can_share = true;
		else if (c == 'e' && strcmp(optarg, "at-once") == 0)
			ends_at_once = true;
		else if (c == 'e' && strcmp(optarg, "late") == 0)
			ends_late = true;
		else if (c == 'f')
			flip = optarg;
		else
			return 2;
	}
	if (argc - optind != 5) {
		fprintf(stderr,
			"ram-exerciser: wrong arguments; they are at the top of ram-exerciser.c\n");
		return 2;
	}
	file = argv[optind];
	read_model(argv[optind + 1]);
	seed = strtoull(argv[optind + 2], NULL, 0);
	count = strtoull(argv[optind + 3], NULL, 0);
	threads = (unsigned)strtoul(argv[optind + 4], NULL, 0);
	if (size == 0 || threads == 0) {
		fprintf(stderr, "ram-exerciser: nothing to do\n");
		return 2;
	}
	run(count);
	write_model(argv[optind + 1]);
	printf("%" PRIu64 " operations, seed %" PRIu64 ", threads %u\n", count, seed, threads);
	free(model);
	return 0;
}
