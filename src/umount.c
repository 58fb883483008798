/* SPDX-License-Identifier: MIT */
/*
 * umount.fuse.smfs: what umount(8) runs to unmount a snapshot.  It has edits that are held
 * saved first, and returns when the daemon has ended: what is read then is what was saved.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <mntent.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon_pid.h"
#include "printable.h"

/* As umount(8)'s. */
enum { USAGE = 1, FAILED = 32 };

/* What a mount answered. */
struct answer {
	int err;     /* a negative errno of what was held, which is not saved then */
	int32_t pid; /* the daemon; 0 if it is not known, as it has died */
};

static int complain(const char *dir, const char *what, int err)
{
	char shown[4096];

	printable(dir, shown, sizeof(shown));
	fprintf(stderr, "umount.fuse.smfs: %s: %s: %s\n", shown, what, strerror(err));
	return FAILED;
}

/* The number after NAME in the options of the mount on DIR; 0 if there is none. */
static unsigned long mount_number(const char *dir, const char *name)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;
	const char *found;
	unsigned long number = 0;

	while (mounts && (m = getmntent(mounts))) {
		/* The last one on DIR is the one that is seen. */
		if (strcmp(m->mnt_dir, dir) == 0) {
			found = hasmntopt(m, name);
			number = found ? strtoul(found + strlen(name) + 1, NULL, 10) : 0;
		}
	}
	if (mounts)
		endmntent(mounts);
	return number;
}

static struct answer ask_directly(const char *dir)
{
	struct answer a = { 0 };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		/* Nothing is held where nobody is. */
		a.err = errno == ENOTCONN ? 0 : -errno;
		return a;
	}
	if (ioctl(fd, SMFS_DAEMON_PID, &a.pid) < 0)
		a.pid = 0;
	if (fsync(fd) < 0)
		a.err = -errno;
	close(fd);
	return a;
}

/* A mount answers nobody but who made it, not even root: ask as that user, in a child. */
static struct answer ask(const char *dir)
{
	uid_t uid = (uid_t)mount_number(dir, "user_id");
	gid_t gid = (gid_t)mount_number(dir, "group_id");
	struct answer a = { .err = -EIO };
	int pipe_fds[2], status;
	pid_t child;

	if (geteuid() != 0 || uid == 0)
		return ask_directly(dir);
	if (pipe2(pipe_fds, O_CLOEXEC) < 0 || (child = fork()) < 0)
		return (struct answer){ .err = -errno };
	if (child == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0)
			_exit(1);
		a = ask_directly(dir);
		_exit(write(pipe_fds[1], &a, sizeof(a)) != sizeof(a));
	}
	close(pipe_fds[1]);
	if (read(pipe_fds[0], &a, sizeof(a)) != sizeof(a))
		a = (struct answer){ .err = -EIO };
	close(pipe_fds[0]);
	waitpid(child, &status, 0);
	return a;
}

/* umount(8) itself, which is not to run this program again.  Its exit status. */
static int unmount(char **flags, const char *dir)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		flags[0] = "umount";
		execvp("umount", flags);
		_exit(complain(dir, "cannot run umount", errno));
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return complain(dir, "cannot run umount", errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

/* DAEMON is a pidfd. */
static void wait_for(int daemon)
{
	struct pollfd p = { .fd = daemon, .events = POLLIN };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

int main(int argc, char **argv)
{
	/* Its own name, -i, flags of one letter each, the directory, and the end. */
	char *flags[2 + 4 + 2] = { NULL, "-i" };
	bool lazy = false, force = false;
	char *dir;
	struct answer a;
	int option, count = 2, daemon = -1, status;

	while ((option = getopt(argc, argv, "flnrvN:t:")) >= 0) {
		switch (option) {
		case 'f':
			force = true;
			break;
		case 'l':
			lazy = true;
			break;
		case 'n':
		case 'r':
		case 'v':
		case 'N':
		case 't':
			break;
		default:
			return USAGE;
		}
	}
	if (optind + 1 != argc) {
		fputs("Usage: umount.fuse.smfs [-flnrv] MOUNTPOINT\n"
		      "umount(8) runs it.\n", stderr);
		return USAGE;
	}
	dir = realpath(argv[optind], NULL);
	if (!dir) /* of a daemon that has died it can't be had */
		dir = argv[optind];
	if (force)
		flags[count++] = "-f";
	if (lazy)
		flags[count++] = "-l";
	flags[count] = dir;
	a = ask(dir);
	if (a.err && !force && !lazy)
		return complain(dir, "what was edited cannot be saved, so it stays mounted; mend that, or give up the edits with umount -l", -a.err);
	if (a.pid > 0)
		daemon = pidfd_open(a.pid, 0);
	status = unmount(flags, dir);
	/* Lazily unmounted, it lives as long as somebody has a file of it open. */
	if (status == 0 && daemon >= 0 && !lazy)
		wait_for(daemon);
	return status;
}
