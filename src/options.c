/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"
#include "le.h"

#define OPT(text, member) { text, offsetof(struct options, member), 1 }

/* A number, in a member as it is. */
#define OPT_NUMBER(text, member) { text, offsetof(struct options, member), 0 }

#define IGNORE(text) FUSE_OPT_KEY(text, FUSE_OPT_KEY_DISCARD)

enum { KEY_RAM };

static const struct fuse_opt table[] = {
	OPT("-h", help),
	OPT("--help", help),
	OPT("-V", version),
	OPT("--version", version),
	OPT("-f", foreground),
	OPT("-d", debug),
	OPT("debug", debug),
	OPT("scratch", scratch),
	OPT("nolock", nolock),
	OPT("replace", replace),
	OPT("save_ram", save_ram),
	OPT("save=sync", sync_at_end),
	OPT("writeback", writeback),
	OPT("output=%s", output),
	OPT("log=%s", log),
	OPT("base=%s", base),
	FUSE_OPT_KEY("ram=", KEY_RAM), /* two options, by what is given */
	OPT("ram_limit=%s", ram_limit_text),
	OPT("ram_offset=%s", ram_offset_text),
	OPT("container_offset=%s", container_offset_text),
	OPT("uid=%s", uid_text),
	OPT("gid=%s", gid_text),
	OPT("umask=%s", umask_text),
	/* Ours to know, and the kernel's as well. */
	OPT("ro", read_only),
	FUSE_OPT_KEY("ro", FUSE_OPT_KEY_KEEP),
	OPT("rw", read_write),
	FUSE_OPT_KEY("rw", FUSE_OPT_KEY_KEEP),
	OPT("allow_other", allow_other),
	FUSE_OPT_KEY("allow_other", FUSE_OPT_KEY_KEEP),
	OPT_NUMBER("max_read=%u", max_read),
	FUSE_OPT_KEY("max_read=", FUSE_OPT_KEY_KEEP),
	/* What mount(8) and others take from fstab, and nothing here depends on. */
	IGNORE("_netdev"),
	IGNORE("auto"),
	IGNORE("comment="),
	IGNORE("defaults"),
	IGNORE("diratime"),
	IGNORE("group"),
	IGNORE("lazytime"),
	IGNORE("noauto"),
	IGNORE("nodiratime"),
	IGNORE("nofail"),
	IGNORE("nolazytime"),
	IGNORE("norelatime"),
	IGNORE("nostrictatime"),
	IGNORE("nouser"),
	IGNORE("owner"),
	IGNORE("relatime"),
	IGNORE("strictatime"),
	IGNORE("user"),
	IGNORE("users"),
	FUSE_OPT_END
};

struct parse {
	struct options o; /* first: the table's offsets are from here */
	struct error *error;
	int err;
};

/* Put a copy of TEXT to *PLACE. */
static int keep(struct parse *p, const char *text, char **place)
{
	free(*place);
	*place = strdup(text);
	if (*place)
		return 0;
	p->err = error_set(p->error, ENOMEM, "out of memory");
	return -1;
}

/* A file of the name direct can be given as ./direct. */
static int on_ram(struct parse *p, const char *value)
{
	if (strcmp(value, "direct") != 0)
		return keep(p, value, &p->o.ram_file);
	p->o.ram_direct = true;
	return 0;
}

/* Whether ARG, which is no option, would be one of ours with a value; told. */
static bool needs_value(struct parse *p, const char *arg)
{
	size_t length = strlen(arg);
	const struct fuse_opt *o;

	for (o = table; o->templ; o++) {
		if (strncmp(o->templ, arg, length) == 0 && o->templ[length] == '=') {
			p->err = error_set(p->error, EINVAL, "-o %s: needs a value: -o %s=...", arg, arg);
			return true;
		}
	}
	return false;
}

static int on_argument(void *data, const char *arg, int key, struct fuse_args *args)
{
	struct parse *p = data;
	char **place;

	(void)args;
	if (key == KEY_RAM)
		return on_ram(p, arg + strlen("ram="));
	if (key == FUSE_OPT_KEY_OPT && strncmp(arg, "save=", 5) == 0) {
		p->err = error_set(p->error, EINVAL, "-o %s: not known; the only word is sync: -o save=sync", arg);
		return -1;
	}
	if (key == FUSE_OPT_KEY_OPT && (arg[0] == 'x' || arg[0] == 'X') && arg[1] == '-')
		return 0; /* for those who read fstab */
	if (key == FUSE_OPT_KEY_OPT && needs_value(p, arg))
		return -1;
	if (key == FUSE_OPT_KEY_OPT && arg[0] == '-') {
		p->err = error_set(p->error, EINVAL, "unknown option %s", arg);
		return -1;
	}
	if (key != FUSE_OPT_KEY_NONOPT)
		return 1;
	place = !p->o.snapshot ? &p->o.snapshot : &p->o.mountpoint;
	if (*place) {
		p->err = error_set(p->error, EINVAL, "%s: one operand too many after the snapshot and the mount point",
				   arg);
		return -1;
	}
	return keep(p, arg, place);
}

static const struct field plain_number = { UINT, .size = 8, .base = DEC };
static const struct field size_number = { UINT, .size = 8, .base = SIZE };

/* Options that a file's name belongs to: an empty one is a mistake. */
static int check_names(const struct options *o, struct error *e)
{
	const struct {
		const char *name, *value;
	} names[] = {
		{ "output", o->output }, { "ram", o->ram_file }, { "base", o->base }, { "log", o->log },
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].value && !names[i].value[0])
			return error_set(e, EINVAL, "-o %s=: a file has to follow: -o %s=FILE",
					 names[i].name, names[i].name);
	return 0;
}

/* A number, written as those of ROW are, no greater than MAX. */
static int number(const struct field *row, const char *name, const char *text, uint64_t max,
		  uint64_t *out, struct error *e)
{
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;

	if (text_parse(row, text, strlen(text), scratch, &v) || le_get(v.bytes, 8) > max)
		return error_set(e, EINVAL, "-o %s=%s: not a number from 0 to %" PRIu64 "%s", name, text,
				 max, row->base == SIZE ? ", with K, M, G or T if you like" : "");
	*out = le_get(v.bytes, 8);
	return 0;
}

static int octal_mode(const char *name, const char *text, mode_t *out, struct error *e)
{
	size_t digits = strspn(text, "01234567");
	unsigned long mode = strtoul(text, NULL, 8);

	/* strtoul would take blanks and a sign as well. */
	if (digits == 0 || text[digits] || mode > 0777)
		return error_set(e, EINVAL, "-o %s=%s: not an octal mode from 0 to 777", name,
				 text);
	*out = (mode_t)mode;
	return 0;
}

static int read_texts(struct options *o, struct error *e)
{
	uint64_t v = 0;
	int err = 0;

	if (o->ram_offset_text) {
		err = number(&size_number, "ram_offset", o->ram_offset_text, UINT64_MAX,
			     &o->region.ram_offset, e);
		o->region.ram_offset_given = true;
	}
	o->region.container_offset_given = o->container_offset_text != NULL;
	if (!err && o->container_offset_text)
		err = number(&size_number, "container_offset", o->container_offset_text,
			     UINT64_MAX, &o->region.container_offset, e);
	if (!err && o->ram_limit_text)
		err = number(&size_number, "ram_limit", o->ram_limit_text, UINT64_MAX,
			     &o->ram_limit, e);
	if (!err && o->uid_text) {
		err = number(&plain_number, "uid", o->uid_text, UINT32_MAX - 1, &v, e);
		o->uid = (uid_t)v;
	}
	if (!err && o->gid_text) {
		err = number(&plain_number, "gid", o->gid_text, UINT32_MAX - 1, &v, e);
		o->gid = (gid_t)v;
	}
	if (!err && o->umask_text)
		err = octal_mode("umask", o->umask_text, &o->umask, e);
	return err;
}

static int check(const struct options *o, struct error *e)
{
	if (o->read_only && o->read_write)
		return error_set(e, EINVAL, "only one of -o ro and rw can be had");
	if (o->read_only + o->scratch + (o->output != NULL) > 1)
		return error_set(e, EINVAL, "only one of -o ro, scratch and output= can be had");
	if (o->save_ram && (o->read_only || o->scratch))
		return error_set(e, EINVAL, "-o save_ram needs a mount that saves");
	if (o->save_ram && o->ram_file)
		return error_set(e, EINVAL, "-o save_ram can't be had with ram=: only RAM in the snapshot is saved");
	if (o->writeback && (o->read_only || o->ram_direct))
		return error_set(e, EINVAL, "-o writeback can't be had with ro or ram=direct");
	if (!o->snapshot || !o->mountpoint)
		return error_set(e, EINVAL, "needs %s; see smfs --help",
				 o->snapshot ? "a mount point as well" : "a snapshot and a mount point");
	return check_names(o, e);
}

int options_parse(struct options *o, struct fuse_args *args, struct error *e)
{
	struct parse p = { .error = e };
	int err = 0;

	p.o.uid = getuid();
	p.o.gid = getgid();
	p.o.umask = 077;
	if (fuse_opt_parse(args, &p, table, on_argument) < 0)
		err = p.err ? p.err : error_set(e, EINVAL, "wrong options; see smfs --help");
	*o = p.o;
	if (err || o->help || o->version)
		return err;
	err = check(o, e);
	return err ? err : read_texts(o, e);
}

void options_free(struct options *o)
{
	free(o->snapshot);
	free(o->mountpoint);
	free(o->output);
	free(o->log);
	free(o->ram_file);
	free(o->base);
	free(o->ram_offset_text);
	free(o->ram_limit_text);
	free(o->container_offset_text);
	free(o->uid_text);
	free(o->gid_text);
	free(o->umask_text);
}
