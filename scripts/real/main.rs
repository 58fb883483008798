// SPDX-License-Identifier: MIT

//! What scripts/real-snapshot runs on the host that it emulates: boots a guest with the
//! supermachine crate and has it suspended while it runs, or restores one from a file. Time is
//! told by the guest itself, which prints "tick N" about once a second.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use supermachine::kvm::run::{
	ExitReason, LinuxVm, LinuxVmConfig, RunningVm, VirtioFsAttach, VmSnapshot, VolumeAttach,
};

/// Errors of a guest that ran are [`Luck`]: in an emulated host it may be another time.
#[derive(Debug)]
struct Luck(String);

impl std::fmt::Display for Luck {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str(&self.0)
	}
}

impl std::error::Error for Luck {}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "usage: real-snapshot capture FOLDER INITRD MIB CPUS TICKS
       real-snapshot restore SNAPSHOT TICKS
       real-snapshot check SNAPSHOT COPY";

/// The exit status that says that it may be worth another try.
const AGAIN: i32 = 75;
/// The guest is idle but for its ticks by then.
const SETTLED: u64 = 5;
/// Ticks within which the guest must have come to listen.
const PATIENCE: u64 = 60;
/// How long the guest may say nothing, or not answer at its port, in an emulated machine.
const SILENCE: Duration = Duration::from_secs(45);

fn main() {
	let args: Vec<String> = std::env::args().skip(1).collect();
	let args: Vec<&str> = args.iter().map(String::as_str).collect();
	let done = match args[..] {
		["capture", folder, initrd, mib, cpus, ticks] => capture(folder, initrd, mib, cpus, ticks),
		["restore", snapshot, ticks] => restore(snapshot, ticks),
		["check", snapshot, copy] => check(snapshot, copy),
		_ => Err(USAGE.into()),
	};
	if let Err(error) = done {
		eprintln!("real-snapshot: {error}");
		std::process::exit(if error.is::<Luck>() { AGAIN } else { 1 });
	}
}

/// Takes the place of the C library's ioctl() in this program, whose variable arguments are passed
/// as fixed ones are. Linux tells guests that there is a hypervisor, without which they do not look
/// for KVM's clock, only if the monitor sets a bit in what KVM supports. Since 6.14 KVM counts the
/// bit as supported. The monitor passes on what KVM reports; older kernels are helped along here.
///
/// # Safety
/// As for ioctl().
#[no_mangle]
pub unsafe extern "C" fn ioctl(
	fd: libc::c_int,
	request: libc::c_ulong,
	argument: *mut libc::c_void,
) -> libc::c_int {
	const KVM_GET_SUPPORTED_CPUID: u32 = 0xc008_ae05;
	const FEATURES: u32 = 1;
	const HYPERVISOR: u32 = 1 << 31;

	let result = libc::syscall(libc::SYS_ioctl, fd, request, argument) as libc::c_int;
	if result == 0 && request as u32 == KVM_GET_SUPPORTED_CPUID {
		let cpuid = &mut *argument.cast::<kvm_bindings::kvm_cpuid2>();
		let number = cpuid.nent as usize;
		for entry in cpuid.entries.as_mut_slice(number) {
			if entry.function == FEATURES {
				entry.ecx |= HYPERVISOR;
			}
		}
	}
	result
}

/// The threads of this process.
fn threads() -> io::Result<Vec<OsString>> {
	fs::read_dir("/proc/self/task")?.map(|entry| Ok(entry?.file_name())).collect()
}

/// What the guest prints, which the monitor writes to standard output: taken from there.
struct Console {
	lines: Receiver<String>,
	/// What was standard output.
	screen: File,
	log: Option<File>,
	/// The threads that run the guest, which the monitor does not say a word about when they end.
	processors: Vec<OsString>,
}

impl Console {
	/// From now on, standard output is what the guest prints.
	fn take(log: Option<&Path>) -> Result<Console> {
		let (ours, guests) = UnixStream::pair()?;
		// SAFETY: descriptors only; the duplicate belongs to nobody else.
		let screen = unsafe {
			let duplicate = libc::dup(1);
			if duplicate < 0 || libc::dup2(guests.as_raw_fd(), 1) < 0 {
				return Err(io::Error::last_os_error().into());
			}
			File::from_raw_fd(duplicate)
		};
		let (sender, lines) = mpsc::channel();
		std::thread::spawn(move || {
			for line in BufReader::new(ours).split(b'\n').map_while(|line| line.ok()) {
				let line = String::from_utf8_lossy(&line);
				if sender.send(line.trim_end_matches('\r').to_string()).is_err() {
					break;
				}
			}
		});
		let log = log.map(File::create).transpose()?;
		Ok(Console { lines, screen, log, processors: Vec::new() })
	}

	/// Lets the guest run.
	fn start(&mut self, vm: LinuxVm) -> Result<RunningVm> {
		let before = threads()?;
		let running = vm.start_running();
		self.processors = threads()?;
		self.processors.retain(|thread| !before.contains(thread));
		Ok(running)
	}

	/// The next line that the guest prints.
	fn line(&mut self) -> Result<String> {
		for _ in 0..SILENCE.as_secs() {
			if let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
				return Ok(line);
			}
			let threads = threads()?;
			if !self.processors.iter().all(|thread| threads.contains(thread)) {
				return Err("the guest is gone".into());
			}
		}
		Err("the guest is silent".into())
	}

	/// A message of this program.
	fn say(&mut self, message: &str) -> Result<()> {
		Ok(writeln!(self.screen, "real-snapshot: {message}")?)
	}

	/// Waits for the guest's next tick, and copies what it prints up to there.
	fn tick(&mut self) -> Result<u64> {
		loop {
			let line = self.line()?;
			writeln!(self.screen, "guest: {line}")?;
			if let Some(log) = &mut self.log {
				writeln!(log, "{line}")?;
			}
			if line.contains("Kernel panic") {
				return Err(format!("the guest ended: {line}").into());
			}
			if let Some(Ok(number)) = line.strip_prefix("tick ").map(str::parse) {
				return Ok(number);
			}
		}
	}
}

/// The TCP ports that this process listens on: there is no other in its network. They are the
/// monitor's, which listens in place of the guest.
fn listening() -> io::Result<Vec<u16>> {
	const LISTEN: &str = "0A";
	let mut ports = Vec::new();
	for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
		for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
			let fields: Vec<&str> = line.split_whitespace().collect();
			if fields.get(3) == Some(&LISTEN) {
				let port = fields[1].rsplit(':').next().unwrap_or_default();
				ports.push(u16::from_str_radix(port, 16).map_err(io::Error::other)?);
			}
		}
	}
	Ok(ports)
}

fn capture(folder: &str, initrd: &str, mib: &str, cpus: &str, ticks: &str) -> Result<()> {
	let path = |name: &str| format!("{folder}/{name}");
	let (disk, volume) = (path("disk.ext4"), path("data.ext4"));
	let ticks: u64 = ticks.parse()?;
	let initrd = fs::read(initrd)?;
	let volumes = [VolumeAttach {
		path: volume.clone(),
		size: fs::metadata(&volume)?.len(),
		mount: "/data".into(),
	}];
	let shares = [VirtioFsAttach {
		host_path: path("share"),
		tag: "shared".into(),
		mount: "/mnt/shared".into(),
	}];
	let config = LinuxVmConfig {
		mem_size: mib.parse::<usize>()? << 20,
		num_cpus: cpus.parse()?,
		kernel: supermachine_kernel::KERNEL_BYTES,
		initrd: Some(&initrd),
		disk_path: Some(&disk),
		disk_size: fs::metadata(&disk)?.len(),
		// tsi_hijack: that the guest listens is passed on to the host, over vsock.
		// quiet: each letter takes the emulated host long.
		// nolapic_timer: a guest that uses this timer does not go on there when it is restored.
		// Linux uses it or not, as it finds it exact enough when it boots.
		cmdline: "console=ttyS0 quiet panic=-1 reboot=t tsi_hijack nolapic_timer",
		enable_vsock: true,
		volumes: &volumes,
		virtiofs: &shares,
		// Bytes that are easily found again.
		tsi_token: Some(std::array::from_fn(|i| 0xa0 + i as u8)),
		enable_balloon: false,
	};
	let mut console = Console::take(Some(Path::new(&path("console.log"))))?;
	let running = console.start(LinuxVm::new(&config)?)?;
	console.say("the guest boots")?;
	finish(captures(&running, &mut console, folder, ticks), running)
}

/// Stops the guest. If something went wrong, it may be because the guest had stopped before.
fn finish(done: Result<()>, running: RunningVm) -> Result<()> {
	let reason = running.stop();
	done.map_err(|error| match reason {
		ExitReason::Canceled => Luck(error.to_string()).into(),
		_ => Luck(format!("{error}: {reason:?}")).into(),
	})
}

fn captures(running: &RunningVm, console: &mut Console, folder: &str, ticks: u64) -> Result<()> {
	let path = |name: &str| format!("{folder}/{name}");
	let (full, diff, volume) = (path("full.snap"), path("diff.snap"), path("data.ext4"));

	let mut now = console.tick()?;
	while now < SETTLED || listening()?.is_empty() {
		if now > PATIENCE {
			return Err("the guest does not listen".into());
		}
		now = console.tick()?;
	}
	let before = fs::read(&volume)?;
	let start = Instant::now();
	running.snapshot_live(None)?.save(Path::new(&full))?;
	console.say(&format!("{full} at tick {now}, in {:.1} s", start.elapsed().as_secs_f64()))?;

	// Ticks that came meanwhile are already in the queue, so the guest may be later than its tick.
	let full_at = now;
	while now < full_at + ticks {
		now = console.tick()?;
	}
	let start = Instant::now();
	running.snapshot_live(None)?.save_diff(Path::new(&diff), Path::new(&full))?;
	console.say(&format!("{diff} at tick {now}, in {:.1} s", start.elapsed().as_secs_f64()))?;
	if fs::read(&volume)? != before {
		return Err("the guest wrote to its volume between the snapshots, which share it".into());
	}

	// Being suspended has not harmed it.
	console.tick()?;
	Ok(())
}

fn restore(snapshot: &str, ticks: &str) -> Result<()> {
	let ticks: u64 = ticks.parse()?;
	let mut console = Console::take(None)?;
	let start = Instant::now();
	let vm = LinuxVm::restore_from_file(Path::new(snapshot), &[])?;
	console.say(&format!("{snapshot} restored in {:.2} s", start.elapsed().as_secs_f64()))?;
	let running = console.start(vm)?;
	finish(goes_on(&mut console, ticks), running)
}

fn goes_on(console: &mut Console, ticks: u64) -> Result<()> {
	let first = console.tick()?;
	for expected in first + 1..first + ticks {
		let now = console.tick()?;
		if now != expected {
			return Err(format!("the guest's tick {now} came instead of {expected}").into());
		}
	}
	console.say(&format!("the guest ticks on: {first} to {}", first + ticks - 1))?;

	for port in listening()? {
		answer(port).map_err(|error| format!("the guest's listener: {error}"))?;
		console.say("the guest answers at its port")?;
	}
	Ok(())
}

/// What is sent to the guest's port comes back.
fn answer(port: u16) -> Result<()> {
	let said = *b"over vsock and back\n";
	let mut heard = [0; 20];
	let mut stream = TcpStream::connect(("127.0.0.1", port))?;
	stream.set_read_timeout(Some(SILENCE))?;
	stream.write_all(&said)?;
	stream.read_exact(&mut heard)?;
	if heard == said {
		Ok(())
	} else {
		Err("says something else".into())
	}
}

/// The monitor understands the file: it writes the same again from what it has read.
fn check(snapshot: &str, copy: &str) -> Result<()> {
	let read = VmSnapshot::load(Path::new(snapshot))?;
	read.save(Path::new(copy))?;
	if fs::read(snapshot)? != fs::read(copy)? {
		return Err(format!("{snapshot}: loaded and saved, it is another").into());
	}
	println!("{snapshot}: {} CPUs, {} MiB", read.num_cpus(), read.mem_size() >> 20);
	Ok(())
}
