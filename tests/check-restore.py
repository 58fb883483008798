#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap check against the monitor's own restore, on random edits of a machine that it suspended: what
check calls an error of decoding, of a vCPU, a share, a volume or a base is refused by the restore, and
what it has nothing to say of, but for notes, comes up.

The guest does not run. With SMFS_TEST_ALL=1 there are ten times as many.
"""

import collections
import json
import os
import random
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from mounted import Failed, Mount, WorkDir, lacking, require, require_fuse  # noqa: E402

BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
PEER = os.environ.get("SMFS_PEER")
EDITS = int(os.environ.get("SMFS_EDITS", "1000" if os.environ.get("SMFS_TEST_ALL") == "1" else "100"))
SEED = int(os.environ.get("SMFS_SEED", "1"))
# Errors that are no refusals of the monitor's (docs/format.md, "What a restore demands"): a disk that it makes anew,
# one image behind two devices, what the guest's requests would do; and what it reads or sets wrongly.
TAKEN = re.compile(r"devices/(0/backing/path: |\d+/backing/path: .* as well$|\d+/mmio/queues/.*: )|"
                   r"intc/raw: the chip_id of interrupt controller \d is [012]$|"
                   r": .*, inside the container, ")


# What the device says has to be what its state says.
PAIRS = {"devices/%d/backing/dax_" % k + a: "devices/%d/backing/dax_state/" % k + b
         for k in range(8) for a, b in (("gpa", "base_gpa"), ("window_len", "window_len"))}


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          check=False, timeout=120)


class Machine:
    """A machine's snapshot, its base and diff, and what they name; made once, and copied for each edit."""

    def __init__(self, work):
        self.work = work
        self.kept, self.folder = os.path.join(work, "kept"), os.path.join(work, "vm")
        os.mkdir(self.folder)
        for name in ("disk.img", "volume.img"):
            with open(self.file(name), "wb") as f:
                f.truncate(1 << 20)
        os.makedirs(self.file("share/folder"))
        for name in ("a", "folder/b"):
            with open(self.file("share/" + name), "wb") as f:
                f.write(b"shared\n" * 1000)
        made = [run(PEER, "machine", self.file("full.snap"), "--mem", "64", "--disk", self.file("disk.img"),
                    "--volume", self.file("volume.img"), "--vsock", "--share", self.file("share"), "--cpus", "2"),
                run(PEER, "machine", self.file("diff.snap"), "--diff", self.file("full.snap"))]
        require(not any(p.returncode for p in made), "no machine: %r" % [p.stderr[-300:] for p in made])
        shutil.move(self.folder, self.kept)
        self.fresh()
        with Mount(self.file("full.snap"), "-o", "ro") as m:
            self.paths = sorted(os.path.relpath(os.path.join(d, n), m.root)
                                for d, _, names in os.walk(m.root) for n in names)
        with Mount(self.file("full.snap"), "-o", "scratch") as m:
            self.paths = [p for p in self.paths if os.stat(m.path(p)).st_mode & 0o200 and p != "ram"]

    def file(self, name):
        return os.path.join(self.folder, name)

    def fresh(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        require(run("cp", "-a", "--sparse=always", self.kept, self.folder).returncode == 0, "no copy")


def some_number(rng, old):
    value = int(old, 0)
    return rng.choice([0, 1, value + 1, value - 1, value ^ 1 << rng.randrange(64), 1 << rng.randrange(64),
                       rng.getrandbits(64), rng.getrandbits(16), (1 << 64) - 1, value * 2]) % (1 << 64)


def set_value(machine, rng, snap):
    """A field gets another value, one that it takes."""
    for _ in range(100):
        path = rng.choice(machine.paths)
        if rng.randrange(3) == 0:  # not lost among hundreds of registers
            path = rng.choice([p for p in machine.paths if not p.startswith("vcpu") and not p.startswith("intc")])
        old = run(SMSNAP, "get", snap, path).stdout
        if path.endswith("/raw") or path == "tsi_token":
            if not old or not path.startswith(("vcpu", "intc", "devices")):
                continue
            new = bytearray(old)
            for _ in range(rng.randrange(1, 4)):
                new[rng.randrange(len(new))] = rng.randrange(256)
            if rng.randrange(8) == 0:
                new = rng.choice([new[:-1], new + b"\0", new[:rng.randrange(len(new))], b""])
            with open(os.path.join(machine.work, "value"), "wb") as f:
                f.write(new)
            text = "@" + f.name
        elif re.fullmatch(rb"(0x[0-9a-f]+|\d+)\n", old):
            text = str(some_number(rng, old))
        elif old.startswith(b"/"):
            text = rng.choice(["/", "/missing/x", machine.folder, machine.file("disk.img"), machine.file("volume.img"),
                               machine.file("share"), machine.file("share/folder"), machine.file("share/a"),
                               "share", "volume.img", "", machine.folder + "/./share/", old.decode()[:-2],
                               machine.folder + "/link"])
        else:
            text = rng.choice(["blk", "volume", "virtiofs", "vsock", "none", "x", "x" * 35, "x" * 36])
        if not run(SMSNAP, "set", snap, "%s=%s" % (path, text)).returncode:
            if path in PAIRS and rng.randrange(2):
                run(SMSNAP, "set", snap, "%s=%s" % (PAIRS[path], text))
            return "%s=%s" % (path, text if text[:1] != "@" else "some bytes")
    return "nothing"  # it is damaged already


def change_host(machine, rng, snap):
    """A file that the snapshot names goes, shrinks, grows, or turns into something else."""
    name = rng.choice(["volume.img", "share", "share/a", "share/folder", "disk.img"])
    path = machine.file(name)
    how = rng.choice(["remove", "link", "shrink", "grow", "folder", "file", "move"])
    if not os.path.lexists(path) or os.path.lexists(path + ".away"):
        return "nothing"
    if how in ("shrink", "grow") and os.path.isdir(path):
        how = "remove"
    if how == "shrink":
        os.truncate(path, rng.choice([0, 1, 4096, (1 << 20) - 1]))
    elif how == "grow":
        os.truncate(path, 2 << 20)
    else:
        os.rename(path, path + ".away")
        if how == "link":
            os.symlink(path + ".away", path)
        elif how == "folder":
            os.mkdir(path)
        elif how == "file":
            open(path, "wb").close()
        elif how == "remove":
            run("rm", "-rf", path + ".away")
    return "%s: %s" % (name, how)


def change_bytes(machine, rng, snap):
    """Bytes of the head are other ones, or the file ends sooner."""
    head = rng.choice([64, 512, 4096, 7000])
    with open(snap, "r+b") as f:
        if rng.randrange(5) == 0:
            f.truncate(rng.choice([rng.randrange(9000), os.path.getsize(snap) - 1, os.path.getsize(snap) - 4096]))
            return "cut to %d" % os.path.getsize(snap)
        at = rng.randrange(head)
        f.seek(at)
        byte = rng.choice([0, 1, 255, rng.randrange(256)])
        f.write(bytes([byte]))
    return "byte %d is %d" % (at, byte)


def change_base(machine, rng, snap):
    base = machine.file("full.snap")
    how = rng.randrange(5)
    if how == 0:
        run("rm", "-f", base)
    elif not os.path.isfile(base):
        return "nothing"
    elif how == 1:
        os.truncate(base, os.path.getsize(base) - rng.choice([1, 4096]))
    elif how == 2:
        shutil.copy(snap, base)
    elif how == 3:
        with open(base, "r+b") as f:
            f.seek(rng.randrange(400))
            f.write(bytes([rng.randrange(256)]))
    else:
        run(SMSNAP, "set", snap, "layout/base=" + rng.choice(["/missing", machine.folder, machine.file("disk.img"),
                                                             "full.snap", base, machine.file("link")]))
    return "the base: %d" % how


def findings(snap):
    """(level, path, what is wrong), without notes; an error with the path "" is that it is not opened."""
    p = run(SMSNAP, "check", "--json", snap)
    require(p.returncode in (0, 1), "smsnap check: status %d, %r" % (p.returncode, p.stderr))
    found = [(f["level"], f["path"], f["wrong"]) for f in json.loads(p.stdout or "[]") if f["level"] != "note"]
    if p.stderr:
        require(p.returncode == 1 and p.stderr.count(b"\n") == 1, "smsnap check: %r" % p.stderr)
        found.append(("error", "", p.stderr.decode(errors="replace").strip()))
    require(any(f[0] == "error" for f in found) == (p.returncode == 1), "smsnap check: status %d with %r" % (p.returncode, found))
    return found


def attempt(machine, rng, counts):
    machine.fresh()
    os.symlink(machine.file("share"), machine.file("link"))
    diff = rng.randrange(4) == 0
    snap = machine.file("diff.snap" if diff else "full.snap")
    ways = [set_value] * 6 + [change_host] * 2 + [change_bytes] + [change_base] * (2 if diff else 0)
    done = [rng.choice(ways)(machine, rng, snap) for _ in range(rng.choice([1, 1, 2, 3]))]
    found = findings(snap)
    p = run(PEER, "restore", snap)
    restored = p.stdout.startswith(b"restored")
    refusing = [f for f in found if f[0] == "error" and not TAKEN.match("%s: %s" % f[1:])]
    what = "%s, %s: check says %r, the restore %s" % (os.path.basename(snap), "; ".join(done), found,
                                                     "came up" if restored else (p.stdout + p.stderr)[-300:])
    counts["restored" if restored else "refused"] += 1
    if refusing and restored:
        return "refused by check alone: " + what
    if not found and not restored:
        return "refused by the restore alone: " + what
    return None


def main():
    require_fuse()
    if not PEER:
        lacking("SMFS_PEER, the program of tests/peer; it needs cargo 1.85 or newer")
    if not os.path.exists("/dev/kvm"):
        lacking("/dev/kvm")
    wrong, counts = [], collections.Counter()
    with WorkDir() as work:
        try:
            machine = Machine(work)
            for name in ("full.snap", "diff.snap"):
                require(not findings(machine.file(name)), "%s, as it was suspended: %r" % (name, findings(machine.file(name))))
            for k in range(EDITS):
                found = attempt(machine, random.Random(SEED * 1000000 + k), counts)
                if found:
                    wrong.append("edit %d: %s" % (k, found))
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    for line in wrong:
        print(line)
    if wrong:
        sys.exit("FAIL: %d of %d edits are judged otherwise by the monitor" % (len(wrong), EDITS))
    require(counts["restored"] and counts["refused"], "all were alike: %r" % counts)
    print("ok: %d edits, %d came up and %d were refused" % (EDITS, counts["restored"], counts["refused"]))


if __name__ == "__main__":
    main()
