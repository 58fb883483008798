/* SPDX-License-Identifier: MIT */
#include "vcpu_registers.h"

#include <stdio.h>

/* The names below /vcpu/N, in the order of struct user_regs_struct and of struct user_pt_regs. */
static const char *const x86_64[] = {
	"regs/r15", "regs/r14", "regs/r13", "regs/r12", "regs/rbp", "regs/rbx", "regs/r11",
	"regs/r10", "regs/r9", "regs/r8", "regs/rax", "regs/rcx", "regs/rdx", "regs/rsi",
	"regs/rdi", NULL /* orig_rax: in no system call */, "regs/rip", "sregs/cs/selector",
	"regs/rflags", "regs/rsp", "sregs/ss/selector", "sregs/fs/base", "sregs/gs/base",
	"sregs/ds/selector", "sregs/es/selector", "sregs/fs/selector", "sregs/gs/selector",
};
enum { X86_64 = sizeof(x86_64) / sizeof(x86_64[0]), X86_64_CS = 17, X86_64_RSP = 19 };

static const char *const aarch64[] = {
	"gp/x0", "gp/x1", "gp/x2", "gp/x3", "gp/x4", "gp/x5", "gp/x6", "gp/x7", "gp/x8", "gp/x9",
	"gp/x10", "gp/x11", "gp/x12", "gp/x13", "gp/x14", "gp/x15", "gp/x16", "gp/x17", "gp/x18",
	"gp/x19", "gp/x20", "gp/x21", "gp/x22", "gp/x23", "gp/x24", "gp/x25", "gp/x26", "gp/x27",
	"gp/x28", "gp/x29", "gp/x30", NULL /* sp: one of two */, "gp/pc", "gp/cpsr",
};
enum { AARCH64 = sizeof(aarch64) / sizeof(aarch64[0]), AARCH64_SP = 31, AARCH64_PSTATE = 33 };

/* Of pstate: the exception level, and whether it has a stack pointer of its own in use. */
enum { PSTATE_LEVEL = 0xc, PSTATE_OWN_SP = 1 };

static bool read_one(const struct container *c, uint64_t n, const char *name, uint64_t *out)
{
	char path[64];

	snprintf(path, sizeof(path), "vcpu/%llu/%s", (unsigned long long)n, name);
	return container_number(c, path, out);
}

/* All of NAMES, but for those that are null. */
static bool read_all(const struct container *c, uint64_t n, const char *const *names,
		     unsigned count, struct vcpu_registers *r)
{
	unsigned i;

	r->count = count;
	for (i = 0; i < count; i++)
		if (names[i] && !read_one(c, n, names[i], &r->value[i]))
			return false;
	return true;
}

bool vcpu_registers_read(const struct container *c, uint64_t n, struct vcpu_registers *r)
{
	uint64_t pstate;

	*r = (struct vcpu_registers){ .machine = GUEST_X86_64 };
	if (read_all(c, n, x86_64, X86_64, r)) {
		r->value[15] = UINT64_MAX;
		r->sp = r->value[X86_64_RSP];
		r->in_kernel = (r->value[X86_64_CS] & 3) == 0;
		return true;
	}
	*r = (struct vcpu_registers){ .machine = GUEST_AARCH64 };
	if (!read_all(c, n, aarch64, AARCH64, r))
		return false;
	pstate = r->value[AARCH64_PSTATE];
	r->in_kernel = (pstate & PSTATE_LEVEL) != 0;
	if (!read_one(c, n, r->in_kernel && pstate & PSTATE_OWN_SP ? "sys/sp_el1" : "sys/sp_el0",
		      &r->value[AARCH64_SP]))
		return false;
	r->sp = r->value[AARCH64_SP];
	return true;
}

uint64_t vcpu_count(const struct container *c)
{
	uint64_t count = 0;
	struct node n;

	if (container_find(c, "vcpu", &n) == 0)
		container_count(c, n, &count);
	return count;
}
