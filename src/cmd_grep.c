/* SPDX-License-Identifier: MIT */
/* smsnap grep: where bytes stand in guest memory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "command.h"
#include "guest.h"
#include "progress.h"
#include "ram_search.h"

/* Exit statuses, as of grep(1). */
enum { FOUND = 0, NOT_FOUND = 1, TROUBLE = 2 };

/*
 * Patterns
 */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* TEXT, pairs of hex digits with spaces between them, in B. */
static bool parse_hex(const char *text, struct buffer *b)
{
	int high, low;

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		high = hex_digit(text[0]);
		low = high < 0 ? -1 : hex_digit(text[1]);
		if (low < 0)
			return false;
		buffer_add_uint(b, 1, (uint64_t)(high << 4 | low));
		text += 2;
	}
	return true;
}

/* TEXT as little-endian UTF-16 in B; false if it is not UTF-8. */
static bool encode_utf16(const char *text, struct buffer *b)
{
	const uint8_t *u8 = (const uint8_t *)text;
	size_t i, n;
	uint16_t *u16;

	if (u8_check(u8, strlen(text)))
		return false;
	u16 = u8_to_u16(u8, strlen(text), NULL, &n);
	b->failed = !u16;
	for (i = 0; u16 && i < n; i++)
		buffer_add_uint(b, 2, u16[i]);
	free(u16);
	return true;
}

static bool is_zeros(const struct buffer *b)
{
	size_t i;

	for (i = 0; i < b->size && b->bytes[i] == 0; i++)
		;
	return i == b->size;
}

/* What is wrong with the pattern that A gives, or null: as it stands in PLAIN, and with -u in WIDE. */
static const char *make_patterns(const struct arguments *a, struct buffer *plain, struct buffer *wide)
{
	const char *text = a->operands[0];

	if (a->hex && a->utf16)
		return "-x and -u: UTF-16 is of texts";
	if (a->hex && !parse_hex(text, plain))
		return "no hex: pairs of digits, as 7f454c46";
	if (!a->hex)
		buffer_add(plain, text, strlen(text));
	if (a->utf16 && !encode_utf16(text, wide))
		return "no UTF-8, so it is not to be had as UTF-16";
	if (!plain->failed && plain->size == 0)
		return "empty: it would stand everywhere";
	if (!plain->failed && is_zeros(plain))
		return "zeros alone: they stand in every hole; smsnap map shows where";
	return plain->failed || wide->failed ? strerror(ENOMEM) : NULL;
}

/*
 * Places
 */

struct symbol {
	uint64_t at;
	const char *name;
	size_t order; /* in the kernel's table */
};

/* The kernel, looked for when the first place is found. */
struct known {
	const struct guest_memory *memory;
	bool looked;
	struct guest_kernel kernel;
	struct buffer text;     /* of the symbols */
	struct symbol *symbols; /* owned; by address */
	size_t count;
};

static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* The symbols of K's text, whose lines are "ADDRESS TYPE NAME". */
static void read_symbols(struct known *k)
{
	char *line, *end, *rest = NULL;
	size_t lines = 0, i;

	for (i = 0; i < k->text.size; i++)
		lines += k->text.bytes[i] == '\n';
	k->symbols = calloc(lines + 1, sizeof(*k->symbols));
	if (!k->symbols)
		return;
	buffer_add_uint(&k->text, 1, 0);
	if (k->text.failed)
		return;
	for (line = strtok_r((char *)k->text.bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		k->symbols[k->count] = (struct symbol){ strtoull(line, &end, 16), NULL, k->count };
		if (strlen(end) > 3)
			k->symbols[k->count++].name = end + 3;
	}
	qsort(k->symbols, k->count, sizeof(*k->symbols), by_address);
}

static void look(struct known *k)
{
	struct error ignored = { 0 };

	/* Where there is no kernel, or no table of symbols that is found, nothing is known. */
	k->looked = true;
	if (!guest_kernel_find(&k->kernel, k->memory, &ignored) &&
	    !guest_kallsyms(&k->kernel, &k->text, &ignored))
		read_symbols(k);
}

/* The last symbol at or before VA; of several the table's first.  Null if there is none. */
static const struct symbol *symbol_at(const struct known *k, uint64_t va)
{
	size_t low = 0, high = k->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->symbols[middle].at <= va)
			low = middle + 1;
		else
			high = middle;
	}
	while (low > 1 && k->symbols[low - 2].at == k->symbols[low - 1].at)
		low--;
	return low ? &k->symbols[low - 1] : NULL;
}

static void print_known(struct known *k, uint64_t gpa)
{
	const struct guest_kernel *kernel = &k->kernel;
	const struct symbol *symbol;
	uint64_t va;

	if (!k->looked)
		look(k);
	if (!k->count || gpa < kernel->image_pa || gpa - kernel->image_pa >= kernel->image_size)
		return;
	va = kernel->image + (gpa - kernel->image_pa);
	symbol = symbol_at(k, va);
	if (symbol)
		printf(" %s+0x%" PRIx64, symbol->name, va - symbol->at);
}

static void free_known(struct known *k)
{
	free(k->symbols);
	buffer_free(&k->text);
	guest_kernel_free(&k->kernel);
}

struct report {
	struct known known;
	bool any;
};

static int found(void *ctx, uint64_t gpa)
{
	struct report *r = ctx;

	r->any = true;
	printf("0x%" PRIx64, gpa);
	print_known(&r->known, gpa);
	putchar('\n');
	/* Nobody reads it any more, or there is no room: printed() says so. */
	return ferror(stdout) ? 1 : 0;
}

static int search(struct snapshot *s, const char *path, const struct ram_pattern *patterns, size_t count)
{
	struct guest_memory memory = guest_memory_of(snapshot_container(s), snapshot_ram(s));
	struct report r = { .known.memory = &memory };
	struct progress progress;
	struct error e = { 0 };
	int err;

	if (guest_size(&memory) == 0)
		return complain(TROUBLE, "%s: has no RAM", path);
	progress_start(&progress, path);
	err = ram_search(&memory, patterns, count, found, &r, progress_tell, &progress, &e);
	progress_end(&progress);
	free_known(&r.known);
	if (printed() || err > 0)
		return TROUBLE;
	if (err)
		return complain(TROUBLE, "%s: %s", path, e.text);
	return r.any ? FOUND : NOT_FOUND;
}

static int grep(const struct arguments *a)
{
	struct buffer plain = { 0 }, wide = { 0 };
	const char *wrong = make_patterns(a, &plain, &wide);
	const struct ram_pattern patterns[] = { { plain.bytes, plain.size }, { wide.bytes, wide.size } };
	struct snapshot *s;
	int status = TROUBLE;

	if (wrong) {
		complain(TROUBLE, "grep: the pattern is %s", wrong);
	} else if (!command_open(a->operands[1], a, SNAPSHOT_LOOK, &s)) {
		status = search(s, a->operands[1], patterns, a->utf16 ? 2 : 1);
		snapshot_close(s);
	}
	buffer_free(&plain);
	buffer_free(&wide);
	return status;
}

static const struct option_row options[] = {
	{ "hex", 'x', NULL, offsetof(struct arguments, hex), "PATTERN is hex digits, two a byte" },
	{ "utf-16", 'u', NULL, offsetof(struct arguments, utf16), "find PATTERN also as little-endian UTF-16" },
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_grep = {
	.name = "grep",
	.operands = "PATTERN SNAPSHOT",
	.least = 2,
	.most = 2,
	.summary = "print where bytes stand in guest memory",
	.help = "Prints the guest-physical address of each place, 0xADDRESS, and the symbol where\n"
		"it is in the kernel's image.  PATTERN is a text, and no expression.\n"
		"Exit status: 0 it was found, 1 it was not, 2 trouble.\n",
	.options = options,
	.base_use = BASE_NEEDED,
	.run = grep,
};
