// SPDX-License-Identifier: MIT
//! What is inside a container's blobs: the states of vCPUs, interrupt controllers and shares.
//!
//! Each function puts the fields of a blob below AT and returns true, or puts nothing and returns
//! false where the blob is not understood to its last byte.
//!
//! A kvm vCPU is understood if the package's own reader takes it; the fields are those of
//! kvm-bindings. The package has no public reader for the rest (hvf's is compiled on macOS only,
//! PosixFs and DaxSession give nothing out): these are read here, after its writers.

use std::io::Cursor;
use std::mem::size_of;

use kvm_bindings::{
    kvm_clock_data, kvm_debugregs, kvm_dtable, kvm_fpu, kvm_irqchip, kvm_lapic_state, kvm_mp_state,
    kvm_pic_state, kvm_pit_state2, kvm_regs, kvm_segment, kvm_sregs, kvm_vcpu_events, kvm_xcrs,
};
use supermachine::hypervisor::HypervisorVcpu;
use supermachine::kvm::KvmVcpu;

use crate::tree::Leaves;

/// The fields of a structure as numbers, under their own name or the one that is given.
macro_rules! numbers {
    ($out:expr, $at:expr, $from:expr; $($field:ident $(= $name:literal)?),+ $(,)?) => {
        $({
            #[allow(unused_mut, unused_assignments)]
            let mut name = stringify!($field);
            $(name = $name;)?
            $out.num(format!("{}/{}", $at, name), $from.$field as u64);
        })+
    };
}

/// A reader of little-endian numbers that stops at the end.
struct Bytes<'a> {
    left: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let n = usize::try_from(n).ok()?;
        if n > self.left.len() {
            return None;
        }
        let (taken, left) = self.left.split_at(n);
        self.left = left;
        Some(taken)
    }

    fn num(&mut self, width: u64) -> Option<u128> {
        let mut b = [0; 16];
        b[..width as usize].copy_from_slice(self.take(width)?);
        Some(u128::from_le_bytes(b))
    }

    fn u32(&mut self) -> Option<u32> {
        self.num(4).map(|n| n as u32)
    }

    fn u64(&mut self) -> Option<u64> {
        self.num(8).map(|n| n as u64)
    }

    fn blob(&mut self) -> Option<&'a [u8]> {
        let n = self.u32()?;
        self.take(n.into())
    }

    /// A structure with its size before it.
    fn pod<T: Copy>(&mut self) -> Option<T> {
        let b = self.blob()?;
        if b.len() != size_of::<T>() {
            return None;
        }
        // SAFETY: the size is right, and kvm-bindings' structures take any bytes.
        Some(unsafe { std::ptr::read_unaligned(b.as_ptr().cast()) })
    }
}

/// Decode into leaves of its own, so that a blob that breaks off leaves nothing behind.
fn whole(out: &mut Leaves, blob: &[u8], read: impl FnOnce(&mut Leaves, &mut Bytes) -> Option<()>) -> bool {
    let mut found = Leaves::default();
    let mut b = Bytes { left: blob };
    let understood = read(&mut found, &mut b).is_some() && b.left.is_empty();
    if understood {
        out.append(found);
    }
    understood
}

const MSRS: [(u32, &str); 10] = [
    (0x10, "tsc"),
    (0x174, "sysenter_cs"),
    (0x175, "sysenter_esp"),
    (0x176, "sysenter_eip"),
    (0xc0000081, "star"),
    (0xc0000082, "lstar"),
    (0xc0000083, "cstar"),
    (0xc0000084, "sfmask"),
    (0xc0000102, "kernel_gs_base"),
    (0xc0000103, "tsc_aux"),
];

/// Offsets in the page of the local APIC.
const LAPIC: [(&str, usize); 18] = [
    ("id", 0x20),
    ("version", 0x30),
    ("tpr", 0x80),
    ("ldr", 0xd0),
    ("dfr", 0xe0),
    ("svr", 0xf0),
    ("esr", 0x280),
    ("icr_low", 0x300),
    ("icr_high", 0x310),
    ("lvt_timer", 0x320),
    ("lvt_thermal", 0x330),
    ("lvt_perf", 0x340),
    ("lvt_lint0", 0x350),
    ("lvt_lint1", 0x360),
    ("lvt_error", 0x370),
    ("timer_initial", 0x380),
    ("timer_current", 0x390),
    ("timer_divide", 0x3e0),
];

fn name_of(names: &[(u32, &str)], id: u32) -> String {
    match names.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => name.to_string(),
        None => format!("{id:#x}"),
    }
}

fn segment(out: &mut Leaves, at: String, s: &kvm_segment) {
    numbers!(out, at, s; base, limit, selector, type_ = "type", present, dpl, db, s, l, g, avl, unusable);
}

fn table(out: &mut Leaves, at: String, t: &kvm_dtable) {
    numbers!(out, at, t; base, limit);
}

fn sregs(out: &mut Leaves, at: String, s: &kvm_sregs) {
    let segments = [
        ("cs", &s.cs),
        ("ds", &s.ds),
        ("es", &s.es),
        ("fs", &s.fs),
        ("gs", &s.gs),
        ("ss", &s.ss),
        ("tr", &s.tr),
        ("ldt", &s.ldt),
    ];
    for (name, s) in segments {
        segment(out, format!("{at}/{name}"), s);
    }
    table(out, format!("{at}/gdt"), &s.gdt);
    table(out, format!("{at}/idt"), &s.idt);
    numbers!(out, at, s; cr0, cr2, cr3, cr4, cr8, efer, apic_base);
    let bitmap: Vec<u8> = s.interrupt_bitmap.iter().flat_map(|n| n.to_le_bytes()).collect();
    out.bytes(format!("{at}/interrupt_bitmap"), &bitmap);
}

fn fpu(out: &mut Leaves, at: String, f: &kvm_fpu) {
    for (i, r) in f.fpr.iter().enumerate() {
        out.num(format!("{at}/st{i}"), u128::from_le_bytes(*r));
    }
    numbers!(out, at, f; fcw, fsw, ftwx, last_opcode, last_ip, last_dp);
    for (i, r) in f.xmm.iter().enumerate() {
        out.num(format!("{at}/xmm{i}"), u128::from_le_bytes(*r));
    }
    numbers!(out, at, f; mxcsr);
}

fn xcrs(out: &mut Leaves, at: String, x: &kvm_xcrs) {
    for entry in x.xcrs.iter().take(x.nr_xcrs as usize) {
        out.num(format!("{at}/xcr{}", entry.xcr), entry.value);
    }
}

fn events(out: &mut Leaves, at: String, e: &kvm_vcpu_events) {
    numbers!(out, format!("{at}/exception"), e.exception; injected, nr, has_error_code, pending, error_code);
    numbers!(out, format!("{at}/interrupt"), e.interrupt; injected, nr, soft, shadow);
    numbers!(out, format!("{at}/nmi"), e.nmi; injected, pending, masked);
    numbers!(out, format!("{at}/smi"), e.smi; smm, pending, smm_inside_nmi, latched_init);
    numbers!(out, format!("{at}/triple_fault"), e.triple_fault; pending);
    numbers!(out, at, e; sipi_vector, flags, exception_has_payload, exception_payload);
}

fn debugregs(out: &mut Leaves, at: String, d: &kvm_debugregs) {
    for (i, r) in d.db.iter().enumerate() {
        out.num(format!("{at}/db{i}"), *r);
    }
    numbers!(out, at, d; dr6, dr7, flags);
}

fn lapic(out: &mut Leaves, at: String, l: &kvm_lapic_state) {
    let mut register = |name: &str, offset: usize| {
        let b: [u8; 4] = std::array::from_fn(|i| l.regs[offset + i] as u8);
        out.num(format!("{at}/{name}"), u32::from_le_bytes(b));
    };
    for (name, offset) in LAPIC {
        register(name, offset);
    }
    for i in 0..8 {
        register(&format!("isr{i}"), 0x100 + 16 * i);
        register(&format!("tmr{i}"), 0x180 + 16 * i);
        register(&format!("irr{i}"), 0x200 + 16 * i);
    }
}

/// A vCPU under KVM. The package takes it or not; it would overlook bytes that follow.
pub fn kvm_vcpu(out: &mut Leaves, at: &str, blob: &[u8]) -> bool {
    let mut c = Cursor::new(blob);
    if KvmVcpu::read_snapshot_state(&mut c).is_err() || c.position() != blob.len() as u64 {
        return false;
    }
    whole(out, blob, |out, b| {
        let r: kvm_regs = b.pod()?;
        numbers!(out, format!("{at}/regs"), r; rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp,
                 r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags);
        sregs(out, format!("{at}/sregs"), &b.pod()?);
        fpu(out, format!("{at}/fpu"), &b.pod()?);
        xcrs(out, format!("{at}/xcrs"), &b.pod()?);
        events(out, format!("{at}/events"), &b.pod()?);
        let m: kvm_mp_state = b.pod()?;
        numbers!(out, at, m; mp_state);
        debugregs(out, format!("{at}/debugregs"), &b.pod()?);
        lapic(out, format!("{at}/lapic"), &b.pod()?);
        for _ in 0..b.u32()? {
            let name = name_of(&MSRS, b.u32()?);
            out.num(format!("{at}/msrs/{name}"), b.u64()?);
        }
        Some(())
    })
}

fn pic(out: &mut Leaves, at: String, p: &kvm_pic_state) {
    numbers!(out, at, p; last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll,
             special_mask, init_state, auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode,
             init4, elcr, elcr_mask);
}

/// The interrupt controllers, timer and clock of KVM.
pub fn kvm_intc(out: &mut Leaves, at: &str, blob: &[u8]) -> bool {
    whole(out, blob, |out, b| {
        let pit: kvm_pit_state2 = b.pod()?;
        for (i, c) in pit.channels.iter().enumerate() {
            numbers!(out, format!("{at}/pit/channels/{i}"), c; count, latched_count, count_latched,
                     status_latched, status, read_state, write_state, write_latch, rw_mode, mode,
                     bcd, gate, count_load_time);
        }
        numbers!(out, format!("{at}/pit"), pit; flags);
        for name in ["pic_master", "pic_slave"] {
            let chip: kvm_irqchip = b.pod()?;
            // SAFETY: every member of the union takes any bytes.
            pic(out, format!("{at}/{name}"), unsafe { &chip.chip.pic });
        }
        let chip: kvm_irqchip = b.pod()?;
        // SAFETY: as above.
        let ioapic = unsafe { chip.chip.ioapic };
        numbers!(out, format!("{at}/ioapic"), ioapic; base_address, ioregsel, id, irr);
        for (i, entry) in ioapic.redirtbl.iter().enumerate() {
            // SAFETY: as above.
            out.num(format!("{at}/ioapic/redirtbl/{i}"), unsafe { entry.bits });
        }
        let clock: kvm_clock_data = b.pod()?;
        numbers!(out, format!("{at}/clock"), clock; clock, flags, realtime, host_tsc);
        Some(())
    })
}

#[rustfmt::skip]
const HVF_SYS: [(u32, &str); 37] = [
    (0xc005, "mpidr_el1"), (0xc080, "sctlr_el1"), (0xc082, "cpacr_el1"), (0xc100, "ttbr0_el1"),
    (0xc101, "ttbr1_el1"), (0xc102, "tcr_el1"), (0xc108, "apiakeylo_el1"), (0xc109, "apiakeyhi_el1"),
    (0xc10a, "apibkeylo_el1"), (0xc10b, "apibkeyhi_el1"), (0xc110, "apdakeylo_el1"),
    (0xc111, "apdakeyhi_el1"), (0xc112, "apdbkeylo_el1"), (0xc113, "apdbkeyhi_el1"),
    (0xc118, "apgakeylo_el1"), (0xc119, "apgakeyhi_el1"), (0xc200, "spsr_el1"), (0xc201, "elr_el1"),
    (0xc208, "sp_el0"), (0xc290, "esr_el1"), (0xc300, "far_el1"), (0xc3a0, "par_el1"),
    (0xc510, "mair_el1"), (0xc518, "amair_el1"), (0xc600, "vbar_el1"), (0xc681, "contextidr_el1"),
    (0xc684, "tpidr_el1"), (0xc708, "cntkctl_el1"), (0xd000, "csselr_el1"), (0x8012, "mdscr_el1"),
    (0xe208, "sp_el1"), (0xde82, "tpidr_el0"), (0xde83, "tpidrro_el0"), (0xdf11, "cntp_ctl_el0"),
    (0xdf12, "cntp_cval_el0"), (0xdf19, "cntv_ctl_el0"), (0xdf1a, "cntv_cval_el0"),
];

#[rustfmt::skip]
const HVF_ICC: [(u32, &str); 10] = [
    (0xc230, "pmr_el1"), (0xc643, "bpr0_el1"), (0xc644, "ap0r0_el1"), (0xc648, "ap1r0_el1"),
    (0xc65b, "rpr_el1"), (0xc663, "bpr1_el1"), (0xc664, "ctlr_el1"), (0xc665, "sre_el1"),
    (0xc666, "igrpen0_el1"), (0xc667, "igrpen1_el1"),
];

fn hvf_name(list: &str, id: u32) -> String {
    match (list, id) {
        ("gp", 0..=30) => format!("x{id}"),
        ("gp", 31..=34) => ["pc", "fpcr", "fpsr", "cpsr"][id as usize - 31].into(),
        ("simd", 0..=31) => format!("q{id}"),
        ("sys", _) => name_of(&HVF_SYS, id),
        ("icc", _) => name_of(&HVF_ICC, id),
        ("redist", 0x10400..=0x1041c) if id % 4 == 0 => format!("ipriorityr{}", (id - 0x10400) / 4),
        ("redist", _) => name_of(
            &[
                (0x10080, "igroupr0"),
                (0x10100, "isenabler0"),
                (0x10200, "ispendr0"),
                (0x10300, "isactiver0"),
                (0x10c04, "icfgr1"),
            ],
            id,
        ),
        ("ich", 0xe660..=0xe66f) => format!("lr{}_el2", id - 0xe660),
        ("ich", _) => name_of(
            &[(0xe640, "ap0r0_el2"), (0xe648, "ap1r0_el2"), (0xe658, "hcr_el2"), (0xe65f, "vmcr_el2")],
            id,
        ),
        _ => format!("{id:#x}"),
    }
}

/// A vCPU under Apple's Hypervisor.framework.
pub fn hvf_vcpu(out: &mut Leaves, at: &str, blob: &[u8]) -> bool {
    whole(out, blob, |out, b| {
        out.num(format!("{at}/vtimer_offset"), b.u64()?);
        let lists = [("gp", 8), ("simd", 16), ("sys", 8), ("icc", 8), ("redist", 8), ("ich", 8)];
        let mut counts = [0; 6];
        for count in &mut counts {
            *count = b.u32()?;
        }
        for (count, (list, width)) in counts.into_iter().zip(lists) {
            for _ in 0..count {
                let name = hvf_name(list, b.u32()?);
                out.num(format!("{at}/{list}/{name}"), b.num(width)?);
            }
        }
        Some(())
    })
}

/// A share's backend: inodes, names and open handles.
pub fn backend(out: &mut Leaves, at: &str, blob: &[u8]) -> bool {
    const KINDS: [&str; 4] = ["file", "dir", "symlink", "other"];
    whole(out, blob, |out, b| {
        let (magic, version) = (b.take(4)?, b.u32()?);
        if magic != b"PFSS" || !(1..=2).contains(&version) {
            return None;
        }
        out.num(format!("{at}/version"), version);
        out.num(format!("{at}/next_nodeid"), b.u64()?);
        for i in 0..b.u64()? {
            let at = format!("{at}/inodes/{i}");
            out.num(format!("{at}/nodeid"), b.u64()?);
            out.text(format!("{at}/kind"), KINDS.get(b.num(1)? as usize)?.as_bytes());
            out.text(format!("{at}/path"), b.blob()?);
        }
        for i in 0..b.u64()? {
            let at = format!("{at}/children/{i}");
            out.num(format!("{at}/parent"), b.u64()?);
            out.text(format!("{at}/name"), b.blob()?);
            out.num(format!("{at}/child"), b.u64()?);
        }
        if version == 1 {
            return Some(());
        }
        out.num(format!("{at}/next_fh"), b.u64()?);
        for i in 0..b.u64()? {
            let at = format!("{at}/handles/{i}");
            out.num(format!("{at}/fh"), b.u64()?);
            out.num(format!("{at}/nodeid"), b.u64()?);
            out.num(format!("{at}/flags"), b.u32()?);
            b.u32()?;
        }
        Some(())
    })
}

/// A share's DAX window: what of its files is mapped into the guest.
pub fn dax(out: &mut Leaves, at: &str, blob: &[u8]) -> bool {
    whole(out, blob, |out, b| {
        let (magic, version) = (b.take(4)?, b.u32()?);
        if magic != b"DAXS" || version != 1 {
            return None;
        }
        out.num(format!("{at}/version"), version);
        for name in ["base_gpa", "window_len", "cap_bytes", "mapped_bytes"] {
            out.num(format!("{at}/{name}"), b.u64()?);
        }
        for i in 0..b.u64()? {
            let at = format!("{at}/slots/{i}");
            for name in ["moffset", "len", "nodeid", "foffset"] {
                out.num(format!("{at}/{name}"), b.u64()?);
            }
            out.num(format!("{at}/prot"), b.u32()?);
            b.u32()?;
        }
        Some(())
    })
}
