/* SPDX-License-Identifier: MIT */
/* Shares: the folder, its inodes, and the DAX window. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_parts.h"

enum { ROOT_NODE = 1 };

struct window {
	uint64_t start, size, index; /* the last: of the device */
};

/* One share. */
struct share {
	struct check *k;
	uint64_t index;
	char at[CHECK_PATH]; /* devices/K/backing */
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

/* The index of the inode NODEID, the last of that number, in *OUT. */
static bool find_inode(const struct share *s, uint64_t nodeid, uint64_t count, uint64_t *out)
{
	char name[80];
	bool found = false;
	uint64_t i;

	for (i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "backend_state/inodes/%" PRIu64 "/nodeid", i);
		if (number(s, name) == nodeid) {
			*out = i;
			found = true;
		}
	}
	return found;
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
static void check_root(const struct share *s, const char *folder, uint64_t inodes)
{
	char path[CHECK_PATH], name[80];
	struct value v;
	uint64_t i;

	if (!find_inode(s, ROOT_NODE, inodes, &i)) {
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

static void check_slot(const struct share *s, uint64_t i, uint64_t inodes)
{
	char path[CHECK_PATH], name[80], real[PATH_MAX];
	uint64_t window = number(s, "dax_window_len"), offset, length, inode;
	struct value v;
	struct stat st;

	snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/moffset", i);
	offset = number(s, name);
	snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/len", i);
	length = number(s, name);
	if (offset > window || length > window - offset)
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "bytes in the window",
			     "%" PRIu64 " bytes at %" PRIu64 " are not in a window of %" PRIu64, length, offset,
			     window);
	snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/nodeid", i);
	if (!find_inode(s, number(s, name), inodes, &inode)) {
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "an inode of the share",
			     "there is no inode %" PRIu64, number(s, name));
		return;
	}
	snprintf(name, sizeof(name), "backend_state/inodes/%" PRIu64 "/path", inode);
	if (check_value(s->k, in(s, path, name), &v) &&
	    (!check_host_path(s->k, &v, real) || stat(real, &st) < 0))
		finding_tell(s->k->to, LEVEL_ERROR, path, "a file that is there, as it is mapped",
			     "%.*s: %s", (int)v.size, (const char *)v.bytes, strerror(errno));
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

static void check_slots(const struct share *s, uint64_t inodes)
{
	char path[CHECK_PATH], name[80];
	uint64_t i, count = check_count(s->k, in(s, path, "dax_state/slots"));
	struct buffer list = { 0 };
	size_t at;

	for (i = 0; i < count; i++) {
		struct window w = { .index = i };

		check_slot(s, i, inodes);
		snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/moffset", i);
		w.start = number(s, name);
		snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/len", i);
		w.size = number(s, name);
		buffer_add(&list, &w, sizeof(w));
	}
	if (list.failed) {
		s->k->err = -ENOMEM;
	} else if (overlap(&list, &at)) {
		const struct window *w = (const struct window *)list.bytes;

		snprintf(name, sizeof(name), "dax_state/slots/%" PRIu64 "/moffset", w[at].index);
		finding_tell(s->k->to, LEVEL_ERROR, in(s, path, name), "bytes of its own",
			     "overlaps with slot %" PRIu64, w[at - 1].index);
	}
	buffer_free(&list);
}

static void check_dax(const struct share *s, uint64_t inodes)
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
	check_slots(s, inodes);
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
	char folder[PATH_MAX], path[CHECK_PATH];
	uint64_t inodes = 0;
	bool there;

	check_path(s.at, "devices/%" PRIu64 "/backing", index);
	there = check_folder(&s, folder);
	if (is_understood(&s, "backend_state/raw", "backend_state/version")) {
		inodes = check_count(k, in(&s, path, "backend_state/inodes"));
		check_root(&s, there ? folder : NULL, inodes);
	}
	if (is_understood(&s, "dax_state/raw", "dax_state/version"))
		check_dax(&s, inodes);
	w.start = number(&s, "dax_gpa");
	w.size = number(&s, "dax_window_len");
	if (w.size)
		buffer_add(windows, &w, sizeof(w));
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
		if (check_is(k, check_path(path, "devices/%" PRIu64 "/backing/type", i), "virtiofs"))
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
