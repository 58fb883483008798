// SPDX-License-Identifier: MIT
//! What the package reads and writes itself: loading, saving, and the guest's RAM.

use std::fs::{self, File};
use std::io::Result;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use supermachine::kvm::run::{LinuxVm, VmSnapshot};
use supermachine::snapshot_frame::ContainerMeta;

use crate::file::{refused, write_sparse, Layout, Mapping, Snapshot, DIFF_MAGIC, KVM_MAGIC, PAGE};

/// A name for a file that lives as long as this process, in a folder that main removes.
pub fn temporary(name: &str) -> Result<PathBuf> {
    let folder = temporary_folder(std::process::id());
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

pub fn temporary_folder(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("peer-{pid}"))
}

/// A kvm file of a container's bytes and RAM, with RAM where the package would put it.
pub fn write_kvm(path: &Path, container: &[u8], ram: &[u8]) -> Result<()> {
    let ram_offset = (16 + container.len() as u64).next_multiple_of(PAGE);
    let file = File::create(path)?;
    file.write_all_at(KVM_MAGIC, 0)?;
    file.write_all_at(&ram_offset.to_le_bytes(), 8)?;
    file.write_all_at(container, 16)?;
    write_sparse(&file, ram, ram_offset)
}

fn encode(meta: &ContainerMeta) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    meta.write_container(&mut bytes)?;
    Ok(bytes)
}

/// A diff's RAM over its base as the package's restore puts it together.
///
/// Only LinuxVm::restore_from_file reads a diff. It composes RAM before it makes a machine, and
/// leaves it mapped where the machine is not to be had (no /dev/kvm, say). So it is given a copy
/// of the diff with the same pages but without devices and vCPUs: nothing of the host is touched.
/// Its own verdict on what was left out is that of VmSnapshot::load, in `whole`.
struct Composed {
    ram: (usize, usize),
    _vm: Option<LinuxVm>,
}

impl Composed {
    fn of(diff: &Snapshot) -> Result<Composed> {
        let base = fs::canonicalize(diff.base_path())?;
        let Some(base_name) = base.to_str() else {
            return refused("the base's path is not UTF-8");
        };
        // An interrupt controller of the right shape, for that is read.
        let mut intc_blob = Vec::new();
        for size in [112u32, 520, 520, 520, 48] {
            intc_blob.extend(size.to_le_bytes());
            intc_blob.resize(intc_blob.len() + size as usize, 0);
        }
        let bare = ContainerMeta {
            intc_blob,
            vcpu_blobs: Vec::new(),
            devices: Vec::new(),
            tsi_token: None,
            vsock_listeners: Vec::new(),
            ..diff.meta
        };
        let mut copy = DIFF_MAGIC.to_vec();
        copy.extend((base_name.len() as u32).to_le_bytes());
        copy.extend(base_name.as_bytes());
        copy.extend([0; 8]);
        copy.extend(encode(&bare)?);
        // The list and all that follows it, as it stands.
        let list = fs::read(&diff.path)?;
        copy.extend(&list[diff.at as usize + diff.bytes.len()..]);
        let path = temporary("diff.snap")?;
        fs::write(&path, copy)?;

        let made = LinuxVm::restore_from_file(&path, &[]);
        match (find_mapping(&base, diff.meta.mem_size)?, made) {
            (Some(ram), made) => Ok(Composed { ram, _vm: made.ok() }),
            (None, Err(e)) => refused(e.to_string()),
            (None, Ok(_)) => refused("the package left no RAM mapped"),
        }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping stays for as long as the process or the machine, and no vCPU runs.
        unsafe { std::slice::from_raw_parts(self.ram.0 as *const u8, self.ram.1) }
    }
}

/// Where this process has RAM of that size mapped from a file.
fn find_mapping(file: &Path, mem_size: u64) -> Result<Option<(usize, usize)>> {
    let inode = fs::metadata(file)?.ino();
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(mode)) = (fields.next(), fields.next()) else {
            continue;
        };
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let address = |s| usize::from_str_radix(s, 16).unwrap_or(0);
        let (start, end) = (address(start), address(end));
        let of_file = fields.nth(2).and_then(|i| i.parse().ok()) == Some(inode);
        if of_file && mode.starts_with("rw") && (end - start) as u64 == mem_size.next_multiple_of(PAGE) {
            return Ok(Some((start, mem_size as usize)));
        }
    }
    Ok(None)
}

/// A full kvm file with what FILE says: itself, or a diff's container and composed RAM.
fn whole(path: &Path) -> Result<PathBuf> {
    let Ok(s) = Snapshot::open(path) else {
        return Ok(path.into()); // the package may say why
    };
    if !matches!(s.layout, Layout::Diff { .. }) {
        return Ok(path.into());
    }
    let full = temporary("full.snap")?;
    write_kvm(&full, &s.bytes, Composed::of(&s)?.bytes())?;
    Ok(full)
}

/// Whether the package loads it: a kvm file, or a diff with its base.
pub fn load(path: &Path) -> Result<()> {
    VmSnapshot::load(&whole(path)?)?;
    Ok(())
}

/// Read and write again: a kvm file by VmSnapshot (a diff becomes a full one), the container of
/// the others by ContainerMeta, in place in a copy.
pub fn resave(path: &Path, out: &Path) -> Result<()> {
    let s = Snapshot::open(path)?;
    if matches!(s.layout, Layout::Kvm { .. } | Layout::Diff { .. }) {
        return VmSnapshot::load(&whole(path)?)?.save(out);
    }
    let container = encode(&s.meta)?;
    if container.len() != s.bytes.len() {
        return refused(format!("written with {} bytes, not {}", container.len(), s.bytes.len()));
    }
    fs::copy(path, out)?;
    File::options().write(true).open(out)?.write_all_at(&container, s.at)
}

/// Save it as a diff against BASE.
pub fn rediff(path: &Path, base: &Path, out: &Path) -> Result<()> {
    VmSnapshot::load(&whole(path)?)?.save_diff(out, base)
}

/// The guest's RAM to OUT, or its sum.
pub fn ram(path: &Path, out: Option<&Path>) -> Result<()> {
    let s = Snapshot::open(path)?;
    let mem_size = s.meta.mem_size;
    let (mapping, composed, copy);
    let ram = match s.layout {
        Layout::Kvm { ram_offset } | Layout::Hvf { ram_offset, .. } => {
            mapping = Mapping::of(&s.file, ram_offset, mem_size)?;
            mapping.bytes()
        }
        Layout::Diff { .. } => {
            composed = Composed::of(&s)?;
            composed.bytes()
        }
        Layout::Bare { ram_offset: Some(at) } => {
            let mut bytes = vec![0; mem_size as usize];
            s.file.read_exact_at(&mut bytes, at)?;
            copy = bytes;
            &copy
        }
        Layout::Bare { ram_offset: None } => &[],
    };
    match out {
        Some(out) => write_sparse(&File::create(out)?, ram, 0),
        None => {
            let sum = ring::digest::digest(&ring::digest::SHA256, ram);
            let hex: String = sum.as_ref().iter().map(|b| format!("{b:02x}")).collect();
            println!("{hex}");
            Ok(())
        }
    }
}
