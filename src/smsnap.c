/* SPDX-License-Identifier: MIT */
/* smsnap: works on snapshot files without mounting them (smsnap(1)). */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "command.h"
#include "guard.h"
#include "standard.h"

static const struct command *const commands[] = {
	&cmd_build,
	&cmd_check,
	&cmd_convert,
	&cmd_diff,
	&cmd_dump,
	&cmd_fields,
	&cmd_get,
	&cmd_grep,
	&cmd_guest,
	&cmd_info,
	&cmd_ls,
	&cmd_map,
	&cmd_retarget,
	&cmd_set,
	&cmd_vmcore,
	NULL
};

static const struct command *find_command(const char *name)
{
	const struct command *const *c;

	for (c = commands; *c && strcmp((*c)->name, name) != 0; c++)
		;
	return *c;
}

/* Their names, each after a blank, in LIST, which it returns. */
static const char *list_commands(char *list, size_t size)
{
	const struct command *const *c;
	size_t used = 0;

	for (c = commands; *c && used < size; c++)
		used += (size_t)snprintf(list + used, size - used, " %s", (*c)->name);
	return list;
}

static int print_help(void)
{
	const struct command *const *c;

	puts("Usage: smsnap COMMAND [options] ...\n"
	     "Works on snapshot files without mounting them.\n");
	for (c = commands; *c; c++)
		printf("  %-9s %s\n", (*c)->name, (*c)->summary);
	puts("\n"
	     "  -h, --help     print this; smsnap COMMAND --help says more of a command\n"
	     "  -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0, 1 for a snapshot or document that is wrong, 2 for wrong usage.");
	return printed();
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	const struct command *command;
	char list[512];
	struct error e = { 0 };

	if (standard_open(&e))
		return complain(WRONG_INPUT, "%s", e.text);
	prctl(PR_SET_DUMPABLE, 0); /* secrets pass through */
	guard_install();
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow so far is a write's error */
	opterr = 0;
	switch (getopt_long(argc, argv, "+hV", options, NULL)) {
	case -1:
		break;
	case 'h':
		return print_help();
	case 'V':
		printf("smsnap %s\n", PACKAGE_VERSION);
		return printed();
	default:
		return complain(WRONG_USAGE, "%s: unknown option; see smsnap --help", argv[1]);
	}
	if (optind == argc)
		return complain(WRONG_USAGE, "needs a command, one of%s; see smsnap --help",
				list_commands(list, sizeof(list)));
	command = find_command(argv[optind]);
	if (!command)
		return complain(WRONG_USAGE, "%s: unknown command; there are%s", argv[optind],
				list_commands(list, sizeof(list)));
	return command_run(command, argc - optind, argv + optind);
}
