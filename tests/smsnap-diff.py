#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap diff: the fields and pages that differ, against what another reader finds."""

import json
import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Failed, WorkDir, require  # noqa: E402
from snapfile import Snapshot, write_file  # noqa: E402
from snapmake import random_model, sample_model  # noqa: E402
from snaptree import tree_text  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
PAGE = 4096
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    if isinstance(want, set):
        require(want == got, "%s: expected, and not there: %r; there: %r" % (what, sorted(want - got), sorted(got - want)))
    require(want == got, "%s:\nexpected %r\ngot      %r" % (what, want, got))


def run(status, *arguments):
    done = subprocess.run([SMSNAP, "diff", *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    require(done.returncode == status, "%r: exit status %d: %r" % (arguments, done.returncode, done.stderr))
    require((status == 2) == bool(done.stderr), "it says %r" % done.stderr)
    return done.stdout.decode()


def leaves(snap):
    """What is absent and could be there has a file as well."""
    found = dict(line.split("\t") for line in tree_text(snap.document(), True).splitlines())
    for path in [p for p in found if p.startswith("listeners/") and p.endswith("/cid")]:
        found.setdefault(path[:-3] + "inet_port", "none")
    return found


def expected_fields(a, b):
    """Paths whose leaves differ; the bytes of what is decoded only where nothing decoded differs."""
    a, b = leaves(a), leaves(b)
    paths = {p for p in {*a, *b} if a.get(p) != b.get(p)}
    views = {p for p in paths if p.endswith(("/mmio/raw", "/backing/raw"))}
    raws = {p for p in paths - views if p.endswith("/raw") and any(q != p and q.startswith(p[:-3]) for q in paths)}
    return paths - views - raws


def expected_pages(a, b):
    a, b = a.ram or b"", b.ram or b""
    return [i for i in range(0, max(len(a), len(b)), PAGE) if a[i:i + PAGE] != b[i:i + PAGE]]


def pages_of(found):
    pages = []
    for r in found["ram"]:
        start, end = int(r["start"], 16), int(r["end"], 16)
        require(start < end and (not pages or start > pages[-1] + PAGE), "ranges that touch: %r" % found["ram"])
        more = list(range(start, end, PAGE))
        require(len(more) == r["pages"], "%r" % r)
        pages += more
    require(len(pages) == found["pages"], "%r" % found["pages"])
    return pages


def compare(a, b, base=None):
    one, two = Snapshot(a), Snapshot(b, base=base)
    fields, pages = expected_fields(one, two), expected_pages(one, two)
    status = 1 if fields or pages else 0
    found = json.loads(run(status, "--json", a, b))
    same("fields of %s" % b, fields, {f["path"] for f in found["fields"]})
    same("pages", pages, pages_of(found))
    text = run(status, a, b).splitlines()
    same("lines", len(fields), len([line for line in text if not line.startswith("ram")]))
    same("fields in lines", fields, {line.split(": ")[0] for line in text if not line.startswith("ram")})


def check_random(work, seed):
    rng = random.Random(seed)
    a, b = os.path.join(work, "a"), os.path.join(work, "b")
    model = random_model(rng, "kvm")
    mem = rng.randrange(1, 400) * PAGE
    model["mem_size"] = mem
    ram = bytearray(mem)
    for _ in range(rng.randrange(5)):
        at = rng.randrange(mem // PAGE) * PAGE
        ram[at:at + PAGE] = rng.randbytes(PAGE)
    write_file(a, model, ram=bytes(ram))
    other = random_model(rng, "kvm") if rng.randrange(2) else model
    other["mem_size"] = mem
    if rng.randrange(3):
        other["num_cpus"] ^= 1
        other["clock_ref"] ^= 1 << 63
        for device in other["devices"]:
            device["mmio"]["status"] ^= 1
    for _ in range(rng.randrange(8)):
        ram[rng.randrange(mem)] ^= rng.randrange(2)
    write_file(b, other, ram=bytes(ram))
    compare(a, b)
    compare(b, a)


def check_layouts(work):
    """A diff and its base, two diffs of it, and a diff that was made whole."""
    base, one, two = (os.path.join(work, n) for n in ("base", "one", "two"))
    model = sample_model()
    model["mem_size"] = 64 * PAGE
    write_file(base, model, ram=random.Random(1).randbytes(40 * PAGE))
    for path, pages in ((one, {3: b"x" * PAGE, 50: bytes(PAGE)}), (two, {3: b"x" * PAGE, 7: b"y" * PAGE, 8: bytes(PAGE)})):
        write_file(path, model, {"format": "kvm-diff", "base": base, "changed_pages": len(pages)}, pages=list(pages.items()))
    for a, b, want in ((base, one, [3]), (one, base, [3]), (one, two, [7, 8]), (base, two, [3, 7, 8]), (one, one, [])):
        found = json.loads(run(0 if a == b else 1, "--json", a, b))
        same("pages of %s and %s" % (a, b), [p * PAGE for p in want], pages_of(found))
    whole = os.path.join(work, "whole")
    subprocess.run([SMSNAP, "convert", one, "--layout", "kvm", "-o", whole], check=True)
    found = json.loads(run(1, "--json", one, whole))
    same("of a diff that was made whole", {"layout/format", "layout/base", "layout/changed_pages", "layout/ram_offset"},
         {f["path"] for f in found["fields"]})
    same("pages of it", 0, found["pages"])
    os.rename(base, base + ".away")
    run(2, one, two)
    # What is told is that memory cannot be read, not that the new file cannot be written.
    core = os.path.join(work, "core")
    done = subprocess.run([SMSNAP, "vmcore", one, "-o", core], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    same("a core without the base", (1, "smsnap: %s: guest memory cannot be read at 0x0: Input/output error" % one),
         (done.returncode, done.stderr.decode().splitlines()[-1]))
    require(not [n for n in os.listdir(work) if n.startswith("core")], "a core is there")
    same("with --in-base", [7 * PAGE, 8 * PAGE],
         pages_of(json.loads(run(1, "--json", one, two, "--in-base", base + ".away"))))
    for arguments in ((), (one,), (one, two, whole), (one, work + "/missing"), ("--no-such", one, two)):
        run(2, *arguments)
    # RAM of another size, or none.
    large, bare = os.path.join(work, "large"), os.path.join(work, "bare")
    reader.sample(large, 66 * PAGE)
    reader.sample(bare, None)
    reader.sample(whole, 64 * PAGE)
    compare(whole, large)
    require("ram 0x0-0x40000: 64 pages" in run(1, whole, bare), run(1, whole, bare))
    # What must not be seen, and what must not be done to a terminal.
    subprocess.run([SMSNAP, "set", large, "tsi_token=" + "s" * 32, "devices/0/backing/path=\x1b[2J"], check=True)
    text = run(1, whole, large) + run(1, "--json", whole, large)
    require("73737373" not in text and "ssss" not in text and "tsi_token: (32 secret bytes)" in text, "the token is told: " + text)
    require("\x1b" not in text, "a terminal would be cleared: %r" % text)


def sides(a, b):
    """The one line of the disk's path, and what it shows of both."""
    line, = run(1, a, b).splitlines()
    require(line.startswith("devices/0/backing/path: "), line)
    old, arrow, new = line.partition(": ")[2].partition(" -> ")
    require(arrow and old != new, "both are the same: %.300r" % line)
    return old, new


def check_shown(work):
    """What differs can be seen, whatever is before it."""
    a, b = os.path.join(work, "shown-a"), os.path.join(work, "shown-b")

    def shown(old, new):
        for path, text in ((a, old), (b, new)):
            model = sample_model()
            model["mem_size"] = PAGE
            model["devices"][0]["backing"]["path"] = text
            write_file(path, model, ram=bytes(PAGE))
        return sides(a, b)

    same("NUL", ('"/a\\x00b"', '"/a\\x01b"'), shown("/a\0b", "/a\1b"))
    same("NUL at the ends", ('"\\x00"', '"\\x00\\x00"'), shown("\0", "\0\0"))
    same("all that is shown of a text", ('"%s"' % ("x" * 1000), '"%s..."' % ("x" * 1000)), shown("x" * 1000, "x" * 1001))
    same("a difference at once", ('"a%s..."' % ("x" * 999), '"b%s..."' % ("x" * 999)), shown("a" + "x" * 3000, "b" + "x" * 3000))
    for before, after in ((999, 3000), (1000, 0), (1000, 3000), (1001, 1), (5000, 0), (5000, 3000), (60000, 400)):
        old, new = shown("x" * before + "old" + "y" * after, "x" * before + "new" + "y" * after)
        require("o" in old and "n" in new, "%d and %d: %.300r, %.300r" % (before, after, old, new))
        for text in (old, new):
            require(len(text) <= 1000 + 2 + 6, "%d bytes" % len(text))
            same("cut before", before >= 1000, text.startswith('"...'))
            same("cut after", after > 1000, text.endswith('..."'))
        require(before < 1000 or "xold" in old and "xnew" in new, "%d and %d: %.300r, %.300r" % (before, after, old, new))
    old, new = shown("x" * 5000, "x" * 5000 + "more")
    require(old.startswith('"...x') and old.endswith('x"') and new.endswith('xmore"'), "%.99r, %.99r" % (old, new))
    old, new = shown("\u00e9" * 2000 + "1", "\u00e9" * 2000 + "2")
    require(old.startswith('"...\u00e9') and old.endswith('\u00e91"') and "\\x" not in old, "%.99r" % old)
    # Bytes, of which fewer are shown.
    for path, byte in ((a, b"1"), (b, b"2")):
        model = sample_model()
        model["mem_size"] = PAGE
        model["vcpu"][0] = bytes(500) + byte + bytes(100)
        write_file(path, model, ram=bytes(PAGE))
    line, = run(1, a, b).splitlines()
    same("bytes", ["vcpu/0/raw: ...%s31%s... (601 bytes)" % ("00" * 16, "00" * 15), "...%s32%s... (601 bytes)" % ("00" * 16, "00" * 15)],
         line.split(" -> "))


def check_large(work):
    """4 GiB: what is shared or a hole costs nothing."""
    base, one, two = (os.path.join(work, n) for n in ("base", "one", "two"))
    model = sample_model()
    model["mem_size"] = 4 << 30
    write_file(base, model, ram={i << 28: b"data" * 1024 for i in range(16)})
    for path, byte in ((one, b"1"), (two, b"2")):
        write_file(path, model, {"format": "kvm-diff", "base": base, "changed_pages": 1000},
                   pages=[(i * 1000, byte * PAGE) for i in range(1000)])
    start = time.monotonic()
    same("1,000 pages", 1000, json.loads(run(1, "--json", one, two))["pages"])
    took = time.monotonic() - start
    require(took < 1, "two diffs of one base took %.2f s" % took)
    start = time.monotonic()
    run(1, base, one)
    require(time.monotonic() - start < 1, "a diff and its base took %.2f s" % (time.monotonic() - start))
    copy = os.path.join(work, "copy")
    write_file(copy, model, ram={i << 28: b"data" * 1024 for i in range(15)})
    start = time.monotonic()
    require("ram 0xf0000000-0xf0001000: 1 page\nram: 1 page\n" == run(1, base, copy), "holes")
    require(time.monotonic() - start < 2, "holes took %.2f s" % (time.monotonic() - start))
    print("two diffs of one base of 4 GiB, 1,000 pages each: %.3f s" % took)


def main():
    with WorkDir() as work:
        try:
            for seed in range(60):
                check_random(work, seed)
            check_layouts(work)
            check_shown(work)
            check_large(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
