/* SPDX-License-Identifier: MIT */
/* Facts of a snapshot, for a screen, a line or JSON. */
#ifndef SMSNAP_INFO_H
#define SMSNAP_INFO_H

#include "snapshot.h"

enum { INFO_TEXT = 256, INFO_REGISTERS = 4, INFO_SIZE = 32 };

struct info {
	struct snapshot *s;
	const struct container *c;
	bool failed; /* memory ran out: what was told is wrong */
};

/* Paths are those of the tree, formatted. */

/* The number there; 0 if there is none. */
uint64_t info_number(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

/* The leaf there in *V; false if there is none. */
bool info_value(struct info *i, struct value *v, const char *path, ...) __attribute__((format(printf, 3, 4)));

/* What its file shows, for a person, in TEXT; false, and an empty text, if there is no such file. */
bool info_text(struct info *i, char text[INFO_TEXT], const char *path, ...)
	__attribute__((format(printf, 3, 4)));

bool info_is_there(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

/* How many children the directory there has; 0 if there is none. */
uint64_t info_count(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

/*
 * Whether the file that the string there names is there, and a folder if it has to be: "there",
 * "none" where no path is recorded, "relative" where it is not known whose, else what is wrong.
 */
const char *info_there(struct info *i, bool folder, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

/* The same of a diff's base, which has to be one. */
const char *info_base(struct info *i);

/* Whether what info_there answers says that a file is missing. */
bool info_is_missing(const char *there);

struct info_vcpu {
	bool understood; /* else there is nothing more */
	char state[64];  /* empty: it is not known */
	struct {
		const char *name; /* null after the last */
		bool is_there;
		uint64_t value;
	} registers[INFO_REGISTERS + 1];
};

void info_vcpu(struct info *i, uint64_t index, struct info_vcpu *out);

/* A token is there. */
bool info_has_token(struct info *i);

/* SIZE in units of 1,024, in OUT, which it returns. */
const char *info_size(uint64_t size, char out[INFO_SIZE]);

/*
 * For many: a line without its end, and an object's members.  Whether a file is missing is
 * answered.
 */
struct json_object;
bool info_print_line(struct info *i);
bool info_add_json(struct info *i, struct json_object *o);

#endif
