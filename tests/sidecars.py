#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files beside an hvf snapshot: what is shown of them, against another reader; files that lie;
and that a share which moves takes its state there along, in one save with the snapshot. A sample
of the kills; all with SMFS_TEST_ALL=1.
"""

import copy
import errno
import importlib.util
import os
import random
import re
import shutil
import stat
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
import snapstates  # noqa: E402
from mounted import Failed, Mount, WorkDir, expect, lacking, require, require_fuse  # noqa: E402
from snapfile import HVF_RAM, Cursor, blob, new_layout, num, write_file  # noqa: E402
from snapmake import maybe, random_backend, random_dax, sample_device, sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
POSIXFS, DAX, SMPARK = ".posixfs", ".dax_sidecar", ".smpark"
ALL = os.environ.get("SMFS_TEST_ALL") == "1"
# States of 71 inodes: more than a piece of a listing holds.
LISTED = 80 if ALL else 20
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    require(want == got, "%s: expected %.2000r, got %.2000r" % (what, want, got))


def run(status, *arguments, prefix=()):
    done = subprocess.run([*prefix, SMSNAP, *arguments], check=False, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120)
    require(done.returncode == status, "%r: exit status %d: %r" % (arguments, done.returncode, done.stderr))
    return done


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


# ---- writing and reading them, after the description ---------------------------

def table(magic, blobs, version=1):
    return magic + num(version, 4) + num(len(blobs), 4) + b"".join(map(blob, blobs))


def posixfs(blobs):
    return table(b"PFXS", blobs)


def dax(blobs):
    return table(b"DAXC", blobs)


def smpark(gpa):
    return b"SMPK" + num(1, 4) + num(gpa, 8)


def blobs_of(data):
    c = Cursor(data, 8)
    return [c.blob(1 << 24) for _ in range(c.num(4))]


def state(root, paths=(), more=(), version=2):
    """A share's inodes: ROOT, what is at PATHS below it, and MORE that are elsewhere."""
    everything = [root] + [root + p for p in paths] + list(more)
    inodes = b"".join(num(i + 1, 8) + num(1 if i == 0 else 0, 1) + blob(p) for i, p in enumerate(everything))
    tail = num(7, 8) + num(1, 8) + num(6, 8) + num(2, 8) + num(0x8000, 4) + num(0, 4) if version == 2 else b""
    return (b"PFSS" + num(version, 4) + num(99, 8) + num(len(everything), 8) + inodes
            + num(1, 8) + num(1, 8) + blob(b"name\n") + num(2, 8) + tail)


def window(gpa, size, slots):
    return (b"DAXS" + num(1, 4) + num(gpa, 8) + num(size, 8) + num(size, 8) + num(4096, 8) + num(len(slots), 8)
            + b"".join(num(v, 8) for s in slots for v in s))


def text_of(path, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\n"
    return b"%s\n" % (b"0x%x" % value if snapstates.is_hex(path) else b"%d" % value)


def expected(files):
    """Leaves below /sidecars by path, and the directories."""
    leaves, directories = {}, set()
    for suffix, name, read_state in ((POSIXFS, "posixfs", snapstates.read_backend), (DAX, "dax", snapstates.read_dax)):
        if suffix not in files:
            continue
        directories.add(name)
        for i, data in enumerate(blobs_of(files[suffix])):
            at = "%s/%d" % (name, i)
            directories.add(at)
            leaves[at + "/raw"] = data
            try:
                s = read_state(data)
            except snapstates.Malformed:
                continue
            directories.update(at + "/" + d for d in s.directories)
            leaves.update({"%s/%s" % (at, p): text_of(p, f.value) for p, f in s.fields.items()})
    if SMPARK in files:
        directories.add("smpark")
        leaves["smpark/version"] = b"1\n"
        leaves["smpark/gpa"] = b"0x%x\n" % int.from_bytes(files[SMPARK][8:16], "little")
    return leaves, directories


# ---- snapshots -----------------------------------------------------------------

class Made:
    """An hvf snapshot with a share for each of HOST_PATHS, and files beside it."""

    def __init__(self, folder, host_paths=("/srv/share",), files=None, layout="hvf", room=65536):
        self.path = os.path.join(folder, "restore.snap")
        self.model = copy.deepcopy(sample_model())
        self.model["mem_size"] = 16384
        del self.model["devices"][3]
        for i, host_path in enumerate(host_paths):
            self.model["devices"].append(sample_device(3 + i, "virtiofs", 2, {
                "type": "virtiofs", "tag": "t%d" % i, "mount": "/m%d" % i, "host_path": host_path,
                "dax_gpa": (1 + i) << 36, "dax_window_len": 1 << 20, "backend_state": b"", "dax_state": b""}))
        write_file(self.path, self.model, new_layout(self.model, layout, room), b"R" * 16384)
        self.files = {}
        for suffix in (POSIXFS, DAX, SMPARK):
            if os.path.lexists(self.path + suffix):
                os.unlink(self.path + suffix)
        self.beside(**(files or {}))

    def beside(self, **files):
        for name, data in files.items():
            suffix = {"posixfs": POSIXFS, "dax": DAX, "smpark": SMPARK}[name]
            write(self.path + suffix, data)
            self.files[suffix] = data


# ---- what is shown -------------------------------------------------------------

def check_mounted(made, m, want=None):
    leaves, directories = want or expected(made.files)
    top = m.path("sidecars")
    seen = set()
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            st, inside = os.lstat(path), os.path.relpath(path, top)
            seen.add(inside)
            if name in names:
                require(inside in directories, "a directory %s" % inside)
                same(inside, 0o500, stat.S_IMODE(st.st_mode))
                continue
            require(inside in leaves, "a file %s" % inside)
            content = read(path)
            same(inside, leaves[inside], content)
            same(inside + ": size", len(content), st.st_size)
            same(inside + ": mode", 0o400, stat.S_IMODE(st.st_mode))
            same(inside + ": mtime", True, st.st_mtime > 1e9)
    same("names", set(leaves) | directories, seen)


def check_commands(made, want=None):
    leaves, directories = want or expected(made.files)
    listed = run(0, "ls", made.path, "/sidecars").stdout.decode().split()
    same("ls", sorted({d.split("/")[0] for d in directories}), listed)
    for directory in sorted(directories):
        names = {p[len(directory) + 1:].split("/")[0] for p in [*leaves, *directories] if p.startswith(directory + "/")}
        same("ls " + directory, names, set(run(0, "ls", made.path, "sidecars/" + directory).stdout.decode().split()))
    paths = sorted(leaves)
    if paths:
        got = run(0, "get", made.path, *["sidecars/" + p for p in paths]).stdout
        same("get of all", b"".join(leaves[p] for p in paths), got)


def shown(work):
    for seed in range(12 if ALL else 4):
        rng = random.Random(seed)
        made = Made(work, files={
            "posixfs": posixfs([rng.choice([b"", maybe(rng, random_backend), random_backend(rng)])
                                for _ in range(rng.randrange(5))]) + rng.choice([b"", b"rest"]),
            "dax": dax([maybe(rng, random_dax) for _ in range(rng.randrange(4))]),
            "smpark": smpark(rng.randrange(1 << 64)) + rng.choice([b"", b"more"])})
        for suffix in rng.sample([POSIXFS, DAX, SMPARK], rng.randrange(3)):
            os.unlink(made.path + suffix)
            del made.files[suffix]
        check_commands(made)
        with Mount(made.path, *rng.choice([(), ("-o", "ro"), ("-o", "scratch")])) as m:
            check_mounted(made, m)
    # More than a piece of a listing.
    made = Made(work, files={"posixfs": posixfs([state(b"/srv", [b"/%d" % i for i in range(70)])] * LISTED)})
    with Mount(made.path) as m:
        check_mounted(made, m)
        found = subprocess.run(["find", m.path("sidecars"), "-name", "path"], check=True, stdout=subprocess.PIPE)
        same("find", LISTED * 71, found.stdout.count(b"\n"))


def absent(work):
    """Nothing is shown without files, or in another layout; nor is any in the dump."""
    made = Made(work)
    require("sidecars" not in run(0, "ls", made.path).stdout.decode().split(), "a folder of nothing")
    run(1, "ls", made.path, "sidecars")
    with Mount(made.path) as m:
        expect("a folder of nothing", "ENOENT", os.stat, m.path("sidecars"))
    plain = run(0, "dump", made.path).stdout
    made.beside(posixfs=posixfs([state(b"/srv/share")]))
    same("dump", plain, run(0, "dump", made.path).stdout)
    kvm = Made(work, layout="kvm", files={"posixfs": posixfs([state(b"/srv/share")])})
    require("sidecars" not in run(0, "ls", kvm.path).stdout.decode().split(), "of layout kvm")


def read_only(work):
    made = Made(work, files={"posixfs": posixfs([state(b"/srv/share", [b"/a"])]), "smpark": smpark(5)})
    before = {s: read(made.path + s) for s in ("", POSIXFS, SMPARK)}
    with Mount(made.path) as m:
        for path in ("posixfs/0/raw", "posixfs/0/next_nodeid", "posixfs/0/inodes/1/path", "smpark/gpa"):
            path = m.path("sidecars/" + path)
            expect("open to write", "EACCES", os.open, path, os.O_WRONLY)
            expect("open to empty", "EACCES", os.open, path, os.O_RDONLY | os.O_TRUNC)
            expect("truncate", "EACCES", os.truncate, path, 0)
            expect("unlink", "EPERM", os.unlink, path)
            expect("rename", "EPERM", os.rename, path, path + "x")
            expect("rename over it", "EPERM", os.rename, m.path("num_cpus"), path)
        for folder in ("", "/posixfs", "/posixfs/0", "/smpark"):
            expect("create", "EPERM", os.open, m.path("sidecars" + folder + "/x"), os.O_CREAT | os.O_EXCL | os.O_RDWR)
            expect("mkdir", "EPERM", os.mkdir, m.path("sidecars" + folder + "/x"))
        expect("rmdir", "EPERM", os.rmdir, m.path("sidecars"))
        expect("what is not there", "ENOENT", os.stat, m.path("sidecars/posixfs/1"))
        expect("below a file", "ENOTDIR", os.stat, m.path("sidecars/smpark/gpa/x"))
    with Mount(made.path, "-o", "ro") as m:
        expect("open to write, ro", "EROFS", os.open, m.path("sidecars/smpark/gpa"), os.O_WRONLY)
    require(b"Permission denied" in run(1, "set", made.path, "sidecars/smpark/gpa=1").stderr, "set")
    same("the files", before, {s: read(made.path + s) for s in before})


def changed_beneath(work):
    made = Made(work, files={"posixfs": posixfs([state(b"/srv/share")]), "smpark": smpark(5)})
    with Mount(made.path) as m:
        with open(m.path("sidecars/smpark/gpa"), "rb", buffering=0) as opened:
            write(made.path + SMPARK, smpark(6))
            same("open before", b"0x5\n", opened.read())
        expect("changed beneath", "ESTALE", os.open, m.path("sidecars/smpark/gpa"), os.O_RDONLY)
        same("another", b"99\n", read(m.path("sidecars/posixfs/0/next_nodeid")))
        os.unlink(made.path + POSIXFS)
        expect("removed", "ESTALE", os.open, m.path("sidecars/posixfs/0/raw"), os.O_RDONLY)
        # What was another program's is not saved over, and then nothing is.
        before = read(made.path)
        write(made.path + POSIXFS, posixfs([state(b"/srv/share", [b"/new"])]))
        for _ in range(2):
            try:
                write(m.path("devices/3/backing/host_path"), b"/moved\n")
                got = 0
            except OSError as e:
                got = e.errno
            same("an edit after that", errno.ESTALE, got)
        same("the snapshot", before, read(made.path))
        write(m.path("devices/0/backing/path"), b"/another\n")  # nothing of theirs


# ---- files that lie ------------------------------------------------------------

def hostile(work):
    good = posixfs([state(b"/srv/share", [b"/a", b"/b"]), b"", state(b"/srv", version=1)])
    whole = expected({POSIXFS: good})
    nothing = ({}, set())

    def refused(what, says=None, suffix=POSIXFS):
        done = run(0, "ls", made.path, "sidecars")
        lines = done.stderr.decode().splitlines()
        same(what + ": one line", 1, len(lines))
        require(made.path + suffix + ": " in lines[0], lines[0])
        require(says is None or re.search(says, lines[0]), "%s: %s" % (what, lines[0]))
        same(what + ": nothing", b"", done.stdout)
        found = subprocess.run([SMSNAP, "check", made.path, "--json", "--host-root", work], check=False,
                               stdout=subprocess.PIPE).stdout.decode()  # of other things, errors
        require('"sidecars/%s"' % {POSIXFS: "posixfs", DAX: "dax", SMPARK: "smpark"}[suffix] in found and "warning" in found,
                "%s: check says %s" % (what, found))

    made = Made(work)
    os.makedirs(work + "/srv/share", exist_ok=True)
    # Every prefix; the kernel's own limit keeps a run short.
    for n in range(len(good)):
        write(made.path + POSIXFS, good[:n])
        if n % 7 == 0 or n < 20:
            refused("prefix of %d bytes" % n, "offset 0x")
        else:
            same("prefix of %d bytes" % n, b"", run(0, "ls", made.path, "sidecars").stdout)
    made.files = {POSIXFS: good}
    write(made.path + POSIXFS, good + b"what is after it")
    check_commands(made, whole)
    lies = {
        "another magic": (b"PFXT" + good[4:], "magic: offset 0x0"),
        "another version": (table(b"PFXS", [], 2), "version: offset 0x4: is 2, only 1"),
        "the magic of another": (dax([]), "magic"),
        "a count of 4 Gi": (b"PFXS" + num(1, 4) + num(0xffffffff, 4) + bytes(4096), r"posixfs/1024/raw: offset 0x100c"),
        "a blob of 4 GiB": (b"PFXS" + num(1, 4) + num(1, 4) + num(0xffffffff, 4) + b"x", r"posixfs/0/raw: offset 0xc: 4294967295"),
        "a blob of more than 16 MiB": (b"PFXS" + num(1, 4) + num(1, 4) + num((16 << 20) + 1, 4) + bytes((16 << 20) + 1),
                                       "at most 16777216"),
        "empty": (b"", "offset 0x0"),
    }
    for what, (data, says) in lies.items():
        write(made.path + POSIXFS, data)
        refused(what, says)
    for data in (b"", b"SMPK", smpark(1)[:15], b"SMPK" + num(2, 4) + num(1, 8), b"PARK" + smpark(1)[4:]):
        os.unlink(made.path + POSIXFS) if os.path.exists(made.path + POSIXFS) else None
        write(made.path + SMPARK, data)
        refused("smpark %r" % data, suffix=SMPARK)
    os.unlink(made.path + SMPARK)
    # The longest blob, and one that is no state.
    made.beside(posixfs=posixfs([bytes(16 << 20), b"PFSS" + bytes(20)]))
    check_commands(made)

    def replaced(make):
        os.unlink(made.path + POSIXFS)
        make(made.path + POSIXFS)

    write(work + "/secret", good)
    replaced(lambda p: os.symlink(work + "/secret", p))
    refused("a symbolic link", "symbolic link")
    replaced(os.mkfifo)
    refused("a FIFO", "not a regular file")
    replaced(lambda p: os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 5)))
    refused("/dev/zero", "not a regular file")
    replaced(os.mkdir)
    refused("a directory", "not a regular file")
    os.rmdir(made.path + POSIXFS)
    # Holes: no bytes, but a size.
    with open(made.path + POSIXFS, "wb") as f:
        f.write(b"PFXS" + num(1, 4) + num(0xffffffff, 4))
        f.truncate(1 << 40)
    refused("a TiB of holes", "at most")
    with Mount(made.path, stderr=subprocess.PIPE) as m:
        same("mounted, nothing", [], os.listdir(m.path("sidecars")))
        same("mounted, the rest", b"4\n", read(m.path("num_cpus")))
        require(m.memory("VmHWM") < 200 << 20, "memory: %d" % m.memory("VmHWM"))
        same("another listing", [], os.listdir(m.path("sidecars")))
        write(m.path("devices/3/backing/host_path"), b"/moved\n")
        m.process.send_signal(0)
    said = m.process.stderr.read().decode()
    same("said at the mount", 1, said.count(".posixfs: "))


# ---- other commands ------------------------------------------------------------

def commands(work):
    global checks
    files = {"posixfs": posixfs([state(b"/srv/share", [b"/a"])]), "dax": dax([window(1 << 36, 1 << 20, [])]), "smpark": smpark(0x80001000)}
    one, two = os.path.join(work, "one"), os.path.join(work, "two")
    os.makedirs(one)
    os.makedirs(two)
    a, b = Made(one, files=files), Made(two, files=files)
    same("diff of the same", b"", run(0, "diff", a.path, b.path).stdout)
    b.beside(posixfs=posixfs([state(b"/srv/share", [b"/b"])]), smpark=smpark(0x80002000))
    same("diff", b'sidecars/posixfs/0/inodes/1/path: "/srv/share/a" -> "/srv/share/b"\n'
                 b"sidecars/smpark/gpa: 0x80001000 -> 0x80002000\n", run(1, "diff", a.path, b.path).stdout)
    os.unlink(b.path + SMPARK)
    require(b"sidecars/smpark/gpa: 0x80001000 -> (not there)" in run(1, "diff", a.path, b.path).stdout, "diff of one")
    for suffix in (POSIXFS, DAX):
        os.unlink(b.path + suffix)
    require(b"sidecars/dax/0/window_len: 1048576 -> (not there)" in run(1, "diff", a.path, b.path).stdout, "diff of one")
    require(b'"a": null' in run(1, "diff", "--json", b.path, a.path).stdout, "diff as JSON")
    require(re.search(rb"sidecars +posixfs 1, dax 1, smpark 0x80001000", run(0, "info", a.path).stdout), "info")
    # An hvf snapshot takes them along, another layout can't.
    out = os.path.join(work, "out")
    for name in (POSIXFS, SMPARK):
        write(out + name, b"of another")
    same("convert", b"", run(0, "convert", a.path, "-o", out).stderr)
    for suffix, data in a.files.items():
        same("convert: " + suffix, data, read(out + suffix))
        same("convert: mode", 0o600, stat.S_IMODE(os.stat(out + suffix).st_mode))
    same("diff of the converted", b"", run(0, "diff", a.path, out).stdout)
    run(0, "set", a.path, "layout/ram_gpa=0")
    said = run(0, "convert", a.path, "-o", work + "/bare", "--layout", "bare").stderr
    same("convert to bare", 3, said.count(b" is left out: layout bare"))
    require(not os.path.exists(work + "/bare.posixfs"), "beside a bare one")
    require(run(0, "convert", b.path, "-o", out).stderr.count(b"remove it before a restore") == 3, "what was there")
    os.mkfifo(b.path + DAX)
    require(b"is written, and not" in run(1, "convert", b.path, "-o", out).stderr, "a FIFO")
    checks += 8


def check(work):
    """Each rule of check finds its damage, and nothing where there is none."""
    root = os.path.join(work, "root")
    os.makedirs(root + "/srv/share")
    os.makedirs(root + "/srv/two")
    write(root + "/srv/share/a", b"x")
    good = {"posixfs": posixfs([state(b"/srv/share", [b"/a"]), state(b"/srv/two")]),
            "dax": dax([window(1 << 36, 1 << 20, [(0, 4096, 2, 0, 1)]), window(2 << 36, 1 << 20, [])]),
            "smpark": smpark(0x80001000)}

    def found(**files):
        made = Made(work, ("/srv/share", "/srv/two"), {**good, **files})
        out = subprocess.run([SMSNAP, "check", made.path, "--host-root", root], check=False, stdout=subprocess.PIPE)
        return [line for line in out.stdout.decode().splitlines() if "sidecars" in line]

    def one(path, says, **files):
        lines = found(**files)
        same("findings of %r: %r" % (path, lines), 1, len(lines))
        require(lines[0].startswith("warning " + path + ": ") and says in lines[0], lines[0])

    same("nothing is wrong", [], found())
    made = Made(work, ("/srv/share", "/srv/two"), {**good, "posixfs": posixfs([state(b"/srv/share"), state(b"/srv/other")])})
    with Mount(made.path) as m:
        require(b"warning sidecars/dax/0/slots/0/nodeid: there is no inode 2" in read(m.path("check")), "the file check")
    same("empty states", [], found(posixfs=posixfs([b"", b""]), dax=dax([b"", b""])))
    one("sidecars/posixfs/1/inodes/0/path", "/srv/other", posixfs=posixfs([state(b"/srv/share", [b"/a"]), state(b"/srv/other")]))
    one("sidecars/posixfs/1/raw", "no such state", posixfs=posixfs([state(b"/srv/share", [b"/a"]), b"junk"]))
    one("sidecars/posixfs", "1, and", posixfs=posixfs([state(b"/srv/share", [b"/a"])]))
    one("sidecars/posixfs/0/inodes/1/path", "No such file", posixfs=posixfs([state(b"/srv/share", [b"/gone"]), b""]))
    one("sidecars/dax/0/base_gpa", "dax_gpa is", dax=dax([window(3 << 36, 1 << 20, []), b""]))
    one("sidecars/dax/1/window_len", "dax_window_len is", dax=dax([b"", window(2 << 36, 1 << 21, [])]))
    one("sidecars/dax/0/slots/0/nodeid", "no inode 7", dax=dax([window(1 << 36, 1 << 20, [(0, 4096, 7, 0, 1)]), b""]))
    one("sidecars/dax/0/slots/0/len", "not in a window", dax=dax([window(1 << 36, 1 << 20, [(1 << 20, 4096, 2, 0, 1)]), b""]))
    one("sidecars/dax/0/slots/1/moffset", "overlaps", dax=dax([window(1 << 36, 1 << 20, [(0, 4096, 2, 0, 1)] * 2), b""]))


# ---- a share that moves --------------------------------------------------------

def moved(files, host_paths):
    """The states after the n-th share moved to the n-th of HOST_PATHS; None: it did not."""
    blobs = [snapstates.move_share(b, p.encode()) if p is not None else b
             for b, p in zip(blobs_of(files[POSIXFS]), host_paths)]
    blobs += blobs_of(files[POSIXFS])[len(blobs):]
    rest = files[POSIXFS][len(posixfs(blobs_of(files[POSIXFS]))):]
    return posixfs(blobs) + rest


def moves(work):
    hosts = ("/srv/a/one", "/srv/b", "/srv/a/two", "/link")

    def states_at(place):
        return [state(place + b"/one", [b"/x", b"/y\n"], [place + b"/onerous", b"/elsewhere"]), state(b"/srv/b", [b"/z"]),
                state(place + b"/two", version=1), state(place + b"/linked", [b"/q"])]

    states = states_at(b"/srv/a")
    made = Made(work, hosts, {"posixfs": posixfs(states) + b"rest", "dax": dax([]), "smpark": smpark(1)})
    os.chmod(made.path + POSIXFS, 0o640)
    os.chown(made.path + POSIXFS, 1234, 4321)
    try:
        os.setxattr(made.path + POSIXFS, "user.note", b"kept")
    except OSError:
        pass  # not everywhere
    os.link(made.path + POSIXFS, work + "/another name")
    before = os.stat(made.path + POSIXFS)
    old = {s: read(made.path + s) for s in ("", POSIXFS, DAX, SMPARK)}
    # The last one's host_path is a link, and stays; what the table says lies below it does not.
    want = posixfs(states_at(b"/new/place")) + b"rest"
    dry = run(0, "retarget", "--dry-run", made.path, "/srv/a=/new/place").stdout.decode()
    for line in ('sidecars/posixfs/0/inodes/0/path: "/srv/a/one" -> "/new/place/one"',
                 'sidecars/posixfs/0/inodes/1/path: "/srv/a/one/x" -> "/new/place/one/x"',
                 'sidecars/posixfs/0/inodes/3/path: "/srv/a/onerous" -> "/new/place/onerous"',
                 'sidecars/posixfs/2/inodes/0/path: "/srv/a/two" -> "/new/place/two"',
                 'sidecars/posixfs/3/inodes/1/path: "/srv/a/linked/q" -> "/new/place/linked/q"'):
        require(line + "\n" in dry, "%s is not in %s" % (line, dry))
    require("elsewhere" not in dry and "posixfs/1" not in dry and "raw" not in dry, dry)
    same("a dry run", old, {s: read(made.path + s) for s in old})
    same("what is printed", dry, run(0, "retarget", made.path, "/srv/a=/new/place").stdout.decode())
    same("the states", want, read(made.path + POSIXFS))
    same("the others", [old[DAX], old[SMPARK]], [read(made.path + DAX), read(made.path + SMPARK)])
    after = os.stat(made.path + POSIXFS)
    for field in ("st_ino", "st_nlink", "st_mode", "st_uid", "st_gid"):
        same(field, getattr(before, field), getattr(after, field))
    os.unlink(work + "/another name")
    got = reader.Snapshot(made.path).model
    same("host_path", ["/new/place/one", "/srv/b", "/new/place/two", "/link"], [d["backing"]["host_path"] for d in got["devices"][3:]])
    same("nothing is left", {"restore.snap" + s for s in old}, {n for n in os.listdir(work) if n.startswith("restore")})
    # Back, which gives the bytes that there were.
    run(0, "retarget", made.path, "/new/place=/srv/a")
    same("there and back", old, {s: read(made.path + s) for s in old})
    # Where only the states' count is less, and where the file is not understood, the rest goes on.
    made.beside(posixfs=posixfs(states[:1]))
    run(0, "retarget", made.path, "/srv=/s")
    same("fewer", posixfs(states_at(b"/s/a")[:1]), read(made.path + POSIXFS))
    made.beside(posixfs=b"junk")
    require(b"restore.snap.posixfs: " in run(0, "retarget", made.path, "/s=/srv").stderr, "not told of it")
    same("junk", b"junk", read(made.path + POSIXFS))
    same("host_path", "/srv/a/one", reader.Snapshot(made.path).model["devices"][3]["backing"]["host_path"])


def moves_alone(work):
    """Only the file beside the snapshot has what there is to move."""
    made = Made(work, ("/link",), {"posixfs": posixfs([state(b"/srv/one", [b"/x"])])})
    before = read(made.path)
    for mappings in (["/srv=/new"], ["/new=/srv", "/link=/link"]):
        out = run(0, "retarget", made.path, *mappings).stdout.decode()
        root = mappings[0].split("=")[1] + "/one"
        require('/0/path: "' in out and '-> "%s"\n' % root in out, out)
        same("the state alone, " + root, posixfs([state(root.encode(), [b"/x"])]), read(made.path + POSIXFS))
        same("the snapshot", before, read(made.path))
    run(1, "retarget", made.path, "/new=/x")


def moves_mounted(work):
    states = [state(b"/srv/one", [b"/x"]), state(b"/srv/two")]
    made = Made(work, ("/srv/one", "/srv/two"), {"posixfs": posixfs(states)})
    with Mount(made.path) as m:
        check_mounted(made, m)
        for place in ("/a/longer/path/than/before", "/s", "/srv/one"):
            write(m.path("devices/3/backing/host_path"), place.encode() + b"\n")
            made.files[POSIXFS] = moved({POSIXFS: posixfs(states)}, (place, None))
            same("the file", made.files[POSIXFS], read(made.path + POSIXFS))
            check_mounted(made, m)
        same("the old bytes", posixfs(states), read(made.path + POSIXFS))
    for options, there in (("save=sync", True), ("scratch", False), ("output=" + work + "/out", False)):
        made = Made(work, ("/srv/one", "/srv/two"), {"posixfs": posixfs(states)})
        with Mount(made.path, "-o", options) as m:
            write(m.path("devices/4/backing/host_path"), b"/held\n")
            if options == "save=sync":
                same("held", posixfs(states), read(made.path + POSIXFS))
        want = moved({POSIXFS: posixfs(states)}, (None, "/held")) if there else posixfs(states)
        same(options, want, read(made.path + POSIXFS))
    # It is not to be written: nothing is.
    made = Made(work, files={"posixfs": posixfs([state(b"/srv/share")])})
    before = read(made.path)
    os.chmod(work, 0o777)
    for suffix in ("", POSIXFS):
        os.chown(made.path + suffix, 1234, 1234)
    os.chmod(made.path + POSIXFS, 0o400)
    done = subprocess.run(["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", SMSNAP, "retarget", made.path,
                           "/srv=/new"], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if b"Permission denied" not in done.stderr or b"posixfs" not in done.stderr:
        # Not where it was built in a folder of root's.
        require(done.returncode in (126, 127), "status %d: %r" % (done.returncode, done.stderr))
    same("the snapshot", before, read(made.path))


def moves_under_readers(work):
    """Who reads while a share moves gets the state before or after it, and no error."""
    first = state(b"/srv/one", [b"/%d" % i for i in range(40)])
    made = Made(work, ("/srv/one",), {"posixfs": posixfs([first])})
    places = [b"/srv/one", b"/x", b"/much" + b"/longer" * 30]
    right = {snapstates.move_share(first, p) for p in places}
    paths = {p + b"/6\n" for p in places}
    wrong, reads, done = [], [], threading.Event()

    def look(m):
        while not done.is_set():
            try:
                if read(m.path("sidecars/posixfs/0/raw")) not in right or \
                        read(m.path("sidecars/posixfs/0/inodes/7/path")) not in paths:
                    wrong.append("other bytes")
                os.stat(m.path("sidecars/posixfs/0/inodes/3/path"))
                if len(os.listdir(m.path("sidecars/posixfs/0/inodes"))) != 41:
                    wrong.append("another listing")
            except OSError as e:
                wrong.append(e)
            reads.append(1)

    with Mount(made.path) as m:
        threads = [threading.Thread(target=look, args=(m,)) for _ in range(4)]
        for t in threads:
            t.start()
        for i in range(300 if ALL else 60):
            write(m.path("devices/3/backing/host_path"), places[i % 3] + b"\n")
        while len(reads) < 100 and not wrong:
            write(m.path("devices/3/backing/host_path"), places[len(reads) % 3] + b"\n")
        done.set()
        for t in threads:
            t.join()
    same("what is wrong", [], wrong[:3])


# ---- all or nothing ------------------------------------------------------------

CHANGES = ("openat", "pwrite64", "ftruncate", "fsync", "renameat", "renameat2", "unlinkat", "fallocate", "ioctl", "pread64")
ERRORS = {"openat": "EMFILE", "renameat": "EIO", "renameat2": "EIO", "unlinkat": "EACCES", "ioctl": "EOPNOTSUPP"}


def traced(work, injection, command):
    """COMMAND under strace, and the names of its calls."""
    log = os.path.join(work, "trace")
    inject = ["-e", "inject=" + injection] if injection else []
    done = subprocess.run(["strace", "-f", "-o", log, "-e", "trace=" + ",".join(c for c in CHANGES), *inject, SMSNAP, *command],
                          check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
    return done, re.findall(r"^\d+ +(\w+)\(", read(log).decode(errors="replace"), re.MULTILINE)


def whole(work, host_path, place, room=65536):
    """What is there after a kill, or an error, at any call of retarget, and of the recovery after that."""
    def fresh():
        made = Made(work, (host_path, "/srv/two"), {"posixfs": posixfs([
            state(host_path.encode(), [b"/%d" % i for i in range(3)]), state(b"/srv/two", [b"/n"])]) + b"rest"}, room=room)
        return made

    def versions(made):
        return [read(made.path), read(made.path + POSIXFS)]

    def judge(what, made, must=None):
        """It is opened, which mends it."""
        run(0, "get", made.path, "num_cpus")
        got = versions(made)
        require(got in (old, new), "%s: the files are %s and %s" % (
            what, *("old" if g == o else "new" if g == n else "neither" for g, o, n in zip(got, old, new))))
        require(must is None or got == must, what + ": is not what was said")
        require(sorted(os.listdir(work)) == there, "%s: left behind: %r" % (what, os.listdir(work)))
        return got == new

    command = ["retarget", os.path.join(work, "restore.snap"), "%s=%s" % (host_path, place)]
    made = fresh()
    old = versions(made)
    done, calls = traced(work, None, command)
    require(done.returncode == 0, "retarget: %r" % done.stderr)
    new = versions(made)
    require(old[0] != new[0] and old[1] != new[1], "nothing moved")
    there = sorted(os.listdir(work))
    counts = {c: calls.count(c) for c in set(calls)}
    cases, mended = [], 0
    for call, count in sorted(counts.items()):
        first = max(1, count - 30) if call in ("openat", "pread64") else 1
        cases += [(call, n) for n in range(first, count + 1)]
    if not ALL:
        cases = sorted(random.Random(place).sample(cases, 40))
    ends = [0, 0]
    for call, n in cases:
        made = fresh()
        traced(work, "%s:signal=KILL:when=%d" % (call, n), command)
        broken = versions(made) not in (old, new) or os.path.exists(made.path + ".smfs-undo")
        ends[judge("killed at %s %d" % (call, n), made)] += 1
        if broken:
            mended += 1
            # The same again, and the recovery is killed at each of its calls.
            names = recover_calls(work, fresh, command, call, n)
            for other in sorted(set(names)):
                for k in range(1, names.count(other) + 1):
                    if other in ("openat", "pread64") and k % 3 or not ALL and (k + mended) % 4:
                        continue
                    made = fresh()
                    traced(work, "%s:signal=KILL:when=%d" % (call, n), command)
                    traced(work, "%s:signal=KILL:when=%d" % (other, k), ["get", made.path, "num_cpus"])
                    judge("killed at %s %d, then at %s %d" % (call, n, other, k), made)
        made = fresh()
        done, _ = traced(work, "%s:error=%s:when=%d" % (call, ERRORS.get(call, "EIO"), n), command)
        judge("%s %d fails" % (call, n), made, new if done.returncode == 0 else old)
    require(mended >= 3 and min(ends) > 0, "the kills did not hit: %d mended, %r" % (mended, ends))
    return len(cases)


def recover_calls(work, fresh, command, call, n):
    made = fresh()
    traced(work, "%s:signal=KILL:when=%d" % (call, n), command)
    _, names = traced(work, None, ["get", made.path, "num_cpus"])
    return names


def journal_of_others(work):
    """A journal that names a file which its maker may not write is refused, and so is one for another file."""
    made = Made(work, files={"posixfs": posixfs([state(b"/srv/share", [b"/a"])])})
    old = read(made.path + POSIXFS)
    command = ["retarget", made.path, "/srv/share=/longer/path"]
    undo = made.path + ".smfs-undo"
    for n in range(1, 20):
        traced(work, "fsync:signal=KILL:when=%d" % n, command)
        if os.path.exists(undo):
            break
    require(os.path.exists(undo), "no journal")
    journal, torn = read(undo), read(made.path + POSIXFS)
    for suffix in ("", ".smfs-undo"):
        os.chown(made.path + suffix, 1234, 1234)
    require(b"somebody else" in run(1, "get", made.path, "num_cpus").stderr, "a journal of somebody else's is taken")
    same("the file of root's", torn, read(made.path + POSIXFS))
    for suffix in ("", ".smfs-undo"):
        os.chown(made.path + suffix, 0, 0)
    # Another file has its name.
    os.rename(made.path + POSIXFS, work + "/kept")
    require(b"posixfs" in run(1, "get", made.path, "num_cpus").stderr, "without the file")
    write(made.path + POSIXFS, torn)
    require(b"belongs to another file" in run(1, "get", made.path, "num_cpus").stderr, "with another file")
    os.unlink(made.path + POSIXFS)
    os.symlink("kept", made.path + POSIXFS)
    run(1, "get", made.path, "num_cpus")
    os.unlink(made.path + POSIXFS)
    # Cut, or with another byte: nothing is done.
    os.rename(work + "/kept", made.path + POSIXFS)
    for n in (0, 63, 68, 100, 127, 128, 132, len(journal) - 1):
        write(undo, journal[:n])
        run(1, "get", made.path, "num_cpus")
    for at in (0, 8, 12, 24, 32, 64, 76, 88, 96, 112, 120, 128, len(journal) - 1):
        write(undo, journal[:at] + bytes([journal[at] ^ 1]) + journal[at + 1:])
        run(1, "get", made.path, "num_cpus")
    same("nothing was done", torn, read(made.path + POSIXFS))
    write(undo, journal)
    require(b"undone" in run(0, "get", made.path, "num_cpus").stderr, "it is not undone")
    same("undone", old, read(made.path + POSIXFS))


def all_or_nothing(work):
    if not shutil.which("strace"):
        print("no strace: nothing is killed")
        return
    cases = 0
    for name, place, room in (("longer", "/some/where/else/that/is/longer", 65536), ("shorter", "/s", 65536),
                              ("no room", "/" + "x" * 3000, 4096)):
        folder = os.path.join(work, name)
        os.makedirs(folder)
        if name == "no room" and not ALL:
            continue
        cases += whole(folder, "/srv/share", place, room)
    print("%d calls of retarget at which it was killed, and which failed" % cases)
    folder = os.path.join(work, "others")
    os.makedirs(folder)
    journal_of_others(folder)


# ---- the power goes --------------------------------------------------------------

class Place:
    """The snapshot and its states, as files that a journal knows by their inodes: see save-power.py."""

    def __init__(self, work, power):
        self.power = power
        self.folder = os.path.join(work, "folder")
        self.trace = os.path.join(work, "trace")
        os.makedirs(self.folder)
        self.made = Made(self.folder, ("/srv/share", "/srv/two"), {"posixfs": posixfs([
            state(b"/srv/share", [b"/%d" % i for i in range(30)]), state(b"/srv/two", [b"/n"])])})
        # Their other names, from which each state is laid out.
        self.originals = {}
        self.inodes = {}
        for number, suffix in enumerate(("", POSIXFS)):
            self.originals[number] = os.path.join(work, "original%d" % number)
            os.link(self.made.path + suffix, self.originals[number])
            self.inodes[os.stat(self.made.path + suffix).st_ino] = number

    def versions_now(self):
        return read(self.made.path), read(self.made.path + POSIXFS)

    def record(self, disk, inodes, commands, accepted):
        """The recording of COMMANDS, a list of those of each call of save-driver."""
        driver = self.power.Driver(SAVE_DRIVER_TRACE=self.trace)
        recorder = self.power.replay.Recorder(disk, inodes)
        for command in commands:
            driver.do(command)
        driver.close()
        recorder.ops.append(self.power.replay.accept(*accepted))
        with open(self.trace) as f:
            for line in f.read().split("\n")[:-1]:
                recorder.take(line)
        os.remove(self.trace)
        return recorder

    def lay_out(self, disk):
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        inodes = {}
        for name, f in disk.names.items():
            path = os.path.join(self.folder, name)
            if f in self.originals:
                os.link(self.originals[f], path)
            with open(path, "r+b" if f in self.originals else "xb") as out:
                out.truncate(0)
                out.write(disk.files[f])
            os.chmod(path, 0o600)
            inodes[os.stat(path).st_ino] = f
        return inodes

    def recovered(self, versions):
        answer = self.driver.ask("look " + self.made.path)
        if answer != "ok":
            return answer or "the driver has ended"
        if self.versions_now() not in versions:
            return "the files are %s and %s" % tuple(
                "old" if g == o else "new" if g == n else "neither" for g, o, n in zip(self.versions_now(), *versions[:2]))
        if len(os.listdir(self.folder)) != 2:
            return "left behind: %r" % os.listdir(self.folder)
        return versions.index(self.versions_now())


def load(name):
    """Another test, for what it has."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), os.path.join(HERE, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def memory(work):
    """Each allocation of a command fails once: it says so or does what it is to do, in both files or neither."""
    module = load("failing-memory")
    if not os.path.exists(module.LIBRARY):
        print("no tests/fail-alloc.so: no allocation fails")
        return
    control = module.Control(os.path.join(work, "control"))
    os.makedirs(work + "/it")
    cases = 0
    made = Made(work + "/it", ("/srv/share", "/srv/two"), {
        "posixfs": posixfs([state(b"/srv/share", [b"/a"]), state(b"/srv/two")]) + b"rest",
        "dax": dax([window(1 << 36, 1 << 20, [(0, 4096, 2, 0, 1)]), b""]), "smpark": smpark(1)})
    names = [made.path + s for s in ("", POSIXFS, DAX, SMPARK)]
    old = [read(n) for n in names]
    shutil.copytree(work + "/it", work + "/other")
    write(work + "/other/restore.snap.smpark", smpark(2))
    for command in (["ls", made.path, "sidecars/posixfs/0/inodes"], ["get", made.path, "sidecars/posixfs/0/raw"],
                    ["info", made.path], ["check", made.path, "--host-root", work], ["fields"],
                    ["diff", made.path, work + "/other/restore.snap"], ["convert", made.path, "-o", work + "/out"],
                    ["retarget", "--dry-run", made.path, "/srv=/n"], ["retarget", made.path, "/srv=/new/place"]):
        right = module.run_smsnap(control, 0, command)
        new, changes = [read(n) for n in names], command[0] == "retarget" and len(command) == 3
        for n in module.numbers(control.count, command[0]):
            for name, data in zip(names, old):
                write(name, data)
            done = module.run_smsnap(control, n, command)
            what = "%s, allocation %d: status %d, %r" % (" ".join(command[:-1]), n, done.returncode, done.stderr[-200:])
            if (done.returncode, done.stdout) != (right.returncode, right.stdout):
                require(done.returncode in (1, 2) and done.stderr, what)
                module.told_of_memory(done.stderr.decode(), "smsnap: ")
            now = [read(n) for n in names]
            require(now == (new if changes and done.returncode == 0 else old), what + ": other files")
            cases += 1
        for name, data in zip(names, old):
            write(name, data)
    print("%d allocations failed" % cases)


def power(work):
    """Every disk that is left when the power goes in a save of both files, or in the recovery from that."""
    module = load("save-power")
    states = noticed = 0
    for number, path in enumerate(("/s", "/srv/other", "/somewhere/else/that/is/much/longer/than/it/was")):
        rng = random.Random(path)
        os.makedirs(work + "/%d" % number)
        place = Place(work + "/%d" % number, module)
        first = place.versions_now()
        names = {os.path.basename(place.made.path) + s: i for i, s in enumerate(("", POSIXFS))}
        disk = module.replay.Disk(names, dict(enumerate(first)))
        recorder = place.record(disk, place.inodes, ["open " + place.made.path,
                                                     "set devices/3/backing/host_path " + path, "close"], (0, 1))
        versions = [first, place.versions_now()]
        require(first[0] != versions[1][0] and first[1] != versions[1][1], "nothing moved")
        recording = module.replay.Recording(disk, [*recorder.ops, module.replay.accept(1)])
        place.driver = module.Driver()
        cutter = module.Cutter(place, recording, versions)
        undone = []
        for wrong, torn, version, i, mask, pending in cutter.results(recording.cuts(rng)):
            if wrong:
                cutter.report("a save", wrong, i, mask, pending)
            if version == 0 and any(n.endswith(".smfs-undo") for n in torn.names):
                undone.append(torn)
        states += len(cutter.seen)
        require(undone, "nothing is undone")
        for torn in rng.sample(undone, min(2, len(undone))):
            inodes = place.lay_out(torn)
            again = place.record(torn, inodes, ["look " + place.made.path], (0,))
            inner = module.replay.Recording(torn, again.ops)
            cutter = module.Cutter(place, inner, versions)
            for wrong, _, _, i, mask, pending in cutter.results(inner.cuts(rng)):
                if wrong:
                    cutter.report("a recovery", wrong, i, mask, pending)
            states += len(cutter.seen)
        # The test of the test: without an fsync, or with steps in another order, it comes out wrong.
        noticed += module.test_of_the_test("both files, " + path, place, rng, recording, versions)
        place.driver.close()
    print("%d states after the power went, %d deliberate faults noticed" % (states, noticed))


def main():
    require_fuse()
    if os.geteuid() != 0:
        lacking("root, for files of others and devices")
    try:
        for part in (shown, absent, read_only, changed_beneath, hostile, commands, check, moves, moves_alone, moves_mounted,
                     moves_under_readers, all_or_nothing, memory, power):
            if len(sys.argv) > 1 and part.__name__ not in sys.argv[1:]:
                continue
            with WorkDir() as work:
                try:
                    part(work)
                except Failed as e:
                    sys.exit("FAIL: %s: %s" % (part.__name__, e))
    finally:
        pass
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
