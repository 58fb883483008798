/* SPDX-License-Identifier: MIT */
/*
 * Saves and recovers snapshots in one thread and without FUSE, for tests that
 * watch or disturb its system calls.  Commands come by standard input, a line
 * each, with blanks between words; the answer is a line: "ok", or "error ERRNO
 * text", with more after "ok" where said.
 *
 *   open PATH [replace | output=FILE]
 *                               open for editing, after recovering it
 *   look PATH                   recover it, open it to read, close it
 *   set NODE TEXT               give the leaf at the path NODE (without a leading
 *                               slash) a value: an edit that is saved at once
 *   poke OFFSET HEX             write to RAM, privately
 *   hold                        from now on, edits are saved by save-ram only
 *   save-ram                    save what was poked, and edits that are held
 *   get NODE                    "ok HEX", what its file shows
 *   way                         "ok TEXT", how the last save went
 *   fds                         "ok COUNT", open descriptors, without one that locks the
 *                               snapshot beside the one that it is written by
 *   close
 *   mark TEXT                   a system call that a trace shows: access(2) of
 *                               "/mark/TEXT"
 *
 * From the environment: SAVE_DRIVER_TRACE=FILE appends a line for each call that
 * changes files or makes them durable (see trace below); SAVE_DRIVER_SHORT=N
 * makes each pread and pwrite transfer N bytes at most; SAVE_DRIVER_NOSYNC makes
 * fsync do nothing but be traced; SAVE_DRIVER_KEEP=FOLDER moves there, to its
 * inode number as a name, what unlink would remove.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard.h"
#include "mount.h"
#include "text.h"

/*
 * The C library's calls, in its place
 */

static FILE *trace_file;
static size_t short_size = SIZE_MAX;
static bool no_sync;
static const char *keep_folder;

static unsigned long long inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (unsigned long long)st.st_ino;
}

/* A line for each call that succeeded; files are named by their inode numbers. */
static void trace(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!trace_file)
		return;
	va_start(ap, fmt);
	vfprintf(trace_file, fmt, ap);
	va_end(ap);
	fputc('\n', trace_file);
	fflush(trace_file);
	errno = saved;
}

static void trace_write(int fd, const uint8_t *p, size_t n, off_t offset)
{
	size_t i;

	if (!trace_file)
		return;
	fprintf(trace_file, "write %llu %lld ", inode(fd), (long long)offset);
	for (i = 0; i < n; i++)
		fprintf(trace_file, "%02x", p[i]);
	trace("");
}

ssize_t pread(int fd, void *p, size_t n, off_t offset)
{
	return syscall(SYS_pread64, fd, p, n < short_size ? n : short_size, offset);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
	ssize_t done = syscall(SYS_pwrite64, fd, p, n < short_size ? n : short_size, offset);

	if (done > 0)
		trace_write(fd, p, (size_t)done, offset);
	return done;
}

int ftruncate(int fd, off_t size)
{
	int err = (int)syscall(SYS_ftruncate, fd, size);

	if (!err)
		trace("truncate %llu %lld", inode(fd), (long long)size);
	return err;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
	int err = (int)syscall(SYS_fallocate, fd, mode, offset, size);

	if (!err)
		trace("%s %llu %lld %lld",
		      mode == FALLOC_FL_INSERT_RANGE ? "insert" : "collapse", inode(fd),
		      (long long)offset, (long long)size);
	return err;
}

int fsync(int fd)
{
	int err = no_sync ? 0 : (int)syscall(SYS_fsync, fd);

	if (!err)
		trace("sync %llu", inode(fd));
	return err;
}

int openat(int folder, const char *name, int flags, ...)
{
	bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
	mode_t mode = 0;
	va_list ap;
	int fd;

	va_start(ap, flags);
	if (flags & O_CREAT || temporary)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	fd = (int)syscall(SYS_openat, folder, name, flags, mode);
	if (fd >= 0 && temporary)
		trace("temporary %llu", inode(fd));
	else if (fd >= 0 && flags & O_EXCL)
		trace("create %llu %llu %s", inode(folder), inode(fd), name);
	return fd;
}

int renameat(int from, const char *old, int to, const char *new)
{
	int err = (int)syscall(SYS_renameat2, from, old, to, new, 0);

	if (!err)
		trace("rename %llu %s %s", inode(from), old, new);
	return err;
}

int renameat2(int from, const char *old, int to, const char *new, unsigned int flags)
{
	int err = (int)syscall(SYS_renameat2, from, old, to, new, flags);

	if (!err)
		trace("%s %llu %s %s", flags & RENAME_EXCHANGE ? "exchange" : "rename", inode(from),
		      old, new);
	return err;
}

/* A file of which tests need the inode after it has lost its name. */
static int keep(int folder, const char *name)
{
	char kept[PATH_MAX];
	struct stat st;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	snprintf(kept, sizeof(kept), "%s/%llu", keep_folder, (unsigned long long)st.st_ino);
	return (int)syscall(SYS_renameat2, folder, name, AT_FDCWD, kept, 0);
}

int unlinkat(int folder, const char *name, int flags)
{
	int err = keep_folder ? keep(folder, name)
			      : (int)syscall(SYS_unlinkat, folder, name, flags);

	if (!err)
		trace("unlink %llu %s", inode(folder), name);
	return err;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	long arg;
	int err;

	va_start(ap, request);
	arg = va_arg(ap, long);
	va_end(ap);
	err = (int)syscall(SYS_ioctl, fd, request, arg);
	if (!err && request == FICLONE) {
		trace("clone %llu %llu 0 0 0", inode(fd), inode((int)arg));
	} else if (!err && request == FICLONERANGE) {
		const struct file_clone_range *r = (const void *)arg;

		trace("clone %llu %llu %llu %llu %llu", inode(fd), inode((int)r->src_fd),
		      (unsigned long long)r->src_offset, (unsigned long long)r->dest_offset,
		      (unsigned long long)r->src_length);
	}
	return err;
}

/*
 * Commands
 */

static struct snapshot *snapshot;
static struct mount mount;

static void answer(int err, const char *text)
{
	if (err)
		printf("error %d %s\n", -err, text);
	else
		printf("ok%s%s\n", text[0] ? " " : "", text);
	fflush(stdout);
}

static char reported[1024];

static void report(const char *text)
{
	snprintf(reported, sizeof(reported), "%s", text);
}

static void do_open(const char *path, enum snapshot_access access, const char *way)
{
	struct snapshot_options options = { .access = access, .base_hint = "no test wants that" };
	const char output[] = "output=";
	struct error e = { 0 };
	int err;

	if (access == SNAPSHOT_EDIT)
		options.base_use = BASE_NEEDED;
	options.replace = strcmp(way, "replace") == 0;
	if (strncmp(way, output, sizeof(output) - 1) == 0)
		options.output = way + sizeof(output) - 1;
	err = snapshot_open(path, &options, &snapshot, &e);
	if (err) {
		answer(err, e.text);
		return;
	}
	if (access == SNAPSHOT_EDIT) {
		mount = (struct mount){ .report = report };
		mount_init(&mount, snapshot);
	} else {
		snapshot_close(snapshot);
		snapshot = NULL;
	}
	answer(0, "");
}

static void do_set(char *path, const char *text)
{
	struct edits edits = { 0 };
	uint8_t scratch[TEXT_SCRATCH];
	struct timespec when;
	struct value v;
	struct node n;
	int err;

	if (container_find(mount.container, path, &n)) {
		answer(-ENOENT, path);
		return;
	}
	reported[0] = 0;
	clock_gettime(CLOCK_REALTIME, &when);
	err = text_parse(container_row(mount.container, n), text, strlen(text), scratch, &v);
	if (!err)
		err = edits_add(&edits, mount.container, n, &v, when);
	if (!err)
		err = mount_edit(&mount, &edits);
	answer(err, reported);
}

static void do_get(char *path)
{
	struct buffer text = { 0 };
	struct value v;
	struct node n;
	size_t i;

	if (container_find(mount.container, path, &n) || container_value(mount.container, n, &v)) {
		answer(-ENOENT, path);
		return;
	}
	text_print(container_row(mount.container, n), &v, &text);
	printf("ok ");
	for (i = 0; i < text.size; i++)
		printf("%02x", text.bytes[i]);
	putchar('\n');
	fflush(stdout);
	buffer_free(&text);
}

static void do_poke(const char *offset, const char *hex)
{
	uint8_t bytes[4096];
	size_t n;

	for (n = 0; n < sizeof(bytes) && sscanf(hex + 2 * n, "%2hhx", &bytes[n]) == 1; n++)
		;
	answer(ram_write(mount.ram, bytes, n, strtoull(offset, NULL, 0)), "");
}

static bool is_open_to(int fd, int access)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == access;
}

/* Whether FD only locks a file that is open for writing as well, as it is after the first edit. */
static bool is_lock(int fd)
{
	struct stat st, other;
	int i;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_open_to(fd, O_RDONLY))
		return false;
	for (i = 0; i < 16; i++)
		if (i != fd && fstat(i, &other) == 0 && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino && is_open_to(i, O_RDWR))
			return true;
	return false;
}

static void do_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	char text[24];
	int count = -4; /* ".", ".." and this one's own; a trace has one, too, or there is none */

	while (dir && (entry = readdir(dir)))
		count += entry->d_name[0] == '.' || !is_lock(atoi(entry->d_name));
	closedir(dir);
	snprintf(text, sizeof(text), "%d", count + !trace_file);
	answer(0, text);
}

static void do_close(void)
{
	if (snapshot) {
		mount_destroy(&mount);
		snapshot_close(snapshot);
	}
	snapshot = NULL;
	answer(0, "");
}

static void run(char *line)
{
	char *word[3] = { "", "", "" };
	char text[256];
	unsigned i;

	for (i = 0; i < 3 && line; i++)
		word[i] = i < 2 ? strsep(&line, " ") : line;
	if (strcmp(word[0], "open") == 0) {
		do_open(word[1], SNAPSHOT_EDIT, word[2]);
	} else if (strcmp(word[0], "look") == 0) {
		do_open(word[1], SNAPSHOT_LOOK, "");
	} else if (strcmp(word[0], "set") == 0) {
		do_set(word[1], word[2]);
	} else if (strcmp(word[0], "get") == 0) {
		do_get(word[1]);
	} else if (strcmp(word[0], "poke") == 0) {
		do_poke(word[1], word[2]);
	} else if (strcmp(word[0], "hold") == 0) {
		mount.policy = SAVE_ON_SYNC;
		answer(0, "");
	} else if (strcmp(word[0], "save-ram") == 0) {
		mount.save_ram = true;
		answer(mount_sync(&mount), reported);
	} else if (strcmp(word[0], "way") == 0) {
		answer(0, snapshot_way(snapshot) ? snapshot_way(snapshot) : "");
	} else if (strcmp(word[0], "fds") == 0) {
		do_fds();
	} else if (strcmp(word[0], "mark") == 0) {
		snprintf(text, sizeof(text), "/mark/%s", word[1]);
		(void)!access(text, F_OK);
		trace("mark %s", word[1]);
		answer(0, "");
	} else if (strcmp(word[0], "close") == 0) {
		do_close();
	} else {
		answer(-EINVAL, "unknown command");
	}
}

int main(void)
{
	const char *path = getenv("SAVE_DRIVER_TRACE");
	const char *size = getenv("SAVE_DRIVER_SHORT");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	trace_file = path ? fopen(path, "ae") : NULL;
	if (size)
		short_size = strtoul(size, NULL, 10);
	no_sync = getenv("SAVE_DRIVER_NOSYNC") != NULL;
	keep_folder = getenv("SAVE_DRIVER_KEEP");
	guard_install();
	while ((n = getline(&line, &room, stdin)) > 0) {
		if (line[n - 1] == '\n')
			line[n - 1] = 0;
		run(line);
	}
	free(line);
	if (trace_file)
		fclose(trace_file);
	return 0;
}
