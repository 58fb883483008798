/* SPDX-License-Identifier: MIT */
#include "info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base.h"
#include "buffer.h"
#include "printable.h"
#include "text.h"

/* A path of the tree. */
enum { PATH_SIZE = 96 };

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

uint64_t info_number(struct info *i, const char *path, ...)
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

bool info_value(struct info *i, struct value *v, const char *path, ...)
{
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find(i, &n, v, path, ap);
	va_end(ap);
	return found;
}

bool info_text(struct info *i, char text[INFO_TEXT], const char *path, ...)
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
		printable((char *)shown.bytes, text, INFO_TEXT);
	}
	buffer_free(&shown);
	return true;
}

bool info_is_there(struct info *i, const char *path, ...)
{
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find_node(i, &n, path, ap);
	va_end(ap);
	return found;
}

uint64_t info_count(struct info *i, const char *path, ...)
{
	uint64_t count = 0;
	struct node n;
	va_list ap;
	bool found;

	va_start(ap, path);
	found = find_node(i, &n, path, ap);
	va_end(ap);
	if (found && container_is_directory(i->c, n))
		i->failed |= container_count(i->c, n, &count) != 0;
	return count;
}

const char *info_size(uint64_t size, char out[INFO_SIZE])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	unsigned unit = 0;
	double v = (double)size;

	for (; v >= 1024 && unit < 4; unit++)
		v /= 1024;
	snprintf(out, INFO_SIZE, "%.*f %s", v == (double)(uint64_t)v ? 0 : 1, v, units[unit]);
	return out;
}

const char *info_there(struct info *i, bool folder, const char *path, ...)
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

const char *info_base(struct info *i)
{
	struct diff_base base = { .fd = -1 };
	struct error e = { 0 };
	char name[PATH_MAX];
	struct value v;

	if (!info_value(i, &v, "layout/base") || v.size == 0)
		return "none";
	if (v.size >= PATH_MAX || memchr(v.bytes, 0, v.size))
		return "no path";
	snprintf(name, sizeof(name), "%.*s", (int)v.size, (const char *)v.bytes);
	if (base_open(name, v.size, -1, snapshot_path(i->s), container_mem_size(i->c), &base, &e))
		return e.code == ENOENT ? "not there" : "no base of it";
	base_close(&base);
	return "there";
}

bool info_is_missing(const char *there)
{
	return strcmp(there, "there") != 0 && strcmp(there, "none") != 0 && strcmp(there, "relative") != 0;
}

bool info_has_token(struct info *i)
{
	struct value v;

	return info_value(i, &v, "tsi_token") && v.size;
}

/*
 * vCPUs
 */

/* As the Intel manual has them: bits of cr0, rflags and efer. */
enum { CR0_PE = 1, RFLAGS_VM = 1 << 17, EFER_LMA = 1 << 10 };

static const char *x86_mode(struct info *i, uint64_t v)
{
	if (!(info_number(i, "vcpu/%" PRIu64 "/sregs/cr0", v) & CR0_PE))
		return "real mode";
	if (info_number(i, "vcpu/%" PRIu64 "/sregs/efer", v) & EFER_LMA)
		return info_number(i, "vcpu/%" PRIu64 "/sregs/cs/l", v) ? "long mode" : "long mode, 32-bit code";
	return info_number(i, "vcpu/%" PRIu64 "/regs/rflags", v) & RFLAGS_VM ? "virtual-8086 mode" : "protected mode";
}

/* What KVM calls mp_state. */
static const char *x86_state(uint64_t mp_state)
{
	static const char *const states[] = { "", ", not started", ", reset", ", halted", ", waits for start-up" };

	return mp_state < sizeof(states) / sizeof(states[0]) ? states[mp_state] : ", in an unknown state";
}

/* One more of V's registers, which is not there yet: its index. */
static unsigned add_name(struct info_vcpu *v, const char *name)
{
	unsigned n = 0;

	while (v->registers[n].name)
		n++;
	v->registers[n].name = name;
	return n;
}

static void add_register(struct info *i, struct info_vcpu *v, const char *name, const char *path, ...)
	__attribute__((format(printf, 4, 5)));

/* With what is at PATH, if that is there. */
static void add_register(struct info *i, struct info_vcpu *v, const char *name, const char *path, ...)
{
	unsigned n = add_name(v, name);
	struct value value;
	struct node node;
	va_list ap;

	va_start(ap, path);
	v->registers[n].is_there = find(i, &node, &value, path, ap);
	va_end(ap);
	if (v->registers[n].is_there)
		v->registers[n].value = text_number(container_row(i->c, node), &value);
}

/*
 * As the Arm manual has it: the exception level and the stack pointer in cpsr.  Any register may be
 * missing, and what cpsr would tell is not known then.
 */
static void tell_arm(struct info *i, uint64_t v, struct info_vcpu *out)
{
	uint64_t cpsr = info_number(i, "vcpu/%" PRIu64 "/gp/cpsr", v);
	bool known = info_is_there(i, "vcpu/%" PRIu64 "/gp/cpsr", v);
	unsigned level = cpsr >> 2 & 3;

	if (known)
		snprintf(out->state, sizeof(out->state), "EL%u", level);
	add_register(i, out, "pc", "vcpu/%" PRIu64 "/gp/pc", v);
	if (known)
		add_register(i, out, "sp", "vcpu/%" PRIu64 "/sys/sp_el%u", v, cpsr & 1 ? level : 0);
	else
		add_name(out, "sp");
	add_register(i, out, "ttbr0", "vcpu/%" PRIu64 "/sys/ttbr0_el1", v);
	add_register(i, out, "ttbr1", "vcpu/%" PRIu64 "/sys/ttbr1_el1", v);
}

void info_vcpu(struct info *i, uint64_t v, struct info_vcpu *out)
{
	*out = (struct info_vcpu){ .understood = true };
	if (info_is_there(i, "vcpu/%" PRIu64 "/gp", v)) {
		tell_arm(i, v, out);
		return;
	}
	out->understood = info_is_there(i, "vcpu/%" PRIu64 "/regs", v);
	if (!out->understood)
		return;
	snprintf(out->state, sizeof(out->state), "%s%s", x86_mode(i, v),
		 x86_state(info_number(i, "vcpu/%" PRIu64 "/mp_state", v)));
	add_register(i, out, "rip", "vcpu/%" PRIu64 "/regs/rip", v);
	add_register(i, out, "rsp", "vcpu/%" PRIu64 "/regs/rsp", v);
	add_register(i, out, "cr3", "vcpu/%" PRIu64 "/sregs/cr3", v);
}
