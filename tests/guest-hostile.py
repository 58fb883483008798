#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests whose memory lies: whatever is asked of them ends within two seconds of a processor's time and
64 MiB beside what maps the guest's own memory, twice, with an answer or one line that says what is wrong.
"""

import os
import random
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guestmake  # noqa: E402
from guestmake import FINAL, MIB, Guest, num  # noqa: E402
from mounted import WorkDir  # noqa: E402

SMSNAP = os.environ.get("SMSNAP", "smsnap")
FILES = ["vmcoreinfo", "banner", "release", "cmdline", "kaslr", "dmesg", "kallsyms", "tasks"]
SECONDS, MEMORY = 2.0, 64 * MIB
PAGE = 4096
# A sanitizer's programs are slower and larger.
SLOW = os.environ.get("SMFS_SANITIZED") == "1"
SEEDS = 400 if os.environ.get("SMFS_TEST_ALL") == "1" else 6
most = {"seconds": 0.0}
runs = 0


def ask(what, g, work, arguments):
    """Run smsnap; whether it gave an answer."""
    global runs
    with tempfile.TemporaryFile() as err, open(os.devnull, "r+b") as null:
        limit = [] if SLOW else ["prlimit", "--data=%d" % (2 * len(g.ram) + MEMORY)]
        child = subprocess.Popen([*limit, SMSNAP, *arguments], stdin=null, stdout=null, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = status
        err.seek(0)
        said = err.read()
    runs += 1
    name = "%s: smsnap %s" % (what, " ".join(arguments[:2]))
    if not os.WIFEXITED(status) or os.WEXITSTATUS(status) not in (0, 1):
        sys.exit("FAIL: %s: status %#x: %r" % (name, status, said))
    if os.WEXITSTATUS(status) != (0 if not said else 1) or said.count(b"\n") != (1 if said else 0):
        sys.exit("FAIL: %s: exit status %d, and says %r" % (name, os.WEXITSTATUS(status), said))
    seconds = used.ru_utime + used.ru_stime
    most["seconds"] = max(most["seconds"], seconds)
    if not SLOW and seconds > SECONDS:
        sys.exit("FAIL: %s: %.2f seconds" % (name, seconds))
    if b"out of memory" in said:
        sys.exit("FAIL: %s: %d MiB were not enough" % (name, MEMORY // MIB))
    return not said


def ask_all(what, g, work, names=(*FILES, "vmcore")):
    path = os.path.join(work, "snap")
    g.write(path, getattr(g, "vcpus", ()))
    return [name for name in names
            if ask(what, g, work, ["vmcore", path, "-o", path + ".core"] if name == "vmcore" else ["guest", name, path])]


def refusal(what, g, work, name):
    """What smsnap says of the file NAME, which must not be had."""
    if ask_all(what, g, work, [name]):
        sys.exit("FAIL: %s: there is %s" % (what, name))
    return subprocess.run([SMSNAP, "guest", name, os.path.join(work, "snap")], check=False, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE).stderr


def a_guest(**how):
    """One with everything."""
    g = Guest(**how)
    guestmake.printk_ring(g, [(i, b"record %d" % i, FINAL) for i in range(100)], 6, 12)
    guestmake.kallsyms(g, [(g.image + 16 * i, b"T_stext" if i == 0 else b"tfunction_%d" % i) for i in range(700)],
                       "6.5", False)
    guestmake.tasks(g, [(0, 0, b"swapper/0"), (1, 1, b"init"), (2, 1, b"kthreadd"), (7, 1, b"seven")])
    guestmake.btf(g)
    if g.machine == "x86_64":
        g.vcpus = [guestmake.kvm_vcpu({"regs/rsp": g.vmalloc + 0x10018, "sregs/cs/selector": 0x10}) for _ in range(3)]
        g.map(g.vmalloc + 0x10000, 0xd00000, 0x4000, small=True)
    g.finish()
    return g


def interesting(rng, g):
    """A number that is likely to be taken for something."""
    return rng.choice([
        lambda: rng.getrandbits(64), lambda: rng.randrange(256), lambda: guestmake.MASK - rng.randrange(256),
        lambda: g.image + rng.randrange(4 * MIB), lambda: g.direct + g.base + rng.randrange(len(g.ram)) & guestmake.MASK,
        lambda: g.base + rng.randrange(len(g.ram)) // 4096 * 4096 | rng.choice([1, 3, 0x83, 0x63]),
        lambda: 1 << rng.randrange(64), lambda: 0])()


def mutants(work):
    """Memory with lies in random places, most of them where something is."""
    answered = 0
    for seed in range(SEEDS):
        rng = random.Random(seed)
        g = a_guest(**rng.choice([{}, {}, {"va_bits": 57}, {"machine": "aarch64", "base": 0x80000000}]))
        places = [at for at in range(0, len(g.ram), 8) if g.ram[at:at + 8] != bytes(8)]
        for _ in range(rng.choice([1, 5, 40, 400])):
            at = rng.choice(places) + rng.randrange(8)
            g.poke(g.base + min(at, len(g.ram) - 8), num(interesting(rng, g), 8))
        answered += len(ask_all("mutant %d" % seed, g, work))
    if answered < SEEDS:
        sys.exit("FAIL: of %d mutants only %d answers" % (SEEDS, answered))


def everywhere(work):
    """What is looked for is at every place there is."""
    for what, pattern in {
            "notes": struct.pack("<III12s", 11, 65536, 0, b"VMCOREINFO\0") + b"OSRELEASE=1\nSYMBOL(_stext)=1\n",
            "pages of VMCOREINFO": b"OSRELEASE=1\n" + b"x=y\n" * 900}.items():
        g = Guest(size=64 * MIB)
        for pa in range(0, len(g.ram), 4096):
            g.poke(pa, pattern[:4096])
        ask_all(what, g, work, ["release"])
    g = Guest(size=64 * MIB)
    g.poke(0, (b"....VMCOREINFO\0\0" * (64 * MIB // 16)))
    ask_all("notes at every 16 bytes", g, work, ["release"])
    for what, pattern in {"first tasks": b"swapper/0".ljust(16, b"\0"), "BTF": struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, 1 << 20, 1 << 20, 1 << 20),
                          "tokens": b"0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0"}.items():
        g = Guest()
        end = g.image_pa + g.image_size
        g.finish()
        g.poke(g.image_next, (pattern * (4 * MIB // len(pattern) + 1))[:end - g.image_next])
        ask_all(what, g, work)


def cycles(work):
    """Page tables that lead to themselves, at every level."""
    for machine in ("x86_64", "aarch64"):
        g = Guest(machine, base=0 if machine == "x86_64" else 0x80000000)
        g.finish()
        own = g.entry(g.root, 1, False) & ~0x80
        for i in range(512):
            if g.ram[g.root - g.base + 8 * i] == 0:
                g.poke(g.root + 8 * i, num(own, 8))
        ask_all("page tables in a circle, " + machine, g, work)
    # As espfix does: one page of entries, from all places of the level above, and so on.
    g = Guest()
    g.finish()
    table = g.give(3 * 4096, 4096)
    for k in range(3):
        for i in range(512):
            g.poke(table + 4096 * k + 8 * i, num(table + 4096 * (k + 1) | 3 if k < 2 else 0x5000 | 3, 8))
    for i in range(256, 511):
        if g.ram[g.root + 8 * i] == 0:
            g.poke(g.root + 8 * i, num(table | 3, 8))
    ask_all("one page everywhere", g, work)


def large(work):
    """The most of everything that is believed."""
    g = Guest(size=48 * MIB)
    # A list of tasks that fills memory, and all claim to be first.
    n = (1 << 17) - 1
    start = g.put_outside(bytes(8192 + 160 * n), 4096)
    g.put(b"swapper/0".ljust(16, b"\0"))
    head = g.put(bytes(16)) - 16 - 64
    places = [head] + [start + 4096 + 160 * i for i in range(n)]
    for i, va in enumerate(places):
        data = num(places[(i + 1) % len(places)], 8) + num(places[i - 1], 8) + bytes(48) + (b"swapper/0" if i == 0 else b"task").ljust(16, b"\0")
        g.poke(va - g.image + g.image_pa if i == 0 else va - g.direct, data)
    guestmake.printk_ring(g, [(i, b"x", FINAL) for i in range(1 << 14)], 14, 20)
    g.finish()
    found = ask_all("many tasks and records", g, work)
    if not {"tasks", "dmesg"} <= set(found):
        sys.exit("FAIL: many tasks and records: only %s" % found)
    said = subprocess.run([SMSNAP, "guest", "tasks", os.path.join(work, "snap")], check=True, stdout=subprocess.PIPE).stdout
    if said.count(b"\n") != n + 1:
        sys.exit("FAIL: of %d tasks there are %d" % (n + 1, said.count(b"\n")))
    # Tables of symbols of which every name is the longest, and one symbol too many.
    for count in (100000, 1 << 20, (1 << 32) - 1):
        g = Guest(size=48 * MIB)
        where = {}
        guestmake.kallsyms(g, [(g.image, b"T_stext"), (g.image, b"tx")], "6.5", False)
        for line in g.info:
            name, _, value = line.partition("=")
            where[name[16:-1]] = int(value, 16)
        g.poke(where["num_syms"] - g.image + g.image_pa, num(count, 4))
        g.poke(where["token_table"] - g.image + g.image_pa, b"")
        big = g.put_outside(b"\7T_stext" + (b"\xff\x7f" + b"t" * 0x3fff) * 900, 4096)
        offsets = g.put_outside(bytes(4 * 200000), 4096)
        g.info = ["SYMBOL(kallsyms_%s)=%x" % (name, {"names": big, "offsets": offsets}.get(name, value))
                  for name, value in where.items()]
        g.finish()
        ask_all("%d symbols" % count, g, work)


def scatter(g, pages, stride=1):
    """Map PAGES, physical addresses or 0, one after the other at g.vmalloc, with page tables STRIDE pages apart."""
    def table(entries):
        pa = g.give(PAGE, stride * PAGE)
        g.poke(pa, b"".join(num(entry and entry | 0x63, 8) for entry in entries))
        return pa
    for _ in range(3):
        pages = [table(pages[i:i + 512]) if any(pages[i:i + 512]) else 0 for i in range(0, len(pages), 512)]
    assert len(pages) == 1
    g.poke(g.root + 8 * (g.vmalloc >> 39 & 511), num(pages[0] | 0x63, 8))


def backwards(i, bits):
    """Number I with its bits the other way round: whoever counts is everywhere."""
    return int(format(i, "0%db" % bits)[::-1], 2)


def scattered_log(work):
    """As many records as are believed, of the longest text, each in another place of a ring of 2 GiB, which is
    little memory, mapped again and again. Each starts with its number."""
    bits, ring = 18, 31
    count = 1 << bits
    g = Guest(size=64 * MIB)
    guestmake.printk_ring(g, [(1, b"x", FINAL)], 4, 9)
    ids = g.give(8 * count, PAGE)
    g.poke(ids, b"".join(num(i, 8) for i in range(count)))
    pages, descs = [ids] * (2 * count), bytearray(24 * count)
    for i in range(count):
        place = 2 * backwards(i, bits)
        pages[place] = ids + i // 512 * PAGE
        begin = place * PAGE + i % 512 * 8
        struct.pack_into("<QQQ", descs, 24 * i, FINAL << 62 | i, begin, begin + 8 + 65528)
    scatter(g, pages, 8)
    # All infos are one.
    info = g.put_outside(bytes(16) + num(65535, 2) + bytes(70))
    prb = int.from_bytes(g.ram[g.image_next - 8 - g.base:g.image_next - g.base], "little")
    g.poke(g.image_pa + prb - g.image, num(bits, 4) + bytes(4) + num(g.put_outside(bytes(descs)), 8) + num(info, 8)
           + num(count - 1, 8) + num(0, 8) + bytes(8) + num(ring, 4) + bytes(4) + num(g.vmalloc, 8))
    g.info = [line if not line.startswith("SIZE(printk_info)") else "SIZE(printk_info)=0" for line in g.info]
    g.finish()
    ask_all("a scattered log", g, work)
    # With little text all of them would fit into a file.
    g.poke(info + 16 - g.direct, num(8, 2))
    said = refusal("a scattered log of little text", g, work, "dmesg")
    if b"in more places than a log can be" not in said:
        sys.exit("FAIL: a scattered log of little text: %r" % said)
    # An older buffer in which a record's parts are far from each other.
    g = Guest(size=32 * MIB)
    record = g.give(PAGE, PAGE)
    g.poke(record, (num(16, 2) + num(14, 2) + bytes(12)) * (PAGE // 16))
    scatter(g, [record] * (32 * MIB // PAGE))
    for name, value in {"": g.vmalloc, "_len": 16 * MIB, "_first": 0, "_next": 16 * MIB - 4}.items():
        symbol = "log_buf" + name if name in ("", "_len") else "log" + name + "_idx"
        g.info.append("SYMBOL(%s)=%x" % (symbol, g.put(num(value, 8))))
    g.info += ["SIZE(printk_log)=1", "OFFSET(printk_log.ts_nsec)=%d" % (4 * MIB), "OFFSET(printk_log.len)=0",
               "OFFSET(printk_log.text_len)=%d" % (8 * MIB + 2)]
    g.finish()
    ask_all("an older log in pieces", g, work)


def scattered_tasks(work):
    """Lists that are too long for tasks, each element on another page, with eight first tasks."""
    lists, count, bits = 8, (1 << 17) + 8, 21
    g = Guest(size=144 * MIB)
    elements = g.give(32 * lists * count, PAGE)
    heads = [g.put(bytes(12288), PAGE) + 9216 for _ in range(lists)]

    def place(element):
        return g.vmalloc + backwards(element, bits) * PAGE + element % 128 * 32

    data, pages = bytearray(32 * lists * count), [0] * (1 << bits)
    for e in range(lists * count):
        first, last = e % count == 0, e % count == count - 1
        struct.pack_into("<QQ4s", data, 32 * e, 0 if last else place(e + 1), heads[e // count] if first else place(e - 1),
                         b"task")
        pages[backwards(e, bits)] = elements + e // 128 * PAGE
    g.poke(elements, bytes(data))
    for i, head in enumerate(heads):
        g.poke(head - g.image + g.image_pa, num(place(i * count), 8) + bytes(8) + b"swapper".ljust(16, b"\0"))
    scatter(g, pages)
    g.finish()
    if "tasks" not in ask_all("scattered tasks", g, work, ["tasks"]):
        sys.exit("FAIL: scattered tasks: there are none")


def main():
    with WorkDir() as work:
        for test in (everywhere, cycles, large, scattered_log, scattered_tasks, mutants):
            test(work)
    print("%d runs; at most %.2f seconds" % (runs, most["seconds"]))


main()
