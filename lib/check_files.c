/* SPDX-License-Identifier: MIT */
/* The files on the host that a snapshot names: disks, volumes, a base, and what is beside it. */
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base.h"
#include "check_parts.h"
#include "json.h"

/* The folder of the snapshot, with a slash at its end, in OUT. */
static void folder_of(struct check *k, char out[PATH_MAX])
{
	const char *path = snapshot_path(k->s), *slash = strrchr(path, '/');

	snprintf(out, PATH_MAX, "%.*s", slash ? (int)(slash - path + 1) : 0, path);
}

int check_below(const char *root, const char *path, char out[PATH_MAX])
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int folder, fd = -1, err;
	char link[64], found[PATH_MAX];
	ssize_t n = -1;

	if (snprintf(out, PATH_MAX, "%s%s", root, path) >= PATH_MAX)
		return -EINVAL;
	folder = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0)
		fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
	if (fd >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, found, sizeof(found) - 1);
	}
	err = n < 0 ? -errno : 0;
	if (!err)
		snprintf(out, PATH_MAX, "%.*s", (int)n, found);
	if (fd >= 0)
		close(fd);
	if (folder >= 0)
		close(folder);
	return err == -ENOSYS ? 0 : err; /* before Linux 5.6 links lead elsewhere */
}

int check_host_path(struct check *k, const struct value *path, char out[PATH_MAX])
{
	char folder[PATH_MAX] = "", name[PATH_MAX];

	out[0] = 0;
	if (!path->size || path->size >= PATH_MAX || memchr(path->bytes, 0, path->size))
		return -EINVAL;
	snprintf(name, sizeof(name), "%.*s", (int)path->size, (const char *)path->bytes);
	if (k->host_root && name[0] == '/')
		return check_below(k->host_root, name, out);
	if (name[0] != '/')
		folder_of(k, folder);
	return snprintf(out, PATH_MAX, "%s%s", folder, name) < PATH_MAX ? 0 : -EINVAL;
}

bool check_canonical(struct check *k, const char *real, char out[PATH_MAX])
{
	char root[PATH_MAX], full[PATH_MAX];
	size_t n = 0;

	if (!realpath(real, full))
		return false;
	if (k->host_root && realpath(k->host_root, root) && strcmp(root, "/") != 0)
		n = strlen(root);
	if (strncmp(full, root, n) != 0 || (full[n] && full[n] != '/'))
		n = 0;
	snprintf(out, PATH_MAX, "%s", full[n] ? full + n : "/");
	return true;
}

/*
 * Disks
 */

/* A file behind a device. */
struct backing {
	dev_t device;
	ino_t inode;
	uint64_t index; /* of the device that has it */
};


/* Note that device INDEX has the file ST; the first that had it already in *OTHER. */
static bool is_taken(struct buffer *list, const struct stat *st, uint64_t index, uint64_t *other)
{
	struct backing b = { st->st_dev, st->st_ino, index };
	const struct backing *p = (const struct backing *)list->bytes;
	size_t i;

	for (i = 0; i < list->size / sizeof(b); i++) {
		if (p[i].device != b.device || p[i].inode != b.inode)
			continue;
		*other = p[i].index;
		return true;
	}
	buffer_add(list, &b, sizeof(b));
	return false;
}

static void check_image(struct check *k, uint64_t index, bool is_volume, struct buffer *list)
{
	char path[CHECK_PATH], size_path[CHECK_PATH], real[PATH_MAX];
	uint64_t size, other = 0;
	struct value v;
	struct stat st;
	int err;

	check_path(path, "devices/%" PRIu64 "/backing/path", index);
	check_path(size_path, "devices/%" PRIu64 "/backing/size", index);
	size = check_number(k, size_path);
	if (!check_value(k, path, &v))
		return;
	err = check_host_path(k, &v, real);
	if (err == -EINVAL) {
		finding_tell(k->to, LEVEL_ERROR, path, "the path of an image",
			     "no file can have this path of %zu bytes", v.size);
		return;
	}
	if (err || stat(real, &st) < 0) {
		finding_tell(k->to, LEVEL_ERROR, path, is_volume ? "an image that is there" :
			     "an image that is there, for the guest would get an empty disk",
			     "%s: %s", real, strerror(err ? -err : errno));
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		finding_tell(k->to, LEVEL_ERROR, path, "an image in a regular file", "%s: is %s", real,
			     S_ISBLK(st.st_mode) ? "a block device, whose size the monitor takes for 0"
						 : "no regular file");
		return;
	}
	if (access(real, R_OK | W_OK) < 0)
		finding_tell(k->to, LEVEL_ERROR, path, "a file that can be read and written", "%s: %s",
			     real, strerror(errno));
	if (is_taken(list, &st, index, &other))
		finding_tell(k->to, LEVEL_ERROR, path, "a file for each device",
			     "%s: is the file of devices/%" PRIu64 " as well", real, other);
	if (!size && !st.st_size)
		finding_tell(k->to, LEVEL_ERROR, path, "an image with something in it", "%s: is empty", real);
	else if (!is_volume && (uint64_t)st.st_size < size && size > INT64_MAX)
		finding_tell(k->to, LEVEL_ERROR, size_path, "a size that a file can have", "%" PRIu64 " is none",
			     size);
	else if ((uint64_t)st.st_size < size)
		finding_tell(k->to, is_volume ? LEVEL_ERROR : LEVEL_WARNING, size_path,
			     is_volume ? "an image as large at least" : "an image as large: it will be grown",
			     "%" PRIu64 ", and %s has %" PRIu64 " bytes", size, real, (uint64_t)st.st_size);
}

void check_disks(struct check *k)
{
	uint64_t i, count = check_count(k, "devices");
	struct buffer list = { 0 };

	for (i = 0; i < count; i++) {
		bool is_volume = check_is_device(k, i, "volume", "volume");

		if (is_volume || check_is_device(k, i, "blk", "disk"))
			check_image(k, i, is_volume, &list);
	}
	if (list.failed)
		k->err = -ENOMEM;
	buffer_free(&list);
}

/*
 * A base
 */

/* What is wrong with the base, CTX's, is wrong with the snapshot. */
static void tell_of_base(void *ctx, const struct finding *f)
{
	struct check *k = ctx;

	if (f->level == LEVEL_ERROR)
		finding_tell(k->to, f->level, "layout/base", f->right, "the base's %s: %s", f->path, f->wrong);
}

/* That the monitor reads the base at PATH, all but its RAM. */
static void check_base_reads(struct check *k, const char *path)
{
	struct snapshot_options o = { .access = SNAPSHOT_LOOK, .base_use = BASE_UNUSED };
	struct findings to = { tell_of_base, k };
	struct check base = { .to = &to };
	struct error e = { 0 };

	if (snapshot_open(path, &o, &base.s, &e)) {
		finding_tell(k->to, LEVEL_ERROR, "layout/base", "the snapshot that it was taken against", "%s", e.text);
		return;
	}
	base.c = snapshot_container(base.s);
	check_pairings(&base);
	check_kvm_states(&base);
	k->err = base.err;
	snapshot_close(base.s);
}

/* The base that V, which k's snapshot records, is, in OUT: 0, or a negative errno with E. */
static int find_base(struct check *k, const struct value *v, struct diff_base *out, struct error *e)
{
	uint64_t size = check_number(k, "mem_size");
	char real[PATH_MAX];
	int err = check_host_path(k, v, real);

	if (err == -EINVAL)
		return error_set(e, EINVAL, "no file can have this path of %zu bytes", v->size);
	/* A relative one is looked for as the snapshot's own open does it. */
	if (v->bytes[0] != '/') {
		snprintf(real, sizeof(real), "%.*s", (int)v->size, (const char *)v->bytes);
		return base_open(real, strlen(real), -1, snapshot_path(k->s), size, out, e);
	}
	if (err)
		return error_set(e, -err, "%s: %s", real, strerror(-err));
	return base_open(real, strlen(real), -1, "", size, out, e);
}

void check_base(struct check *k)
{
	const struct stat *own = snapshot_stat(k->s);
	struct diff_base base = { .fd = -1 };
	struct error e = { 0 };
	struct value v;

	if (!check_value(k, "layout/base", &v))
		return;
	if (v.size && v.bytes[0] != '/')
		finding_tell(k->to, LEVEL_WARNING, "layout/base", "an absolute path",
			     "is relative: the monitor looks in its working directory");
	if (find_base(k, &v, &base, &e)) {
		finding_tell(k->to, LEVEL_ERROR, "layout/base", "the snapshot that it was taken against", "%s",
			     e.text);
		return;
	}
	if (base.st.st_mtim.tv_sec > own->st_mtim.tv_sec ||
	    (base.st.st_mtim.tv_sec == own->st_mtim.tv_sec &&
	     base.st.st_mtim.tv_nsec > own->st_mtim.tv_nsec))
		finding_tell(k->to, LEVEL_WARNING, "layout/base", "the base as it was then",
			     "%s: was changed after this snapshot was", base.path);
	check_base_reads(k, base.path);
	base_close(&base);
}

/*
 * metadata.json
 */

enum { METADATA_MAX = 1 << 20 };

static json_object *read_metadata(struct check *k, const char *path)
{
	struct buffer text = { 0 };
	struct error e = { 0 };
	json_object *top = NULL;
	/* Whoever gave us the folder made it: a FIFO must not make the open wait. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char chunk[4096];
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return NULL; /* most folders have none */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		finding_tell(k->to, LEVEL_ERROR, "layout/format", "one JSON object", "%s: is no regular file", path);
		return NULL;
	}
	while (text.size < METADATA_MAX && (n = read(fd, chunk, sizeof(chunk))) > 0)
		buffer_add(&text, chunk, (size_t)n);
	close(fd);
	if (n < 0 || text.failed || json_parse(text.size ? (char *)text.bytes : "", text.size, &top, &e) ||
	    !json_object_is_type(top, json_type_object)) {
		finding_tell(k->to, LEVEL_ERROR, "layout/format", "one JSON object", "%s: is not read: %s",
			     path, e.text[0] ? e.text : "it is no object");
		json_object_put(top);
		top = NULL;
	}
	buffer_free(&text);
	return top;
}

static void compare_number(struct check *k, json_object *top, const char *file, const char *name,
			   const char *path, uint64_t want)
{
	json_object *o;

	if (json_object_object_get_ex(top, name, &o) &&
	    (!json_object_is_type(o, json_type_int) || json_object_get_uint64(o) != want))
		finding_tell(k->to, LEVEL_WARNING, path, "both the same", "%s says that %s is %s, here it is %" PRIu64,
			     file, name, json_object_to_json_string(o), want);
}

/* That the file which NAME of TOP gives, relative to FOLDER, is REAL. */
static void compare_file(struct check *k, json_object *top, const char *file, const char *folder,
			 const char *name, const char *path, const char *real)
{
	char given[PATH_MAX];
	struct stat a, b;
	const char *text;
	json_object *o;

	if (!json_object_object_get_ex(top, name, &o) || !o)
		return;
	text = json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
	if (snprintf(given, sizeof(given), "%s%s", text[0] == '/' ? "" : folder, text) >= PATH_MAX ||
	    stat(given, &a) < 0 || stat(real, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		finding_tell(k->to, LEVEL_ERROR, path, "both the same", "%s says that %s is %s, and that is not %s",
			     file, name, json_object_to_json_string(o), real);
}

void check_metadata(struct check *k)
{
	char folder[PATH_MAX], file[PATH_MAX + 16], real[PATH_MAX];
	json_object *top, *o;
	struct value v;

	folder_of(k, folder);
	snprintf(file, sizeof(file), "%smetadata.json", folder);
	top = read_metadata(k, file);
	if (!top)
		return;
	if (json_object_object_get_ex(top, "backend", &o) &&
	    (!json_object_is_type(o, json_type_string) || strcmp(json_object_get_string(o), "kvm") != 0))
		finding_tell(k->to, LEVEL_ERROR, "layout/format", "kvm", "%s says that backend is %s", file,
			     json_object_to_json_string(o));
	compare_number(k, top, file, "memory_mib", "mem_size", check_number(k, "mem_size") >> 20);
	compare_number(k, top, file, "vcpus", "num_cpus", check_number(k, "num_cpus"));
	compare_file(k, top, file, folder, "kvm_snapshot", "layout/format", snapshot_path(k->s));
	if (check_value(k, "layout/base", &v) && !check_host_path(k, &v, real))
		compare_file(k, top, file, folder, "kvm_snapshot_base", "layout/base", real);
	json_object_put(top);
}
