#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap grep against bytes.find over all of RAM, and the symbols of a guest that is made by hand."""

import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guestmake  # noqa: E402
from mounted import Failed, WorkDir, require  # noqa: E402
from snapfile import PAGE, Snapshot, new_layout, write_file, write_head  # noqa: E402
from snapmake import sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
PIECE = 64 << 10  # read at once
checks = 0


def run(status, *arguments):
    """Its lines."""
    done = subprocess.run([SMSNAP, "grep", *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120)
    require(done.returncode == status, "%.200r: exit status %d: %r" % (arguments, done.returncode, done.stderr))
    require(done.stderr.decode().count("\n") == (status == 2), "it says %r" % done.stderr)
    return done.stdout.decode().splitlines()


def places(ram, pattern):
    """Where it stands: of places that overlap the first."""
    at = -len(pattern)
    while (at := ram.find(pattern, at + len(pattern) if at >= 0 else 0)) >= 0:
        yield at


def check(path, ram, base, pattern):
    """PATTERN, bytes, is found where it is."""
    global checks
    wanted = sorted(base + at for at in places(ram, pattern))
    got = run(0 if wanted else 1, "-x", pattern.hex(), path)
    require([int(line.split()[0], 16) for line in got] == wanted, "%.80r: expected %.200r, got %.200r" % (
        pattern, [hex(a) for a in wanted], got))
    require(all(line.startswith("0x") and line == line.lower() for line in got), "%r" % got[:3])
    checks += 1
    return len(wanted)


def make(rng, path, layout):
    """RAM of few kinds of bytes, with holes, and much of it."""
    model = sample_model()
    model["mem_size"] = 5 * PIECE - (rng.randrange(PAGE) if layout == "bare" else 0)
    letters = bytes([0, 0, 0, 1, 2, 0x61, 0x62, rng.randrange(256)])

    def page():
        kind = rng.randrange(4)
        some = bytes(rng.choice(letters) for _ in range(64))
        return bytes(PAGE) if kind < 2 else some * (PAGE // 64) if kind < 3 else rng.randbytes(64) + bytes(PAGE - 128) + some

    if layout == "kvm-diff":
        make(rng, path + ".base", "kvm")
        pages = [(rng.randrange(model["mem_size"] // PAGE), page()) for _ in range(20)]
        write_file(path, model, new_layout(model, layout, base=path + ".base", changed_pages=len(pages)), pages=pages)
        return
    where = new_layout(model, layout)
    if layout == "bare":
        where["ram_offset"] = len(write_head(model, where)) + rng.randrange(5000)
    write_file(path, model, where, b"".join(page() for _ in range(5 * PIECE // PAGE))[:model["mem_size"]])


def check_random(work, seed):
    """Patterns that stand there, from where pages and pieces end, and from beside holes."""
    rng = random.Random(seed)
    path = os.path.join(work, "snap")
    make(rng, path, ["kvm", "kvm-diff", "hvf", "bare"][seed % 4])
    snap = Snapshot(path)
    base = snap.layout.get("ram_gpa", 0)
    ram, several = snap.ram, 0
    for _ in range(12):
        size = rng.choice([1, 2, 3, 4, 7, 16, 100, 5000, PIECE - 7])
        border = rng.choice([PAGE * rng.randrange(len(ram) // PAGE), PIECE * rng.randrange(5), len(ram), 0])
        at = max(0, min(border - rng.randrange(size + 1), len(ram) - size))
        pattern = ram[at:at + size]
        if rng.randrange(6) == 0:
            pattern = pattern[:-1] + bytes([pattern[-1] ^ 0x80])
        if pattern.strip(b"\0"):
            several += check(path, ram, base, pattern) > 1
    return several


def check_borders(work):
    """A pattern over the end of a page, of a piece, of RAM; with zeros of a hole before it and behind it."""
    path = os.path.join(work, "snap")
    model = sample_model()
    model["mem_size"] = 64 * PIECE
    word = b"needle"
    for at in (0, PAGE - 3, PIECE - 1, PIECE - 5, 3 * PIECE - 3, model["mem_size"] - 6):
        ram = bytearray(model["mem_size"])
        ram[at:at + 6] = word
        write_file(path, model, ram=bytes(ram))
        require(check(path, ram, 0, word) == 1, "not made")
        for before, after in ((1, 0), (0, 1), (5000, 0), (0, 5000), (30000, 30000), (PAGE, PAGE)):
            check(path, ram, 0, bytes(before) + word + bytes(after))
    # So many of one byte that another way of searching is taken, and what nearly fits everywhere.
    ram = b"a" * (2 * PIECE) + b"b" + b"a" * (2 * PIECE)
    model["mem_size"] = 5 * PIECE
    ram += bytes(model["mem_size"] - len(ram))
    write_file(path, model, ram=ram)
    for pattern in (b"a", b"aa", b"aaab", b"b", b"ab" + b"a" * 30000, b"a" * 40000, b"a" * 40000 + b"c", b"ba"):
        check(path, ram, 0, pattern)


def check_texts(work):
    """Texts as they are and as UTF-16, and what is no pattern."""
    global checks
    path = os.path.join(work, "snap")
    model = sample_model()
    model["mem_size"] = 8 * PAGE
    ram = bytearray(model["mem_size"])
    word = "na\u00efve \U0001f600"
    for at, encoding in ((100, "utf-8"), (PAGE - 5, "utf-16-le"), (3 * PAGE, "utf-16-be"), (5 * PAGE - 3, "utf-8"), (7 * PAGE, "utf-16-le")):
        data = word.encode(encoding)
        ram[at:at + len(data)] = data
    write_file(path, model, ram=bytes(ram))
    for options, wanted in (([], [100, 5 * PAGE - 3]), (["-u"], [100, PAGE - 5, 5 * PAGE - 3, 7 * PAGE]),
                            (["--utf-16"], [100, PAGE - 5, 5 * PAGE - 3, 7 * PAGE])):
        require(run(0, *options, word, path) == [hex(at) for at in wanted], "%r" % options)
    require(run(0, "-x", "F0 9f98 80", path) == run(0, "--hex", "f09f9880", path), "capitals and spaces")
    require(run(1, "no such", path) == [], "it is found")
    for arguments in (["", path], ["-x", "0", path], ["-x", "0g", path], ["-x", "", path], ["-x", "00 00", path], ["-x", " ", path],
                      ["-x", "-u", "41", path], ["-u", b"\xff", path], ["x"], [], ["x", path, path], ["x", path + ".missing"],
                      ["x", "/dev/null"]):
        run(2, *arguments)
    require(run(1, b"\xff", path) == [], "bytes that are no text")
    diff = os.path.join(work, "diff")
    write_file(diff, model, new_layout(model, "kvm-diff", base="/no/such", changed_pages=0))
    run(2, "x", diff)
    require(run(0, "--in-base", path, word, diff) == run(0, word, path), "with its base")
    model["mem_size"] = 0
    write_file(path, model)
    run(2, "x", path)
    with open("/dev/full", "wb") as full:
        require(subprocess.run([SMSNAP, "grep", "--in-base", path, word, diff], check=False, stdout=full,
                               stderr=subprocess.DEVNULL).returncode == 2, "output that could not be written")
    checks += 24


def check_symbols(work):
    """In the kernel's image a place has its symbol, and nowhere else."""
    global checks
    path = os.path.join(work, "snap")
    for how in ({}, {"machine": "aarch64", "base": 0x40000000}):
        guest = guestmake.Guest(**how)
        symbols = [(guest.image, b"T_stext"), (guest.image, b"T_text"), (guest.image + 0x234, b"tdo_thing"),
                   (guest.image + 0x200000, b"Dsome_data"), (guest.image + 0x200000, b"Dalias")]
        guestmake.kallsyms(guest, symbols, "6.5", False, False, True)
        wanted = []
        for offset, where in ((0x10, "_stext+0x10"), (0x234, "do_thing+0x0"), (0x2345, "do_thing+0x2111"),
                              (0x200007, "some_data+0x7")):
            guest.poke(guest.image_pa + offset, b"<needle>")
            wanted.append("0x%x %s" % (guest.image_pa + offset, where))
        outside = guest.base + len(guest.ram) - 100
        guest.poke(outside, b"<needle>")
        guest.finish()
        guest.write(path)
        require(run(0, "<needle>", path) == [*wanted, "0x%x" % outside], "%r" % run(0, "<needle>", path))
        checks += 1


def check_large(work):
    """1 TiB of which little is stored."""
    global checks
    path = os.path.join(work, "large")
    model = sample_model()
    model["mem_size"] = 1 << 40
    write_file(path, model, ram={1 << 39: os.urandom(PAGE - 4) + b"need", (1 << 39) + PAGE: b"le" + os.urandom(PAGE - 2)})
    start = time.monotonic()
    require(run(0, "needle", path) == [hex((1 << 39) + PAGE - 4)], "not found")
    require(time.monotonic() - start < 5, "it took %.1f s" % (time.monotonic() - start))
    checks += 1


def main():
    with WorkDir() as work:
        try:
            several = sum(check_random(work, seed) for seed in range(32))
            require(several > 32, "only %d patterns stand in several places" % several)
            check_borders(work)
            check_texts(work)
            check_symbols(work)
            check_large(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
