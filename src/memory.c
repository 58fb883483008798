/* SPDX-License-Identifier: MIT */
#include "memory.h"

/* A sanitizer has allocators of its own, and ends the process itself. */
#ifdef SANITIZED

void memory_must_suffice(bool must)
{
	(void)must;
}

#else

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool must_suffice;

void memory_must_suffice(bool must)
{
	must_suffice = must;
}

static void *check(void *p, size_t n)
{
	static const char text[] = "smsnap: out of memory\n";

	if (!p && n && must_suffice) {
		if (write(STDERR_FILENO, text, strlen(text)) < 0) {
			/* the exit status tells */
		}
		_exit(1);
	}
	return p;
}

/*
 * These take the C library's place for every library of the program, and call it.
 * dlsym allocates nothing when it finds the name.
 */

void *malloc(size_t n)
{
	static void *(*next)(size_t);

	if (!next)
		next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	return check(next(n), n);
}

void *calloc(size_t count, size_t n)
{
	static void *(*next)(size_t, size_t);

	if (!next)
		next = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	return check(next(count, n), count && n);
}

void *realloc(void *p, size_t n)
{
	static void *(*next)(void *, size_t);

	if (!next)
		next = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	return check(next(p, n), n);
}

#endif
