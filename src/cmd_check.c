/* SPDX-License-Identifier: MIT */
/* smsnap check: whether snapshots would restore. */
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base.h"
#include "check_snapshot.h"
#include "command.h"
#include "fleet.h"
#include "json_text.h"
#include "memory.h"

/* How it can go with one of several, by the worst that was found. */
static const struct outcome outcomes[] = {
	{ "ok", "ok", false },
	{ "notes", "with notes", false },
	{ "warnings", "with warnings", false },
	{ "errors", "with errors", true },
	{ "failed", "not readable", true },
	{ 0 }
};

struct report {
	const char *prefix;   /* of a line */
	const char *snapshot; /* null: objects do not name it */
	json_object *list;    /* null: lines are printed */
	unsigned worst;       /* an outcome */
};

static void add_text(json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_text(text, strlen(text)));
}

static void report(void *ctx, const struct finding *f)
{
	struct report *r = ctx;
	json_object *o;

	if (r->worst < (unsigned)f->level + 1)
		r->worst = (unsigned)f->level + 1;
	if (!r->list) {
		printf("%s%s %s: %s; %s\n", r->prefix, level_name(f->level), f->path, f->wrong, f->right);
		return;
	}
	o = json_object_new_object();
	if (r->snapshot)
		add_text(o, "snapshot", r->snapshot);
	add_text(o, "level", level_name(f->level));
	add_text(o, "path", f->path);
	add_text(o, "wrong", f->wrong);
	add_text(o, "right", f->right);
	json_object_array_add(r->list, o);
}

/*
 * The base that the snapshot at PATH records, below A's root, in OUT; empty if there is none: 0
 * or a negative errno.
 */
static int find_base(const char *path, const struct arguments *a, char out[PATH_MAX], struct error *e)
{
	struct arguments how = *a;
	struct diff_base base = { .fd = -1 };
	struct error ignored = { 0 };
	struct snapshot *s = NULL;
	char name[PATH_MAX];
	struct value v;
	struct node n;
	int err;

	out[0] = 0;
	how.base_use = BASE_UNUSED;
	err = command_try_open(path, &how, SNAPSHOT_LOOK, &s, e);
	if (err)
		return err;
	if (container_find(snapshot_container(s), "layout/base", &n) ||
	    container_value(snapshot_container(s), n, &v) || !v.size || v.bytes[0] != '/' ||
	    snprintf(name, sizeof(name), "%.*s", (int)v.size, (const char *)v.bytes) >= PATH_MAX ||
	    check_below(a->host_root, name, out) ||
	    base_open(out, strlen(out), -1, "", container_mem_size(snapshot_container(s)), &base, &ignored))
		out[0] = 0;
	base_close(&base);
	snapshot_close(s);
	return 0;
}

static void ignore(const char *text)
{
	(void)text; /* that a base is not to be had is a finding */
}

/* Report to R what is wrong with the snapshot at PATH: 0, or a negative errno and E starts with PATH. */
static int check_one(const char *path, const struct arguments *a, struct report *r, struct error *e)
{
	struct findings to = { report, r };
	struct arguments how = *a;
	struct snapshot *s = NULL;
	char base[PATH_MAX] = "";
	int err = a->host_root && !a->in_base ? find_base(path, a, base, e) : 0;

	if (*base)
		how.in_base = base;
	how.tell = ignore;
	if (!err)
		err = command_try_open(path, &how, SNAPSHOT_LOOK, &s, e);
	if (err)
		return err;
	err = check_snapshot(s, snapshot_container(s), a->host_root, &to);
	snapshot_close(s);
	return err ? error_set(e, -err, "%s: %s", path, strerror(-err)) : 0;
}

/* One of several. */
static unsigned check_member(const struct fleet *f, unsigned index)
{
	char name[FLEET_NAME], prefix[FLEET_NAME + 2];
	struct report r = { .prefix = prefix, .list = f->json ? json_object_new_array() : NULL };
	struct error e = { 0 };
	json_object *o;

	snprintf(prefix, sizeof(prefix), "%s: ", fleet_name(f, index, name));
	if (check_one(f->paths[index], f->ctx, &r, &e)) {
		json_object_put(r.list);
		return fleet_failed(f, index, e.text);
	}
	if (f->json) {
		o = fleet_json(f, index, r.worst);
		json_object_object_add(o, "findings", r.list);
		json_print_line(o);
	} else if (!r.worst) {
		printf("%sok\n", prefix);
	}
	return r.worst;
}

static int check_single(const struct arguments *a)
{
	struct report r = { .prefix = "", .snapshot = a->operands[0],
			    .list = a->json ? json_object_new_array() : NULL };
	struct error e = { 0 };
	int err = check_one(a->operands[0], a, &r, &e), status;

	if (r.list)
		puts(json_object_to_json_string_ext(r.list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE));
	else if (!err && !r.worst)
		printf("ok\n");
	json_object_put(r.list);
	status = printed();
	if (err)
		return complain(WRONG_INPUT, "%s", e.text);
	return status ? status : outcomes[r.worst].failed ? WRONG_INPUT : 0;
}

static int check(const struct arguments *a)
{
	char root[PATH_MAX];
	struct arguments how = *a;
	struct fleet f = { .command = "check", .outcomes = outcomes, .paths = a->operands,
			   .count = (unsigned)a->count, .json = a->json, .run = check_member, .ctx = &how };
	int status = fleet_parallel(&f, a);
	struct stat st;
	size_t n;

	if (status)
		return status;
	if (a->host_root && (stat(a->host_root, &st) < 0 || !S_ISDIR(st.st_mode)))
		return complain(WRONG_USAGE, "check: --host-root %s: is no folder that is there", a->host_root);
	if (a->host_root) {
		n = strlen(a->host_root);
		while (n && a->host_root[n - 1] == '/')
			n--;
		snprintf(root, sizeof(root), "%.*s", (int)n, a->host_root);
		how.host_root = n ? root : NULL;
	}
	memory_must_suffice(a->json);
	return fleet_is_wanted(&f) ? fleet_run(&f) : check_single(&how);
}

static const struct option_row options[] = {
	{ "json", 0, NULL, offsetof(struct arguments, json), "print an array; of several, an object a line" },
	{ "host-root", 0, "DIR", offsetof(struct arguments, host_root), "look absolute paths up below DIR" },
	FLEET_OPTIONS,
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_check = {
	.name = "check",
	.operands = "SNAPSHOT...",
	.least = 1,
	.most = -1,
	.summary = "say whether snapshots would restore",
	.help = "Prints \"LEVEL PATH: what is wrong; what would be right\": error, a restore fails\n"
		"or corrupts; warning, it comes up wrong or surprising; note.  Or ok.\n"
		"Of several each line starts with \"SNAPSHOT: \", and a summary is last.\n"
		"Exit status: 0 no error, 1 errors, 2 wrong usage.\n",
	.options = options,
	.base_use = BASE_WANTED,
	.run = check,
};
