/* SPDX-License-Identifier: MIT */
/* The command line of smfs: an argument a line. */
#include <fuse_log.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "options.h"

enum { ARGUMENTS_MAX = 16 };

static void drop(enum fuse_log_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
}

/* Whether TEXT is a number up to MAX, or a size, which is put to *OUT. */
static bool is_number(const char *text, uint64_t max, bool size, uint64_t *out)
{
	return !model_number(text, strlen(text), 8, size, out) && *out <= max;
}

static bool is_umask(const char *text, uint64_t *out)
{
	size_t n = strlen(text);

	for (*out = 0; *text >= '0' && *text <= '7' && *out <= 0777; text++)
		*out = *out * 8 + (uint64_t)(*text - '0');
	return n > 0 && !*text && *out <= 0777;
}

/* The options with a number, and what was made of it. */
struct numeric {
	const char *name;
	const char *text;
	uint64_t max; /* 0: a umask */
	uint64_t value;
	bool size;    /* it may have a suffix */
};

static void check_numeric(const struct numeric *n, int err, const struct error *e)
{
	uint64_t expected = 0;
	bool good = !n->text || (n->max ? is_number(n->text, n->max, n->size, &expected)
					: is_umask(n->text, &expected));
	size_t length = strlen(n->name);

	if (!err)
		demand(good && (!n->text || n->value == expected), "%s=%s is taken as %llu", n->name,
		       n->text, (unsigned long long)n->value);
	else if (strncmp(e->text, "-o ", 3) == 0 && strncmp(e->text + 3, n->name, length) == 0 &&
		 e->text[3 + length] == '=')
		demand(!good, "%s=%s is refused", n->name, n->text);
}

static void check_numerics(const struct options *o, int err, const struct error *e)
{
	const struct numeric all[] = {
		{ "ram_offset", o->ram_offset_text, UINT64_MAX, o->region.ram_offset, true },
		{ "container_offset", o->container_offset_text, UINT64_MAX,
		  o->region.container_offset, true },
		{ "ram_limit", o->ram_limit_text, UINT64_MAX, o->ram_limit, true },
		{ "uid", o->uid_text, UINT32_MAX - 1, o->uid, false },
		{ "gid", o->gid_text, UINT32_MAX - 1, o->gid, false },
		{ "umask", o->umask_text, 0, o->umask, false },
	};
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		check_numeric(&all[i], err, e);
}

/* Pairs of options that were given together. */
enum { PAIRED = 10 };
static uint8_t pairs[PAIRED * PAIRED] FUZZ_COUNTERS;

static void count_pairs(const struct options *o, int err)
{
	const bool given[PAIRED] = {
		o->read_only, o->scratch, o->output, o->replace, o->save_ram, o->writeback,
		o->ram_file, o->ram_direct, o->sync_at_end, !err,
	};
	size_t i, k;

	for (i = 0; i < PAIRED; i++)
		for (k = i; k < PAIRED; k++)
			pairs[i * PAIRED + k] |= given[i] && given[k];
}

static void check_accepted(const struct options *o)
{
	if (o->help || o->version)
		return;
	demand(o->snapshot && o->mountpoint, "a snapshot or mount point is missing");
	demand(!o->read_only || !o->read_write, "ro and rw");
	demand(o->read_only + o->scratch + !!o->output <= 1, "options that exclude each other");
	demand(!o->save_ram || (!o->read_only && !o->scratch && !o->ram_file),
	       "save_ram where nothing is saved");
	demand(!o->writeback || (!o->read_only && !o->ram_direct), "writeback where it can't be");
	demand(!o->ram_file || strcmp(o->ram_file, "direct") != 0, "direct is no file");
	demand(o->region.ram_offset_given == !!o->ram_offset_text, "ram_offset given or not");
	demand(o->umask <= 0777, "umask 0%o", o->umask);
}

static void parse(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct error e = { 0 };
	struct options o;
	int i, err = options_parse(&o, &args, &e);

	count_pairs(&o, err);
	if (err)
		demand_told(err, &e);
	else
		check_accepted(&o);
	if (!o.help && !o.version)
		check_numerics(&o, err, &e);
	for (i = 0; !err && i < args.argc; i++)
		demand(args.argv[i] && (i == 0 || args.argv[i][0] == '-' || strcmp(args.argv[i - 1], "-o") == 0),
		       "left for FUSE: %s", args.argv[i]);
	options_free(&o);
	fuse_opt_free_args(&args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[ARGUMENTS_MAX + 1] = { "smfs" };
	char *text = malloc(size + 1), *rest = text;
	int argc = 1;
	size_t i;

	demand(text, "out of memory");
	fuse_set_log_func(drop);
	for (i = 0; i < size; i++) /* it is shown as it was typed */
		text[i] = (char)(data[i] < ' ' && data[i] != '\n' ? '.' : data[i] == 0x7f ? '.' : data[i]);
	text[size] = 0;
	while (argc < ARGUMENTS_MAX && rest)
		argv[argc++] = strsep(&rest, "\n");
	parse(argc, argv);
	free(text);
	return 0;
}
