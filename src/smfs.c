/* SPDX-License-Identifier: MIT */
/* smfs: mounts a snapshot (smfs(1)). */
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <syslog.h>
#include <unistd.h>

#include "class.h"
#include "fs.h"
#include "guard.h"
#include "options.h"
#include "printable.h"
#include "privileges.h"
#include "readahead.h"
#include "standard.h"
#include "utab.h"

static const char help[] =
	"Usage: smfs [options] SNAPSHOT MOUNTPOINT\n"
	"Shows the inside of a microVM snapshot as files, and saves what is edited.\n"
	"\n"
	"  -f                    stay in the foreground\n"
	"  -d                    trace FUSE's requests (implies -f)\n"
	"  -h, --help            print this\n"
	"  -V, --version         print the version\n"
	"  -o ro                 nothing can be edited\n"
	"  -o scratch            edits are never saved\n"
	"  -o output=FILE        save to FILE, never to the snapshot\n"
	"  -o save=sync          save on fsync and at the end, not at each edit\n"
	"  -o save_ram           save what is written to /ram, on fsync and at the end\n"
	"  -o replace            save by a new file and a rename, never in place\n"
	"  -o base=FILE          the base of a differential snapshot is FILE\n"
	"  -o nolock             go on where the file system has no locks\n"
	"  -o ram=FILE           RAM is in FILE; ram=direct: not cached by the kernel\n"
	"  -o writeback          gather what is written to /ram; fields are read-only\n"
	"  -o ram_limit=SIZE     of what is written to /ram; default half of memory\n"
	"  -o ram_offset=N       RAM is at byte N\n"
	"  -o container_offset=N the container is at byte N\n"
	"  -o log=FILE           append what the daemon has to say to FILE, not only to syslog\n"
	"  -o uid=N,gid=N        who owns the files; default: who mounts\n"
	"  -o umask=M            octal bits to take from the files' modes; default 077\n"
	"and the mount options of every FUSE file system, such as allow_other.\n"
	"\n"
	"Unmount with: umount MOUNTPOINT, or fusermount3 -u MOUNTPOINT\n";

/*
 * A save needs memory for the container, a few times: it goes back to the system after.
 * Left alone, malloc keeps such pieces once it has seen one, for each thread.
 */
enum { LARGE_PIECE = 256 << 10 };

/* RAM is read in large pieces, and a request costs two wake-ups. */
enum { READAHEAD_KIB = 4096 };

/*
 * A request that waits for the disk, or for the edit before it, keeps a thread: with
 * as many as that the whole mount would wait.  Each has a descriptor, of which a
 * process may have 1,024 where nothing else is set.
 */
enum { MOST_THREADS = 900, IDLE_THREADS = 10 };

/* How often to begin again, with pauses, where memory has run out. */
enum { MOST_TRIES = 1000 };

/* How libfuse's loop says that it could start no thread. */
enum { LOOP_NO_THREAD = -1 };

static bool to_syslog;      /* standard error is not there any more */
static int log_fd = -1;     /* of log=FILE */
static bool serving;        /* libfuse's messages are to be reported */
static char fuse_said[256]; /* before: its first line, for a message of ours */
static pid_t main_process;

/* A line of the log, in one piece: others may append to it as well. */
static void append_to_log(const char *text)
{
	char when[32], line[2048 + 64];
	time_t now = time(NULL);
	struct tm tm;
	int n;

	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%FT%T%z", &tm);
	n = snprintf(line, sizeof(line), "%s smfs[%ld]: %s\n", when, (long)getpid(), text);
	if (write(log_fd, line, (size_t)n) < 0)
		syslog(LOG_ERR, "the log cannot be written: %s", strerror(errno));
}

static void report(const char *text)
{
	char shown[2048];

	printable(text, shown, sizeof(shown));
	if (log_fd >= 0)
		append_to_log(shown);
	if (to_syslog)
		syslog(LOG_ERR, "%s", shown);
	else
		fprintf(stderr, "smfs: %s\n", shown);
}

/* libfuse says why it failed in a line of its own, and that in pieces. */
static void on_fuse_message(enum fuse_log_level level, const char *fmt, va_list ap)
{
	size_t used = strlen(fuse_said);
	char text[256];

	/* What a child of libfuse's says would be lost with it. */
	if (level > FUSE_LOG_WARNING || getpid() != main_process) {
		vfprintf(stderr, fmt, ap);
	} else if (serving) {
		vsnprintf(text, sizeof(text), fmt, ap);
		text[strcspn(text, "\n")] = 0;
		report(text);
	} else if (!strchr(fuse_said, '\n')) {
		vsnprintf(fuse_said + used, sizeof(fuse_said) - used, fmt, ap);
	}
}

/* Why libfuse failed, or OTHERWISE if it did not say.  errno was 0 before. */
static const char *why_fuse_failed(const char *otherwise)
{
	if (errno == ENOMEM)
		return "out of memory";
	fuse_said[strcspn(fuse_said, "\n")] = 0;
	return fuse_said[0] ? fuse_said : otherwise;
}

/* Why there is no mount: WHO, a program that was to make it, said it, or libfuse did. */
static void report_no_mount(const char *mountpoint, const char *who)
{
	char text[2048];

	snprintf(text, sizeof(text), "cannot mount on %s: %s%s", mountpoint,
		 who[0] && errno != ENOMEM ? who : why_fuse_failed("libfuse does not say why"),
		 strstr(who, strerror(EPERM))
			 ? "; in a container, it has to be given CAP_SYS_ADMIN and /dev/fuse"
			 : "");
	report(text);
}

static int check_mountpoint(const char *path, struct error *e)
{
	struct statx st;

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &st) < 0) {
		if (errno == ENOTCONN)
			return error_set(e, errno, "%s: a daemon died here; first run: umount %s",
					 path, path);
		return error_set(e, errno, "mount point %s: %s", path, strerror(errno));
	}
	if (!S_ISDIR(st.stx_mode))
		return error_set(e, ENOTDIR, "mount point %s: not a directory", path);
	if (st.stx_attributes & st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)
		return error_set(e, EBUSY,
				 "mount point %s: something is mounted there; unmount that or take another",
				 path);
	if (access(path, W_OK) < 0)
		return error_set(e, errno, "mount point %s: %s", path, strerror(errno));
	return 0;
}

/*
 * PATH without symbolic links in OUT; of a file that is not there yet, its folder.
 * False if there is neither: whoever opens it says why.
 */
static bool resolve(const char *path, char out[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];

	if (realpath(path, out))
		return true;
	if (errno != ENOENT)
		return false;
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
		 slash ? path : ".");
	return realpath(folder, out);
}

/* Whether PATH, absolute, which is cut to pieces, is the directory AT or lies below it. */
static bool is_within(char *path, const struct stat *at)
{
	struct stat st;
	char *slash;

	/* Not by name: a mount is seen on every path that leads to its directory. */
	for (;;) {
		if (stat(path, &st) == 0 && st.st_dev == at->st_dev && st.st_ino == at->st_ino)
			return true;
		slash = strrchr(path, '/');
		if (!slash[1])
			return false;
		slash[slash == path] = 0;
	}
}

static int check_outside(const char *what, const char *path, const char *mountpoint,
			 struct error *e)
{
	char real[PATH_MAX];
	struct stat at;

	if (!path || stat(mountpoint, &at) < 0 || !resolve(path, real) || !is_within(real, &at))
		return 0;
	return error_set(e, EINVAL,
			 "%s%s: lies below the mount point %s, which would hide it; take another mount point",
			 what, path, mountpoint);
}

/*
 * A save that goes below the mount point would wait for the daemon, which makes that
 * save; and what is read there would be gone when the file is opened again.
 */
static int check_files_outside(const struct options *o, struct error *e)
{
	int err = check_outside("", o->snapshot, o->mountpoint, e);

	if (!err)
		err = check_outside("output ", o->output, o->mountpoint, e);
	if (!err)
		err = check_outside("ram ", o->ram_file, o->mountpoint, e);
	if (!err)
		err = check_outside("base ", o->base, o->mountpoint, e);
	if (!err)
		err = check_outside("log ", o->log, o->mountpoint, e);
	return err;
}

static int check_device(struct error *e)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set(e, errno, "/dev/fuse: %s; as root try: %s", strerror(errno),
				 errno == EACCES ? "chmod 666 /dev/fuse" : "modprobe fuse");
	close(fd);
	return 0;
}

static int open_snapshot(const struct options *o, struct snapshot **out, struct error *e)
{
	struct snapshot_options options = {
		.access = o->read_only || o->scratch ? SNAPSHOT_READ : SNAPSHOT_EDIT,
		.output = o->output,
		.ram_file = o->ram_file,
		.base = o->base,
		.base_use = BASE_WANTED,
		.base_hint = "of ram only the listed pages can be read: correct layout/base, or give -o base=FILE",
		.replace = o->replace,
		.nolock = o->nolock,
		.region = o->region,
		.tell = report,
	};

	return snapshot_open(o->snapshot, &options, out, e);
}

/* Whether A and B, of which B may be null, are one file. */
static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* Open log=FILE, which must be none of the files that S is read from or saved to. */
static int open_log(const struct options *o, const struct snapshot *s, struct error *e)
{
	int fd;

	if (!o->log)
		return 0;
	if (snapshot_is_file(s, o->log) || is_same_file(o->log, o->output) ||
	    is_same_file(o->log, o->base))
		return error_set(e, EINVAL, "log %s: is a file that the mount is of, not a log; take another",
				 o->log);
	fd = open(o->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd < 0)
		return error_set(e, errno, "log %s: %s", o->log, strerror(errno));
	log_fd = fd;
	return 0;
}

static uint64_t half_of_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) / 2 * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Why /ram is not to be passed through; null if it may. */
static const char *why_no_passthrough(const struct options *o)
{
	if (o->ram_direct)
		return "with ram=direct it is read by smfs";
	if (o->writeback)
		return "the kernel has either that or writeback";
	if (o->ram_limit_text)
		return "nothing that is passed through can be held to ram_limit";
	return NULL;
}

static void fs_init(struct fs *fs, const struct options *o, struct snapshot *snapshot)
{
	*fs = (struct fs){
		.read_only = o->read_only,
		.ram_direct = o->ram_direct,
		.writeback = o->writeback,
		.max_read = o->max_read,
		.uid = o->uid,
		.gid = o->gid,
		.umask = o->umask,
		.mtime = snapshot_stat(snapshot)->st_mtim,
	};
	mount_init(&fs->mount, snapshot);
	fs->mount.policy = o->scratch || o->read_only ? SAVE_NEVER
			   : o->sync_at_end	      ? SAVE_ON_SYNC
						      : SAVE_AT_ONCE;
	if (fs->mount.ram)
		ram_set_limit(fs->mount.ram, o->ram_limit_text ? o->ram_limit : half_of_memory());
	fs->mount.save_ram = o->save_ram;
	fs->mount.verbose = o->debug;
	fs->mount.report = report;
	files_init(&fs->files, &fs->mount);
	fs->files.changed = field_changed;
	fs->files.changed_ctx = fs;
	temps_init(&fs->temps);
	pthread_mutex_init(&fs->guest.lock, NULL);
	pthread_mutex_init(&fs->vmcore.lock, NULL);
	passthrough_init(&fs->passthrough, why_no_passthrough(o));
}

static void fs_destroy(struct fs *fs)
{
	passthrough_destroy(&fs->passthrough);
	vmcore_destroy(fs);
	pthread_mutex_destroy(&fs->guest.lock);
	temps_destroy(&fs->temps);
	files_destroy(&fs->files);
	mount_destroy(&fs->mount);
}

/*
 * libfuse ends its threads with pthread_cancel(3), for which the C library loads
 * another library, and aborts where there is no memory for that: have it loaded
 * before edits can be lost.
 */
static int prepare_to_cancel(struct error *e)
{
	void *frame;

	if (backtrace(&frame, 1) == 0)
		return error_set(e, ENOMEM, "cannot load libgcc_s: out of memory?");
	return 0;
}

/* The session's own options: permissions are checked by the kernel, always. */
static int add_mount_options(const struct options *o, struct fuse_args *args)
{
	char *list = NULL, name[PATH_MAX + 16];
	int err = fuse_opt_add_opt(&list, "default_permissions,subtype=smfs");

	snprintf(name, sizeof(name), "fsname=%s", o->snapshot);
	if (!err)
		err = fuse_opt_add_opt_escaped(&list, name);
	if (!err)
		err = fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, list);
	if (!err && o->debug)
		err = fuse_opt_add_arg(args, "-odebug");
	free(list);
	return err;
}

/*
 * Answer the kernel's first request, which is about what both can do.  Where that
 * fails, or libfuse refuses it, nothing can be served: here whoever mounts can still be told.
 */
static int serve_first(struct fs *fs)
{
	struct fuse_buf request = { .mem = NULL };
	int n;

	do
		n = fuse_session_receive_buf(fs->session, &request);
	while (n == -EINTR && !fuse_session_exited(fs->session));
	if (n > 0)
		fuse_session_process_buf(fs->session, &request);
	free(request.mem);
	if (n <= 0)
		return n < 0 ? n : -ENOTCONN; /* unmounted already */
	if (!fs->initialized)
		return -ENOMEM;
	return fuse_session_exited(fs->session) ? -EPROTO : 0;
}

/* Serve until the end, or until there was no memory to read a request into, or for a thread. */
static int serve_threaded(struct fs *fs)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, MOST_THREADS);
	fuse_loop_cfg_set_idle_threads(config, IDLE_THREADS);
	err = fuse_session_loop_mt(fs->session, config);
	fuse_loop_cfg_destroy(config);
	return err == LOOP_NO_THREAD ? -ENOMEM : err;
}

/* Serve until the end.  A request that was not read is still there: try again, but not for ever. */
static int serve(struct fs *fs)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	time_t start;
	int err, tries = 0;

	for (;;) {
		start = time(NULL);
		err = serve_threaded(fs);
		if (err != -ENOMEM || tries == MOST_TRIES)
			break;
		tries = time(NULL) - start > 1 ? 0 : tries + 1;
		nanosleep(&pause, NULL);
	}
	/*
	 * A signal ends the loop with its number, and an unmount while a release is being
	 * read with this error: that is how a daemon is ended.
	 */
	return err < 0 && err != -ECONNABORTED ? err : 0;
}

/* Mount FS on MOUNTPOINT, an absolute path, and serve it until its end.  Returns the exit status. */
static int run(struct fs *fs, const struct options *o, const char *mountpoint)
{
	char text[PATH_MAX + 512], said[512];
	bool holds = o->sync_at_end || o->save_ram; /* what umount has to wait for */
	int err, captured, code, status = 1;

	if (fuse_set_signal_handlers(fs->session) != 0) {
		report("cannot set signal handlers");
		return 1;
	}
	captured = standard_capture();
	errno = 0;
	err = fuse_session_mount(fs->session, mountpoint);
	code = errno;
	standard_release(captured, said, sizeof(said));
	errno = code;
	/* Where libfuse has no memory to mount, it may take an error's 0 for its descriptor. */
	if (err || fuse_session_fd(fs->session) <= STDERR_FILENO) {
		report_no_mount(o->mountpoint, said);
		goto out;
	}
	if (said[0])
		report(said);
	/* That its answer did not reach the kernel libfuse only prints. */
	captured = o->debug ? -1 : standard_capture();
	errno = 0;
	err = serve_first(fs);
	code = errno;
	standard_release(captured, said, sizeof(said));
	errno = code;
	if (err || said[0]) {
		snprintf(text, sizeof(text), "cannot mount on %s: %s", o->mountpoint,
			 said[0] ? said : why_fuse_failed(strerror(-err)));
		report(text);
		goto unmount;
	}
	readahead_set(mountpoint, READAHEAD_KIB);
	if (holds)
		utab_add(o->snapshot, mountpoint);
	/* Before any thread is there: a fork takes only its own along. */
	if (fuse_daemonize(o->foreground || o->debug) == 0) {
		to_syslog = !o->foreground && !o->debug;
		serving = true;
		privileges_drop();
		status = serve(fs) < 0;
		status |= files_finish(&fs->files) != 0;
		status |= mount_finish(&fs->mount) != 0;
	}
unmount:
	fuse_session_unmount(fs->session);
	if (holds)
		utab_remove(mountpoint);
out:
	fuse_remove_signal_handlers(fs->session);
	return status;
}

static int mount_snapshot(const struct options *o, struct fuse_args *args)
{
	struct snapshot *snapshot = NULL;
	struct error e = { 0 };
	char *mountpoint;
	struct fs fs;
	int status = 1;

	if (check_mountpoint(o->mountpoint, &e) || check_files_outside(o, &e) ||
	    check_device(&e) || prepare_to_cancel(&e) || open_snapshot(o, &snapshot, &e) ||
	    open_log(o, snapshot, &e)) {
		report(e.text);
		snapshot_close(snapshot);
		return 1;
	}
	if (o->allow_other && !o->umask_text && !o->uid_text && !o->gid_text)
		report("allow_other without umask=: the files' modes shut others out all the same; umask=022 lets them read");
	fs_init(&fs, o, snapshot);
	/* The daemon leaves the folder that a relative path is relative to. */
	mountpoint = realpath(o->mountpoint, NULL);
	if (!mountpoint || add_mount_options(o, args)) {
		report("out of memory");
		goto out;
	}
	errno = 0;
	fs.session = fuse_session_new(args, &fs_operations, sizeof(fs_operations), &fs);
	if (fs.session) {
		status = run(&fs, o, mountpoint);
		fuse_session_destroy(fs.session);
	} else {
		report(why_fuse_failed("wrong options; see smfs --help"));
		status = 2;
	}
out:
	free(mountpoint);
	fs_destroy(&fs);
	snapshot_close(snapshot);
	return status;
}

/* Returns the exit status. */
static int print_about(const struct options *o)
{
	struct error e = { 0 };

	if (o->help)
		fputs(help, stdout);
	else
		printf("smfs %s (libfuse %s)\n", PACKAGE_VERSION, fuse_pkgversion());
	if (!standard_flush(&e))
		return 0;
	report(e.text);
	return 1;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct error e = { 0 };
	struct options o;
	int status = 0;

	if (standard_open(&e)) {
		report(e.text);
		return 1;
	}
	mallopt(M_MMAP_THRESHOLD, LARGE_PIECE);
	prctl(PR_SET_DUMPABLE, 0); /* guests' memory and secrets are in ours */
	openlog("smfs", LOG_PID, LOG_DAEMON);
	guard_install();
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow so far is a write's error */
	fuse_set_log_func(on_fuse_message);
	main_process = getpid();
	errno = 0;
	if (options_parse(&o, &args, &e)) {
		report(why_fuse_failed(e.text));
		status = 2;
	} else if (o.help || o.version) {
		status = print_about(&o);
	} else {
		status = mount_snapshot(&o, &args);
	}
	options_free(&o);
	fuse_opt_free_args(&args);
	return status;
}
