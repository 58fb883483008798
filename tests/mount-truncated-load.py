#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The snapshot is cut shorter and shorter while several processes read, write and map
/ram: what they get is right or an error, nothing that was lost turns to other bytes, and
the daemon lives. So are a diff, all of whose pages are listed, and the base of another.

Each byte of RAM has its own value below 128, never 0, and is only ever written as that
value plus 128. With SMFS_TEST_ALL=1 it takes minutes.
"""

import contextlib
import errno
import mmap
import multiprocessing
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
HERE = os.path.dirname(os.path.abspath(__file__))
import filesystems  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, require_fuse  # noqa: E402

ALL = os.environ.get("SMFS_TEST_ALL") == "1"
ROUNDS, CUTS = (10, 100) if ALL else (1, 15)
MODES = ("", "ram=direct", "writeback")
PAGE = mmap.PAGESIZE
MEM = (8 << 20) + 1234
BLOCK = 64 << 10
# Blocks begin and end inside of pages: those belong to two writers.
SHIFT = 100
LOW = bytes(i & 127 for i in range(256))
RAM = bytes(b or 1 for b in reader.exact_bytes(random.Random(3), MEM).translate(LOW))
WRITTEN = bytes(b | 128 for b in RAM)
READERS, WRITERS, MAPPERS = 4, 2, 2
# Half of the blocks nobody writes, or there would soon be nothing to lose.
OWNERS = 2 * (WRITERS + MAPPERS)
FIELDS = {"num_cpus": b"4\n", "devices/0/backing/path": b"/var/lib/sm/root.img\n"}


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def is_ram(data, at, what):
    """What is seen at AT was there once."""
    if data.translate(LOW) != RAM[at:at + len(data)]:
        bad = next(i for i, b in enumerate(data) if b & 127 != RAM[at + i])
        raise AssertionError("%s: byte %d is %d, not %d; %d of %d bytes from %d on are zeros" %
                             (what, at + bad, data[bad], RAM[at + bad], data.count(0), len(data), at))


class Shared:
    """What the processes of a round know of each other."""

    def __init__(self, path, mode):
        self.path = path
        self.mode = mode
        self.stop = multiprocessing.RawValue("b", 0)
        self.cut = multiprocessing.RawValue("q", MEM)  # the next end of RAM, or the last one
        self.done = multiprocessing.RawArray("q", READERS + WRITERS + MAPPERS)
        self.result = multiprocessing.Queue()


class Worker:
    """A process that goes on until it is stopped."""

    def __init__(self, shared, index):
        self.shared = shared
        self.index = index
        self.rng = random.Random(index)
        self.right = self.refused = 0
        self.fd = os.open(shared.path, os.O_RDWR)

    def run(self):
        while not self.shared.stop.value:
            try:
                self.act()
                self.right += 1
            except OSError as e:
                if e.errno != errno.EIO:
                    raise
                self.refused += 1
            self.shared.done[self.index] += 1

    def near(self):
        """Some byte near the end, half of the time."""
        if self.rng.random() < 0.5:
            return self.rng.randrange(MEM)
        at = self.shared.cut.value + self.rng.randrange(-2 * PAGE, 2 * PAGE)
        return min(max(at, 0), MEM - 1)


class Reader(Worker):
    def act(self):
        n = self.rng.choice((1, 100, PAGE, 5000, 16 * PAGE, 1 << 20))
        last = self.near()
        if self.rng.random() < 0.5:
            last = min(last | PAGE - 1, MEM - 1)
        at = max(last + 1 - n, 0)
        if self.rng.random() < 0.2:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        data = os.pread(self.fd, n, at)
        check(data, "RAM ends at %d" % at)
        is_ram(data, at, "read")


class Spanner(Worker):
    """Much at once, to a little behind the end."""

    def act(self):
        end = min(self.shared.cut.value + self.rng.randrange(PAGE, 3 * PAGE), MEM)
        at = max(end - (1 << 20), 0)
        is_ram(os.pread(self.fd, end - at, at), at, "read to behind the end")


class Owner(Worker):
    """Some of the blocks are its own."""

    def __init__(self, shared, index):
        super().__init__(shared, index)
        self.rest = index - READERS

    def pick(self):
        """A piece of a block that is its own, and the number of that."""
        block = self.near() // BLOCK // OWNERS * OWNERS + self.rest
        start = block * BLOCK + SHIFT
        if start + BLOCK > MEM:
            block, start = self.rest, self.rest * BLOCK + SHIFT
        n = self.rng.choice((1, 50, PAGE, 3 * PAGE))
        at = start + self.rng.randrange(BLOCK - n)
        if self.rng.random() < 0.5:
            at = max(at // PAGE * PAGE, start)
        return at, n, block


class Writer(Owner):
    """Knows what is in its blocks, but for those of which a write failed."""

    def __init__(self, shared, index):
        super().__init__(shared, index)
        self.image = bytearray(RAM)
        self.unsure = set()

    def act(self):
        at, n, block = self.pick()
        # Kept back by the kernel, it may fail later.
        if self.shared.mode == "writeback":
            self.unsure.add(block)
        if self.rng.random() < 0.3:
            self.write(at, n, block)
        at, n, block = self.pick()
        data = os.pread(self.fd, n, at)
        is_ram(data, at, "read by the writer")
        if block not in self.unsure:
            check(data == self.image[at:at + len(data)], "%d bytes at %d are not the last" % (n, at))


    def write(self, at, n, block):
        done = 0
        try:
            # It may go in pieces, and the first be written before the next is refused.
            done = os.pwrite(self.fd, WRITTEN[at:at + n], at)
            self.image[at:at + done] = WRITTEN[at:at + done]
        finally:
            if done < n:
                self.unsure.add(block)


class Mapper(Owner):
    """A child at a time does it: the kernel ends it where a page is not to be had."""

    def act(self):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(self.rng.randrange(1, 10)):
                    self.map_some()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        _, status = os.waitpid(child, 0)
        # The next child is to do other things than this one.
        self.rng.random()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGBUS:
            raise OSError(errno.EIO, "SIGBUS")
        check(status == 0, "a process that maps ended with %d" % status)

    def map_some(self):
        at, n, _ = self.pick()
        start = at // PAGE * PAGE
        size = min(self.rng.choice((4, 32)) * PAGE, MEM - start)
        # What may not be cached can't be mapped shared.
        share = self.shared.mode != "ram=direct"
        with mmap.mmap(self.fd, size, mmap.MAP_SHARED if share else mmap.MAP_PRIVATE,
                       mmap.PROT_READ | mmap.PROT_WRITE, offset=start) as m:
            seen = self.rng.randrange(size)
            is_ram(m[seen:seen + n], start + seen, "mapped")
            if share:
                m[at - start:at - start + n] = WRITTEN[at:at + n]
                try:
                    m.flush()
                except OSError as e:
                    check(e.errno == errno.EIO, "msync: %s" % e)


EVERY_KIND = [Reader] * READERS + [Writer] * WRITERS + [Mapper] * MAPPERS
LOADS = {mode: [(EVERY_KIND, CUTS)] for mode in MODES}
# What is cached is not read again.
LOADS["ram=direct"].append(([Spanner] * READERS, 100))


def work(kind, shared, index):
    try:
        worker = kind(shared, index)
        worker.run()
        shared.result.put((kind.__name__, worker.right, worker.refused, None))
    except BaseException:
        shared.result.put((kind.__name__, 0, 0, traceback.format_exc()))


def wait_for_readers(shared):
    """Until each reader read some more. One that ended did so for an error."""
    before = shared.done[:READERS]
    end = time.monotonic() + 60
    while any(now == then for now, then in zip(shared.done, before)):
        check(time.monotonic() < end, "a reader is stuck: %s, %s" % (before, list(shared.done)))
        with contextlib.suppress(queue.Empty):
            kind, _, _, what = shared.result.get(timeout=0.002)
            raise AssertionError("%s ended: %s" % (kind, what))


def cut_plain(path, end):
    """Cut the file at PATH so that RAM ends at END."""
    os.truncate(path, reader.RAM_STEP + end)


def cut_list(path, end):
    """The same of a list of all whole pages."""
    with open(path, "rb") as f:
        head = f.read(100000)
    _, start = reader.read_head(head)
    _, size = reader.decode(head, start)
    whole = min(end // PAGE, MEM // PAGE)
    os.truncate(path, min(os.stat(path).st_size, start + size + 4 + whole * (PAGE + 4) + 4 + end % PAGE))


def cut(shared, subject, cuts, rng):
    """Shorter, and shorter; mostly inside of pages."""
    for i in range(cuts, 0, -1):
        end = min(MEM - 1, (MEM * i // cuts) - rng.randrange(1, MEM // cuts))
        if rng.random() < 0.1:
            end = end // PAGE * PAGE
        shared.cut.value = end
        wait_for_readers(shared)
        subject.cut(end)
        wait_for_readers(shared)


def serves_fields(mount):
    for name, value in FIELDS.items():
        with open(mount.path(name), "rb") as f:
            check(f.read() == value, name)


def writes_what_it_can(mount, at, mode):
    """A page of which some was lost is written as a whole or not at all."""
    with open(mount.path("ram"), "r+b", buffering=0) as f:
        # Kept back, it fails in the end, if the kernel does not have to read the page first.
        if mode != "writeback":
            try:
                os.pwrite(f.fileno(), b"x", at)
                check(False, "a part of a page that was cut is written")
            except OSError as e:
                check(e.errno == errno.EIO, str(e))
        check(os.pwrite(f.fileno(), WRITTEN[at:at + PAGE], at) == PAGE, "a short write")
        os.fsync(f.fileno())
        check(os.pread(f.fileno(), PAGE, at) == WRITTEN[at:at + PAGE], "a page that is written")


def is_told_of(mount, subject, folder, mode):
    """All of it, in order, as programs do: from the page that it was cut in it is an error."""
    end = MEM // 2 + 123
    subject.cut(end)
    with open(mount.path("ram"), "rb", buffering=0) as f:
        for at in range(0, MEM, PAGE):
            try:
                data = os.pread(f.fileno(), PAGE, at)
            except OSError as e:
                check(e.errno == errno.EIO and at + PAGE > end and not subject.has(at), "%s at %d" % (e, at))
                continue
            check(at + PAGE <= end or subject.has(at), "what was lost is read at %d" % at)
            is_ram(data, at, "read in order")
        check(f.seek(end + PAGE, os.SEEK_DATA) == end + PAGE, "what was lost is a hole")
    writes_what_it_can(mount, end // PAGE * PAGE, mode)
    copy = os.path.join(folder, "copy")
    p = subprocess.run(["cp", "--sparse=auto", mount.path("ram"), copy], check=False,
                       stderr=subprocess.PIPE, text=True)
    check(p.returncode == 1 and os.strerror(errno.EIO) in p.stderr, "cp succeeds: " + p.stderr)
    serves_fields(mount)


def load(mount, subject, mode, kinds, cuts, rng):
    shared = Shared(mount.path("ram"), mode)
    children = [multiprocessing.Process(target=work, args=(kind, shared, index))
                for index, kind in enumerate(kinds)]
    for child in children:
        child.start()
    try:
        cut(shared, subject, cuts, rng)
        serves_fields(mount)
        check(mount.process.poll() is None, "the daemon died")
    finally:
        shared.stop.value = 1
        for child in children:
            child.join(60)
            child.kill()
    reports = [shared.result.get(timeout=60) for _ in children]
    for kind, right, refused, what in reports:
        check(what is None, "%s: %s" % (kind, what))
        check(kind != "Reader" or right > 0 and refused > 0,
              "%d are read, %d refused" % (right, refused))
    os.truncate(subject.path, 0)
    for name, value in FIELDS.items():
        try:
            with open(mount.path(name), "rb") as f:
                check(f.read() == value, name)
        except OSError as e:
            check(e.errno == errno.EIO, "%s: %s" % (name, e))
    return sum(r[1] for r in reports), sum(r[2] for r in reports)


class Subject:
    """What is cut short."""

    def __init__(self, folder, what):
        self.what, self.path = what, os.path.join(folder, "snap")
        self.cut_path = self.path
        model = reader.sample_model()
        model["mem_size"] = MEM
        if what == "snapshot":
            self.write(self.path, model, RAM)
            return
        base = os.path.join(folder, "base")
        # What the list has, the base has not: its bytes can't be taken for it.
        listed = range(MEM // PAGE) if what == "diff" else range(0, MEM // PAGE, 5)
        ram = bytearray(RAM)
        for i in listed:
            ram[i * PAGE:(i + 1) * PAGE] = bytes(PAGE)
        self.write(base, model, bytes(ram))
        reader.write_file(self.path, model, reader.new_layout(model, "kvm-diff", base=base),
                          pages=[(i, RAM[i * PAGE:(i + 1) * PAGE]) for i in listed])
        if what == "base":
            self.cut_path = base

    @staticmethod
    def write(path, model, ram):
        reader.write_file(path, model, reader.new_layout(model, ram_offset=reader.RAM_STEP), ram)

    def cut(self, end):
        (cut_list if self.what == "diff" else cut_plain)(self.cut_path, end)

    def has(self, at):
        """Whether RAM at AT is in another file than the one that is cut."""
        if self.what == "diff":
            return at >= MEM // PAGE * PAGE
        return self.what == "base" and at // PAGE % 5 == 0 and at < MEM // PAGE * PAGE


@contextlib.contextmanager
def mounted(folder, mode, what):
    subject = Subject(folder, what)
    with open(os.path.join(folder, "said"), "w", encoding="ascii") as said:
        with Mount(subject.path, "-o", mode or "rw", stderr=said) as m:
            yield m, subject
    if what == "base":
        with open(os.path.join(folder, "said"), encoding="utf-8") as said:
            told = [line for line in said if "has changed since the mount" in line]
            check(len(told) == 1, "that the base was cut is told %d times" % len(told))


def is_lost_at_once(mount, subject, mode):
    """A base that is not what it was is not to be had at all; what is not its is."""
    subject.cut(MEM - PAGE)
    with open(mount.path("ram"), "rb", buffering=0) as f:
        for at in range(0, MEM, PAGE):
            try:
                data = os.pread(f.fileno(), PAGE, at)
            except OSError as e:
                check(e.errno == errno.EIO and not subject.has(at), "%s at %d" % (e, at))
                continue
            check(subject.has(at), "what was lost is read at %d" % at)
            is_ram(data, at, "read in order")
        check(f.seek(2 * PAGE, os.SEEK_DATA) == 2 * PAGE, "what was lost is a hole")
    writes_what_it_can(mount, 2 * PAGE, mode)
    serves_fields(mount)


def run(root, modes, name, what="snapshot"):
    folder = tempfile.mkdtemp(dir=root, prefix="smfs-test-")
    try:
        for mode in modes:
            right = refused = 0
            with mounted(folder, mode, what) as (mount, subject):
                if what == "base":
                    is_lost_at_once(mount, subject, mode)
                else:
                    is_told_of(mount, subject, folder, mode)
            for seed in range(ROUNDS):
                for kinds, cuts in LOADS[mode]:
                    with mounted(folder, mode, what) as (mount, subject):
                        counts = load(mount, subject, mode, kinds, cuts, random.Random(seed))
                    right += counts[0]
                    refused += counts[1]
            print("%s, %s, %s: %d right, %d refused, %d cuts" %
                  (name, what, mode or "cached", right, refused,
                   ROUNDS * sum(cuts for _, cuts in LOADS[mode])), flush=True)
    except AssertionError as e:
        sys.exit("FAIL: %s, %s, %s: %s" % (name, what, mode or "cached", e))
    finally:
        shutil.rmtree(folder)


def main():
    require_fuse()
    run(None, MODES, "here")
    for what in ("diff", "base"):
        run(None, MODES if ALL else ("ram=direct",), "here", what)
    for kind in filesystems.KINDS:
        try:
            with filesystems.mounted(kind) as root:
                run(root, MODES if ALL else ("ram=direct",), kind)
                for what in ("diff", "base") if ALL else ("diff",):
                    run(root, ("ram=direct",), kind, what)
        except filesystems.Missing as e:
            print("not on %s: %s" % (kind, e))


if __name__ == "__main__":
    main()
