/* SPDX-License-Identifier: MIT */
/* Between the files of check: each has rules for the table in check_snapshot.c. */
#ifndef SMFS_CHECK_PARTS_H
#define SMFS_CHECK_PARTS_H

#include <limits.h>
#include <sys/stat.h>

#include "check_snapshot.h"

enum { CHECK_PATH = 2 * CONTAINER_PATH_MAX };

struct check {
	struct snapshot *s;
	const struct container *c;
	const char *host_root; /* or null */
	const struct findings *to;
	int err; /* memory that ran out */
};

/* The path in the tree that the text is, in OUT, which is returned. */
const char *check_path(char out[CHECK_PATH], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Whether there is a node at PATH. */
bool check_has(struct check *k, const char *path);

/* The number at PATH; 0 if there is none. */
uint64_t check_number(struct check *k, const char *path);

/* The bytes of the leaf at PATH; false if there is none. */
bool check_value(struct check *k, const char *path, struct value *out);

/* Whether the word at PATH is WORD. */
bool check_is(struct check *k, const char *path, const char *word);

/* Whether device INDEX is of KIND and has BACKING: of another pair the monitor does not look at the backing. */
bool check_is_device(struct check *k, uint64_t index, const char *kind, const char *backing);

/* How many elements the list at PATH has. */
uint64_t check_count(struct check *k, const char *path);

/* Rules.  The first two are what a base, too, has to pass to be read. */
void check_pairings(struct check *k);
void check_kvm_states(struct check *k);
void check_kvm_vcpus(struct check *k);
void check_kvm_intc(struct check *k);
void check_disks(struct check *k);
void check_shares(struct check *k);
void check_base(struct check *k);
void check_metadata(struct check *k);

/*
 * For check_files.c and check_share.c: the file on this host that the path means, in
 * OUT; a relative one in the snapshot's folder.  0; -EINVAL where no file can have such a path;
 * another negative errno where it is not there, and OUT is its name all the same.
 */
int check_host_path(struct check *k, const struct value *path, char out[PATH_MAX]);

/* The canonical path, as the guest's host knows it, of the file REAL, in OUT. */
bool check_canonical(struct check *k, const char *real, char out[PATH_MAX]);

#endif
