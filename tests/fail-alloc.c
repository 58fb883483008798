/* SPDX-License-Identifier: MIT */
/*
 * Preloaded (LD_PRELOAD), it makes one allocation of a program fail: with ENOMEM, as if
 * memory had run out. FAIL_ALLOC names the file through which it is told which and
 * tells how many there were; the program and its children share it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file; tests/failing-memory.py knows it as well. */
struct control {
	_Atomic uint64_t count;   /* allocations since it was set to 0 */
	_Atomic uint64_t fail_at; /* the one that fails; 0: none */
	_Atomic uint64_t failed;  /* set when it did */
	_Atomic int64_t live;     /* allocations that were not freed */
};

static struct control *control;

/* The function that this library took the place of. dlsym allocates nothing when it finds it. */
#define NEXT(name) \
	({ \
		static typeof(&(name)) found; \
		if (!found) \
			found = (typeof(&(name)))dlsym(RTLD_NEXT, #name); \
		found; \
	})

/*
 * The dynamic loader makes room for a thread's variables, which stays with the thread's
 * stack for the next thread: how much of that there is at the end tells nothing.
 */
static uintptr_t loader_start, loader_end;

static int find_loader(struct dl_phdr_info *info, size_t size, void *ctx)
{
	int i;

	(void)size;
	(void)ctx;
	if (info->dlpi_addr != getauxval(AT_BASE))
		return 0;
	loader_start = loader_end = info->dlpi_addr;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD)
			loader_end = loader_start + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
	return 1;
}

/* What happens after the program's end, such as counting coverage, is no part of it. */
static int ended;

static void end(void)
{
	ended = 1;
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("FAIL_ALLOC");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	if (fd < 0)
		return;
	p = NEXT(mmap)(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return;
	control = p;
	atexit(end);
	dl_iterate_phdr(find_loader, NULL);
}

static int must_fail(void)
{
	if (!control || ended || atomic_fetch_add(&control->count, 1) + 1 != atomic_load(&control->fail_at))
		return 0;
	atomic_store(&control->failed, 1);
	errno = ENOMEM;
	return 1;
}

static void count_live(const void *caller, int n)
{
	if (control && ((uintptr_t)caller < loader_start || (uintptr_t)caller >= loader_end))
		atomic_fetch_add(&control->live, n);
}

void *malloc(size_t n)
{
	void *p = must_fail() ? NULL : NEXT(malloc)(n);

	count_live(__builtin_return_address(0), p != NULL);
	return p;
}

void *calloc(size_t count, size_t n)
{
	void *p = must_fail() ? NULL : NEXT(calloc)(count, n);

	count_live(__builtin_return_address(0), p != NULL);
	return p;
}

void *realloc(void *old, size_t n)
{
	void *p = must_fail() ? NULL : NEXT(realloc)(old, n);

	count_live(__builtin_return_address(0), p && !old);
	return p;
}

void *aligned_alloc(size_t alignment, size_t n)
{
	void *p = must_fail() ? NULL : NEXT(aligned_alloc)(alignment, n);

	count_live(__builtin_return_address(0), p != NULL);
	return p;
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
	int err = must_fail() ? ENOMEM : NEXT(posix_memalign)(out, alignment, n);

	count_live(__builtin_return_address(0), !err);
	return err;
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
	return must_fail() ? MAP_FAILED : NEXT(mmap)(at, n, prot, flags, fd, offset);
}

void free(void *p)
{
	count_live(__builtin_return_address(0), p ? -1 : 0);
	NEXT(free)(p);
}
