#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each allocation fails once: of both commands of smsnap, of a mount, of what is done in
it, of its last save, and of the undoing of a save that was interrupted. Each time the
program must do what was asked, or say that memory ran out; the tree and the snapshot are
then as before. Nothing may leak, and a daemon goes on.

A sample of the allocations; all of them with SMFS_TEST_ALL=1. failing-memory.py [TEXT...]
takes only what has one of the texts in its name.
"""

import contextlib
import errno
import glob
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
import snapmake  # noqa: E402
from mounted import Failed, WorkDir, lacking, program, require, require_fuse  # noqa: E402

ALL = os.environ.get("SMFS_TEST_ALL") == "1"
ONLY = sys.argv[1:]
SAMPLE = 4
FILE = 3  # allocations that an open file has
PATIENCE = 20
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
LIBRARY = os.path.join(BUILD, "tests", "fail-alloc.so")
DRIVER = os.path.join(BUILD, "tests", "save-driver")
RAM, PAGE = 1 << 20, 4096
# A thread that finds no memory for a request makes libfuse stop all of them; what another
# had just read it drops, and the kernel says so.
TOLD = (errno.ENOMEM, errno.ECONNABORTED)
# The last two are libfuse's.
MEMORY = ("out of memory", os.strerror(errno.ENOMEM), "memory allocation failed", "failed to allocate")

cases = 0


def wanted(name):
    return not ONLY or any(text in name for text in ONLY)


class Control:
    """What fail-alloc.c shares with the test: see its struct control."""

    def __init__(self, path):
        with open(path, "wb+") as f:
            f.truncate(32)
            self.map = mmap.mmap(f.fileno(), 32)
        self.environment = dict(os.environ, LD_PRELOAD=LIBRARY, FAIL_ALLOC=path, LC_ALL="C")

    def field(self, k):
        return struct.unpack_from("q", self.map, 8 * k)[0]

    def arm(self, fail_at, live=False):
        """The allocation of that number fails, from now on; LIVE: of a new process."""
        struct.pack_into("qqq", self.map, 0, 0, 0, 0)
        if live:
            struct.pack_into("q", self.map, 24, 0)
        struct.pack_into("q", self.map, 8, fail_at)

    def disarm(self):
        struct.pack_into("q", self.map, 8, 0)

    count = property(lambda self: self.field(0))
    failed = property(lambda self: self.field(2) != 0)
    live = property(lambda self: self.field(3))


def numbers(count, name):
    """The allocations of COUNT that are to fail."""
    every = range(1, count + 1)
    if ALL or count <= SAMPLE:
        return every
    return sorted(random.Random(name).sample(every, SAMPLE))


def told_of_memory(text, whose):
    lines = text.splitlines()
    # libfuse prints some lines itself.
    require(lines and all(line.startswith((whose, "fuse: ")) for line in lines) and
            any(m in lines[-1] for m in MEMORY), "it says %r" % text[:300])


# ---- smsnap -------------------------------------------------------------------

def run_smsnap(control, fail_at, arguments, stdin=None):
    control.arm(fail_at, live=True)
    return subprocess.run([SMSNAP, *arguments], check=False,
                          input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=control.environment, timeout=PATIENCE)


def try_smsnap(control, name, arguments, check, stdin=None):
    """CHECK looks at what a run did: CHECK(whether it went well, its standard output)."""
    global cases
    if not wanted(name):
        return
    done = run_smsnap(control, 0, arguments, stdin)
    require(done.returncode == 0, "%s: status %d" % (name, done.returncode))
    check(True, done.stdout)
    for n in numbers(control.count, name):
        cases += 1
        done = run_smsnap(control, n, arguments, stdin)
        try:
            require(control.failed, "nothing failed")
            require(done.returncode in (0, 1), "exit status %d" % done.returncode)
            if done.returncode:
                # Of a snapshot that failed its object says why.
                told_of_memory(done.stderr.decode() or "smsnap: " + json.loads(done.stdout)["error"], "smsnap: ")
            else:
                require(not done.stderr, "it says %r" % done.stderr[:300])
            check(done.returncode == 0, done.stdout)
        except Failed as e:
            raise Failed("%s, allocation %d: %s" % (name, n, e)) from e


def sample(path, base=None):
    """One that has everything, and blobs that hold something; a diff of BASE, which is made too."""
    if base:
        reader.sample(base, RAM)
    reader.sample(path, RAM, "kvm-diff" if base else "kvm", base)
    snap = reader.Snapshot(path)
    rng = random.Random(1)
    snap.model["vcpu"][3] = snapmake.kvm_vcpu(rng)
    backing = snap.model["devices"][3]["backing"]
    inodes = [reader.num(i, 8) + b"\1" + reader.blob(b"/srv/share" + b"/x" * (i > 1)) for i in range(1, 40)]
    backing["backend_state"] = (b"PFSS" + reader.num(1, 4) + reader.num(9, 8) + reader.num(len(inodes), 8)
                                + b"".join(inodes) + reader.num(0, 8))
    if base:
        reader.write_file(path, snap.model, snap.layout, pages=snap.pages)
    else:
        reader.write_file(path, snap.model, reader.new_layout(snap.model), snap.ram)


def smsnap(control, work):
    snapshot, built, ram = (os.path.join(work, name) for name in ("snap", "built", "ram"))
    sample(snapshot)
    with open(ram, "wb") as f:
        f.write(reader.Snapshot(snapshot).ram)
    document = run_smsnap(control, 0, ["dump", snapshot]).stdout
    described = os.path.join(work, "json")
    with open(described, "wb") as f:
        f.write(document)
    with open(snapshot, "rb") as f:
        whole = f.read()
    before = set(os.listdir(work)) | {"built"}

    def dumped(well, out):
        require(out == document if well else out in (b"", document), "it printed something else")

    def made(well, _):
        require(set(os.listdir(work)) <= before, "left: %s" % os.listdir(work))
        require(os.path.exists(built) == well, "a snapshot is there: %s" % (not well))
        if well:
            with open(built, "rb") as f:
                require(f.read() == whole, "it built something else")
            os.unlink(built)

    def told(command):
        right = run_smsnap(control, 0, command).stdout

        def check(well, out):
            require(out == right or not well, "it printed something else")
        try_smsnap(control, " ".join(command[:-1]), command, check)

    try_smsnap(control, "dump", ["dump", snapshot], dumped)
    told(["dump", "--decode", snapshot])
    told(["info", snapshot])
    told(["info", "--json", snapshot])
    told(["info", snapshot, snapshot])
    told(["retarget", "--dry-run", "--json", "/srv=/x", snapshot])
    try_smsnap(control, "build", ["build", described, "-o", built, "--ram", ram], made)
    try_smsnap(control, "build from standard input", ["build", "-", "-o", built, "--ram", ram], made,
               stdin=document)


# ---- a mount ------------------------------------------------------------------

class Daemon:
    """Of a snapshot, which is LINKED from elsewhere too: then its file has to stay. A DIFF has
    its base elsewhere."""

    def __init__(self, control, folder, options, linked=False, diff=False):
        self.control, self.options = control, options
        self.folder = folder
        self.link = folder + ".link" if linked else None
        self.base = folder + ".base" if diff else None
        self.snapshot = os.path.join(folder, "snap")
        self.output = os.path.join(folder, "output") if "-ooutput=output" in options else self.snapshot
        self.root = os.path.join(folder, "mnt")
        os.makedirs(self.root, exist_ok=True)
        self.pid = None

    def new_snapshot(self):
        for name in os.listdir(self.folder):
            if name != "mnt":
                os.unlink(os.path.join(self.folder, name))
        sample(self.snapshot, self.base)
        with contextlib.suppress(OSError):
            os.setxattr(self.snapshot, "user.test", b"kept")
        if self.link:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.link)
            os.link(self.snapshot, self.link)

    def start(self, fail_at=0):
        """What smfs printed, and its exit status; at 0 it serves."""
        self.control.arm(fail_at, live=True)
        options = [o.replace("output=", "output=" + self.folder + "/") for o in self.options]
        # Into a file: of a pipe the daemon would keep the other end.
        log = os.path.join(os.path.dirname(self.folder), "log")
        with open(log, "wb") as f:
            done = subprocess.run([program(), *options, self.snapshot, self.root], check=False,
                                  stdin=subprocess.DEVNULL, stdout=f, stderr=f,
                                  env=self.control.environment, timeout=PATIENCE)
        with open(log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        self.pid = None
        if done.returncode == 0:
            self.pid = int(subprocess.run(["pgrep", "-f", "--", " %s$" % self.root], check=True,
                                          stdout=subprocess.PIPE).stdout)
        return text, done.returncode

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="ascii") as f:
            return any(line.split()[1] == self.root for line in f)

    def is_alive(self):
        try:
            with open("/proc/%d/stat" % self.pid, encoding="utf-8") as f:
                return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False

    def stop(self):
        subprocess.run(["umount", self.root] if os.geteuid() == 0 else ["fusermount3", "-u", self.root],
                       check=True)
        end = time.monotonic() + PATIENCE
        while self.is_alive():
            require(time.monotonic() < end, "the daemon does not end")
            time.sleep(0.001)
        self.pid = None

    def descriptors(self):
        """Those that are no thread's; the kernel gives back a moment later."""
        return len(os.listdir("/proc/%d/fd" % self.pid)) - len(os.listdir("/proc/%d/task" % self.pid))

    def path(self, name):
        return os.path.join(self.root, name)

    def kill(self):
        if self.is_mounted():
            subprocess.run(["umount", "-lq", self.root], check=False)
        if self.pid and self.is_alive():
            os.kill(self.pid, signal.SIGKILL)


def threads(pid):
    """What each thread of a process waits for."""
    lines = []
    for thread in glob.glob("/proc/%d/task/*" % pid):
        lines.append(thread)
        for name in ("wchan", "syscall", "stack"):
            with contextlib.suppress(OSError), open(os.path.join(thread, name), encoding="ascii") as f:
                lines.append("  %s: %s" % (name, f.read().strip().replace("\n", " ")))
    return "\n".join(lines)


@contextlib.contextmanager
def alarm():
    """An operation that hangs ends the test, and is explained."""
    def ring(_number, frame):
        own = "".join(traceback.format_stack(frame))
        daemons = subprocess.run(["pidof", program()], check=False, stdout=subprocess.PIPE, text=True).stdout
        raise Failed("it hangs\n%s%s" % (own, "\n".join(threads(int(pid)) for pid in daemons.split())))

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)


def start_well(daemon):
    daemon.new_snapshot()
    text, status = daemon.start()
    require(status == 0 and daemon.is_mounted(), "it does not mount: %s" % text)


def first_look(daemon):
    with open(daemon.path("num_cpus"), encoding="ascii") as f:
        require(f.read() == "4\n", "num_cpus is wrong")
    require("devices" in os.listdir(daemon.root), "a directory is not all there")


def mount(daemon, name):
    """From the start to the first look at the tree."""
    global cases
    if not wanted(name + "mount"):
        return
    start_well(daemon)
    with alarm():
        first_look(daemon)
    count = daemon.control.count
    daemon.stop()
    live = daemon.control.live
    with open(daemon.snapshot, "rb") as f:
        before = f.read()
    for n in numbers(count, name + "mount"):
        cases += 1
        try:
            text, status = daemon.start(n)
            if status:
                told_of_memory(text, "smfs: ")
                require(status in (1, 2) and not daemon.is_mounted(), "mounted, and status %d" % status)
            else:
                mount_serves(daemon, live)
            with open(daemon.snapshot, "rb") as f:
                require(f.read() == before, "the snapshot has changed")
            require(set(os.listdir(daemon.folder)) == {"snap", "mnt"}, "left: %s" % os.listdir(daemon.folder))
        except Failed as e:
            raise Failed("%smount, allocation %d: %s" % (name, n, e)) from e


def mount_serves(daemon, live):
    with alarm():
        for _ in range(2):  # what failed is done again
            try:
                first_look(daemon)
                ram = fetch(daemon.path("ram"))
                break
            except OSError as e:
                require(e.errno in TOLD, "first look: %s" % e)
        else:
            raise Failed("it does not serve")
        # All of it: a base is not left out for want of memory.
        require(ram == reader.Snapshot(daemon.snapshot).ram, "RAM is another")
    daemon.stop()
    # A file is released behind the program's back, and not at all once the mount ends.
    require(daemon.control.live <= live + 2 * FILE, "%d allocations leaked" % (daemon.control.live - live))


# ---- what is done in it ---------------------------------------------------------

def fetch(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


class NotClosed(OSError):
    """By close or fsync; of what was written before, either is right: it was done, or not."""


@contextlib.contextmanager
def opened(path, flags, mode=0):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    try:
        os.close(fd)
    except OSError as e:
        raise NotClosed(e.errno, e.strerror) from e


def flush(fd):
    try:
        os.fsync(fd)
    except OSError as e:
        raise NotClosed(e.errno, e.strerror) from e


def put(path, data, flags=os.O_TRUNC):
    with opened(path, os.O_WRONLY | flags) as fd:
        os.write(fd, data)


# Each edit gives its file one of two values, in turn; one of them needs more room.
TEXTS = (b"/srv/a\n", b"/srv/" + b"b" * 3000 + b"\n")
BLOBS = (b"old state", b"new " * 2000)
# Emptied by O_TRUNC, and smfs has not heard of the write after it.
TORN = 2


def write_text(daemon, k):
    put(daemon.path("devices/0/backing/path"), TEXTS[k])


def write_bytes(daemon, k):
    put(daemon.path("vcpu/0/raw"), BLOBS[k])


def write_number(daemon, k):
    put(daemon.path("num_cpus"), b"%d\n" % (4 + k), 0)


def write_field(daemon, k):
    put(daemon.path("vcpu/3/regs/rip"), b"0x%x\n" % k)


def write_part(daemon, k):
    put(daemon.path("vcpu/3/sregs/interrupt_bitmap"), b"%d" % k * 32)


HOSTS = (b"/srv/share\n", b"/srv/" + b"s" * 90 + b"\n")


def move_share(daemon, k):
    put(daemon.path("devices/3/backing/host_path"), HOSTS[k])


def show_share(daemon):
    path = daemon.path("devices/3/backing/")
    host = fetch(path + "host_path")
    root = fetch(path + "backend_state/inodes/0/path")
    require(host == root, "host_path and the share's root are two: %r, %r" % (host, root))
    return host


def cut_bytes(daemon, k):
    os.truncate(daemon.path("vcpu/1/raw"), 100 + k)


def replace(daemon, k):
    temporary = daemon.path("listeners/0/.new")
    try:
        with opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600) as fd:
            os.write(fd, b"%d\n" % (7 + k))
        os.rename(temporary, daemon.path("listeners/0/inet_port"))
    finally:
        # While one allocation is to fail, this may be it.
        daemon.control.disarm()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def make_option(daemon, k):
    path = daemon.path("tsi_token")
    if k:
        with opened(path, os.O_WRONLY) as fd:
            os.write(fd, bytes(range(32)))
    else:
        os.truncate(path, 0)


def write_ram(daemon, k):
    with opened(daemon.path("ram"), os.O_RDWR) as fd:
        os.pwrite(fd, b"%d" % k * PAGE, 17 * PAGE)
        flush(fd)


def sync(daemon, k):
    write_number(daemon, k)
    with opened(daemon.root, os.O_RDONLY) as fd:
        flush(fd)


def read_token(daemon):
    return fetch(daemon.path("tsi_token"))


def slice_of_ram(daemon):
    return fetch(daemon.path("ram"))[17 * PAGE:18 * PAGE]


# What is done, where, how it shows, and what it shows before and after.
EDITS = {
    "text": (write_text, lambda d: fetch(d.path("devices/0/backing/path")), TEXTS),
    "bytes": (write_bytes, lambda d: fetch(d.path("vcpu/0/raw")), (*BLOBS, b"")),
    "field": (write_field, lambda d: fetch(d.path("vcpu/3/regs/rip")), (b"0x0\n", b"0x1\n")),
    "part": (write_part, lambda d: fetch(d.path("vcpu/3/sregs/interrupt_bitmap")), (b"0" * 32, b"1" * 32)),
    "share": (move_share, show_share, HOSTS),
    "number": (write_number, lambda d: fetch(d.path("num_cpus")), (b"4\n", b"5\n")),
    "cut": (cut_bytes, lambda d: len(fetch(d.path("vcpu/1/raw"))), (100, 101)),
    "replace": (replace, lambda d: fetch(d.path("listeners/0/inet_port")), (b"7\n", b"8\n")),
    "option": (make_option, read_token, (b"", bytes(range(32)))),
    "ram": (write_ram, slice_of_ram, (b"0" * PAGE, b"1" * PAGE)),
    "sync": (sync, lambda d: fetch(d.path("num_cpus")), (b"4\n", b"5\n")),
}


UNSAVED = ("ram",)


def forget_caches():
    if os.geteuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
            f.write("3")


def walk(daemon):
    def fail(e):
        raise e

    forget_caches()
    return sorted(path + name for path, folders, files in os.walk(daemon.root, onerror=fail)
                  for name in folders + files)


def read_ram(daemon):
    with open(daemon.path("ram"), "rb", buffering=0) as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return f.read()


LOOKS = {
    "read text": lambda d: fetch(d.path("devices/3/backing/host_path")),
    "read bytes": lambda d: fetch(d.path("vcpu/2/raw")),
    "read field": lambda d: fetch(d.path("vcpu/3/msrs/star")),
    "read raw": lambda d: fetch(d.path("devices/0/mmio/raw")),
    "read ram": read_ram,
    "list": walk,
    "statvfs": lambda d: os.statvfs(d.root).f_blocks,
}


def repeat(daemon, name, operation, check):
    """OPERATION with each of its allocations failing; CHECK(whether it went well, what it
    gave)."""
    global cases
    control = daemon.control
    control.arm(0)
    operation()
    count = control.count
    # A daemon's threads differ in what they still have: after the last there may be more.
    for n in (*numbers(count, name), count + 1, count + 2):
        control.arm(n)
        given, well = None, True
        try:
            with alarm():
                given = operation()
        except OSError as e:
            well = False
            require(e.errno in TOLD, "%s, allocation %d: %s" % (name, n, e))
        finally:
            control.disarm()
        cases += control.failed
        try:
            require(well or control.failed, "it fails by itself")
            with alarm():
                check_patiently(control, check, well, given)
        except Failed as e:
            raise Failed("%s, allocation %d: %s" % (name, n, e)) from e


def check_patiently(control, check, well, given):
    """What failed may have been a thread that is beginning again just now."""
    while True:
        try:
            check(well, given)
            break
        except OSError as e:
            if not control.failed or e.errno not in TOLD:
                raise


def look(daemon, name, operation):
    with alarm():
        right = operation(daemon)

    def check(well, given):
        require(not well or given == right, "it gave something else")
        require(operation(daemon) == right, "it gives something else now")

    repeat(daemon, name, lambda: operation(daemon), check)


class Edit:
    """One edit again and again, with its two values in turn."""

    def __init__(self, daemon, what, saved):
        self.daemon, self.saved = daemon, saved
        self.do, self.show, self.values = EDITS[what]
        self.now = 1
        with alarm():
            self.do(daemon, 1)
            # An option that is not there can be removed only once.
            self.attempt()

    def attempt(self):
        tried = 0 if self.now else 1
        self.may_be = {self.now, *range(TORN, len(self.values))}
        try:
            self.do(self.daemon, tried)
        except NotClosed:
            self.may_be.add(tried)
            raise
        self.now = tried
        self.may_be = {tried}

    def check(self, _well, _given):
        seen = self.show(self.daemon)
        require(any(seen == self.values[k] for k in self.may_be),
                "the tree shows %.80r, not %.80r" % (seen, self.values[self.now]))
        self.now = self.values.index(seen)
        if self.saved:
            self.saved(self.daemon)


def compare_saved(daemon):
    """What is on disk is what the mount shows. What close could not save is saved a moment
    later, when the file is released."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            reader.compare_mount(reader.Snapshot(daemon.output), daemon.root)
            break
        except SystemExit as e:
            require(daemon.control.failed and time.monotonic() < end, str(e))
    allowed = {"snap", "mnt", os.path.basename(daemon.output)}
    require(set(os.listdir(daemon.folder)) <= allowed, "left: %s" % os.listdir(daemon.folder))


def operations(daemon, name, edits, looks, saved):
    names = ["%s%s" % (name, what) for what in (*edits, *looks)]
    if not any(wanted(n) for n in names):
        return
    start_well(daemon)
    with alarm():
        for what in edits:
            EDITS[what][0](daemon, 1)
    daemon.stop()
    live = daemon.control.live
    start_well(daemon)
    descriptors = daemon.descriptors()
    for what in looks:
        if wanted(name + what):
            look(daemon, name + what, LOOKS[what])
    for what in edits:
        if wanted(name + what):
            edit = Edit(daemon, what, saved if what not in UNSAVED else None)
            repeat(daemon, name + what, edit.attempt, edit.check)
    end = time.monotonic() + PATIENCE
    # The first edit opens the snapshot for writing; what leaked at each failure would be more.
    while daemon.descriptors() > descriptors + bool(edits):
        require(time.monotonic() < end, "%s: %d descriptors, then %d"
                % (name, descriptors, daemon.descriptors()))
        time.sleep(0.01)
    daemon.stop()
    # libfuse drops a release that it has no memory for.
    released = FILE * (1 + len(edits) + len(looks))
    require(daemon.control.live <= live + released, "%s: %d allocations leaked"
            % (name, daemon.control.live - live))


# ---- its end ------------------------------------------------------------------

# Longer than there is room for before RAM, which has to move.
HELD = "/srv/" + 4000 * "h"


def last_save(daemon, name):
    """Edits that are held are saved at the end, or kept beside the snapshot."""
    if not wanted(name + "end"):
        return
    count = end_with(daemon, name, 0)
    # A thread more or less is a few of them more or less: what is one's number now may
    # have been another's.
    for _ in range(2 if ALL else 1):
        for n in numbers(count, name):
            end_with(daemon, name, n)
    while daemon.control.failed:
        count += 1
        end_with(daemon, name, count)


def end_with(daemon, name, n):
    """The N-th allocation of the last save fails. Returns how many there were."""
    global cases
    start_well(daemon)
    before = reader.Snapshot(daemon.snapshot)
    with alarm():
        put(daemon.path("num_cpus"), b"9\n")
        put(daemon.path("devices/0/backing/path"), HELD.encode() + b"\n")
        with open(daemon.path("ram"), "r+b", buffering=0) as f:
            f.write(b"changed")
    daemon.control.arm(n)
    daemon.stop()
    cases += daemon.control.failed
    try:
        check_end(daemon, before)
    except Failed as e:
        raise Failed("%send, allocation %d: %s" % (name, n, e)) from e
    return daemon.control.count


def check_end(daemon, before):
    kept = daemon.snapshot + ".smfs-recovered"
    now = reader.Snapshot(daemon.snapshot)
    model = before.model
    if os.path.exists(kept):
        require(now.model == model and now.ram == before.ram, "the snapshot is another, and no new one")
        with open(kept, "rb") as f:
            new = reader.decode(f.read())[0]
    else:
        require(now.ram == b"changed" + before.ram[7:], "RAM is not what was written")
        new = now.model
    reader.set_leaf(model, "num_cpus", 9)
    reader.set_leaf(model, "devices/0/backing/path", HELD)
    require(new == model, "edits are lost")
    left = set(os.listdir(daemon.folder)) - {"snap", "mnt", os.path.basename(kept)}
    require(not left, "left: %s" % left)


# ---- a save that was interrupted ------------------------------------------------

def interrupt_save(daemon):
    """A new snapshot with a save that was killed when all was done but to take away its
    journal; what the snapshot was before."""
    daemon.new_snapshot()
    with open(daemon.snapshot, "rb") as f:
        before = f.read()
    lines = "open %s\nset devices/0/backing/path %s\n" % (daemon.snapshot, "p" * 4000)
    subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", "trace=renameat2",
                    "-e", "inject=renameat2:signal=KILL:when=2", DRIVER], check=False,
                   input=lines.encode(), stdout=subprocess.DEVNULL, timeout=PATIENCE)
    require(os.path.exists(daemon.snapshot + ".smfs-undo"), "no journal is left")
    with open(daemon.snapshot, "rb") as f:
        require(f.read() != before, "nothing was saved")
    return before


def is_undone(daemon, before):
    with open(daemon.snapshot, "rb") as f:
        require(f.read() == before, "the snapshot is not what it was")
    require(set(os.listdir(daemon.folder)) == {"snap", "mnt"}, "left: %s" % os.listdir(daemon.folder))


def recover_by_mount(daemon, n):
    text, status = daemon.start(n)
    if status:
        told_of_memory(text, "smfs: ")
    else:
        with alarm(), contextlib.suppress(OSError):
            first_look(daemon)
        daemon.stop()
    return status == 0


def recover_by_dump(daemon, n):
    done = run_smsnap(daemon.control, n, ["dump", daemon.snapshot])
    if done.returncode:
        told_of_memory(done.stderr.decode(), "smsnap: ")
    return done.returncode == 0


def recovery(daemon, name, recover):
    """RECOVER(daemon, which allocation fails): whether it went well."""
    global cases
    if not wanted(name):
        return
    before = interrupt_save(daemon)
    require(recover(daemon, 0), name + ": it fails by itself")
    is_undone(daemon, before)
    for n in numbers(daemon.control.count, name):
        interrupt_save(daemon)
        try:
            well = recover(daemon, n)
            # The threads of a mount do not always have as many.
            cases += daemon.control.failed
            # What failed is done again, from where it was.
            require(well or recover(daemon, 0), "it can't be undone any more")
            is_undone(daemon, before)
        except Failed as e:
            raise Failed("%s, allocation %d: %s" % (name, n, e)) from e


def diffs(control, folder, place):
    name = place + "diff: "
    daemon = Daemon(control, folder, (), diff=True)
    try:
        mount(daemon, name)
        operations(daemon, name, ("text", "ram"), ("read ram",), compare_saved)
        for linked in (False, True):
            daemon = Daemon(control, folder, ("-osave=sync,save_ram",), linked=linked, diff=True)
            last_save(daemon, name + "linked: " * linked)
    finally:
        daemon.kill()


def main():
    require_fuse()
    if not os.path.exists(LIBRARY):
        lacking("tests/fail-alloc.so, which is not built for sanitizers")
    if not shutil.which("strace"):
        lacking("strace")
    ways = [("replace: ", ("-oreplace",)), ("output: ", ("-ooutput=output",))]
    with WorkDir() as work, contextlib.ExitStack() as stack:
        control = Control(os.path.join(work, "control"))
        folder = os.path.join(work, "files")
        os.mkdir(folder)
        folders = {"": folder}
        # There saves are in place.
        if os.access("/dev/shm", os.W_OK):
            folders["tmpfs: "] = stack.enter_context(tempfile.TemporaryDirectory(prefix="smfs-test-", dir="/dev/shm"))
        daemon = None
        try:
            smsnap(control, folder)
            for place, folder in folders.items():
                for name in os.listdir(folder):
                    os.unlink(os.path.join(folder, name))
                folder = os.path.join(folder, "files")
                os.mkdir(folder)
                daemon = Daemon(control, folder, ())
                mount(daemon, place)
                # What is written to RAM is not saved: it comes last.
                saving = [what for what in EDITS if what not in ("sync", *UNSAVED)]
                operations(daemon, place, (*saving, *UNSAVED), LOOKS, compare_saved)
                for way, options in ways:
                    daemon = Daemon(control, folder, options)
                    operations(daemon, place + way, saving, (), compare_saved)
                daemon = Daemon(control, folder, ("-osave=sync,save_ram",))
                operations(daemon, place + "held ", ("ram", "sync"), (), None)
                last_save(daemon, place)
                daemon = Daemon(control, folder, ("-owriteback",))
                operations(daemon, place + "writeback ", ("ram",), ("read ram",), None)
                daemon = Daemon(control, folder, ("-osave=sync,save_ram",), linked=True)
                last_save(daemon, place + "linked: ")
                daemon = Daemon(control, folder, (), linked=True)
                operations(daemon, place + "linked: ", ("text",), (), compare_saved)
                diffs(control, folder, place)
                daemon = Daemon(control, folder, (), linked=True)
                recovery(daemon, place + "recovery by a mount", recover_by_mount)
                recovery(daemon, place + "recovery by a dump", recover_by_dump)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
        finally:
            if daemon:
                daemon.kill()
    print("ok: %d allocations failed" % cases)


if __name__ == "__main__":
    main()
