// SPDX-License-Identifier: MIT
//! The leaves of a snapshot, as `path TAB kind:value`: kind `num` (decimal), `text` (hex of the
//! bytes of a string or word) or `bytes` (hex). What is absent has no line.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};

use supermachine::snapshot_frame::{DeviceBacking, DeviceKind};

use crate::file::{Layout, Snapshot, HVF_VERSION};
use crate::states;

/// By path, so that where a register comes twice the last one stays.
#[derive(Default)]
pub struct Leaves(BTreeMap<String, String>);

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut s = String::with_capacity(2 * bytes.len());
    for b in bytes {
        s.push(DIGITS[usize::from(b >> 4)] as char);
        s.push(DIGITS[usize::from(b & 15)] as char);
    }
    s
}

impl Leaves {
    pub fn num(&mut self, path: impl Into<String>, value: impl Into<u128>) {
        self.0.insert(path.into(), format!("num:{}", value.into()));
    }

    pub fn text(&mut self, path: impl Into<String>, value: &[u8]) {
        self.0.insert(path.into(), format!("text:{}", hex(value)));
    }

    pub fn bytes(&mut self, path: impl Into<String>, value: &[u8]) {
        self.0.insert(path.into(), format!("bytes:{}", hex(value)));
    }

    pub fn append(&mut self, mut others: Leaves) {
        self.0.append(&mut others.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Display for Leaves {
    fn fmt(&self, f: &mut Formatter) -> std::fmt::Result {
        for (path, value) in &self.0 {
            writeln!(f, "{path}\t{value}")?;
        }
        Ok(())
    }
}

fn layout(out: &mut Leaves, layout: &Layout) {
    out.text("layout/format", layout.name().as_bytes());
    match layout {
        Layout::Kvm { ram_offset } => out.num("layout/ram_offset", *ram_offset),
        Layout::Hvf { ram_gpa, ram_offset } => {
            out.num("layout/version", HVF_VERSION);
            out.num("layout/ram_gpa", *ram_gpa);
            out.num("layout/ram_offset", *ram_offset);
        }
        Layout::Diff { base, pages } => {
            out.text("layout/base", base.as_bytes());
            out.num("layout/changed_pages", pages.len() as u64);
        }
        Layout::Bare { .. } => {}
    }
}

/// A file's layout says whose states it holds; in a bare one their shape does.
fn machine_states(out: &mut Leaves, s: &Snapshot) {
    let hvf = matches!(s.layout, Layout::Hvf { .. });
    let bare = matches!(s.layout, Layout::Bare { .. });
    if !hvf {
        states::kvm_intc(out, "intc", &s.meta.intc_blob);
    }
    for (n, blob) in s.meta.vcpu_blobs.iter().enumerate() {
        let at = format!("vcpu/{n}");
        let known = !hvf && states::kvm_vcpu(out, &at, blob);
        if hvf || (bare && !known) {
            states::hvf_vcpu(out, &at, blob);
        }
    }
}

fn device(out: &mut Leaves, s: &Snapshot, k: usize, raw: bool) {
    let at = format!("devices/{k}");
    let (d, parts) = (&s.meta.devices[k], &s.devices[k]);
    let kind = match d.kind {
        DeviceKind::Blk => "blk",
        DeviceKind::Vsock => "vsock",
        DeviceKind::Volume => "volume",
        DeviceKind::VirtioFs => "virtiofs",
    };
    out.text(format!("{at}/kind"), kind.as_bytes());

    let m = &d.mmio;
    let features = u64::from(m.driver_features[1]) << 32 | u64::from(m.driver_features[0]);
    out.num(format!("{at}/mmio/driver_features"), features);
    out.num(format!("{at}/mmio/status"), m.status);
    out.num(format!("{at}/mmio/interrupt_status"), m.interrupt_status);
    for (i, q) in m.queues.iter().enumerate() {
        let at = format!("{at}/mmio/queues/{i}");
        out.num(format!("{at}/size"), q.size);
        out.num(format!("{at}/ready"), q.ready as u8);
        out.num(format!("{at}/desc_table"), q.desc_table);
        out.num(format!("{at}/avail_ring"), q.avail_ring);
        out.num(format!("{at}/used_ring"), q.used_ring);
        out.num(format!("{at}/last_avail_idx"), q.last_avail_idx);
        out.num(format!("{at}/next_used_idx"), q.next_used_idx);
    }
    out.bytes(format!("{at}/mmio/raw"), &s.bytes[parts.mmio.clone()]);

    let at = format!("{at}/backing");
    let kind = match &d.backing {
        DeviceBacking::None => "none",
        DeviceBacking::Disk { path, size } => {
            out.text(format!("{at}/path"), path.as_bytes());
            out.num(format!("{at}/size"), *size);
            "disk"
        }
        DeviceBacking::Volume { path, size, mount } => {
            out.text(format!("{at}/path"), path.as_bytes());
            out.num(format!("{at}/size"), *size);
            out.text(format!("{at}/mount"), mount.as_bytes());
            "volume"
        }
        DeviceBacking::VirtioFs {
            tag,
            mount,
            host_path,
            dax_gpa,
            dax_window_len,
            backend_state,
            dax_state,
        } => {
            out.text(format!("{at}/tag"), tag.as_bytes());
            out.text(format!("{at}/mount"), mount.as_bytes());
            out.text(format!("{at}/host_path"), host_path.as_bytes());
            out.num(format!("{at}/dax_gpa"), *dax_gpa);
            out.num(format!("{at}/dax_window_len"), *dax_window_len);
            out.bytes(format!("{at}/backend_state/raw"), backend_state);
            out.bytes(format!("{at}/dax_state/raw"), dax_state);
            if !raw {
                states::backend(out, &format!("{at}/backend_state"), backend_state);
                states::dax(out, &format!("{at}/dax_state"), dax_state);
            }
            "virtiofs"
        }
    };
    out.text(format!("{at}/type"), kind.as_bytes());
    out.bytes(format!("{at}/raw"), &s.bytes[parts.backing.clone()]);
}

/// All of them; RAW leaves out what is decoded from blobs.
pub fn leaves(s: &Snapshot, raw: bool) -> Leaves {
    let mut out = Leaves::default();
    let m = &s.meta;
    layout(&mut out, &s.layout);
    out.num("num_cpus", m.num_cpus);
    out.num("mem_size", m.mem_size);
    for (name, value) in ["ier", "lcr", "mcr", "scr", "dll", "dlm"].into_iter().zip(m.com1) {
        out.num(format!("com1/{name}"), value);
    }
    out.num("clock_host_ticks", m.clock_host_ticks);
    out.num("clock_ref", m.clock_ref);
    out.bytes("intc/raw", &m.intc_blob);
    for (n, blob) in m.vcpu_blobs.iter().enumerate() {
        out.bytes(format!("vcpu/{n}/raw"), blob);
    }
    if !raw {
        machine_states(&mut out, s);
    }
    for k in 0..m.devices.len() {
        device(&mut out, s, k, raw);
    }
    if let Some(token) = &m.tsi_token {
        out.bytes("tsi_token", token);
    }
    for (i, l) in m.vsock_listeners.iter().enumerate() {
        let at = format!("listeners/{i}");
        out.num(format!("{at}/cid"), l.cid);
        out.num(format!("{at}/peer_port"), l.peer_port);
        out.num(format!("{at}/vm_port"), l.vm_port);
        out.num(format!("{at}/family"), l.family);
        out.num(format!("{at}/socktype"), l.socktype);
        if let Some(port) = l.inet_port {
            out.num(format!("{at}/inet_port"), port);
        }
    }
    out
}
