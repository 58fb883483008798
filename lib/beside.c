/* SPDX-License-Identifier: MIT */
#include "beside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int beside_open(const char *path, struct beside *b, struct error *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char folder[PATH_MAX];
	int n;

	n = snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 2,
		     slash ? path : "./");
	if (n >= (int)sizeof(folder) || strlen(name) > NAME_MAX)
		return error_set(e, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	strcpy(b->name, name);
	b->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->folder < 0)
		return error_set(e, errno, "%s: cannot open the folder: %s", folder,
				 strerror(errno));
	return 0;
}

void beside_close(struct beside *b)
{
	close(b->folder);
}

int beside_name(const struct beside *b, const char *suffix, char out[NAME_MAX + 1],
		struct error *e)
{
	int n = snprintf(out, NAME_MAX + 1, "%s%s", b->name, suffix);

	if (n > NAME_MAX)
		return error_set(e, ENAMETOOLONG, "%s%s: %s", b->name, suffix,
				 strerror(ENAMETOOLONG));
	return 0;
}

int beside_create(const struct beside *b, const char *name, struct error *e)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(b->folder, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(b->folder, name, 0) == 0)
		fd = openat(b->folder, name, flags, 0600);
	if (fd < 0)
		return error_set(e, errno, "cannot create %s beside the snapshot: %s", name,
				 strerror(errno));
	return fd;
}
