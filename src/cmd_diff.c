/* SPDX-License-Identifier: MIT */
/* smsnap diff: the fields and the ranges of RAM in which two snapshots differ. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "head_diff.h"
#include "json_text.h"
#include "memory.h"
#include "progress.h"
#include "ram_compare.h"
#include "show.h"

/* As cmp(1): any trouble. */
enum { DIFFERENT = 1, TROUBLE = 2 };

struct report {
	json_object *fields, *ram; /* null: lines are printed */
	uint64_t base;             /* the guest-physical address of RAM */
	uint64_t pages;
	struct progress progress;
};

static void report_field(void *ctx, const struct difference *d)
{
	struct report *r = ctx;
	json_object *o;

	if (!r->fields) {
		show_difference(stdout, d);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "path", json_object_new_string(d->path));
	json_object_object_add(o, "a", json_content(d->row, d->old));
	json_object_object_add(o, "b", json_content(d->row, d->new));
	json_object_array_add(r->fields, o);
}

static void add_address(json_object *o, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, v);
	json_object_object_add(o, name, json_object_new_string(text));
}

static void report_ram(void *ctx, uint64_t offset, uint64_t n)
{
	struct report *r = ctx;
	uint64_t start = r->base + offset, pages = (n + RAM_PAGE - 1) / RAM_PAGE;
	json_object *o;

	r->pages += pages;
	if (!r->ram) {
		printf("ram 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64 " page%s\n", start, start + n, pages,
		       pages == 1 ? "" : "s");
		return;
	}
	o = json_object_new_object();
	add_address(o, "start", start);
	add_address(o, "end", start + n);
	json_object_object_add(o, "pages", json_object_new_uint64(pages));
	json_object_array_add(r->ram, o);
}

/* How many fields of the files beside A and B differ, or a negative errno. */
static int64_t compare_sidecars(struct snapshot *a, struct snapshot *b, struct report *r)
{
	struct sidecars *all[2] = { snapshot_sidecars(a), snapshot_sidecars(b) };
	const struct container *c[2];
	int64_t n, count = 0;
	unsigned i, k;

	for (k = 0; k < 2; k++) {
		n = all[k] ? sidecars_hold(all[k], NULL) : 0;
		if (n < 0 && k && all[0])
			sidecars_release(all[0]);
		if (n < 0)
			return n;
	}
	for (i = 0; count >= 0 && i < SIDECARS; i++) {
		for (k = 0; k < 2; k++)
			c[k] = all[k] ? sidecar_container(all[k], i) : NULL;
		n = c[0] || c[1] ? head_diff(c[0], c[1], SIDECAR_FOLDER, report_field, r) : 0;
		count = n < 0 ? n : count + n;
	}
	for (k = 0; k < 2; k++)
		if (all[k])
			sidecars_release(all[k]);
	return count;
}

/* The exit status, with what was found printed. */
static int compare(struct snapshot *a, struct snapshot *b, const struct arguments *args,
		   struct report *r)
{
	struct snapshot *whose = NULL;
	int64_t fields = head_diff(snapshot_container(a), snapshot_container(b), "", report_field, r);
	int64_t beside = fields < 0 ? fields : compare_sidecars(a, b, r);
	int err;

	if (beside < 0)
		return complain(TROUBLE, "%s", strerror((int)-beside));
	fields += beside;
	container_number(snapshot_container(a), LAYOUT_RAM_GPA, &r->base);
	progress_start(&r->progress, "diff");
	err = ram_compare(a, b, report_ram, r, progress_tell, &r->progress, &whose);
	progress_end(&r->progress);
	if (err)
		return complain(TROUBLE, "%s: ram: %s", args->operands[whose == b], strerror(-err));
	if (!r->ram && r->pages)
		printf("ram: %" PRIu64 " page%s\n", r->pages, r->pages == 1 ? "" : "s");
	return fields || r->pages ? DIFFERENT : 0;
}

/* Open the snapshot at PATH; a base that was given is of those that are differential. */
static int open_one(const char *path, const struct arguments *a, struct snapshot **out)
{
	struct arguments how = *a;
	int status;

	how.in_base = NULL;
	how.base_use = a->in_base ? BASE_UNUSED : BASE_WANTED;
	status = command_open(path, &how, SNAPSHOT_LOOK, out);
	if (status || !a->in_base || !snapshot_layout(*out)->is_diff)
		return status;
	snapshot_close(*out);
	*out = NULL;
	return command_open(path, a, SNAPSHOT_LOOK, out);
}

static void print_json(const struct report *r)
{
	json_object *top = json_object_new_object();

	json_object_object_add(top, "fields", json_object_get(r->fields));
	json_object_object_add(top, "ram", json_object_get(r->ram));
	json_object_object_add(top, "pages", json_object_new_uint64(r->pages));
	puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(top);
}

static int diff(const struct arguments *a)
{
	struct snapshot *s[2] = { NULL, NULL };
	struct report r = { 0 };
	int i, status = 0;

	memory_must_suffice(a->json);
	if (a->json) {
		r.fields = json_object_new_array();
		r.ram = json_object_new_array();
	}
	for (i = 0; i < 2 && !status; i++)
		status = open_one(a->operands[i], a, &s[i]) ? TROUBLE : 0;
	if (!status)
		status = compare(s[0], s[1], a, &r);
	if (a->json && status != TROUBLE)
		print_json(&r);
	if (printed())
		status = TROUBLE;
	json_object_put(r.fields);
	json_object_put(r.ram);
	snapshot_close(s[0]);
	snapshot_close(s[1]);
	return status;
}

static const struct option_row options[] = {
	{ "json", 0, NULL, offsetof(struct arguments, json), "print an object" },
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_diff = {
	.name = "diff",
	.operands = "A B",
	.least = 2,
	.most = 2,
	.summary = "print the fields and ranges of RAM that differ",
	.help = "A field is a line \"PATH: OLD -> NEW\", a range of RAM its guest-physical\n"
		"addresses and its pages.  The options are for both.\n"
		"Exit status: 0 the same, 1 different, 2 trouble.\n",
	.options = options,
	.base_use = BASE_WANTED,
	.run = diff,
};
