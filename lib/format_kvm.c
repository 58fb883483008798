/* SPDX-License-Identifier: MIT */
/*
 * State of a vCPU and of the interrupt controllers from KVM on x86-64: structures of its
 * interface, each with its size before it.
 *
 * Offsets and sizes are written out, as other systems' <linux/kvm.h> has others or none,
 * and held to that header where it has these.
 */
#include "format.h"

#include <assert.h>
#ifdef __x86_64__
#include <linux/kvm.h>
#endif

/* N, which is said to be VALUE, an expression of <linux/kvm.h>. */
#ifdef __x86_64__
#define HELD(n, value) ((n) + 0 * sizeof(struct { static_assert((n) == (value), #value); char c; }))
#else
#define HELD(n, value) (n)
#endif

/* A member of the structure T, which each table defines: its offset and its size. */
#define AT(member, n) HELD(n, offsetof(T, member))
#define WIDTH(member, n) HELD(n, sizeof(((T *)0)->member))

/* The rows for a member: as a number, as bytes. */
#define NUMBER(name_, member, offset, width, base_, doc_) \
	{ UINT, name_, WIDTH(member, width), base_, .at = AT(member, offset), .doc = doc_ }
#define M(member, offset, width, base, doc) NUMBER(#member, member, offset, width, base, doc)

/* A structure, with its size before it. */
#define SIZED(name_, type, n, rows) \
	{ UINT, .size = 4, .only = n }, \
	{ STRUCT, name_, HELD(n, sizeof(type)), .of = rows }

/* clang-format off */

#define T struct kvm_regs
static const struct field regs[] = {
	M(rax,      0, 8, HEX, "general register"),
	M(rbx,      8, 8, HEX, "general register"),
	M(rcx,     16, 8, HEX, "general register"),
	M(rdx,     24, 8, HEX, "general register"),
	M(rsi,     32, 8, HEX, "general register"),
	M(rdi,     40, 8, HEX, "general register"),
	M(rsp,     48, 8, HEX, "stack pointer"),
	M(rbp,     56, 8, HEX, "general register"),
	M(r8,      64, 8, HEX, "general register"),
	M(r9,      72, 8, HEX, "general register"),
	M(r10,     80, 8, HEX, "general register"),
	M(r11,     88, 8, HEX, "general register"),
	M(r12,     96, 8, HEX, "general register"),
	M(r13,    104, 8, HEX, "general register"),
	M(r14,    112, 8, HEX, "general register"),
	M(r15,    120, 8, HEX, "general register"),
	M(rip,    128, 8, HEX, "instruction pointer"),
	M(rflags, 136, 8, HEX, "flags"),
	{ .kind = END }
};
#undef T

#define T struct kvm_segment
static const struct field segment[] = {
	M(base,      0, 8, HEX, "linear address"),
	M(limit,     8, 4, HEX, "last byte"),
	M(selector, 12, 2, HEX, "selector"),
	M(type,     14, 1, HEX, "type"),
	M(present,  15, 1, HEX, "it is present"),
	M(dpl,      16, 1, HEX, "privilege level"),
	M(db,       17, 1, HEX, "32-bit segment"),
	M(s,        18, 1, HEX, "code or data, not system"),
	M(l,        19, 1, HEX, "64-bit code"),
	M(g,        20, 1, HEX, "the limit counts pages"),
	M(avl,      21, 1, HEX, "for the guest's use"),
	M(unusable, 22, 1, HEX, "it was not loaded"),
	{ .kind = END }
};
#undef T

#define T struct kvm_dtable
static const struct field table[] = {
	M(base,  0, 8, HEX, "linear address"),
	M(limit, 8, 2, HEX, "last byte"),
	{ .kind = END }
};
#undef T

#define T struct kvm_sregs
#define SEGMENT(member, offset) \
	{ STRUCT, #member, WIDTH(member, 24), .at = AT(member, offset), .of = segment }
#define TABLE(member, offset) \
	{ STRUCT, #member, WIDTH(member, 16), .at = AT(member, offset), .of = table }
static const struct field sregs[] = {
	SEGMENT(cs,    0),
	SEGMENT(ds,   24),
	SEGMENT(es,   48),
	SEGMENT(fs,   72),
	SEGMENT(gs,   96),
	SEGMENT(ss,  120),
	SEGMENT(tr,  144),
	SEGMENT(ldt, 168),
	TABLE(gdt,   192),
	TABLE(idt,   208),
	M(cr0,       224, 8, HEX, "control register"),
	M(cr2,       232, 8, HEX, "address of the last page fault"),
	M(cr3,       240, 8, HEX, "page-table root"),
	M(cr4,       248, 8, HEX, "control register"),
	M(cr8,       256, 8, HEX, "task priority"),
	M(efer,      264, 8, HEX, "extended features"),
	M(apic_base, 272, 8, HEX, "address and mode of the local APIC"),
	{ BYTES, "interrupt_bitmap", WIDTH(interrupt_bitmap, 32), .at = AT(interrupt_bitmap, 280),
	  .doc = "a bit for the vector of an interrupt to be injected" },
	{ .kind = END }
};
#undef T

#define T struct kvm_fpu
#define ST(i)  NUMBER("st" #i,  fpr[i], 16 * i, 16, HEX, "x87 register")
#define XMM(i) NUMBER("xmm" #i, xmm[i], 152 + 16 * i, 16, HEX, "SSE register")
static const struct field fpu[] = {
	ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
	M(fcw,         128, 2, HEX, "control word"),
	M(fsw,         130, 2, HEX, "status word"),
	M(ftwx,        132, 1, HEX, "tags, as FXSAVE has them"),
	M(last_opcode, 134, 2, HEX, "of the last instruction"),
	M(last_ip,     136, 8, HEX, "address of the last instruction"),
	M(last_dp,     144, 8, HEX, "address of its operand"),
	XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7),
	XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13), XMM(14), XMM(15),
	M(mxcsr,       408, 4, HEX, "SSE control and status"),
	{ .kind = END }
};
#undef T

static const struct field xcr[] = {
	{ UINT, .size = 4 },
	{ UINT, .size = 4 },
	{ UINT, .size = 8, .base = HEX, .doc = "extended control register" },
	{ .kind = END }
};

static const struct field xcr_record = { RECORD, .of = xcr };

/* struct kvm_xcrs, row by row, as a map's entries are no members of a structure. */
#define XCRS \
	{ UINT, .size = 4, .only = HELD(392, sizeof(struct kvm_xcrs)) }, \
	{ UINT, .size = 4 }, \
	{ UINT, .size = 4 }, \
	{ MAP, "xcrs", .counted = 2, .times = HELD(16, KVM_MAX_XCRS), .prefix = "xcr", .of = &xcr_record }, \
	{ BYTES, .size = 128 }

/* Groups of members are structures that begin where the whole does. */
#define T struct kvm_vcpu_events
#define GROUP(member) { STRUCT, #member, HELD(64, sizeof(T)), .of = member }
static const struct field exception[] = {
	NUMBER("injected",       exception.injected,       0, 1, DEC, "it is to be injected"),
	NUMBER("nr",             exception.nr,             1, 1, DEC, "vector"),
	NUMBER("has_error_code", exception.has_error_code, 2, 1, DEC, "it comes with error_code"),
	NUMBER("pending",        exception.pending,        3, 1, DEC, "it is yet to be delivered"),
	NUMBER("error_code",     exception.error_code,     4, 4, HEX, "what the guest gets with it"),
	{ .kind = END }
};

static const struct field interrupt[] = {
	NUMBER("injected", interrupt.injected,  8, 1, DEC, "it is to be injected"),
	NUMBER("nr",       interrupt.nr,        9, 1, DEC, "vector"),
	NUMBER("soft",     interrupt.soft,     10, 1, DEC, "by an instruction"),
	NUMBER("shadow",   interrupt.shadow,   11, 1, DEC, "what keeps interrupts off for an instruction"),
	{ .kind = END }
};

static const struct field nmi[] = {
	NUMBER("injected", nmi.injected, 12, 1, DEC, "it is to be injected"),
	NUMBER("pending",  nmi.pending,  13, 1, DEC, "it is yet to be delivered"),
	NUMBER("masked",   nmi.masked,   14, 1, DEC, "one is being handled"),
	{ .kind = END }
};

static const struct field smi[] = {
	NUMBER("smm",            smi.smm,            24, 1, DEC, "in system-management mode"),
	NUMBER("pending",        smi.pending,        25, 1, DEC, "it is yet to be delivered"),
	NUMBER("smm_inside_nmi", smi.smm_inside_nmi, 26, 1, DEC, "it came while an NMI was handled"),
	NUMBER("latched_init",   smi.latched_init,   27, 1, DEC, "an INIT that waits"),
	{ .kind = END }
};

static const struct field triple_fault[] = {
	NUMBER("pending", triple_fault.pending, 28, 1, DEC, "it is yet to be delivered"),
	{ .kind = END }
};

static const struct field events[] = {
	GROUP(exception),
	GROUP(interrupt),
	GROUP(nmi),
	M(sipi_vector, 16, 4, DEC, "of a start-up interrupt"),
	M(flags,       20, 4, HEX, "what of this counts"),
	GROUP(smi),
	GROUP(triple_fault),
	M(exception_has_payload, 55, 1, DEC, "it comes with exception_payload"),
	M(exception_payload,     56, 8, HEX, "for cr2 or dr6"),
	{ .kind = END }
};
#undef T

#define T struct kvm_debugregs
static const struct field debugregs[] = {
	NUMBER("db0", db[0],  0, 8, HEX, "address of a breakpoint"),
	NUMBER("db1", db[1],  8, 8, HEX, "address of a breakpoint"),
	NUMBER("db2", db[2], 16, 8, HEX, "address of a breakpoint"),
	NUMBER("db3", db[3], 24, 8, HEX, "address of a breakpoint"),
	M(dr6,               32, 8, HEX, "debug status"),
	M(dr7,               40, 8, HEX, "debug control"),
	M(flags,             48, 8, HEX, "none is defined"),
	{ .kind = END }
};
#undef T

/* Registers of the APIC's page: 32 bits every 16 bytes, as the Intel manual has them. */
#define APIC(name_, offset, doc_) { UINT, name_, 4, HEX, .at = offset, .doc = doc_ }
#define APIC8(name, offset, doc) \
	APIC(name "0", offset + 0x00, doc), APIC(name "1", offset + 0x10, doc), \
	APIC(name "2", offset + 0x20, doc), APIC(name "3", offset + 0x30, doc), \
	APIC(name "4", offset + 0x40, doc), APIC(name "5", offset + 0x50, doc), \
	APIC(name "6", offset + 0x60, doc), APIC(name "7", offset + 0x70, doc)
static const struct field lapic[] = {
	APIC("id",            0x020, "number of the local APIC"),
	APIC("version",       0x030, "of the local APIC"),
	APIC("tpr",           0x080, "task priority"),
	APIC("ldr",           0x0d0, "logical destination"),
	APIC("dfr",           0x0e0, "destination format"),
	APIC("svr",           0x0f0, "spurious-interrupt vector; bit 8: enabled"),
	APIC8("isr",          0x100, "a bit for each vector in service"),
	APIC8("tmr",          0x180, "a bit for each vector that is level-triggered"),
	APIC8("irr",          0x200, "a bit for each vector requested"),
	APIC("esr",           0x280, "errors"),
	APIC("icr_low",       0x300, "interrupt command"),
	APIC("icr_high",      0x310, "its destination"),
	APIC("lvt_timer",     0x320, "local vector of the timer"),
	APIC("lvt_thermal",   0x330, "local vector of the thermal sensor"),
	APIC("lvt_perf",      0x340, "local vector of the performance counters"),
	APIC("lvt_lint0",     0x350, "local vector of the pin LINT0"),
	APIC("lvt_lint1",     0x360, "local vector of the pin LINT1"),
	APIC("lvt_error",     0x370, "local vector of errors"),
	APIC("timer_initial", 0x380, "the timer's initial count"),
	APIC("timer_current", 0x390, "the timer's count"),
	APIC("timer_divide",  0x3e0, "what divides the timer's clock"),
	{ .kind = END }
};

static const struct id_name msr_names[] = {
	{ 0x10, "tsc" },
	{ 0x174, "sysenter_cs" }, { 0x175, "sysenter_esp" }, { 0x176, "sysenter_eip" },
	{ 0xc0000081, "star" }, { 0xc0000082, "lstar" }, { 0xc0000083, "cstar" },
	{ 0xc0000084, "sfmask" }, { 0xc0000102, "kernel_gs_base" }, { 0xc0000103, "tsc_aux" },
	{ 0, NULL }
};

static const struct field msr[] = {
	{ UINT, .size = 4 },
	{ UINT, .size = 8, .base = HEX, .doc = "model-specific register" },
	{ .kind = END }
};

static const struct field msr_record = { RECORD, .of = msr };

static const struct field vcpu[] = {
	SIZED("regs",  struct kvm_regs,  144, regs),
	SIZED("sregs", struct kvm_sregs, 312, sregs),
	SIZED("fpu",   struct kvm_fpu,   416, fpu),
	XCRS,
	SIZED("events", struct kvm_vcpu_events, 64, events),
	{ UINT, .size = 4, .only = HELD(4, sizeof(struct kvm_mp_state)) },
	{ UINT, "mp_state", 4, DEC, .doc = "0: it runs, 3: it is halted; others as KVM has them" },
	SIZED("debugregs", struct kvm_debugregs,   128,  debugregs),
	SIZED("lapic",     struct kvm_lapic_state, 1024, lapic),
	{ UINT, .size = 4, .most = 256 },
	{ MAP, "msrs", .counted = 1, .names = msr_names, .of = &msr_record },
	{ .kind = END }
};

#define T struct kvm_pit_channel_state
static const struct field channel[] = {
	M(count,            0, 4, DEC, "reload value"),
	M(latched_count,    4, 2, DEC, "count that was latched"),
	M(count_latched,    6, 1, DEC, "the count is latched"),
	M(status_latched,   7, 1, DEC, "the status is latched"),
	M(status,           8, 1, HEX, "status that was latched"),
	M(read_state,       9, 1, DEC, "which byte is read next"),
	M(write_state,     10, 1, DEC, "which byte is written next"),
	M(write_latch,     11, 1, DEC, "low byte that was written"),
	M(rw_mode,         12, 1, DEC, "which bytes are accessed"),
	M(mode,            13, 1, DEC, "mode of the counter"),
	M(bcd,             14, 1, DEC, "it counts in decimal"),
	M(gate,            15, 1, DEC, "its gate is open"),
	M(count_load_time, 16, 8, DEC, "when it was loaded, in nanoseconds"),
	{ .kind = END }
};
#undef T

static const struct field channel_struct = { STRUCT, .size = HELD(24, sizeof(struct kvm_pit_channel_state)), .of = channel };

#define T struct kvm_pit_state2
static const struct field pit[] = {
	{ LIST, "channels", .times = 3, .at = AT(channels, 0), .of = &channel_struct },
	M(flags, 72, 4, HEX, "of the timer"),
	{ .kind = END }
};
#undef T

#define T struct kvm_irqchip
#define PIC(member, offset, base, doc) NUMBER(#member, chip.pic.member, 8 + offset, 1, base, doc)
static const struct field pic[] = {
	PIC(last_irr,         0, HEX, "lines as they last were"),
	PIC(irr,              1, HEX, "interrupts requested"),
	PIC(imr,              2, HEX, "interrupts masked"),
	PIC(isr,              3, HEX, "interrupts in service"),
	PIC(priority_add,     4, DEC, "the line of highest priority"),
	PIC(irq_base,         5, DEC, "vector of its first line"),
	PIC(read_reg_select,  6, DEC, "which register is read"),
	PIC(poll,             7, DEC, "poll mode"),
	PIC(special_mask,     8, DEC, "special mask mode"),
	PIC(init_state,       9, DEC, "which initialization word comes next"),
	PIC(auto_eoi,        10, DEC, "interrupts end by themselves"),
	PIC(rotate_on_auto_eoi, 11, DEC, "priorities rotate then"),
	PIC(special_fully_nested_mode, 12, DEC, "special fully nested mode"),
	PIC(init4,           13, DEC, "four initialization words come"),
	PIC(elcr,            14, HEX, "lines that are level-triggered"),
	PIC(elcr_mask,       15, HEX, "lines that may be"),
	{ .kind = END }
};

static const struct field redirection = { UINT, .size = 8, .base = HEX, .doc = "redirection of a pin" };

#define IOAPIC(member, offset, width, base, doc) \
	NUMBER(#member, chip.ioapic.member, 8 + offset, width, base, doc)
static const struct field ioapic[] = {
	IOAPIC(base_address,  0, 8, HEX, "guest-physical address"),
	IOAPIC(ioregsel,      8, 4, HEX, "register that is selected"),
	IOAPIC(id,           12, 4, DEC, "number of the IOAPIC"),
	IOAPIC(irr,          16, 4, HEX, "pins that are up"),
	{ LIST, "redirtbl", .times = HELD(24, KVM_IOAPIC_NUM_PINS), .at = AT(chip.ioapic.redirtbl, 8 + 24),
	  .of = &redirection },
	{ .kind = END }
};
#undef T

#define T struct kvm_clock_data
static const struct field clock[] = {
	M(clock,     0, 8, DEC, "the guest's clock, in nanoseconds"),
	M(flags,     8, 4, HEX, "which of these are there"),
	M(realtime, 16, 8, DEC, "the host's time then, in nanoseconds"),
	M(host_tsc, 24, 8, DEC, "the host's time-stamp counter then"),
	{ .kind = END }
};
#undef T

static const struct field intc[] = {
	SIZED("pit",        struct kvm_pit_state2, 112, pit),
	SIZED("pic_master", struct kvm_irqchip,    520, pic),
	SIZED("pic_slave",  struct kvm_irqchip,    520, pic),
	SIZED("ioapic",     struct kvm_irqchip,    520, ioapic),
	SIZED("clock",      struct kvm_clock_data, 48,  clock),
	{ .kind = END }
};

/* clang-format on */

const struct field state_kvm_vcpu = { RECORD, .of = vcpu };
const struct field state_kvm_intc = { RECORD, .of = intc };
