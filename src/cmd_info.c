/* SPDX-License-Identifier: MIT */
/* smsnap info: what is in a snapshot, on one screen, or on a line each of several. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "fleet.h"
#include "info.h"
#include "json_text.h"
#include "memory.h"
#include "printable.h"

/* Lines for vCPUs, and for devices: of the rest it is said how many they are. */
enum { MOST_LINES = 8 };

static void print_head(struct info *i)
{
	char shown[INFO_TEXT], stored[INFO_SIZE], size[INFO_SIZE];
	struct ram *ram = snapshot_ram(i->s);

	printable(snapshot_path(i->s), shown, sizeof(shown));
	printf("snapshot    %s\n", shown);
	printf("layout      %s", snapshot_layout(i->s)->name);
	if (info_text(i, shown, "layout/version"))
		printf(" %s, RAM at 0x%" PRIx64 " of the guest", shown, info_number(i, "layout/ram_gpa"));
	if (info_text(i, shown, "layout/base"))
		printf(", base %s (%s)", shown, info_base(i));
	if (info_text(i, shown, "layout/changed_pages"))
		printf(", %s pages changed", shown);
	printf("\nram         ");
	if (ram)
		printf("%s, %s of it stored", info_size(ram_size(ram), size), info_size(ram_stored(ram), stored));
	else
		printf("none here, of %s", info_size(container_mem_size(i->c), size));
	printf("\n");
}

static void print_vcpu(struct info *i, uint64_t v)
{
	struct info_vcpu vcpu;
	unsigned k;

	info_vcpu(i, v, &vcpu);
	printf("vcpu %-7" PRIu64 "%s", v, !vcpu.understood ? "not understood" : vcpu.state[0] ? vcpu.state : "-");
	for (k = 0; vcpu.registers[k].name; k++) {
		printf(", %s ", vcpu.registers[k].name);
		if (vcpu.registers[k].is_there)
			printf("0x%" PRIx64, vcpu.registers[k].value);
		else
			printf("-");
	}
	printf("\n");
}

static void print_device(struct info *i, uint64_t d)
{
	char kind[INFO_TEXT], type[INFO_TEXT], path[INFO_TEXT], mount[INFO_TEXT], size[INFO_SIZE];

	info_text(i, kind, "devices/%" PRIu64 "/kind", d);
	info_text(i, type, "devices/%" PRIu64 "/backing/type", d);
	printf("device %-5" PRIu64 "%s", d, kind);
	if (strcmp(type, "virtiofs") == 0) {
		info_text(i, path, "devices/%" PRIu64 "/backing/host_path", d);
		info_text(i, mount, "devices/%" PRIu64 "/backing/mount", d);
		printf(", %s (%s) on %s", path, info_there(i, true, "devices/%" PRIu64 "/backing/host_path", d), mount);
		if (info_is_there(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d))
			printf(", %" PRIu64 " inodes, %" PRIu64 " files open",
			       info_count(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d),
			       info_count(i, "devices/%" PRIu64 "/backing/backend_state/handles", d));
	} else if (strcmp(type, "none") != 0) {
		info_text(i, path, "devices/%" PRIu64 "/backing/path", d);
		printf(", %s (%s), %s", path, info_there(i, false, "devices/%" PRIu64 "/backing/path", d),
		       info_size(info_number(i, "devices/%" PRIu64 "/backing/size", d), size));
		if (info_text(i, mount, "devices/%" PRIu64 "/backing/mount", d))
			printf(" on %s", mount);
	}
	printf("\n");
}

/* A line for each of the first of TOTAL, called WHAT. */
static void print_some(struct info *i, const char *what, uint64_t total,
		       void (*print)(struct info *i, uint64_t index))
{
	uint64_t k, most = total > MOST_LINES ? MOST_LINES - 1 : total;

	for (k = 0; k < most; k++)
		print(i, k);
	if (most < total)
		printf("            and %" PRIu64 " more %s\n", total - most, what);
	if (total == 0)
		printf("%-12snone\n", what);
}

/* Guests' ports, and those of the host that lead there. */
static void print_listeners(struct info *i)
{
	uint64_t total = info_count(i, "listeners"), k;
	char port[INFO_TEXT];

	printf("listeners   %" PRIu64, total);
	for (k = 0; k < total && k < MOST_LINES; k++) {
		info_text(i, port, "listeners/%" PRIu64 "/inet_port", k);
		printf("%s port %" PRIu64 " (on the host %s)", k ? "," : ":",
		       info_number(i, "listeners/%" PRIu64 "/vm_port", k), port);
	}
	printf("%s\n", k < total ? ", ..." : "");
}

/* The files beside the snapshot, where there are any. */
static void print_sidecars(struct info *i)
{
	static const char *const lists[] = { "posixfs", "dax" };
	struct sidecars *all = snapshot_sidecars(i->s);
	struct info of = { .s = i->s };
	const char *comma = "";
	unsigned k;

	if (!all)
		return;
	if (sidecars_hold(all, NULL)) {
		i->failed = true;
		return;
	}
	printf("sidecars    ");
	for (k = 0; k < 2; k++) {
		of.c = sidecar_container(all, k);
		if (of.c)
			printf("%s%s %" PRIu64, comma, lists[k], info_count(&of, "%s", lists[k]));
		comma = of.c ? ", " : comma;
	}
	of.c = sidecar_container(all, SIDECAR_SMPARK);
	if (of.c)
		printf("%ssmpark 0x%" PRIx64, comma, info_number(&of, "smpark/gpa"));
	printf("%s\n", *comma || of.c ? "" : "none that is understood");
	sidecars_release(all);
	i->failed |= of.failed;
}

static int print_screen(const struct arguments *a)
{
	struct info i = { 0 };
	int status = command_open(a->operands[0], a, SNAPSHOT_LOOK, &i.s);

	if (status)
		return status;
	i.c = snapshot_container(i.s);
	print_head(&i);
	print_some(&i, "vcpus", info_count(&i, "vcpu"), print_vcpu);
	print_some(&i, "devices", info_count(&i, "devices"), print_device);
	print_sidecars(&i);
	print_listeners(&i);
	printf("token       %s\n", info_has_token(&i) ? "yes" : "no");
	snapshot_close(i.s);
	return i.failed ? complain(WRONG_INPUT, "%s: out of memory", a->operands[0]) : printed();
}

/* How it can go with one of several. */
enum { COMPLETE, MISSING, FAILED };

static const struct outcome outcomes[] = {
	[COMPLETE] = { "ok", "ok", false },
	[MISSING] = { "missing", "with files that are missing", false },
	[FAILED] = { "failed", "not readable", true },
	[FAILED + 1] = { 0 }
};

static unsigned print_member(const struct fleet *f, unsigned index)
{
	json_object *o = f->json ? fleet_json(f, index, COMPLETE) : NULL;
	char name[FLEET_NAME];
	struct info i = { 0 };
	struct error e = { 0 };
	bool missing;

	if (command_try_open(f->paths[index], f->ctx, SNAPSHOT_LOOK, &i.s, &e)) {
		json_object_put(o);
		return fleet_failed(f, index, e.text);
	}
	i.c = snapshot_container(i.s);
	if (!o)
		printf("%s: ", fleet_name(f, index, name));
	missing = o ? info_add_json(&i, o) : info_print_line(&i);
	snapshot_close(i.s);
	if (i.failed) {
		json_object_put(o);
		error_set(&e, ENOMEM, "%s: out of memory", f->paths[index]);
		return fleet_failed(f, index, e.text);
	}
	if (o && missing)
		json_object_object_add(o, "status", json_object_new_string(outcomes[MISSING].word));
	if (o)
		json_print_line(o);
	else
		printf("\n");
	return missing ? MISSING : COMPLETE;
}

static int info(const struct arguments *a)
{
	struct fleet f = { .command = "info", .outcomes = outcomes, .paths = a->operands,
			   .count = (unsigned)a->count, .json = a->json, .run = print_member, .ctx = a };
	int status = fleet_parallel(&f, a);

	if (status)
		return status;
	memory_must_suffice(a->json);
	return a->json || fleet_is_wanted(&f) ? fleet_run(&f) : print_screen(a);
}

static const struct option_row options[] = {
	{ "json", 0, NULL, offsetof(struct arguments, json), "print an object a line, for each snapshot" },
	FLEET_OPTIONS,
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_info = {
	.name = "info",
	.operands = "SNAPSHOT...",
	.least = 1,
	.most = -1,
	.summary = "tell what is in a snapshot, on one screen; of several, on a line",
	.help = "The mode and state of the vCPUs, the devices and whether their files are there;\n"
		"of many the first ones.  The token itself is not printed.\n"
		"Of several a line each, and a summary.  Exit status 1 where one is not readable.\n",
	.options = options,
	.run = info,
};
