/* SPDX-License-Identifier: MIT */
#include "snapshot_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "beside.h"
#include "head.h"
#include "layout.h"
#include "locked.h"

/* What a folder's snapshot is called, the first that is there. */
static const char *const names[] = { "restore.snap", "vm.snap", NULL };

static const char unfinished[] = "a save of it is not finished; try again when it is";

int snapshot_lock_target(struct snapshot *s, void (*tell)(const char *text), struct error *e)
{
	int fd;

	if (s->fd_is_target || (s->target_fd >= 0 && names_file(AT_FDCWD, s->target, s->target_fd)))
		return 0;
	if (names_file(AT_FDCWD, s->target, s->fd))
		return error_set(e, EINVAL, "is the snapshot itself");
	if (s->ram_fd >= 0 && names_file(AT_FDCWD, s->target, s->ram_fd))
		return error_set(e, EINVAL, "is the file that RAM is in");
	if (s->target_fd >= 0)
		close(s->target_fd);
	s->target_fd = -1;
	fd = save_open_locked(s->target, O_RDONLY, LOCK_EX,
			      s->nolock ? NO_LOCKS_GO_ON : NO_LOCKS_FAIL, tell, e);
	if (fd >= 0)
		s->target_fd = fd;
	return fd < 0 && fd != -ENOENT ? fd : 0;
}

/* The path that OUTPUT means: its folder must be there, the file need not. */
static int resolve_output(struct snapshot *s, const char *output,
			  void (*tell)(const char *text), struct error *e)
{
	const char *slash = strrchr(output, '/');
	char folder[PATH_MAX];
	char *real;
	int err;

	s->target = realpath(output, NULL);
	if (!s->target && errno == ENOENT) {
		snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - output + 1) : 2,
			 slash ? output : "./");
		real = realpath(folder, NULL);
		if (real && asprintf(&s->target, "%s/%s", real, slash ? slash + 1 : output) < 0)
			s->target = NULL;
		free(real);
	}
	if (!s->target)
		return error_set(e, errno, "output %s: %s", output, strerror(errno));
	err = beside_check_writable(s->target, e);
	if (!err)
		err = snapshot_lock_target(s, tell, e);
	return err ? error_prefix(e, -err, "output %s", output) : 0;
}

/* Open the file that RAM is in instead of the snapshot; its size to *SIZE. */
static int open_ram_file(struct snapshot *s, const char *path, uint64_t *size, struct error *e)
{
	struct stat st;

	s->ram_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->ram_fd < 0 || fstat(s->ram_fd, &st) < 0)
		return error_set(e, errno, "ram %s: %s", path, strerror(errno));
	s->ram_path = realpath(path, NULL);
	if (!s->ram_path)
		return error_set(e, errno, "ram %s: %s", path, strerror(errno));
	/* Its RAM would move under the mapping of what is taken for another file. */
	if (names_file(AT_FDCWD, s->ram_path, s->fd))
		return error_set(e, EINVAL, "ram %s: is the snapshot itself", path);
	*size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Whether C, a bare container before the end of its file, is only what zeros, as at the
 * start of a RAM image, decode to.
 */
static bool is_hollow(const struct container *c, uint64_t head_end, uint64_t file_size)
{
	struct node n;

	return head_end < file_size && container_mem_size(c) == 0 &&
	       container_find(c, "vcpu/0", &n) == -ENOENT;
}

/* Add what a person can do to E. */
static void advise(const char *advice, struct error *e)
{
	struct error why = *e;

	error_set(e, why.code, "%s; %s", why.text, advice);
}

/* Tell the layout, and read the head. */
static int open_head(struct snapshot *s, const struct region_options *region, struct error *e)
{
	uint64_t size = (uint64_t)s->st.st_size, end;
	int err = layout_detect(s->fd, size, region->container_offset_given, &s->layout, e);

	if (err)
		return err;
	if (region->ram_offset_given && !s->layout->offsets_given)
		return error_set(e, EINVAL,
				 "says itself where RAM is (layout %s): leave the ram_offset option out",
				 s->layout->name);
	err = head_read(s->layout->head, s->fd, region->container_offset, size, &s->container,
			&s->head_sum, e);
	if (err == -ERR_TRUNCATED)
		advise("was it copied whole?", e);
	if (err && s->layout->offsets_given && !region->container_offset_given)
		return error_prefix(e, -err, "not a snapshot (no SMSNAP at its start), nor a bare container");
	if (err)
		return err;
	end = region->container_offset + container_size(s->container);
	if (s->layout->offsets_given && !region->container_offset_given &&
	    is_hollow(s->container, end, size))
		return error_set(e, EINVAL,
				 "not a snapshot (no SMSNAP at its start); is it a RAM image? To have it read as a bare container without RAM, give the option container_offset=0");
	return 0;
}

/* The base of the diff S, as the options say; one that is not to be had is told of and is none. */
static int open_base(struct snapshot *s, const struct snapshot_options *options,
		     struct diff_base *out, struct error *e)
{
	struct error why = { 0 };
	struct value recorded;
	struct node n;
	char *path;
	int err;

	*out = (struct diff_base){ .fd = -1 };
	if (options->base_use == BASE_UNUSED || container_find(s->container, LAYOUT_BASE, &n))
		return 0;
	err = container_value(s->container, n, &recorded);
	if (err)
		return error_set(e, -err, "%s: %s", LAYOUT_BASE, strerror(-err));
	if (options->base)
		recorded = (struct value){ (const uint8_t *)options->base, strlen(options->base) };
	path = strndup((const char *)recorded.bytes, recorded.size);
	if (!path)
		return error_set(e, ENOMEM, "out of memory");
	err = base_open(path, recorded.size, s->fd, s->path, container_mem_size(s->container), out,
			&why);
	free(path);
	if (!err)
		return 0;
	if (options->base)
		return error_set(e, -err, "base %s", why.text);
	/* That nothing is wrong with it a second try may tell. */
	if (err == -ENOMEM)
		return error_set(e, -err, "base %s", why.text);
	error_set(e, -err, "no base: %s; %s", why.text, options->base_hint);
	if (options->base_use == BASE_NEEDED)
		return err;
	if (options->tell)
		options->tell(e->text);
	*e = (struct error){ 0 };
	return 0;
}

/* The listed pages of the diff S over its base, and with that, its parts. */
static int set_up_diff(struct snapshot *s, const struct snapshot_options *options, struct error *e)
{
	uint64_t head_size = container_size(s->container), file_size = (uint64_t)s->st.st_size;
	uint64_t mem_size = container_mem_size(s->container), count = 0;
	struct ram_source *source;
	struct page_list *list;
	struct diff_base base;
	bool has_base;
	int err;

	s->parts = (struct parts){
		.head_size = head_size, .tail_offset = head_size, .file_size = file_size, .glued = true
	};
	container_number(s->container, LAYOUT_CHANGED_PAGES, &count);
	err = page_list_open(s->fd, head_size, count, file_size, mem_size, &list, e);
	if (err)
		return err;
	if (mem_size == 0) {
		page_list_close(list);
		return 0;
	}
	err = open_base(s, options, &base, e);
	has_base = base.fd >= 0;
	if (!err)
		err = source_open_diff(&base, list, mem_size, &source, e);
	if (err) {
		base_close(&base);
		page_list_close(list);
		return err;
	}
	err = ram_open_over(source, mem_size, &s->ram, e);
	if (err != -ENOMEM || has_base)
		return err;
	/* No base is as large as this one claims to be: what there is else can be looked at. */
	if (options->tell && options->base_use != BASE_UNUSED)
		options->tell(e->text);
	*e = (struct error){ 0 };
	return 0;
}

/* Find and map RAM, in RAM_LEN bytes of its file, and with that, know the parts. */
static int set_up_ram(struct snapshot *s, const struct snapshot_options *options,
		      uint64_t ram_len, struct error *e)
{
	struct region_options region = options->region;
	struct region_question q = {
		.options = &region,
		.head_end = region.container_offset + container_size(s->container),
		.mem_size = container_mem_size(s->container),
		.file_len = ram_len,
	};
	bool in_header = container_number(s->container, LAYOUT_RAM_OFFSET, &q.ram_offset);
	bool has_ram;
	uint64_t ram_offset;
	int err;

	if (s->layout->is_diff)
		return set_up_diff(s, options, e);
	s->parts = (struct parts){
		.head_offset = region.container_offset,
		.head_size = container_size(s->container),
		.tail_offset = q.head_end,
		.file_size = (uint64_t)s->st.st_size,
	};
	region.ram_elsewhere = options->ram_file != NULL;
	err = s->layout->find_ram(&q, &has_ram, &ram_offset, e);
	if (err)
		return err;
	if (has_ram && !options->ram_file)
		s->parts.tail_offset = ram_offset;
	/* Where there is no RAM the header says where it would be. */
	else if (!has_ram && in_header && q.ram_offset > q.head_end &&
		 q.ram_offset <= s->parts.file_size)
		s->parts.tail_offset = q.ram_offset;
	s->parts.glued = !in_header && s->parts.tail_offset == s->parts.file_size;
	if (!has_ram)
		return 0;
	return ram_open(options->ram_file ? s->ram_fd : s->fd, ram_offset, q.mem_size, ram_len,
			&s->ram, e);
}

/* Open and lock the snapshot as the options ask, with no unfinished save in it. */
static int open_recovered(struct snapshot *s, const struct snapshot_options *options,
			  struct error *e)
{
	bool edit = options->access == SNAPSHOT_EDIT && !options->output;
	enum no_locks no_locks = options->nolock	     ? NO_LOCKS_GO_ON
				 : edit || options->output ? NO_LOCKS_FAIL
							     : NO_LOCKS_TELL;
	int err;

	if (options->access != SNAPSHOT_LOOK)
		return save_open_locked(s->path, O_RDONLY, edit ? LOCK_EX : LOCK_SH, no_locks,
					options->tell, e);
	err = save_recover(s->path, no_locks, options->tell, e);
	return err < 0 ? err : open_plain(s->path, O_RDONLY, e);
}

static int open_file(struct snapshot *s, const struct snapshot_options *options,
		     struct error *e)
{
	uint64_t ram_len;
	int err;

	if (options->access == SNAPSHOT_EDIT && !options->output) {
		err = check_writable(s->path, e);
		if (!err)
			err = beside_check_writable(s->path, e);
		if (err)
			return err;
	}
	s->fd = open_recovered(s, options, e);
	if (s->fd < 0)
		return s->fd;
	err = identity_get(s->fd, &s->identity);
	if (err)
		return error_set(e, -err, "%s", strerror(-err));
	/* One that is under way may have set the file's time already, and write on. */
	s->identity_known = options->access != SNAPSHOT_LOOK || !save_has_journal(s->path);
	if (!s->identity_known)
		return error_set(e, EBUSY, "%s", unfinished);
	if (fstat(s->fd, &s->st) < 0)
		return error_set(e, errno, "%s", strerror(errno));
	if (s->st.st_size == 0)
		return error_set(e, EINVAL, "is empty, not a snapshot; was it copied whole?");
	ram_len = (uint64_t)s->st.st_size;
	err = open_head(s, &options->region, e);
	if (!err && options->ram_file && !s->layout->offsets_given)
		err = error_set(e, EINVAL,
				"has its RAM itself (layout %s): leave the ram option out",
				s->layout->name);
	if (!err && options->base && !s->layout->is_diff)
		err = error_set(e, EINVAL, "has no base (layout %s): leave the base option out",
				s->layout->name);
	if (!err && options->ram_file)
		err = open_ram_file(s, options->ram_file, &ram_len, e);
	if (!err && options->output) {
		err = resolve_output(s, options->output, options->tell, e);
	} else if (!err) {
		s->fd_is_target = true;
		s->target = strdup(s->path);
		err = s->target ? 0 : error_set(e, ENOMEM, "out of memory");
	}
	if (!err)
		err = set_up_ram(s, options, ram_len, e);
	if (!err && s->layout->has_sidecars && sidecars_open(s->path, options->tell, &s->sidecars))
		err = error_set(e, ENOMEM, "out of memory");
	return err;
}

/* Whether no save came between while S was read without a lock. */
static bool is_settled(const struct snapshot *s)
{
	struct identity now = { 0 };

	if (s->fd < 0)
		return true; /* it failed for another reason */
	return s->identity_known && !save_has_journal(s->path) && !identity_get(s->fd, &now) &&
	       identity_equal(&now, &s->identity) && names_file(AT_FDCWD, s->path, s->fd);
}

char *snapshot_find(const char *path, struct error *e)
{
	char *real = realpath(path, NULL), *file, *found = NULL;
	struct stat st;
	unsigned i;

	if (!real || stat(real, &st) < 0) {
		error_set(e, errno, "%s", strerror(errno));
		free(real);
		return NULL;
	}
	if (!S_ISDIR(st.st_mode))
		return real;
	for (i = 0; names[i]; i++) {
		if (asprintf(&file, "%s/%s", real, names[i]) < 0)
			break;
		found = realpath(file, NULL);
		free(file);
		if (found || errno != ENOENT)
			break;
	}
	if (names[i] && !found)
		error_set(e, errno, "%s: %s", names[i], strerror(errno));
	else if (!names[i])
		error_set(e, ENOENT, "a folder without a snapshot: there is no %s or %s in it",
			  names[0], names[1]);
	free(real);
	return names[i] ? found : NULL;
}

static int open_once(const char *path, const struct snapshot_options *options,
		     struct snapshot **out, struct error *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return error_set(e, ENOMEM, "out of memory");
	s->fd = s->lock_fd = s->ram_fd = s->target_fd = -1;
	s->replace = options->replace;
	s->nolock = options->nolock;
	s->path = snapshot_find(path, e);
	return s->path ? open_file(s, options, e) : -e->code;
}

int snapshot_open(const char *path, const struct snapshot_options *options,
		  struct snapshot **out, struct error *e)
{
	struct snapshot *s;
	int err = open_once(path, options, &s, e);
	int tries = 0;

	while (options->access == SNAPSHOT_LOOK && s && !is_settled(s)) {
		if (tries++ == LOCK_TRIES) {
			err = error_set(e, EBUSY, "%s", unfinished);
			break;
		}
		snapshot_close(s);
		pause_briefly();
		err = open_once(path, options, &s, e);
	}
	if (err) {
		snapshot_close(s);
		return error_prefix(e, -err, "%s", path);
	}
	*out = s;
	return 0;
}

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	sidecars_close(s->sidecars);
	ram_close(s->ram);
	container_free(s->container);
	if (s->fd >= 0)
		close(s->fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->ram_fd >= 0)
		close(s->ram_fd);
	if (s->target_fd >= 0)
		close(s->target_fd);
	free(s->ram_path);
	free(s->target);
	free(s->path);
	free(s);
}
