/* SPDX-License-Identifier: MIT */
/* What is wrong with a snapshot that can be read. */
#ifndef SMFS_FINDING_H
#define SMFS_FINDING_H

enum level {
	LEVEL_NOTE,
	LEVEL_WARNING, /* it comes up wrong, or surprising */
	LEVEL_ERROR,   /* a restore fails, or corrupts */
};

/* As it is printed. */
const char *level_name(enum level level);

struct finding {
	enum level level;
	const char *path;  /* in the tree */
	const char *wrong;
	const char *right; /* what would be, or what to do */
};

/* Who is told. */
struct findings {
	void (*fn)(void *ctx, const struct finding *f);
	void *ctx;
};

/* Tell TO; the text that is formatted is what is wrong. */
void finding_tell(const struct findings *to, enum level level, const char *path, const char *right,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* What CTX, a struct buffer, gets of a finding: a line. */
void finding_add_line(void *ctx, const struct finding *f);

#endif
