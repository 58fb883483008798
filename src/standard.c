/* SPDX-License-Identifier: MIT */
#include "standard.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

int standard_capture(void)
{
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int file = memfd_create("smfs-stderr", MFD_CLOEXEC);
	int err = kept < 0 || file < 0 || dup2(file, STDERR_FILENO) < 0 ? -errno : 0;

	if (file >= 0)
		close(file);
	if (err && kept >= 0)
		close(kept);
	return err ? err : kept;
}

void standard_release(int captured, char *text, size_t size)
{
	ssize_t n = captured < 0 ? 0 : pread(STDERR_FILENO, text, size - 1, 0);
	char *end;

	text[n < 0 ? 0 : n] = 0;
	if (captured >= 0) {
		dup2(captured, STDERR_FILENO);
		close(captured);
	}
	for (end = text + strlen(text); end > text && end[-1] == '\n'; end--)
		end[-1] = 0;
	while ((end = strchr(text, '\n')) && strlen(text) + 2 < size) {
		memmove(end + 2, end + 1, strlen(end));
		memcpy(end, "; ", 2);
	}
}
