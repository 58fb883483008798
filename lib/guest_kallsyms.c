/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own table of symbols.  Names are strings of tokens, each an index into a table
 * of strings; the first character of a name is the symbol's type.
 */
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "le.h"

enum { TOKENS = 256, TOKEN_INDEX = 2 * TOKENS, TOKEN_TABLE_MAX = 65536 };

/* Symbols that are believed in, bytes that their names take, and those of one name. */
enum { SYMBOLS_MAX = 1 << 20, NAMES_MAX = 16 << 20, NAME_MAX_TOKENS = 0x3fff, NAME_SIZE = 512 };

/* A marker for each so many names is where they begin. */
enum { NAMES_A_MARKER = 256 };

struct kallsyms {
	uint64_t names, token_table, token_index, offsets; /* where they are */
	uint64_t relative_base;
	uint64_t count;

	/* What is there. */
	uint8_t *name_bytes; /* owned */
	size_t name_size;
	uint8_t *offset_bytes; /* owned; four a symbol */
	char *tokens;        /* owned; TOKEN_TABLE_MAX and a NUL */
	size_t token_size;
	uint16_t token[TOKENS];
};

static void free_tables(struct kallsyms *t)
{
	free(t->name_bytes);
	free(t->offset_bytes);
	free(t->tokens);
}

static int damaged(struct error *e, const char *why)
{
	return error_set(e, ERR_MALFORMED, "the kernel's table of symbols is damaged: %s", why);
}

/*
 * Read at most SIZE bytes at VA, to the image's end or where memory ends, in *OUT, the caller's, with
 * a NUL after them, and how many in *TAKEN.
 */
static int read_table(struct guest_kernel *k, uint64_t va, uint64_t size, uint8_t **out,
		      size_t *taken, struct error *e)
{
	uint64_t left = guest_run(&k->space, va, size);
	int err;

	if (size > left)
		size = left;
	if (size == 0)
		return damaged(e, "it is not in guest memory");
	*out = malloc(size + 1);
	if (!*out)
		return error_set(e, ENOMEM, "out of memory");
	*taken = size;
	(*out)[size] = 0;
	err = guest_read_virtual(&k->space, *out, size, va);
	return err ? guest_unreadable(err, "the kernel's table of symbols", e) : 0;
}

/* The tokens: strings, one after the other, and where each begins. */
static int read_tokens(struct guest_kernel *k, struct kallsyms *t, struct error *e)
{
	uint8_t index[TOKEN_INDEX], *table = NULL;
	unsigned i;
	int err = guest_read_virtual(&k->space, index, sizeof(index), t->token_index);

	if (err)
		return guest_unreadable(err, "the kernel's table of symbols", e);
	err = read_table(k, t->token_table, TOKEN_TABLE_MAX, &table, &t->token_size, e);
	t->tokens = (char *)table;
	if (err)
		return err;
	for (i = 0; i < TOKENS; i++) {
		t->token[i] = (uint16_t)le_get(index + 2 * i, 2);
		if (t->token[i] >= t->token_size)
			return damaged(e, "a token is outside of its table");
	}
	return 0;
}

/* The size of the name in the N bytes at P: its length's in *HEAD and its tokens' in *TOKENS. */
static bool name_size(const uint8_t *p, size_t n, size_t *head, size_t *tokens)
{
	if (n < 2 || p[0] == 0)
		return false;
	*head = 1;
	*tokens = p[0];
	/* Kernels up to 6.0 have no longer ones, nor names of 128 tokens. */
	if (p[0] & 0x80) {
		*head = 2;
		*tokens = (p[0] & 0x7f) | (size_t)p[1] << 7;
	}
	return *tokens > 0 && *tokens <= NAME_MAX_TOKENS && *tokens <= n - *head;
}

/* Write the name of TOKENS at P to NAME, cut to its size. */
static void expand(const struct kallsyms *t, const uint8_t *p, size_t tokens, char name[NAME_SIZE])
{
	size_t n = 0, i;
	const char *s;

	for (i = 0; i < tokens; i++)
		for (s = t->tokens + t->token[p[i]]; *s && n < NAME_SIZE - 1; s++)
			name[n++] = *s;
	name[n] = 0;
}

/*
 * Where the tables are, as VMCOREINFO says since Linux 6.0.
 */
static bool find_by_vmcoreinfo(struct guest_kernel *k, struct kallsyms *t)
{
	uint64_t count, base;
	const struct vmcoreinfo_want want[] = {
		{ "SYMBOL(kallsyms_names)", &t->names },
		{ "SYMBOL(kallsyms_num_syms)", &count },
		{ "SYMBOL(kallsyms_token_table)", &t->token_table },
		{ "SYMBOL(kallsyms_token_index)", &t->token_index },
		{ "SYMBOL(kallsyms_offsets)", &t->offsets },
		{ "SYMBOL(kallsyms_relative_base)", &base },
		{ 0 }
	};

	return !vmcoreinfo_numbers(&k->info, want) &&
	       !guest_read_number(&k->space, count, 4, &t->count) &&
	       !guest_read_number(&k->space, base, 8, &t->relative_base);
}

/*
 * And as they are found without it, in the order that they have up to 6.4: offsets, base, count, names,
 * markers, tokens and their index, each at a multiple of 8 bytes.  The tokens of digits are digits.
 */

/* Image bytes, all of them in memory of ours. */
struct image {
	const uint8_t *bytes;
	size_t size;
};

/* Whether the tokens at offset AT, the digits' from DIGITS on, have their index after them: its offset in *INDEX. */
static bool find_token_index(const struct image *m, size_t digits, size_t *table, size_t *index)
{
	size_t at = digits, end, i, start;
	size_t begins[TOKENS];

	/* The tokens before those of digits: back over 48 strings' ends and the byte before. */
	for (i = 0; i < '0'; i++) {
		if (at < 2)
			return false;
		for (at--; at > 0 && m->bytes[at - 1] != 0; at--)
			if (digits - at > TOKEN_TABLE_MAX)
				return false;
	}
	start = at;
	for (i = 0, end = start; i < TOKENS; i++) {
		begins[i] = end - start;
		while (end < m->size && m->bytes[end] != 0)
			if (++end - start > TOKEN_TABLE_MAX)
				return false;
		end++;
	}
	end = (end + 7) / 8 * 8;
	if (start % 8 || end > m->size || m->size - end < TOKEN_INDEX)
		return false;
	for (i = 0; i < TOKENS; i++)
		if (le_get(m->bytes + end + 2 * i, 2) != begins[i])
			return false;
	*table = start;
	*index = end;
	return true;
}

/*
 * The markers, numbers of WIDTH bytes, which end before END: where they begin in *START, and
 * how many there are.  They rise from 0, by more than a name's least and less than its most.
 */
static size_t find_markers(const struct image *m, size_t end, unsigned width, size_t *start)
{
	uint64_t above = UINT64_MAX, v;
	size_t at = end / width * width, count = 0;

	/* Zeros fill up what is between them and the tokens. */
	while (at >= width && end - at < 8 && le_get(m->bytes + at - width, width) == 0)
		at -= width;
	for (; at >= width; at -= width) {
		v = le_get(m->bytes + at - width, width);
		if (v >= above || (count && above - v < 2 * NAMES_A_MARKER) || v > NAMES_MAX)
			return 0;
		count++;
		above = v;
		if (v == 0) {
			*start = at - width;
			return *start % 8 == 0 ? count : 0;
		}
	}
	return 0;
}

/* Where the names that MARKERS markers at END point at begin: 0 if nowhere. */
static size_t find_names(const struct image *m, size_t end, size_t markers, unsigned width,
			 uint64_t *count)
{
	uint64_t last = le_get(m->bytes + end + (markers - 1) * width, width);
	uint64_t least = last + 2, first = markers > 1 ? le_get(m->bytes + end + width, width) : 0;
	size_t at, name, head, tokens, i;

	if (end < least)
		return 0;
	for (at = (end - least) / 8 * 8; at >= 8 && end - at < least + 256 * 130; at -= 8) {
		*count = le_get(m->bytes + at - 8, width);
		if (*count == 0 || (*count - 1) / NAMES_A_MARKER != markers - 1)
			continue;
		/* As many names as one marker has lead to the next. */
		name = at;
		for (i = 0; i < NAMES_A_MARKER && first; i++) {
			if (!name_size(m->bytes + name, end - name, &head, &tokens))
				break;
			name += head + tokens;
		}
		if (!first || (i == NAMES_A_MARKER && name - at == first))
			return at;
	}
	return 0;
}

static bool find_in(const struct guest_kernel *k, const struct image *m, struct kallsyms *t)
{
	static const char digits[] = "0\0" "1\0" "2\0" "3\0" "4\0" "5\0" "6\0" "7\0" "8\0" "9";
	const uint8_t *at = m->bytes, *end = m->bytes + m->size;
	size_t table, index, start = 0, markers = 0, names, before;
	unsigned width, tried;

	for (tried = 0; tried < 256; tried++, at++) {
		at = memmem(at, (size_t)(end - at), digits, sizeof(digits));
		if (!at)
			return false;
		if (!find_token_index(m, (size_t)(at - m->bytes), &table, &index))
			continue;
		/* Numbers have 4 bytes, up to 4.19 they had 8. */
		for (width = 4; width <= 8; width += 4) {
			markers = find_markers(m, table, width, &start);
			names = markers ? find_names(m, start, markers, width, &t->count) : 0;
			if (!names)
				continue;
			before = 16 + (size_t)(t->count * 4 + 7) / 8 * 8;
			if (before > names)
				continue;
			t->relative_base = le_get(m->bytes + names - 16, 8);
			t->names = k->image + names;
			t->offsets = k->image + names - before;
			t->token_table = k->image + table;
			t->token_index = k->image + index;
			return true;
		}
	}
	return false;
}

/* The most of an image that is searched. */
enum { IMAGE_MAX = 48 << 20 };

static int find_by_search(struct guest_kernel *k, struct kallsyms *t, struct error *e)
{
	uint8_t *bytes = NULL;
	size_t size;
	int err = read_table(k, k->image, k->image_size < IMAGE_MAX ? k->image_size : IMAGE_MAX,
			     &bytes, &size, e);
	struct image m = { bytes, size };

	if (!err && !find_in(k, &m, t))
		err = error_set(e, ENOENT, "the kernel has no table of symbols that is found");
	free(bytes);
	return err;
}

/* The address of symbol I.  ABSOLUTE: those of offsets that are not negative are the offsets. */
static uint64_t address(const struct kallsyms *t, uint64_t i, bool absolute)
{
	uint32_t offset = (uint32_t)le_get(t->offset_bytes + 4 * i, 4);

	if (!absolute)
		return t->relative_base + offset;
	return offset < UINT32_C(1) << 31 ? offset : t->relative_base - 1 - (uint64_t)(int64_t)(int32_t)offset;
}

/* Call FN for each symbol until it returns other than 0: that, or -ERR_MALFORMED, or 0. */
typedef int symbol_fn(void *ctx, uint64_t i, char name[NAME_SIZE]);

static int each_symbol(const struct kallsyms *t, symbol_fn *fn, void *ctx, struct error *e)
{
	size_t at = 0, head, tokens;
	char name[NAME_SIZE];
	uint64_t i;
	int err = 0;

	for (i = 0; i < t->count && !err; i++, at += head + tokens) {
		if (!name_size(t->name_bytes + at, t->name_size - at, &head, &tokens))
			return damaged(e, "a name is not whole");
		expand(t, t->name_bytes + at + head, tokens, name);
		if (name[0] == 0 || name[1] == 0)
			return damaged(e, "a symbol has no name");
		err = fn(ctx, i, name);
	}
	return err;
}

/* A search for _stext. */
struct stext {
	const struct kallsyms *tables;
	uint64_t i;
};

static int is_stext(void *ctx, uint64_t i, char name[NAME_SIZE])
{
	struct stext *s = ctx;

	s->i = i;
	return strcmp(name + 1, "_stext") == 0;
}

/* The way that addresses are written: that in which _stext is where VMCOREINFO has it. */
static int find_addressing(struct guest_kernel *k, const struct kallsyms *t, bool *absolute,
			   struct error *e)
{
	struct stext s = { t, 0 };
	uint64_t stext = 0;
	int err = each_symbol(t, is_stext, &s, e);

	if (err < 0)
		return err;
	vmcoreinfo_number(&k->info, "SYMBOL(_stext)", &stext);
	for (*absolute = false; err; *absolute = true) {
		if (address(t, s.i, *absolute) == stext)
			return 0;
		if (*absolute)
			break;
	}
	return damaged(e, "_stext is not in it, or elsewhere");
}

struct print {
	const struct kallsyms *tables;
	bool absolute;
	struct buffer *out;
	struct error *e;
};

/* A line as /proc/kallsyms has it. */
static int print_symbol(void *ctx, uint64_t i, char name[NAME_SIZE])
{
	struct print *p = ctx;
	char *c;

	/* What no kernel has shall at least not look like another line. */
	for (c = name; *c; c++)
		if ((uint8_t)*c <= ' ' || *c == 0x7f)
			*c = '?';
	return guest_print(p->out, p->e, "%016llx %c %s\n",
			   (unsigned long long)address(p->tables, i, p->absolute), name[0], name + 1);
}

int guest_kallsyms(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	struct kallsyms t = { 0 };
	struct print p = { &t, false, out, e };
	size_t taken = 0;
	int err = 0;

	if (!find_by_vmcoreinfo(k, &t))
		err = find_by_search(k, &t, e);
	if (!err && (t.count == 0 || t.count > SYMBOLS_MAX))
		err = damaged(e, "no kernel has so many symbols");
	if (!err)
		err = read_tokens(k, &t, e);
	if (!err)
		err = read_table(k, t.names, t.count * NAME_SIZE < NAMES_MAX ? t.count * NAME_SIZE : NAMES_MAX,
				 &t.name_bytes, &t.name_size, e);
	if (!err)
		err = read_table(k, t.offsets, t.count * 4, &t.offset_bytes, &taken, e);
	if (!err && taken < t.count * 4)
		err = damaged(e, "its addresses are not all in guest memory");
	if (!err)
		err = find_addressing(k, &t, &p.absolute, e);
	if (!err)
		err = each_symbol(&t, print_symbol, &p, e);
	free_tables(&t);
	return err;
}
