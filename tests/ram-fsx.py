#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""/ram is exercised in all ways that a file can be read and written, however it is
served, by one thread and by eight: it holds what was written, and the snapshot does not. That
of a differential snapshot as well, which also saves it, mount after mount.

ram-exerciser (its arguments are at the top of ram-exerciser.c) does the work, and
proves each time that it sees a wrong byte; fio is a second opinion. With SMFS_TEST_ALL=1
it takes half an hour.
"""

import concurrent.futures
import contextlib
import hashlib
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
HERE = os.path.dirname(os.path.abspath(__file__))
import filesystems  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, WorkDir, lacking, require_fuse  # noqa: E402

EXERCISER = os.path.join(os.environ.get("SMFS_BUILD", os.path.join(HERE, "..")),
                         "tests", "ram-exerciser")
ALL = os.environ.get("SMFS_TEST_ALL") == "1"
SEEDS, OPERATIONS = (20, 1000000) if ALL else (2, 20000)
THREADS = (1, 8)
FIO = "fio"
# With a hole, and a page that RAM ends in.
MEM = (4 << 20) + 1234
FIO_MEM = 64 << 20 if ALL else 4 << 20
HOLE = slice(1 << 20, 2 << 20)
PASSED = "/ram is passed through to a clone of RAM"
failed = multiprocessing.Event()


def check(condition, what):
    if not condition:
        failed.set()
        sys.exit("FAIL: " + what)


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def sample_ram(size):
    ram = bytearray(reader.exact_bytes(random.Random(7), size))
    ram[HOLE] = bytes(HOLE.stop - HOLE.start)
    return ram


def write_sparse(path, fields, ram):
    reader.write_file(path, fields, reader.new_layout(fields, ram_offset=reader.RAM_STEP), ram)
    subprocess.run(["fallocate", "--dig-holes", path], check=True)


class Subject:
    """A snapshot in a folder of its own, and the model of its RAM, a file, in another.

    A DIFF has its base in a third.
    """

    def __init__(self, root=None, smfs=None, options="", size=MEM, diff=False):
        self.folder = tempfile.mkdtemp(dir=root, prefix="smfs-test-")
        self.scratch = tempfile.mkdtemp(prefix="smfs-test-")
        self.smfs = smfs
        self.options = ["-o", options] if options else []
        self.path = os.path.join(self.folder, "snap")
        self.model = os.path.join(self.scratch, "model")
        self.copy = os.path.join(self.scratch, "copy")
        fields = reader.sample_model()
        fields["mem_size"] = size
        ram = sample_ram(size)
        self.base = None
        if diff:
            self.base = os.path.join(tempfile.mkdtemp(dir=root, prefix="smfs-test-"), "base")
            self.base_ram = bytes(ram)
            write_sparse(self.base, fields, self.base_ram)
            self.base_digest = digest(self.base)
            pages = self.sample_pages(size)
            reader.write_file(self.path, fields, reader.new_layout(fields, "kvm-diff", base=self.base), pages=pages)
            for i, page in pages:
                ram[i * reader.PAGE:(i + 1) * reader.PAGE] = page
        else:
            write_sparse(self.path, fields, bytes(ram))
        self.ram = bytes(ram)
        self.digest = digest(self.path)

    @staticmethod
    def sample_pages(size):
        """A fifth of them, in no order, alone and in runs, with repeats, in the hole too, zeros among them."""
        rng = random.Random(8)
        every = range(size // reader.PAGE)
        chosen = rng.sample(every, len(every) // 10)
        chosen += [i for i in every if i // 32 % 10 == 3] + rng.sample(chosen, 5)
        return [(i, reader.exact_bytes(rng, reader.PAGE) if rng.randrange(8) else bytes(reader.PAGE)) for i in chosen]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.folder)
        shutil.rmtree(self.scratch)
        if self.base:
            shutil.rmtree(os.path.dirname(self.base))

    @contextlib.contextmanager
    def mounted(self, *options, stderr=None):
        """The path of /ram, with the model as it is; nothing may reach the snapshot."""
        with open(self.model, "wb") as f:
            f.write(self.ram)
        with Mount(self.path, *self.options, *options, stderr=stderr, smfs=self.smfs) as m:
            yield m.path("ram")
        check(digest(self.path) == self.digest, "the snapshot has changed")
        self.is_tidy()

    def is_tidy(self):
        check(os.listdir(self.folder) == ["snap"], "something is left beside it")
        if self.base:
            check(digest(self.base) == self.base_digest, "the base has changed")
            check(os.listdir(os.path.dirname(self.base)) == ["base"], "something is left beside the base")

    def exercise(self, ram, uses, seed, operations, threads):
        p = subprocess.run([EXERCISER, *uses, ram, self.model, str(seed), str(operations),
                            str(threads)],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return p.returncode, p.stdout


class Mode:
    """A way to serve /ram, and what may be done to it by one thread, and by several."""

    def __init__(self, name, subject, one, several):
        self.name = name
        self.subject = subject
        self.uses = {1: one, 8: several}


def modes(stack, jobs, missing):
    def subject(job, **how):
        return stack.enter_context(Subject(size=FIO_MEM if job == FIO else MEM, **how))

    for job in jobs:
        yield job, Mode("cached", subject(job), ["-s", "-e", "at-once"], ["-s", "-e", "at-once"])
        # The kernel maps nothing shared that it may not cache.
        yield job, Mode("direct", subject(job, options="ram=direct"), ["-e", "at-once"],
                        ["-e", "at-once"])
        # A write past the end is told of when the kernel likes, and RAM is another file then.
        yield job, Mode("writeback", subject(job, options="writeback"), ["-s"], ["-s"])
        yield job, Mode("diff", subject(job, diff=True), ["-s", "-e", "at-once"], ["-s", "-e", "at-once"])
    smfs = os.environ.get("SMFS_PASSTHROUGH")
    try:
        if not smfs:
            raise filesystems.Missing("SMFS_PASSTHROUGH, an smfs with libfuse 3.17")
        root = stack.enter_context(filesystems.mounted("xfs"))
    except filesystems.Missing as e:
        missing.append(str(e))
        return
    for job in jobs:
        s = subject(job, root=root, smfs=smfs)
        is_passed_through(s)
        yield job, Mode("passthrough", s, ["-s", "-e", "late"], ["-s"])
        s = subject(job, root=root, smfs=smfs, diff=True)
        is_passed_through(s)
        yield job, Mode("diff, passthrough", s, ["-s", "-e", "late"], ["-s"])


def is_passed_through(subject):
    with tempfile.TemporaryFile("w+") as said:
        with subject.mounted("-d", stderr=said) as ram, open(ram, "rb"):
            pass
        said.seek(0)
        check(PASSED in said.read(), "the daemon does not say: " + PASSED)


def is_no_hole(mode):
    """What was written a moment ago is data to whoever asks for data: cp does."""
    subject = mode.subject
    expected = bytearray(subject.ram)
    at = HOLE.start + 10 * 4096
    with subject.mounted() as ram, open(ram, "r+b", buffering=0) as f:
        for data in (b"first", b"second"):
            os.pwrite(f.fileno(), data, at)
            expected[at:at + len(data)] = data
            check(os.lseek(f.fileno(), HOLE.start, os.SEEK_DATA) <= at, mode.name + ": a hole")
            subprocess.run(["cp", "--sparse=auto", ram, subject.copy], check=True)
            with open(subject.copy, "rb") as c:
                check(c.read() == expected, mode.name + ": a copy of /ram")
            at += 20 * 4096


def exercise(mode, threads):
    """How many operations were done."""
    subject = mode.subject
    is_no_hole(mode)
    for seed in range(SEEDS):
        if failed.is_set():
            break
        with subject.mounted() as ram:
            status, said = subject.exercise(ram, mode.uses[threads], seed, OPERATIONS, threads)
            what = "%s, %d threads, seed %d: " % (mode.name, threads, seed)
            check(status == 0, "%sexit status %d: %s" % (what, status, said))
            check(said == "%d operations, seed %d, threads %d\n" % (OPERATIONS, seed, threads), said)
            check(digest(ram) == digest(subject.model), what + "/ram is not the model")
    return "%d operations" % (SEEDS * OPERATIONS)


def fio(mode):
    """It writes blocks at random, with their sums in them, and reads them all again."""
    engines = {"psync": ["--bsrange=512-64k", "--bs_unaligned=1"],
               "libaio": ["--direct=1", "--bsrange=4k-64k", "--iodepth=8"]}
    if "-s" in mode.uses[1]:
        engines["mmap"] = ["--bsrange=512-64k", "--bs_unaligned=1"]
    for engine, options in engines.items():
        # Its mmap engine, where jobs have offsets, is wrong on any file.
        jobs = 1 if engine == "mmap" else 2
        with mode.subject.mounted() as ram:
            size = FIO_MEM // jobs
            p = subprocess.run(["fio", "--name=ram", "--filename=" + ram, "--ioengine=" + engine,
                                "--rw=randrw", "--thread", "--numjobs=%d" % jobs,
                                "--size=%d" % size, "--offset_increment=%d" % size,
                                "--verify=crc32c", "--verify_fatal=1", "--do_verify=1",
                                "--verify_state_save=0", "--allow_file_create=0",
                                "--fallocate=none", "--overwrite=1", "--randseed=1", *options],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               cwd=mode.subject.scratch, check=False)
            check(p.returncode == 0, "%s, fio, %s: %s" % (mode.name, engine, p.stdout))
            check(digest(ram) != hashlib.sha256(mode.subject.ram).hexdigest(), "fio wrote nothing")
    return "%d MiB with each of %s" % (FIO_MEM >> 20, ", ".join(engines))


def run(mode, job):
    start = time.monotonic()
    done = fio(mode) if job == FIO else exercise(mode, job)
    how = job if job == FIO else "threads %d" % job
    return "%s, %s: %s, %.1f s" % (mode.name, how, done, time.monotonic() - start)


def are_holes_right(ram, path, what):
    """What the mount calls a hole is zeros; what the diff lists, and what the base stores, is none."""
    snap = reader.Snapshot(path)
    data = set(i for i, _ in snap.pages)
    with open(ram, "rb", buffering=0) as f:
        at = holes = 0
        while at < len(snap.ram):
            hole = os.lseek(f.fileno(), at, os.SEEK_HOLE)
            try:
                end = os.lseek(f.fileno(), hole, os.SEEK_DATA) if hole < len(snap.ram) else hole
            except OSError:
                end = len(snap.ram)
            check(not snap.ram[hole:end].strip(b"\0"), what + ": a hole that is none")
            check(not any(hole <= i * reader.PAGE < end for i in data), what + ": a listed page is a hole")
            holes += end - hole
            at = end if end > hole else len(snap.ram)
        check(holes >= (HOLE.stop - HOLE.start) // 4, what + ": %d bytes of holes" % holes)


def is_list_right(subject, what):
    """As a writer has it: in order, and nothing that the base has."""
    pages = reader.Snapshot(subject.path).pages
    numbers = [i for i, _ in pages]
    check(numbers == sorted(set(numbers)), what + ": the list is in no order")
    check(all(page != subject.base_ram[i * reader.PAGE:(i + 1) * reader.PAGE] for i, page in pages),
          what + ": a page of the base's is listed")


def saves(name, **how):
    """RAM of a diff is saved mount after mount: at a moment, and as it is at the end."""
    rounds, operations = (20, 20000) if ALL else (4, 300)
    with Subject(size=MEM - MEM % reader.PAGE, diff=True, **how) as subject:
        with open(subject.model, "wb") as f:
            f.write(subject.ram)
        for seed in range(rounds):
            what = "%s, mount %d" % (name, seed)
            with Mount(subject.path, "-o", "save_ram", smfs=subject.smfs) as m:
                ram = m.path("ram")
                if not subject.smfs:
                    are_holes_right(ram, subject.path, what)
                for _ in range(2):
                    status, said = subject.exercise(ram, [], seed, operations, 1)
                    check(status == 0, "%s: %s" % (what, said))
                    with open(ram, "r+b", buffering=0) as f:
                        # A page that becomes the base's again is not listed any more.
                        back = seed * 7 % (len(subject.base_ram) // reader.PAGE) * reader.PAGE
                        f.seek(back)
                        f.write(subject.base_ram[back:back + reader.PAGE])
                        os.fsync(f.fileno())
                    with open(subject.model, "r+b") as f:
                        f.seek(back)
                        f.write(subject.base_ram[back:back + reader.PAGE])
                    with open(subject.model, "rb") as f:
                        check(reader.Snapshot(subject.path).ram == f.read(), what + ": what was saved by fsync")
                    is_list_right(subject, what)
                status, said = subject.exercise(ram, [], seed + 100, operations, 1)
                check(status == 0, "%s: %s" % (what, said))
            with open(subject.model, "rb") as f:
                check(reader.Snapshot(subject.path).ram == f.read(), what + ": what was saved in the end")
            is_list_right(subject, what)
            subject.is_tidy()
    return "%s: %d mounts, each saved three times" % (name, rounds)


def sees_what_is_wrong():
    """A byte that is not what the model says is found, whichever way it is read."""
    with Subject() as subject:
        for what in ("read", "shared", "private", "hole", "end"):
            with subject.mounted() as ram:
                status, said = subject.exercise(ram, ["-s", "-f", what], 5, 100000, 1)
            check(status == 1, "exit status %d with a wrong byte: %s" % (status, said))
            seen = re.search(r"seed 5, thread 0 of 1, operation \d+, %s: offset \d+: 1 of \d+ "
                             r"bytes are wrong, expected (\w\w).*, got (\w\w)" % what, said)
            check(seen and seen[1] != seen[2], "a wrong byte is told of so: " + said)
        # And one that is in /ram, not made up.
        at = MEM - 100
        for threads in THREADS:
            with subject.mounted() as ram, open(ram, "r+b", buffering=0) as f:
                os.pwrite(f.fileno(), bytes([subject.ram[at] ^ 255]), at)
                status, said = subject.exercise(ram, [], 1, 0, threads)
            check(status == 1 and "offset %d: 1 of " % at in said, "not told of: " + said)


def main():
    require_fuse()
    check(os.access(EXERCISER, os.X_OK), "no program " + EXERCISER)
    jobs, missing = THREADS, []
    if shutil.which("fio"):
        jobs += (FIO,)
    else:
        missing.append("fio")
    sees_what_is_wrong()
    with contextlib.ExitStack() as stack:
        # Client and server take turns: a processor each is what a run makes use of.
        # Processes, as each has a mount (mounted.py).
        with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
            runs = [pool.submit(run, mode, job) for job, mode in modes(stack, jobs, missing)]
            runs.append(pool.submit(saves, "diff, save_ram"))
            if os.environ.get("SMFS_PASSTHROUGH"):
                with contextlib.suppress(filesystems.Missing), filesystems.mounted("xfs") as root:
                    print(saves("diff, save_ram, passthrough", root=root, smfs=os.environ["SMFS_PASSTHROUGH"]))
            for r in runs:
                print(r.result(), flush=True)
    if missing:
        lacking("; ".join(missing))


if __name__ == "__main__":
    main()
