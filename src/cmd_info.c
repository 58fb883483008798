/* SPDX-License-Identifier: MIT */
/* smsnap info: what is in a snapshot, on one screen. */
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buffer.h"
#include "command.h"
#include "printable.h"
#include "text.h"

/* Lines for vCPUs, and for devices: of the rest it is said how many they are. */
enum { MOST_LINES = 8 };

/* A path of the tree, and a text of a file in it: as much as a line takes. */
enum { PATH_SIZE = 96, TEXT_SIZE = 256 };

struct info {
	struct snapshot *s;
	const struct container *c;
	bool failed; /* memory ran out: what is printed is wrong */
};

/* What is at the formatted PATH in *N. */
static bool find_node(struct info *i, struct node *n, const char *path, va_list ap)
{
	char text[PATH_SIZE];
	int err;

	vsnprintf(text, sizeof(text), path, ap);
	err = container_find(i->c, text, n);
	i->failed |= err == -ENOMEM;
	return !err;
}

/* The leaf there in *N and *V. */
static bool find(struct info *i, struct node *n, struct value *v, const char *path, va_list ap)
{
	int err;

	if (!find_node(i, n, path, ap) || container_is_directory(i->c, *n))
		return false;
	err = container_value(i->c, *n, v);
	i->failed |= err == -ENOMEM;
	return !err;
}

/* The number there; 0 if there is none. */
static uint64_t number(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

static uint64_t number(struct info *i, const char *path, ...)
{
	struct value v;
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find(i, &n, &v, path, ap);
	va_end(ap);
	return found && container_row(i->c, n)->kind == UINT ? text_number(container_row(i->c, n), &v) : 0;
}

/* What its file shows, for a person, in TEXT; false, and an empty text, if there is no such file. */
static bool text(struct info *i, char text[TEXT_SIZE], const char *path, ...)
	__attribute__((format(printf, 3, 4)));

static bool text(struct info *i, char text[TEXT_SIZE], const char *path, ...)
{
	struct buffer shown = { 0 };
	struct value v;
	struct node n;
	va_list ap;
	bool found;

	text[0] = 0;
	va_start(ap, path);
	found = find(i, &n, &v, path, ap);
	va_end(ap);
	if (!found)
		return false;
	text_print(container_row(i->c, n), &v, &shown);
	i->failed |= shown.failed;
	if (!shown.failed && shown.size) {
		shown.bytes[shown.size - 1] = 0;
		printable((char *)shown.bytes, text, TEXT_SIZE);
	}
	buffer_free(&shown);
	return true;
}

static bool is_there(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

static bool is_there(struct info *i, const char *path, ...)
{
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find_node(i, &n, path, ap);
	va_end(ap);
	return found;
}

static bool add_one(void *ctx, const char *name, uint64_t index, struct node n)
{
	(void)name;
	(void)index;
	(void)n;
	++*(uint64_t *)ctx;
	return true;
}

/* How many children the directory there has; 0 if there is none. */
static uint64_t count(struct info *i, const char *path, ...) __attribute__((format(printf, 2, 3)));

static uint64_t count(struct info *i, const char *path, ...)
{
	uint64_t count = 0;
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find_node(i, &n, path, ap);
	va_end(ap);
	if (found && container_is_directory(i->c, n))
		i->failed |= container_children(i->c, n, 0, add_one, &count) != 0;
	return count;
}

/* SIZE in units of 1,024. */
static const char *human(uint64_t size, char out[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	unsigned unit = 0;
	double v = (double)size;

	for (; v >= 1024 && unit < 4; unit++)
		v /= 1024;
	snprintf(out, 32, "%.*f %s", v == (double)(uint64_t)v ? 0 : 1, v, units[unit]);
	return out;
}

/* Whether the file that the string at the formatted PATH names is there, and a folder if it has to be. */
static const char *there(struct info *i, bool folder, const char *path, ...)
	__attribute__((format(printf, 3, 4)));

static const char *there(struct info *i, bool folder, const char *path, ...)
{
	const char *snapshot = snapshot_path(i->s), *slash = strrchr(snapshot, '/');
	char name[PATH_MAX];
	struct stat st;
	struct value v;
	struct node n;
	va_list ap;
	bool found;
	int size;

	va_start(ap, path);
	found = find(i, &n, &v, path, ap);
	va_end(ap);
	if (!found || v.size == 0)
		return "none";
	/* A share's is one of the monitor's working directory. */
	if (v.bytes[0] != '/' && folder)
		return "relative";
	size = snprintf(name, sizeof(name), "%.*s%.*s", v.bytes[0] == '/' ? 0 : (int)(slash - snapshot + 1),
			snapshot, (int)v.size, (const char *)v.bytes);
	if (size >= PATH_MAX || memchr(v.bytes, 0, v.size))
		return "no path";
	if (stat(name, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? "not there" : strerror(errno);
	if (folder && !S_ISDIR(st.st_mode))
		return "no folder";
	return "there";
}

static void print_head(struct info *i)
{
	char shown[TEXT_SIZE], stored[32], size[32];
	struct ram *ram = snapshot_ram(i->s);

	printable(snapshot_path(i->s), shown, sizeof(shown));
	printf("snapshot    %s\n", shown);
	printf("layout      %s", snapshot_layout(i->s)->name);
	if (text(i, shown, "layout/version"))
		printf(" %s, RAM at 0x%" PRIx64 " of the guest", shown, number(i, "layout/ram_gpa"));
	if (text(i, shown, "layout/base"))
		printf(", base %s (%s)", shown, there(i, false, "layout/base"));
	if (text(i, shown, "layout/changed_pages"))
		printf(", %s pages changed", shown);
	printf("\nram         ");
	if (ram)
		printf("%s, %s of it stored", human(ram_size(ram), size), human(ram_stored(ram), stored));
	else
		printf("none here, of %s", human(container_mem_size(i->c), size));
	printf("\n");
}

/* As the Intel manual has them: bits of cr0, rflags and efer. */
enum { CR0_PE = 1, RFLAGS_VM = 1 << 17, EFER_LMA = 1 << 10 };

static const char *x86_mode(struct info *i, uint64_t v)
{
	if (!(number(i, "vcpu/%" PRIu64 "/sregs/cr0", v) & CR0_PE))
		return "real mode";
	if (number(i, "vcpu/%" PRIu64 "/sregs/efer", v) & EFER_LMA)
		return number(i, "vcpu/%" PRIu64 "/sregs/cs/l", v) ? "long mode" : "long mode, 32-bit code";
	return number(i, "vcpu/%" PRIu64 "/regs/rflags", v) & RFLAGS_VM ? "virtual-8086 mode" : "protected mode";
}

/* What KVM calls mp_state. */
static const char *x86_state(uint64_t mp_state)
{
	static const char *const states[] = { "", ", not started", ", reset", ", halted", ", waits for start-up" };

	return mp_state < sizeof(states) / sizeof(states[0]) ? states[mp_state] : ", in an unknown state";
}

/* As the Arm manual has it: the exception level and the stack pointer in cpsr. */
static void print_arm(struct info *i, uint64_t v)
{
	uint64_t cpsr = number(i, "vcpu/%" PRIu64 "/gp/cpsr", v);
	unsigned level = cpsr >> 2 & 3;
	bool own_stack = cpsr & 1 && level == 1;

	printf("EL%u, pc 0x%" PRIx64 ", sp 0x%" PRIx64 ", ttbr0 0x%" PRIx64 ", ttbr1 0x%" PRIx64 "\n", level,
	       number(i, "vcpu/%" PRIu64 "/gp/pc", v),
	       own_stack ? number(i, "vcpu/%" PRIu64 "/sys/sp_el1", v) : number(i, "vcpu/%" PRIu64 "/sys/sp_el0", v),
	       number(i, "vcpu/%" PRIu64 "/sys/ttbr0_el1", v), number(i, "vcpu/%" PRIu64 "/sys/ttbr1_el1", v));
}

static void print_vcpu(struct info *i, uint64_t v)
{
	printf("vcpu %-7" PRIu64 "", v);
	if (is_there(i, "vcpu/%" PRIu64 "/regs", v))
		printf("%s%s, rip 0x%" PRIx64 ", rsp 0x%" PRIx64 ", cr3 0x%" PRIx64 "\n", x86_mode(i, v),
		       x86_state(number(i, "vcpu/%" PRIu64 "/mp_state", v)), number(i, "vcpu/%" PRIu64 "/regs/rip", v),
		       number(i, "vcpu/%" PRIu64 "/regs/rsp", v), number(i, "vcpu/%" PRIu64 "/sregs/cr3", v));
	else if (is_there(i, "vcpu/%" PRIu64 "/gp", v))
		print_arm(i, v);
	else
		printf("not understood\n");
}

static void print_device(struct info *i, uint64_t d)
{
	char kind[TEXT_SIZE], type[TEXT_SIZE], path[TEXT_SIZE], mount[TEXT_SIZE], size[32];

	text(i, kind, "devices/%" PRIu64 "/kind", d);
	text(i, type, "devices/%" PRIu64 "/backing/type", d);
	printf("device %-5" PRIu64 "%s", d, kind);
	if (strcmp(type, "virtiofs") == 0) {
		text(i, path, "devices/%" PRIu64 "/backing/host_path", d);
		text(i, mount, "devices/%" PRIu64 "/backing/mount", d);
		printf(", %s (%s) on %s", path, there(i, true, "devices/%" PRIu64 "/backing/host_path", d), mount);
		if (is_there(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d))
			printf(", %" PRIu64 " inodes, %" PRIu64 " files open",
			       count(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d),
			       count(i, "devices/%" PRIu64 "/backing/backend_state/handles", d));
	} else if (strcmp(type, "none") != 0) {
		text(i, path, "devices/%" PRIu64 "/backing/path", d);
		printf(", %s (%s), %s", path, there(i, false, "devices/%" PRIu64 "/backing/path", d),
		       human(number(i, "devices/%" PRIu64 "/backing/size", d), size));
		if (text(i, mount, "devices/%" PRIu64 "/backing/mount", d))
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
	uint64_t total = count(i, "listeners"), k;
	char port[TEXT_SIZE];

	printf("listeners   %" PRIu64, total);
	for (k = 0; k < total && k < MOST_LINES; k++) {
		text(i, port, "listeners/%" PRIu64 "/inet_port", k);
		printf("%s port %" PRIu64 " (on the host %s)", k ? "," : ":",
		       number(i, "listeners/%" PRIu64 "/vm_port", k), port);
	}
	printf("%s\n", k < total ? ", ..." : "");
}

static int print_info(const struct arguments *a)
{
	struct info i = { 0 };
	struct value v;
	struct node n;
	int status = command_open(a->operands[0], a, SNAPSHOT_LOOK, &i.s);

	if (status)
		return status;
	i.c = snapshot_container(i.s);
	print_head(&i);
	print_some(&i, "vcpus", count(&i, "vcpu"), print_vcpu);
	print_some(&i, "devices", count(&i, "devices"), print_device);
	print_listeners(&i);
	printf("token       %s\n", !container_find(i.c, "tsi_token", &n) && !container_value(i.c, n, &v) && v.size ? "yes" : "no");
	snapshot_close(i.s);
	return i.failed ? complain(WRONG_INPUT, "%s: out of memory", a->operands[0]) : printed();
}

static const struct option_row options[] = {
	RAM_OPTIONS,
	{ 0 }
};

const struct command cmd_info = {
	.name = "info",
	.operands = "SNAPSHOT",
	.least = 1,
	.most = 1,
	.summary = "tell what is in a snapshot, on one screen",
	.help = "The mode and state of the vCPUs, the devices and whether their files are there;\n"
		"of many the first ones.  The token itself is not printed.\n",
	.options = options,
	.run = print_info,
};
