// SPDX-License-Identifier: MIT
//! peer: known answers about snapshot files.
//!
//! The programs of this project read and edit files that another program wrote, in C and from a
//! description of the format. This one asks that other program: it is a thin shell around the
//! package `supermachine`, whose readers and writers are the reference. What has to be done here,
//! for the package does not offer it, is said where it is done (file.rs, states.rs).
//!
//!   peer tree [--raw] FILE          every leaf, as `path TAB kind:value`, sorted by path;
//!                                   --raw leaves out what is decoded from blobs
//!   peer batch [--raw]              for each path on stdin (one a line): `ok N` and N such lines,
//!                                   `refused REASON` or `panic REASON`
//!   peer batch accept               `ok`, `refused REASON` or `panic REASON` for each
//!   peer load FILE                  does VmSnapshot::load take it (a diff: with its base)
//!   peer resave IN OUT              read and written again; a diff becomes a full snapshot
//!   peer rediff IN BASE OUT         saved as a diff against BASE
//!   peer ram FILE [OUT]             the sum of the guest's RAM, or its bytes to OUT
//!   peer random SEED LAYOUT OUT [BASE]   a random valid file: kvm, hvf, bare, kvm-diff (of BASE)
//!   peer restore FILE               make the machine, print `restored` and a line `open PATH` for
//!                                   every file in use; the guest does not run
//!   peer machine OUT --mem MIB [--cpus N] [--disk PATH] [--volume PATH]... [--share DIR]...
//!                [--vsock] [--token HEX] [--pending] [--not-run]
//!   peer machine OUT --diff BASE    a snapshot that the package took of a machine: see machine.rs
//!   peer posixfs FILE K NEWROOT     does a share's backend take device K's state under NEWROOT
//!   peer share FILE K               does device K's share restore where it says it is
//!
//! Exit status: 0 ok, 1 refused (why is on stderr), 2 usage, 3 the package panicked or was killed.
//! A command runs in a child process, so that an abort inside the package is an answer as well;
//! only batch does not. restore and machine need /dev/kvm, all else does not.

mod file;
mod guest;
mod machine;
mod random;
mod restore;
mod save;
mod states;
mod tree;

use std::fs;
use std::io::{BufRead, Result, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::process::exit;

use file::Snapshot;

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const PANIC: i32 = 3;

fn usage() -> ! {
    eprintln!(
        "usage: peer tree [--raw] FILE | batch [--raw | accept] | load FILE | resave IN OUT |\n\
         rediff IN BASE OUT | ram FILE [OUT] | random SEED LAYOUT OUT [BASE] | restore FILE |\n\
         machine OUT (--mem MIB [OPTION]... | --diff BASE) | posixfs FILE K NEWROOT | share FILE K"
    );
    exit(USAGE)
}

fn tree(raw: bool, path: &str) -> Result<()> {
    print!("{}", tree::leaves(&Snapshot::open(path)?, raw));
    Ok(())
}

/// An error's text on one line, whatever a path in it holds.
fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?").into()
}

fn batch(raw: bool, accept: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line?;
        let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(&line[..]);
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let s = Snapshot::open(path)?;
            Ok::<_, std::io::Error>((!accept).then(|| tree::leaves(&s, raw)))
        }));
        match answer {
            Ok(Ok(Some(leaves))) => write!(out, "ok {}\n{leaves}", leaves.len())?,
            Ok(Ok(None)) => writeln!(out, "ok")?,
            Ok(Err(e)) => writeln!(out, "refused {}", one_line(&e.to_string()))?,
            Err(p) => writeln!(out, "panic {}", one_line(&message(p.as_ref())))?,
        }
        out.flush()?;
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| usage())
}

fn run(words: &[&str]) -> Result<()> {
    match *words {
        ["tree", path] => tree(false, path),
        ["tree", "--raw", path] => tree(true, path),
        ["batch"] => batch(false, false),
        ["batch", "--raw"] => batch(true, false),
        ["batch", "accept"] => batch(false, true),
        ["load", path] => save::load(Path::new(path)),
        ["resave", path, out] => save::resave(Path::new(path), Path::new(out)),
        ["rediff", path, base, out] => save::rediff(Path::new(path), Path::new(base), Path::new(out)),
        ["ram", path] => save::ram(Path::new(path), None),
        ["ram", path, out] => save::ram(Path::new(path), Some(Path::new(out))),
        ["random", seed, layout, out] => random::write(number(seed), layout, Path::new(out), None),
        ["random", seed, layout, out, base] => {
            random::write(number(seed), layout, Path::new(out), Some(Path::new(base)))
        }
        ["restore", path] => restore::restore(Path::new(path)),
        ["machine", out, ref options @ ..] => match machine::Options::of(options) {
            Some(options) => machine::machine(Path::new(out), &options),
            None => usage(),
        },
        ["posixfs", path, k, root] => restore::posixfs(Path::new(path), number(k), Path::new(root)),
        ["share", path, k] => restore::share(Path::new(path), number(k)),
        _ => usage(),
    }
}

fn status_of(words: &[&str]) -> i32 {
    match catch_unwind(|| run(words)) {
        Ok(Ok(())) => 0,
        Ok(Err(e)) => {
            eprintln!("peer: {e}");
            REFUSED
        }
        Err(p) => {
            eprintln!("peer: panic: {}", message(p.as_ref()));
            PANIC
        }
    }
}

/// Run the command in a child, and clean up after it however it ends.
fn status_of_child(words: &[&str]) -> i32 {
    // SAFETY: there is no other thread yet.
    let child = unsafe { libc::fork() };
    if child < 0 {
        eprintln!("peer: fork: {}", std::io::Error::last_os_error());
        return PANIC;
    }
    if child == 0 {
        let status = status_of(words);
        let _ = std::io::stdout().flush();
        exit(status);
    }
    let mut status = 0;
    // SAFETY: status is ours.
    while unsafe { libc::waitpid(child, &mut status, 0) } < 0 {}
    let _ = fs::remove_dir_all(save::temporary_folder(child as u32));
    if libc::WIFEXITED(status) {
        // What a Rust program exits with when it panics where nothing catches it is no verdict.
        return match libc::WEXITSTATUS(status) {
            101 => PANIC,
            status => status,
        };
    }
    eprintln!("peer: panic: ended by signal {}", libc::WTERMSIG(status));
    PANIC
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let status = match words.first() {
        Some(&"batch") => status_of(&words),
        _ => status_of_child(&words),
    };
    exit(status)
}
