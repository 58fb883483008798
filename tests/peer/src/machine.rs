// SPDX-License-Identifier: MIT
//! Small snapshots that the package itself took of a machine that ran.
//!
//! `peer machine OUT --mem MIB ...` boots the guest of guest.rs with the devices that are asked
//! for, takes a full snapshot once its devices are set up, and writes it to OUT. Its shares have
//! their first file (by name) open and mapped. With --pending a write to sector 1 of the disk
//! waits in the ring, which a restore carries out. With --not-run the machine is captured before
//! its first instructions, or soon after.
//!
//! `peer machine OUT --diff BASE` restores BASE, lets it run until it changed a page, and writes
//! the difference, as the package's tracking of written pages saw it, to OUT.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use supermachine::kvm::run::{LinuxVm, LinuxVmConfig, RunningVm, VirtioFsAttach, VolumeAttach};
use supermachine::kvm::KvmError;

use crate::file::{refused, Layout, Mapping, Snapshot};
use crate::guest;

/// A guest that does not come so far does not run at all.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Options {
    mem: usize,
    cpus: u8,
    disk: Option<String>,
    volumes: Vec<String>,
    shares: Vec<String>,
    vsock: bool,
    token: Option<[u8; 32]>,
    pending: bool,
    not_run: bool,
    diff: Option<String>,
}

fn token(hex: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (i, b) in out.iter_mut().enumerate() {
        *b = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

impl Options {
    pub fn of(words: &[&str]) -> Option<Options> {
        let mut o = Options { cpus: 1, ..Options::default() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().map(|w| w.to_string());
            match *word {
                "--mem" => o.mem = value()?.parse().ok()?,
                "--cpus" => o.cpus = value()?.parse().ok()?,
                "--disk" => o.disk = Some(value()?),
                "--volume" => o.volumes.push(value()?),
                "--share" => o.shares.push(value()?),
                "--token" => o.token = Some(token(&value()?)?),
                "--diff" => o.diff = Some(value()?),
                "--vsock" => o.vsock = true,
                "--pending" => o.pending = true,
                "--not-run" => o.not_run = true,
                _ => return None,
            }
        }
        // Two are the least for the guest's image; its registers are where they are below 3 GiB.
        let fits = (2..=3072).contains(&o.mem) && o.cpus > 0;
        (o.diff.is_some() || fits).then_some(o)
    }
}

fn why(e: KvmError) -> Error {
    Error::other(e.to_string())
}

/// The first regular file in a folder, by name.
fn first_file(folder: &str) -> Result<Option<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names.into_iter().next())
}

fn boot(o: &Options) -> Result<LinuxVm> {
    let files = o.shares.iter().map(|s| first_file(s)).collect::<Result<Vec<_>>>()?;
    let kernel = guest::kernel(&guest::Guest {
        disk: o.disk.is_some(),
        vsock: o.vsock,
        volumes: o.volumes.len(),
        shares: &files,
        pending: o.pending,
    });
    let mut volumes = Vec::new();
    for (i, path) in o.volumes.iter().enumerate() {
        volumes.push(VolumeAttach {
            path: path.clone(),
            size: fs::metadata(path)?.len(),
            mount: format!("/data{i}"),
        });
    }
    let shares: Vec<VirtioFsAttach> = o
        .shares
        .iter()
        .enumerate()
        .map(|(i, path)| VirtioFsAttach {
            host_path: path.clone(),
            tag: format!("share{i}"),
            mount: format!("/mnt/share{i}"),
        })
        .collect();
    LinuxVm::new(&LinuxVmConfig {
        mem_size: o.mem << 20,
        num_cpus: o.cpus,
        kernel: &kernel,
        initrd: None,
        disk_path: o.disk.as_deref(),
        disk_size: o.disk.as_ref().map_or(Ok(0), |p| fs::metadata(p).map(|m| m.len()))?,
        cmdline: "console=ttyS0",
        enable_vsock: o.vsock,
        volumes: &volumes,
        virtiofs: &shares,
        tsi_token: o.token,
        enable_balloon: false,
    })
    .map_err(why)
}

/// Has the guest of this snapshot come to its counting?
fn counts(path: &Path) -> Result<bool> {
    let s = Snapshot::open(path)?;
    let Layout::Kvm { ram_offset } = s.layout else {
        return Ok(false);
    };
    let ram = Mapping::of(&s.file, ram_offset, s.meta.mem_size)?;
    let counter = &ram.bytes()[guest::COUNTER as usize..][..8];
    Ok(counter.iter().any(|&b| b != 0))
}

/// Take snapshots of the running guest until one is good.
fn until(run: &RunningVm, mut take: impl FnMut(&RunningVm) -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !take(run)? {
        if start.elapsed() > PATIENCE {
            return refused("the guest does not get on");
        }
    }
    Ok(())
}

pub fn machine(out: &Path, o: &Options) -> Result<()> {
    // The package waits for ever for a vCPU that KVM would not run.
    // SAFETY: nothing here handles this signal: it ends the process.
    unsafe { libc::alarm(2 * PATIENCE.as_secs() as u32) };
    if let Some(base) = &o.diff {
        let base = Path::new(base);
        let run = LinuxVm::restore_from_file(base, &[]).map_err(why)?.start_running();
        until(&run, |run| {
            run.snapshot_diff_live_dirty(base, out, None).map_err(why)?;
            Ok(matches!(Snapshot::open(out)?.layout, Layout::Diff { pages, .. } if !pages.is_empty()))
        })?;
        run.stop();
        return Ok(());
    }
    let mut vm = boot(o)?;
    if o.not_run {
        return vm.snapshot_after(Duration::ZERO).map_err(why)?.save(out);
    }
    let run = vm.start_running();
    until(&run, |run| {
        run.snapshot_live(None).map_err(why)?.save(out)?;
        counts(out)
    })?;
    run.stop();
    Ok(())
}
