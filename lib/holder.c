/* SPDX-License-Identifier: MIT */
#include "holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether there is a mount of PATH by smfs; where, to DIR. */
static bool find_mount(const char *path, char dir[PATH_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	char names[2 * PATH_MAX];
	struct mntent m;
	bool found = false;

	while (mounts && !found && getmntent_r(mounts, &m, names, sizeof(names))) {
		found = strcmp(m.mnt_type, "fuse.smfs") == 0 && strcmp(m.mnt_fsname, path) == 0;
		if (found)
			snprintf(dir, PATH_MAX, "%s", m.mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

/* The first SIZE bytes of the file NAME in FOLDER, as a string; empty if it can't be read. */
static void read_start(int folder, const char *name, char *out, size_t size)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	out[n < 0 ? 0 : n] = 0;
	if (fd >= 0)
		close(fd);
}

/* Whether the process whose folder is PROC has PATH open and locked.  Only /proc is asked. */
static bool has_locked(int proc, const char *path)
{
	char name[32 + NAME_MAX], target[PATH_MAX], info[1024];
	int fds = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fds < 0 ? NULL : fdopendir(fds);
	const struct dirent *entry;
	bool found = false;
	ssize_t n;

	while (dir && !found && (entry = readdir(dir))) {
		n = readlinkat(fds, entry->d_name, target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = 0;
		if (strcmp(target, path) != 0)
			continue;
		snprintf(name, sizeof(name), "fdinfo/%s", entry->d_name);
		read_start(proc, name, info, sizeof(info));
		found = strstr(info, "\nlock:") && strstr(info, " FLOCK ");
	}
	if (dir)
		closedir(dir);
	else if (fds >= 0)
		close(fds);
	return found;
}

/* A process that has PATH locked, and what it is called; 0 if none is to be seen. */
static long find_process(const char *path, char *name, size_t size)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	long pid, found = 0;
	int proc;

	while (dir && !found && (entry = readdir(dir))) {
		pid = strtol(entry->d_name, NULL, 10);
		proc = pid > 0 ? openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
		if (proc < 0)
			continue;
		if (has_locked(proc, path)) {
			found = pid;
			read_start(proc, "comm", name, size);
			name[strcspn(name, "\n")] = 0;
		}
		close(proc);
	}
	if (dir)
		closedir(dir);
	return found;
}

void holder_describe(const char *path, char *text, size_t size)
{
	char dir[PATH_MAX], name[64];
	long pid;

	if (find_mount(path, dir)) {
		snprintf(text, size, "in use by a mount, on %s; unmount that first", dir);
		return;
	}
	pid = find_process(path, name, sizeof(name));
	if (!pid)
		snprintf(text, size, "in use by another program, maybe a mount; unmount that, or wait until it has ended");
	else if (strcmp(name, "smfs") == 0)
		snprintf(text, size, "in use by a mount (smfs, process %ld); unmount that first", pid);
	else
		snprintf(text, size, "locked by %s (process %ld), which is no mount; wait until it has ended",
			 name, pid);
}
