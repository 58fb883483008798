/* SPDX-License-Identifier: MIT */
/* What KVM takes of vCPUs and interrupt controllers. */
#include <asm/kvm.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif
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
	XCR0_MPX = 3u << 3,
	XCR0_AVX512 = 7u << 5,
	XCR0_PKRU = 1u << 9,
	XCR0_AMX = 3u << 17,
	XCR0_KNOWN = XCR0_FP | XCR0_SSE | XCR0_AVX | XCR0_MPX | XCR0_AVX512 | XCR0_PKRU | XCR0_AMX,
	CPUID_ADDRESS_BITS_4 = 48, /* with four levels of page tables, */
	CPUID_ADDRESS_BITS_5 = 57, /* and with five */
};
static const uint64_t CR0_PG = 1u << 31;
static const uint64_t CR4_LA57 = 1u << 12, CR4_VMXE = 1u << 13;
/* Without those of linear-address masking, 61 and 62. */
static const uint64_t CR3_TABLE = 0xffffffffff000, CR3_RESERVED = 0x9ff0000000000000;
/* VME to UMIP, LA57, VMXE, FSGSBASE to SMAP (without KL), PKE, CET and LAM_SUP: without SMXE, and what KVM has no guest use. */
static const uint64_t CR4_KNOWN = 0x10f73fff;

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
enum { MSRS = sizeof(msr_ids) / sizeof(msr_ids[0]), MSRS_MAX = 256, MSR_BYTES = 12 };

/* Those that hold an address, by their index.  Of some KVM makes one that is canonical. */
static const struct { unsigned index; const char *name; enum level level; } address_msrs[] = {
	{ 2, "sysenter_esp", LEVEL_WARNING }, { 3, "sysenter_eip", LEVEL_WARNING }, { 5, "lstar", LEVEL_ERROR },
	{ 6, "cstar", LEVEL_ERROR }, { 8, "kernel_gs_base", LEVEL_ERROR },
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
	if (paging && s->cr3 & CR3_RESERVED)
		tell(c, LEVEL_ERROR, "sregs/cr3", "zeros there", "0x%llx has reserved bits", s->cr3);
	else if (paging && (s->cr3 & CR3_TABLE) >= check_number(c->k, "mem_size"))
		tell(c, LEVEL_WARNING, "sregs/cr3", "an address in RAM", "the page tables at 0x%llx are not in RAM",
		     s->cr3 & CR3_TABLE);
	if (s->cr4 & ~CR4_KNOWN)
		tell(c, LEVEL_ERROR, "sregs/cr4", "bits that KVM knows alone", "0x%llx has bits that no guest can set",
		     s->cr4);
	if (s->cr4 & CR4_VMXE)
		tell(c, LEVEL_WARNING, "sregs/cr4", "a host that lets its guests have VMX",
		     "the guest is a host itself (VMXE)");
	if (long_mode && !(s->cr4 & CR4_PAE))
		tell(c, LEVEL_ERROR, "sregs/cr4", "PAE with it", "long mode with paging, without PAE");
	if (long_mode && !(s->efer & EFER_LMA))
		tell(c, LEVEL_ERROR, "sregs/efer", "LMA with it", "LME with paging, without LMA");
	if (!long_mode && s->efer & EFER_LMA)
		tell(c, LEVEL_ERROR, "sregs/efer", "LME, and PG in cr0", "LMA without long mode");
	if (!long_mode && s->cs.l)
		tell(c, LEVEL_ERROR, "sregs/cs/l", "0", "64-bit code without long mode");
	if (s->cr8 > 15)
		tell(c, LEVEL_WARNING, "sregs/cr8", "a priority, 0 to 15", "0x%llx is none, and is not restored", s->cr8);
	if (s->apic_base & APIC_BASE_RESERVED & ~(1u << 8))
		tell(c, LEVEL_ERROR, "sregs/apic_base", "zeros there", "0x%llx has reserved bits",
		     s->apic_base);
	if (s->apic_base & APIC_BASE_X2APIC && !(s->apic_base & APIC_BASE_ENABLE))
		tell(c, LEVEL_ERROR, "sregs/apic_base", "both or neither", "x2APIC, and not enabled");
}

static void check_events(const struct cpu_check *c, const struct kvm_vcpu_events *e)
{
	/* A payload and a triple fault KVM takes only from who has asked for them, and the monitor does not. */
	uint32_t known = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			 KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;

	if (e->flags & ~known)
		tell(c, LEVEL_ERROR, "events/flags", "bits 0 to 3 alone", "0x%x has flags that are not restored",
		     e->flags);
	if (e->flags & KVM_VCPUEVENT_VALID_SMM &&
	    (e->smi.smm || e->smi.pending || e->smi.smm_inside_nmi || e->smi.latched_init))
		tell(c, LEVEL_WARNING, "events/smi/smm", "a host whose KVM is built with it",
		     "system management mode is under way");
	if (e->exception.injected && (e->exception.nr > 31 || e->exception.nr == 2))
		tell(c, LEVEL_ERROR, "events/exception/nr", "0 to 31, and not 2", "%u is no exception",
		     e->exception.nr);
}

/* The states that this host's CPUs have, as XCR0 has them; all where that is not known. */
static uint64_t host_states(void)
{
#ifdef __x86_64__
	unsigned low, ignored, high;

	if (__get_cpuid_count(0xd, 0, &low, &ignored, &ignored, &high))
		return (uint64_t)high << 32 | low;
#endif
	return UINT64_MAX;
}

/* Whether V has all of BITS or none. */
static bool go_together(uint64_t v, uint64_t bits)
{
	return (v & bits) == bits || !(v & bits);
}

static void check_xcr0(const struct cpu_check *c, uint64_t v)
{
	if (!(v & XCR0_FP) || (v & XCR0_AVX && !(v & XCR0_SSE)) || v & ~(uint64_t)XCR0_KNOWN ||
	    !go_together(v, XCR0_MPX) || !go_together(v, XCR0_AVX512) || !go_together(v, XCR0_AMX) ||
	    (v & XCR0_AVX512 && !(v & XCR0_AVX)))
		tell(c, LEVEL_ERROR, "xcrs/xcr0", "FP always, SSE with AVX, AVX with AVX-512, MPX, AVX-512 and AMX whole",
		     "0x%" PRIx64 " is not a set of states that go together", v);
	else if (v & ~host_states())
		tell(c, LEVEL_WARNING, "xcrs/xcr0", "a host whose CPUs have them", "the CPUs here lack the states 0x%" PRIx64,
		     v & ~host_states());
}

static void check_xcrs(const struct cpu_check *c, const struct kvm_xcrs *x)
{
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
	if (i < x->nr_xcrs)
		check_xcr0(c, x->xcrs[i].value);
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
			check_address(c, address_msrs[i].level, name, le_get(p + 12u * j + 4, 8));
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
	if (v->mp_state.mp_state > KVM_MP_STATE_SIPI_RECEIVED &&
	    v->mp_state.mp_state != KVM_MP_STATE_AP_RESET_HOLD)
		tell(c, LEVEL_ERROR, "mp_state", "0 to 4, or 9", "%u is no state of an x86 vCPU",
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

/* Each structure of a vCPU's state, and of the interrupt controllers'. */
static const uint16_t vcpu_sizes[] = {
	sizeof(struct kvm_regs), sizeof(struct kvm_sregs), sizeof(struct kvm_fpu), sizeof(struct kvm_xcrs),
	sizeof(struct kvm_vcpu_events), sizeof(struct kvm_mp_state), sizeof(struct kvm_debugregs),
	sizeof(struct kvm_lapic_state),
};
static const uint16_t intc_sizes[] = {
	sizeof(struct kvm_pit_state2), sizeof(struct kvm_irqchip), sizeof(struct kvm_irqchip),
	sizeof(struct kvm_irqchip), sizeof(struct kvm_clock_data),
};

/* Of what V starts with, the bytes that structures of these COUNT SIZES take; 0: it does not. */
static size_t structures_end(const struct value *v, const uint16_t *sizes, unsigned count)
{
	size_t at = 0;
	unsigned i;

	for (i = 0; i < count; i++) {
		if (v->size - at < 4 || le_get(v->bytes + at, 4) != sizes[i] || v->size - at - 4 < sizes[i])
			return 0;
		at += 4u + sizes[i];
	}
	return at;
}

/* The same of a vCPU's: the structures, and the MSRs. */
static size_t vcpu_end(const struct value *v)
{
	size_t at = structures_end(v, vcpu_sizes, sizeof(vcpu_sizes) / sizeof(vcpu_sizes[0]));
	uint64_t count;

	if (!at || v->size - at < 4)
		return 0;
	count = le_get(v->bytes + at, 4);
	at += 4;
	return count <= MSRS_MAX && v->size - at >= count * MSR_BYTES ? at + count * MSR_BYTES : 0;
}

/* Tell of a state of V at PATH that ends at END: whether it is one. */
static bool tell_state(struct check *k, const char *path, const struct value *v, size_t end, const char *wrong,
		       const char *right)
{
	if (!end)
		finding_tell(k->to, LEVEL_ERROR, path, right, "%s", wrong);
	else if (v->size > end)
		finding_tell(k->to, LEVEL_WARNING, path, right, "the monitor leaves out the last %zu bytes",
			     v->size - end);
	return end;
}

static bool is_vcpu(struct check *k, uint64_t index, struct value *out)
{
	char path[CHECK_PATH];

	return check_value(k, check_path(path, "vcpu/%" PRIu64 "/raw", index), out) &&
	       tell_state(k, path, out, vcpu_end(out), "is no state of an x86-64 vCPU",
			  "eight structures of KVM's, each with its size, and MSRs");
}

static bool is_intc(struct check *k, struct value *out)
{
	size_t end;

	if (!check_value(k, "intc/raw", out))
		return false;
	end = structures_end(out, intc_sizes, sizeof(intc_sizes) / sizeof(intc_sizes[0]));
	return tell_state(k, "intc/raw", out, end, "is no state of the interrupt controllers",
			  "five structures of KVM's, each with its size");
}

void check_kvm_vcpus(struct check *k)
{
	uint64_t i, count = check_count(k, "vcpu");
	struct value v;

	for (i = 0; i < count; i++)
		if (is_vcpu(k, i, &v))
			check_vcpu(k, i, v.bytes);
}

void check_kvm_states(struct check *k)
{
	uint64_t i, count = check_count(k, "vcpu");
	struct value v;

	is_intc(k, &v);
	for (i = 0; i < count; i++)
		is_vcpu(k, i, &v);
}

void check_kvm_intc(struct check *k)
{
	struct kvm_pit_state2 pit;
	struct kvm_irqchip chip;
	struct value v;
	size_t at = 0;
	unsigned i;

	if (!is_intc(k, &v))
		return;
	take(v.bytes, &at, &pit, sizeof(pit));
	for (i = 0; i < 3; i++) {
		take(v.bytes, &at, &chip, sizeof(chip));
		if (chip.chip_id != i)
			finding_tell(k->to, LEVEL_ERROR, "intc/raw", "0, 1 and 2 in order",
				     "the chip_id of interrupt controller %u is %u", i, chip.chip_id);
	}
}
