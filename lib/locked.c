/* SPDX-License-Identifier: MIT */
#include "locked.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "beside.h"
#include "holder.h"

void pause_briefly(void)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };

	nanosleep(&pause, NULL);
}

/* A daemon ends a little after its unmount: give it time to let go. */
static int lock_patiently(int fd, int lock)
{
	int tries;

	for (tries = 0; flock(fd, lock | LOCK_NB) < 0; tries++) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return -errno;
		pause_briefly();
	}
	return 0;
}

static int refuse_to_write(int code, struct error *e)
{
	return error_set(e, code, "cannot be written: %s; use -o ro, scratch or output=FILE",
			 strerror(code));
}

int check_writable(const char *path, struct error *e)
{
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
		return 0;
	return errno == EACCES || errno == EROFS || errno == EPERM
		       ? refuse_to_write(errno, e)
		       : error_set(e, errno, "%s", strerror(errno));
}

int open_plain(const char *path, int flags, struct error *e)
{
	struct stat st;
	/* O_NONBLOCK: a FIFO must not make the open wait; no effect on files. */
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && (flags & O_ACCMODE) == O_RDWR &&
	    (errno == EACCES || errno == EROFS || errno == EPERM))
		return refuse_to_write(errno, e);
	if (fd < 0)
		return error_set(e, errno, "%s",
				 errno == ELOOP ? "a symbolic link that leads nowhere" : strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return error_set(e, EINVAL, "not a regular file");
	}
	return fd;
}

bool says_no_locks(int err)
{
	return err == -ENOLCK || err == -EBADF || err == -ENOSYS || err == -EOPNOTSUPP;
}

static int refuse(const char *path, int err, struct error *e)
{
	char who[PATH_MAX + 128];

	if (says_no_locks(err))
		return error_set(e, -err,
				 "cannot be locked: %s; there seem to be no locks here: use -o ro or scratch, or nolock if no other program uses it",
				 strerror(-err));
	if (err != -EWOULDBLOCK)
		return error_set(e, -err, "cannot be locked: %s", strerror(-err));
	holder_describe(path, who, sizeof(who));
	return error_set(e, EBUSY, "%s", who);
}

/*
 * Saves by renaming make a name's file another one: see that it still has the name
 * once it is locked.
 */
int open_locked(const char *path, int flags, int lock, bool may_go_on, int *none,
		struct error *e)
{
	int fd, err;

	for (;;) {
		fd = open_plain(path, flags, e);
		if (fd < 0)
			return fd;
		err = lock_patiently(fd, lock);
		if (err == -EBADF && lock == LOCK_EX && (flags & O_ACCMODE) == O_RDONLY) {
			/* NFS locks exclusively only what is open for writing too. */
			flags |= O_RDWR;
			close(fd);
			continue;
		}
		*none = says_no_locks(err) ? -err : 0;
		if (*none && may_go_on)
			err = 0;
		if (!err && names_file(AT_FDCWD, path, fd))
			return fd;
		close(fd);
		if (err)
			return refuse(path, err, e);
	}
}
