/* SPDX-License-Identifier: MIT */
#include "fleet.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "json_text.h"
#include "printable.h"
#include "progress.h"
#include "standard.h"

enum { PARALLEL_MAX = 256, CHUNK = 1 << 16 };

/* A process's exit status is this and the outcome: others are of who did not come so far. */
enum { FIRST_STATUS = 64 };

/* What a process printed, in files of memory: of standard output and of standard error. */
struct output {
	int fd[2];
	uint64_t at[2], size[2]; /* bytes */
};

struct worker {
	pid_t pid; /* 0: there is none */
	unsigned index;
	int fd[2]; /* what it prints to, -1 if there is none */
};

/* Of a snapshot; once it has ended, if its turn to be printed has not come. */
struct result {
	bool later; /* struct fleet's LATER says so */
	bool ended;
	int status;    /* as waitpid tells it */
	int err;       /* why there is none, or not what it printed; 0 */
	struct output output; /* in the spool */
};

struct run {
	struct fleet *f;
	struct worker *workers;
	unsigned parallel, running;
	struct result *results;
	unsigned *order; /* in which they are started, as indices ... */
	unsigned first;  /* ... so many before the others, which wait for these to have ended */
	unsigned started, ended, printed; /* so many snapshots were */
	int spool;           /* what has to wait is kept here; -1: nothing ever had to */
	uint64_t spool_size; /* bytes */
	unsigned spooled;    /* snapshots whose output is in there */
	sigset_t before, wanted; /* signals */
	int signal;          /* that ends all; 0: none yet */
	struct error wrong;  /* with standard output */
	struct progress progress;
};

int fleet_parallel(struct fleet *f, const struct arguments *a)
{
	char *end;
	long n = 0;

	if (!a->parallel)
		return 0;
	if (a->parallel[0] >= '0' && a->parallel[0] <= '9')
		n = strtol(a->parallel, &end, 10);
	if (n < 1 || n > PARALLEL_MAX || *end)
		return complain(WRONG_USAGE, "%s: --parallel %s: not a number from 1 to %d", f->command,
				a->parallel, PARALLEL_MAX);
	f->parallel = (unsigned)n;
	return 0;
}

bool fleet_is_wanted(const struct fleet *f)
{
	return f->count > 1 || f->parallel;
}

const char *fleet_name(const struct fleet *f, unsigned index, char out[FLEET_NAME])
{
	printable(f->paths[index], out, FLEET_NAME);
	return out;
}

json_object *fleet_json(const struct fleet *f, unsigned index, unsigned outcome)
{
	json_object *o = json_object_new_object();
	const char *path = f->paths[index];

	json_object_object_add(o, "snapshot", json_text(path, strlen(path)));
	json_object_object_add(o, "status", json_object_new_string(f->outcomes[outcome].word));
	return o;
}

static unsigned count_outcomes(const struct fleet *f)
{
	unsigned n = 0;

	while (f->outcomes[n].word)
		n++;
	return n;
}

unsigned fleet_failed(const struct fleet *f, unsigned index, const char *why)
{
	unsigned outcome = count_outcomes(f) - 1;
	json_object *o;

	if (!f->json) {
		tell(why);
		return outcome;
	}
	o = fleet_json(f, index, outcome);
	json_object_object_add(o, "error", json_text(why, strlen(why)));
	json_print_line(o);
	return outcome;
}

/*
 * A worker
 */

static void let_go(struct worker *w)
{
	unsigned k;

	for (k = 0; k < 2; k++) {
		if (w->fd[k] >= 0)
			close(w->fd[k]);
		w->fd[k] = -1;
	}
	w->pid = 0;
}

static void work(struct run *r, const struct worker *w, pid_t parent) __attribute__((noreturn));

static void work(struct run *r, const struct worker *w, pid_t parent)
{
	struct error e = { 0 };
	unsigned outcome, i;

	/* No one is left to print what it says. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(WRONG_INPUT);
	sigprocmask(SIG_SETMASK, &r->before, NULL);
	if (dup2(w->fd[0], STDOUT_FILENO) < 0 || dup2(w->fd[1], STDERR_FILENO) < 0)
		_exit(WRONG_INPUT);
	/* There may be few descriptors, and a snapshot needs some. */
	for (i = 0; i < r->parallel; i++)
		let_go(&r->workers[i]);
	if (r->spool >= 0)
		close(r->spool);
	outcome = r->f->run(r->f, w->index);
	if (standard_flush(&e)) {
		tell(e.text);
		_exit(WRONG_INPUT);
	}
	exit(FIRST_STATUS + (int)outcome);
}

/* A process for the next snapshot: 0 or a negative errno. */
static int start(struct run *r, struct worker *w)
{
	pid_t parent = getpid();
	int err = 0;

	w->index = r->order[r->started];
	w->fd[0] = memfd_create("smsnap-stdout", MFD_CLOEXEC);
	w->fd[1] = w->fd[0] < 0 ? -1 : memfd_create("smsnap-stderr", MFD_CLOEXEC);
	if (w->fd[1] < 0 || (w->pid = fork()) < 0)
		err = -errno;
	else if (w->pid == 0)
		work(r, w, parent);
	if (err)
		let_go(w);
	return err;
}

/*
 * What they print
 */

/* The N bytes of FD at AT to the stream OUT; false if they cannot be read. */
static bool print_part(int fd, uint64_t at, uint64_t n, FILE *out)
{
	char chunk[CHUNK];
	size_t some;

	for (; n; n -= some, at += some) {
		some = n < sizeof(chunk) ? (size_t)n : sizeof(chunk);
		if (io_read(fd, chunk, some, at))
			return false;
		fwrite(chunk, 1, some, out);
	}
	return true;
}

/* Print what there is of the snapshot INDEX, the next: its process ended with STATUS. */
static void print_result(struct run *r, unsigned index, int status, int err, const struct output *o)
{
	unsigned all = count_outcomes(r->f);
	unsigned outcome = err || !WIFEXITED(status) ? UINT_MAX : (unsigned)WEXITSTATUS(status) - FIRST_STATUS;
	char why[FLEET_NAME + 256], name[FLEET_NAME], how[128];

	progress_end(&r->progress);
	/* For a person, what was printed of one that then failed is not so. */
	if (outcome >= all || ((r->f->json || outcome + 1 < all) &&
			       !print_part(o->fd[0], o->at[0], o->size[0], stdout))) {
		if (err)
			snprintf(how, sizeof(how), "could not be run: %s", strerror(-err));
		else if (WIFSIGNALED(status))
			snprintf(how, sizeof(how), "was ended by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
		else
			snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
		snprintf(why, sizeof(why), "%s: the process for it %s", fleet_name(r->f, index, name), how);
		outcome = fleet_failed(r->f, index, why);
	}
	r->f->tally[outcome]++;
	standard_flush(&r->wrong);
	if (!err)
		print_part(o->fd[1], o->at[1], o->size[1], stderr);
	r->printed++;
}

/* Keep what O says until its turn comes, and have O say where: 0 or a negative errno. */
static int keep(struct run *r, struct output *o)
{
	char chunk[CHUNK];
	unsigned k;
	int err = 0;

	if (r->spool < 0)
		r->spool = memfd_create("smsnap-spool", MFD_CLOEXEC);
	if (r->spool < 0)
		return -errno;
	for (k = 0; k < 2 && !err; k++) {
		uint64_t from = o->at[k], end = from + o->size[k];
		size_t some;

		o->at[k] = r->spool_size;
		for (; from < end && !err; from += some) {
			some = end - from < sizeof(chunk) ? (size_t)(end - from) : sizeof(chunk);
			err = io_read(o->fd[k], chunk, some, from);
			if (!err)
				err = io_write(r->spool, chunk, some, r->spool_size);
			r->spool_size += err ? 0 : some;
		}
		o->fd[k] = r->spool;
	}
	return err;
}

/* W's process ended with STATUS. */
static void collect(struct run *r, struct worker *w, int status)
{
	struct result *result = &r->results[w->index];
	struct output o = { { w->fd[0], w->fd[1] }, { 0 }, { 0 } };
	struct stat st;
	unsigned k;

	r->running--;
	r->ended++;
	for (k = 0; k < 2; k++)
		o.size[k] = fstat(w->fd[k], &st) < 0 ? 0 : (uint64_t)st.st_size;
	if (w->index == r->printed) {
		print_result(r, w->index, status, 0, &o);
	} else {
		result->err = keep(r, &o);
		result->status = status;
		result->output = o;
		result->ended = true;
		r->spooled++;
	}
	let_go(w);
}

/* Print those whose turn it is. */
static void print_kept(struct run *r)
{
	const struct result *result;

	while (r->printed < r->f->count && r->results[r->printed].ended && !r->wrong.code) {
		result = &r->results[r->printed];
		print_result(r, r->printed, result->status, result->err, &result->output);
		if (--r->spooled == 0 && r->spool >= 0 && io_truncate(r->spool, 0) == 0)
			r->spool_size = 0;
	}
}

/*
 * All of them
 */

/* Find the order in which they are to be started. */
static void put_in_order(struct run *r)
{
	const struct fleet *f = r->f;
	unsigned i, n;

	for (i = 0; i < f->count; i++) {
		r->results[i].later = f->later && f->later(f, i);
		if (!r->results[i].later)
			r->order[r->first++] = i;
	}
	for (i = 0, n = r->first; i < f->count; i++)
		if (r->results[i].later)
			r->order[n++] = i;
}

/* Whether there is one that may be started now. */
static bool may_start(const struct run *r)
{
	return r->started < r->first || (r->started < r->f->count && r->ended >= r->first);
}

/* Start as many as may be. */
static void start_some(struct run *r)
{
	struct worker *w;
	int err = 0;

	for (w = r->workers; !err && w < r->workers + r->parallel && may_start(r); w++) {
		if (w->pid)
			continue;
		err = start(r, w);
		if (!err)
			r->running++;
		/* Where there is too little of something, those that run will give it back. */
		if (err && r->running)
			return;
		if (err) {
			struct result *result = &r->results[r->order[r->started]];

			result->ended = true;
			result->err = err;
			r->spooled++;
			r->ended++;
		}
		r->started++;
	}
}

/* Wait for something to happen, a moment at most; then see to what has. */
static void wait_for_some(struct run *r)
{
	const struct timespec moment = { .tv_sec = 1 }, none = { 0 };
	struct worker *w;
	int status, sig = sigtimedwait(&r->wanted, NULL, r->running ? &moment : &none);
	sigset_t ends = r->wanted;

	sigdelset(&ends, SIGCHLD);
	/* What ends us may have ended them as well, and is no fault of theirs. */
	if (sig == SIGCHLD)
		sig = sigtimedwait(&ends, NULL, &none);
	if (sig > 0)
		r->signal = sig;
	for (w = r->workers; !r->signal && !r->wrong.code && w < r->workers + r->parallel; w++)
		if (w->pid && waitpid(w->pid, &status, WNOHANG) == w->pid)
			collect(r, w, status);
}

static void stop(struct run *r)
{
	struct worker *w;

	for (w = r->workers; w < r->workers + r->parallel; w++)
		if (w->pid)
			kill(w->pid, SIGKILL);
	for (w = r->workers; w < r->workers + r->parallel; w++) {
		if (w->pid)
			waitpid(w->pid, NULL, 0);
		let_go(w);
	}
}

/* Signals that would end us are waited for instead; those that are ignored stay so. */
static void hold_signals(struct run *r)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action;
	sigset_t blocked;
	unsigned i;

	/* One that is ignored would leave no exit status. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&r->wanted);
	sigaddset(&r->wanted, SIGCHLD);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&r->wanted, ends[i]);
	blocked = r->wanted;
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_BLOCK, &blocked, &r->before);
}

/* As they were: what came meanwhile, SIGPIPE too, has its effect now. */
static void release_signals(const struct run *r)
{
	if (r->signal) {
		signal(r->signal, SIG_DFL);
		raise(r->signal);
	}
	sigprocmask(SIG_SETMASK, &r->before, NULL);
}

static unsigned processors(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	n = sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : (unsigned)n;
}

/* In processes: 0 or an exit status. */
static int run_processes(struct fleet *f)
{
	struct run r = { .f = f, .spool = -1, .parallel = f->parallel ? f->parallel : processors() };
	unsigned i;

	r.parallel = r.parallel < f->count ? r.parallel : f->count;
	r.parallel = r.parallel < PARALLEL_MAX ? r.parallel : PARALLEL_MAX;
	r.workers = calloc(r.parallel, sizeof(*r.workers));
	r.results = calloc(f->count, sizeof(*r.results));
	r.order = calloc(f->count, sizeof(*r.order));
	if (!r.workers || !r.results || !r.order) {
		free(r.workers);
		free(r.results);
		free(r.order);
		return complain(WRONG_INPUT, "out of memory");
	}
	for (i = 0; i < r.parallel; i++)
		r.workers[i] = (struct worker){ .fd = { -1, -1 } };
	put_in_order(&r);
	fflush(stdout);
	hold_signals(&r);
	progress_begin(&r.progress, f->command);
	while (r.printed < f->count && !r.signal && !r.wrong.code) {
		start_some(&r);
		wait_for_some(&r);
		print_kept(&r);
		if (r.printed < f->count)
			progress_count(&r.progress, r.ended, f->count);
	}
	stop(&r);
	progress_end(&r.progress);
	release_signals(&r);
	if (r.spool >= 0)
		close(r.spool);
	free(r.workers);
	free(r.results);
	free(r.order);
	return r.wrong.code ? complain(WRONG_INPUT, "%s", r.wrong.text) : 0;
}

/* "3 snapshots: 2 ok, 1 not readable" to OUT. */
static void print_summary(const struct fleet *f, FILE *out)
{
	const char *separator = ":";
	unsigned i;

	fprintf(out, "%u snapshot%s", f->count, f->count == 1 ? "" : "s");
	for (i = 0; f->outcomes[i].word; i++) {
		if (!f->tally[i])
			continue;
		fprintf(out, "%s %u %s", separator, f->tally[i], f->outcomes[i].text);
		separator = ",";
	}
	fprintf(out, "\n");
}

int fleet_run(struct fleet *f)
{
	int status = 0;
	unsigned i;

	if (f->count == 1)
		f->tally[f->run(f, 0)]++;
	else
		status = run_processes(f);
	if (status)
		return status;
	if (!f->json)
		print_summary(f, stdout);
	else if (f->count > 1 && isatty(STDERR_FILENO))
		print_summary(f, stderr);
	for (i = 0; f->outcomes[i].word; i++)
		if (f->outcomes[i].failed && f->tally[i])
			status = WRONG_INPUT;
	return printed() ? WRONG_INPUT : status;
}
