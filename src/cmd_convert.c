/* SPDX-License-Identifier: MIT */
/* smsnap convert: a snapshot in another layout, or over another base. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "command.h"
#include "io.h"
#include "new_file.h"
#include "progress.h"

struct conversion {
	struct snapshot *in;
	struct build_parts out;
	struct container *container; /* of OUT */
	const char *base_path;       /* that OUT records, or null */
};

static struct ram_source *diff_of(const struct conversion *c)
{
	struct ram *ram = snapshot_ram(c->in);

	return ram ? ram_diff(ram) : NULL;
}

/* What the blob at PATH is understood as in C: a row, or null. */
static const struct field *state_at(const struct container *c, const char *path)
{
	struct node n;
	unsigned place;

	if (container_find(c, path, &n))
		return NULL;
	place = container_holds(c, n);
	return place && place != UINT_MAX ? container_row(c, (struct node){ place, 0 }) : NULL;
}

/* Whether the blob at PATH says that it is another machine's than OUT is for. */
static bool loses_state(const struct conversion *c, const char *path)
{
	const struct field *state = state_at(snapshot_container(c->in), path);

	return state && state_at(c->container, path) != state;
}

/* The machine is told by its states too, where the layout does not say which it is. */
static int check_states(const struct conversion *c, struct error *e)
{
	char path[64] = "intc/raw";
	struct node n;
	uint64_t i = 0;

	do {
		if (loses_state(c, path))
			return error_set(e, EINVAL, "%s: is of another kind of machine than layout %s is for",
					 path, c->out.layout->name);
		snprintf(path, sizeof(path), "vcpu/%llu/raw", (unsigned long long)i++);
	} while (!container_find(c->container, path, &n));
	return 0;
}

/* What IN has and OUT could not hold. */
static int check(const struct conversion *c, struct error *e)
{
	const struct layout *from = snapshot_layout(c->in), *to = c->out.layout;
	struct container *head = snapshot_container(c->in);
	uint64_t gpa = 0, mem_size = container_mem_size(head);
	struct node n;

	if (!(from->head->machines & to->head->machines))
		return error_set(e, EINVAL, "of layout %s cannot become one of layout %s: it is of another kind of machine",
				 from->name, to->name);
	if (check_states(c, e))
		return -e->code;
	if (container_number(head, LAYOUT_RAM_GPA, &gpa) && gpa != 0 &&
	    container_find(c->container, LAYOUT_RAM_GPA, &n))
		return error_set(e, EINVAL, "layout/ram_gpa is not 0, which layout %s cannot hold", to->name);
	if (mem_size > 0 && !snapshot_ram(c->in) && !to->offsets_given)
		return error_set(e, EINVAL, "has no RAM in it, which layout %s needs: give --ram FILE", to->name);
	if (to->is_diff && mem_size % LISTED_PAGE)
		return error_set(e, EINVAL, "mem_size: is no whole number of pages, which layout %s needs", to->name);
	return 0;
}

/* The base that OUT, a diff, is to have: the given one, or IN's. */
static int open_base(struct conversion *c, const struct arguments *a, struct error *e)
{
	struct diff_base base = { .fd = -1 };
	uint64_t mem_size = container_mem_size(snapshot_container(c->in));
	const char *path = a->base ? a->base : source_base_path(diff_of(c));
	int err = base_open(path, strlen(path), -1, "", mem_size, &base, e);

	if (!err && mem_size > 0)
		err = source_open_diff(&base, NULL, mem_size, &c->out.base, e);
	c->base_path = err ? NULL : strdup(c->out.base ? source_base_path(c->out.base) : base.path);
	base_close(&base);
	if (err)
		return error_prefix(e, -err, "base");
	return c->base_path ? 0 : error_set(e, ENOMEM, "out of memory");
}

static int record_base(struct conversion *c, struct error *e)
{
	struct value v = { (const uint8_t *)c->base_path, strlen(c->base_path) };
	struct edits edits = { 0 };
	struct node n;
	int err = container_find(c->container, LAYOUT_BASE, &n);

	if (!err && value_check(container_row(c->container, n), &v))
		return error_set(e, EILSEQ, "base %s: a path that is not UTF-8 cannot be recorded", c->base_path);
	if (!err)
		err = edits_add(&edits, c->container, n, &v, (struct timespec){ 0 });
	if (!err)
		err = container_reserve(c->container, edits.count);
	if (!err)
		container_apply(c->container, &edits);
	edits_free(&edits);
	return err ? error_set(e, -err, "out of memory") : 0;
}

static int make_head(struct conversion *c, struct error *e)
{
	struct buffer bytes = { 0 };
	int err = 0;

	/* The header of the same layout says more than one of another could. */
	if (c->out.layout == snapshot_layout(c->in))
		container_encode(snapshot_container(c->in), NULL, &bytes);
	else
		build_head(snapshot_container(c->in), c->out.layout, &bytes);
	if (bytes.failed)
		err = error_set(e, ENOMEM, "out of memory");
	else
		err = container_decode(c->out.layout->head, bytes.bytes, bytes.size, 0, &c->container, e);
	if (err)
		buffer_free(&bytes);
	c->out.container = c->container;
	return err;
}

/* Fill FD with what CTX, a descriptor, is of. */
static int copy_file(int fd, void *ctx)
{
	int from = *(int *)ctx;
	struct stat st;
	int err = fstat(from, &st) < 0 ? -errno : io_truncate(fd, (uint64_t)st.st_size);

	return err ? err : io_copy(from, 0, fd, 0, (uint64_t)st.st_size);
}

/* Have file I beside IN beside OUT as well, where both are of a layout that has such files. */
static int carry_sidecar(const struct conversion *c, const char *out, unsigned i, struct error *e)
{
	struct sidecars *in = snapshot_sidecars(c->in);
	int fd = in ? sidecar_open(in, i, e) : -ENOENT;
	char path[PATH_MAX];
	struct stat st;
	int err;

	if (snprintf(path, sizeof(path), "%s%s", out, sidecar_suffix(i)) >= PATH_MAX) {
		err = error_set(e, ENAMETOOLONG, "%s", strerror(ENAMETOOLONG));
	} else if (fd == -ENOENT) {
		/* It is somebody's, and whoever restores OUT would take it for OUT's. */
		if (c->out.layout->has_sidecars && lstat(path, &st) == 0)
			complain(0, "%s: is no file of what was converted; remove it before a restore", path);
		return 0;
	} else if (fd < 0) {
		return fd;
	} else if (c->out.layout->has_sidecars) {
		err = new_file(path, copy_file, &fd, e);
	} else {
		complain(0, "%s%s is left out: layout %s has no such file", snapshot_path(c->in), sidecar_suffix(i),
			 c->out.layout->name);
		err = 0;
	}
	if (fd >= 0)
		close(fd);
	return err ? error_prefix(e, -err, "%s", path) : 0;
}

static int convert_open(struct conversion *c, const struct arguments *a, struct error *e)
{
	struct progress progress;
	int err = make_head(c, e);
	unsigned i;

	if (!err)
		err = check(c, e);
	if (err)
		return error_prefix(e, -err, "%s", a->operands[0]);
	if (c->out.layout->is_diff) {
		err = open_base(c, a, e);
		if (!err)
			err = record_base(c, e);
		if (err)
			return err;
	}
	c->out.ram = snapshot_ram(c->in);
	c->out.has_ram = c->out.ram || !c->out.layout->offsets_given;
	container_number(c->container, LAYOUT_RAM_OFFSET, &c->out.ram_offset);
	if (snapshot_has_strays(c->in))
		complain(0, "%s: bytes that belong to nothing in it are left out", a->operands[0]);
	progress_start(&progress, a->output);
	c->out.progress = progress_tell;
	c->out.ctx = &progress;
	err = build_snapshot(a->output, &c->out, e);
	progress_end(&progress);
	if (err)
		return error_prefix(e, -err, "%s", a->output);
	for (i = 0; !err && i < SIDECARS; i++)
		err = carry_sidecar(c, a->output, i, e);
	return err ? error_prefix(e, -err, "%s is written, and not what is beside it", a->output) : 0;
}

/* Whether PATH and OTHER are one file. */
static bool is_one_file(const char *path, const char *other)
{
	struct stat here, there;

	return stat(path, &here) == 0 && stat(other, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

static int convert(const struct arguments *a)
{
	struct conversion c = { .in = NULL };
	struct error e = { 0 };
	int status, err;

	if (!a->output)
		return complain(WRONG_USAGE, "convert: needs -o OUT; see smsnap convert --help");
	if (a->layout && !layout_named(a->layout))
		return complain(WRONG_USAGE, "convert: no layout is called %s: kvm, kvm-diff, hvf or bare", a->layout);
	if (is_one_file(a->operands[0], a->output))
		return complain(WRONG_USAGE, "convert: %s is IN itself: write to another file", a->output);
	if (a->base && is_one_file(a->base, a->output))
		return complain(WRONG_USAGE, "convert: %s is the base: write to another file", a->output);
	status = command_open(a->operands[0], a, SNAPSHOT_READ, &c.in);
	if (status)
		return status;
	c.out.layout = a->layout ? layout_named(a->layout)
		       : a->base ? layout_named("kvm-diff")
				 : snapshot_layout(c.in);
	if (a->base && !c.out.layout->is_diff)
		status = complain(WRONG_USAGE, "convert: --base is for layout kvm-diff");
	else if (c.out.layout->is_diff && !a->base && !(diff_of(&c) && source_base_path(diff_of(&c))))
		status = complain(WRONG_USAGE, "convert: layout kvm-diff needs --base FILE");
	if (!status) {
		err = convert_open(&c, a, &e);
		status = err ? complain(WRONG_INPUT, "%s", e.text) : 0;
	}
	source_close(c.out.base);
	container_free(c.container);
	free((char *)c.base_path);
	snapshot_close(c.in);
	return status;
}

static const struct option_row options[] = {
	{ "output", 'o', "OUT", offsetof(struct arguments, output), "the file to write" },
	{ "layout", 0, "LAYOUT", offsetof(struct arguments, layout), "kvm, kvm-diff, hvf or bare; else IN's" },
	{ "base", 0, "FILE", offsetof(struct arguments, base), "make a kvm-diff that differs from FILE" },
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_convert = {
	.name = "convert",
	.operands = "IN -o OUT",
	.least = 1,
	.most = 1,
	.summary = "flatten a diff, rebase against a base, change the layout",
	.help = "A diff with --layout kvm becomes whole; with --base FILE a snapshot becomes a\n"
		"diff that lists the pages in which it differs from FILE.  Pages of zeros become\n"
		"holes.  What OUT could not hold is refused.  The files beside an hvf snapshot\n"
		"are copied beside OUT, if it is hvf too.\n",
	.options = options,
	.base_use = BASE_NEEDED,
	.run = convert,
};
