/* SPDX-License-Identifier: MIT */
/* smsnap vmcore: the guest as an ELF core. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "io.h"
#include "new_file.h"
#include "progress.h"
#include "vmcore.h"

/* Copied at once; what of it is zeros becomes a hole, page by page. */
enum { PIECE = 1 << 20 };

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Write the N bytes at P, without pages of zeros, to FD at OFFSET. */
static int write_sparse(int fd, const uint8_t *p, size_t n, uint64_t offset)
{
	size_t from, to, end;
	int err = 0;

	for (from = 0; from < n && !err; from = to) {
		for (to = from; to < n; to = end) {
			end = n - to < RAM_PAGE ? n : to + RAM_PAGE;
			if (is_zero(p + to, end - to))
				break;
		}
		if (to > from)
			err = io_write(fd, p + from, to - from, offset + from);
		else
			to = n - to < RAM_PAGE ? n : to + RAM_PAGE;
	}
	return err;
}

struct job {
	struct vmcore core;
	struct progress progress;
	struct error error; /* where memory cannot be read: that it is not the file that is made */
};

static int write_ram(int fd, struct job *job, uint8_t *piece)
{
	const struct vmcore *v = &job->core;
	const struct guest_memory *g = &v->memory;
	uint64_t at = 0, size, take;
	int err = 0;

	for (; !err && guest_next_stored(g, &at, &size); at += take) {
		if (progress_tell(&job->progress, v->head_size + (at - g->base), v->size))
			return -EINTR;
		take = size < PIECE ? size : PIECE;
		err = guest_read(g, piece, take, at);
		if (err)
			error_set(&job->error, -err, "guest memory cannot be read at 0x%" PRIx64 ": %s",
				  at, strerror(-err));
		else
			err = write_sparse(fd, piece, take, v->head_size + (at - g->base));
	}
	return err;
}

static int fill(int fd, void *ctx)
{
	struct job *job = ctx;
	const struct vmcore *v = &job->core;
	uint8_t *piece = malloc(PIECE);
	int err = piece ? io_truncate(fd, v->size) : -ENOMEM;

	if (!err)
		err = write_sparse(fd, v->head, v->head_size, 0);
	if (!err)
		err = write_ram(fd, job, piece);
	free(piece);
	return err;
}

/* The core of S in V. */
static int make_core(struct snapshot *s, struct vmcore *v, struct error *e)
{
	const struct container *c = snapshot_container(s);
	struct guest_memory memory = guest_memory_of(c, snapshot_ram(s));
	struct guest_kernel k;
	int err = guest_kernel_find(&k, &memory, e);

	/* Without it there are the registers and memory as it is, what of it can be read. */
	if (err == -ENOMEM)
		return err;
	err = vmcore_make(v, c, &memory, err ? NULL : &k, e);
	guest_kernel_free(&k);
	return err;
}

static int write_core(const char *path, struct snapshot *s, const char *output)
{
	struct error e = { 0 };
	struct job job = { 0 };
	int err;

	if (!snapshot_ram(s))
		return complain(WRONG_INPUT, "%s: has no RAM, so there is no core", path);
	if (snapshot_is_file(s, output))
		return complain(WRONG_INPUT, "%s: is the snapshot itself, or its RAM", output);
	if (make_core(s, &job.core, &e))
		return complain(WRONG_INPUT, "%s: %s", path, e.text);
	progress_start(&job.progress, output);
	err = new_file(output, fill, &job, &e);
	progress_end(&job.progress);
	vmcore_free(&job.core);
	if (job.error.code)
		return complain(WRONG_INPUT, "%s: %s", path, job.error.text);
	return err ? complain(WRONG_INPUT, "%s: %s", output, e.text) : 0;
}

static int vmcore(const struct arguments *a)
{
	struct snapshot *s;
	int status;

	if (!a->output)
		return complain(WRONG_USAGE, "vmcore: needs -o FILE; see smsnap vmcore --help");
	status = command_open(a->operands[0], a, SNAPSHOT_LOOK, &s);
	if (status)
		return status;
	status = write_core(a->operands[0], s, a->output);
	snapshot_close(s);
	return status;
}

static const struct option_row options[] = {
	{ "output", 'o', "FILE", offsetof(struct arguments, output), "the file to write, mode 0600" },
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_vmcore = {
	.name = "vmcore",
	.operands = "SNAPSHOT -o FILE",
	.least = 1,
	.most = 1,
	.summary = "write the guest as an ELF core, for debuggers",
	.help = "The core is sparse.  It holds all of the guest's memory, and so its secrets.\n",
	.options = options,
	.base_use = BASE_WANTED,
	.run = vmcore,
};
