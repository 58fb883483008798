/* SPDX-License-Identifier: MIT */
/* Many snapshots in one command: a process for each, some side by side. */
#ifndef SMSNAP_FLEET_H
#define SMSNAP_FLEET_H

#include <json-c/json_object.h>
#include <limits.h>

#include "command.h"

enum { FLEET_OUTCOMES = 8, FLEET_NAME = 4 * PATH_MAX };

/* How it can go with a snapshot.  A table of these ends with a null word; the row before that is for who failed. */
struct outcome {
	const char *word; /* the status in JSON */
	const char *text; /* the summary's, after how many */
	bool failed;      /* the exit status tells */
};

struct fleet {
	const char *command; /* its name */
	const struct outcome *outcomes;
	char *const *paths; /* of the snapshots */
	unsigned count;
	unsigned parallel; /* at a time, at most; 0: as many as there are processors */
	bool json;         /* a line each, and no summary */
	/*
	 * Do the command's work on the snapshot of this INDEX, and print what there is to say of it
	 * to standard output and standard error: the outcome, as an index.
	 */
	unsigned (*run)(const struct fleet *f, unsigned index);
	/*
	 * Whether the work on the snapshot of this INDEX begins only when that on all for which this is
	 * false has ended; null: false for all.  It is asked once of each, in this process.
	 */
	bool (*later)(const struct fleet *f, unsigned index);
	const void *ctx; /* RUN's and LATER's */
	unsigned tally[FLEET_OUTCOMES]; /* how many there are of each outcome */
};

#define FLEET_OPTIONS \
	{ "parallel", 'P', "N", offsetof(struct arguments, parallel), \
	  "of several, so many at a time; else one a CPU" }

/* Take A's --parallel, if it is given, for F: 0, or WRONG_USAGE and it was told. */
int fleet_parallel(struct fleet *f, const struct arguments *a);

/* Whether F is run as one: of a single snapshot only where --parallel was given. */
bool fleet_is_wanted(const struct fleet *f);

/*
 * Run F.  What is printed of a snapshot comes in the order of the paths, whole and as soon as it
 * can be, whatever LATER says; then a summary.  A process that dies is a failure of its snapshot alone.  A signal
 * that ends this process, or output that cannot be written, ends all of them.  One snapshot is run
 * in this process.  The exit status: 0, or WRONG_INPUT if any failed.
 */
int fleet_run(struct fleet *f);

/* Of use to RUN. */

/* The outcome of who failed; WHY was told, with the path in it. */
unsigned fleet_failed(const struct fleet *f, unsigned index, const char *why);

/* An object with the snapshot's path and its OUTCOME, for more. */
json_object *fleet_json(const struct fleet *f, unsigned index, unsigned outcome);

/* The path as it can be shown, in OUT, which it returns. */
const char *fleet_name(const struct fleet *f, unsigned index, char out[FLEET_NAME]);

#endif
