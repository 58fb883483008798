/* SPDX-License-Identifier: MIT */
/* What KVM takes of vCPUs and interrupt controllers. */
#include <asm/kvm.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check_parts.h"
#include "le.h"

/* Control registers, of the Intel and AMD manuals. */
enum {
	CR0_PE = 1u << 0,
	CR0_NW = 1u << 29,
	CR0_CD = 1u << 30,
	CR4_PAE = 1u << 5,
	EFER_LME = 1u << 8,
	EFER_LMA = 1u << 10,
	APIC_BASE_RESERVED = 0x2ff,
	APIC_BASE_X2APIC = 1u << 10,
	APIC_BASE_ENABLE = 1u << 11,
	XCR0_FP = 1u << 0,
	XCR0_SSE = 1u << 1,
	XCR0_AVX = 1u << 2,
	CPUID_ADDRESS_BITS_4 = 48, /* with four levels of page tables, */
	CPUID_ADDRESS_BITS_5 = 57, /* and with five */
};
static const uint64_t CR0_PG = 1u << 31;
static const uint64_t CR4_LA57 = 1u << 12;

/* The state of a vCPU: each structure after its size. */
struct vcpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_debugregs debugregs;
};

/* The MSRs that there must be. */
static const uint32_t msr_ids[] = {
	0x10, 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103
};
enum { MSRS = sizeof(msr_ids) / sizeof(msr_ids[0]) };

/* Those that hold an address, by their index. */
static const struct { unsigned index; const char *name; } address_msrs[] = {
	{ 2, "sysenter_esp" }, { 3, "sysenter_eip" }, { 5, "lstar" }, { 6, "cstar" }, { 8, "kernel_gs_base" },
};

struct cpu_check {
	struct check *k;
	uint64_t index;
	bool la57;
};

static void tell(const struct cpu_check *c, enum level level, const char *name, const char *right,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

static void tell(const struct cpu_check *c, enum level level, const char *name, const char *right,
		 const char *format, ...)
{
	char path[CHECK_PATH], text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	finding_tell(c->k->to, level, check_path(path, "vcpu/%" PRIu64 "/%s", c->index, name), right,
		     "%s", text);
}

/* Whether all bits of V above the lowest N are the one below them. */
static bool is_canonical(uint64_t v, unsigned n)
{
	int64_t shifted = (int64_t)(v << (64 - n));

	return shifted >> (64 - n) == (int64_t)v;
}

static void check_address(const struct cpu_check *c, enum level level, const char *name, uint64_t v)
{
	unsigned bits = c->la57 ? CPUID_ADDRESS_BITS_5 : CPUID_ADDRESS_BITS_4;

	if (!is_canonical(v, bits))
		tell(c, level, name, "an address whose upper bits are alike",
		     "0x%" PRIx64 " is not canonical with %u bits", v, bits);
}

static void check_control(const struct cpu_check *c, const struct kvm_sregs *s)
{
	bool paging = s->cr0 & CR0_PG, long_mode = s->efer & EFER_LME && paging;

	if (s->cr0 >> 32)
		tell(c, LEVEL_ERROR, "sregs/cr0", "bits below 32", "0x%llx has bits that there are not",
		     s->cr0);
	if (paging && !(s->cr0 & CR0_PE))
		tell(c, LEVEL_ERROR, "sregs/cr0", "both or neither", "paging (PG) without protection (PE)");
	if (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD))
		tell(c, LEVEL_ERROR, "sregs/cr0", "CD with it", "NW without CD");
	if (long_mode && !(s->cr4 & CR4_PAE))
		tell(c, LEVEL_ERROR, "sregs/cr4", "PAE with it", "long mode with paging, without PAE");
	if (long_mode && !(s->efer & EFER_LMA))
		tell(c, LEVEL_ERROR, "sregs/efer", "LMA with it", "LME with paging, without LMA");
	if (!long_mode && s->efer & EFER_LMA)
		tell(c, LEVEL_ERROR, "sregs/efer", "LME, and PG in cr0", "LMA without long mode");
	if (!long_mode && s->cs.l)
		tell(c, LEVEL_ERROR, "sregs/cs/l", "0", "64-bit code without long mode");
	if (s->cr8 > 15)
		tell(c, LEVEL_ERROR, "sregs/cr8", "a priority, 0 to 15", "0x%llx", s->cr8);
	if (s->apic_base & APIC_BASE_RESERVED & ~(1u << 8))
		tell(c, LEVEL_ERROR, "sregs/apic_base", "zeros there", "0x%llx has reserved bits",
		     s->apic_base);
	if (s->apic_base & APIC_BASE_X2APIC && !(s->apic_base & APIC_BASE_ENABLE))
		tell(c, LEVEL_ERROR, "sregs/apic_base", "both or neither", "x2APIC, and not enabled");
}

static void check_events(const struct cpu_check *c, const struct kvm_vcpu_events *e)
{
	uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM |
			 KVM_VCPUEVENT_VALID_PAYLOAD | 0x20 /* VALID_TRIPLE_FAULT, of newer headers */;

	if (e->flags & ~known)
		tell(c, LEVEL_ERROR, "events/flags", "known flags alone", "0x%x has flags that there are not",
		     e->flags);
	if (e->exception.injected && (e->exception.nr > 31 || e->exception.nr == 2))
		tell(c, LEVEL_ERROR, "events/exception/nr", "0 to 31, and not 2", "%u is no exception",
		     e->exception.nr);
}

static void check_xcrs(const struct cpu_check *c, const struct kvm_xcrs *x)
{
	uint64_t v;
	unsigned i = 0;

	if (x->nr_xcrs > KVM_MAX_XCRS) {
		tell(c, LEVEL_ERROR, "raw", "16 at most", "%u extended control registers", x->nr_xcrs);
		return;
	}
	if (x->flags)
		tell(c, LEVEL_ERROR, "raw", "0", "xcrs: unknown flags 0x%x", x->flags);
	/* Of several KVM takes the first. */
	while (i < x->nr_xcrs && x->xcrs[i].xcr != 0)
		i++;
	if (i == x->nr_xcrs)
		return;
	v = x->xcrs[i].value;
	if (!(v & XCR0_FP) || (v & XCR0_AVX && !(v & XCR0_SSE)))
		tell(c, LEVEL_ERROR, "xcrs/xcr0", "FP always, SSE with AVX",
		     "0x%" PRIx64 " is not a set of states that go together", v);
}

static void check_debug(const struct cpu_check *c, const struct kvm_debugregs *d)
{
	if (d->flags)
		tell(c, LEVEL_ERROR, "debugregs/flags", "0", "0x%llx: there are no flags", d->flags);
	if (d->dr6 >> 32)
		tell(c, LEVEL_ERROR, "debugregs/dr6", "bits below 32", "0x%llx", d->dr6);
	if (d->dr7 >> 32)
		tell(c, LEVEL_ERROR, "debugregs/dr7", "bits below 32", "0x%llx", d->dr7);
}

static void check_msrs(const struct cpu_check *c, const uint8_t *p, uint32_t count)
{
	unsigned i, j, found = 0;

	for (i = 0; i < MSRS; i++)
		for (j = 0; j < count; j++)
			if (le_get(p + 12u * j, 4) == msr_ids[i]) {
				found++;
				break;
			}
	if (count != MSRS || found != MSRS)
		tell(c, LEVEL_ERROR, "msrs", "each of the ten once",
		     "%" PRIu32 " MSRs, %u of the ten that are restored", count, found);
	for (i = 0; i < sizeof(address_msrs) / sizeof(address_msrs[0]); i++) {
		for (j = 0; j < count; j++) {
			char name[64];

			if (le_get(p + 12u * j, 4) != msr_ids[address_msrs[i].index])
				continue;
			snprintf(name, sizeof(name), "msrs/%s", address_msrs[i].name);
			check_address(c, LEVEL_ERROR, name, le_get(p + 12u * j + 4, 8));
		}
	}
}

static void check_regs(const struct cpu_check *c, const struct vcpu *v)
{
	bool long_code = v->sregs.efer & EFER_LMA && v->sregs.cs.l;

	if (long_code)
		check_address(c, LEVEL_WARNING, "regs/rip", v->regs.rip);
	check_address(c, LEVEL_WARNING, "sregs/fs/base", v->sregs.fs.base);
	check_address(c, LEVEL_WARNING, "sregs/gs/base", v->sregs.gs.base);
	check_address(c, LEVEL_WARNING, "sregs/gdt/base", v->sregs.gdt.base);
	check_address(c, LEVEL_WARNING, "sregs/idt/base", v->sregs.idt.base);
	if (!(v->regs.rflags & 2))
		tell(c, LEVEL_WARNING, "regs/rflags", "bit 1 set", "0x%llx: bit 1 is always set",
		     v->regs.rflags);
	if (v->mp_state.mp_state > KVM_MP_STATE_SIPI_RECEIVED)
		tell(c, LEVEL_WARNING, "mp_state", "0 to 4", "%u is no state of an x86 vCPU",
		     v->mp_state.mp_state);
}

/* The structure of N bytes that starts, after its size, at *AT: copied to TO, and *AT is past it. */
static void take(const uint8_t *bytes, size_t *at, void *to, size_t n)
{
	if (to)
		memcpy(to, bytes + *at + 4, n);
	*at += 4 + n;
}

static void check_vcpu(struct check *k, uint64_t index, const uint8_t *bytes)
{
	struct cpu_check c = { .k = k, .index = index };
	struct vcpu v;
	size_t at = 0;

	take(bytes, &at, &v.regs, sizeof(v.regs));
	take(bytes, &at, &v.sregs, sizeof(v.sregs));
	take(bytes, &at, NULL, sizeof(struct kvm_fpu));
	take(bytes, &at, &v.xcrs, sizeof(v.xcrs));
	take(bytes, &at, &v.events, sizeof(v.events));
	take(bytes, &at, &v.mp_state, sizeof(v.mp_state));
	take(bytes, &at, &v.debugregs, sizeof(v.debugregs));
	take(bytes, &at, NULL, sizeof(struct kvm_lapic_state));
	c.la57 = v.sregs.cr4 & CR4_LA57;
	check_control(&c, &v.sregs);
	check_xcrs(&c, &v.xcrs);
	check_events(&c, &v.events);
	check_debug(&c, &v.debugregs);
	check_msrs(&c, bytes + at + 4, (uint32_t)le_get(bytes + at, 4));
	check_regs(&c, &v);
}

void check_kvm_vcpus(struct check *k)
{
	uint64_t i, count = check_count(k, "vcpu");
	char path[CHECK_PATH];
	struct value v;

	for (i = 0; i < count; i++) {
		/* What is shown beside raw has the sizes that it must have. */
		bool understood = check_has(k, check_path(path, "vcpu/%" PRIu64 "/regs", i));

		if (!check_value(k, check_path(path, "vcpu/%" PRIu64 "/raw", i), &v))
			continue;
		if (understood)
			check_vcpu(k, i, v.bytes);
		else
			finding_tell(k->to, LEVEL_ERROR, path, "eight structures of KVM's, each with its size, and MSRs",
				     "is no state of an x86-64 vCPU");
	}
}

void check_kvm_intc(struct check *k)
{
	struct kvm_pit_state2 pit;
	struct kvm_irqchip chip;
	struct kvm_clock_data clock;
	struct value v;
	size_t at = 0;
	unsigned i;

	if (!check_value(k, "intc/raw", &v))
		return;
	if (!check_has(k, "intc/pit")) {
		finding_tell(k->to, LEVEL_ERROR, "intc/raw", "five structures of KVM's, each with its size",
			     "is no state of the interrupt controllers");
		return;
	}
	take(v.bytes, &at, &pit, sizeof(pit));
	for (i = 0; i < 3; i++) {
		take(v.bytes, &at, &chip, sizeof(chip));
		if (chip.chip_id != i)
			finding_tell(k->to, LEVEL_ERROR, "intc/raw", "0, 1 and 2 in order",
				     "the chip_id of interrupt controller %u is %u", i, chip.chip_id);
	}
	take(v.bytes, &at, &clock, sizeof(clock));
	if (clock.flags & ~(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC))
		finding_tell(k->to, LEVEL_ERROR, "intc/clock/flags", "known flags alone",
			     "0x%x has flags that there are not", clock.flags);
}
