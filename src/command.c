/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "le.h"
#include "printable.h"
#include "standard.h"
#include "text.h"

enum { OPTIONS_MAX = 16 };

static const struct option_row help_row = {
	"help", 'h', NULL, 0, "print this"
};

void tell(const char *text)
{
	char shown[2048];

	printable(text, shown, sizeof(shown));
	fprintf(stderr, "smsnap: %s\n", shown);
}

int complain(int status, const char *format, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	tell(text);
	return status;
}

int printed(void)
{
	struct error e = { 0 };

	return standard_flush(&e) ? complain(WRONG_INPUT, "%s", e.text) : 0;
}

/*
 * Help
 */

static void print_option(const struct option_row *o, int width)
{
	char name[64], letter[8] = "   ";

	if (o->letter)
		snprintf(letter, sizeof(letter), "-%c,", o->letter);
	snprintf(name, sizeof(name), "--%s%s%s", o->name, o->value ? " " : "",
		 o->value ? o->value : "");
	printf("  %s %-*s  %s\n", letter, width, name, o->doc);
}

static void print_help(const struct command *c)
{
	const struct option_row *o;
	size_t width = 0, n;

	for (o = c->options; o && o->name; o++) {
		n = strlen(o->name) + (o->value ? strlen(o->value) + 1 : 0) + 2;
		width = n > width ? n : width;
	}
	if (width < strlen("--help"))
		width = strlen("--help");
	printf("Usage: smsnap %s%s%s%s\n", c->name, c->options ? " [options]" : "",
	       *c->operands ? " " : "", c->operands);
	printf("%c%s.\n", c->summary[0] - 'a' + 'A', c->summary + 1);
	if (c->help)
		printf("%s", c->help);
	printf("\n");
	for (o = c->options; o && o->name; o++)
		print_option(o, (int)width);
	print_option(&help_row, (int)width);
}

/*
 * Command line
 */

/* What getopt_long answers for the option of this index: a letter would not be one's own. */
enum { FIRST_OPTION = 256 };

/* getopt's two descriptions of C's options. */
static void describe(const struct command *c, struct option *longs, char *letters)
{
	const struct option_row *o = c->options;
	int i;

	*letters++ = ':'; /* tell a missing value from an unknown option */
	for (i = 0; o && o[i].name && i < OPTIONS_MAX; i++) {
		longs[i] = (struct option){ o[i].name, o[i].value ? required_argument : no_argument,
					    NULL, FIRST_OPTION + i };
		if (o[i].letter)
			*letters++ = o[i].letter;
		if (o[i].letter && o[i].value)
			*letters++ = ':';
	}
	longs[i++] = (struct option){ help_row.name, no_argument, NULL, help_row.letter };
	longs[i] = (struct option){ 0 };
	*letters++ = help_row.letter;
	*letters = 0;
}

static const struct option_row *find_option(const struct command *c, int option)
{
	const struct option_row *o = c->options;

	if (option >= FIRST_OPTION)
		return &o[option - FIRST_OPTION];
	while (o->letter != option)
		o++;
	return o;
}

static void take_option(const struct option_row *o, struct arguments *a)
{
	void *at = (char *)a + o->at;

	if (o->value)
		*(const char **)at = optarg;
	else
		*(bool *)at = true;
}

/* What getopt did not take, which is before or in ARGV[optind]. */
static int refuse_option(const struct command *c, int option, char **argv)
{
	const char *what = option == ':' ? "needs a value" : "is not an option of it";

	if (optopt && optopt < FIRST_OPTION)
		return complain(WRONG_USAGE, "%s: -%c %s; see smsnap %s --help", c->name, optopt,
				what, c->name);
	return complain(WRONG_USAGE, "%s: %s %s; see smsnap %s --help", c->name, argv[optind - 1],
			what, c->name);
}

/* The option NAME's TEXT, or null, as a number of bytes: false if it is none, which was told. */
static bool parse_offset(const char *name, const char *text, uint64_t *out, bool *given)
{
	static const struct field row = { UINT, .size = 8, .base = SIZE };
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;

	*given = text != NULL;
	if (!text)
		return true;
	if (text_parse(&row, text, strlen(text), scratch, &v)) {
		complain(0, "--%s %s: not a number of bytes from 0 to 18446744073709551615, with K, M, G or T if you like",
			 name, text);
		return false;
	}
	*out = le_get(v.bytes, 8);
	return true;
}

/* What a bare snapshot's options say: 0, or WRONG_USAGE and it was told. */
static int take_offsets(struct arguments *a)
{
	struct region_options *r = &a->region;

	return parse_offset("ram-offset", a->ram_offset, &r->ram_offset, &r->ram_offset_given) &&
			       parse_offset("container-offset", a->container_offset, &r->container_offset,
					    &r->container_offset_given)
		       ? 0
		       : WRONG_USAGE;
}

int command_run(const struct command *c, int argc, char **argv)
{
	struct option longs[OPTIONS_MAX + 2];
	char letters[2 * OPTIONS_MAX + 3];
	struct arguments a = { .base_use = c->base_use };
	int option, status;

	describe(c, longs, letters);
	optind = 0; /* main has scanned for its own */
	opterr = 0;
	while ((option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (option == '?' || option == ':')
			return refuse_option(c, option, argv);
		if (option == help_row.letter) {
			print_help(c);
			return printed();
		}
		take_option(find_option(c, option), &a);
	}
	a.operands = argv + optind;
	a.count = argc - optind;
	if (a.count < c->least)
		return complain(WRONG_USAGE, "%s: needs %s, and got %s; see smsnap %s --help", c->name,
				c->operands, a.count ? "less" : "nothing", c->name);
	if (c->most >= 0 && a.count > c->most)
		return complain(WRONG_USAGE, "%s: %s: one operand too many; it takes %s; see smsnap %s --help",
				c->name, a.operands[c->most], *c->operands ? c->operands : "none", c->name);
	status = take_offsets(&a);
	return status ? status : c->run(&a);
}

/*
 * Snapshots
 */

int command_try_open(const char *path, const struct arguments *a, enum snapshot_access access,
		     struct snapshot **out, struct error *e)
{
	struct snapshot_options options = {
		.access = access, .ram_file = a->ram, .base = a->in_base,
		.base_use = a->base_use,
		.nolock = access == SNAPSHOT_EDIT, /* a moment, and all or nothing */
		.base_hint = "give --in-base FILE",
		.tell = a->tell ? a->tell : tell,
		.region = a->region,
	};

	return snapshot_open(path, &options, out, e);
}

int command_open(const char *path, const struct arguments *a, enum snapshot_access access,
		 struct snapshot **out)
{
	struct error e = { 0 };

	return command_try_open(path, a, access, out, &e) ? complain(WRONG_INPUT, "%s", e.text) : 0;
}
