/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest_dmesg.h"
#include "le.h"

static int make_vmcoreinfo(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	buffer_add(out, k->info.text, k->info.size);
	return out->failed ? error_set(e, ENOMEM, "out of memory") : 0;
}

/*
 * The kernel's own name: struct new_utsname, six strings of so many bytes.
 */

enum { UTS_STRING = 65, UTS_RELEASE = 2, UTS_VERSION = 3 };

/* String I of it in TEXT. */
static int uts_string(struct guest_kernel *k, unsigned i, char text[UTS_STRING + 1],
		      struct error *e)
{
	uint64_t uts, name;
	const struct vmcoreinfo_want want[] = {
		{ "SYMBOL(init_uts_ns)", &uts }, { "OFFSET(uts_namespace.name)", &name }, { 0 }
	};
	const char *missing = vmcoreinfo_numbers(&k->info, want);
	int err;

	if (missing)
		return error_set(e, ENOENT, "VMCOREINFO lacks %s", missing);
	err = guest_read_virtual(&k->space, text, UTS_STRING, uts + name + (uint64_t)i * UTS_STRING);
	text[UTS_STRING] = 0;
	return err ? guest_unreadable(err, "the kernel's name", e) : 0;
}

static int make_release(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	char release[UTS_STRING + 1];
	int err = uts_string(k, UTS_RELEASE, release, e);

	return err ? err : guest_print(out, e, "%s\n", release);
}

/*
 * The banner, and the command line, which the kernel logs when it boots.
 */

/*
 * A search for the first record that begins with each of STARTS, of which there are COUNT; the rest of
 * each is in FOUND, once it IS_FOUND.
 */
enum { STARTS_MAX = 2 };
struct record_search {
	const char *const *starts;
	size_t count, left; /* LEFT: that are not found yet */
	bool is_found[STARTS_MAX];
	struct buffer found[STARTS_MAX];
};

/* Have the rest of R if it begins with the search's start I. */
static int match_start(struct record_search *s, size_t i, struct guest_log *l, const struct guest_record *r)
{
	size_t n = strlen(s->starts[i]);
	const uint8_t *text;
	int err;

	if (s->is_found[i] || r->size < n)
		return 0;
	err = guest_record_text(l, r, n, &text);
	if (err || memcmp(text, s->starts[i], n))
		return err;
	err = guest_record_text(l, r, r->size, &text);
	if (err)
		return err;
	buffer_add(&s->found[i], text + n, r->size - n);
	if (s->found[i].failed)
		return -ENOMEM;
	s->is_found[i] = true;
	s->left--;
	return 0;
}

static int match_record(void *ctx, struct guest_log *l, const struct guest_record *r)
{
	struct record_search *s = ctx;
	size_t i;
	int err = 0;

	for (i = 0; i < s->count && !err; i++)
		err = match_start(s, i, l, r);
	return err ? err : s->left == 0;
}

/*
 * Append the rest of the first record that begins with one of the COUNT STARTS, at most STARTS_MAX, to OUT,
 * where it has less than MOST bytes: of the first of the starts that has one.  1, 0 if there is none, or an
 * error.
 */
static int find_record(struct guest_kernel *k, const char *const *starts, size_t count, size_t most,
		       struct buffer *out, struct error *e)
{
	struct record_search s = { .starts = starts, .count = count, .left = count };
	int err = guest_records(k, match_record, &s, e);
	bool found = false;
	size_t i;

	/* What is found before the log is damaged is in it all the same. */
	for (i = 0; i < count; i++) {
		if (s.is_found[i] && !found && s.found[i].size < most) {
			buffer_add(out, s.found[i].bytes, s.found[i].size);
			found = true;
		}
		if (s.found[i].failed)
			error_set(e, ENOMEM, "out of memory");
		buffer_free(&s.found[i]);
	}
	return found ? 1 : err < 0 ? err : 0;
}

/* SECOND of a file that was looked for in the log first, with LOG: what can't be read is not absent. */
static int after_log(int log, const struct error *why, int second, struct error *e)
{
	if (second != -ENOENT || (log != -ENOMEM && log != -EIO))
		return second;
	*e = *why;
	return log;
}

static const char banner_start[] = "Linux version ";
static const char *const banner_starts[] = { banner_start };

/* A search of the image reads so much at a time; a banner has less than half of it. */
enum { PIECE = 65536, BANNER_MAX = 4096 };

/*
 * The banner in the SIZE bytes at P: the first line that begins with START, ends with VERSION
 * and is the last of its string.  Parts of it are there as well.
 */
static const uint8_t *find_banner(const uint8_t *p, size_t size, const char *start,
				  const char *version, size_t *banner_size)
{
	size_t n = strlen(start), v = strlen(version), line;
	const uint8_t *at = p, *end = p + size, *eol;

	for (; (at = memmem(at, (size_t)(end - at), start, n)); at++) {
		line = (size_t)(end - at) < BANNER_MAX ? (size_t)(end - at) : BANNER_MAX;
		eol = memchr(at, '\n', line);
		if (!eol || (size_t)(eol - at) < n + v || memchr(at, 0, (size_t)(eol - at)) ||
		    eol + 1 == end || eol[1] != 0 || memcmp(eol - v, version, v))
			continue;
		*banner_size = (size_t)(eol - at);
		return at;
	}
	return NULL;
}

/* The banner among the kernel's constants, for when its log has lost it. */
static int banner_in_image(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	char release[UTS_STRING + 1], version[UTS_STRING + 1], start[sizeof(banner_start) + UTS_STRING + 1];
	uint8_t *piece;
	const uint8_t *found = NULL;
	uint64_t at, take = 0;
	size_t size = 0;
	int err = uts_string(k, UTS_RELEASE, release, e);

	if (!err)
		err = uts_string(k, UTS_VERSION, version, e);
	if (err)
		return err;
	piece = malloc(PIECE);
	if (!piece)
		return error_set(e, ENOMEM, "out of memory");
	snprintf(start, sizeof(start), "%s%s ", banner_start, release);
	for (at = 0; at < k->image_size && !found && !err; at += take) {
		take = k->image_size - at < PIECE ? k->image_size - at : PIECE;
		err = guest_read(&k->memory, piece, take, k->image_pa + at);
		if (!err)
			found = find_banner(piece, take, start, version, &size);
		if (take == PIECE)
			take -= BANNER_MAX;
	}
	if (err)
		err = guest_unreadable(err, "the kernel's image", e);
	else if (found)
		err = guest_print(out, e, "%.*s\n", (int)size, (const char *)found);
	else /* What there is of it. */
		err = guest_print(out, e, "%s%s\n", start, version);
	free(piece);
	return err;
}

static int make_banner(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	size_t before = out->size;
	struct error why = { 0 };
	int found;

	guest_print(out, e, "%s", banner_start);
	found = find_record(k, banner_starts, 1, SIZE_MAX, out, &why);
	if (found == 1)
		return guest_print(out, e, "\n");
	out->size = before;
	return after_log(found, &why, banner_in_image(k, out, e), e);
}

/*
 * Where the monitor puts x86-64's boot parameters, with the header of Linux's boot protocol:
 * its magic, the command line's address and the most bytes of it.
 */
enum {
	BOOT_PARAMS = 0x10000, BOOT_HEADER = 0x202, BOOT_CMD_LINE = 0x228, BOOT_CMD_LINE_SIZE = 0x238,
	CMD_LINE_MAX = 65536,
};

static int boot_cmdline(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	uint8_t params[BOOT_CMD_LINE_SIZE + 4];
	uint64_t at, size, left;
	char *text;
	int err = guest_read(&k->memory, params, sizeof(params), BOOT_PARAMS);

	if (err == -EIO)
		return guest_unreadable(err, "the boot parameters", e);
	if (k->space.machine != GUEST_X86_64 || err || memcmp(params + BOOT_HEADER, "HdrS", 4))
		return error_set(e, ENOENT, "the kernel's log has its command line no more");
	at = le_get(params + BOOT_CMD_LINE, 4);
	size = le_get(params + BOOT_CMD_LINE_SIZE, 4) + 1;
	if (!guest_has(&k->memory, at, 1))
		return error_set(e, ENOENT, "the boot parameters' command line is not in guest memory");
	left = k->memory.base + guest_size(&k->memory) - at;
	if (size > CMD_LINE_MAX)
		size = CMD_LINE_MAX;
	if (size > left)
		size = left;
	text = calloc(1, size + 1);
	if (!text)
		return error_set(e, ENOMEM, "out of memory");
	err = guest_read(&k->memory, text, size, at);
	if (err)
		err = guest_unreadable(err, "the command line", e);
	else if (!*text)
		err = error_set(e, ENOENT, "the command line is gone from guest memory");
	else
		err = guest_print(out, e, "%s\n", text);
	free(text);
	return err;
}

/* A record of the log is cut at about so many bytes. */
enum { RECORD_WHOLE = 960 };

static int make_cmdline(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	/* What /proc/cmdline has, and what the boot loader gave. */
	static const char *const starts[STARTS_MAX] = { "Kernel command line: ", "Command line: " };
	struct error why = { 0 };
	int found = find_record(k, starts, STARTS_MAX, RECORD_WHOLE, out, &why);

	return found == 1 ? guest_print(out, e, "\n") : after_log(found, &why, boot_cmdline(k, out, e), e);
}

static int make_kaslr(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	/* What VMCOREINFO has of these. */
	static const struct {
		const char *key, *name;
	} facts[] = {
		{ "KERNELOFFSET", "slide" },
		{ "NUMBER(phys_base)", "phys_base" },
		{ "NUMBER(kimage_voffset)", "kimage_voffset" },
		{ "SYMBOL(_stext)", "_stext" },
	};
	uint64_t v, pa;
	size_t i;
	int err = 0;

	for (i = 0; i < sizeof(facts) / sizeof(facts[0]) && !err; i++)
		if (vmcoreinfo_number(&k->info, facts[i].key, &v))
			err = guest_print(out, e, "%s 0x%llx\n", facts[i].name, (unsigned long long)v);
	if (!err && !guest_translate(&k->space, v, &pa, NULL))
		err = guest_print(out, e, "_stext_physical 0x%llx\n", (unsigned long long)pa);
	if (!err && k->has_direct_map)
		err = guest_print(out, e, "direct_map 0x%llx\n",
				  (unsigned long long)(k->direct_map + k->memory.base));
	return err;
}

const struct guest_file guest_files[] = {
	{ "vmcoreinfo", false, make_vmcoreinfo },
	{ "banner", false, make_banner },
	{ "release", false, make_release },
	{ "cmdline", true, make_cmdline },
	{ "kaslr", false, make_kaslr },
	{ "dmesg", true, guest_dmesg },
	{ "kallsyms", false, guest_kallsyms },
	{ "tasks", false, guest_tasks },
	{ 0 }
};

const struct guest_file *guest_file_named(const char *name)
{
	const struct guest_file *f;

	for (f = guest_files; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

int guest_file_read(const struct guest_file *f, const struct guest_memory *g, struct buffer *out,
		    struct error *e)
{
	struct guest_kernel k;
	int err = guest_kernel_find(&k, g, e);

	if (err)
		return err;
	err = f->make(&k, out, e);
	guest_kernel_free(&k);
	return err;
}

int guest_files_look(const struct guest_memory *g, uint32_t which, uint32_t *present)
{
	struct guest_kernel k;
	struct error e;
	unsigned i;
	int err = guest_kernel_find(&k, g, &e);

	*present = 0;
	for (i = 0; guest_files[i].name && !err; i++) {
		struct buffer out = { 0 };

		if (!(which >> i & 1))
			continue;
		err = guest_files[i].make(&k, &out, &e);
		buffer_free(&out);
		if (err != -ENOENT)
			*present |= UINT32_C(1) << i;
		/* What can't be read or is damaged is there. */
		if (err != -ENOMEM)
			err = 0;
	}
	guest_kernel_free(&k);
	return err;
}

uint32_t guest_files_present(const struct guest_memory *g, uint32_t which)
{
	uint32_t present;

	return guest_files_look(g, which, &present) ? 0 : present;
}

int guest_print(struct buffer *out, struct error *e, const char *fmt, ...)
{
	char line[256], *text = line;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(line)) {
		va_start(ap, fmt);
		n = vasprintf(&text, fmt, ap);
		va_end(ap);
	}
	if (n >= 0)
		buffer_add(out, text, (size_t)n);
	if (n >= 0 && text != line)
		free(text);
	if (n < 0 || out->failed)
		return error_set(e, ENOMEM, "out of memory");
	if (out->size > GUEST_FILE_MAX)
		return error_set(e, EFBIG, "the guest has more of it than %u bytes", GUEST_FILE_MAX);
	return 0;
}

int guest_unreadable(int err, const char *what, struct error *e)
{
	if (err == -EFAULT)
		return error_set(e, ERR_MALFORMED,
				 "%s is not in guest memory: the guest is damaged, or it changed meanwhile", what);
	return error_set(e, -err, "%s cannot be read: %s", what, strerror(-err));
}
