#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sixteen clients of every kind at once: nothing stale is read, nothing grows.

Each file has one writer, and its values are counted. How far the writer has come is in
memory that all share, so that a reader knows which values it may see: none from before
the last one that was written when it began, none that was not begun when it ended.

Rounds are mounts with different options, and a round has bursts. Between bursts nobody
has anything open: then the daemon's memory, descriptors and threads are looked at, which
must not grow any more once the first burst has been. At the end of each round the
snapshot must be what was written last. SMFS_LOAD_SECONDS sets the time; with
SMFS_LOAD_MEMORY=no memory is not looked at.
"""

import contextlib
import hashlib
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, require_fuse  # noqa: E402

ROUNDS = [[], ["-o", "save=sync"], ["-o", "ram=direct"], ["-o", "replace"], ["-o", "save_ram"]]
LONGEST_BURST = 60
WRITERS, READERS, RAM_CLIENTS = 4, 5, 2

# RAM: the first part is only read, then each RAM client has a part.
RAM_READ, RAM_OWN = 2 << 20, 1 << 20
RAM = RAM_READ + RAM_CLIENTS * RAM_OWN
BLOCK = 65536

# What memory may still grow by, beside RAM that is written: no more than once.
SLACK_MIB = 4


# ---- values -----------------------------------------------------------------

def number(path, i):
    """The i-th value of a number's file: its bits repeat, so a part is not a value."""
    width = reader.width_of(path)
    return int.from_bytes(bytes([i % 200 + 1]) * width, "little")


def text(i):
    body = "%d:%s" % (i, chr(ord("a") + i % 26) * (i * 37 % 900))
    return body + ":" + hashlib.md5(body.encode()).hexdigest()


def blob(size, i):
    body = b"%08d" % i + bytes([i % 256]) * (size - 8 - 16)
    return body + hashlib.md5(body).digest()


# Who writes which files.
WRITTEN = ["num_cpus", "clock_ref", "devices/0/mmio/driver_features", "devices/0/mmio/queues/0/desc_table",
           "devices/1/mmio/queues/2/used_ring", "devices/3/backing/dax_gpa", "listeners/0/cid",
           "listeners/1/vm_port", "devices/0/backing/path", "devices/2/backing/mount",
           "devices/3/backing/host_path", "devices/0/kind", "devices/1/kind", "listeners/0/inet_port",
           "listeners/2/inet_port", "vcpu/0/raw", "vcpu/1/raw", "intc/raw"]
EDITED = ["devices/3/backing/tag"]
KILLED = ["devices/2/backing/path", "devices/3/backing/mount", "clock_host_ticks", "vcpu/2/raw"]
INTERRUPTED = ["devices/2/backing/size", "vcpu/3/raw"]
ALL = WRITTEN + EDITED + KILLED + INTERRUPTED

TEXTS = {p for p in ALL if reader.name_of(p) in ("path", "mount", "host_path", "tag")}
FIXED = {"vcpu/0/raw": 512, "vcpu/1/raw": 3000, "vcpu/2/raw": 100, "vcpu/3/raw": 9000, "intc/raw": 2048}
# Bytes both ways: as cp and cat write them, and in place.
IN_PLACE = {"vcpu/1/raw", "vcpu/2/raw", "vcpu/3/raw"}
OPTIONAL = {"listeners/0/inet_port", "listeners/2/inet_port"}


def value_of(path, i):
    if path in FIXED:
        return blob(FIXED[path], i)
    if path in TEXTS:
        return text(i)
    if reader.name_of(path) == "kind":
        return reader.KINDS[i % 4]
    if path in OPTIONAL and i % 3 == 0:
        return None
    return number(path, i) % 65536 if path in OPTIONAL else number(path, i)


def store(root, path, value):
    full = os.path.join(root, path)
    data = reader.shown(path, value)
    flags = os.O_WRONLY | (0 if path in IN_PLACE else os.O_TRUNC)
    fd = os.open(full, flags)
    try:
        # One write: what a reader sees is all of it or nothing.
        if os.write(fd, data) != len(data):
            raise OSError("short write to " + path)
    finally:
        os.close(fd)


def fetch(root, path):
    """The value in a file; None where it says none."""
    with open(os.path.join(root, path), "rb", buffering=0) as f:
        data = os.pread(f.fileno(), 1 << 17, 0)
    if path in FIXED:
        return data
    if path in OPTIONAL and data == b"none\n":
        return None
    if not data.endswith(b"\n"):
        raise ValueError("%s: no newline in %r" % (path, data))
    data = data[:-1].decode()
    return data if path in TEXTS or reader.name_of(path) == "kind" else int(data, 0)


class Progress:
    """How far the writers are, in memory that all processes share."""

    def __init__(self):
        # By file: the last value that was begun, and the last that was written.
        self.begun = multiprocessing.RawArray("q", [1] * len(ALL))
        self.done = multiprocessing.RawArray("q", [1] * len(ALL))

    def begin(self, path):
        k = ALL.index(path)
        self.begun[k] += 1
        return self.begun[k]

    def finish(self, path, i):
        self.done[ALL.index(path)] = i

    def last(self, path):
        return value_of(path, self.done[ALL.index(path)])

    def check(self, root, path):
        k = ALL.index(path)
        first = self.done[k]
        value = fetch(root, path)
        if not any(value_of(path, i) == value for i in range(first, self.begun[k] + 1)):
            raise ValueError("%s: %.300r is not one of the values %d to %d"
                             % (path, value, first, self.begun[k]))


# ---- clients: each works until END and returns how much it did -----------------

def until(end):
    """To work until END, and on a machine that is slow for a few rounds all the same."""
    rounds = 0
    while rounds < 3 or time.monotonic() < end:
        yield
        rounds += 1


def write_next(root, progress, path):
    i = progress.begin(path)
    store(root, path, value_of(path, i))
    progress.finish(path, i)
    if fetch(root, path) != value_of(path, i):
        raise ValueError("%s: the writer does not read what it wrote" % path)


def writer(root, progress, end, rng, who, _ram):
    own = WRITTEN[who::WRITERS]
    count = 0
    for count, _ in enumerate(until(end), 1):
        write_next(root, progress, own[count % len(own)])
    return count


def field_reader(root, progress, end, rng, who, ram):
    count = 0
    for count, _ in enumerate(until(end), 1):
        if count % 8 == who:
            at = rng.randrange(RAM_READ // BLOCK) * BLOCK
            with open(os.path.join(root, "ram"), "rb", buffering=0) as f:
                if os.pread(f.fileno(), BLOCK, at) != ram[at:at + BLOCK]:
                    raise ValueError("/ram differs at %d" % at)
        else:
            progress.check(root, rng.choice(ALL))
    return count


def check_raw(root):
    """The record as encoded, and a size from the same daemon: each is of some moment."""
    path = os.path.join(root, "devices/0/backing/raw")
    with open(path, "rb", buffering=0) as f:
        if os.fstat(f.fileno()).st_size < 13:
            raise ValueError("size of " + path)
        record = reader.read_backing(reader.Cursor(os.pread(f.fileno(), 1 << 17, 0)))
    body, _, digest = record["path"].rpartition(":")
    if record["type"] != "disk" or hashlib.md5(body.encode()).hexdigest() != digest:
        raise ValueError("%s: nobody wrote %.300r" % (path, record))


def give_up(error):
    raise error


def list_all(root):
    """As ls -lR; what comes and goes may be gone by the time that it is looked at."""
    for folder, _, names in os.walk(root, onerror=give_up):
        for name in names:
            path = os.path.join(folder, name)
            try:
                os.lstat(path)
            except FileNotFoundError:
                if not name.startswith("sed"):
                    raise


def lister(root, progress, end, rng, who, _ram):
    """Lists, looks, asks for what is refused, and syncs."""
    count = 0
    for count, _ in enumerate(until(end), 1):
        for name in os.listdir(os.path.join(root, "listeners/0")):
            if name not in ("cid", "peer_port", "vm_port", "family", "socktype", "inet_port"):
                raise ValueError("listeners/0/" + name)
        check_raw(root)
        for refused in (lambda: os.mkdir(root + "/new"), lambda: os.unlink(root + "/num_cpus"),
                        lambda: os.rename(root + "/vcpu", root + "/other")):
            try:
                refused()
            except PermissionError:
                continue
            raise ValueError("the tree was changed")
        os.truncate(root + "/tsi_token", 32)
        if count % 16 == 0:
            list_all(root)
            folder = os.open(root, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    return count


def editor(root, progress, end, rng, who, _ram):
    """As sed -i: a temporary beside it that is renamed over it."""
    count = 0
    for count, _ in enumerate(until(end), 1):
        path = EDITED[count % len(EDITED)]
        i = progress.begin(path)
        subprocess.run(["sed", "-i", "s/.*/%s/" % value_of(path, i), os.path.join(root, path)], check=True)
        progress.finish(path, i)
        if fetch(root, path) != value_of(path, i):
            raise ValueError("%s: not what sed made of it" % path)
    return count


def victim(root, progress, end, rng, who, _ram):
    """Writes in processes that are killed on the way."""
    count = 0
    for count, _ in enumerate(until(end), 1):
        path = KILLED[count % len(KILLED)]
        i = progress.begin(path)
        child = os.fork()
        if child == 0:
            store(root, path, value_of(path, i))
            os._exit(0)
        time.sleep(rng.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        value = fetch(root, path)
        if value == value_of(path, i):
            progress.finish(path, i)
        elif value != progress.last(path):
            raise ValueError("%s: neither old nor new: %.300r" % (path, value))
    return count


def interrupted(root, progress, end, rng, who, _ram):
    """Writes while signals come in all the time."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
    count = 0
    for count, _ in enumerate(until(end), 1):
        write_next(root, progress, INTERRUPTED[count % len(INTERRUPTED)])
        progress.check(root, rng.choice(ALL))
    signal.setitimer(signal.ITIMER_REAL, 0)
    return count


def ram_client(root, progress, end, rng, who, ram):
    """Has a part of RAM for itself, in RAM, and keeps in it what it wrote."""
    start = RAM_READ + who * RAM_OWN
    count = 0
    with open(os.path.join(root, "ram"), "r+b", buffering=0) as f:
        for count, _ in enumerate(until(end), 1):
            at = start + rng.randrange(RAM_OWN)
            n = min(rng.randrange(1, 20000), start + RAM_OWN - at)
            data = rng.randbytes(n)
            if os.pwrite(f.fileno(), data, at) != n:
                raise OSError("short write to ram")
            ram[at:at + n] = data
            at = start + rng.randrange(RAM_OWN - BLOCK)
            if os.pread(f.fileno(), BLOCK, at) != ram[at:at + BLOCK]:
                raise ValueError("/ram differs at %d" % at)
            if count % 64 == 0:
                with mmap.mmap(f.fileno(), RAM, mmap.MAP_PRIVATE, mmap.PROT_READ) as view:
                    if view[start:start + RAM_OWN] != ram[start:start + RAM_OWN]:
                        raise ValueError("a mapping of /ram differs")
                os.fsync(f.fileno())
    return count


CLIENTS = ([(writer, k) for k in range(WRITERS)] + [(field_reader, k) for k in range(READERS)]
           + [(ram_client, k) for k in range(RAM_CLIENTS)]
           + [(lister, 0), (lister, 1), (editor, 0), (victim, 0), (interrupted, 0)])


def guarded(task, who, seed, result, root, progress, end, ram):
    try:
        result.put((task.__name__, task(root, progress, end, random.Random(seed), who, ram), None))
    except BaseException:
        result.put((task.__name__, 0, traceback.format_exc()))


# ---- rounds -----------------------------------------------------------------

def descriptors(pid):
    folder = "/proc/%d/fd" % pid
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            yield os.readlink(os.path.join(folder, name))


class Usage:
    """What a daemon has: MiB of memory, threads, and descriptors but those that each thread
    has of /dev/fuse."""

    def __init__(self, pid):
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            status = dict(line.split(":", 1) for line in f)
        self.memory = int(status["VmRSS"].split()[0]) / 1024
        self.threads = int(status["Threads"])
        self.files = sum(target != "/dev/fuse" for target in descriptors(pid))

    def __str__(self):
        return "%.1f MiB, %d descriptors, %d threads" % (self.memory, self.files, self.threads)


def burst(root, progress, ram, seconds, seed):
    result = multiprocessing.Queue()
    end = time.monotonic() + seconds
    children = [multiprocessing.Process(target=guarded,
                                        args=(task, who, seed * 100 + k, result, root, progress, end, ram))
                for k, (task, who) in enumerate(CLIENTS)]
    for child in children:
        child.start()
    reports = [result.get(timeout=seconds + 300) for _ in children]
    for child in children:
        child.join()
    for name, _, failure in reports:
        if failure:
            print("%s: %s" % (name, failure), file=sys.stderr)
    if any(failure for _, _, failure in reports):
        sys.exit("FAIL: see above")
    return {name: sum(n for task, n, _ in reports if task == name) for name, _, _ in reports}


def settled_usage(pid, first):
    """A file that was closed is released a moment later."""
    end = time.monotonic() + 10
    while True:
        now = Usage(pid)
        if not first or now.files <= first.files:
            return now
        if time.monotonic() > end:
            sys.exit("FAIL: descriptors: %s, then %s" % (first, now))
        time.sleep(0.1)


def check_growth(first, now):
    allowed = first.memory + SLACK_MIB + (RAM - RAM_READ) / (1 << 20)
    if os.environ.get("SMFS_LOAD_MEMORY") != "no" and now.memory > allowed:
        sys.exit("FAIL: memory: %s, then %s" % (first, now))


def run_round(snapshot, options, progress, ram, seconds, seed):
    bursts = max(2, int(seconds // LONGEST_BURST) + 1)
    done = {}
    shared = multiprocessing.RawArray("c", RAM)
    shared.raw = ram
    with Mount(snapshot, *options) as mount:
        first = None
        for k in range(bursts):
            counts = burst(mount.root, progress, shared, seconds / bursts, seed + k)
            for name, n in counts.items():
                done[name] = done.get(name, 0) + n
            now = settled_usage(mount.process.pid, first)
            if first:
                check_growth(first, now)
            first = first or now
        for path in ALL:
            if fetch(mount.root, path) != progress.last(path):
                sys.exit("FAIL: %s is not what was written last" % path)
        with open(mount.path("ram"), "rb") as f:
            if f.read() != shared.raw:
                sys.exit("FAIL: /ram is not what was written last")
    print("%-14s %s; %s" % (" ".join(options[1:]) or "-", now,
                            ", ".join("%s %d" % (name, n) for name, n in sorted(done.items()))), flush=True)
    return shared.raw if "save_ram" in options else ram


def make(snapshot, ram):
    model = reader.sample_model()
    model["mem_size"] = RAM
    for path in ALL:
        reader.set_leaf(model, path, value_of(path, 1))
    # Room for the texts to grow without moving RAM.
    reader.write_file(snapshot, model, reader.new_layout(model, ram_offset=reader.RAM_STEP), ram)
    return model


def main():
    require_fuse()
    seconds = float(os.environ.get("SMFS_LOAD_SECONDS", "8"))
    rounds = ROUNDS if seconds >= 10 else ROUNDS[:2]
    with WorkDir() as work:
        snapshot = os.path.join(work, "snap")
        ram = reader.exact_bytes(random.Random(1), RAM)
        model = make(snapshot, ram)
        progress = Progress()
        for k, options in enumerate(rounds):
            ram = run_round(snapshot, options, progress, ram, seconds / len(rounds), 1000 * k)
            for path in ALL:
                reader.set_leaf(model, path, progress.last(path))
            now = reader.Snapshot(snapshot)
            if now.model != model or now.ram != ram:
                sys.exit("FAIL: the snapshot is not what was written last")
    print("ok: %d mounts, %.0f s" % (len(rounds), seconds))


if __name__ == "__main__":
    main()
