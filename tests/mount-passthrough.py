#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""/ram passed through to a clone of the region: the kernel serves it, and what is
promised of it holds all the same; and where that can't be had, it is served as ever.

SMFS_PASSTHROUGH is an smfs that was built with libfuse 3.17 or later.
"""

import contextlib
import errno
import hashlib
import mmap
import os
import random
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.environ.get("SMFS_PASSTHROUGH")
if PROGRAM:
    os.environ["SMFS"] = PROGRAM
import filesystems  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, lacking, require_fuse  # noqa: E402

MEM = 8 << 20
PASSED = "/ram is passed through to a clone of RAM"
checks = 0


def check(condition, what):
    global checks
    checks += 1
    if not condition:
        sys.exit("FAIL: " + what)


def refused(code, function, *args):
    try:
        function(*args)
    except OSError as e:
        check(e.errno == code, "%s, not %s" % (errno.errorcode[e.errno], errno.errorcode[code]))
        return
    check(False, "%s is not refused" % function)


class Subject:
    """A snapshot in a folder of its own, and what it is to hold."""

    layout = "kvm"

    def __init__(self, root):
        self.folder = tempfile.mkdtemp(dir=root)
        self.path = os.path.join(self.folder, "snap")
        rng = random.Random(7)
        self.model = reader.sample_model()
        self.model["mem_size"] = MEM
        ram = bytearray(reader.exact_bytes(rng, MEM))
        ram[2 << 20:4 << 20] = bytes(2 << 20)
        self.ram = ram
        self.write(root)

    def write(self, _):
        self.write_plain(self.path)

    def write_plain(self, path):
        reader.write_file(path, self.model, reader.new_layout(self.model, ram_offset=reader.RAM_STEP), self.ram)
        # The 2 MiB of zeros are a hole.
        subprocess.run(["fallocate", "--dig-holes", path], check=True)

    def hash(self):
        with open(self.path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    @contextlib.contextmanager
    def mounted(self, *options, way=PASSED):
        """The mount's path of /ram, opened; in the end the daemon has told its WAY."""
        with tempfile.TemporaryFile("w+") as said:
            with Mount(self.path, "-d", *options, stderr=said) as m:
                self.mount = m
                with open(m.path("ram"), "rb") as f:
                    inode = os.fstat(f.fileno()).st_ino
                yield m.path("ram")
            said.seek(0)
            self.said = said.read()
        check(way in self.said, "the daemon does not say: " + way)
        if way == PASSED:
            served = re.findall(r"opcode: (?:READ|WRITE) \(\d+\), nodeid: %d" % inode, self.said)
            check(not served, "%d requests were made of RAM" % len(served))
        check(os.listdir(self.folder) in (["snap"], ["link", "snap"], ["snap", "link"]),
              "left beside: %s" % os.listdir(self.folder))

    def is_saved(self, what):
        snap = reader.Snapshot(self.path)
        check(snap.model == self.model, what + ": the container")
        check(snap.ram == bytes(self.ram), what + ": RAM")


class Diff(Subject):
    """Its base is on the same file system."""

    def write(self, root):
        self.base = os.path.join(tempfile.mkdtemp(dir=root), "base")
        self.write_plain(self.base)
        pages = [(i, (b"page %5d.." % i) * 315) for i in (1500, 0, 1, 500, 1500, 2047)]
        pages = [(i, page.ljust(reader.PAGE, b"\0")) for i, page in pages]
        for i, page in pages:
            self.ram[i * reader.PAGE:(i + 1) * reader.PAGE] = page
        layout = reader.new_layout(self.model, "kvm-diff", base=self.base, changed_pages=len(pages))
        reader.write_file(self.path, self.model, layout, pages=pages)


def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.readall()


def write(path, data, at):
    fd = os.open(path, os.O_RDWR)
    try:
        check(os.pwrite(fd, data, at) == len(data), "a short write")
    finally:
        os.close(fd)


def is_private(root, make):
    s = make(root)
    before, old = s.hash(), os.stat(s.path)
    with s.mounted() as ram:
        check(read(ram) == bytes(s.ram), "RAM as it is in the snapshot")
        st = os.stat(ram)
        check(st.st_size == MEM, "its size")
        check(st.st_blocks * 512 < MEM - (1 << 20), "its hole, of %d blocks" % st.st_blocks)
        check(st.st_mtime_ns == old.st_mtime_ns, "its time")
        with open(ram, "rb") as f:
            check(os.lseek(f.fileno(), 0, os.SEEK_HOLE) == 2 << 20, "where the hole begins")
            check(os.lseek(f.fileno(), 2 << 20, os.SEEK_DATA) == 4 << 20, "where it ends")
        now = bytearray(s.ram)
        for at, data in ((100, b"written"), (3 << 20, b"in a hole"), (MEM - 3, b"end")):
            write(ram, data, at)
            now[at:at + len(data)] = data
        with open(ram, "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            m[12345:12350] = b"store"
            now[12345:12350] = b"store"
            check(read(ram) == bytes(now), "RAM after writes and stores")
        check(os.stat(ram).st_mtime_ns > old.st_mtime_ns, "the time of the writes")
        written = os.stat(ram).st_mtime_ns
        os.utime(ram, ns=(5, 5 * 10**9))
        check(os.stat(ram).st_mtime_ns == written, "a time that is given is ignored")
        # As long as it is: at once where smfs is asked, else when it is closed.
        refused(errno.EPERM, os.truncate, ram, MEM + 1)
        refused(errno.EPERM, os.truncate, ram, 0)
        refused(errno.EPERM, os.open, ram, os.O_WRONLY | os.O_TRUNC)
        fd = os.open(ram, os.O_WRONLY)
        os.pwrite(fd, b"past the end", MEM)
        refused(errno.EPERM, os.fsync, fd)
        os.pwrite(fd, b"past the end", MEM - 4)
        now[MEM - 4:] = b"past"
        refused(errno.EPERM, os.close, fd)
        check(os.stat(ram).st_size == MEM, "its size after that")
        check(read(ram) == bytes(now), "RAM after that")
        check(s.hash() == before, "writes to RAM reached the snapshot")
        # What becomes of the snapshot is nothing to it.
        os.truncate(s.path, 70000)
        check(read(ram) == bytes(now), "RAM after the snapshot was cut short")
        os.unlink(s.path)
        check(read(ram) == bytes(now), "RAM after the snapshot was removed")
        os.rename(make(root).path, s.path)


def survives_saves(root, make):
    s = make(root)
    with s.mounted() as ram:
        private = bytearray(s.ram)
        private[5000:5005] = b"kept!"
        write(ram, b"kept!", 5000)
        path = "devices/0/backing/path"
        # Past the room before RAM: it moves in the file.
        for text in ("x" * 60000, "y" * 65000, "short"):
            with open(s.mount.path(path), "w") as f:
                f.write(text)
            reader.set_leaf(s.model, path, text)
            s.is_saved("an edit")
            check(read(ram) == bytes(private), "RAM after an edit")


def is_saved_when_asked(root, make):
    s = make(root)
    before = os.stat(s.path)
    with s.mounted("-o", "save_ram") as ram:
        read(ram)
    now = os.stat(s.path)
    check((now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns),
          "with nothing changed it was saved")
    with s.mounted("-o", "save_ram") as ram:
        for i in range(20):
            write(ram, b"save %02d" % i, 4096 * i + 7)
            s.ram[4096 * i + 7:4096 * i + 14] = b"save %02d" % i
            fd = os.open(ram, os.O_RDWR)
            os.fsync(fd)
            os.close(fd)
            s.is_saved("fsync %d" % i)
        with open(ram, "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            # A page that stays mapped and writable is noticed again after each save.
            for i in range(20):
                m[300] = s.ram[300] = i
                m.flush()
                os.fsync(f.fileno())
                s.is_saved("store %d" % i)
        write(ram, b"at the end", 1 << 20)
        s.ram[1 << 20:(1 << 20) + 10] = b"at the end"
    s.is_saved("the end of the mount")
    os.link(s.path, os.path.join(s.folder, "link"))
    with s.mounted("-o", "save_ram") as ram:
        write(ram, b"both names", 2 << 20)
        s.ram[2 << 20:(2 << 20) + 10] = b"both names"
    s.is_saved("a snapshot with two names")
    check(os.stat(s.path).st_nlink == 2, "its other name")


def is_left_alone(root, make):
    for options, why in ((("ram=direct",), "ram=direct"), (("ram_limit=1M",), "ram_limit")):
        s = make(root)
        before = s.hash()
        with s.mounted("-o", ",".join(options), way="not passed through: ") as ram:
            check(read(ram) == bytes(s.ram), "RAM")
            write(ram, b"private", 9)
        check(why in s.said, "why: " + why)
        check(s.hash() == before, "the snapshot")
    s = make(root)
    with s.mounted("-o", "ro") as ram:
        check(read(ram) == bytes(s.ram), "RAM of a mount that is read-only")


def is_served_as_ever(root, make):
    s = make(root)
    before = s.hash()
    with s.mounted(way="not passed through: cannot clone RAM") as ram:
        check(read(ram) == bytes(s.ram), "RAM")
        write(ram, b"private", 9)
        s.ram[9:16] = b"private"
        check(read(ram) == bytes(s.ram), "RAM after a write")
    check(s.hash() == before, "the snapshot")


def needs_its_base(root):
    """Without it, or with one that is elsewhere, a diff is served as ever."""
    s = Diff(root)
    elsewhere = tempfile.NamedTemporaryFile()
    s.write_plain(elsewhere.name)
    # What it is over does not matter: the listed pages are the same.
    page = bytes(s.ram[500 * reader.PAGE:501 * reader.PAGE])
    os.unlink(s.base)
    for options in ((), ("-o", "base=" + elsewhere.name)):
        with s.mounted(*options, way="not passed through: ") as ram:
            with open(ram, "rb", buffering=0) as f:
                check(os.pread(f.fileno(), reader.PAGE, 500 * reader.PAGE) == page, "a listed page")
                if not options:
                    refused(errno.EIO, os.pread, f.fileno(), reader.PAGE, 501 * reader.PAGE)
            if options:
                check(read(ram) == bytes(s.ram), "RAM over a base that is elsewhere")


def main():
    require_fuse()
    if os.geteuid() != 0:
        lacking("root")
    if not PROGRAM:
        lacking("SMFS_PASSTHROUGH, an smfs with libfuse 3.17")
    for kind in ("xfs", "btrfs", "ext4", "tmpfs"):
        try:
            with filesystems.mounted(kind) as root:
                for make in (Subject, Diff):
                    if kind in ("xfs", "btrfs"):
                        for test in (is_private, survives_saves, is_saved_when_asked, is_left_alone):
                            test(root, make)
                    else:
                        is_served_as_ever(root, make)
                if kind in ("xfs", "btrfs"):
                    needs_its_base(root)
        except filesystems.Missing as e:
            lacking(str(e))
    print("%d checks" % checks)


if __name__ == "__main__":
    main()
