/* SPDX-License-Identifier: MIT */
/*
 * State of a vCPU from hvf (aarch64): lists of registers, whose counts stand before
 * all of them.
 */
#include "format.h"

/* clang-format off */

static const struct id_name gp_names[] = {
	{ 0, "x0" }, { 1, "x1" }, { 2, "x2" }, { 3, "x3" }, { 4, "x4" }, { 5, "x5" }, { 6, "x6" },
	{ 7, "x7" }, { 8, "x8" }, { 9, "x9" }, { 10, "x10" }, { 11, "x11" }, { 12, "x12" },
	{ 13, "x13" }, { 14, "x14" }, { 15, "x15" }, { 16, "x16" }, { 17, "x17" }, { 18, "x18" },
	{ 19, "x19" }, { 20, "x20" }, { 21, "x21" }, { 22, "x22" }, { 23, "x23" }, { 24, "x24" },
	{ 25, "x25" }, { 26, "x26" }, { 27, "x27" }, { 28, "x28" }, { 29, "x29" }, { 30, "x30" },
	{ 31, "pc" }, { 32, "fpcr" }, { 33, "fpsr" }, { 34, "cpsr" }, { 0, NULL }
};

static const struct id_name simd_names[] = {
	{ 0, "q0" }, { 1, "q1" }, { 2, "q2" }, { 3, "q3" }, { 4, "q4" }, { 5, "q5" }, { 6, "q6" },
	{ 7, "q7" }, { 8, "q8" }, { 9, "q9" }, { 10, "q10" }, { 11, "q11" }, { 12, "q12" },
	{ 13, "q13" }, { 14, "q14" }, { 15, "q15" }, { 16, "q16" }, { 17, "q17" }, { 18, "q18" },
	{ 19, "q19" }, { 20, "q20" }, { 21, "q21" }, { 22, "q22" }, { 23, "q23" }, { 24, "q24" },
	{ 25, "q25" }, { 26, "q26" }, { 27, "q27" }, { 28, "q28" }, { 29, "q29" }, { 30, "q30" },
	{ 31, "q31" }, { 0, NULL }
};

static const struct id_name sys_names[] = {
	{ 0x8012, "mdscr_el1" }, { 0xc005, "mpidr_el1" }, { 0xc080, "sctlr_el1" },
	{ 0xc082, "cpacr_el1" }, { 0xc100, "ttbr0_el1" }, { 0xc101, "ttbr1_el1" },
	{ 0xc102, "tcr_el1" }, { 0xc108, "apiakeylo_el1" }, { 0xc109, "apiakeyhi_el1" },
	{ 0xc10a, "apibkeylo_el1" }, { 0xc10b, "apibkeyhi_el1" }, { 0xc110, "apdakeylo_el1" },
	{ 0xc111, "apdakeyhi_el1" }, { 0xc112, "apdbkeylo_el1" }, { 0xc113, "apdbkeyhi_el1" },
	{ 0xc118, "apgakeylo_el1" }, { 0xc119, "apgakeyhi_el1" }, { 0xc200, "spsr_el1" },
	{ 0xc201, "elr_el1" }, { 0xc208, "sp_el0" }, { 0xc290, "esr_el1" }, { 0xc300, "far_el1" },
	{ 0xc3a0, "par_el1" }, { 0xc510, "mair_el1" }, { 0xc518, "amair_el1" },
	{ 0xc600, "vbar_el1" }, { 0xc681, "contextidr_el1" }, { 0xc684, "tpidr_el1" },
	{ 0xc708, "cntkctl_el1" }, { 0xd000, "csselr_el1" }, { 0xde82, "tpidr_el0" },
	{ 0xde83, "tpidrro_el0" }, { 0xdf11, "cntp_ctl_el0" }, { 0xdf12, "cntp_cval_el0" },
	{ 0xdf19, "cntv_ctl_el0" }, { 0xdf1a, "cntv_cval_el0" }, { 0xe208, "sp_el1" }, { 0, NULL }
};

static const struct id_name icc_names[] = {
	{ 0xc230, "pmr_el1" }, { 0xc643, "bpr0_el1" }, { 0xc644, "ap0r0_el1" },
	{ 0xc648, "ap1r0_el1" }, { 0xc65b, "rpr_el1" }, { 0xc663, "bpr1_el1" },
	{ 0xc664, "ctlr_el1" }, { 0xc665, "sre_el1" }, { 0xc666, "igrpen0_el1" },
	{ 0xc667, "igrpen1_el1" }, { 0, NULL }
};

static const struct id_name redist_names[] = {
	{ 0x10080, "igroupr0" }, { 0x10100, "isenabler0" }, { 0x10200, "ispendr0" },
	{ 0x10300, "isactiver0" }, { 0x10400, "ipriorityr0" }, { 0x10404, "ipriorityr1" },
	{ 0x10408, "ipriorityr2" }, { 0x1040c, "ipriorityr3" }, { 0x10410, "ipriorityr4" },
	{ 0x10414, "ipriorityr5" }, { 0x10418, "ipriorityr6" }, { 0x1041c, "ipriorityr7" },
	{ 0x10c04, "icfgr1" }, { 0, NULL }
};

static const struct id_name ich_names[] = {
	{ 0xe640, "ap0r0_el2" }, { 0xe648, "ap1r0_el2" }, { 0xe658, "hcr_el2" },
	{ 0xe65f, "vmcr_el2" }, { 0xe660, "lr0_el2" }, { 0xe661, "lr1_el2" },
	{ 0xe662, "lr2_el2" }, { 0xe663, "lr3_el2" }, { 0xe664, "lr4_el2" }, { 0xe665, "lr5_el2" },
	{ 0xe666, "lr6_el2" }, { 0xe667, "lr7_el2" }, { 0xe668, "lr8_el2" }, { 0xe669, "lr9_el2" },
	{ 0xe66a, "lr10_el2" }, { 0xe66b, "lr11_el2" }, { 0xe66c, "lr12_el2" },
	{ 0xe66d, "lr13_el2" }, { 0xe66e, "lr14_el2" }, { 0xe66f, "lr15_el2" }, { 0, NULL }
};

static const struct field register_64[] = {
	{ UINT, .size = 4 },
	{ UINT, .size = 8, .base = HEX, .doc = "register" },
	{ .kind = END }
};

static const struct field register_128[] = {
	{ UINT, .size = 4 },
	{ UINT, .size = 16, .base = HEX, .doc = "register" },
	{ .kind = END }
};

static const struct field register_64_record = { RECORD, .of = register_64 };
static const struct field register_128_record = { RECORD, .of = register_128 };

#define COUNT { UINT, .size = 4 }

static const struct field vcpu[] = {
	{ UINT, "vtimer_offset", 8, DEC, .doc = "of the virtual timer from the host's" },
	COUNT, COUNT, COUNT, COUNT, COUNT, COUNT,
	{ MAP, "gp",     .counted = 6, .names = gp_names,     .of = &register_64_record },
	{ MAP, "simd",   .counted = 6, .names = simd_names,   .of = &register_128_record },
	{ MAP, "sys",    .counted = 6, .names = sys_names,    .of = &register_64_record },
	{ MAP, "icc",    .counted = 6, .names = icc_names,    .of = &register_64_record },
	{ MAP, "redist", .counted = 6, .names = redist_names, .of = &register_64_record },
	{ MAP, "ich",    .counted = 6, .names = ich_names,    .of = &register_64_record },
	{ .kind = END }
};

/* clang-format on */

const struct field state_hvf_vcpu = { RECORD, .of = vcpu };
