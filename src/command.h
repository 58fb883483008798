/* SPDX-License-Identifier: MIT */
/*
 * The commands of smsnap, as tables: a file cmd_NAME.c each.  What is parsed, and what the
 * help says, follow from a command's rows.
 */
#ifndef SMSNAP_COMMAND_H
#define SMSNAP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "snapshot.h"

/* Exit statuses; a command's own description may give others. */
enum { WRONG_INPUT = 1, WRONG_USAGE = 2 };

/* What a command was given. */
struct arguments {
	enum base_use base_use; /* the command's */
	void (*tell)(const char *text); /* a line that is no error of its own; null: as usual */
	char **operands; /* null after the last */
	int count;
	struct region_options region; /* of a bare snapshot, as the options say */
	/* Options by their long names; a text is null where it was not given. */
	const char *base;
	const char *container_offset;
	bool decode;
	bool dry_run;
	bool hex;
	const char *host_root;
	const char *in_base;
	bool json;
	const char *layout;
	const char *output;
	const char *parallel;
	const char *png;
	const char *ram;
	const char *ram_offset;
	bool utf16;
};

/* An option that a command takes. */
struct option_row {
	const char *name;  /* the long one */
	char letter;       /* or 0 */
	const char *value; /* what the help calls its value; null: it is a flag */
	size_t at;         /* in struct arguments: a const char *; of a flag, a bool */
	const char *doc;   /* half a line */
};

struct command {
	const char *name;
	const char *operands; /* as a synopsis has them, with the options that must be given */
	int least, most;      /* operands; most -1: any number */
	const char *summary;  /* half a line, for the list of commands */
	const char *help;     /* more lines for its own help, or null */
	const struct option_row *options; /* ends with a null name */

	enum base_use base_use; /* of a diff: whether RAM is read, and all of it */

	/* An exit status.  What is wrong was told. */
	int (*run)(const struct arguments *a);
};

/* Rows for commands that take a snapshot: how command_open is to read it. */
#define SNAPSHOT_OPTIONS \
	{ "ram", 0, "FILE", offsetof(struct arguments, ram), \
	  "the RAM of a bare snapshot is in FILE" }, \
	{ "ram-offset", 0, "N", offsetof(struct arguments, ram_offset), \
	  "of a bare one, RAM is at byte N" }, \
	{ "container-offset", 0, "N", offsetof(struct arguments, container_offset), \
	  "a bare container is at byte N" }

/* And for those that read RAM. */
#define RAM_OPTIONS \
	SNAPSHOT_OPTIONS, \
	{ "in-base", 0, "FILE", offsetof(struct arguments, in_base), \
	  "the base of a differential one is FILE" }

extern const struct command cmd_build;
extern const struct command cmd_check;
extern const struct command cmd_convert;
extern const struct command cmd_diff;
extern const struct command cmd_dump;
extern const struct command cmd_fields;
extern const struct command cmd_get;
extern const struct command cmd_grep;
extern const struct command cmd_guest;
extern const struct command cmd_info;
extern const struct command cmd_ls;
extern const struct command cmd_map;
extern const struct command cmd_retarget;
extern const struct command cmd_set;
extern const struct command cmd_vmcore;

/*
 * Run C with ARGV, which starts with its name: an exit status.  Wrong usage, and --help,
 * are seen to here.
 */
int command_run(const struct command *c, int argc, char **argv);

/* A line on standard error, after the program's name. */
void tell(const char *text);

/* The same; returns STATUS. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status of a command that has only printed. */
int printed(void);

/* Open the snapshot at PATH as A says, to be closed: 0, or a negative errno and E starts with PATH. */
int command_try_open(const char *path, const struct arguments *a, enum snapshot_access access,
		     struct snapshot **out, struct error *e);

/*
 * Open the snapshot at PATH as A says: 0, or an exit status and it was told.  *OUT is to be
 * closed.
 */
int command_open(const char *path, const struct arguments *a, enum snapshot_access access,
		 struct snapshot **out);

#endif
