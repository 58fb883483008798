/* SPDX-License-Identifier: MIT */
/* smsnap check: whether snapshots would restore. */
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base.h"
#include "check_snapshot.h"
#include "command.h"
#include "memory.h"

struct report {
	const char *prefix; /* of a line: the snapshot, where there are several */
	const char *snapshot;
	json_object *list;  /* null: lines are printed */
	unsigned errors, findings;
};

static void add_text(json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void report(void *ctx, const struct finding *f)
{
	struct report *r = ctx;
	json_object *o;

	r->findings++;
	r->errors += f->level == LEVEL_ERROR;
	if (!r->list) {
		printf("%s%s%s %s: %s; %s\n", r->prefix, *r->prefix ? ": " : "", level_name(f->level),
		       f->path, f->wrong, f->right);
		return;
	}
	o = json_object_new_object();
	add_text(o, "snapshot", r->snapshot);
	add_text(o, "level", level_name(f->level));
	add_text(o, "path", f->path);
	add_text(o, "wrong", f->wrong);
	add_text(o, "right", f->right);
	json_object_array_add(r->list, o);
}

/*
 * The base that the snapshot at PATH records, below A's root, in OUT; empty if there is none: 0
 * or an exit status.
 */
static int find_base(const char *path, const struct arguments *a, char out[PATH_MAX])
{
	struct arguments how = *a;
	struct diff_base base = { .fd = -1 };
	struct error ignored = { 0 };
	struct snapshot *s = NULL;
	struct value v;
	struct node n;
	int status;

	out[0] = 0;
	how.base_use = BASE_UNUSED;
	status = command_open(path, &how, SNAPSHOT_LOOK, &s);
	if (status)
		return status;
	if (container_find(snapshot_container(s), "layout/base", &n) ||
	    container_value(snapshot_container(s), n, &v) || !v.size || v.bytes[0] != '/' ||
	    snprintf(out, PATH_MAX, "%s%.*s", a->host_root, (int)v.size, (const char *)v.bytes) >= PATH_MAX ||
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

static int check_one(const char *path, const struct arguments *a, struct report *r)
{
	struct findings to = { report, r };
	struct arguments how = *a;
	struct snapshot *s = NULL;
	char base[PATH_MAX] = "";
	int err, status = a->host_root && !a->in_base ? find_base(path, a, base) : 0;

	if (*base)
		how.in_base = base;
	how.tell = ignore;
	if (!status)
		status = command_open(path, &how, SNAPSHOT_LOOK, &s);
	if (status)
		return status;
	err = check_snapshot(s, snapshot_container(s), a->host_root, &to);
	snapshot_close(s);
	return err ? complain(WRONG_INPUT, "%s: %s", path, strerror(-err)) : 0;
}

static int check(const struct arguments *a)
{
	struct report r = { .prefix = "", .list = a->json ? json_object_new_array() : NULL };
	char root[PATH_MAX];
	struct arguments how = *a;
	int i, status = 0, failed;
	size_t n;

	if (a->host_root) {
		n = strlen(a->host_root);
		while (n && a->host_root[n - 1] == '/')
			n--;
		snprintf(root, sizeof(root), "%.*s", (int)n, a->host_root);
		how.host_root = root;
	}
	memory_must_suffice(a->json);
	for (i = 0; i < a->count; i++) {
		r.snapshot = a->operands[i];
		r.findings = 0;
		if (a->count > 1)
			r.prefix = a->operands[i];
		failed = check_one(a->operands[i], &how, &r);
		status = status ? status : failed;
		if (!failed && !r.findings && !r.list)
			printf("%s%sok\n", r.prefix, *r.prefix ? ": " : "");
	}
	if (r.list)
		puts(json_object_to_json_string_ext(r.list, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
								    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(r.list);
	failed = printed();
	return failed ? failed : status ? status : r.errors ? WRONG_INPUT : 0;
}

static const struct option_row options[] = {
	{ "json", 0, NULL, offsetof(struct arguments, json), "print an array of objects" },
	{ "host-root", 0, "DIR", offsetof(struct arguments, host_root), "look absolute paths up below DIR" },
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
		"Exit status: 0 no error, 1 errors, 2 wrong usage.\n",
	.options = options,
	.base_use = BASE_WANTED,
	.run = check,
};
