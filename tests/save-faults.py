#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A save is all or nothing, whatever fails in it and whenever.

On each file system, for each way of saving and kind of edit:

  fault          each system call of the save fails once, with each of its errors
  dead, back     from one call on none works; and then they work again
  kill           the program is killed at each system call of the save
  recover-kill   and at each of the recovery from that
  recover-fault  and each of the recovery fails once

Afterwards the snapshot must be, byte by byte, the old or the new one, as the
program said, with nothing left beside it; and a program that lives goes on
saving. Then come file systems that are full or read-only and other users.

save-faults.py [TEXT...] runs only the cases whose name, as a failure shows it,
has one of the texts in it. A sample is run; all with SMFS_TEST_ALL=1, which
takes an hour. SMFS_TEST_SEED chooses the sample.
"""

import collections
import concurrent.futures
import contextlib
import copy
import errno
import itertools
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import filesystems  # noqa: E402
import reader  # noqa: E402
from mounted import Failed, require  # noqa: E402

ALL = os.environ.get("SMFS_TEST_ALL") == "1"
SEED = os.environ.get("SMFS_TEST_SEED", "1")
ONLY = sys.argv[1:]
# Of each list of cases of a scenario, so many.
SAMPLE = 2

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(os.environ.get("SMFS_BUILD", os.path.join(HERE, "..")), "tests/save-driver")

# ext3 has no ranges to insert, and tells it late.
KINDS = (*filesystems.KINDS, "ext3")

# Longer than any command takes, even a recovery that waits for a lock.
PATIENCE = 60

# The errors that a call can fail with. Those of one descriptor only: a fault is
# a single one.
ERRORS = {
    "openat": "EIO ENOSPC EDQUOT EMFILE EACCES EINTR",
    "pread64": "EIO EINTR",
    "pwrite64": "EIO ENOSPC EDQUOT EINTR",
    "ftruncate": "EIO ENOSPC EDQUOT EINTR",
    "fallocate": "EIO ENOSPC EDQUOT EINTR EOPNOTSUPP ENOSYS",
    "fsync": "EIO ENOSPC EDQUOT EINTR",
    "renameat2": "EIO ENOSPC EDQUOT EINVAL ENOSYS",
    "unlinkat": "EIO EACCES",
    "ioctl": "EIO ENOSPC EDQUOT EINTR EOPNOTSUPP EXDEV EINVAL ENOTTY",
    "fchmod": "EIO EPERM",
    "fchown": "EIO EDQUOT EPERM",
    "flistxattr": "EIO",
    "fgetxattr": "EIO",
    "fsetxattr": "EIO ENOSPC EDQUOT EPERM",
    "flock": "EINTR ENOLCK EAGAIN",
    "lseek": "EIO EINVAL",
    "fstat": "EIO",
    "fstatfs": "EIO",
    "faccessat2": "EIO",
    "newfstatat": "EIO",
    "statx": "EIO",
    "faccessat2": "EIO",
    "readlink": "EIO",
    "mmap": "ENOMEM",
    "madvise": "EINVAL",
    "munmap": "ENOMEM",
    "fcntl": "EMFILE",
    "dup3": "EMFILE EINTR",
}
# A close that fails has closed all the same, and the others don't fail or are
# the driver's own; the program can be killed there as well as elsewhere.
NEVER_FAILS = {"close", "geteuid", "brk", "read", "write", "clock_nanosleep"}
# Interrupted, they are to be called again.
RESTARTED = {"pread64", "pwrite64", "ftruncate", "fallocate", "fsync"}
# What a disk does not do when it's dead.
DISK = ("pread64", "pwrite64", "ftruncate", "fallocate", "fsync", "renameat2", "unlinkat",
        "ioctl", "fchmod", "fchown", "fsetxattr")
# What makes the disk another one, so that being killed after it is another case.
CHANGES = ("pwrite64", "ftruncate", "fallocate", "renameat2", "unlinkat", "ioctl", "fchmod",
           "fchown", "fsetxattr")

NAME = "snapshot"
LINK = "link"
SOURCE = "source"  # what is opened, where NAME is its output
BASE = "base"      # of diffs, in the folder above
LEFT = NAME + ".smfs-new"
UID, GID, MODE, XATTR = 4321, 1234, 0o660, ("user.test", b"kept \0 kept")


# ---- what the snapshot is to be ---------------------------------------------

def base_model(path_size):
    return {"num_cpus": 2, "mem_size": 96 << 10, "com1": dict(zip(reader.COM1, range(1, 7))),
            "clock_host_ticks": 1, "clock_ref": 2, "intc": bytes(range(200)),
            "vcpu": [b"first" * 40, b"second" * 40],
            "devices": [
                {"kind": "blk",
                 "mmio": {"driver_features": 1 << 32, "status": 15, "interrupt_status": 0,
                          "queues": []},
                 "backing": {"type": "disk", "path": "p" * path_size, "size": 1 << 20}},
                {"kind": "vsock",
                 "mmio": {"driver_features": 1, "status": 15, "interrupt_status": 1,
                          "queues": []},
                 "backing": {"type": "none"}}],
            "tsi_token": b"T" * 32,
            "listeners": [{"cid": 3, "peer_port": 5, "vm_port": 7, "family": 2, "socktype": 1,
                           "inet_port": 80}]}


# RAM: data, a hole, data.
def sample_ram(seed):
    rng = random.Random(seed)
    return reader.exact_bytes(rng, 32 << 10) + bytes(32 << 10) + reader.exact_bytes(rng, 32 << 10)


def layout_of(edit, way):
    """Each way of saving is gone in some layout."""
    if edit.startswith("bare"):
        return "bare"
    if edit.startswith("diff"):
        return "kvm-diff"
    return "hvf" if way in ("replace", "linked") else "kvm"


class Image:
    """A snapshot's bytes, and what a save is to make of them (never changed)."""

    def __init__(self, model, layout, data, ram_offset):
        self.model, self.layout, self.data, self.ram_offset = model, layout, data, ram_offset

    @classmethod
    def new(cls, path_size, layout):
        model = base_model(path_size)
        if layout == "bare":
            return cls(model, layout, reader.encode(model), None)
        # Padding may be any bytes, and RAM has a hole.
        at = reader.PAGE
        head = cls.head(model, layout, at)
        return cls(model, layout, head + b"\xee" * (at - len(head)) + sample_ram(path_size), at)

    @staticmethod
    def head(model, layout, ram_offset):
        return reader.write_head(model, reader.new_layout(model, layout, ram_offset))

    @property
    def has_ram(self):
        return self.ram_offset is not None

    def write(self, path):
        with open(path, "wb") as f:
            f.truncate(len(self.data))
            for at in range(0, len(self.data), reader.PAGE):
                page = self.data[at:at + reader.PAGE]
                if page.strip(b"\0"):
                    os.pwrite(f.fileno(), page, at)

    def edited(self, leaf, value):
        model = copy.deepcopy(self.model)
        reader.set_leaf(model, leaf, value)
        if self.ram_offset is None:
            return Image(model, self.layout, reader.encode(model), None)
        at = self.ram_offset
        old, new = self.head(self.model, self.layout, at), self.head(model, self.layout, at)
        # The rest of a longer container becomes zeros; padding stays what it was.
        before = self.data[:self.ram_offset]
        before = new + bytes(max(0, len(old) - len(new))) + before[max(len(old), len(new)):]
        if len(new) > at:
            # The header says where RAM is now.
            at = reader.round_up(len(new), reader.RAM_STEP)
            before = self.head(model, self.layout, at).ljust(at, b"\0")
        return Image(model, self.layout, before + self.data[self.ram_offset:], at)

    def poked(self, pokes):
        data = bytearray(self.data)
        for offset, what in pokes:
            at = self.ram_offset + offset
            data[at:at + len(what)] = what
        return Image(self.model, self.layout, bytes(data), self.ram_offset)


class Diff(Image):
    """A differential snapshot: nothing of it is aligned, and what follows the head moves with it."""

    RAM = sample_ram("base")
    # Bytes that are nobody's, and a hole, are behind the list.
    AFTER = b"nobody's" * 40 + bytes(20 << 10)

    def __init__(self, model, pages):
        head = reader.write_head(model, reader.new_layout(model, "kvm-diff", base="../" + BASE))
        entries = b"".join(reader.num(i, 4) + page for i, page in pages)
        self.pages = pages
        super().__init__(model, "kvm-diff", head + reader.num(len(pages), 4) + entries + self.AFTER, None)

    @classmethod
    def new_diff(cls, path_size):
        """In no order, with a repeat, with zeros and with a page that is the base's."""
        rng = random.Random(path_size)
        pages = [(20, reader.exact_bytes(rng, reader.PAGE)), (3, reader.exact_bytes(rng, reader.PAGE)),
                 (3, reader.exact_bytes(rng, reader.PAGE)), (1, bytes(reader.PAGE)),
                 (5, cls.RAM[5 * reader.PAGE:6 * reader.PAGE])]
        return cls(base_model(path_size), pages)

    @classmethod
    def write_base(cls, path):
        model = base_model(1)
        reader.write_file(path, model, reader.new_layout(model), cls.RAM)

    @property
    def has_ram(self):
        return True

    def edited(self, leaf, value):
        model = copy.deepcopy(self.model)
        reader.set_leaf(model, leaf, value)
        return Diff(model, self.pages)

    def poked(self, pokes):
        """What differs from the base, in order."""
        ram = bytearray(self.RAM)
        for at, what in [(i * reader.PAGE, page) for i, page in self.pages] + list(pokes):
            ram[at:at + len(what)] = what
        places = range(0, len(ram), reader.PAGE)
        return Diff(self.model, [(at // reader.PAGE, bytes(ram[at:at + reader.PAGE])) for at in places
                                 if ram[at:at + reader.PAGE] != self.RAM[at:at + reader.PAGE]])


# Parts of pages, so that the rest of them is read from the file: of data, of
# the hole and at the end.
POKES = [(100, b"poke"), (40 << 10, b"in a hole"), (96 * 1024 - 3, b"end")]
LATER = [(5000, b"later"), (88 << 10, b"and later")]


# What RAM is poked with, by the kind of edit. A diff's list gets longer, stays as long as it
# was (two of its five entries are dropped), or gets shorter, as a page is the base's again.
RAM_EDITS = {"ram": POKES, "diff-ram": POKES, "diff-ram-same": POKES[:2],
             "diff-ram-fewer": [(3 * reader.PAGE, Diff.RAM[3 * reader.PAGE:4 * reader.PAGE])]}


def poke_lines(pokes):
    return ["poke %d %s" % (offset, what.hex()) for offset, what in pokes]


# Each kind of edit: how long the path is that it makes of one of 600 bytes.
PATH_LEAF = "devices/0/backing/path"
EDITS = {"number": None, "fits": 900, "grows": 9000, "shrinks": 5, "ram": None,
         "bare-grows": 9000, "bare-shrinks": 5,
         "diff-number": None, "diff-grows": 9000, "diff-shrinks": 5,
         "diff-ram": None, "diff-ram-same": None, "diff-ram-fewer": None}
WAYS = ("default", "replace", "linked", "output")


# ---- the driver -------------------------------------------------------------

# The system calls of a command: all their names from the program's start up to
# the answer, for that's how strace counts; and the first that belongs to it.
Calls = collections.namedtuple("Calls", "names start")

# As different machines call the driver's access(2).
MARK = ("access", "faccessat", "faccessat2")


class Driver:
    """The driver as a process; it is ended at the end of the block.

    WATCH names the system calls that are traced, INJECT what happens at them, as
    strace takes it.
    """

    def __init__(self, short=None, watch=(), inject=(), prefix=(), program=DRIVER):
        env = dict(os.environ)
        if short:
            env["SAVE_DRIVER_SHORT"] = str(short)
        self.out = None
        if watch:
            self.out = tempfile.NamedTemporaryFile()
            names = ",".join(watch if "all" in watch else [*watch, *("?" + m for m in MARK)])
            # To stop at what is traced only is quick, but then it sends no signals.
            slow = "all" in watch or any("signal=" in i for i in inject)
            quick = [] if slow else ["--seccomp-bpf"]
            prefix = ["strace", "-f", *quick, "-o", self.out.name, "-e", "trace=" + names,
                      *(w for i in inject for w in ("-e", "inject=" + i))]
        self.injecting = bool(inject)
        self.fds = None  # descriptors that were open once
        self.locks_output = False
        self.process = subprocess.Popen([*prefix, program], env=env, bufsize=0,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        # Its end, or its tracer's, as which it would end too, were it stuck.
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.out:
            self.out.close()

    def ask(self, line):
        """The answer; "" from one that died."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
                raise Failed("no answer to %.40r in %d s" % (line, PATIENCE))
            more = os.read(self.process.stdout.fileno(), 4096)
            if not more:
                return ""
            answer += more
        return answer.decode(errors="replace").rstrip("\n")

    def tell(self, line):
        answer = self.ask(line)
        require(answer.startswith("ok"), "%.60s: %s" % (line, answer or self.death()))
        return answer[3:]

    def death(self):
        text = "the driver died, status %d" % self.process.wait(PATIENCE)
        if self.out:
            with open(self.out.name, errors="replace") as f:
                text += "; trace: " + " / ".join(f.read().splitlines()[-2:])
        return text

    def keeps_descriptors(self):
        """But that the first edit opens the snapshot a second time, to write it, and that an
        output is locked by a descriptor of its own until it is what is saved to."""
        now = int(self.tell("fds"))
        require(self.fds - self.locks_output <= now <= self.fds + 1, "descriptors: %d, then %d" % (self.fds, now))

    def ask_marked(self, line):
        """The answer, with whatever is injected injected into this command."""
        self.tell("mark begin")
        answer = self.ask(line)
        if answer:
            self.tell("mark end")
        if answer and self.injecting:
            _, names, injected = self.trace()
            require(injected and names, "nothing was injected")
        return answer

    def trace(self):
        """Names of calls before the mark "begin"; up to "end"; of those, what had an error injected."""
        with open(self.out.name, errors="replace") as f:
            lines = f.read().splitlines()
        calls = [(m.group(1), t) for m, t in
                 ((re.match(r"\d+ +(\w+)\(", t), t) for t in lines) if m]
        marks = [i for i, (name, t) in enumerate(calls) if name in MARK and '"/mark/' in t]
        before, after = calls[:marks[0]], calls[marks[0] + 1:marks[1] if len(marks) > 1 else None]
        require(not any("(INJECTED)" in t for _, t in before), "injected too early")
        return ([name for name, _ in before], [name for name, _ in after],
                [name for name, t in after if "(INJECTED)" in t])

    def calls(self):
        """Those of the command that was asked with marks."""
        before, names, _ = self.trace()
        # The answer to the mark comes first, that to the command ends it.
        end = len(names) - names[::-1].index("write")
        unknown = set(names) - set(ERRORS) - NEVER_FAILS
        require(not unknown, "no errors are listed here for " + " ".join(unknown))
        first = names.index("read") + 1
        return Calls(before + names[:end], len(before) + first)


# ---- scenarios --------------------------------------------------------------

class Scenario:
    def __init__(self, kind, root, way, edit, short):
        self.kind, self.root, self.way, self.edit, self.short = kind, root, way, edit, short
        self.name = "%s/%s/%s" % (kind, way, edit) + ("/short%d" % short if short else "")
        self.is_diff = edit.startswith("diff")
        self.old = Diff.new_diff(600) if self.is_diff else Image.new(600, layout_of(edit, way))
        self.prepare = []
        self.is_ram = edit in RAM_EDITS
        # What is behind the head goes elsewhere in the file, or is written anew.
        self.moves = edit == "grows" or self.is_diff and edit != "diff-number"
        if self.is_ram:
            self.prepare, self.line = poke_lines(RAM_EDITS[edit]), "save-ram"
            self.new = self.old.poked(RAM_EDITS[edit])
        elif edit.endswith("number"):
            self.line, self.new = "set clock_ref 99", self.old.edited("clock_ref", 99)
        else:
            path = "q" * EDITS[edit]
            self.line, self.new = "set %s %s" % (PATH_LEAF, path), self.old.edited(PATH_LEAF, path)

    def expected_way(self):
        if self.way == "linked":
            return "in place"
        # It is not aligned, as what shares extents has to be.
        if self.is_diff and self.moves:
            return "by a copy"
        # Where RAM stays where it is, what a clone costs may be much more than that of in place. What
        # has none in it is small, and on btrfs in place may find no room to be undone.
        small = self.is_diff or self.edit.startswith("bare")
        if self.kind in ("btrfs", "xfs") and (self.way != "default" or self.edit == "grows" or self.is_ram or small):
            return "by a clone"
        # Only one inserts ranges, as RAM that moves needs.
        if self.way in ("replace", "output") or self.edit == "grows" and self.kind != "ext4":
            return "by a copy"
        return "in place"

    @contextlib.contextmanager
    def case(self):
        folder = tempfile.mkdtemp(dir=self.root)
        try:
            yield Case(self, folder)
        finally:
            shutil.rmtree(folder)


class Case:
    """A snapshot in a folder of its own."""

    def __init__(self, scenario, folder):
        self.scenario, self.folder = scenario, folder
        self.path = self.source = os.path.join(folder, NAME)
        if scenario.way == "output":
            self.source = os.path.join(folder, SOURCE)
        # An output that is there is another snapshot, which may be any.
        for path in {self.path, self.source}:
            scenario.old.write(path)
            os.chown(path, UID, GID)
            os.chmod(path, MODE)
            os.setxattr(path, *XATTR)
        if scenario.way == "linked":
            os.link(self.path, os.path.join(folder, LINK))

    def open_line(self):
        more = {"replace": " replace", "output": " output=" + self.path}.get(self.scenario.way, "")
        return "open " + self.source + more

    @contextlib.contextmanager
    def opened(self, watch=(), inject=(), **others):
        with Driver(others.pop("short", self.scenario.short), watch, inject, **others) as d:
            d.tell(self.open_line())
            for line in self.scenario.prepare:
                d.tell(line)
            d.fds, d.locks_output = int(d.tell("fds")), self.scenario.way == "output"
            yield d

    def holds(self, *images):
        """The snapshot is one of IMAGES, which is returned, and has what it had beside its bytes."""
        with open(self.path, "rb") as f:
            data = f.read()
            st = os.fstat(f.fileno())
            xattrs = {n: os.getxattr(f.fileno(), n) for n in os.listxattr(f.fileno())}
        which = [i for i in images if i.data == data]
        if not which:
            raise Failed("neither the old nor the new bytes" if len(images) > 1 else
                         "not the %s bytes" % self.called(images[0]) + self.difference(data, images[0]))
        snap = reader.Snapshot(self.path)
        require(snap.model == which[0].model, "another container")
        require(snap.ram_offset == which[0].ram_offset, "RAM at %s" % snap.ram_offset)
        require((st.st_uid, st.st_gid, st.st_mode & 0o7777) == (UID, GID, MODE),
                "owner or mode: %d:%d %o" % (st.st_uid, st.st_gid, st.st_mode))
        require(xattrs == dict([XATTR]), "xattrs: %r" % xattrs)
        if self.scenario.way == "linked":
            require(os.path.samefile(self.path, os.path.join(self.folder, LINK)), "the link is another file")
        if self.source != self.path:
            with open(self.source, "rb") as f:
                require(f.read() == self.scenario.old.data, "what was opened has been changed")
        return which[0]

    def called(self, image):
        return {self.scenario.old: "old", self.scenario.new: "new"}.get(image, "newest")

    @staticmethod
    def difference(data, image):
        at = next((i for i, (a, b) in enumerate(zip(data, image.data)) if a != b), None)
        return ": %d of them, not %d, first difference at %s" % (len(data), len(image.data), at)

    def beside(self):
        return set(os.listdir(self.folder)) - {NAME, LINK, SOURCE}

    def clean(self, *allowed):
        require(self.beside() <= set(allowed), "left beside: " + " ".join(sorted(self.beside())))

    def recovers(self, *images):
        """Another program that opens the snapshot finds one of IMAGES."""
        with Driver() as d:
            d.tell("look " + self.path)
        found = self.holds(*images)
        self.clean()
        return found

    def goes_on(self, d, now):
        """The driver, whose snapshot is NOW, saves all that it is given."""
        d.tell("set clock_host_ticks 77")
        now = now.edited("clock_host_ticks", 77)
        self.holds(now)
        self.clean()
        if now.has_ram:
            for line in poke_lines(LATER) + ["save-ram"]:
                d.tell(line)
            now = now.poked(LATER)
            self.holds(now)
            self.clean()
        if d.fds is not None:
            d.keeps_descriptors()
        d.tell("close")
        self.recovers(now)


# ---- the cases --------------------------------------------------------------

def plain(scenario, *sizes):
    """Undisturbed, with short reads and writes too."""
    for short in (None, *sizes):
        with scenario.case() as c, c.opened(short=short) as d:
            d.tell(scenario.line)
            require(d.tell("way") == scenario.expected_way(), "saved " + d.tell("way"))
            d.keeps_descriptors()
            c.holds(scenario.new)
            c.clean()
            c.goes_on(d, scenario.new)


def plain_calls(scenario):
    with scenario.case() as c, c.opened(["all"]) as d:
        require(d.ask_marked(scenario.line).startswith("ok"), "it can't be saved")
        return d.calls()


def nth(calls, i):
    """NAME:N, N what number of its name the call at I is."""
    return "%s:%d" % (calls.names[i], calls.names[:i + 1].count(calls.names[i]))


def at(calls, i, what):
    """To watch and to inject WHAT at the call at I, once."""
    name, n = nth(calls, i).split(":")
    return [name], ["%s:%s:when=%s" % (name, what, n)]


def dead_from(calls, i, until=None):
    """To watch and to inject a disk's death at the call at I, up to the last of the names UNTIL."""
    inject = []
    for name in DISK:
        first = calls.names[:i].count(name) + 1
        last = until.count(name) if until else ""
        if not until or last >= first:
            inject.append("%s:error=EIO:when=%d%s" % (name, first, "..%d" % last if until else "+"))
    return DISK, inject


def candidates(calls, short=None):
    """Where something is done to CALLS: at each of them.

    In SHORT steps only moving data is another case than without; of its rows, which
    can be of hundreds of calls, the ends and the middle stand for all.
    """
    every = [i for i in range(calls.start, len(calls.names))
             if calls.names[i] not in ("read", "write")]
    if not short:
        return every
    rows = [list(row) for data, row in
            itertools.groupby(every, lambda i: calls.names[i] in ("pread64", "pwrite64")) if data]
    # Two of each: a row that copies reads and writes in turn.
    return sorted({i for row in rows
                   for i in (*row[:2], *row[len(row) // 2:][:2], *row[-2:])})


def faults(calls, short=None):
    return [(i, e) for i in candidates(calls, short)
            for e in ERRORS.get(calls.names[i], "").split()]


def few(cases):
    """Those of faults() that a program can tell apart."""
    return [(i, e) for i, e in cases if e not in ("ENOSPC", "EDQUOT")]


def fault(scenario, calls, i, error):
    left = run_fault(scenario, calls, i, error, False)
    if left:
        run_fault(scenario, calls, i, error, True)


def run_fault(scenario, calls, i, error, recover):
    with scenario.case() as c, c.opened(*at(calls, i, "error=" + error)) as d:
        answer = d.ask_marked(scenario.line)
        require(answer, answer or d.death())
        done = answer.startswith("ok")
        if error == "EINTR" and calls.names[i] in RESTARTED:
            require(done, answer)
        elif calls.names[i] == "fsync":
            # What else is ignored is seen in the bytes, this is not.
            require(not done, "a failed fsync was ignored")
        now = c.holds(scenario.new if done else scenario.old)
        left = c.beside()
        # What can't be removed has to stay, until something else can do it.
        c.clean(*[LEFT] * (calls.names[i] == "unlinkat"))
        d.keeps_descriptors()
        if recover:
            d.tell("close")
            c.recovers(now)
            return left
        if not done:
            d.tell(scenario.line)
            c.holds(scenario.new)
            c.clean()
        c.goes_on(d, scenario.new)
        return left


def dead(scenario, calls, i):
    with scenario.case() as c:
        with c.opened(*dead_from(calls, i)) as d:
            answer = d.ask_marked(scenario.line)
            require(answer, answer or d.death())
        c.recovers(scenario.new, *[scenario.old] * (not answer.startswith("ok")))


def until_dead(scenario, calls, i):
    """The names of all calls up to the answer of a save on a disk that dies."""
    with scenario.case() as c, c.opened(*dead_from(calls, i)) as d:
        d.ask_marked(scenario.line)
        before, names, _ = d.trace()
        return before + names


def back(scenario, calls, i):
    """The program lives on and the disk too."""
    until = until_dead(scenario, calls, i)
    with scenario.case() as c, c.opened(*dead_from(calls, i, until)) as d:
        answer = d.ask_marked(scenario.line)
        require(answer, answer or d.death())
        done = answer.startswith("ok")
        d.keeps_descriptors()
        # RAM stays what it is, wherever in the file it may be now.
        pokes = [(7000, b"meanwhile")] if scenario.old.has_ram else []
        lost = []
        for line in poke_lines(pokes):
            told = d.ask(line)
            # RAM that was on the move is not to be had before that is undone.
            if told.startswith("error %d" % errno.EIO) and scenario.moves:
                lost.append(line)
            else:
                require(told == "ok", "%s: %s" % (line, told))
        if not done:
            again = d.ask(scenario.line)
            # Only a name that was taken, and could not be given back, may end it.
            if (again.startswith("error %d " % errno.ESTALE) and calls.names[i] == "fsync"
                    and "renameat2" in calls.names[:i]):
                c.recovers(scenario.old, scenario.new)
                return
            require(again.startswith("ok"), "%.40s: %s" % (scenario.line, again))
        for line in lost:
            d.tell(line)
        now = scenario.new
        if scenario.is_ram and not done and not lost:
            now = now.poked(pokes)
        c.holds(now)
        c.clean(*[LEFT] * done)
        if pokes:
            d.tell("save-ram")
            now = now.poked(pokes)
            c.holds(now)
        c.goes_on(d, now)


def kill_save(c, calls, i):
    with c.opened(*at(calls, i, "signal=KILL")) as d:
        require(not d.ask_marked(c.scenario.line), "it was not killed")


def kill(scenario, calls, i):
    with scenario.case() as c:
        kill_save(c, calls, i)
        # Killed while it answers, it has saved.
        c.recovers(scenario.new, *[scenario.old] * (calls.names[i] != "write"))


def recovery_calls(scenario, calls, i, how):
    with scenario.case() as c:
        kill_save(c, calls, i)
        with Driver(scenario.short, ["all"]) as d:
            d.ask_marked("%s %s" % (how, c.path))
            return d.calls()


def recover_kill(scenario, calls, i, inner, j):
    with scenario.case() as c:
        kill_save(c, calls, i)
        with Driver(scenario.short, *at(inner, j, "signal=KILL")) as d:
            require(not d.ask_marked("look " + c.path), "it was not killed")
        c.recovers(scenario.old, scenario.new)


def recover_fault(scenario, calls, i, how, inner, j, error):
    with scenario.case() as c:
        kill_save(c, calls, i)
        with Driver(scenario.short, *at(inner, j, "error=" + error)) as d:
            answer = d.ask_marked("%s %s" % (how, c.path))
            require(answer, answer or d.death())
            if answer.startswith("ok"):
                # Who may use it from now on must not find half a save.
                now = c.holds(scenario.old, scenario.new)
                c.clean(LEFT)
                if how == "open":
                    c.goes_on(d, now)
                    return
        c.recovers(scenario.old, scenario.new)


# ---- in earnest -------------------------------------------------------------

def fill(root):
    """A file that takes all that is left of the file system."""
    path = os.path.join(root, "filler")
    with open(path, "wb") as f:
        size = 0
        for step in (64 << 20, 1 << 20, 64 << 10, reader.PAGE):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(f.fileno(), size, step)
                    size += step
    return path


def settle(root):
    # What was freed is free only once it is so on the disk, on some.
    subprocess.run(["sync", "-f", root], check=True)


def full(scenario, rooms):
    refused = 0
    for room in rooms:
        with scenario.case() as c, c.opened() as d:
            filler = fill(scenario.root)
            try:
                os.truncate(filler, max(0, os.stat(filler).st_size - room * reader.PAGE))
                settle(scenario.root)
                answer = d.ask(scenario.line)
                done = answer.startswith("ok")
                if not done:
                    refused += 1
                    require(answer.startswith("error %d " % errno.ENOSPC), answer or d.death())
                c.holds(scenario.new if done else scenario.old)
                c.clean()
            finally:
                os.unlink(filler)
                settle(scenario.root)
            if not done:
                d.tell(scenario.line)
            c.goes_on(d, scenario.new)
    require(refused, "the disk was never full")


def remount(root, how):
    subprocess.run(["mount", "-o", "remount," + how, root], check=True)


def refused(d, line, *codes):
    answer = d.ask(line)
    require(answer.startswith(tuple("error %d " % c for c in codes)), "%.40s: %s" % (line, answer))


def read_only(scenario):
    """Half a save can't be undone, and must not be taken for a snapshot."""
    calls = plain_calls(scenario)
    written = max(i for i, name in enumerate(calls.names) if name == "pwrite64")
    with scenario.case() as c:
        kill_save(c, calls, written + 1)
        remount(scenario.root, "ro")
        try:
            with Driver() as d:
                refused(d, "look " + c.path, errno.EROFS)
                refused(d, "open " + c.path, errno.EROFS)
        finally:
            remount(scenario.root, "rw")
        c.recovers(scenario.old)
        remount(scenario.root, "ro")
        try:
            with Driver() as d:
                refused(d, "open " + c.path, errno.EROFS)
                d.tell("look " + c.path)
        finally:
            remount(scenario.root, "rw")
        c.recovers(scenario.old)


def as_user(uid):
    return ["setpriv", "--reuid", str(uid), "--regid", str(GID), "--clear-groups"]


def closed_folder(scenario):
    """Its owner saves it, as soon as the folder lets files be made."""
    with scenario.case() as c:
        os.chmod(c.folder, 0o755)
        with Driver(prefix=as_user(UID), program=os.path.join(scenario.root, "driver")) as d:
            refused(d, "open " + c.path, errno.EACCES)
            # One that is closed later.
            os.chmod(c.folder, 0o777)
            d.tell("open " + c.path)
            os.chmod(c.folder, 0o755)
            for line in scenario.prepare:
                d.tell(line)
            refused(d, scenario.line, errno.EACCES)
            c.holds(scenario.old)
            c.clean()
            os.chmod(c.folder, 0o777)
            d.tell(scenario.line)
            require(d.tell("way") == scenario.expected_way(), "saved " + d.tell("way"))
            c.holds(scenario.new)
            c.goes_on(d, scenario.new)


def not_owner(scenario):
    """One who may not give files away saves in place, or not at all."""
    with scenario.case() as c:
        os.chmod(c.folder, 0o777)
        with Driver(prefix=as_user(UID + 1), program=os.path.join(scenario.root, "driver")) as d:
            d.tell(c.open_line())
            for line in scenario.prepare:
                d.tell(line)
            if scenario.moves and not scenario.is_diff and scenario.kind != "ext4":
                refused(d, scenario.line, errno.EOPNOTSUPP, errno.EPERM)
                c.holds(scenario.old)
                c.clean()
                return
            d.tell(scenario.line)
            require(d.tell("way") == "in place", "saved " + d.tell("way"))
            c.holds(scenario.new)
            c.goes_on(d, scenario.new)


def earnest(kind):
    # Small: filling it takes memory.
    with filesystems.mounted(kind, {"tmpfs": 1 << 20, "btrfs": 128 << 20}.get(kind)) as root:
        def attempt_all(what, function, ways, edits, *args):
            for way, edit in itertools.product(ways, edits):
                attempt(Scenario(kind, root, way, edit, None), what, function, *args)

        Diff.write_base(os.path.join(root, BASE))
        attempt_all(" full", full, WAYS[:2], ("fits", "grows", "bare-grows", "diff-grows", "diff-ram"),
                    range(12) if ALL else (0, 2))
        attempt_all(" read-only", read_only, ("linked",), ("fits", "ram", "diff-grows", "diff-ram"))
        # Other users may not reach where it was built.
        shutil.copy(DRIVER, os.path.join(root, "driver"))
        attempt_all(" closed folder", closed_folder, WAYS[:1], EDITS)
        attempt_all(" not owner", not_owner, WAYS[:2], EDITS)


# ---- running them -----------------------------------------------------------

passed = collections.Counter()
failures = []
stopped = threading.Event()


def wanted(name):
    return not ONLY or any(text in name for text in ONLY)


def check(kind, way, name, function, *args):
    """Run the case, and count it."""
    if stopped.is_set():
        raise SystemExit
    if not wanted(name):
        return
    try:
        function(*args)
    except (Failed, reader.Malformed, OSError) as e:
        failures.append(name)
        print("FAILED %s: %s" % (name, e), flush=True)
        return
    passed[kind, way] += 1
    if sum(passed.values()) % 1000 == 0:
        print("%d cases so far" % sum(passed.values()), flush=True)


def attempt(scenario, what, function, *args):
    check(scenario.kind, scenario.way, scenario.name + what, function, scenario, *args)


def sample(rng, cases, n=SAMPLE):
    return cases if ALL or ONLY or len(cases) <= n else rng.sample(cases, n)


def states(calls, short):
    """The calls to be killed at so that the disk is in each kind of state."""
    changes = [i for i in candidates(calls, short) if calls.names[i] in CHANGES]
    # Of a row of writes, the first and the last.
    ends = [row[end] for _, row in
            ((k, list(g)) for k, g in itertools.groupby(changes, lambda i: calls.names[i]))
            for end in (0, -1)]
    return sorted({i + 1 for i in ends})


def run(scenario):
    try:
        run_all(scenario, random.Random(SEED + scenario.name))
    except Failed as e:
        # Not of one case: its calls could not be told.
        failures.append(scenario.name)
        print("FAILED %s: %s" % (scenario.name, e), flush=True)


def run_all(scenario, rng):
    calls, short = plain_calls(scenario), scenario.short
    if not short:
        attempt(scenario, " plain", plain, *sample(rng, [1, 7, 511, 4096], 1))
    for i, error in sample(rng, faults(calls, short), 2 * SAMPLE):
        attempt(scenario, " fault %s %s" % (nth(calls, i), error), fault, calls, i, error)
    places = candidates(calls, short)
    for i in sample(rng, [i for i in places if calls.names[i] in DISK]):
        attempt(scenario, " dead " + nth(calls, i), dead, calls, i)
        attempt(scenario, " back " + nth(calls, i), back, calls, i)
    for i in sample(rng, [*places, len(calls.names) - 1]):
        attempt(scenario, " kill " + nth(calls, i), kill, calls, i)
    # A number is saved, and so recovered, by the same calls as a path that fits.
    if scenario.edit == "number" and ALL:
        return
    for i in sample(rng, states(calls, short)):
        recovery_kills(scenario, rng, calls, i)
    # What a recovery does when it fails depends on whether there is a journal: two
    # of the states have and have not.
    if not short:
        there = states(calls, short)
        for i, how in itertools.product((there[len(there) // 2], there[-1]), ("look", "open")):
            recovery_faults(scenario, rng, calls, i, how)


def is_wanted_of(scenario, killed):
    # A name begins with this, or a text is in all of them.
    return not ONLY or any(scenario.name + killed in t or wanted(scenario.name + killed)
                           or t in " recover-kill recover-fault" for t in ONLY)


def recovery_kills(scenario, rng, calls, i):
    killed = " killed at %s" % nth(calls, i)
    if not is_wanted_of(scenario, killed):
        return
    inner = recovery_calls(scenario, calls, i, "look")
    for j in sample(rng, candidates(inner, scenario.short)):
        attempt(scenario, "%s, recover-kill %s" % (killed, nth(inner, j)),
                recover_kill, calls, i, inner, j)


def recovery_faults(scenario, rng, calls, i, how):
    killed = " killed at %s" % nth(calls, i)
    if not is_wanted_of(scenario, killed):
        return
    inner = recovery_calls(scenario, calls, i, how)
    for j, error in sample(rng, few(faults(inner))):
        attempt(scenario, "%s, recover-fault by %s %s %s" % (killed, how, nth(inner, j), error),
                recover_fault, calls, i, how, inner, j, error)


def scenarios(kind, root):
    rng = random.Random(SEED + kind)
    # It is there for ranges that can't be inserted, which only RAM that moves needs.
    edits = ("grows",) if kind == "ext3" else EDITS
    for way, edit in itertools.product(WAYS, edits):
        # What is saved first is a new file, and then all is as by default.
        if way == "output" and not (edit in ("grows", "ram") or edit.startswith("diff")):
            continue
        # A third is left out; which, follows from SMFS_TEST_SEED.
        if not (ALL or ONLY) and rng.randrange(3) == 0:
            continue
        yield Scenario(kind, root, way, edit, None)
        # In many steps, so that one can be the last.
        if ALL or ONLY or rng.randrange(3) == 0:
            yield Scenario(kind, root, way, edit, 1000)


def main():
    if os.geteuid() != 0:
        filesystems.skip_or_fail("only root can mount file systems")
    for tool in ("strace", "setpriv"):
        if not shutil.which(tool):
            filesystems.skip_or_fail("no " + tool)
    if not os.access(DRIVER, os.X_OK):
        sys.exit("FAIL: no program " + DRIVER)
    print("seed %s, %s" % (SEED, "all cases" if ALL else "a sample"), flush=True)
    with contextlib.ExitStack() as stack:
        todo = []
        for kind in KINDS:
            try:
                root = stack.enter_context(filesystems.mounted(kind))
            except filesystems.Missing as e:
                filesystems.skip_or_fail("%s: %s" % (kind, e))
            Diff.write_base(os.path.join(root, BASE))
            todo += scenarios(kind, root)
        with concurrent.futures.ThreadPoolExecutor(max_workers=2 * os.cpu_count()) as pool:
            try:
                for job in [pool.submit(run, s) for s in todo]:
                    job.result()
                for kind in KINDS:
                    earnest(kind)
            finally:
                stopped.set()
    for (kind, way), n in sorted(passed.items()):
        print("%s %s: %d" % (kind, way, n))
    print("%d cases passed" % sum(passed.values()))
    if failures:
        sys.exit("FAIL: %d cases" % len(failures))


if __name__ == "__main__":
    main()
