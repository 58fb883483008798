/* SPDX-License-Identifier: MIT */
/* What blobs hold: KVM's structures as its own header has them, and edits inside blobs. */
#include "check.h"

#include <stdarg.h>

#include "le.h"
#include "text.h"

#ifdef __x86_64__
#include <linux/kvm.h>
#endif

/* A head of layout bare with BLOB for the vCPU 0 and INTC. */
static struct bytes with_blobs(const struct bytes *vcpu, const struct bytes *intc)
{
	struct bytes b = { 0 };

	add_head(&b, 1, 0);
	add_counted(&b, intc->at, intc->size);
	add_uint(&b, 4, 1);
	add_counted(&b, vcpu->at, vcpu->size);
	add_uint(&b, 4, 0);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 0);
	return b;
}

static u128 number_at(const struct container *c, const char *path)
{
	struct value v = value_of(c, find(c, path));
	u128 n = 0;

	memcpy(&n, v.bytes, v.size);
	return n;
}

static void set(struct container *c, const char *path, uint64_t n, time_t when)
{
	struct timespec t = { when, 0 };
	uint8_t bytes[16] = { 0 };
	struct value v = { bytes, container_row(c, find(c, path))->size };
	struct edits edits = { 0 };

	le_put(bytes, 8, n);
	ck_assert_int_eq(edits_add(&edits, c, find(c, path), &v, t), 0);
	ck_assert_int_eq(container_reserve(c, edits.count), 0);
	container_apply(c, &edits);
}

static bool text_is(const struct container *c, const char *path, const char *text)
{
	struct buffer out = { 0 };
	struct value v = value_of(c, find(c, path));
	bool same;

	text_print(container_row(c, find(c, path)), &v, &out);
	same = out.size == strlen(text) && memcmp(out.bytes, text, out.size) == 0;
	buffer_free(&out);
	return same;
}

/*
 * KVM's structures
 */

#ifdef __x86_64__

/* All that a vCPU and the interrupt controllers have. */
struct machine {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_xcrs xcrs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	struct kvm_pit_state2 pit;
	struct kvm_irqchip master, slave, ioapic;
	struct kvm_clock_data clock;
};

#define ADD(b, member) add_counted(b, &(member), sizeof(member))

static struct container *decode_machine(const struct machine *m)
{
	struct bytes vcpu = { 0 }, intc = { 0 }, all;
	struct container *c;

	ADD(&vcpu, m->regs);
	ADD(&vcpu, m->sregs);
	ADD(&vcpu, m->fpu);
	ADD(&vcpu, m->xcrs);
	ADD(&vcpu, m->events);
	ADD(&vcpu, m->mp_state);
	ADD(&vcpu, m->debugregs);
	ADD(&vcpu, m->lapic);
	add_uint(&vcpu, 4, 1);
	add_uint(&vcpu, 4, 0xc0000082);
	add_uint(&vcpu, 8, 0xffffffff81000000);
	ADD(&intc, m->pit);
	ADD(&intc, m->master);
	ADD(&intc, m->slave);
	ADD(&intc, m->ioapic);
	ADD(&intc, m->clock);
	ck_assert_uint_eq(intc.size, 1740);
	all = with_blobs(&vcpu, &intc);
	c = decode_good(all.at, all.size);
	bytes_free(&all);
	bytes_free(&vcpu);
	bytes_free(&intc);
	return c;
}

/* A member that is given a value is what the file at PATH shows. */
#define MEMBER(path, member, value) \
	do { \
		memset(&m, 0, sizeof(m)); \
		m.xcrs.nr_xcrs = 2; \
		m.xcrs.xcrs[1].xcr = 5; \
		m.member = (__typeof__(m.member))(value); \
		c = decode_machine(&m); \
		ck_assert_msg(number_at(c, path) == (u128)(__typeof__(m.member))(value), "%s", path); \
		container_free(c); \
	} while (0)

START_TEST(structures)
{
	static struct machine m;
	struct container *c;

	MEMBER("vcpu/0/regs/rax", regs.rax, 0x8877665544332211);
	MEMBER("vcpu/0/regs/rsp", regs.rsp, 0x8877665544332211);
	MEMBER("vcpu/0/regs/r15", regs.r15, 1);
	MEMBER("vcpu/0/regs/rip", regs.rip, 0xffffffff81000000);
	MEMBER("vcpu/0/regs/rflags", regs.rflags, 2);
	MEMBER("vcpu/0/sregs/cs/base", sregs.cs.base, 0x1122334455667788);
	MEMBER("vcpu/0/sregs/cs/l", sregs.cs.l, 1);
	MEMBER("vcpu/0/sregs/ss/limit", sregs.ss.limit, 0xffffffff);
	MEMBER("vcpu/0/sregs/tr/selector", sregs.tr.selector, 0x40);
	MEMBER("vcpu/0/sregs/ldt/unusable", sregs.ldt.unusable, 1);
	MEMBER("vcpu/0/sregs/gdt/base", sregs.gdt.base, 0xfffffe0000001000);
	MEMBER("vcpu/0/sregs/idt/limit", sregs.idt.limit, 0xfff);
	MEMBER("vcpu/0/sregs/cr0", sregs.cr0, 0x80050033);
	MEMBER("vcpu/0/sregs/cr3", sregs.cr3, 0x1000);
	MEMBER("vcpu/0/sregs/cr8", sregs.cr8, 3);
	MEMBER("vcpu/0/sregs/efer", sregs.efer, 0xd01);
	MEMBER("vcpu/0/sregs/apic_base", sregs.apic_base, 0xfee00900);
	MEMBER("vcpu/0/fpu/fcw", fpu.fcw, 0x37f);
	MEMBER("vcpu/0/fpu/ftwx", fpu.ftwx, 0xff);
	MEMBER("vcpu/0/fpu/last_dp", fpu.last_dp, 9);
	MEMBER("vcpu/0/fpu/st7", fpu.fpr[7][0], 7);
	MEMBER("vcpu/0/fpu/xmm0", fpu.xmm[0][0], 3);
	MEMBER("vcpu/0/fpu/xmm15", fpu.xmm[15][0], 4);
	MEMBER("vcpu/0/fpu/mxcsr", fpu.mxcsr, 0x1f80);
	MEMBER("vcpu/0/xcrs/xcr0", xcrs.xcrs[0].value, 7);
	MEMBER("vcpu/0/xcrs/xcr5", xcrs.xcrs[1].value, 8);
	MEMBER("vcpu/0/events/exception/nr", events.exception.nr, 14);
	MEMBER("vcpu/0/events/exception/error_code", events.exception.error_code, 2);
	MEMBER("vcpu/0/events/interrupt/shadow", events.interrupt.shadow, 1);
	MEMBER("vcpu/0/events/nmi/masked", events.nmi.masked, 1);
	MEMBER("vcpu/0/events/sipi_vector", events.sipi_vector, 0x99);
	MEMBER("vcpu/0/events/flags", events.flags, 0xd);
	MEMBER("vcpu/0/events/smi/latched_init", events.smi.latched_init, 1);
	MEMBER("vcpu/0/events/triple_fault/pending", events.triple_fault.pending, 1);
	MEMBER("vcpu/0/events/exception_has_payload", events.exception_has_payload, 1);
	MEMBER("vcpu/0/events/exception_payload", events.exception_payload, 0xfeed);
	MEMBER("vcpu/0/mp_state", mp_state.mp_state, KVM_MP_STATE_HALTED);
	MEMBER("vcpu/0/debugregs/db3", debugregs.db[3], 0x401000);
	MEMBER("vcpu/0/debugregs/dr7", debugregs.dr7, 0x400);
	MEMBER("vcpu/0/debugregs/flags", debugregs.flags, 1);
	MEMBER("vcpu/0/lapic/timer_divide", lapic.regs[0x3e0], 11);
	MEMBER("vcpu/0/lapic/isr7", lapic.regs[0x170], 9);
	MEMBER("vcpu/0/lapic/id", lapic.regs[0x20], 3);
	MEMBER("intc/pit/channels/0/count", pit.channels[0].count, 0x10000);
	MEMBER("intc/pit/channels/2/gate", pit.channels[2].gate, 1);
	MEMBER("intc/pit/channels/1/count_load_time", pit.channels[1].count_load_time, 123456789);
	MEMBER("intc/pit/flags", pit.flags, 1);
	MEMBER("intc/pic_master/imr", master.chip.pic.imr, 0xfb);
	MEMBER("intc/pic_slave/irq_base", slave.chip.pic.irq_base, 0x28);
	MEMBER("intc/pic_slave/elcr_mask", slave.chip.pic.elcr_mask, 0xde);
	MEMBER("intc/ioapic/base_address", ioapic.chip.ioapic.base_address, 0xfec00000);
	MEMBER("intc/ioapic/redirtbl/23", ioapic.chip.ioapic.redirtbl[23].bits, 0x10000);
	MEMBER("intc/ioapic/irr", ioapic.chip.ioapic.irr, 4);
	MEMBER("intc/clock/clock", clock.clock, 1000000007);
	MEMBER("intc/clock/host_tsc", clock.host_tsc, 5);
}
END_TEST

#endif

/*
 * Edits
 */

/* A vCPU from hvf: x0 once, x29 twice, and a register without a name. */
static struct bytes hvf_blob(void)
{
	static const struct {
		uint32_t id;
		uint64_t value;
	} gp[] = { { 0, 0x10 }, { 29, 0x20 }, { 77, 0x30 }, { 29, 0x40 } };
	struct bytes b = { 0 };
	unsigned i;

	add_uint(&b, 8, 5);
	add_uint(&b, 4, 4);
	add_fill(&b, 0, 20);
	for (i = 0; i < 4; i++) {
		add_uint(&b, 4, gp[i].id);
		add_uint(&b, 8, gp[i].value);
	}
	return b;
}

static struct container *hvf_container(struct bytes *blob)
{
	struct bytes nothing = { 0 }, all;
	struct container *c;

	*blob = hvf_blob();
	all = with_blobs(blob, &nothing);
	c = decode_good(all.at, all.size);
	bytes_free(&all);
	return c;
}

static void check_blob(const struct container *c, const struct bytes *blob)
{
	struct value v = value_of(c, find(c, "vcpu/0/raw"));

	check_bytes("vcpu/0/raw", v.bytes, v.size, blob->at, blob->size);
}

START_TEST(an_id_that_repeats)
{
	struct bytes blob;
	struct container *c = hvf_container(&blob);
	struct node n;

	ck_assert(text_is(c, "vcpu/0/gp/x29", "0x40\n"));
	ck_assert(text_is(c, "vcpu/0/gp/0x4d", "0x30\n"));
	ck_assert(text_is(c, "vcpu/0/vtimer_offset", "5\n"));
	ck_assert_int_eq(container_find(c, "vcpu/0/gp/x1", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "vcpu/0/gp/0x4D", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "vcpu/0/gp/0x0", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "vcpu/0/gp/0x0000004d", &n), -ENOENT);
	ck_assert_int_eq(container_find(c, "vcpu/0/gp/0x10000004d", &n), -ENOENT);
	set(c, "vcpu/0/gp/x29", 0x1234, 1);
	blob.at[32 + 12 + 4] = blob.at[32 + 36 + 4] = 0x34;
	blob.at[32 + 12 + 5] = blob.at[32 + 36 + 5] = 0x12;
	check_blob(c, &blob);
	bytes_free(&blob);
	container_free(c);
}
END_TEST

static void add_number(struct edits *e, const struct container *c, const char *path, uint64_t n)
{
	uint8_t bytes[8];
	struct value v = { bytes, sizeof(bytes) };

	le_put(bytes, 8, n);
	ck_assert_int_eq(edits_add(e, c, find(c, path), &v, (struct timespec){ 1, 0 }), 0);
}

/* Edits of one set, and of the next, of one blob add up; raw in a set comes before what follows. */
START_TEST(edits_of_one_blob)
{
	struct bytes blob;
	struct container *c = hvf_container(&blob);
	struct edits edits = { 0 };
	struct value raw;

	add_number(&edits, c, "vcpu/0/gp/x0", 1);
	add_number(&edits, c, "vcpu/0/vtimer_offset", 2);
	ck_assert_uint_eq(edits.count, 1);
	check_blob(c, &blob);
	ck_assert_int_eq(container_reserve(c, 1), 0);
	container_apply(c, &edits);
	blob.at[0] = 2;
	blob.at[32 + 4] = 1;
	check_blob(c, &blob);
	set(c, "vcpu/0/gp/0x4d", 3, 1);
	blob.at[32 + 24 + 4] = 3;
	check_blob(c, &blob);

	blob.at[0] = 9;
	raw = (struct value){ blob.at, blob.size };
	ck_assert_int_eq(edits_add(&edits, c, find(c, "vcpu/0/raw"), &raw, (struct timespec){ 1, 0 }), 0);
	add_number(&edits, c, "vcpu/0/gp/x0", 7);
	ck_assert_uint_eq(edits.count, 1);
	ck_assert_int_eq(container_reserve(c, 1), 0);
	container_apply(c, &edits);
	blob.at[32 + 4] = 7;
	check_blob(c, &blob);
	ck_assert(text_is(c, "vcpu/0/vtimer_offset", "9\n"));
	bytes_free(&blob);
	container_free(c);
}
END_TEST

/* A draft is what is shown, and what an edit inside starts from; it is no part of the encoding. */
START_TEST(drafts)
{
	struct bytes blob;
	struct container *c = hvf_container(&blob);
	struct node raw = find(c, "vcpu/0/raw"), x0 = find(c, "vcpu/0/gp/x0");
	struct buffer before = { 0 }, draft = { 0 };
	struct value v;

	container_encode(c, NULL, &before);
	buffer_add(&draft, blob.at, blob.size);
	draft.bytes[0] = 8;
	ck_assert_int_eq(container_draft(c, raw, &draft, (struct timespec){ 4, 0 }), 0);
	check_encoding(c, NULL, before.bytes, before.size);
	ck_assert(text_is(c, "vcpu/0/vtimer_offset", "8\n"));
	set(c, "vcpu/0/gp/x0", 6, 5);
	container_draft_end(c, raw);
	blob.at[0] = 8;
	blob.at[32 + 4] = 6;
	check_blob(c, &blob);

	/* What is not understood has nothing inside, and what was there is there again after. */
	buffer_add(&draft, blob.at, blob.size - 1);
	ck_assert_int_eq(container_draft(c, raw, &draft, (struct timespec){ 6, 0 }), 0);
	ck_assert_int_eq(container_value(c, x0, &v), -ESTALE);
	ck_assert_int_eq(container_check(c, x0), -ESTALE);
	container_draft_end(c, raw);
	ck_assert_uint_eq(value_of(c, x0).bytes[0], 6);
	buffer_free(&before);
	bytes_free(&blob);
	container_free(c);
}
END_TEST

static time_t edited(const struct container *c, const char *path)
{
	struct timespec t = { 0 };

	return container_mtime(c, find(c, path), &t) ? t.tv_sec : 0;
}

START_TEST(times)
{
	struct bytes blob;
	struct container *c = hvf_container(&blob);
	struct value v = { blob.at, blob.size };
	struct edits edits = { 0 };

	set(c, "vcpu/0/gp/x0", 1, 10);
	set(c, "vcpu/0/gp/x29", 1, 20);
	ck_assert_int_eq(edited(c, "vcpu/0/gp/x0"), 10);
	ck_assert_int_eq(edited(c, "vcpu/0/gp/x29"), 20);
	ck_assert_int_eq(edited(c, "vcpu/0/gp/0x4d"), 0);
	ck_assert_int_eq(edited(c, "vcpu/0/raw"), 20);
	ck_assert_int_eq(edits_add(&edits, c, find(c, "vcpu/0/raw"), &v, (struct timespec){ 30, 0 }), 0);
	ck_assert_int_eq(container_reserve(c, 1), 0);
	container_apply(c, &edits);
	set(c, "vcpu/0/gp/x0", 2, 40);
	ck_assert_int_eq(edited(c, "vcpu/0/gp/x29"), 30);
	ck_assert_int_eq(edited(c, "vcpu/0/gp/x0"), 40);
	bytes_free(&blob);
	container_free(c);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("state");

#ifdef __x86_64__
	tcase_add_test(t, structures);
#endif
	tcase_add_test(t, an_id_that_repeats);
	tcase_add_test(t, edits_of_one_blob);
	tcase_add_test(t, drafts);
	tcase_add_test(t, times);
	return check_run(t);
}
