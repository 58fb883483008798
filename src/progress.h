/* SPDX-License-Identifier: MIT */
/* How far a command has come, for who waits for it at a terminal; and that it is to stop. */
#ifndef SMSNAP_PROGRESS_H
#define SMSNAP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct progress {
	const char *what; /* is done */
	struct timespec start;
	int shown; /* percent, or how many; -1: nothing is on the screen */
};

/* Begin; signals are the caller's. */
void progress_begin(struct progress *p, const char *what);

/* Begin; from here on SIGINT, SIGTERM and SIGHUP only end what asks for progress_tell. */
void progress_start(struct progress *p, const char *what);

/*
 * So much of SIZE is DONE.  It is shown on standard error if that is a terminal, once a second has
 * gone by.  True if the command is to stop.  CTX is a struct progress.
 */
bool progress_tell(void *ctx, uint64_t done, uint64_t size);

/* So many of TOTAL are DONE: shown as progress_tell does. */
void progress_count(struct progress *p, unsigned done, unsigned total);

/* Take it from the screen. */
void progress_end(struct progress *p);

#endif
