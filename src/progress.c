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

void progress_begin(struct progress *p, const char *what)
{
	*p = (struct progress){ .what = what, .shown = -1 };
	clock_gettime(CLOCK_MONOTONIC, &p->start);
}

void progress_start(struct progress *p, const char *what)
{
	struct sigaction action = { .sa_handler = on_signal };

	progress_begin(p, what);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* Whether NUMBER is to be shown now. */
static bool is_due(const struct progress *p, int number)
{
	struct timespec now;

	if (number == p->shown || !isatty(STDERR_FILENO))
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - p->start.tv_sec > 1;
}

bool progress_tell(void *ctx, uint64_t done, uint64_t size)
{
	struct progress *p = ctx;
	int percent = size ? (int)(done / (size / 100 + 1)) : 100;

	if (is_due(p, percent)) {
		fprintf(stderr, "\r%s: %d %%", p->what, percent);
		p->shown = percent;
	}
	return stop;
}

void progress_count(struct progress *p, unsigned done, unsigned total)
{
	if (is_due(p, (int)done)) {
		fprintf(stderr, "\r%s: %u of %u", p->what, done, total);
		p->shown = (int)done;
	}
}

void progress_end(struct progress *p)
{
	if (p->shown >= 0)
		fprintf(stderr, "\r\033[K");
	p->shown = -1;
}
