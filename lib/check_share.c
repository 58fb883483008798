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
	uint64_t index;
	char at[CHECK_PATH];  /* devices/K/backing */
	struct buffer inodes; /* struct inode, in order */
	struct buffer mapped; /* the indices of those that slots map */
	struct buffer slots;  /* struct window */
	uint64_t window;      /* bytes that it has */
};

/* The path NAME in S's folder, in OUT. */
static const char *in(const struct share *s, char out[CHECK_PATH], const char *name)
{
	snprintf(out, CHECK_PATH, "%.*s/%s", CHECK_PATH - 100, s->at, name);
	return out;
}

static uint64_t number(const struct share *s, const char *name)
{
	char path[CHECK_PATH];

	return check_number(s->k, in(s, path, name));
}

static int compare_inodes(const void *a, const void *b)
{
	const struct inode *x = a, *y = b;

	if (x->nodeid != y->nodeid)
		return x->nodeid < y->nodeid ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* The number NAME of the record N: of many of these, without a walk to each from the top. */
static uint64_t member(const struct share *s, struct node n, const char *name)
{
	struct node leaf;
	struct value v;

	return container_lookup(s->k->c, n, name, &leaf) || container_value(s->k->c, leaf, &v)
		       ? 0
		       : text_number(container_row(s->k->c, leaf), &v);
}

/* Call FN for each element of the list NAME in S's folder. */
static void for_each(struct share *s, const char *name, container_child *fn)
{
	char path[CHECK_PATH];
	struct node list;

	if (!container_find(s->k->c, in(s, path, name), &list) &&
	    container_children(s->k->c, list, 0, fn, s) == -ENOMEM)
		s->k->err = -ENOMEM;
}

static bool add_inode(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct share *s = ctx;
	struct inode inode = { member(s, n, "nodeid"), index };

	(void)name;
	buffer_add(&s->inodes, &inode, sizeof(inode));
	return !s->inodes.failed;
}

static void find_inodes(struct share *s)
{
	for_each(s, "backend_state/inodes", add_inode);
	if (s->inodes.size)
		qsort(s->inodes.bytes, s->inodes.size / sizeof(struct inode), sizeof(struct inode), compare_inodes);
}

/* The index of the inode NODEID, the last of that number, in *OUT. */
static bool find_inode(const struct share *s, uint64_t nodeid, uint64_t *out)
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

	if (!check_value(s->k, in(s, path, "host_path"), &v))
		return false;
	if (!check_host_path(s->k, &v, real)) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "the path of a folder",
			     "no folder can have this path of %zu bytes", v.size);
		return false;
	}
	if (v.bytes[0] != '/')
		finding_tell(s->k->to, LEVEL_WARNING, path, "an absolute path",
			     "is relative: the monitor looks in its working directory");
	if (stat(real, &st) < 0 || !check_canonical(s->k, real, out)) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "a folder that is there", "%s: %s", real,
			     strerror(errno));
		return false;
	}
	if (!S_ISDIR(st.st_mode)) {
		finding_tell(s->k->to, LEVEL_ERROR, path, "a folder", "%s: %s", real, strerror(ENOTDIR));
		return false;
	}
	return true;
}

/* That the root's inode is FOLDER. */
static void check_root(const struct share *s, const char *folder)
{
	char path[CHECK_PATH], name[80];
	struct value v;
	uint64_t i;

	if (!find_inode(s, ROOT_NODE, &i)) {
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, "backend_state/inodes"), "the share's root",
			     "there is no inode 1");
		return;
	}
	snprintf(name, sizeof(name), "backend_state/inodes/%" PRIu64 "/path", i);
	if (check_value(s->k, in(s, path, name), &v) && folder &&
	    (v.size != strlen(folder) || memcmp(v.bytes, folder, v.size) != 0))
		finding_tell(s->k->to, LEVEL_ERROR, path, "write host_path, which takes the inodes along",
			     "the share's root was %.*s, and host_path is %s", (int)v.size,
			     (const char *)v.bytes, folder);
}

/* What the monitor maps is a file that it can open for reading and writing. */
static void check_mapped_file(const struct share *s, uint64_t inode)
{
	static const char right[] = "a regular file that is there, and can be written, as it is mapped";
	char path[CHECK_PATH], name[80], real[PATH_MAX];
	const char *why = NULL;
	struct value v;
	struct stat st;

	snprintf(name, sizeof(name), "backend_state/inodes/%" PRIu64 "/path", inode);
	if (!check_value(s->k, in(s, path, name), &v))
		return;
	if (!check_host_path(s->k, &v, real))
		why = "is no path of a file";
	else if (stat(real, &st) < 0 || (S_ISREG(st.st_mode) && access(real, R_OK | W_OK) < 0))
		why = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		why = "is no regular file";
	if (why)
		finding_tell(s->k->to, LEVEL_ERROR, path, right, "%.*s: %s", (int)v.size, (const char *)v.bytes, why);
}

/* What is mapped is whole pages. */
static void check_pages(const struct share *s, uint64_t i, const char *name, uint64_t n)
{
	char path[CHECK_PATH], inside[80];

	snprintf(inside, sizeof(inside), "dax_state/slots/%" PRIu64 "/%s", i, name);
	if (n % RAM_PAGE)
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, inside), "a multiple of 4096", "%" PRIu64 " is none", n);
}

/* A slot of no bytes is not mapped. */
static bool check_slot(void *ctx, const char *unnamed, uint64_t i, struct node n)
{
	struct share *s = ctx;
	struct window w = { member(s, n, "moffset"), member(s, n, "len"), i };
	uint64_t nodeid = member(s, n, "nodeid"), inode;
	char path[CHECK_PATH], name[80];

	(void)unnamed;
	snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/len", i);
	if (w.start > s->window || w.size > s->window - w.start)
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "bytes in the window",
			     "%" PRIu64 " bytes at %" PRIu64 " are not in a window of %" PRIu64, w.size, w.start,
			     s->window);
	if (!w.size)
		return true;
	check_pages(s, i, "moffset", w.start);
	check_pages(s, i, "len", w.size);
	check_pages(s, i, "foffset", member(s, n, "foffset"));
	snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/nodeid", i);
	if (find_inode(s, nodeid, &inode))
		buffer_add(&s->mapped, &inode, sizeof(inode));
	else
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "an inode of the share",
			     "there is no inode %" PRIu64, nodeid);
	buffer_add(&s->slots, &w, sizeof(w));
	return true;
}

static int compare_indices(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Each file once, however many slots map it. */
static void check_mapped_files(struct share *s)
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

static void check_slots(struct share *s)
{
	char path[CHECK_PATH], name[80];
	size_t at;

	s->window = number(s, "dax_window_len");
	for_each(s, "dax_state/slots", check_slot);
	check_mapped_files(s);
	if (!s->slots.failed && overlap(&s->slots, &at)) {
		const struct window *w = (const struct window *)s->slots.bytes;

		snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/moffset", w[at].index);
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "bytes of its own",
			     "overlaps with slot %" PRIu64, w[at - 1].index);
	}
}

static void check_dax(struct share *s)
{
	static const struct { const char *state, *field; } same[] = {
		{ "dax_state/base_gpa", "dax_gpa" }, { "dax_state/window_len", "dax_window_len" },
	};
	char path[CHECK_PATH];
	unsigned i;

	for (i = 0; i < 2; i++)
		if (number(s, same[i].state) != number(s, same[i].field))
			finding_tell(s->k->to, LEVEL_ERROR, in(s, path, same[i].state), same[i].field,
				     "0x%" PRIx64 ", and %s is 0x%" PRIx64, number(s, same[i].state),
				     same[i].field, number(s, same[i].field));
	check_slots(s);
}

/* A state that is there, and what shows that it is understood. */
static bool is_understood(const struct share *s, const char *raw, const char *shown)
{
	char path[CHECK_PATH], inside[CHECK_PATH];
	struct value v;

	if (!check_value(s->k, in(s, path, raw), &v) || !v.size)
		return false;
	if (check_has(s->k, in(s, inside, shown)))
		return true;
	finding_tell(s->k->to, LEVEL_ERROR, path, "a state to its last byte, or nothing",
		     "the %zu bytes are no such state", v.size);
	return false;
}

static void check_share(struct check *k, uint64_t index, struct buffer *windows)
{
	struct share s = { .k = k, .index = index };
	struct window w = { .index = index };
	char folder[PATH_MAX];
	bool there;

	check_path(s.at, "devices/%" PRIu64 "/backing", index);
	there = check_folder(&s, folder);
	if (is_understood(&s, "backend_state/raw", "backend_state/version")) {
		find_inodes(&s);
		check_root(&s, there ? folder : NULL);
	}
	if (is_understood(&s, "dax_state/raw", "dax_state/version"))
		check_dax(&s);
	w.start = number(&s, "dax_gpa");
	w.size = number(&s, "dax_window_len");
	if (w.size)
		buffer_add(windows, &w, sizeof(w));
	if (s.inodes.failed || s.mapped.failed || s.slots.failed)
		k->err = -ENOMEM;
	buffer_free(&s.inodes);
	buffer_free(&s.mapped);
	buffer_free(&s.slots);
}

void check_shares(struct check *k)
{
	uint64_t i, count = check_count(k, "devices"), gpa = check_number(k, "layout/ram_gpa");
	struct window ram = { gpa, check_number(k, "mem_size"), UINT64_MAX };
	struct buffer windows = { 0 };
	char path[CHECK_PATH];
	size_t at;

	buffer_add(&windows, &ram, sizeof(ram));
	for (i = 0; i < count; i++)
		if (check_is_device(k, i, "virtiofs", "virtiofs"))
			check_share(k, i, &windows);
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
