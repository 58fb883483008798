// SPDX-License-Identifier: MIT
//! Random valid snapshot files, the same for the same seed.
//!
//! Containers are written by ContainerMeta. About half of the kvm and kvm-diff files are such that
//! VmSnapshot loads them, and are then written by its save and save_diff; the others, which hold
//! what it would refuse or set in order, get their few bytes of head here, and so do hvf's.

use std::fs::{self, File};
use std::io::Result;
use std::mem::size_of;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use kvm_bindings::{
    kvm_clock_data, kvm_debugregs, kvm_fpu, kvm_irqchip, kvm_lapic_state, kvm_mp_state, kvm_pit_state2,
    kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs,
};
use supermachine::devices::virtio::mmio::{MmioSnapshot, QueueSnapshot};
use supermachine::devices::virtio::vsock::muxer::TsiListenerSnapshot;
use supermachine::fuse::{DaxSession, MemoryFs, MockHvfMapper, PosixFs};
use supermachine::kvm::run::VmSnapshot;
use supermachine::snapshot_frame::{ContainerMeta, DeviceBacking, DeviceKind, DeviceRecord};

use crate::file::{
    refused, write_sparse, Layout, Mapping, Snapshot, DIFF_MAGIC, HVF_MAGIC, HVF_VERSION, KVM_MAGIC, PAGE,
};
use crate::save;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of any magnitude; the ends of the range are frequent.
    fn num(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            _ => self.next() >> self.below(64),
        }
    }

    fn bytes(&mut self, n: u64) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 16] = [
            "/",
            "/srv/vm",
            "disk.img",
            " ",
            "\n",
            "\0",
            "\t\x7f\x1b[31m",
            "..",
            "\u{202e}gnp",
            "e\u{301}",
            "\u{feff}",
            "\u{1f980}",
            "日本",
            "\u{10ffff}",
            "\"\\'",
            "ß\u{85}\u{2028}",
        ];
        if self.one_in(60) {
            return "x".repeat(65536);
        }
        (0..self.below(7)).map(|_| *self.pick(&PIECES)).collect()
    }
}

fn word(out: &mut Vec<u8>, n: u32) {
    out.extend(n.to_le_bytes());
}

fn long(out: &mut Vec<u8>, n: u64) {
    out.extend(n.to_le_bytes());
}

fn blob(out: &mut Vec<u8>, bytes: &[u8]) {
    word(out, bytes.len() as u32);
    out.extend(bytes);
}

fn kvm_vcpu(r: &mut Random) -> Vec<u8> {
    const TODAY: [u32; 10] =
        [0x10, 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103];
    let sizes = [
        size_of::<kvm_regs>(),
        size_of::<kvm_sregs>(),
        size_of::<kvm_fpu>(),
        size_of::<kvm_xcrs>(),
        size_of::<kvm_vcpu_events>(),
        size_of::<kvm_mp_state>(),
        size_of::<kvm_debugregs>(),
        size_of::<kvm_lapic_state>(),
    ];
    let mut out = Vec::new();
    for (i, size) in sizes.into_iter().enumerate() {
        let mut b = r.bytes(size as u64);
        if i == 3 {
            // nr_xcrs and the first entries' numbers; a few are more than there is room for.
            b[..4].copy_from_slice(&(r.below(20) as u32).to_le_bytes());
            for x in 0..3u8 {
                b[8 + 16 * usize::from(x)..][..4].copy_from_slice(&[x, 0, 0, 0]);
            }
        }
        blob(&mut out, &b);
    }
    let msrs: Vec<u32> = match r.below(3) {
        0 => TODAY.to_vec(),
        1 => (0..r.below(13)).map(|_| if r.one_in(2) { *r.pick(&TODAY) } else { r.num() as u32 }).collect(),
        _ => (0..*r.pick(&[0, 1, 256])).collect(),
    };
    word(&mut out, msrs.len() as u32);
    for index in msrs {
        word(&mut out, index);
        long(&mut out, r.num());
    }
    out
}

fn hvf_vcpu(r: &mut Random) -> Vec<u8> {
    const IDS: [&[u32]; 6] = [
        &[0, 1, 28, 29, 30, 31, 32, 33, 34, 35, 29],
        &[0, 9, 31, 32],
        &[0xc005, 0xc080, 0x8012, 0xde82, 0xdf1a, 0xe208, 0xffff],
        &[0xc230, 0xc643, 0xc667, 0xc668],
        &[0x10080, 0x10400, 0x1041c, 0x10420, 0x10401, 0x10c04],
        &[0xe640, 0xe65f, 0xe660, 0xe66f, 0xe670],
    ];
    let lists: Vec<Vec<u32>> = IDS
        .iter()
        .map(|ids| {
            (0..r.below(40)).map(|_| if r.one_in(9) { r.num() as u32 } else { *r.pick(ids) }).collect()
        })
        .collect();
    let mut out = Vec::new();
    long(&mut out, r.num());
    for list in &lists {
        word(&mut out, list.len() as u32);
    }
    for (i, list) in lists.into_iter().enumerate() {
        for id in list {
            word(&mut out, id);
            long(&mut out, r.num());
            if i == 1 {
                long(&mut out, r.num());
            }
        }
    }
    out
}

fn kvm_intc(r: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    blob(&mut out, &r.bytes(size_of::<kvm_pit_state2>() as u64));
    for chip_id in 0..3u8 {
        let mut chip = r.bytes(size_of::<kvm_irqchip>() as u64);
        chip[..4].copy_from_slice(&[chip_id, 0, 0, 0]);
        blob(&mut out, &chip);
    }
    blob(&mut out, &r.bytes(size_of::<kvm_clock_data>() as u64));
    out
}

/// Now and then something near to a state, or nothing like it.
fn spoilt(r: &mut Random, mut state: Vec<u8>) -> Vec<u8> {
    match r.below(12) {
        0 => state.push(0),
        1 => {
            state.pop();
        }
        2 => state.clear(),
        3 => {
            let n = r.below(300);
            state = r.bytes(n);
        }
        4 if !state.is_empty() => {
            let at = r.below(state.len().min(64) as u64) as usize;
            state[at] ^= 1 << r.below(8);
        }
        _ => {}
    }
    state
}

/// A share's backend, with the root at ROOT.
fn backend(r: &mut Random, root: &[u8]) -> Vec<u8> {
    let version = if r.one_in(4) { 1 } else { 2 };
    let mut out = b"PFSS".to_vec();
    word(&mut out, version);
    long(&mut out, r.num());
    let others = r.below(5);
    let place = r.below(others + 1);
    long(&mut out, others + 1);
    for i in 0..=others {
        if i == place {
            long(&mut out, 1);
            out.push(1);
            blob(&mut out, root);
            continue;
        }
        long(&mut out, 2 + i);
        out.push(r.below(4) as u8);
        let path = match r.below(4) {
            0 => r.text().into_bytes(),
            1 => [root, b"beside"].concat(),
            2 => [root, b"/\xff\xfe"].concat(),
            _ => [root, b"/", r.text().as_bytes()].concat(),
        };
        blob(&mut out, &path);
    }
    let names = r.below(4);
    long(&mut out, names);
    for _ in 0..names {
        long(&mut out, r.below(5));
        blob(&mut out, r.text().as_bytes());
        long(&mut out, r.num());
    }
    if version == 2 {
        // Not so near the end that the package's own arithmetic on it would overflow.
        long(&mut out, r.num() >> 1);
        let handles = r.below(4);
        long(&mut out, handles);
        for _ in 0..handles {
            long(&mut out, r.num() >> 1);
            long(&mut out, r.num());
            word(&mut out, r.num() as u32);
            word(&mut out, 0);
        }
    }
    // One whose root is / is written by the package itself.
    let fs = PosixFs::new("/").ok().filter(|fs| fs.restore_state(&out).is_ok());
    fs.map_or(out, |fs| fs.snapshot_state())
}

/// A share's window, as the package writes it.
fn dax(r: &mut Random, base: u64, window: u64) -> Vec<u8> {
    let mut out = b"DAXS".to_vec();
    word(&mut out, 1);
    for n in [base, window, r.num(), r.num()] {
        long(&mut out, n);
    }
    let slots = r.below(4);
    long(&mut out, slots);
    for i in 0..slots {
        for n in [i * PAGE, PAGE, r.num(), r.num()] {
            long(&mut out, n);
        }
        word(&mut out, r.num() as u32);
        word(&mut out, 0);
    }
    let session = DaxSession::new(base, window, Arc::new(MemoryFs::new()), Arc::new(MockHvfMapper::new()));
    match session.restore_state(&out) {
        Ok(()) => session.snapshot_state(),
        Err(_) => out,
    }
}

fn backing(r: &mut Random, kind: DeviceKind, valid: bool) -> DeviceBacking {
    match kind {
        DeviceKind::Blk => DeviceBacking::Disk { path: r.text(), size: r.num() },
        DeviceKind::Vsock => DeviceBacking::None,
        DeviceKind::Volume => DeviceBacking::Volume { path: r.text(), size: r.num(), mount: r.text() },
        DeviceKind::VirtioFs => {
            let host_path = if r.one_in(2) { "/".into() } else { r.text() };
            let (dax_gpa, dax_window_len) = (r.num(), r.num());
            let backend_state = backend(r, host_path.as_bytes());
            let dax_state = dax(r, dax_gpa, dax_window_len);
            DeviceBacking::VirtioFs {
                tag: r.text(),
                mount: r.text(),
                host_path,
                dax_gpa,
                dax_window_len,
                backend_state: if valid { backend_state } else { spoilt(r, backend_state) },
                dax_state: if valid { dax_state } else { spoilt(r, dax_state) },
            }
        }
    }
}

/// VALID is what VmSnapshot loads.
fn device(r: &mut Random, valid: bool) -> DeviceRecord {
    const KINDS: [DeviceKind; 4] =
        [DeviceKind::Blk, DeviceKind::Vsock, DeviceKind::Volume, DeviceKind::VirtioFs];
    let kind = *r.pick(&KINDS);
    let of = if valid { kind } else { *r.pick(&KINDS) };
    DeviceRecord {
        kind,
        mmio: MmioSnapshot {
            driver_features: [r.num() as u32, r.num() as u32],
            status: r.num() as u32,
            interrupt_status: r.num() as u32,
            queues: (0..r.below(5))
                .map(|_| QueueSnapshot {
                    size: r.num() as u16,
                    ready: r.one_in(2),
                    desc_table: r.num(),
                    avail_ring: r.num(),
                    used_ring: r.num(),
                    last_avail_idx: r.num() as u16,
                    next_used_idx: r.num() as u16,
                })
                .collect(),
        },
        backing: backing(r, of, valid),
    }
}

fn container(r: &mut Random, layout: &str, mem_size: u64, valid: bool) -> ContainerMeta {
    let kvm = match layout {
        "hvf" => false,
        "bare" => r.one_in(2),
        _ => true,
    };
    let vcpu_blobs: Vec<Vec<u8>> = (0..r.below(4))
        .map(|_| {
            let state = if kvm { kvm_vcpu(r) } else { hvf_vcpu(r) };
            if valid {
                state
            } else {
                spoilt(r, state)
            }
        })
        .collect();
    let intc = kvm_intc(r);
    let opaque = r.below(2000);
    ContainerMeta {
        num_cpus: if r.one_in(4) { r.next() as u8 } else { vcpu_blobs.len() as u8 },
        mem_size,
        com1: std::array::from_fn(|_| r.next() as u8),
        clock_host_ticks: if kvm { 0 } else { r.num() },
        clock_ref: if kvm { 0 } else { r.num() },
        intc_blob: match (kvm, valid) {
            (true, true) => intc,
            (true, false) => spoilt(r, intc),
            (false, _) => r.bytes(opaque),
        },
        vcpu_blobs,
        devices: (0..r.below(8)).map(|_| device(r, valid)).collect(),
        tsi_token: r.one_in(2).then(|| std::array::from_fn(|_| r.next() as u8)),
        vsock_listeners: (0..r.below(4))
            .map(|_| TsiListenerSnapshot {
                cid: r.num(),
                peer_port: r.num() as u32,
                vm_port: r.num() as u32,
                family: r.num() as u16,
                socktype: r.num() as u16,
                inet_port: r.one_in(2).then(|| r.num() as u16),
            })
            .collect(),
    }
}

fn page(r: &mut Random) -> Vec<u8> {
    match r.below(3) {
        0 => vec![0; PAGE as usize],
        1 => vec![r.next() as u8; PAGE as usize],
        _ => r.bytes(PAGE),
    }
}

/// A head, the container, and RAM where it may be; sometimes bytes that are nobody's around it.
fn write_plain(r: &mut Random, out: &Path, layout: &str, container: &[u8], ram: &[u8]) -> Result<()> {
    let (head, step) = match layout {
        "kvm" => (16, PAGE),
        "hvf" => (32, if r.one_in(4) { PAGE } else { 16384 }),
        _ => (0, 1),
    };
    let mut ram_offset = (head + container.len() as u64).next_multiple_of(step);
    let nobodys = r.one_in(4);
    if nobodys {
        ram_offset += r.below(5) * step;
    }
    let mut bytes = Vec::new();
    match layout {
        "kvm" => {
            bytes.extend(KVM_MAGIC);
            long(&mut bytes, ram_offset);
        }
        "hvf" => {
            bytes.extend(HVF_MAGIC);
            long(&mut bytes, HVF_VERSION);
            long(&mut bytes, if r.one_in(4) { r.num() } else { 0x80000000 });
            long(&mut bytes, ram_offset);
        }
        _ => {}
    }
    bytes.extend(container);
    if nobodys && !ram.is_empty() {
        bytes.extend(r.bytes(ram_offset - bytes.len() as u64));
    }
    let file = File::create(out)?;
    file.write_all_at(&bytes, 0)?;
    let at = if ram.is_empty() { bytes.len() as u64 } else { ram_offset };
    write_sparse(&file, ram, at)?;
    if nobodys && layout != "bare" && !ram.is_empty() {
        let n = r.below(9000);
        file.write_all_at(&r.bytes(n), ram_offset + ram.len() as u64)?;
    }
    Ok(())
}

/// A diff of BASE, with its pages in any order and more than once.
fn write_diff(r: &mut Random, out: &Path, base: &str, container: &[u8], mem_size: u64) -> Result<()> {
    let mut bytes = DIFF_MAGIC.to_vec();
    blob(&mut bytes, base.as_bytes());
    long(&mut bytes, r.num());
    bytes.extend(container);
    let count = if mem_size < PAGE { 0 } else { r.below(6) as u32 };
    word(&mut bytes, count);
    for _ in 0..count {
        word(&mut bytes, r.below(mem_size / PAGE) as u32);
        bytes.extend(page(r));
    }
    if r.one_in(3) {
        let n = r.below(50);
        bytes.extend(r.bytes(n));
    }
    fs::write(out, bytes)
}

fn random_ram(r: &mut Random, mem_size: u64) -> Vec<u8> {
    let mut ram = Vec::new();
    while (ram.len() as u64) < mem_size {
        ram.extend(page(r));
    }
    ram.truncate(mem_size as usize);
    ram
}

/// The RAM of BASE, and another where some pages differ.
fn changed_ram(r: &mut Random, base: &Path) -> Result<Vec<u8>> {
    let s = Snapshot::open(base)?;
    let Layout::Kvm { ram_offset } = s.layout else {
        return refused("the base is no kvm file");
    };
    let mut ram = Mapping::of(&s.file, ram_offset, s.meta.mem_size)?.bytes().to_vec();
    for chunk in ram.chunks_mut(PAGE as usize) {
        if r.one_in(3) {
            let n = chunk.len();
            chunk.copy_from_slice(&page(r)[..n]);
        }
    }
    Ok(ram)
}

pub fn write(seed: u64, layout: &str, out: &Path, base: Option<&Path>) -> Result<()> {
    if !["kvm", "hvf", "bare", "kvm-diff"].contains(&layout) || (layout == "kvm-diff") != base.is_some() {
        return refused("a layout is kvm, hvf, bare, or kvm-diff with a BASE");
    }
    let r = &mut Random(seed);
    let ram = match base {
        Some(base) => changed_ram(r, base)?,
        None => {
            let pages = r.below(13);
            let odd = if layout == "bare" && pages > 0 { r.below(PAGE) } else { 0 };
            random_ram(r, (pages * PAGE).saturating_sub(odd))
        }
    };
    let valid = r.one_in(2);
    let meta = container(r, layout, ram.len() as u64, valid);
    let mut bytes = Vec::new();
    meta.write_container(&mut bytes)?;

    // For a diff the package loads the base as well, and maps its RAM, which must not be empty.
    let saved = match (layout, base) {
        ("kvm", _) => true,
        (_, Some(base)) => !ram.is_empty() && VmSnapshot::load(base).is_ok(),
        _ => false,
    };
    if valid && saved {
        let plain = save::temporary("random.snap")?;
        save::write_kvm(&plain, &bytes, &ram)?;
        let snapshot = VmSnapshot::load(&plain)?;
        return match base {
            None => snapshot.save(out),
            Some(base) => snapshot.save_diff(out, base),
        };
    }
    match base.map(Path::to_str) {
        None => write_plain(r, out, layout, &bytes, &ram),
        Some(Some(base)) => write_diff(r, out, base, &bytes, ram.len() as u64),
        Some(None) => refused("the base's path is not UTF-8"),
    }
}
