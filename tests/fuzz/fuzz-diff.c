/* SPDX-License-Identifier: MIT */
/*
 * RAM of a differential snapshot, whose page list and whose base are made up, against a model.
 *
 * An input is a byte of flags, what kind of base there is, the page list, and what is done to
 * RAM then.  Of RAM's pages the base has every other one as a hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "guard.h"
#include "le.h"
#include "ram.h"
#include "relist.h"

enum { ANY_COUNT = 1, CUT = 2, ODD_SIZE = 4, NOBODYS = 8 };
enum { PAGES = 8, PAGE = LISTED_PAGE, RAM_SIZE = PAGES * PAGE, ODD = 100, ENTRIES_MAX = 6 };
enum { BASE_HEAD = 80, BASE_RAM = 4096 };

static struct {
	char diff_path[4300];
	int diff;
	int made; /* a file for lists that are made */
	uint8_t heads[2][BASE_HEAD]; /* of the bases of even and odd size */
	uint8_t base[RAM_SIZE];          /* their RAM */
	uint8_t other[RAM_SIZE];         /* another base's */
} world;

/* What is to be. */
struct model {
	uint64_t size;
	uint8_t ram[RAM_SIZE];
	bool listed[PAGES], written[PAGES];
	uint64_t entry[PAGES]; /* where in the diff a listed page's bytes are */
	uint64_t cut;          /* the diff has no bytes from here on */
	bool has_base, base_changed;
	int base_fd;
};


/*
 * Files
 */

static const char *path_of(const char *name)
{
	static char path[4300];

	snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
	return path;
}

/* A kvm snapshot's head, with the least that a container can have. */
static void make_head(uint8_t *head, uint64_t mem_size)
{
	memset(head, 0, BASE_HEAD);
	memcpy(head, "SMSNAP07", 8);
	le_put(head + 8, 8, BASE_RAM);
	le_put(head + 17, 8, mem_size);
}

/* With holes where a page's bytes are zeros. */
static void write_base(const char *name, const uint8_t *head, const uint8_t *ram, uint64_t file_size)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unsigned i;

	demand(fd >= 0 && pwrite(fd, head, BASE_HEAD, 0) == BASE_HEAD, "cannot write %s", name);
	for (i = 0; i < PAGES; i++)
		demand(!ram[i * PAGE] || pwrite(fd, ram + i * PAGE, PAGE, BASE_RAM + i * PAGE) == PAGE,
		       "cannot write %s", name);
	demand(!ftruncate(fd, (off_t)file_size) && !close(fd), "cannot write %s", name);
}

static void set_up(void)
{
	unsigned i;

	guard_install();
	for (i = 0; i < PAGES; i++) {
		memset(world.base + i * PAGE, i % 2 ? 0 : 0xb0 + (int)i, PAGE);
		memset(world.other + i * PAGE, i % 3 ? 0 : 0xb0 + (int)i, PAGE);
	}
	for (i = 0; i < 2; i++)
		make_head(world.heads[i], RAM_SIZE - i * ODD);
	write_base("even", world.heads[0], world.base, BASE_RAM + RAM_SIZE);
	write_base("odd", world.heads[1], world.base, BASE_RAM + RAM_SIZE - ODD);
	write_base("other-even", world.heads[0], world.other, BASE_RAM + RAM_SIZE);
	write_base("other-odd", world.heads[1], world.other, BASE_RAM + RAM_SIZE - ODD);
	demand(!mkfifo(path_of("fifo"), 0600), "cannot make a FIFO");
	snprintf(world.diff_path, sizeof(world.diff_path), "%s", path_of("diff"));
	world.diff = open(world.diff_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	world.made = open(path_of("made"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	demand(world.diff >= 0 && world.made >= 0, "cannot make files");
}

/*
 * The base
 */

/* A base that lies, and whether it is one all the same. */
static bool write_lie(struct input *in, unsigned odd)
{
	uint64_t size = RAM_SIZE - odd * ODD, file_size = BASE_RAM + size, end, offset;
	uint8_t head[BASE_RAM] = { 0 };
	struct container *c = NULL;
	struct error e;
	unsigned i;
	bool good;

	memcpy(head, world.heads[odd], BASE_HEAD);
	for (i = (unsigned)input_uint(in, 1) % 5; i > 0; i--) {
		unsigned at = (unsigned)input_uint(in, 1) % BASE_HEAD;

		head[at] ^= (uint8_t)input_uint(in, 1);
	}
	if (input_uint(in, 1) % 4 == 0)
		file_size = input_uint(in, 2) % (file_size + 1);
	write_base("lie", head, world.base, file_size);
	if (file_size < BASE_HEAD || memcmp(head, "SMSNAP07", 8) != 0 ||
	    fuzz_decode(&format_kvm, head, file_size < BASE_RAM ? file_size : BASE_RAM, 0, &c, &e))
		return false;
	end = container_size(c);
	offset = le_get(head + 8, 8);
	good = container_mem_size(c) == size && offset >= end && offset <= file_size &&
	       size <= file_size - offset && offset % 4096 == 0;
	container_free(c);
	return good;
}

/* Open the base that the input says; it is null in *OUT if there is none. */
static void open_any_base(struct input *in, struct model *m, unsigned odd, struct diff_base *out)
{
	static const char *const names[] = { "even", "even", "lie", "lie", "none", "fifo", ".", "diff" };
	unsigned kind = (unsigned)input_uint(in, 1) % 8;
	const char *name = kind < 2 && odd ? "odd" : names[kind];
	bool good = kind < 2 || (kind < 4 && write_lie(in, odd));
	char path[4300];
	struct error e = { 0 };
	size_t length;
	int err;

	/* Beside the diff, or as it stands. */
	snprintf(path, sizeof(path), "%s", input_uint(in, 1) % 2 ? name : path_of(name));
	length = strlen(path);
	if (input_uint(in, 1) == 1) {
		length++; /* a zero byte is in it */
		good = false;
	}
	*out = (struct diff_base){ .fd = -1 };
	err = base_open(path, length, world.diff, world.diff_path, m->size, out, &e);
	if (good) {
		demand(!err, "a good base is refused: %s", e.text);
		demand(out->fd >= 0 && out->ram_offset == BASE_RAM, "another base");
	} else {
		demand_told(err, &e);
		demand(out->fd < 0 && !out->path, "refused, and open");
	}
	m->has_base = good;
	m->base_fd = good ? open(path_of(name), O_RDONLY | O_CLOEXEC) : -1;
}

/*
 * The list
 */

struct list_input {
	uint64_t offset, count, present, file_len;
	uint32_t pages[ENTRIES_MAX];
	uint8_t fills[ENTRIES_MAX];
};

static void take_list(struct input *in, unsigned flags, struct list_input *l)
{
	unsigned i;

	l->offset = input_uint(in, 1);
	l->present = input_uint(in, 1) % (ENTRIES_MAX + 1);
	for (i = 0; i < l->present; i++) {
		unsigned code = (unsigned)input_uint(in, 1);

		l->pages[i] = code < 250 ? code % PAGES : (uint32_t)input_uint(in, 4);
		l->fills[i] = (uint8_t)input_uint(in, 1);
	}
	l->count = flags & ANY_COUNT ? input_uint(in, 4) : l->present;
	l->file_len = l->offset + l->present * LIST_ENTRY + (flags & NOBODYS ? 5000 : 0);
	if (flags & CUT)
		l->file_len = input_uint(in, 2) % (l->file_len + 1);
}

static void write_list(const struct list_input *l)
{
	uint8_t entry[LIST_ENTRY];
	unsigned i;

	demand(!ftruncate(world.diff, 0), "ftruncate");
	for (i = 0; i < l->present; i++) {
		le_put(entry, 4, l->pages[i]);
		memset(entry + 4, l->fills[i], PAGE);
		demand(pwrite(world.diff, entry, LIST_ENTRY, (off_t)(l->offset + i * LIST_ENTRY)) == LIST_ENTRY,
		       "cannot write the list");
	}
	demand(!ftruncate(world.diff, (off_t)l->file_len), "ftruncate");
}

/* What page_list_open is to answer. */
static int judge_list(const struct list_input *l, uint64_t size)
{
	uint64_t left = l->file_len > l->offset ? l->file_len - l->offset : 0, i;

	if (l->count * LIST_ENTRY > left)
		return -ERR_TRUNCATED;
	for (i = 0; i < l->count; i++) {
		/* What is nobody's are zeros, which are a good page's index. */
		uint64_t page = i < l->present ? l->pages[i] : 0;

		if ((page + 1) * PAGE > size)
			return -ERR_MALFORMED;
	}
	return 0;
}

static void model_list(struct model *m, const struct list_input *l)
{
	uint64_t i;

	for (i = 0; i < l->count; i++) {
		uint32_t page = i < l->present ? l->pages[i] : 0;

		memset(m->ram + page * PAGE, i < l->present ? l->fills[i] : 0, PAGE);
		m->listed[page] = true;
		m->entry[page] = l->offset + i * LIST_ENTRY + 4;
	}
	m->cut = l->file_len;
}

static struct page_list *open_list(struct input *in, struct model *m, unsigned flags)
{
	struct page_list *list = NULL;
	struct list_input l;
	struct error e = { 0 };
	unsigned i;
	int err;

	take_list(in, flags, &l);
	write_list(&l);
	err = page_list_open(world.diff, l.offset, l.count, l.file_len, m->size, &list, &e);
	demand(err == judge_list(&l, m->size), "%d, not %d: %s", err, judge_list(&l, m->size), e.text);
	if (err) {
		demand_told(err, &e);
		return NULL;
	}
	model_list(m, &l);
	for (i = 0; i < PAGES; i++)
		demand((page_list_page(list, page_list_find(list, i)) == i) == m->listed[i], "page %u is%s listed",
		       i, m->listed[i] ? " not" : "");
	return list;
}

/*
 * RAM
 */

static uint64_t page_end(const struct model *m, unsigned page)
{
	return (page + 1) * PAGE < m->size ? (page + 1) * PAGE : m->size;
}

/* Whether the bytes can be had. */
static bool is_there(const struct model *m, uint64_t from, uint64_t end)
{
	bool there = true, uses_base = false;
	unsigned page;

	for (page = (unsigned)(from / PAGE); page * PAGE < end; page++) {
		uint64_t last = (end < page_end(m, page) ? end : page_end(m, page)) - page * PAGE;

		if (m->written[page])
			continue;
		if (m->listed[page])
			there = there && m->entry[page] + last <= m->cut;
		else
			uses_base = true;
	}
	return there && (!uses_base || (m->has_base && !m->base_changed));
}

static void take_range(struct input *in, const struct model *m, uint64_t *offset, size_t *n)
{
	*offset = input_uint(in, 2) % m->size;
	*n = (size_t)input_uint(in, 2) % (m->size - *offset) + 1;
}

static void try_read(struct input *in, const struct model *m, struct ram *ram)
{
	static uint8_t got[RAM_SIZE];
	uint64_t offset;
	size_t n;
	bool there;
	int err;

	take_range(in, m, &offset, &n);
	there = is_there(m, offset, offset + n);
	err = ram_read(ram, got, n, offset);
	demand(err == (there ? 0 : -EIO), "read %zu at %llu: %d", n, (unsigned long long)offset, err);
	demand(err || memcmp(got, m->ram + offset, n) == 0, "read %zu at %llu: other bytes", n,
	       (unsigned long long)offset);
}

static void try_write(struct input *in, struct model *m, struct ram *ram)
{
	static uint8_t data[RAM_SIZE];
	uint64_t offset, end;
	bool there = true;
	size_t n, take;
	int err;

	take_range(in, m, &offset, &n);
	memset(data, (int)input_uint(in, 1), n);
	err = ram_write(ram, data, n, offset);
	/* Page by page, up to one of which the rest is not to be had. */
	for (end = offset + n; there && offset < end; offset += take) {
		unsigned page = (unsigned)(offset / PAGE);

		take = (end < page_end(m, page) ? end : page_end(m, page)) - offset;
		there = m->written[page] || take == page_end(m, page) - page * PAGE ||
			is_there(m, page * PAGE, page_end(m, page));
		if (!there)
			break;
		memset(m->ram + offset, data[0], take);
		m->written[page] = true;
	}
	demand(err == (there ? 0 : -EIO), "write %zu: %d", n, err);
}

/* Not every hole that was made still is: tmpfs fills those that are looked at in a mapping. */
static bool is_base_data(const struct model *m, unsigned page)
{
	off_t at = BASE_RAM + (off_t)page * PAGE;

	return lseek(m->base_fd, at, SEEK_DATA) == at;
}

/* LOST: it has been noticed that the base has changed, so that all of it is data that is not there. */
static bool is_data(const struct model *m, unsigned page, bool lost)
{
	return m->written[page] || m->listed[page] || !m->has_base || lost || is_base_data(m, page);
}

static void try_seek(struct input *in, const struct model *m, struct ram *ram)
{
	uint64_t offset = input_uint(in, 2) % (m->size + 2), want;
	bool data = input_uint(in, 1) % 2, lost = source_is_lost(ram_diff(ram));
	int64_t got = ram_seek(ram, offset, data ? SEEK_DATA : SEEK_HOLE);

	demand(!lost || m->base_changed, "a base that is as it was is taken for another");
	if (offset >= m->size) {
		demand(got == -ENXIO, "seek past the end");
		return;
	}
	for (want = offset; want < m->size && is_data(m, (unsigned)(want / PAGE), lost) != data;)
		want = page_end(m, (unsigned)(want / PAGE));
	demand(got == (want < m->size ? (int64_t)want : data ? -ENXIO : (int64_t)m->size),
	       "seek for %s from %llu: %lld", data ? "data" : "a hole", (unsigned long long)offset,
	       (long long)got);
}

static void try_changed(const struct model *m, struct ram *ram)
{
	bool seen[PAGES] = { false };
	uint64_t at = 0, size, end;
	unsigned i;

	for (end = 0; ram_next_changed(ram, &at, &size); at = end) {
		demand(size > 0 && at >= end && at + size <= m->size, "a run that can't be");
		for (end = at; end < at + size; end = page_end(m, (unsigned)(end / PAGE)))
			seen[end / PAGE] = true;
	}
	for (i = 0; i < PAGES; i++)
		demand(seen[i] == (m->listed[i] || m->written[i]), "page %u: changed or not", i);
}

/* What is listed anew against BASE, whose RAM is BASE_RAM, or against none. */
static void try_relist(const struct model *m, struct ram *ram, struct ram_source *base,
		       const uint8_t *base_ram, bool all)
{
	uint64_t count = 0, expected = 0;
	struct error e = { 0 };
	uint8_t entry[LIST_ENTRY];
	int want = 0, err;
	unsigned i;

	for (i = 0; !want && i < PAGES; i++) {
		uint64_t n = page_end(m, i) - i * PAGE;

		if (!all && !m->listed[i] && !m->written[i])
			continue;
		if ((base && !all && m->base_changed) || !is_there(m, i * PAGE, i * PAGE + n))
			want = -EIO;
	}
	for (i = 0; !want && i < PAGES; i++) {
		uint64_t n = page_end(m, i) - i * PAGE;

		if ((all || m->listed[i] || m->written[i]) &&
		    (!base || memcmp(m->ram + i * PAGE, base_ram + i * PAGE, n) != 0)) {
			want = n < PAGE ? -EINVAL : 0;
			expected++;
		}
	}
	err = relist(ram, base, world.made, 3, &count, NULL, NULL, &e);
	demand(err == want || (err == -EIO && want == -EINVAL), "relist: %d, not %d: %s", err, want, e.text);
	if (err) {
		demand_told(err, &e);
		return;
	}
	demand(count == expected, "%llu pages are listed, not %llu", (unsigned long long)count,
	       (unsigned long long)expected);
	for (i = 0, expected = 0; i < PAGES; i++) {
		if (!(all || m->listed[i] || m->written[i]) ||
		    (base && memcmp(m->ram + i * PAGE, base_ram + i * PAGE, page_end(m, i) - i * PAGE) == 0))
			continue;
		demand(pread(world.made, entry, LIST_ENTRY, (off_t)(3 + expected++ * LIST_ENTRY)) == LIST_ENTRY &&
		       le_get(entry, 4) == i && memcmp(entry + 4, m->ram + i * PAGE, PAGE) == 0,
		       "page %u is not as it is", i);
	}
}

static void relist_over_base(const struct model *m, struct ram *ram)
{
	struct ram_source *base = NULL;
	struct error e;

	demand(!source_open_base(ram_diff(ram), &base, &e), "%s", e.text);
	demand((base != NULL) == m->has_base, "a base or none");
	try_relist(m, ram, base, world.base, false);
	source_close(base);
}

static void relist_over_other(const struct model *m, struct ram *ram)
{
	struct diff_base base = { .fd = -1 };
	struct ram_source *other = NULL;
	struct error e = { 0 };
	const char *path = path_of(m->size == RAM_SIZE ? "other-even" : "other-odd");

	demand(!base_open(path, strlen(path), world.diff, world.diff_path, m->size, &base, &e) &&
	       !source_open_diff(&base, NULL, m->size, &other, &e), "%s", e.text);
	try_relist(m, ram, other, world.other, true);
	source_close(other);
}

static void change_base(struct model *m, const char *path)
{
	if (!path)
		return;
	/* Back and forth: any time is another than it was. */
	demand(!utimensat(AT_FDCWD, path, (const struct timespec[2]){ { 0, UTIME_OMIT }, { 1, 1 } }, 0) &&
	       !utimensat(AT_FDCWD, path, NULL, 0), "cannot touch the base");
	m->base_changed = true;
}

static void cut_diff(struct input *in, struct model *m)
{
	uint64_t size = input_uint(in, 2);

	if (size >= m->cut)
		return;
	demand(!ftruncate(world.diff, (off_t)size), "ftruncate");
	m->cut = size;
}

static void operate(struct input *in, struct model *m, struct ram *ram, const char *base)
{
	while (in->left > 0) {
		switch (input_uint(in, 1) % 10) {
		case 0: case 1: case 2: try_read(in, m, ram); break;
		case 3: case 4: try_write(in, m, ram); break;
		case 5: try_seek(in, m, ram); break;
		case 6: try_changed(m, ram); break;
		case 7: relist_over_base(m, ram); break;
		case 8: relist_over_other(m, ram); break;
		default:
			if (input_uint(in, 1) % 2)
				change_base(m, base);
			else
				cut_diff(in, m);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned flags = (unsigned)input_uint(&in, 1), odd = flags & ODD_SIZE ? 1 : 0;
	static struct model m;
	struct diff_base base = { .fd = -1 };
	struct ram_source *source = NULL;
	struct page_list *list;
	struct ram *ram = NULL;
	char *base_path = NULL;
	struct error e = { 0 };

	if (!world.diff)
		set_up();
	m = (struct model){ .size = RAM_SIZE - odd * ODD };
	memcpy(m.ram, world.base, RAM_SIZE);
	open_any_base(&in, &m, odd, &base);
	list = open_list(&in, &m, flags);
	if (list) {
		if (base.path)
			base_path = strdup(base.path);
		demand(!source_open_diff(&base, list, m.size, &source, &e) &&
		       !ram_open_over(source, m.size, &ram, &e), "%s", e.text);
		operate(&in, &m, ram, base_path);
		ram_close(ram);
		free(base_path);
	} else {
		base_close(&base);
	}
	if (m.base_fd >= 0)
		close(m.base_fd);
	return 0;
}
