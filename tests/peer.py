#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smfs and the monitor's own package (tests/peer) read, refuse and write the same.

Random files of every layout that the monitor's writer made, vectors, prefixes and mutants of
them: accepted or refused alike, and the same leaves. What a mount's edits leave, the monitor loads,
and writes again to the same bytes. Where /dev/kvm is, it restores a machine whose disks were moved.

$SMFS_PEER is the program that scripts/test builds of tests/peer.
"""

import hashlib
import json
import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, lacking, program, require_fuse  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
ALL = os.environ.get("SMFS_TEST_ALL") == "1"
SEEDS, MUTANTS, EDITS = (300, 4000, 60) if ALL else (24, 500, 8)
LAYOUTS = ("kvm", "hvf", "bare")
PEER = os.environ.get("SMFS_PEER")
SMSNAP = os.environ.get("SMSNAP", os.path.join(os.path.dirname(program()), "smsnap"))


def fail(text):
    sys.exit("FAIL: " + text)


def peer(*args, check=True):
    done = subprocess.run([PEER, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if check and done.returncode:
        fail("peer %s: %d: %s" % (" ".join(args), done.returncode, done.stderr[:300]))
    return done


class Batch:
    """One peer that answers for many files."""

    def __init__(self, *args):
        self.process = subprocess.Popen([PEER, "batch", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, path):
        self.process.stdin.write(os.fsencode(path) + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().rstrip("\n")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def dumped(path):
    """What smsnap makes of it: a document, or None where it refuses."""
    done = subprocess.run([SMSNAP, "dump", "--decode", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode not in (0, 1):
        fail("smsnap dump %s: %d" % (path, done.returncode))
    return json.loads(done.stdout) if done.returncode == 0 else None


def same_leaves(path):
    """The monitor's reading, by way of the tests' own reader, is smsnap's."""
    document = reader.Snapshot(path).document()
    if peer("tree", path).stdout != reader.tree_text(document, True):
        fail("%s: the monitor reads other leaves" % path)
    want = reader.json_shape(document, layout=document["layout"]["format"])
    if dumped(path) != json.loads(json.dumps(want)):
        fail("%s: smsnap dump has other leaves" % path)


def random_diff(seed, base, path):
    peer("random", str(seed), "kvm", base)
    peer("random", str(5000 + seed), "kvm-diff", path, base)


def same_ram(path):
    """RAM of a diff as the monitor composes it, where it takes the base, and as a mount shows it."""
    theirs = peer("ram", path, check=False)
    if theirs.returncode:
        return False
    with Mount(path) as m:
        if not os.path.exists(m.path("ram")):
            return True
        with open(m.path("ram"), "rb") as f:
            seen = hashlib.sha256(f.read()).hexdigest()
    if theirs.stdout.strip() != seen:
        fail("%s: the monitor composes other RAM" % path)
    return True


def reads_alike(work):
    for layout in LAYOUTS:
        for seed in range(SEEDS):
            path = os.path.join(work, "random")
            peer("random", str(seed), layout, path)
            same_leaves(path)
    base, composed = os.path.join(work, "base"), 0
    for seed in range(SEEDS):
        random_diff(seed, base, path)
        same_leaves(path)
        composed += same_ram(path)
    if composed < SEEDS // 8:
        fail("of %d diffs the monitor composes %d" % (SEEDS, composed))
    print("ok: %d random files of each layout read alike" % SEEDS)


def known_difference(path):
    """
    What smfs refuses and the monitor's container reader does not look at: a RAM image given by
    mistake, which would be a bare container without anything.
    """
    with open(path, "rb") as f:
        data = f.read()
    try:
        snap = reader.Snapshot(path)
    except reader.Malformed:
        return False
    return snap.format == "bare" and not snap.model["vcpu"] and snap.model["mem_size"] == 0 and \
        snap.container_end < len(data)


def refuses_alike(work):
    rng = random.Random(11)
    names = [n for n in sorted(os.listdir(os.path.join(HERE, "vectors")))
             if n.startswith(("kvm-", "diff-", "nobase-", "hvf-", "bare-", "share-")) and n.endswith((".snap", ".bin"))]
    path = os.path.join(work, "mutant")
    accept = Batch("accept")
    accepted = refused = 0
    for i in range(MUTANTS):
        with open(os.path.join(HERE, "vectors", rng.choice(names)), "rb") as f:
            data = bytearray(f.read())
        head = min(len(data), 9000)
        if i % 3 == 0:
            del data[rng.randrange(head):]
        else:
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(head if rng.randrange(3) else min(head, 200))
                data[at] = rng.choice([0, 1, 2, 4, 255, data[at] ^ 1 << rng.randrange(8)])
        with open(path, "wb") as f:
            f.write(data)
        theirs, ours = accept.ask(path), dumped(path) is not None
        if known_difference(path):
            continue
        if theirs.startswith("ok") != ours:
            fail("mutant %d (kept as %s): the monitor says %s, smsnap %s"
                 % (i, keep(path), theirs, "accepts" if ours else "refuses"))
        accepted, refused = accepted + ours, refused + (not ours)
    accept.close()
    if not accepted or not refused:
        fail("%d accepted, %d refused: the mutants show nothing" % (accepted, refused))
    print("ok: %d mutants accepted alike, %d refused" % (accepted, refused))


def keep(path):
    kept = "/tmp/peer-mutant"
    with open(path, "rb") as f, open(kept, "wb") as out:
        out.write(f.read())
    return kept


def set_text(mount, path, text):
    with open(mount.path(path), "wb", buffering=0) as f:
        f.write(text)


def loads(path):
    return peer("load", path, check=False).returncode == 0


def writes_alike(work):
    """What the monitor took before an edit it takes after, and saves to the same leaves and RAM."""
    path, again = os.path.join(work, "edited"), os.path.join(work, "again")
    loaded = 0
    for layout in LAYOUTS:
        for seed in range(EDITS):
            rng = random.Random(seed)
            peer("random", str(1000 + seed), layout, path)
            before = reader.Snapshot(path)
            # Of kvm it takes only what can be restored; of the others the container alone.
            taken = layout != "kvm" or loads(path)
            model = before.model
            edits = [(p, v) for p, v in reader.leaves(model) if isinstance(v, str) and reader.is_writable(p)
                     and not reader.is_word(p)]
            with Mount(path) as m:
                set_text(m, "clock_ref", b"77\n")
                reader.set_leaf(model, "clock_ref", 77)
                for p, _ in edits[:4]:
                    text = "/new/" + "x" * rng.choice([3, 40, 9000])
                    set_text(m, p, text.encode() + b"\n")
                    reader.set_leaf(model, p, text)
                    if p.endswith("host_path"):
                        state = p[:-len("host_path")] + "backend_state"
                        reader.set_leaf(model, state, reader.move_share(reader.get_leaf(model, state), text.encode()))
            now = reader.Snapshot(path)
            if now.model != model or now.ram != before.ram:
                wrong = [(a, b) for a, b in zip(reader.leaves(model, True), reader.leaves(now.model, True)) if a != b]
                fail("%s, %d: not what was edited: %.600r" % (layout, seed, wrong[:1]))
            same_leaves(path)
            if layout == "kvm" and loads(path) != taken:
                fail("kvm, %d: the monitor %s it after the edit" % (seed, "refuses" if taken else "takes"))
            if not taken:
                continue
            loaded += 1
            peer("resave", path, again)
            after = reader.Snapshot(again)
            if after.ram != before.ram or (layout != "kvm" and after.model != model):
                fail("%s, %d: the monitor saves other leaves or RAM" % (layout, seed))
    print("ok: %d edited files of each layout, %d of them saved again by the monitor" % (EDITS, loaded))


def share_state(root, names):
    """A table of all that is below ROOT, as PosixFs has it."""
    inodes, children = [(1, 1, root)], []
    for here, folders, files in os.walk(root):
        parent = next(n for n, _, p in inodes if p == here)
        for name in folders + files:
            path = os.path.join(here, name)
            kind = 2 if os.path.islink(path) else 1 if os.path.isdir(path) else 0
            children.append((parent, name, len(inodes) + 1))
            inodes.append((len(inodes) + 1, kind, path))
    inodes.append((len(inodes) + 1, 0, root + b"-beside/" + names[0]))
    num, blob = reader.num, reader.blob
    return (b"PFSS" + num(2, 4) + num(len(inodes) + 1, 8) + num(len(inodes), 8)
            + b"".join(num(n, 8) + num(k, 1) + blob(p) for n, k, p in inodes)
            + num(len(children), 8) + b"".join(num(p, 8) + blob(n) + num(c, 8) for p, n, c in children)
            + num(7, 8) + num(1, 8) + num(3, 8) + num(2, 8) + num(0o2, 4) + bytes(4))


def shares_move(work):
    """A share with odd names whose host_path was moved is taken where it is now, and only there."""
    names = [b"plain", b"not\xffutf8", b"line\nbreak", "日本".encode(), b" ", b"a" * 200]
    old, new, link = (os.fsencode(os.path.join(work, n)) for n in ("old", "new \u00e9", "link"))
    for folder in (old, new):
        os.makedirs(os.path.join(folder, b"folder", b"deeper"))
        for name in names:
            open(os.path.join(folder, b"folder", name), "wb").close()
    os.symlink(new, link)
    path = os.path.join(work, "shared")
    with open(os.path.join(HERE, "vectors", "share-01.snap"), "rb") as f, open(path, "wb") as out:
        out.write(f.read())
    model = reader.Snapshot(path).model
    backing = model["devices"][0]["backing"]
    backing["host_path"] = os.fsdecode(old)
    backing["backend_state"] = share_state(old, names)
    ways = [new, link, new + b"/", new + b"/folder/..", os.path.dirname(new) + b"/./" + os.path.basename(new)]
    for to in ways:
        reader.write_file(path, model, reader.new_layout(model), bytes(model["mem_size"]))
        peer("posixfs", path, "0", os.fsdecode(old))
        with Mount(path) as m:
            set_text(m, "devices/0/backing/host_path", to + b"\n")
        peer("posixfs", path, "0", os.fsdecode(new))
        if peer("posixfs", path, "0", os.fsdecode(old), check=False).returncode != 1:
            fail("a share that was moved to %r is taken where it was" % to)
        same_leaves(path)
    print("ok: a share moved in %d ways restores where it is" % len(ways))


def states_beside_move(work):
    """A share's state beside an hvf snapshot is taken where the share was moved to, and only there."""
    names = [b"plain", b"not\xffutf8", b"line\nbreak"]
    old, new = (os.fsencode(os.path.join(work, n)) for n in ("old beside", "new beside"))
    for folder in (old, new):
        os.makedirs(os.path.join(folder, b"folder", b"deeper"))
        for name in names:
            open(os.path.join(folder, b"folder", name), "wb").close()
    path, alone = os.path.join(work, "beside.snap"), os.path.join(work, "alone")
    model = reader.Snapshot(os.path.join(HERE, "vectors", "share-01.snap")).model
    backing = model["devices"][0]["backing"]
    backing["host_path"] = os.fsdecode(old)
    state, backing["backend_state"] = share_state(old, names), b""
    reader.write_file(path, model, reader.new_layout(model, "hvf"), bytes(model["mem_size"]))
    with open(path + ".posixfs", "wb") as f:
        f.write(b"PFXS" + reader.num(1, 4) + reader.num(1, 4) + reader.blob(state))
    subprocess.run([SMSNAP, "retarget", path, "%s=%s" % (os.fsdecode(old), os.fsdecode(new))], check=True, stdout=subprocess.DEVNULL)
    with open(path + ".posixfs", "rb") as f:
        moved = f.read()[16:]
    # The package reads such files on another system only; what is in one it reads here.
    backing["backend_state"] = moved
    reader.write_file(alone, model, reader.new_layout(model), bytes(model["mem_size"]))
    peer("posixfs", alone, "0", os.fsdecode(new))
    if peer("posixfs", alone, "0", os.fsdecode(old), check=False).returncode != 1:
        fail("a state that was moved is taken where it was")
    print("ok: a state beside the snapshot restores where its share was moved to")


def same_bytes(one, other, when):
    with open(one, "rb") as a, open(other, "rb") as b:
        if a.read() != b.read():
            fail("a machine's snapshot, %s: the monitor saves other bytes" % when)


def restores(work):
    """A machine is made of a snapshot whose disk and volume were moved."""
    if not os.path.exists("/dev/kvm"):
        lacking("/dev/kvm")
    disk, volume = os.path.join(work, "disk.img"), os.path.join(work, "volume.img")
    for image in (disk, volume):
        with open(image, "wb") as f:
            f.truncate(1 << 20)
    snapshot = os.path.join(work, "machine.snap")
    peer("machine", snapshot, "--mem", "64", "--disk", disk, "--volume", volume, "--vsock")
    again = os.path.join(work, "again")
    peer("resave", snapshot, again)
    same_bytes(snapshot, again, "as the monitor wrote it")
    moved = {}
    with Mount(snapshot) as m:
        for k in os.listdir(m.path("devices")):
            backing = m.path("devices/%s/backing/path" % k)
            if os.path.exists(backing):
                with open(backing, encoding="utf-8") as f:
                    old = f.read().rstrip("\n")
                new = old + ".moved-" + k
                os.rename(old, new)
                set_text(m, "devices/%s/backing/path" % k, new.encode() + b"\n")
                moved[old] = new
    if len(moved) != 2:
        fail("the machine has other disks: %s" % moved)
    # What the monitor's own save wrote, it writes again, edited.
    peer("resave", snapshot, again)
    same_bytes(snapshot, again, "edited")
    said = peer("restore", snapshot).stdout
    if not said.startswith("restored"):
        fail("not restored: %s" % said[:300])
    for old, new in moved.items():
        if "open %s\n" % new not in said or os.path.exists(old):
            fail("the restored machine has not opened %s: %s" % (new, said[:500]))
    print("ok: restored with its disks where they are now")


def diffs(work):
    """What smsnap makes of a machine's diff and of its base is what the monitor makes of them."""
    disk, again, ours = (os.path.join(work, n) for n in ("diff-disk.img", "again", "ours"))
    base, diff, full = (os.path.join(work, n) for n in ("machine.base", "machine.diff", "machine.full"))
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    peer("machine", base, "--mem", "64", "--disk", disk, "--vsock")
    peer("machine", diff, "--diff", base)
    if not same_ram(diff):
        fail("the monitor does not compose its own diff")
    convert(diff, full, "--layout", "kvm")
    peer("rediff", full, base, again)
    convert(full, ours, "--base", base)
    same_bytes(again, ours, "as a diff")
    # RAM that was written in a mount, and a disk that was moved: taken, and restored.
    with Mount(diff, "-o", "save_ram") as m:
        with open(m.path("ram"), "r+b", buffering=0) as f:
            for page in (3, 4, 5, 4000, 16383):
                os.pwrite(f.fileno(), b"page %d" % page, page * 4096 + 100)
        for k in os.listdir(m.path("devices")):
            if os.path.exists(m.path("devices/%s/backing/path" % k)):
                os.rename(disk, disk + ".moved")
                set_text(m, "devices/%s/backing/path" % k, os.fsencode(disk) + b".moved\n")
    if not same_ram(diff):
        fail("the monitor does not compose what was saved")
    same_leaves(diff)
    convert(diff, full, "--layout", "kvm")
    peer("rediff", full, base, again)
    same_bytes(diff, again, "a diff with RAM that was saved")
    convert(diff, ours)
    same_bytes(diff, ours, "a diff as it is")
    for path in (diff, full):
        said = peer("restore", path).stdout
        if not said.startswith("restored") or "open %s.moved\n" % disk not in said:
            fail("%s: not restored with its disk: %s" % (path, said[:300]))
    print("ok: a diff that was edited restores, over its base and whole")


def convert(*args):
    done = subprocess.run([SMSNAP, "convert", args[0], "-o", *args[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        fail("smsnap convert %s: %s" % (args, done.stderr.decode()))


def main():
    require_fuse()
    if not PEER:
        lacking("SMFS_PEER, the program of tests/peer; it needs cargo 1.85 or newer")
    with WorkDir() as work:
        reads_alike(work)
        refuses_alike(work)
        writes_alike(work)
        shares_move(work)
        states_beside_move(work)
        restores(work)
        diffs(work)


main()
