/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <json-c/json_object.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "le.h"

void fuzz_fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

uint64_t input_uint(struct input *in, unsigned width)
{
	uint8_t bytes[8] = { 0 };
	size_t taken;
	const uint8_t *p = input_bytes(in, width, &taken);

	memcpy(bytes, p, taken);
	return le_get(bytes, 8);
}

const uint8_t *input_bytes(struct input *in, size_t n, size_t *taken)
{
	const uint8_t *p = in->at;

	*taken = n < in->left ? n : in->left;
	in->at += *taken;
	in->left -= *taken;
	return p;
}

void *fuzz_copy(const void *p, size_t n)
{
	void *copy = malloc(n);

	demand(copy || n == 0, "out of memory");
	if (n)
		memcpy(copy, p, n);
	return copy;
}

static char folder[4096];

static void remove_folder(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

const char *fuzz_folder(void)
{
	const char *top = getenv("TMPDIR");

	if (folder[0])
		return folder;
	if (!top)
		top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(folder, sizeof(folder), "%s/smfs-fuzz.XXXXXX", top);
	umask(077); /* whoever may write a journal's file may not be anybody */
	demand(mkdtemp(folder), "cannot make a folder in %s", top);
	atexit(remove_folder);
	return folder;
}

void fuzz_write_file(const char *name, const void *p, size_t n)
{
	char path[sizeof(folder) + 256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", fuzz_folder(), name);
	f = fopen(path, "we");
	demand(f && fwrite(p, 1, n, f) == n && fclose(f) == 0, "cannot write %s", path);
}

void fuzz_read_file(const char *path, struct buffer *out)
{
	FILE *f = fopen(path, "re");
	char part[4096];
	size_t n;

	demand(f, "cannot open %s", path);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		buffer_add(out, part, n);
	demand(!ferror(f) && !out->failed, "cannot read %s", path);
	fclose(f);
}

void fuzz_forget_pages(struct json_object *document)
{
	json_object *layout, *pages;

	if (json_object_object_get_ex(document, "layout", &layout) &&
	    json_object_object_get_ex(layout, "changed_pages", &pages)) {
		demand(json_object_is_type(pages, json_type_int), "the number of changed pages is none");
		json_object_object_add(layout, "changed_pages", json_object_new_int(0));
	}
}

void demand_told(int err, const struct error *e)
{
	const char *p;

	demand(err < 0 && err == -e->code, "%d was returned, the error has %d", err, e->code);
	demand(e->text[0], "an error without text");
	for (p = e->text; *p; p++)
		demand((unsigned char)*p >= ' ' && *p != 0x7f, "a control character in the error");
}

void demand_bytes(const char *what, const struct buffer *got, const void *p, size_t n)
{
	demand(!got->failed, "%s: out of memory", what);
	demand(got->size == n, "%s: %zu bytes, not %zu", what, got->size, n);
	demand(n == 0 || memcmp(got->bytes, p, n) == 0, "%s: other bytes", what);
}

int fuzz_decode(const struct field *root, const void *p, size_t n, uint64_t base,
		struct container **out, struct error *e)
{
	uint8_t *copy = fuzz_copy(p, n);
	int err;

	*e = (struct error){ 0 };
	err = container_decode(root, copy, n, base, out, e);
	if (err)
		free(copy);
	return err;
}

struct walk {
	const struct container *c;
	struct node dir;
	bool look_up;
	fuzz_leaf *fn;
	void *ctx;
};

static bool visit(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct walk *w = ctx;
	struct node found;
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)index);
	demand(!w->look_up ||
	       (!container_lookup(w->c, w->dir, name ? name : number, &found) &&
	       found.place == n.place && found.offset == n.offset),
	       "%s is listed and not found", name ? name : number);
	if (container_is_directory(w->c, n))
		fuzz_leaves(w->c, n, w->look_up, w->fn, w->ctx);
	else
		w->fn(w->ctx, w->c, n);
	return true;
}

void fuzz_leaves(const struct container *c, struct node dir, bool look_up, fuzz_leaf *fn, void *ctx)
{
	struct walk w = { c, dir, look_up, fn, ctx };

	container_children(c, dir, 0, visit, &w);
}

/* The number that the digit C is in BASE, or -1. */
static int model_digit(char c, unsigned base)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *found = c ? strchr(digits, c) : NULL;
	int v = found ? (int)((found - digits) % 16) : -1;

	return v < (int)base ? v : -1;
}

int model_number(const char *text, size_t n, unsigned width, bool sizes, uint64_t *out)
{
	static const char suffixes[] = "KMGT";
	const u128 limit = (u128)1 << (8 * width);
	const char *suffix;
	bool hex, too_large = false;
	u128 v = 0, unit = 1;
	size_t i;

	while (n > 0 && memchr(" \t\r\n", text[n - 1], 4))
		n--;
	for (; n > 0 && memchr(" \t\r\n", text[0], 4); n--)
		text++;
	hex = n > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	text += hex ? 2 : 0;
	n -= hex ? 2 : 0;
	if (sizes && n > 1) {
		suffix = memchr(suffixes, text[n - 1], 4);
		if (suffix) {
			unit <<= 10 * (suffix - suffixes + 1);
			n--;
		}
	}
	if (n == 0)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		int digit = model_digit(text[i], hex ? 16 : 10);

		if (digit < 0)
			return -EINVAL;
		v = v * (hex ? 16 : 10) + (unsigned)digit;
		too_large |= v * unit >= limit;
		if (too_large)
			v = 0;
	}
	*out = (uint64_t)(v * unit);
	return too_large ? -ERANGE : 0;
}

/* Whether the N bytes at TEXT are WORD, with blanks around it. */
static bool is_word(const char *text, size_t n, const char *word)
{
	while (n > 0 && memchr(" \t\r\n", text[n - 1], 4))
		n--;
	for (; n > 0 && memchr(" \t\r\n", text[0], 4); n--)
		text++;
	return n == strlen(word) && memcmp(text, word, n) == 0;
}

int model_text(const struct field *row, const char *text, size_t n, uint64_t *out)
{
	uint64_t v;
	int err;

	if (!row->words) {
		if (row->none && is_word(text, n, "none")) {
			*out = row->none;
			return 0;
		}
		err = model_number(text, n, row->shown ? row->shown : row->size, row->base == SIZE, out);
		if (!err && ((row->base == BOOL && *out > 1) || (row->only && *out != row->only)))
			return -ERANGE;
		return err;
	}
	while (n > 0 && strchr(" \t\r\n", text[n - 1]) && text[n - 1])
		n--;
	for (; n > 0 && strchr(" \t\r\n", text[0]) && text[0]; n--)
		text++;
	for (v = 0; row->words[v]; v++) {
		if (strlen(row->words[v]) == n && memcmp(row->words[v], text, n) == 0) {
			*out = v;
			return 0;
		}
	}
	return -EINVAL;
}

bool model_utf8(const uint8_t *p, size_t n)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	size_t i, more;
	uint32_t v;

	for (i = 0; i < n; i += more + 1) {
		more = p[i] < 0x80 ? 0 : p[i] < 0xe0 ? 1 : p[i] < 0xf0 ? 2 : 3;
		if ((p[i] >= 0x80 && p[i] < 0xc0) || p[i] >= 0xf8 || more >= n - i)
			return false;
		v = more ? p[i] & (0x3f >> more) : p[i];
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			v = v << 6 | (p[i + k] & 0x3f);
		}
		if (v < least[more] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
			return false;
	}
	return true;
}
