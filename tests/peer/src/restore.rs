// SPDX-License-Identifier: MIT
//! The package's restore, as far as it comes without running the guest.

use std::collections::BTreeSet;
use std::fs;
use std::io::Result;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use supermachine::fuse::{DaxSession, FsBackend, MockHvfMapper, PosixFs};
use supermachine::kvm::run::LinuxVm;
use supermachine::snapshot_frame::DeviceBacking;

use crate::file::{refused, Snapshot};

/// In /proc/self/maps a newline in a path is \012.
fn unescape(path: &[u8]) -> PathBuf {
    let mut plain = Vec::new();
    let mut rest = path;
    while let Some((&b, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            plain.push(b'\n');
            rest = after;
        } else {
            plain.push(b);
            rest = after;
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

/// The regular files that this process has open or mapped.
fn files_in_use() -> Result<BTreeSet<PathBuf>> {
    let mut used = BTreeSet::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        // The folder's own descriptor is gone by now.
        used.extend(fs::read_link(entry?.path()));
    }
    for line in fs::read("/proc/self/maps")?.split(|&b| b == b'\n') {
        if let Some(at) = line.iter().position(|&b| b == b'/') {
            used.insert(unescape(&line[at..]));
        }
    }
    used.retain(|path| fs::metadata(path).is_ok_and(|m| m.is_file()));
    Ok(used)
}

/// Make the machine, say which files it uses, and let it go.
pub fn restore(path: &Path) -> Result<()> {
    let before = files_in_use()?;
    let vm = match LinuxVm::restore_from_file(path, &[]) {
        Ok(vm) => vm,
        Err(e) => return refused(e.to_string()),
    };
    println!("restored");
    for path in files_in_use()?.difference(&before) {
        println!("open {}", path.display());
    }
    drop(vm);
    Ok(())
}

/// Does a share's backend take its state under another root? As finish_restore in kvm/run.rs asks.
pub fn posixfs(path: &Path, k: usize, root: &Path) -> Result<()> {
    let s = Snapshot::open(path)?;
    let Some(DeviceBacking::VirtioFs { backend_state, .. }) = s.meta.devices.get(k).map(|d| &d.backing)
    else {
        return refused(format!("device {k} is no share"));
    };
    let fs = PosixFs::new(root)?;
    if !backend_state.is_empty() {
        fs.restore_state(backend_state)?;
    }
    println!("ok");
    Ok(())
}

/// The whole restore of one share where it says it is: its state, and its files mapped again.
/// What maps them into a guest is the package's stand-in, so this needs no KVM.
pub fn share(path: &Path, k: usize) -> Result<()> {
    let s = Snapshot::open(path)?;
    let Some(DeviceBacking::VirtioFs {
        host_path, dax_gpa, dax_window_len, backend_state, dax_state, ..
    }) = s.meta.devices.get(k).map(|d| &d.backing)
    else {
        return refused(format!("device {k} is no share"));
    };
    let fs: Arc<dyn FsBackend> = Arc::new(PosixFs::new(host_path)?);
    if !backend_state.is_empty() {
        fs.restore_state(backend_state)?;
    }
    let mapper = Arc::new(MockHvfMapper::new());
    let session = DaxSession::new(*dax_gpa, *dax_window_len, fs, mapper);
    if !dax_state.is_empty() {
        session.restore_state(dax_state)?;
    }
    match session.rebind_all() {
        Ok(n) => println!("ok {n}"),
        Err(errno) => return refused(format!("rebind: errno {errno}")),
    }
    Ok(())
}
