#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Containers that are made to use up memory or time: refused or served in memory that
follows the bytes that are there, and read in time linear in them.

Of 32 MiB; of 1 GiB with SMFS_TEST_ALL=1.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import models  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, WorkDir, lacking, program, require_fuse  # noqa: E402

MIB = 1 << 20
SIZE = (1024 if os.environ.get("SMFS_TEST_ALL") == "1" else 32) * MIB
# What a program has with the smallest snapshot, and some more.
BASE = 24 * MIB
SMSNAP = os.environ.get("SMSNAP", os.path.join(os.path.dirname(program()), "smsnap"))
MANY = b"\xff\xff\xff\xff"

checks = 0


def require(condition, text):
    global checks
    checks += 1
    if not condition:
        sys.exit("FAIL: " + text)


def at_most(what, limit, got):
    print("%-44s %8.1f MiB, at most %.1f" % (what, got / MIB, limit / MIB))
    require(got <= limit, what)


def container(**members):
    model = models.snapshot_model(0, [], 0, 0)
    model.update(members)
    return reader.encode(model)


EMPTY = container(intc=b"")


# A process is charged for what the one that started it has: this one has little.
STARTER = """import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss)"""


def refused(snapshot, path):
    """smsnap dump says where it is wrong, in PATH; how much memory that took."""
    done = subprocess.run([sys.executable, "-c", STARTER, SMSNAP, "dump", snapshot], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    status, most = done.stdout.split()
    require(status == "1" and done.stderr.count("\n") == 1 and path in done.stderr,
            "%s: status %s, %.300s" % (path, status, done.stderr))
    return int(most) << 10


def false_counts(work):
    """A hundred bytes that claim more than four billion of something."""
    snapshot = os.path.join(work, "snap")
    queues = container(devices=[models.device("blk", 0, {"type": "none"})])
    for what, data, offset in (("vcpu", EMPTY, len(EMPTY) - 13), ("devices", EMPTY, len(EMPTY) - 9),
                               ("listeners", EMPTY, len(EMPTY) - 4), ("queues", queues, len(queues) - 10)):
        require(data[offset:offset + 4] == bytes(4), "the count of %s is not there" % what)
        with open(snapshot, "wb") as f:
            f.write((data[:offset] + MANY).ljust(100, b"\0"))
        at_most("100 bytes, 4,294,967,295 %s" % what, BASE, refused(snapshot, what))


def page_lists(work):
    """Of differential snapshots: that claims what is not there, and that lists one page again and again."""
    snapshot, base = os.path.join(work, "snap"), os.path.join(work, "base")
    model = models.snapshot_model(reader.PAGE, [], 0)
    reader.write_file(base, model, reader.new_layout(model, ram_offset=reader.RAM_STEP), bytes(reader.PAGE))
    head = reader.write_head(model, reader.new_layout(model, "kvm-diff", base=base))
    entry = bytes(4) + bytes(reader.PAGE)
    with open(snapshot, "wb") as f:
        f.write(head + MANY + entry)
    at_most("a diff of 4,294,967,295 pages", BASE, refused(snapshot, "4294967295 pages"))
    count = SIZE // len(entry)
    with open(snapshot, "wb") as f:
        f.write(head + reader.num(count, 4))
        for i in range(count):
            f.write(bytes(4) + bytes([i & 255 or 1]) * reader.PAGE)
    before = os.path.getsize(snapshot)
    with Mount(snapshot) as m:
        with open(m.path("ram"), "rb") as f:
            require(f.read() == bytes([(count - 1) & 255 or 1]) * reader.PAGE, "the last of a repeat")
        at_most("%d times one page: mounted" % count, BASE, m.memory("VmHWM"))
        with open(m.path("num_cpus"), "wb") as f:
            f.write(b"5\n")
        at_most("%d times one page: edited" % count, BASE, m.memory("VmHWM"))
    require(os.path.getsize(snapshot) == before, "the list has another length")


class Huge:
    """A container with so many of ELEMENT that it's about SIZE bytes."""

    def __init__(self, what, size, element, before, after, path, shown):
        self.what, self.element, self.before, self.after = what, element, before, after
        self.count = size // len(element)
        self.size = len(before) + 4 + self.count * len(element) + len(after)
        self.path, self.shown = path % (self.count - 1), shown

    def write(self, path):
        piece = max(1, MIB // len(self.element))
        with open(path, "wb") as f:
            f.write(self.before + reader.num(self.count, 4))
            for _ in range(self.count // piece):
                f.write(self.element * piece)
            f.write(self.element * (self.count % piece) + self.after)

    def __str__(self):
        return "%d %s" % (self.count, self.what)


def huge(size):
    listener = reader.write_listener(dict(models.listener(7), inet_port=None))
    device = reader.write_device(models.device("vsock", 0, {"type": "none"}))
    share = dict(models.share(0))
    share["backing"] = dict(share["backing"], tag="t" * 65536, mount="m" * 65536, host_path="h" * 65536)
    blob = reader.blob(bytes(reader.BLOB_MAX))
    return [Huge("listeners", size, listener, EMPTY[:-4], b"", "listeners/%d/vm_port", b"7\n"),
            Huge("devices", size, device, EMPTY[:-9], bytes(5), "devices/%d/kind", b"vsock\n"),
            Huge("longest strings", size, reader.write_device(share), EMPTY[:-9], bytes(5),
                 "devices/%d/backing/mount", b"m" * 65536 + b"\n"),
            Huge("largest blobs", size, blob, EMPTY[:-13], bytes(9), "vcpu/%d/raw", bytes(reader.BLOB_MAX))]


def digest(path):
    """Of all but the first byte."""
    sha = hashlib.sha256()
    with open(path, "rb") as f:
        f.seek(1)
        while piece := f.read(MIB):
            sha.update(piece)
    return sha.digest()


def served(work, h):
    snapshot = os.path.join(work, "snap")
    h.write(snapshot)
    before = digest(snapshot)
    with Mount(snapshot) as m:
        at_most("%s: mounted" % h, h.size * 5 // 4 + BASE, m.memory("VmHWM"))
        with open(m.path(h.path), "rb") as f:
            require(f.read() == h.shown, h.path)
        with open(m.path("num_cpus"), "wb") as f:
            f.write(b"5\n")
        # A save has the container as it was read, the new one, that with what it
        # overwrites, and what the file has.
        at_most("%s: edited" % h, h.size * 17 // 4 + BASE, m.memory("VmHWM"))
        at_most("%s: after that" % h, h.size * 5 // 4 + BASE, m.memory("VmRSS"))
    with open(snapshot, "rb") as f:
        require(f.read(1) == b"\5" and digest(snapshot) == before, "%s: the edit changed more" % h)
    os.truncate(snapshot, h.size - 1)
    at_most("%s: cut short" % h, h.size * 5 // 4 + BASE, refused(snapshot, "needs"))


def instructions(snapshot):
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", SMSNAP, "dump",
                           snapshot], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    require(done.returncode == 1, "callgrind: status %d" % done.returncode)
    return int(re.search(rb"Collected : (\d+)", done.stderr).group(1))


def linear(work):
    """Four times the bytes, four times the instructions to read them and to refuse the last."""
    snapshot = os.path.join(work, "snap")
    for few, more in zip(huge(1 * MIB), huge(4 * MIB)):
        if few.count == 0:
            continue  # largest blobs, which are not looked into
        counts = []
        for h in few, more:
            h.write(snapshot)
            os.truncate(snapshot, h.size - 1)
            counts.append(instructions(snapshot))
        times = counts[1] / counts[0]
        print("%s: %.2f times the instructions for 4 times the bytes" % (few.what, times))
        require(times < 4.4, "%s: more than linear" % few.what)


def main():
    require_fuse()
    if not shutil.which("valgrind"):
        lacking("command valgrind")
    with WorkDir() as work:
        false_counts(work)
        page_lists(work)
        for h in huge(SIZE):
            served(work, h)
        linear(work)
    print("ok: %d checks, up to %d MiB" % (checks, SIZE // MIB))


main()
