/* SPDX-License-Identifier: MIT */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

/* A signal handler has no other way to reach the copy that its thread is in. */
static __thread sigjmp_buf *volatile landing;

static void on_sigbus(int sig)
{
	if (landing)
		siglongjmp(*landing, 1);
	signal(sig, SIG_DFL);
	raise(sig);
}

void guard_install(void)
{
	/* The handler leaves by a jump: the signal must not stay blocked. */
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
}

bool guard_copy(void *to, const void *from, size_t n)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 0)) {
		landing = NULL;
		return false;
	}
	landing = &here;
	memcpy(to, from, n);
	landing = NULL;
	return true;
}
