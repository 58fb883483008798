/* SPDX-License-Identifier: MIT */
#include "beside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "locked.h"

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

int beside_check_writable(const char *path, struct error *e)
{
	struct beside b;
	int code, err = beside_open(path, &b, e);

	if (err)
		return err;
	code = faccessat(b.folder, ".", W_OK | X_OK, AT_EACCESS) < 0 ? errno : 0;
	beside_close(&b);
	if (!code)
		return 0;
	return error_set(e, code,
			 "no file can be made beside it, which a save has to: its folder: %s; use -o ro, scratch or output=FILE in another folder",
			 strerror(code));
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

static int refuse(const char *name, int code, struct error *e)
{
	return error_set(e, code, "cannot create %s beside the snapshot: %s", name, strerror(code));
}

int beside_create_new(const struct beside *b, const char *name, struct error *e)
{
	int fd = openat(b->folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int code = errno;

	if (fd < 0)
		return code == EEXIST ? -code : refuse(name, code, e);
	/* Where there are no locks, who has come so far was told. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 || says_no_locks(-errno))
		return fd;
	code = errno;
	unlinkat(b->folder, name, 0);
	close(fd);
	return refuse(name, code, e);
}

/* Whether another process is writing the file NAME just now. */
static bool is_locked(const struct beside *b, const char *name)
{
	int fd = openat(b->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	/* Shared: two that look at once are not in each other's way. */
	bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	return locked;
}

int beside_create(const struct beside *b, const char *name, struct error *e)
{
	int fd = beside_create_new(b, name, e);

	if (fd != -EEXIST)
		return fd;
	if (is_locked(b, name))
		return error_set(e, EBUSY, "another program is saving here: it has %s locked", name);
	if (unlinkat(b->folder, name, 0) < 0 && errno != ENOENT)
		return refuse(name, errno, e);
	fd = beside_create_new(b, name, e);
	return fd == -EEXIST ? refuse(name, EEXIST, e) : fd;
}

bool names_file(int folder, const char *name, int fd)
{
	struct stat here, there;

	return fstat(fd, &here) == 0 && fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}
