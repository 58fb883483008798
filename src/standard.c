/* SPDX-License-Identifier: MIT */
#include "standard.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int standard_open(struct error *e)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest number that is free: those below are open. */
		if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return error_set(e, errno, "/dev/null: %s", strerror(errno));
	}
	return 0;
}

int standard_flush(struct error *e)
{
	int err;

	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	/* A write that failed while printing need not fail again: errno is still its. */
	err = errno ? errno : EIO;
	return error_set(e, err, "standard output: %s", strerror(err));
}
