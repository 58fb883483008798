#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Virtqueues as a driver writes them, here in Python from the specification, and what the
files ring and health say of them: line by line, in each layout, broken in every way, and as large
as they can be in bounded time and memory."""

import os
import random
import resource
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounted import Failed, Mount, WorkDir, require  # noqa: E402
from snapfile import write_file  # noqa: E402
from snapmake import sample_device, sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
NEXT, WRITE, INDIRECT = 1, 2, 4
INDIRECT_DESC, EVENT_IDX, PACKED = 1 << 28, 1 << 29, 1 << 34
WINDOW = 1 << 40
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    require(want == got, "%s:\nexpected %r\ngot      %r" % (what, want, got))


class Driver:
    """A driver's view of one virtqueue, and of the memory that it is in."""

    def __init__(self, size=8, features=0, gpa=0, mem=1 << 20, index=0):
        self.ram, self.gpa, self.size, self.features = bytearray(mem), gpa, size, features
        self.desc, self.avail = gpa + 0x1000, gpa + 0x1000 + 16 * size
        used = self.avail + 4 + 2 * size + 2
        self.used = (used + 3) // 4 * 4
        self.last_avail = self.next_used = self.avail_idx = index & 0xffff
        self.set_used_idx(index)
        self.free = list(range(size))
        self.put_avail()
        self.top = self.used + 8 * size + 64  # where tables may be

    def poke(self, gpa, data):
        at = gpa - self.gpa
        require(0 <= at and at + len(data) <= len(self.ram), "the test pokes outside RAM")
        self.ram[at:at + len(data)] = data

    def put_avail(self):
        self.poke(self.avail + 2, struct.pack("<H", self.avail_idx))

    def set_used_idx(self, index):
        self.poke(self.used + 2, struct.pack("<H", index & 0xffff))

    def used_event(self, index):
        self.poke(self.avail + 4 + 2 * self.size, struct.pack("<H", index))

    def avail_event(self, index):
        self.poke(self.used + 4 + 8 * self.size, struct.pack("<H", index))

    def descriptor(self, number, addr, length, flags, following=0, table=None):
        self.poke((self.desc if table is None else table) + 16 * number,
                  struct.pack("<QIHH", addr, length, flags, following))

    def make_available(self, head):
        self.poke(self.avail + 4 + 2 * (self.avail_idx % self.size), struct.pack("<H", head & 0xffff))
        self.avail_idx = self.avail_idx + 1 & 0xffff
        self.put_avail()

    def table(self, count):
        at = (self.top + 15) // 16 * 16
        self.top = at + 16 * count
        return at

    def add(self, buffers, indirect=False):
        """Offer a chain of (address, length, device writes): the lines that it is shown as."""
        entry, lines = self.avail_idx, []
        numbers = list(range(len(buffers))) if indirect else [self.free.pop(0) for _ in buffers]
        table = self.table(len(buffers)) if indirect else None
        head = self.free.pop(0) if indirect else numbers[0]
        if indirect:
            self.descriptor(head, table, 16 * len(buffers), INDIRECT)
            lines.append("%d: desc %d: addr 0x%x len %d INDIRECT: RAM" % (entry, head, table, 16 * len(buffers)))
        for i, (addr, length, write) in enumerate(buffers):
            last = i == len(buffers) - 1
            flags = (0 if last else NEXT) | (WRITE if write else 0)
            self.descriptor(numbers[i], addr, length, flags, 0 if last else numbers[i + 1], table)
            name = "%d[%d]" % (head, i) if indirect else "%d" % numbers[i]
            where = "DAX window" if addr >= WINDOW else "RAM"
            lines.append("%d: desc %s: addr 0x%x len %d%s%s: %s" % (
                entry, name, addr, length, "" if last else " NEXT", " WRITE" if write else "", where))
        self.make_available(head)
        return lines

    def queue(self, **changes):
        q = {"size": self.size, "ready": 1, "desc_table": self.desc, "avail_ring": self.avail,
             "used_ring": self.used, "last_avail_idx": self.last_avail, "next_used_idx": self.next_used}
        q.update(changes)
        return q

    def snapshot(self, path, layout="kvm", **changes):
        """Write the snapshot, the queue being devices/1/mmio/queues/0."""
        model = sample_model()
        device = sample_device(1, "vsock", 1, {"type": "none"})
        device["mmio"].update(driver_features=self.features, queues=[self.queue(**changes)])
        model["devices"] = [model["devices"][0], device, model["devices"][3]]
        model["devices"][2]["backing"].update(dax_gpa=WINDOW, dax_window_len=1 << 20)
        model["mem_size"] = len(self.ram)
        at = {"kvm": 1 << 16, "hvf": 1 << 16, "bare": 1 << 16}[layout]
        where = {"format": layout, "ram_offset": at}
        if layout == "hvf":
            where.update(version=11, ram_gpa=self.gpa)
        if layout == "bare":
            where["container_offset"] = 0
        write_file(path, model, where, bytes(self.ram))


def get(path, name, status=0):
    done = subprocess.run([SMSNAP, "get", path, "devices/1/mmio/queues/0/" + name], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    require(done.returncode == status and (status or not done.stderr), "smsnap get: %d: %r" % (done.returncode, done.stderr))
    return done.stdout.decode()


def needs_event(event, new, old):
    """The specification's vring_need_event."""
    return (new - event - 1) & 0xffff < (new - old) & 0xffff


def buffers_of(rng, d):
    count = rng.randrange(1, 4)
    writes = sorted(rng.randrange(2) for _ in range(count))
    result = []
    for write in writes:
        length = rng.choice([1, 16, 512, 4096])
        addr = WINDOW + rng.randrange(1000) if rng.randrange(8) == 0 else d.gpa + rng.randrange(len(d.ram) - length)
        result.append((addr, length, write))
    return result


def check_random(work, seed):
    """A driver that is right: every line of ring, and health is ok."""
    rng = random.Random(seed)
    layout = rng.choice(["kvm", "hvf", "bare"])
    features = INDIRECT_DESC | (EVENT_IDX if rng.randrange(2) else 0)
    d = Driver(rng.choice([4, 16, 256]), features, 0x80000000 if layout == "hvf" else 0,
               index=rng.choice([0, 5, 65530, 65535]))
    chains, room = [], d.size
    for _ in range(rng.randrange(d.size)):
        buffers = buffers_of(rng, d)
        indirect = rng.randrange(3) == 0
        if (1 if indirect else len(buffers)) > len(d.free) or len(buffers) > room:
            break
        chains += d.add(buffers, indirect)
    pending = d.avail_idx - d.last_avail & 0xffff
    avail_event = rng.choice([d.last_avail, d.last_avail - 1 & 0xffff, d.avail_idx])
    used_event = rng.choice([d.next_used, d.next_used - 1 & 0xffff])
    flags = rng.randrange(2)
    lines = ["size: %d" % d.size,
             "avail: idx %d, last_avail_idx %d, %d pending" % (d.avail_idx, d.last_avail, pending),
             "used: idx %d, next_used_idx %d, 0 in use" % (d.next_used, d.next_used)]
    if features & EVENT_IDX:
        d.avail_event(avail_event)
        d.used_event(used_event)
        lines += ["notification: %s, avail_event %d" % (
                      "owed" if needs_event(avail_event, d.avail_idx, d.last_avail) else "not owed", avail_event),
                  "interrupt: %s, used_event %d" % (
                      "owed" if used_event != d.next_used else "not owed", used_event)]
    else:
        d.poke(d.used, struct.pack("<H", flags))
        d.poke(d.avail, struct.pack("<H", flags))
        lines += ["notification: " + ("owed" if pending and not flags else "not owed") +
                  (", the device wants none" if flags else ""),
                  "interrupt: " + ("not owed, the driver wants none" if flags else "the driver wants one a used buffer")]
    path = os.path.join(work, "snap")
    d.snapshot(path, layout)
    same("seed %d" % seed, "".join(line + "\n" for line in lines + chains), get(path, "ring"))
    same("seed %d, health" % seed, "ok\n", get(path, "health"))


def spoiled(work, what, want, spoil, features=INDIRECT_DESC, **changes):
    """Health has the lines WANT, each a beginning; and ring says the same."""
    d = Driver(features=features)
    d.add([(0x8000, 16, 0), (0x9000, 512, 1)])
    d.add([(0xa000, 16, 0), (0xb000, 512, 1)], indirect=bool(features & INDIRECT_DESC))
    spoil(d)
    path = os.path.join(work, "snap")
    d.snapshot(path, **changes)
    lines = get(path, "health").splitlines()
    require(len(lines) == len(want) and all(g.startswith(w) for g, w in zip(lines, want)),
            "%s: expected %r, got %r" % (what, want, lines))
    ring = get(path, "ring").splitlines()
    require([line for line in ring if line.startswith(("error ", "warning ", "note "))] == [line for line in lines if line != "ok"],
            "%s: ring says other than health: %r" % (what, ring))
    global checks
    checks += 1


def check_spoiled(work):
    def nothing(d):
        pass

    def head(d):
        d.make_available(8)

    def following(d):
        d.descriptor(0, 0x8000, 16, NEXT, 8)

    def loop(d):
        d.descriptor(1, 0x9000, 512, NEXT | WRITE, 0)

    def shared(d):
        d.make_available(1)

    def table_past_end(d):
        d.descriptor(2, (1 << 20) - 16, 32, INDIRECT)

    def odd_table(d):
        d.descriptor(2, 0x20000, 33, INDIRECT)

    def empty_table(d):
        d.descriptor(2, 0x20000, 0, INDIRECT)

    def nested(d):
        at = d.table(2)
        d.descriptor(2, at, 32, INDIRECT)
        d.descriptor(0, 0x8000, 16, INDIRECT, 0, at)

    def table_loop(d):
        at = d.table(2)
        d.descriptor(2, at, 32, INDIRECT)
        d.descriptor(0, 0x8000, 16, NEXT, 1, at)
        d.descriptor(1, 0x8000, 16, NEXT, 0, at)

    def table_index(d):
        at = d.table(2)
        d.descriptor(2, at, 32, INDIRECT)
        d.descriptor(0, 0x8000, 16, NEXT, 2, at)

    def both(d):
        at = d.table(1)
        d.descriptor(2, at, 16, INDIRECT | NEXT, 3)
        d.descriptor(0, 0x8000, 16, 0, 0, at)

    def nowhere(d):
        d.descriptor(1, (1 << 20) - 511, 512, WRITE)

    def far(d):
        d.descriptor(1, (1 << 64) - 1, 512, WRITE)

    def order(d):
        d.descriptor(0, 0x8000, 16, NEXT | WRITE, 1)
        d.descriptor(1, 0x9000, 512, 0)

    def used(d):
        d.set_used_idx(1)

    spoiled(work, "nothing", ["ok"], nothing)
    spoiled(work, "a head out of range", ["error ring: available entry 2: head is 8, the table has 8"], head)
    spoiled(work, "a next out of range", ["error ring: available entry 0: desc 0: next is 8, the table has 8"], following)
    spoiled(work, "a loop", ["error ring: available entry 0: desc 0: is in this chain or another"], loop)
    spoiled(work, "a descriptor in two chains", ["error ring: available entry 2: desc 1: is in this chain or another"], shared)
    spoiled(work, "a table past the end", ["error ring: available entry 1: desc 2: the indirect table at 0xffff0 is not all in RAM"],
            table_past_end)
    spoiled(work, "a table that is not whole", ["error ring: available entry 1: desc 2: an indirect table of 33 bytes"], odd_table)
    spoiled(work, "an empty table", ["error ring: available entry 1: desc 2: an indirect table of 0 bytes"], empty_table)
    spoiled(work, "a table in a table", ["error ring: available entry 1: desc 2[0]: INDIRECT in an indirect table"], nested)
    spoiled(work, "a loop in a table", ["error ring: available entry 1: desc 2[0]: the chain is longer than the queue's size"], table_loop)
    spoiled(work, "an index past a table", ["error ring: available entry 1: desc 2[0]: next is 2, the table has 2"], table_index)
    spoiled(work, "INDIRECT and NEXT", ["error ring: available entry 1: desc 2: has INDIRECT and NEXT"], both)
    spoiled(work, "a buffer past the end", ["error ring: available entry 0: desc 1: 0xffe01 and the 512 bytes"], nowhere)
    spoiled(work, "a buffer that wraps", ["error ring: available entry 0: desc 1: 0xffffffffffffffff and the 512 bytes"], far)
    spoiled(work, "reads after writes", ["error ring: available entry 0: desc 1: the device reads it, after"], order)
    spoiled(work, "used.idx", ["error next_used_idx: 0, and used.idx in memory is 1"], used)
    spoiled(work, "taken and not given back", ["warning next_used_idx: 1 buffers were taken"], nothing, last_avail_idx=1)
    spoiled(work, "cursors too far apart",
            ["error next_used_idx: 65520", "error next_used_idx: 65520, and last_avail_idx is 0: 16 buffers"], nothing,
            next_used_idx=65520)
    spoiled(work, "a stale cursor", ["error next_used_idx: 0, and last_avail_idx is 40000",
                                     "error last_avail_idx: 40000, and avail.idx in memory is 2"], nothing, last_avail_idx=40000)
    for name, align in (("desc_table", 16), ("avail_ring", 2), ("used_ring", 4)):
        spoiled(work, name + " out of RAM", ["error %s: 0x100000 and the " % name], nothing, **{name: 1 << 20})
        spoiled(work, name + " across the end", ["error %s: 0x%x and the " % (name, (1 << 20) - align)], nothing,
                **{name: (1 << 20) - align})
        spoiled(work, name + " at the end of all", ["error %s: 0x%x and the " % (name, (1 << 64) - align)], nothing,
                **{name: (1 << 64) - align})
        spoiled(work, name + " unaligned", ["error %s: 0x80001 is not a multiple of %d" % (name, align)],
                lambda d: [d.poke(0x80000, bytes(4096)), setattr(d, "avail_idx", 0), d.put_avail()], **{name: 0x80001})
    for size in (0, 3, 65535):
        spoiled(work, "size %d" % size, ["error size: a split virtqueue cannot have %d" % size], nothing, size=size)
    spoiled(work, "not ready", ["ok"], nothing, ready=0, size=3, desc_table=7)
    spoiled(work, "packed", ["note ring: a packed virtqueue"], nothing, features=PACKED | 1 << 32)

    def alien(d):
        at = d.table(1)
        d.descriptor(2, at, 16, INDIRECT)
        d.descriptor(0, 0x8000, 16, 0, 0, at)
    spoiled(work, "indirect without the feature", ["error ring: available entry 1: desc 2: is INDIRECT, which was not agreed on"],
            alien, features=0)


def limited(path, name):
    """Get it within bounds: seconds, and bytes of memory."""
    start = time.monotonic()
    done = subprocess.run([SMSNAP, "get", path, "devices/1/mmio/queues/0/" + name], check=True,
                          stdout=subprocess.PIPE, timeout=60,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20)))
    require(time.monotonic() - start < 20, "%s took %.1f s" % (name, time.monotonic() - start))
    return done.stdout.decode().splitlines()


def check_hostile(work):
    """As much as there can be in a queue."""
    path = os.path.join(work, "snap")
    size = 32768
    # One chain that goes on and on, offered as often as can be.
    d = Driver(size, INDIRECT_DESC, mem=4 << 20)
    for i in range(size):
        d.descriptor(i, 0x8000, 16, NEXT, (i + 1) % size)
    d.avail_idx = size
    d.put_avail()
    d.snapshot(path)
    lines = limited(path, "ring")
    same("a ring that is a loop", 5 + size + size, len(lines))
    # A table that is a loop, offered as often.
    for i in range(size):
        d.descriptor(i, 0x200000, 0x200000, INDIRECT)
        d.poke(d.avail + 4 + 2 * i, struct.pack("<H", i))
    d.descriptor(0, 0x8000, 16, NEXT, 0, 0x200000)
    d.snapshot(path)
    lines = limited(path, "ring")
    require(1 << 17 <= len(lines) + 8 <= (1 << 17) + 64, "%d lines" % len(lines))
    require(limited(path, "health")[-1].startswith("warning ring: more than 131072 descriptors are pending"), "not told")
    # Whatever is there.
    rng = random.Random(4)
    for seed in range(60):
        d = Driver(rng.choice([1, 2, 256, 32768]), rng.getrandbits(40) & ~PACKED, mem=4 << 20)
        d.ram[0x1000:0x200000] = rng.randbytes(0x1ff000)
        d.snapshot(path, last_avail_idx=rng.getrandbits(16), next_used_idx=rng.getrandbits(16))
        lines = limited(path, "ring")
        require(lines[0] == "size: %d" % d.size, "seed %d: %r" % (seed, lines[:2]))


def check_mounted(work):
    """Made when it is opened, and then fixed; edits and writes to RAM show in the next one."""
    path = os.path.join(work, "snap")
    d = Driver(features=EVENT_IDX)
    lines = d.add([(0x8000, 16, 0), (0x9000, 512, 1)])
    d.snapshot(path)
    with Mount(path) as m:
        name = os.path.join(m.root, "devices/1/mmio/queues/0/ring")
        with open(name, encoding="ascii") as f:
            same("ring in a mount", get(path, "ring"), f.read())
        with open(name, encoding="ascii") as old:
            begun = old.read(5)
            with open(os.path.join(m.root, "ram"), "r+b", buffering=0) as ram:
                os.pwrite(ram.fileno(), struct.pack("<Q", 0xa000), 0x1000)
            with open(os.path.join(os.path.dirname(name), "last_avail_idx"), "w", encoding="ascii") as f:
                f.write("65535")
            require(begun + old.read() == get_text(lines), "an open file changed")
        with open(name, encoding="ascii") as f:
            text = f.read()
        require("last_avail_idx 65535, 2 pending" in text and "desc 0: addr 0xa000 len 16 NEXT: RAM" in text, text)


def get_text(lines):
    head = ["size: 8", "avail: idx 1, last_avail_idx 0, 1 pending", "used: idx 0, next_used_idx 0, 0 in use",
            "notification: owed, avail_event 0", "interrupt: not owed, used_event 0"]
    return "".join(line + "\n" for line in head + lines)


def main():
    with WorkDir() as work:
        try:
            check_spoiled(work)
            for seed in range(200):
                check_random(work, seed)
            check_hostile(work)
            check_mounted(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
