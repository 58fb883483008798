/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* A signal handler has no other way to say that there was one. */
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

void progress_start(struct progress *p, const char *what)
{
	struct sigaction action = { .sa_handler = on_signal };

	*p = (struct progress){ .what = what, .shown = -1 };
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

bool progress_tell(void *ctx, uint64_t done, uint64_t size)
{
	struct progress *p = ctx;
	int percent = size ? (int)(done / (size / 100 + 1)) : 100;
	struct timespec now;

	if (percent != p->shown && isatty(STDERR_FILENO)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - p->start.tv_sec > 1) {
			fprintf(stderr, "\r%s: %d %%", p->what, percent);
			p->shown = percent;
		}
	}
	return stop;
}

void progress_end(struct progress *p)
{
	if (p->shown >= 0)
		fprintf(stderr, "\r\033[K");
	p->shown = -1;
}
