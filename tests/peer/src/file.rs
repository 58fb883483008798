// SPDX-License-Identifier: MIT
//! A snapshot file: its layout and its container, and whether it is one at all.
//!
//! Whose verdict is which:
//! - The container is read, and refused, by the package's ContainerMeta; nothing else counts.
//! - That RAM lies within the file and can be mapped is said by the package's cow_map_ram, which
//!   maps it as a restore does (so an offset that is no multiple of the page size is refused).
//! - The heads are read here after the package's own readers, which are private: `kvm` and
//!   `kvm-diff` as read_meta, read_meta_body and apply_diff_overlay in kvm/run.rs do, `hvf` as
//!   load_from_file_inner in vmm/snapshot.rs does, which exists on macOS only.
//! - By the description of the format alone: that RAM is at or past the container's end, that
//!   with mem_size 0 there is no region (the package's mmap would fail), everything about `bare`
//!   files, and that a known neighbour's magic is refused and not taken for a bare container.
//! - What only the loading of a kvm file demands (states that parse, kind and backing that go
//!   together) is no reason to refuse here: that is the command `load`.

use std::fs::File;
use std::io::{BufReader, Cursor, Error, ErrorKind, Read, Result};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use supermachine::devices::virtio::mmio::MmioSnapshot;
use supermachine::snapshot_frame::{cow_map_ram, ContainerMeta, DeviceRecord};

pub const PAGE: u64 = 4096;
pub const KVM_MAGIC: &[u8; 8] = b"SMSNAP07";
pub const DIFF_MAGIC: &[u8; 8] = b"SMSNAP7D";
pub const HVF_MAGIC: &[u8; 8] = b"SMSNAP\x0a\0";
pub const HVF_VERSION: u64 = 11;

pub enum Layout {
    Kvm {
        ram_offset: u64,
    },
    /// The pages in the list's order, and where the content of each is in the file.
    Diff {
        base: String,
        pages: Vec<(u32, u64)>,
    },
    Hvf {
        ram_gpa: u64,
        ram_offset: u64,
    },
    /// RAM is at the end, if there is more than the container.
    Bare {
        ram_offset: Option<u64>,
    },
}

impl Layout {
    pub fn name(&self) -> &'static str {
        match self {
            Layout::Kvm { .. } => "kvm",
            Layout::Diff { .. } => "kvm-diff",
            Layout::Hvf { .. } => "hvf",
            Layout::Bare { .. } => "bare",
        }
    }
}

/// Where the parts of a device's record are in the container's bytes.
pub struct DeviceBytes {
    pub mmio: Range<usize>,
    pub backing: Range<usize>,
}

pub struct Snapshot {
    pub path: PathBuf,
    pub file: File,
    pub layout: Layout,
    /// The container: where it begins, what it says, and its bytes.
    pub at: u64,
    pub meta: ContainerMeta,
    pub bytes: Vec<u8>,
    pub devices: Vec<DeviceBytes>,
}

pub fn refused<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::InvalidData, why.into()))
}

/// A reader that knows where it is.
struct Counted<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.inner.read(out)?;
        self.at += n as u64;
        Ok(n)
    }
}

fn u32_of(r: &mut impl Read) -> Result<u32> {
    let mut b = [0; 4];
    r.read_exact(&mut b)?;
    Ok(u32::from_le_bytes(b))
}

fn u64_of(r: &mut impl Read) -> Result<u64> {
    let mut b = [0; 8];
    r.read_exact(&mut b)?;
    Ok(u64::from_le_bytes(b))
}

/// What is before the container. Pages and a bare file's RAM are found after it.
fn read_head(r: &mut Counted<BufReader<&File>>) -> Result<Layout> {
    let mut magic = [0; 8];
    r.read_exact(&mut magic)?;
    if &magic == KVM_MAGIC {
        return Ok(Layout::Kvm { ram_offset: u64_of(r)? });
    }
    if &magic == DIFF_MAGIC {
        // The package allocates what the count says first, of which nothing can be seen here.
        let size = u32_of(r)?;
        let mut base = Vec::new();
        r.take(size.into()).read_to_end(&mut base)?;
        if base.len() != size as usize {
            return refused("failed to fill whole buffer");
        }
        let Ok(base) = String::from_utf8(base) else {
            return refused("diff base path not utf8");
        };
        u64_of(r)?;
        return Ok(Layout::Diff { base, pages: Vec::new() });
    }
    if &magic == HVF_MAGIC {
        let version = u64_of(r)?;
        if version != HVF_VERSION {
            return refused(format!("hvf version {version}"));
        }
        return Ok(Layout::Hvf { ram_gpa: u64_of(r)?, ram_offset: u64_of(r)? });
    }
    if magic.starts_with(b"SMSNAP") || &magic == b"SMSTSNP1" {
        return refused(format!("another format: {}", String::from_utf8_lossy(&magic)));
    }
    Ok(Layout::Bare { ram_offset: None })
}

/// The page list of a diff, as the package's overlay reads it: in order, and nothing after it matters.
fn read_pages(file: &File, mut at: u64, mem_size: u64) -> Result<Vec<(u32, u64)>> {
    let size = file.metadata()?.len();
    let mut word = [0; 4];
    file.read_exact_at(&mut word, at)?;
    at += 4;
    let mut pages = Vec::new();
    for _ in 0..u32::from_le_bytes(word) {
        file.read_exact_at(&mut word, at)?;
        at += 4;
        let index = u32::from_le_bytes(word);
        if (u64::from(index) + 1) * PAGE > mem_size {
            return refused("diff page index out of range");
        }
        if at + PAGE > size {
            return refused("failed to fill whole buffer");
        }
        pages.push((index, at));
        at += PAGE;
    }
    Ok(pages)
}

/// Memory that the package mapped from a file, or nothing of it.
pub struct Mapping {
    start: *mut u8,
    size: usize,
}

impl Mapping {
    /// RAM as a restore maps it, with the package's verdict.
    pub fn of(file: &File, ram_offset: u64, mem_size: u64) -> Result<Mapping> {
        let size = mem_size as usize;
        if size == 0 {
            return Ok(Mapping { start: std::ptr::null_mut(), size });
        }
        Ok(Mapping { start: cow_map_ram(file, ram_offset, size, libc::MAP_NORESERVE)?, size })
    }

    pub fn bytes(&self) -> &[u8] {
        if self.size == 0 {
            return &[];
        }
        // SAFETY: the mapping is of this size, and nobody writes it.
        unsafe { std::slice::from_raw_parts(self.start, self.size) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: it is ours alone.
            unsafe { libc::munmap(self.start.cast(), self.size) };
        }
    }
}

/// Where each device's parts are: the package's codecs say how long they are.
fn find_devices(meta: &ContainerMeta, bytes: &[u8]) -> Result<Vec<DeviceBytes>> {
    // What is before the devices is as long in every container that has the same fields there.
    let mut before = Vec::new();
    ContainerMeta {
        intc_blob: meta.intc_blob.clone(),
        vcpu_blobs: meta.vcpu_blobs.clone(),
        devices: Vec::new(),
        tsi_token: None,
        vsock_listeners: Vec::new(),
        ..*meta
    }
    .write_container(&mut before)?;
    // After the (empty) devices' count: the token's presence byte and the listeners' count.
    let mut c = Cursor::new(bytes);
    c.set_position(before.len() as u64 - 5);
    let mut devices = Vec::new();
    for _ in &meta.devices {
        let mmio = c.position() as usize + 1;
        let mut m = Cursor::new(&bytes[mmio..]);
        MmioSnapshot::read_from(&mut m)?;
        let backing = mmio + m.position() as usize;
        DeviceRecord::read_from(&mut c)?;
        devices.push(DeviceBytes { mmio: mmio..backing, backing: backing..c.position() as usize });
    }
    Ok(devices)
}

impl Snapshot {
    /// Read it, or say why it is none.
    pub fn open(path: impl AsRef<Path>) -> Result<Snapshot> {
        let path = path.as_ref().to_path_buf();
        let file = File::open(&path)?;
        let size = file.metadata()?.len();
        let mut r = Counted { inner: BufReader::new(&file), at: 0 };
        let mut layout = read_head(&mut r)?;
        if let Layout::Bare { .. } = layout {
            r = Counted { inner: BufReader::new(&file), at: 0 };
            std::io::Seek::rewind(&mut r.inner)?;
        }
        let at = r.at;
        let meta = ContainerMeta::read_container(&mut r)?;
        let end = r.at;
        drop(r);

        match &mut layout {
            Layout::Kvm { ram_offset } | Layout::Hvf { ram_offset, .. } if meta.mem_size > 0 => {
                Mapping::of(&file, *ram_offset, meta.mem_size)?;
                if *ram_offset < end {
                    return refused(format!("RAM at {ram_offset}, container ends at {end}"));
                }
            }
            Layout::Bare { ram_offset } if meta.mem_size > 0 && size > end => {
                if meta.mem_size > size - end {
                    return refused(format!("{} bytes of RAM in {}", meta.mem_size, size - end));
                }
                *ram_offset = Some(size - meta.mem_size);
            }
            Layout::Diff { pages, .. } => *pages = read_pages(&file, end, meta.mem_size)?,
            _ => {}
        }

        let mut bytes = vec![0; (end - at) as usize];
        file.read_exact_at(&mut bytes, at)?;
        let devices = find_devices(&meta, &bytes)?;
        Ok(Snapshot { path, file, layout, at, meta, bytes, devices })
    }

    /// Where a diff's base is: as it stands if absolute, else beside the diff, then as it stands.
    pub fn base_path(&self) -> PathBuf {
        let Layout::Diff { base, .. } = &self.layout else {
            return PathBuf::new();
        };
        let beside = self.path.parent().unwrap_or(Path::new("")).join(base);
        if beside.is_file() {
            beside
        } else {
            PathBuf::from(base)
        }
    }
}

/// Write RAM as a sparse file does: pages of zeros are holes.
pub fn write_sparse(file: &File, ram: &[u8], at: u64) -> Result<()> {
    file.set_len(at + ram.len() as u64)?;
    for (i, page) in ram.chunks(PAGE as usize).enumerate() {
        if page.iter().any(|&b| b != 0) {
            file.write_all_at(page, at + i as u64 * PAGE)?;
        }
    }
    Ok(())
}
