/* SPDX-License-Identifier: MIT */
/* Shares: the folder, its inodes, and the DAX window. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check_parts.h"
#include "text.h"

enum { ROOT_NODE = 1 };

struct window {
	uint64_t start, size, index; /* the last: of the device, or of the slot in its window */
};

/* Where inode NODEID stands. */
struct inode {
	uint64_t nodeid, index;
};

/* One share. */
struct share {
	struct check *k;
	char at[CHECK_PATH]; /* devices/K/backing */
};

/*
 * What a share had, or what its window maps: in the snapshot, where it has to be right for a restore, or in a
 * file beside it, without which the guest goes on and is surprised.
 */
struct state {
	struct check *k;      /* of the container that it is in */
	char at[CHECK_PATH];  /* its folder there */
	enum level level;     /* of what is wrong with it */
	struct buffer inodes; /* struct inode, in order */
	struct buffer mapped; /* the indices of those that slots map */
};

/* The path NAME in the folder AT, in OUT. */
static const char *in(const char *at, char out[CHECK_PATH], const char *name)
{
	snprintf(out, CHECK_PATH, "%.*s/%s", CHECK_PATH - 100, at, name);
	return out;
}

static uint64_t number(const struct share *s, const char *name)
{
	char path[CHECK_PATH];

	return check_number(s->k, in(s->at, path, name));
}

static uint64_t state_number(const struct state *s, const char *name)
{
	char path[CHECK_PATH];

	return check_number(s->k, in(s->at, path, name));
}

static int compare_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->nodeid != y->nodeid)
		return x->nodeid < y->nodeid ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* The number NAME of the record N: of many of these, without a walk to each from the top. */
static uint64_t member(const struct state *s, struct node n, const char *name)
{
	struct node leaf;
	struct value v;

	return container_lookup(s->k->c, n, name, &leaf) || container_value(s->k->c, leaf, &v)
		       ? 0
		       : text_number(container_row(s->k->c, leaf), &v);
}

/* Call FN with CTX for each element of the list NAME in S's folder. */
static void for_each(const struct state *s, const char *name, container_child *fn, void *ctx)
{
	char path[CHECK_PATH];
	struct node list;

	if (!container_find(s->k->c, in(s->at, path, name), &list) &&
	    container_children(s->k->c, list, 0, fn, ctx) == -ENOMEM)
		s->k->err = -ENOMEM;
}

static bool add_inode(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct state *s = ctx;
	struct inode inode = { member(s, n, "nodeid"), index };

	(void)name;
	buffer_add(&s->inodes, &inode, sizeof(inode));
	return !s->inodes.failed;
}

static void find_inodes(struct state *s)
{
	for_each(s, "inodes", add_inode, s);
	if (s->inodes.size)
		qsort(s->inodes.bytes, s->inodes.size / sizeof(struct inode), sizeof(struct inode), compare_inodes);
}

/* The index of the inode NODEID, the last of that number, in *OUT. */
static bool find_inode(const struct state *s, uint64_t nodeid, uint64_t *out)
{
	const struct inode *inodes = (const struct inode *)s->inodes.bytes;
	size_t low = 0, high = s->inodes.size / sizeof(*inodes);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (inodes[middle].nodeid <= nodeid)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || inodes[low - 1].nodeid != nodeid)
		return false;
	*out = inodes[low - 1].index;
	return true;
}

/* The canonical path of the share's folder, as its host knows it, in OUT. */
static bool check_folder(const struct share *s, char out[PATH_MAX])
{
	char path[CHECK_PATH], real[PATH_MAX];
	struct value v;
	struct stat st;
	int err;

	if (!check_value(s->k, in(s->at, path, "host_path"), &v))
		return false;
	err = check_host_path(s->k, &v, real);
	if (err == -EINVAL) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "the path of a folder",
			     "no folder can have this path of %zu bytes", v.size);
		return false;
	}
	if (v.bytes[0] != '/')
		finding_tell(s->k->to, LEVEL_WARNING, path, "an absolute path",
			     "is relative: the monitor looks in its working directory");
	if (err || stat(real, &st) < 0 || !check_canonical(s->k, real, out)) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "a folder that is there", "%s: %s", real,
			     strerror(err ? -err : errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "a folder", "%s: %s", real, strerror(ENOTDIR));
		return false;
	}
	return true;
}

/* That the root's inode is FOLDER, which may be null. */
static void check_root(const struct state *s, const char *folder)
{
	char path[CHECK_PATH], name[80];
	struct value v;
	uint64_t i;

	if (!find_inode(s, ROOT_NODE, &i)) {
		finding_tell(s->k->to, s->level, in(s->at, path, "inodes"), "the share's root",
			     "there is no inode 1");
		return;
	}
	snprintf(name, sizeof(name), "inodes/%" PRIu64 "/path", i);
	if (check_value(s->k, in(s->at, path, name), &v) && folder &&
	    (v.size != strlen(folder) || memcmp(v.bytes, folder, v.size) != 0))
		finding_tell(s->k->to, s->level, path, "write host_path, which takes the inodes along",
			     "the share's root was %.*s, and host_path is %s", (int)v.size,
			     (const char *)v.bytes, folder);
}

/* What the monitor maps is a file that it can open for reading and writing. */
static void check_mapped_file(const struct state *s, uint64_t inode)
{
	static const char right[] = "a regular file that is there, and can be written, as it is mapped";
	char path[CHECK_PATH], name[80], real[PATH_MAX];
	const char *why = NULL;
	struct value v;
	struct stat st;
	int err;

	snprintf(name, sizeof(name), "inodes/%" PRIu64 "/path", inode);
	if (!check_value(s->k, in(s->at, path, name), &v))
		return;
	err = check_host_path(s->k, &v, real);
	if (err)
		why = err == -EINVAL ? "is no path of a file" : strerror(-err);
	else if (stat(real, &st) < 0 || (S_ISREG(st.st_mode) && access(real, R_OK | W_OK) < 0))
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		why = "is no regular file";
	if (why)
		finding_tell(s->k->to, s->level, path, right, "%.*s: %s", (int)v.size, (const char *)v.bytes, why);
}

/* What is mapped is whole pages. */
static void check_pages(const struct state *s, uint64_t i, const char *name, uint64_t n)
{
	char path[CHECK_PATH], inside[80];

	snprintf(inside, sizeof(inside), "slots/%" PRIu64 "/%s", i, name);
	if (n % RAM_PAGE)
		finding_tell(s->k->to, s->level, in(s->at, path, inside), "a multiple of 4096", "%" PRIu64 " is none", n);
}

/* The slots of a window, which map inodes of S. */
struct slots {
	const struct state *dax;
	struct state *s;
	uint64_t size;      /* of the window */
	struct buffer list; /* struct window */
};

/* A slot of no bytes is not mapped. */
static bool check_slot(void *ctx, const char *unnamed, uint64_t i, struct node n)
{
	struct slots *slots = ctx;
	const struct state *dax = slots->dax;
	struct window w = { member(dax, n, "moffset"), member(dax, n, "len"), i };
	uint64_t nodeid = member(dax, n, "nodeid"), inode;
	char path[CHECK_PATH], name[80];

	(void)unnamed;
	snprintf(name, sizeof(name), "slots/%" PRIu64 "/len", i);
	if (w.start > slots->size || w.size > slots->size - w.start)
		finding_tell(dax->k->to, dax->level, in(dax->at, path, name), "bytes in the window",
			     "%" PRIu64 " bytes at %" PRIu64 " are not in a window of %" PRIu64, w.size, w.start,
			     slots->size);
	if (!w.size)
		return true;
	check_pages(dax, i, "moffset", w.start);
	check_pages(dax, i, "len", w.size);
	check_pages(dax, i, "foffset", member(dax, n, "foffset"));
	snprintf(name, sizeof(name), "slots/%" PRIu64 "/nodeid", i);
	if (find_inode(slots->s, nodeid, &inode))
		buffer_add(&slots->s->mapped, &inode, sizeof(inode));
	else
		finding_tell(dax->k->to, dax->level, in(dax->at, path, name), "an inode of the share",
			     "there is no inode %" PRIu64, nodeid);
	buffer_add(&slots->list, &w, sizeof(w));
	return true;
}

static int compare_indices(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Each file once, however many slots map it. */
static void check_mapped_files(const struct state *s)
{
	uint64_t *indices = (uint64_t *)s->mapped.bytes;
	size_t i, count = s->mapped.size / sizeof(*indices);

	if (count)
		qsort(indices, count, sizeof(*indices), compare_indices);
	for (i = 0; i < count; i++)
		if (i == 0 || indices[i] != indices[i - 1])
			check_mapped_file(s, indices[i]);
}

static int compare_windows(const void *a, const void *b)
{
	const struct window *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The first two of LIST that overlap, sorted: *AT is the second; false: none do. */
static bool overlap(struct buffer *list, size_t *at)
{
	struct window *w = (struct window *)list->bytes;
	size_t i, count = list->size / sizeof(*w);

	if (count)
		qsort(w, count, sizeof(*w), compare_windows);
	for (i = 1; i < count; i++)
		if (w[i].start - w[i - 1].start < w[i - 1].size) {
			*at = i;
			return true;
		}
	return false;
}

static void check_slots(const struct state *dax, uint64_t size, struct state *s)
{
	struct slots slots = { .dax = dax, .s = s, .size = size };
	char path[CHECK_PATH], name[80];
	size_t at;

	for_each(dax, "slots", check_slot, &slots);
	check_mapped_files(s);
	if (slots.list.failed) {
		dax->k->err = -ENOMEM;
	} else if (overlap(&slots.list, &at)) {
		const struct window *w = (const struct window *)slots.list.bytes;

		snprintf(name, sizeof(name), "slots/%" PRIu64 "/moffset", w[at].index);
		finding_tell(dax->k->to, dax->level, in(dax->at, path, name), "bytes of its own",
			     "overlaps with slot %" PRIu64, w[at - 1].index);
	}
	buffer_free(&slots.list);
}

/* The window DAX of SHARE, which maps inodes of S. */
static void check_dax(const struct share *share, const struct state *dax, struct state *s)
{
	static const struct { const char *state, *field; } same[] = {
		{ "base_gpa", "dax_gpa" }, { "window_len", "dax_window_len" },
	};
	char path[CHECK_PATH];
	unsigned i;

	for (i = 0; i < 2; i++)
		if (state_number(dax, same[i].state) != number(share, same[i].field))
			finding_tell(dax->k->to, dax->level, in(dax->at, path, same[i].state), same[i].field,
				     "0x%" PRIx64 ", and %s is 0x%" PRIx64, state_number(dax, same[i].state),
				     same[i].field, number(share, same[i].field));
	check_slots(dax, number(share, "dax_window_len"), s);
}

/* A state that is there, and understood. */
static bool is_understood(const struct state *s)
{
	char path[CHECK_PATH], inside[CHECK_PATH];
	struct value v;

	if (!check_value(s->k, in(s->at, path, "raw"), &v) || !v.size)
		return false;
	if (check_has(s->k, in(s->at, inside, "version")))
		return true;
	finding_tell(s->k->to, s->level, path, "a state to its last byte, or nothing",
		     "the %zu bytes are no such state", v.size);
	return false;
}

/* What SHARE had, S, and its window: FOLDER, or null, is where it is. */
static void check_states(const struct share *share, struct state *s, const struct state *dax,
			 const char *folder)
{
	if (is_understood(s)) {
		find_inodes(s);
		check_root(s, folder);
	}
	if (is_understood(dax))
		check_dax(share, dax, s);
	if (s->inodes.failed || s->mapped.failed)
		s->k->err = -ENOMEM;
	buffer_free(&s->inodes);
	buffer_free(&s->mapped);
}

/*
 * The files beside the snapshot.  A restore reads them by the number of the share; where one is
 * missing, or wrong, it goes on without.
 */

/* Findings of the container that is shown in a folder. */
static void tell_beside(void *ctx, const struct finding *f)
{
	const struct findings *to = ctx;
	char path[CHECK_PATH + sizeof(SIDECAR_FOLDER)];

	snprintf(path, sizeof(path), SIDECAR_FOLDER "/%s", f->path);
	finding_tell(to, f->level, path, f->right, "%s", f->wrong);
}

/* What is wrong with them before anything in them is asked for; SHARES are in the snapshot. */
static void check_files(struct check *k, const struct sidecars *all, uint64_t shares)
{
	static const char *const names[SIDECARS] = { "posixfs", "dax", "smpark" };
	char path[CHECK_PATH];
	const char *wrong;
	struct check of;
	uint64_t count;
	unsigned i;

	for (i = 0; i < SIDECARS; i++) {
		check_path(path, SIDECAR_FOLDER "/%s", names[i]);
		wrong = sidecar_wrong(all, i);
		if (wrong)
			finding_tell(k->to, LEVEL_WARNING, path, "a file that is understood, or none", "%s", wrong);
		if (!sidecar_container(all, i) || i == SIDECAR_SMPARK)
			continue;
		of = (struct check){ .c = sidecar_container(all, i) };
		count = check_count(&of, names[i]);
		k->err = of.err ? of.err : k->err;
		if (count != shares)
			finding_tell(k->to, LEVEL_WARNING, path, "one for each share",
				     "of the states there are %" PRIu64 ", and of shares %" PRIu64, count, shares);
	}
}

/* The states beside the snapshot of SHARE, which is number N of the shares. */
static void check_beside(const struct share *share, const struct sidecars *all, uint64_t n,
			 const char *folder)
{
	struct findings to = { tell_beside, (void *)share->k->to };
	struct check posixfs = *share->k, dax = *share->k;
	struct state s = { .k = &posixfs, .level = LEVEL_WARNING };
	struct state window = { .k = &dax, .level = LEVEL_WARNING };
	const struct container *none = share->k->c; /* nothing has these paths in it */

	posixfs.to = dax.to = &to;
	posixfs.c = sidecar_container(all, SIDECAR_POSIXFS);
	dax.c = sidecar_container(all, SIDECAR_DAX);
	posixfs.c = posixfs.c ? posixfs.c : none;
	dax.c = dax.c ? dax.c : none;
	check_path(s.at, "posixfs/%" PRIu64, n);
	check_path(window.at, "dax/%" PRIu64, n);
	check_states(share, &s, &window, folder);
	if (posixfs.err || dax.err)
		share->k->err = -ENOMEM;
}

/* The longest tag of a device, in bytes; its windows start and end with such pages. */
enum { TAG_MAX = 35, WINDOW_PAGE = 16384 };

/* What the monitor does not make a device of. */
static void check_device(const struct share *s)
{
	static const char *const names[] = { "dax_gpa", "dax_window_len" };
	char path[CHECK_PATH];
	struct value tag;
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (number(s, names[i]) % WINDOW_PAGE)
			finding_tell(s->k->to, LEVEL_ERROR, in(s->at, path, names[i]), "a multiple of 16384",
				     "0x%" PRIx64 " is none", number(s, names[i]));
	if (check_value(s->k, in(s->at, path, "tag"), &tag) && tag.size > TAG_MAX)
		finding_tell(s->k->to, LEVEL_ERROR, path, "at most 35 bytes", "has %zu bytes", tag.size);
}

/* The share of the device INDEX, which is number N of the shares; ALL may be null. */
static void check_share(struct check *k, uint64_t index, const struct sidecars *all, uint64_t n,
			struct buffer *windows)
{
	struct share share = { .k = k };
	struct state s = { .k = k, .level = LEVEL_ERROR }, dax = { .k = k, .level = LEVEL_ERROR };
	struct window w = { .index = index };
	char folder[PATH_MAX];
	bool there;

	check_path(share.at, "devices/%" PRIu64 "/backing", index);
	in(share.at, s.at, "backend_state");
	in(share.at, dax.at, "dax_state");
	check_device(&share);
	there = check_folder(&share, folder);
	check_states(&share, &s, &dax, there ? folder : NULL);
	if (all)
		check_beside(&share, all, n, there ? folder : NULL);
	w.start = number(&share, "dax_gpa");
	w.size = number(&share, "dax_window_len");
	if (w.size)
		buffer_add(windows, &w, sizeof(w));
}

void check_shares(struct check *k)
{
	uint64_t i, count = check_count(k, "devices"), gpa = check_number(k, "layout/ram_gpa");
	struct window ram = { gpa, check_number(k, "mem_size"), UINT64_MAX };
	struct sidecars *all = snapshot_sidecars(k->s);
	struct buffer windows = { 0 };
	struct error e = { 0 };
	char path[CHECK_PATH];
	uint64_t shares = 0, n;
	size_t at;

	if (all && sidecars_hold(all, &e)) {
		k->err = -e.code;
		return;
	}
	buffer_add(&windows, &ram, sizeof(ram));
	for (i = 0; i < count; i++) {
		n = shares;
		shares += check_is(k, check_path(path, "devices/%" PRIu64 "/backing/type", i), "virtiofs");
		if (check_is_device(k, i, "virtiofs", "virtiofs"))
			check_share(k, i, all, n, &windows);
	}
	if (all) {
		check_files(k, all, shares);
		sidecars_release(all);
	}
	if (windows.failed) {
		k->err = -ENOMEM;
	} else if (overlap(&windows, &at)) {
		const struct window *w = (const struct window *)windows.bytes + at - 1;
		unsigned window = w[1].index == UINT64_MAX ? 0 : 1;

		if (w[!window].index == UINT64_MAX)
			finding_tell(k->to, LEVEL_ERROR,
				     check_path(path, "devices/%" PRIu64 "/backing/dax_gpa", w[window].index),
				     "addresses of its own", "the window overlaps with RAM");
		else
			finding_tell(k->to, LEVEL_ERROR,
				     check_path(path, "devices/%" PRIu64 "/backing/dax_gpa", w[1].index),
				     "addresses of its own", "the window overlaps with that of devices/%" PRIu64,
				     w[0].index);
	}
	buffer_free(&windows);
}
