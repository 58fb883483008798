#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The power goes during a save, or during the recovery from that.

Saves are recorded on real file systems, then every disk that a power cut may
leave behind (replay.py) is laid out, recovered and looked at: it must have the
old snapshot or the new one, to the byte, the new one once the save has returned,
and nothing else. What recovery does is recorded as well, and cut likewise; after
it, another program changes the snapshot, which must last.

At its end the test tests itself: with fsyncs left out of the recordings, or with
steps in another order, it must find disks that come out wrong.

A sample, or with SMFS_TEST_ALL=1 all.
"""

import collections
import os
import random
import shutil
import subprocess
import sys
import tempfile

import filesystems
import reader
import replay

TESTS = os.path.dirname(os.path.abspath(__file__))
DRIVER = os.path.join(os.environ.get("SMFS_BUILD", os.path.join(TESTS, "..")), "tests/save-driver")

ALL = os.environ.get("SMFS_TEST_ALL") == "1"
LEAST = 10000  # states in all, if ALL
# Cuts of a scenario's saves, how many of its recoveries are recorded, cuts of each.
SAVE_CUTS, RECOVERIES, RECOVERY_CUTS = (None, 10, 600) if ALL else (400, 2, 100)

RAM = 16 * reader.PAGE
BASE = "base"  # of diffs, in the folder above the snapshot's
SAME = 5       # a page of theirs that is the base's once it is poked
PATH = "devices/0/backing/path"
NAME = "snap"
ANOTHER = "another program's"


# ---- scenarios --------------------------------------------------------------

# saves: each a list of what is done before and for it: the length of a new path,
# or an offset to poke at. More than one thing is held and saved as one. replace: what is told
# when the snapshot is opened, or that it is another one, whose output this is.
Scenario = collections.namedtuple("Scenario", "what kind way path saves layout links replace")


def scenario(what, kind, way, path, *saves, layout="kvm", links=False, replace=""):
    return Scenario("%s, %s, %s" % (kind, layout, what), kind, way, path, saves, layout, links, replace)


def poke(page, size=reader.PAGE):
    return ("poke", page * reader.PAGE, size)


REPLACE, OUTPUT = " replace", " output="
IN_PLACE, CLONE, COPY = "in place", "by a clone", "by a copy"

SCENARIOS = [
    scenario("fits", "ext4", IN_PLACE, 20, [900]),
    scenario("same length", "ext4", IN_PLACE, 1200, [1200]),
    scenario("shrinks", "ext4", IN_PLACE, 1500, [3]),
    scenario("outgrows its room", "ext4", IN_PLACE, 20, [6000]),
    scenario("bare, grows", "ext4", IN_PLACE, 20, [3000], layout="bare"),
    scenario("bare, shrinks", "ext4", IN_PLACE, 3000, [20], layout="bare"),
    scenario("RAM", "ext4", IN_PLACE, 20, [poke(2), poke(3, 700), poke(15)]),
    scenario("RAM, outgrows its room", "ext4", IN_PLACE, 20,
             [5000, poke(0), poke(1, 700), poke(15)]),
    scenario("outgrows its room", "ext4", IN_PLACE, 20, [6000], layout="hvf"),
    scenario("several saves", "ext4", IN_PLACE, 20, [900], [6000], [6600], [20]),
    scenario("hard link", "ext4", IN_PLACE, 20, [900], links=True),
    scenario("copy, fits", "ext4", COPY, 20, [900], replace=REPLACE),
    scenario("copy, outgrows its room", "ext4", COPY, 20, [6000, poke(15)], replace=REPLACE),
    scenario("copies", "ext4", COPY, 20, [900], [20], replace=REPLACE),
    scenario("fits", "btrfs", IN_PLACE, 20, [900]),
    scenario("clone, fits", "btrfs", CLONE, 20, [900], replace=REPLACE),
    scenario("clone, outgrows its room", "btrfs", CLONE, 20, [6000, poke(15)]),
    scenario("clones", "btrfs", CLONE, 20, [6000], [20], layout="hvf", replace=REPLACE),
    scenario("hard link", "btrfs", IN_PLACE, 1500, [20], links=True),
    scenario("fits", "xfs", IN_PLACE, 20, [900]),
    scenario("clone, fits", "xfs", CLONE, 20, [900], replace=REPLACE),
    scenario("clone, outgrows its room", "xfs", CLONE, 20, [6000, poke(15)]),
    scenario("clones", "xfs", CLONE, 20, [6000], [20], layout="hvf", replace=REPLACE),
    scenario("hard link, outgrows its room", "xfs", IN_PLACE, 20, [6000, poke(15)], links=True),
    scenario("fits", "tmpfs", IN_PLACE, 20, [900, poke(3)]),
    scenario("outgrows its room", "tmpfs", COPY, 20, [6000]),
    scenario("output, outgrows its room", "ext4", COPY, 20, [6000, poke(15)], replace=OUTPUT),
    scenario("output, RAM", "ext4", COPY, 20, [900, poke(2)], layout="kvm-diff", replace=OUTPUT),
    scenario("same length", "ext4", IN_PLACE, 1200, [1200], layout="kvm-diff"),
    scenario("grows", "ext4", COPY, 20, [900], layout="kvm-diff"),
    scenario("shrinks", "tmpfs", COPY, 1500, [3], layout="kvm-diff"),
    scenario("RAM", "ext4", COPY, 20, [poke(2), poke(3, 700), poke(SAME)], layout="kvm-diff"),
    scenario("clones and copies", "btrfs", COPY, 20, [20], [900], [poke(3)], layout="kvm-diff",
             replace=REPLACE),
    scenario("clone, same length", "xfs", CLONE, 1200, [1200], layout="kvm-diff", replace=REPLACE),
    scenario("hard link, same length", "ext4", IN_PLACE, 1200, [1200], layout="kvm-diff", links=True),
    scenario("hard link, grows", "ext4", IN_PLACE, 20, [900], layout="kvm-diff", links=True),
    scenario("hard link, shrinks", "ext4", IN_PLACE, 1500, [3], layout="kvm-diff", links=True),
    scenario("hard link, RAM", "ext4", IN_PLACE, 20, [poke(2), poke(15)], layout="kvm-diff", links=True),
    scenario("hard link, less RAM", "ext4", IN_PLACE, 20, [poke(SAME)], layout="kvm-diff", links=True),
    scenario("hard link, grows, RAM", "xfs", IN_PLACE, 20, [900, poke(0), poke(3, 700)], layout="kvm-diff",
             links=True),
]

def first_snapshot(s):
    """A model, and a file that has it. Other bytes than zeros are in the padding."""
    model = reader.sample_model()
    model["mem_size"] = RAM
    reader.set_leaf(model, PATH, "p" * s.path)
    if s.layout == "bare":
        return model, reader.encode(model)
    if s.layout == "kvm-diff":
        # As no writer has them: in no order, and with a page of the base's.
        return model, diff(model, [(SAME, b"-" * reader.PAGE), (1, bytes(reader.PAGE)),
                                   (3, (b"page  3\n") * (reader.PAGE // 8)), (15, bytes(reader.PAGE))])
    # Holes as well as data.
    ram = bytearray(RAM)
    for page in (0, 1, 7, 15):
        at = page * reader.PAGE
        ram[at:at + reader.PAGE] = (b"page %2d\n" % page) * (reader.PAGE // 8)
    return model, head(model, s.layout, reader.PAGE).ljust(reader.PAGE, b"-") + ram


def base_ram():
    ram = bytearray(RAM)
    for page, fill in ((1, b"base 1 \n"), (SAME, b"\xb0" * 8)):
        ram[page * reader.PAGE:(page + 1) * reader.PAGE] = fill * (reader.PAGE // 8)
    return ram


def write_base(path):
    model = reader.sample_model()
    model["mem_size"] = RAM
    reader.write_file(path, model, ram=bytes(base_ram()))


def diff(model, pages):
    """With bytes that are nobody's behind the list."""
    start = reader.write_head(model, reader.new_layout(model, "kvm-diff", base="../" + BASE))
    entries = b"".join(reader.num(i, 4) + page for i, page in pages)
    return start + reader.num(len(pages), 4) + entries + b"nobody's"


def read_pages(data):
    _, start = reader.read_head(data)
    model, size = reader.decode(data, start)
    c = reader.Cursor(data, start + size)
    pages = c.many(lambda: (c.num(4), c.take(reader.PAGE)))
    if any((i + 1) * reader.PAGE > model["mem_size"] for i, _ in pages):
        raise reader.Malformed("a page past RAM's end")
    return pages


def next_diff(model, pages, pokes):
    """Without pokes the list stays what it is, else it is made anew."""
    if not pokes:
        return diff(model, pages)
    base, ram = bytes(base_ram()), base_ram()
    for at, data in [(i * reader.PAGE, page) for i, page in pages] + pokes:
        ram[at:at + len(data)] = data
    places = range(0, RAM, reader.PAGE)
    return diff(model, [(at // reader.PAGE, bytes(ram[at:at + reader.PAGE])) for at in places
                        if ram[at:at + reader.PAGE] != base[at:at + reader.PAGE]])


def head(model, layout, ram_offset):
    return reader.write_head(model, reader.new_layout(model, layout, ram_offset))


def next_snapshot(model, layout, old, edits, number):
    """The commands of a save, and what the file must be after it. Changes MODEL."""
    is_diff = layout == "kvm-diff"
    room = tail = 0 if is_diff else len(head(model, layout, 0))
    if len(old) > tail:
        tail = len(old) - RAM
    commands, ram, pokes = [], bytearray(old[tail:]), []
    for edit in edits:
        if isinstance(edit, int):
            text = chr(ord("a") + number) * edit
            reader.set_leaf(model, PATH, text)
            commands.append("set %s %s" % (PATH, text))
        else:
            _, at, size = edit
            data = bytes([0xb0 + number]) * size
            ram[at:at + size] = data
            pokes.append((at, data))
            commands.append("poke %d %s" % (at, data.hex()))
    if len(edits) > 1 or not isinstance(edits[0], int):
        commands = ["hold"] + commands + ["save-ram"]
    if is_diff:
        return commands, next_diff(model, read_pages(old), pokes)
    written = head(model, layout, tail)
    if not ram:
        return commands, written
    if len(written) > tail:
        # The header says where RAM is now.
        moved = reader.round_up(len(written), 65536)
        return commands, head(model, layout, moved).ljust(moved, b"\0") + ram
    padding = old[max(room, len(written)):tail]
    return commands, written.ljust(room, b"\0") + padding + ram


# ---- where states are laid out ----------------------------------------------

class Driver:
    """save-driver, as a process that stays. Nothing is made durable for it: the
    power goes in the model only."""

    def __init__(self, **env):
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=dict(os.environ, SAVE_DRIVER_NOSYNC="1", **env))

    def ask(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode(errors="replace").rstrip("\n")

    def do(self, command):
        answer = self.ask(command)
        if answer.split(" ")[0] != "ok":
            sys.exit("FAIL: %.60s: %s" % (command, answer or "the driver has ended"))
        return answer[3:]

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            sys.exit("FAIL: the driver's exit status is %d" % self.process.returncode)


class Place:
    """A folder for the snapshot and what is beside it.

    A journal names its snapshot by inode, so that the file that was there first is
    kept by another name outside of the folder, and written over for each state.
    """

    def __init__(self, root, scratch):
        self.root = root
        self.folder = os.path.join(root, "folder")
        self.path = os.path.join(self.folder, NAME)
        self.original = os.path.join(root, "original")
        self.kept = os.path.join(root, "kept")
        self.trace = os.path.join(scratch, "trace")
        os.makedirs(self.folder)
        os.makedirs(self.kept)
        write_base(os.path.join(root, BASE))
        self.driver = Driver()

    def close(self):
        self.driver.close()
        shutil.rmtree(self.root)

    def trace_lines(self):
        with open(self.trace) as f:
            lines = f.read().split("\n")[:-1]
        os.remove(self.trace)
        return lines

    def record_saves(self, s, first, saves):
        """The operations of SAVES, each a list of commands."""
        with open(self.path, "wb") as f:
            for at in range(0, len(first), reader.PAGE):
                page = first[at:at + reader.PAGE]
                if page.strip(b"\0"):
                    f.seek(at)
                    f.write(page)
            f.truncate(len(first))
        inode = os.stat(self.path).st_ino
        if s.links:
            os.link(self.path, self.original)
        driver = Driver(SAVE_DRIVER_TRACE=self.trace, SAVE_DRIVER_KEEP=self.kept)
        if s.replace == OUTPUT:
            # What is replaced is as good as any other snapshot.
            source = os.path.join(self.kept, "source")
            shutil.copy(self.path, source)
            driver.do("open " + source + OUTPUT + self.path)
        else:
            driver.do("open " + self.path + s.replace)
        for commands in saves:
            driver.do("mark save")
            for command in commands:
                driver.do(command)
        if driver.do("way") != s.way:
            sys.exit("FAIL: %s: was saved %s" % (s.what, driver.do("way")))
        driver.do("close")
        driver.close()
        # Its other name, if it hasn't got one yet.
        if not s.links:
            named = os.stat(self.path).st_ino == inode
            os.link(self.path if named else os.path.join(self.kept, str(inode)), self.original)
        return inode

    def lay_out(self, disk):
        """DISK as files; inode numbers and which files they are."""
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        inodes = {}
        for name, f in disk.names.items():
            path = os.path.join(self.folder, name)
            if f == replay.ORIGINAL:
                os.link(self.original, path)
            flags = os.O_WRONLY if f == replay.ORIGINAL else os.O_WRONLY | os.O_CREAT | os.O_EXCL
            fd = os.open(path, flags, 0o600)
            os.pwrite(fd, disk.files[f], 0)
            os.ftruncate(fd, len(disk.files[f]))
            inodes[os.fstat(fd).st_ino] = f
            os.close(fd)
        return inodes

    def recovered(self, versions):
        """Which of VERSIONS there is after a recovery, or a text if it is none."""
        answer = self.driver.ask("look " + self.path)
        if answer != "ok":
            return answer.replace(self.path + ": ", "") or "the driver has ended"
        with open(self.path, "rb") as f:
            got = f.read()
        if got not in versions:
            return "the snapshot is none of those"
        if os.listdir(self.folder) != [NAME]:
            return "left behind: " + " ".join(sorted(os.listdir(self.folder)))
        return versions.index(got)


# ---- recording --------------------------------------------------------------

def record_saves(s, place):
    """The recording, and the snapshots before the first and after each of the saves."""
    model, first = first_snapshot(s)
    versions, saves = [first], []
    for number, edits in enumerate(s.saves):
        commands, version = next_snapshot(model, s.layout, versions[-1], edits, number)
        saves.append(commands)
        versions.append(version)
    inode = place.record_saves(s, first, saves)

    disk = replay.Disk({NAME: replay.ORIGINAL}, {replay.ORIGINAL: first})
    recorder = replay.Recorder(disk, {inode: replay.ORIGINAL})
    ops, done = [], 0
    for line in place.trace_lines():
        if line == "mark save":
            # What returned is durable; and nothing has been done yet for the next.
            ops += recorder.ops + [replay.accept(done), replay.accept(done, done + 1)]
            recorder.ops = []
            done += 1
        elif done:
            recorder.take(line)
    ops += recorder.ops + [replay.accept(done)]
    # That the recording is complete.
    now = recorder.now
    with open(place.path, "rb") as f:
        if not f.read() == now.files[now.names[NAME]] == versions[-1]:
            sys.exit("FAIL: %s: the recording is not what happened" % s.what)
    return replay.Recording(disk, ops), versions


def change(old, new):
    """A byte that the save from OLD to NEW wrote, and that another program may
    change in OLD, as (offset, byte)."""
    _, start = reader.read_head(old)
    for at in range(start, min(len(old), len(new))):
        if old[at] != new[at]:
            byte = bytes([old[at] ^ 1])
            changed = old[:at] + byte + old[at + 1:]
            try:
                model, _ = reader.decode(changed, start)
                if old.startswith(b"SMSNAP7D"):
                    read_pages(changed)
            except reader.Malformed:
                continue
            if model["mem_size"] == RAM:
                return at, byte
    raise ValueError("nothing that can be changed")


def record_recovery(s, place, disk, version, versions):
    """The recovery of DISK, which must give VERSION, and another program after it."""
    inodes = place.lay_out(disk)
    driver = Driver(SAVE_DRIVER_TRACE=place.trace)
    driver.do("look " + place.path)
    driver.close()
    recorder = replay.Recorder(disk, inodes)
    recorder.ops = [replay.accept(0)]
    for line in place.trace_lines():
        recorder.take(line)
    old = versions[version]
    at, byte = change(old, versions[version + 1])
    recorder.ops += [replay.accept(0, 1)]
    snapshot = recorder.now.names[NAME]
    recorder.write(snapshot, at, byte, replay.SECTOR)
    recorder.add("sync", snapshot)
    recorder.ops[-1] = recorder.ops[-1]._replace(where=ANOTHER)
    recorder.ops += [replay.accept(1)]
    changed = bytes(recorder.now.files[snapshot])
    if changed != old[:at] + byte + old[at + 1:]:
        sys.exit("FAIL: %s: the recording of a recovery is not what happened" % s.what)
    return replay.Recording(disk, recorder.ops), [old, changed]


# ---- power cuts -------------------------------------------------------------

class Cutter:
    """Cuts recordings; no state twice."""

    def __init__(self, place, recording, versions):
        self.place = place
        self.recording = recording
        self.versions = versions
        self.seen = set()

    def results(self, cuts):
        """(what is wrong or None, disk, version, count, mask, pending)"""
        for disk, acceptable, i, mask, pending in self.recording.states(cuts):
            key = (disk.key(), acceptable)
            if key in self.seen:
                continue
            self.seen.add(key)
            self.place.lay_out(disk)
            got = self.place.recovered(self.versions)
            wrong = None
            if not isinstance(got, int):
                wrong = got
            elif got not in acceptable:
                wrong = "version %d of the snapshot, not %s" % (
                    got, " or ".join(map(str, acceptable)))
            yield wrong, disk, got, i, mask, pending

    def report(self, what, wrong, i, mask, pending):
        """End the test, and say where the power went."""
        print("FAIL: %s: %s" % (what, wrong))
        print("after these operations")
        for op in self.recording.ops[:i]:
            print("   ", replay.describe(op))
        print("of which these were not durable, + got through and - did not")
        for n, op in enumerate(pending):
            print("   ", "+" if mask >> n & 1 else "-", replay.describe(op))
        sys.exit(1)


def sample(things, count, rng):
    things = list(things)
    return things if count is None or len(things) <= count else rng.sample(things, count)


def cut_recovery(s, place, rng, disk, version, versions):
    """How many states were recovered, and the recording and its versions."""
    recording, after = record_recovery(s, place, disk, version, versions)
    cutter = Cutter(place, recording, after)
    cuts = sample(recording.cuts(rng), RECOVERY_CUTS, rng)
    for wrong, _, _, i, mask, pending in cutter.results(cuts):
        if wrong:
            cutter.report(s.what + ", its recovery", wrong, i, mask, pending)
    return len(cutter.seen), recording, after


def is_undone(disk, before):
    """Whether DISK has a journal, and its snapshot was changed."""
    return (any(n.endswith(".smfs-undo") for n in disk.names)
            and disk.files[disk.names[NAME]] != before)


def last_undone(recording, versions):
    """The disk and version before the last journal is taken away, if there is one."""
    last = None
    for i, op in enumerate(recording.ops):
        if op.call == "rename" and op.args[1].endswith(".smfs-undo"):
            last = i
    for i, durable, pending, acceptable in recording.walk():
        if i == last:
            disk = durable.copy()
            for op in pending:
                disk.apply(op)
            return disk, acceptable[0]
    return None


def run(s, place, rng):
    recording, versions = record_saves(s, place)
    cutter = Cutter(place, recording, versions)
    undone = []
    cuts = sample(recording.cuts(rng), SAVE_CUTS, rng)
    for wrong, disk, version, i, mask, pending in cutter.results(cuts):
        if wrong:
            cutter.report(s.what, wrong, i, mask, pending)
        if is_undone(disk, versions[version]):
            undone.append((disk, version))
    saves = len(cutter.seen)
    chosen = sample(undone, RECOVERIES, rng)
    # The one with the most to undo is for the test of the test as well.
    whole = last_undone(recording, versions)
    if whole:
        chosen.insert(0, whole)
    recoveries, first = 0, None
    for disk, version in chosen:
        count, *recorded = cut_recovery(s, place, rng, disk, version, versions)
        recoveries += count
        first = first or recorded
    print("%s: %d states recovered, %d of interrupted recoveries"
          % (s.what, saves + recoveries, recoveries), flush=True)
    return saves + recoveries, (recording, versions), first


# ---- the test of the test ---------------------------------------------------

def moved(ops, start, end, to):
    """OPS with those from START to END before the one that is now at TO, less than START."""
    return ops[:to] + ops[start:end] + ops[to:start] + ops[end:]


def is_journal_named(op):
    return op.call == "rename" and op.args[2].endswith(".smfs-undo")


def find(ops, start, step, matches):
    while not matches(ops[start]):
        start += step
    return start


def faults(ops):
    """(what was done to it, the operations)"""
    number = 0
    for i, op in enumerate(ops):
        if op.call == "sync" and op.where != ANOTHER:
            number += 1
            yield "no fsync %d, of %s" % (number, op.where), ops[:i] + ops[i + 1:]
    yield "no fsync of the folder", [o for o in ops
                                     if o.call != "sync" or o.target != replay.FOLDER]
    for i, op in enumerate(ops):
        if is_journal_named(op) or op.call == "exchange":
            new = op.args[0]
            synced = find(ops, i, -1, lambda o, new=new: o.call == "sync" and o.target == new)
            yield "fsync after the %s of %s" % (op.call, op.args[1]), moved(ops, i, i + 1, synced)
        if is_journal_named(op):
            taken_away = [n for n, o in enumerate(ops[i:], i)
                          if o.call == "rename" and o.args[0] == op.args[0] and n > i]
            if taken_away:
                made = find(ops, i, -1,
                            lambda o, new=op.args[0]: o.call == "create" and o.args[0] == new)
                named = find(ops, i, 1, lambda o: o.call == "sync") + 1
                yield "journal after the data", moved(ops, named, taken_away[0], made)
        if op.call == "unlink" and op.args[1].endswith(".smfs-undo"):
            synced = find(ops, i, -1, lambda o: o.call == "sync")
            yield "journal removed before the fsync of the snapshot", moved(ops, i, i + 1, synced)


def test_of_the_test(what, place, rng, recording, versions):
    """How many faults were noticed."""
    count = 0
    for fault, ops in faults(recording.ops):
        faulty = replay.Recording(recording.disk, ops)
        cutter = Cutter(place, faulty, versions)
        noticed = None
        for noticed, *_ in cutter.results(faulty.cuts(rng, turning_points_only=True)):
            if noticed:
                break
        if not noticed:
            sys.exit("FAIL: %s: %s: not noticed in %d states" % (what, fault, len(cutter.seen)))
        print("  %s: %s: noticed: %s" % (what, fault, noticed))
        count += 1
    return count


# ---- all of it --------------------------------------------------------------

def run_on(kind, root, scratch):
    """States and faults of the scenarios of a kind of file system."""
    states = noticed = 0
    for number, s in enumerate(s for s in SCENARIOS if s.kind == kind):
        rng = random.Random(s.what)
        place = Place(os.path.join(root, str(number)), scratch)
        count, saves, recovery = run(s, place, rng)
        states += count
        noticed += test_of_the_test(s.what, place, rng, *saves)
        if recovery:
            noticed += test_of_the_test(s.what + ", its recovery", place, rng, *recovery)
        place.close()
    return states, noticed


def main():
    if not os.access(DRIVER, os.X_OK):
        sys.exit("FAIL: no program " + DRIVER)
    states, noticed, missing = 0, 0, []
    with tempfile.TemporaryDirectory(prefix="smfs-test-") as scratch:
        for kind in dict.fromkeys(s.kind for s in SCENARIOS):
            try:
                with filesystems.mounted(kind) as root:
                    counts = run_on(kind, root, scratch)
            except filesystems.Missing as e:
                missing.append("%s: %s" % (kind, e))
                continue
            states += counts[0]
            noticed += counts[1]
    if missing and (not states or os.environ.get("SMFS_NO_SKIP") == "1"):
        filesystems.skip_or_fail("; ".join(missing))
    for reason in missing:
        print("not tested: " + reason)
    print("%d states recovered, %d faults of the recordings noticed" % (states, noticed))
    if ALL and not missing and states < LEAST:
        sys.exit("FAIL: fewer than %d states" % LEAST)


if __name__ == "__main__":
    main()
