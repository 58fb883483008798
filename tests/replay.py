# SPDX-License-Identifier: MIT
"""What a disk may hold when the power goes in the middle of recorded calls.

The model: an fsync of a file makes durable what was done to the file's bytes and
size before it, an fsync of the folder what was done to the names in it. Of all
that was done since, any part may have reached the disk, and any may not have:
in the order of the calls, but with any of them left out. A write is as many
operations as it touches sectors. Renames, exchanges, truncations, and insertions
and removals of ranges happen wholly or not at all; so does what is done to a
name, which is not done if the name does not lead to the file that it led to. (Of
insertions into files of many extents that is more than ext4 and XFS promise:
docs/saving.md, "Limits".)

Calls are recorded by save-driver (SAVE_DRIVER_TRACE), which names files by their
inode numbers. Those can be used again: here every file that is made is a new one,
and has a number of our own. ORIGINAL is the one that is there at first.
"""

import collections

SECTOR = 512
BLOCK = 4096
FOLDER = "folder"
ORIGINAL = 0

# call: a method of Disk, or "sync", or "accept" (args: what a snapshot may be
# recovered to from here on). target: what an fsync must be of to make it durable.
# where: the name that the file had, for a person.
Op = collections.namedtuple("Op", "call target args where")


def accept(*versions):
    return Op("accept", None, versions, "")


def describe(op):
    args = ["%d bytes" % len(a) if isinstance(a, bytes) else str(a) for a in op.args]
    return " ".join([op.call, op.where] + args)


class Disk:
    """Names that lead to files, and the bytes of the files."""

    def __init__(self, names, files):
        self.names = dict(names)
        self.files = {f: bytearray(b) for f, b in files.items()}

    def copy(self):
        return Disk(self.names, self.files)

    def apply(self, op):
        getattr(self, op.call)(op.target, *op.args)

    def key(self):
        return hash(tuple((n, bytes(self.files[f])) for n, f in sorted(self.names.items())))

    # A file's bytes

    def write(self, f, offset, data):
        held = self.files[f]
        held.extend(bytes(max(0, offset - len(held))))
        held[offset:offset + len(data)] = data

    def truncate(self, f, size):
        held = self.files[f]
        del held[size:]
        held.extend(bytes(size - len(held)))

    def insert(self, f, offset, size):
        if offset < len(self.files[f]):
            self.files[f][offset:offset] = bytes(size)

    def collapse(self, f, offset, size):
        if offset + size < len(self.files[f]):
            del self.files[f][offset:offset + size]

    # The folder's names

    def create(self, _, f, name):
        self.names[name] = f

    def rename(self, _, f, old, new):
        if self.names.get(old) == f:
            del self.names[old]
            self.names[new] = f

    def exchange(self, _, f, name, g, other):
        if self.names.get(name) == f and self.names.get(other) == g:
            self.names[name], self.names[other] = g, f

    def unlink(self, _, f, name):
        if self.names.get(name) == f:
            del self.names[name]


class Recorder:
    """Takes lines of a trace, and gives operations."""

    def __init__(self, disk, inodes):
        self.now = disk.copy()  # as if the power never went
        self.files = dict(inodes)  # inode number: file
        self.next = max(list(disk.files) + [ORIGINAL]) + 1
        self.ops = []

    def add(self, call, target, *args):
        where = FOLDER
        if target != FOLDER:
            where = "/".join(n for n, f in self.now.names.items() if f == target)
        op = Op(call, target, args, where)
        self.ops.append(op)
        if call != "sync":
            self.now.apply(op)

    def write(self, f, offset, data, piece):
        at = 0
        while at < len(data):
            take = piece - (offset + at) % piece
            self.add("write", f, offset + at, data[at:at + take])
            at += take

    def clone(self, f, source, source_offset, offset, size):
        data = bytes(self.now.files[source][source_offset:])
        data = data[:size] if size else data
        # As a file system may share extents: one by one.
        if offset + len(data) > len(self.now.files[f]):
            self.add("truncate", f, offset + len(data))
        self.write(f, offset, data, BLOCK)

    def take(self, line):
        call, *rest = line.split(" ")
        if call == "temporary":
            # It has no name that could lead to it after a power cut.
            self.files[int(rest[0])] = None
        elif call in ("write", "truncate") and self.files[int(rest[0])] is None:
            pass
        elif call == "write":
            self.write(self.files[int(rest[0])], int(rest[1]), bytes.fromhex(rest[2]), SECTOR)
        elif call in ("truncate", "insert", "collapse"):
            self.add(call, self.files[int(rest[0])], *map(int, rest[1:]))
        elif call == "clone":
            self.clone(self.files[int(rest[0])], self.files[int(rest[1])], *map(int, rest[2:]))
        elif call == "sync":
            self.add("sync", self.files.get(int(rest[0]), FOLDER))
        elif call == "create":
            f, self.next = self.next, self.next + 1
            self.files[int(rest[1])] = f
            self.now.files[f] = bytearray()
            self.add("create", FOLDER, f, rest[2])
        elif call in ("rename", "unlink"):
            self.add(call, FOLDER, self.now.names[rest[1]], *rest[1:])
        elif call == "exchange":
            names = self.now.names
            self.add(call, FOLDER, names[rest[1]], rest[1], names[rest[2]], rest[2])
        else:
            raise ValueError("unknown in a trace: " + line)


class Recording:
    """Operations, and the disk before them."""

    def __init__(self, disk, ops):
        self.disk = disk.copy()
        self.ops = list(ops)
        for op in self.ops:
            if op.call == "create":
                self.disk.files.setdefault(op.args[0], bytearray())

    def walk(self):
        """After each operation: how many there were, what is durable, what else was
        done, and what is acceptable. The disk and the list change from one to the next."""
        durable, pending, acceptable = self.disk.copy(), [], ()
        for i, op in enumerate(self.ops, 1):
            if op.call == "accept":
                acceptable = op.args
            elif op.call == "sync":
                for done in pending:
                    if done.target == op.target:
                        durable.apply(done)
                pending = [p for p in pending if p.target != op.target]
            else:
                pending.append(op)
            yield i, durable, pending, acceptable

    def is_turning_point(self, i):
        """Whether after the first I operations most may be lost: before an fsync or
        what else changes what is durable or acceptable."""
        return i == len(self.ops) or self.ops[i].call in ("sync", "accept")

    def cuts(self, rng, turning_points_only=False):
        """Where the power goes, and which of the operations since an fsync get
        through, as (count, bit mask)."""
        for i, _, pending, _ in self.walk():
            if not turning_points_only or self.is_turning_point(i):
                for mask in subsets(len(pending), rng):
                    yield i, mask

    def states(self, cuts):
        """The disks after CUTS, in the order of time, each as
        (disk, acceptable, count, mask, pending)."""
        masks = collections.defaultdict(list)
        for i, mask in cuts:
            masks[i].append(mask)
        for i, durable, pending, acceptable in self.walk():
            for mask in masks[i]:
                disk = durable.copy()
                for n, op in enumerate(pending):
                    if mask >> n & 1:
                        disk.apply(op)
                yield disk, acceptable, i, mask, pending


def subsets(n, rng, few=6, more=64):
    """Bit masks of N bits: all if N is FEW, else the ones at the edges, and MORE."""
    if n <= few:
        yield from range(1 << n)
        return
    everything = (1 << n) - 1
    yield 0
    yield everything
    for bit in range(n):
        yield 1 << bit
        yield everything ^ 1 << bit
    for _ in range(more):
        # A quarter of them, half, or three quarters.
        a, b = rng.getrandbits(n), rng.getrandbits(n)
        yield rng.choice([a & b, a, a | b])
