/* SPDX-License-Identifier: MIT */
/*
 * Temporary files, as editors make them beside the file that they are about to
 * replace.  They live in memory only.  Functions may run side by side.
 */
#ifndef SMFS_TEMPS_H
#define SMFS_TEMPS_H

#include <pthread.h>
#include <time.h>

#include "buffer.h"

enum {
	TEMP_SIZE_MAX = 1 << 20, /* bytes in one */
	TEMPS_MAX = 64,
};

struct temp {
	struct temp *next;
	uint64_t id;     /* grows from one to the next */
	uint64_t folder; /* the directory's inode number */
	char name[256];  /* empty once it is unlinked */
	unsigned opens;
	struct timespec changed;
	struct buffer content;
};

struct temps {
	pthread_mutex_t lock;
	struct temp *first; /* by id */
	uint64_t last_id;
	unsigned count;
};

void temps_init(struct temps *t);
void temps_destroy(struct temps *t);

/* What a program may know of one. */
struct temp_stat {
	uint64_t id;
	uint64_t size;
	struct timespec changed;
};

/* Errors are negative errnos, -ENOENT where there is no such temporary. */

/* Make one, open once. */
int temps_make(struct temps *t, uint64_t folder, const char *name, struct temp_stat *st);
int temps_find(struct temps *t, uint64_t folder, const char *name, struct temp_stat *st);
int temps_stat(struct temps *t, uint64_t id, struct temp_stat *st);
int temps_unlink(struct temps *t, uint64_t folder, const char *name);
int temps_open(struct temps *t, uint64_t id);
void temps_close(struct temps *t, uint64_t id);
int temps_read(struct temps *t, uint64_t id, size_t n, uint64_t offset, struct buffer *out);

/* -EFBIG past TEMP_SIZE_MAX. */
int temps_write(struct temps *t, uint64_t id, const void *data, size_t n, uint64_t offset);
int temps_truncate(struct temps *t, uint64_t id, uint64_t size);

/* The first in FOLDER whose id is at least ID: its name and its state. */
int temps_next(struct temps *t, uint64_t folder, uint64_t id, char name[256],
	       struct temp_stat *st);

#endif
