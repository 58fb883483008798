/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, for a person: one line that says where and why.
 *
 * Library functions return 0 or a negative errno, and on failure fill the
 * struct error their caller passed.  Two codes have a fixed meaning here:
 * ERR_TRUNCATED, the bytes end too early, and ERR_MALFORMED, the bytes that
 * are there cannot be right.
 */
#ifndef SMFS_ERROR_H
#define SMFS_ERROR_H

#include <errno.h>

enum { ERR_TRUNCATED = ENODATA, ERR_MALFORMED = EBADMSG };

struct error {
	int code;       /* a positive errno, 0 while nothing went wrong */
	char text[2048]; /* one line, without a newline; empty while code is 0 */
};

/*
 * Fill E with CODE (a positive errno) and the formatted text, and return
 * -CODE.  Text that does not fit is cut, and what can't be shown is escaped
 * (printable.h).  E may be null.
 */
int error_set(struct error *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Put the formatted text and ": " before the text that E has already.
 * Returns -E->code.  E may be null; then CODE, a positive errno, is used.
 */
int error_prefix(struct error *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
