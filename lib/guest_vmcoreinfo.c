/* SPDX-License-Identifier: MIT */
#include "guest_vmcoreinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

/* An ELF note: three numbers, the name filled up to 12 bytes, the text. */
enum { NOTE_HEAD = 24, NAME_SIZE = 11 };

static const char note_name[] = "VMCOREINFO", first_line[] = "OSRELEASE=";
enum { FIRST_LINE = sizeof(first_line) - 1 };

/* So much of a page is looked at, of so many pages at once. */
enum { HEAD = NOTE_HEAD + FIRST_LINE, PAGES = 512 };

/* Looked at, of each kind; the kernel's own is among the first. */
enum { CANDIDATES = 64 };

/* The greatest that is read of memory at once. */
enum { PIECE = 65536 };

void vmcoreinfo_free(struct vmcoreinfo *v)
{
	free(v->text);
	*v = (struct vmcoreinfo){ 0 };
}

/* The text of up to SIZE bytes at GPA in V: 0, -ENOENT if it is none, -ENOMEM, -EIO. */
static int read_text(const struct guest_memory *g, uint64_t gpa, uint64_t size,
		     struct vmcoreinfo *v)
{
	uint64_t left = g->base + guest_size(g) - gpa;
	char *text;
	int err;

	if (size > left)
		size = left;
	text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	err = guest_read(g, text, size, gpa);
	text[size] = 0;
	if (!err && strncmp(text, first_line, FIRST_LINE))
		err = -ENOENT;
	if (err) {
		free(text);
		return err;
	}
	v->text = text;
	v->size = strlen(text);
	return 0;
}

/* Whether the N bytes at HEAD begin a note, and the size of its text. */
static bool is_note(const uint8_t *head, size_t n, uint64_t *size)
{
	if (n < HEAD || le_get(head, 4) != NAME_SIZE ||
	    le_get(head + 8, 4) != 0 || memcmp(head + 12, note_name, NAME_SIZE) ||
	    memcmp(head + NOTE_HEAD, first_line, FIRST_LINE))
		return false;
	*size = le_get(head + 4, 4);
	return *size <= VMCOREINFO_MAX;
}

/* A search: for notes, or for the pages that they are made of. */
struct search {
	const struct guest_memory *memory;
	vmcoreinfo_found *fn;
	void *ctx;
	unsigned left; /* to be looked at */
	int err;       /* that ended it */
};

/* Hand over the text at GPA: false to end the search. */
static bool hand_over(struct search *s, uint64_t gpa, uint64_t size)
{
	struct vmcoreinfo v = { 0 };
	bool more;

	s->err = read_text(s->memory, gpa, size, &v);
	if (s->err == -ENOENT) {
		s->err = 0;
		return true;
	}
	if (s->err)
		return false;
	more = s->fn(s->ctx, &v);
	vmcoreinfo_free(&v);
	return more && --s->left > 0;
}

/* What may be at GPA, where the N bytes at P are: false to end the search. */
typedef bool look(struct search *s, const uint8_t *p, size_t n, uint64_t gpa);

static bool look_for_note(struct search *s, const uint8_t *p, size_t n, uint64_t gpa)
{
	uint64_t size;

	return !is_note(p, n, &size) || hand_over(s, gpa + NOTE_HEAD, size);
}

static bool look_for_page(struct search *s, const uint8_t *p, size_t n, uint64_t gpa)
{
	return n < FIRST_LINE || memcmp(p, first_line, FIRST_LINE) != 0 ||
	       hand_over(s, gpa, RAM_PAGE);
}

/* Look at the start of COUNT pages from GPA on: false if the search has ended. */
static bool look_at_heads(struct search *s, look *fn, uint64_t gpa, unsigned count)
{
	uint8_t heads[PAGES][HEAD];
	unsigned i;

	s->err = guest_read_heads(s->memory, heads, HEAD, gpa, count);
	for (i = 0; i < count && !s->err; i++)
		if (!fn(s, heads[i], HEAD, gpa + (uint64_t)i * RAM_PAGE))
			return false;
	return !s->err;
}

/* Look at the start of each stored page: false if the search has ended. */
static bool look_at_pages(struct search *s, look *fn)
{
	uint64_t end = s->memory->base + guest_size(s->memory);
	uint64_t at = 0, size, page, last, left;

	for (; guest_next_stored(s->memory, &at, &size); at += size) {
		/* Counted from the run's start: past the last address there is none. */
		page = (s->memory->base - at) & (RAM_PAGE - 1);
		/* Memory's last bytes may be too few. */
		last = end - at < HEAD ? 0 : end - at - HEAD + 1;
		if (last > size)
			last = size;
		for (; page < last; page += left * RAM_PAGE) {
			left = (last - page + RAM_PAGE - 1) / RAM_PAGE;
			if (left > PAGES)
				left = PAGES;
			if (!look_at_heads(s, fn, at + page, (unsigned)left))
				return false;
		}
	}
	return true;
}

/* Look for notes everywhere: kernels up to 4.12 have theirs among their variables. */
static bool look_everywhere(struct search *s)
{
	uint8_t *piece = malloc(PIECE);
	const uint8_t *p, *from;
	uint64_t at = 0, size, take;
	bool more = true;

	if (!piece) {
		s->err = -ENOMEM;
		return false;
	}
	for (; more && guest_next_stored(s->memory, &at, &size); at += take) {
		take = size < PIECE ? size : PIECE;
		s->err = guest_read(s->memory, piece, take, at);
		if (s->err)
			break;
		/* The name, after three numbers. */
		for (from = piece; more; from = p + 1) {
			p = memmem(from, (size_t)(piece + take - from), note_name, NAME_SIZE);
			if (!p)
				break;
			if (p - piece >= 12)
				more = look_for_note(s, p - 12, (size_t)(piece + take - p) + 12,
						     at + (uint64_t)(p - 12 - piece));
		}
		/* One may begin in this piece and go on in the next. */
		if (take == PIECE)
			take -= HEAD - 1;
	}
	free(piece);
	return more && !s->err;
}

int vmcoreinfo_find(const struct guest_memory *g, vmcoreinfo_found *fn, void *ctx)
{
	struct search s = { g, fn, ctx, CANDIDATES, 0 };

	if (!look_at_pages(&s, look_for_note) && (s.err || s.left > 0))
		return s.err;
	s.left = CANDIDATES;
	if (!look_at_pages(&s, look_for_page) && (s.err || s.left > 0))
		return s.err;
	s.left = CANDIDATES;
	look_everywhere(&s);
	return s.err;
}

const char *vmcoreinfo_line(const struct vmcoreinfo *v, const char *key, size_t *size)
{
	const char *at = v->text, *end = v->text + v->size, *eol;
	size_t n = strlen(key);

	for (; at < end; at = eol + 1) {
		eol = memchr(at, '\n', (size_t)(end - at));
		if (!eol)
			eol = end;
		if ((size_t)(eol - at) > n && memcmp(at, key, n) == 0 && at[n] == '=') {
			*size = (size_t)(eol - at) - n - 1;
			return at + n + 1;
		}
	}
	return NULL;
}

bool vmcoreinfo_number(const struct vmcoreinfo *v, const char *key, uint64_t *out)
{
	bool hex = strncmp(key, "SYMBOL(", 7) == 0 || strcmp(key, "KERNELOFFSET") == 0;
	char digits[32], *end;
	size_t size;
	const char *line = vmcoreinfo_line(v, key, &size);
	bool negative;

	if (!line || size == 0 || size >= sizeof(digits))
		return false;
	memcpy(digits, line, size);
	digits[size] = 0;
	negative = digits[0] == '-';
	if (negative ? !hex && digits[1] >= '0' && digits[1] <= '9' : strchr("+ \t", digits[0]) == NULL) {
		errno = 0;
		*out = strtoull(digits + negative, &end, hex || strncmp(digits, "0x", 2) == 0 ? 16 : 10);
		if (negative)
			*out = -*out;
		return *end == 0 && errno == 0;
	}
	return false;
}

const char *vmcoreinfo_numbers(const struct vmcoreinfo *v, const struct vmcoreinfo_want *want)
{
	for (; want->key; want++)
		if (!vmcoreinfo_number(v, want->key, want->out))
			return want->key;
	return NULL;
}
