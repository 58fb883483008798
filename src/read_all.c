/* SPDX-License-Identifier: MIT */
#include "read_all.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int read_all(const char *path, struct buffer *out, struct error *e)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char chunk[65536];
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	do {
		n = read(fd, chunk, sizeof(chunk));
		if (n > 0)
			buffer_add(out, chunk, (size_t)n);
	} while (!out->failed && (n > 0 || (n < 0 && errno == EINTR)));
	if (n < 0)
		err = error_set(e, errno, "%s: %s", path, strerror(errno));
	else if (out->failed)
		err = error_set(e, ENOMEM, "%s: out of memory", path);
	if (!standard)
		close(fd);
	return err;
}
