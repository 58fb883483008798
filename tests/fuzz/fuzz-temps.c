/* SPDX-License-Identifier: MIT */
/*
 * Temporary files, in any order of operations, against a list of them.  An input is a
 * byte that is 255 if one may be as large as can be, and then operations: a byte that
 * says which, and its operands.
 */
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "temps.h"

enum { OPERATIONS_MAX = 256, FILES_MAX = OPERATIONS_MAX };

struct model {
	uint64_t id; /* 0: it is no more */
	uint64_t folder;
	char name[300]; /* empty: unlinked */
	unsigned opens;
	struct buffer content;
};

struct world {
	struct temps temps;
	struct model files[FILES_MAX]; /* in the order they were made */
	size_t count;
	unsigned there;
	uint64_t last_id;
	bool large; /* one more may be */
};

static void drop_if_unused(struct world *w, struct model *m)
{
	if (m->opens || m->name[0])
		return;
	buffer_free(&m->content);
	m->id = 0;
	w->there--;
}

static struct model *find(struct world *w, uint64_t folder, const char *name)
{
	size_t i;

	for (i = 0; i < w->count; i++) {
		struct model *m = &w->files[i];

		if (m->id && m->folder == folder && strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

/* One that was made, perhaps gone since; null before the first. */
static struct model *choose(struct world *w, struct input *in)
{
	unsigned which = (unsigned)input_uint(in, 1);

	return w->count ? &w->files[which % w->count] : NULL;
}

/* Small, too great, or at the limit, but not often: that takes time. */
static uint64_t choose_offset(struct world *w, struct input *in)
{
	unsigned v = (unsigned)input_uint(in, 1);

	if (v == 255)
		return input_uint(in, 8) | TEMP_SIZE_MAX << 1;
	if (v == 254)
		return TEMP_SIZE_MAX + 1;
	if (v <= 250 || !w->large)
		return v;
	w->large = false;
	return TEMP_SIZE_MAX + v - 252;
}

static void check_stat(const struct model *m, int err, const struct temp_stat *st)
{
	demand(err == (m ? 0 : -ENOENT), "found, or not: %d", err);
	if (m)
		demand(st->id == m->id && st->size == m->content.size, "another one, or size");
}

static void make(struct world *w, uint64_t folder, const char *name)
{
	struct model *m = &w->files[w->count];
	struct temp_stat st = { 0 };
	int expected = 0, err;

	if (w->there >= TEMPS_MAX)
		expected = -ENOSPC;
	if (strlen(name) > 255 && !expected)
		expected = -ENAMETOOLONG;
	if (find(w, folder, name))
		expected = -EEXIST;
	err = temps_make(&w->temps, folder, name, &st);
	demand(err == expected, "make gave %d, not %d", err, expected);
	if (err)
		return;
	*m = (struct model){ .id = st.id, .folder = folder, .opens = 1 };
	strcpy(m->name, name);
	demand(st.size == 0 && (w->count == 0 || st.id > w->last_id), "a new one with bytes, or an old id");
	w->last_id = st.id;
	w->count++;
	w->there++;
}

static void unlink_one(struct world *w, uint64_t folder, const char *name)
{
	struct model *m = find(w, folder, name);
	int err = temps_unlink(&w->temps, folder, name);

	demand(err == (m ? 0 : -ENOENT), "unlink gave %d", err);
	if (m) {
		m->name[0] = 0;
		drop_if_unused(w, m);
	}
}

static void write_one(struct world *w, struct model *m, struct input *in)
{
	uint64_t offset = choose_offset(w, in), id = m->id;
	size_t n = (size_t)input_uint(in, 1) % 32;
	const void *data = input_bytes(in, n, &n);
	int expected = id ? 0 : -ENOENT, err;

	if (offset > TEMP_SIZE_MAX || n > TEMP_SIZE_MAX - offset)
		expected = -EFBIG;
	err = temps_write(&w->temps, id, data, n, offset);
	demand(err == expected, "write gave %d, not %d", err, expected);
	if (err)
		return;
	if (offset + n > m->content.size)
		buffer_add(&m->content, NULL, offset + n - m->content.size);
	if (n)
		memcpy(m->content.bytes + offset, data, n);
}

static void truncate_one(struct world *w, struct model *m, struct input *in)
{
	uint64_t size = choose_offset(w, in);
	int expected = !m->id ? -ENOENT : size > TEMP_SIZE_MAX ? -EFBIG : 0;
	int err = temps_truncate(&w->temps, m->id, size);

	demand(err == expected, "truncate gave %d, not %d", err, expected);
	if (err)
		return;
	if (size > m->content.size)
		buffer_add(&m->content, NULL, size - m->content.size);
	m->content.size = size;
}

static void read_one(struct world *w, const struct model *m)
{
	struct buffer got = { 0 };
	int err = temps_read(&w->temps, m->id, SIZE_MAX, 0, &got);

	demand(err == (m->id ? 0 : -ENOENT), "read gave %d", err);
	demand_bytes("read", &got, m->content.bytes, m->id ? m->content.size : 0);
	buffer_free(&got);
}

static void open_or_close(struct world *w, struct model *m, bool open)
{
	if (open) {
		int err = temps_open(&w->temps, m->id);

		demand(err == (m->id ? 0 : -ENOENT), "open gave %d", err);
		m->opens += m->id != 0;
	} else if (m->id && m->opens) {
		temps_close(&w->temps, m->id);
		m->opens--;
		drop_if_unused(w, m);
	}
}

/* All that have a name are listed, in the order that they were made. */
static void list(struct world *w, uint64_t folder)
{
	struct temp_stat st = { 0 };
	uint64_t id = 0;
	char name[256];
	size_t i;

	for (i = 0; i < w->count; i++) {
		const struct model *m = &w->files[i];

		if (!m->id || m->folder != folder || !m->name[0])
			continue;
		check_stat(m, temps_next(&w->temps, folder, id, name, &st), &st);
		demand(strcmp(name, m->name) == 0, "listed as %s, not %s", name, m->name);
		id = st.id + 1;
	}
	check_stat(NULL, temps_next(&w->temps, folder, id, name, &st), &st);
}

static void operate(struct world *w, struct input *in)
{
	unsigned operation = (unsigned)input_uint(in, 1) % 8;
	struct model *m = operation > 2 ? choose(w, in) : NULL;
	char name[300];
	uint64_t folder = 1;
	struct temp_stat st;

	if (operation <= 2) {
		folder = input_uint(in, 1);
		/* Its low bit is the folder; some names are longer than can be. */
		memset(name, 'a', sizeof(name));
		snprintf(name + (folder < 250 ? 0 : folder), 4, "%u", (unsigned)folder / 2 % 1000);
		folder &= 1;
	}
	if (operation == 0)
		make(w, folder, name);
	else if (operation == 1)
		unlink_one(w, folder, name);
	else if (operation == 2)
		check_stat(find(w, folder, name), temps_find(&w->temps, folder, name, &st), &st);
	else if (!m)
		return;
	else if (operation == 3)
		write_one(w, m, in);
	else if (operation == 4)
		truncate_one(w, m, in);
	else if (operation == 5)
		open_or_close(w, m, true);
	else if (operation == 6)
		open_or_close(w, m, false);
	else
		read_one(w, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	static struct world w;
	struct temp_stat st;
	size_t i;

	w.count = w.there = 0;
	w.large = input_uint(&in, 1) == 255;
	temps_init(&w.temps);
	for (i = 0; i < OPERATIONS_MAX && in.left > 0; i++)
		operate(&w, &in);
	list(&w, 0);
	list(&w, 1);
	for (i = 0; i < w.count; i++) {
		struct model *m = &w.files[i];

		read_one(&w, m);
		check_stat(m->id ? m : NULL, temps_stat(&w.temps, m->id, &st), &st);
		buffer_free(&m->content);
	}
	temps_destroy(&w.temps);
	return 0;
}
