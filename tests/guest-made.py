#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Guests put together by hand (guestmake.py): what smsnap guest, smsnap vmcore and a mount tell of
them is what was put into them, and where dmesg tools and debuggers are installed, those agree.
"""

import mmap
import os
import random
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guestmake  # noqa: E402
from guestmake import COMMITTED, FINAL, FREE, MIB, Guest  # noqa: E402
from mounted import Mount, WorkDir, expect, require, require_fuse  # noqa: E402

SMSNAP = os.environ.get("SMSNAP", "smsnap")
FILES = ["vmcoreinfo", "banner", "release", "cmdline", "kaslr", "dmesg", "kallsyms", "tasks"]
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    if want != got:
        sys.exit("FAIL: %s: expected %.600r, got %.600r" % (what, want, got))


def smsnap(*arguments, status=0):
    """Its output; its error where it fails, as it must with another STATUS."""
    done = subprocess.run([SMSNAP, *arguments], check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != status:
        sys.exit("FAIL: smsnap %s: exit status %d: %s" % (" ".join(arguments), done.returncode, done.stderr.decode()))
    return done.stderr if status else done.stdout


def guest_file(name, snapshot, status=0):
    return smsnap("guest", name, snapshot, status=status)


# ---- what a guest is made of ------------------------------------------------------

BANNER = b"Linux version 6.99.1-test (me@here) (cc 1, ld 2) #7 SMP test"
CMDLINE = b"console=ttyS0 quiet token=secret"
RECORDS = [(0, BANNER, FINAL), (1000, b"Command line: " + CMDLINE, FINAL),
           (1234567, b"Kernel command line: " + CMDLINE, COMMITTED), (2 * 10**9, b"two\nlines", FINAL),
           (3 * 10**9 + 999, b"not \x01 printable \xff, \\ is", FINAL), (4 * 10**9, b"", FINAL),
           (4 * 10**9 + 1, None, FINAL), (5 * 10**9, b"being written", FREE), (123456 * 10**9 + 5000, b"late", FINAL)]

TASKS = [(0, 0, b"swapper/0"), (1, 1, b"init"), (2, 1, b"kthreadd"), (3, 0x402, b"kworker/0:0"), (17, 2, b"in D"),
         (40, 0x104, b"stopped"), (41, 0x80, b"zombie", 0x20), (42, 0x80, b"dead", 0x10), (43, 0x80, b"ends"),
         (44, 0x80, b"reaped", 0x30), (45, 0, b"at its end", 0x20), (50, 8, b"traced"), (51, 0x40, b"parked"), (52, 0x102, b"killable"),
         (53, 0x2001, b"freezable"), (54, 0x2402, b"idle, freezable"), (55, 0x8000, b"frozen"), (56, 0x1000, b"rtlock"),
         (57, 0x200, b"waking"), (58, 0x800, b"new"), (77, 0, b"\xc3\xa9\n")]
# What /proc/PID/stat would say.
STATES = b"RSSIDTZXRZZtPDSIDDRRR"


def symbols_of(guest, count=600, longest=100):
    rng = random.Random(count)
    found = [(guest.image, b"T_stext"), (guest.image, b"T_text")]
    for i in range(count):
        kind = rng.choice([b"t", b"T", b"d", b"W"])
        found.append((found[-1][0] + rng.randrange(0, 4096), kind + rng.choice([b"sys_", b"do_", b"x_start"])
                      + b"%d_" % i + b"n" * rng.randrange(longest)))
    return found


def full_guest(order="6.5", shape="btf", log="ring", absolute=False, wide=False, **how):
    """A guest with everything, and what of it is to be read."""
    g = Guest(**how)
    want = {"release": b"6.99.1-test\n", "banner": BANNER + b"\n", "cmdline": CMDLINE + b"\n"}
    if log == "ring":
        kept = guestmake.printk_ring(g, RECORDS, 5, 12)
    else:
        kept = guestmake.log_buf(g, [(time, text) for time, text, state in RECORDS if text and state != FREE], 4096)
    want["dmesg"] = guestmake.log_text(kept)
    symbols = symbols_of(g, longest=200 if order == "6.5" else 100)
    if absolute:
        symbols = [(0x1000, b"Aper_cpu"), *symbols]
    guestmake.kallsyms(g, symbols, order, absolute, wide, order == "6.5")
    want["kallsyms"] = guestmake.kallsyms_text(symbols)
    stacks = guestmake.tasks(g, TASKS)
    if shape == "btf":
        guestmake.btf(g)
    want["tasks"] = b"".join(
        b"%d %c 0x%016x %s\n" % (task[0], letter if shape == "btf" else b"-", stack,
                                 task[2].replace(b"\xc3\xa9\n", b"\\xc3\\xa9\\x0a"))
        for task, letter, stack in zip(TASKS, STATES, stacks))
    return g, want


def finish(g, want):
    g.finish()
    want["vmcoreinfo"] = g.text.encode()
    lines = [b"slide 0x%x" % g.slide]
    if g.machine == "x86_64":
        lines.append(b"phys_base 0x%x" % (g.image_pa - (g.image - guestmake.X86_IMAGE) & guestmake.MASK))
    else:
        lines.append(b"kimage_voffset 0x%x" % (g.image - g.image_pa & guestmake.MASK))
    lines += [b"_stext 0x%x" % g.image, b"_stext_physical 0x%x" % g.image_pa,
              b"direct_map 0x%x" % (g.direct + g.base & guestmake.MASK), b""]
    want["kaslr"] = b"\n".join(lines)


def check_files(what, snapshot, want):
    for name in FILES:
        same("%s: %s" % (what, name), want[name], guest_file(name, snapshot))


VARIANTS = {
    "x86-64": {}, "x86-64, 5 levels": {"va_bits": 57}, "x86-64 without KASLR": {"slide": 0},
    "x86-64, tasks by shape": {"shape": "shape"}, "x86-64, old log": {"log": "log_buf"},
    "x86-64, symbols of 4.20 to 5.19": {"order": "4.6", "absolute": True},
    "x86-64, symbols of 4.6 to 4.19": {"order": "4.6", "absolute": True, "wide": True},
    "aarch64": {"machine": "aarch64", "base": 0x40000000, "hole": True}, "x86-64 with a hole": {"hole": True},
    "aarch64 at 0x80000000, by shape": {"machine": "aarch64", "base": 0x80000000, "shape": "shape"},
    "aarch64, 16 KiB": {"machine": "aarch64", "base": 0x80000000, "page": 16384, "va_bits": 47, "slide": 0},
    "aarch64, 64 KiB": {"machine": "aarch64", "base": 0x80000000, "page": 65536, "va_bits": 48},
    "aarch64, 64 KiB, 52 bits": {"machine": "aarch64", "base": 0x80000000, "page": 65536, "va_bits": 52, "slide": 0},
    "aarch64, 39 bits": {"machine": "aarch64", "base": 0x80000000, "va_bits": 39, "slide": 0},
}


def variants(work):
    path = os.path.join(work, "snap")
    for what, how in VARIANTS.items():
        g, want = full_guest(**how)
        finish(g, want)
        g.write(path)
        check_files(what, path, want)


# ---- the log ----------------------------------------------------------------------

def random_logs(work):
    """Rings that have gone round, of descriptors and of text, and buffers."""
    path = os.path.join(work, "snap")
    for seed in range(25):
        rng = random.Random(seed)
        g = Guest(size=12 * MIB)
        texts = [bytes(rng.randrange(1, 256) for _ in range(rng.randrange(0, 60))) for _ in range(rng.randrange(1, 90))]
        times = sorted(rng.randrange(10**14) for _ in texts)
        if seed % 5:
            kept = guestmake.printk_ring(g, [(t, text, rng.choice([FINAL, FINAL, COMMITTED, FREE]))
                                             for t, text in zip(times, texts)],
                                         rng.choice([4, 5, 6]), rng.choice([9, 10, 12]), seed % 2 == 0)
        else:
            kept = guestmake.log_buf(g, list(zip(times, texts)), rng.choice([512, 1024, 8192]))
        g.finish()
        g.write(path)
        want = guestmake.log_text(kept)
        same("log %d" % seed, want, guest_file("dmesg", path))
        core = os.path.join(work, "core")
        # It takes text that ends where the ring does for what went on at its start.
        if shutil.which("vmcore-dmesg") and want and (seed % 2 or seed % 5 == 0):
            smsnap("vmcore", path, "-o", core)
            said = subprocess.run(["vmcore-dmesg", core], check=True, stdout=subprocess.PIPE).stdout
            same("vmcore-dmesg, log %d" % seed, said, want)


def long_log(work):
    """An older buffer of many small records: whatever fits into a file is printed."""
    path, core = os.path.join(work, "snap"), os.path.join(work, "core")
    g = Guest(size=32 * MIB)
    kept = guestmake.log_buf(g, [(1000 * i, b"%d" % (i % 10)) for i in range(300000)], 8 * MIB)
    g.finish()
    g.write(path)
    want = guestmake.log_text(kept)
    same("a long log", want, guest_file("dmesg", path))
    if shutil.which("vmcore-dmesg"):
        smsnap("vmcore", path, "-o", core)
        said = subprocess.run(["vmcore-dmesg", core], check=True, stdout=subprocess.PIPE).stdout
        same("vmcore-dmesg, a long log", said, want)


def first_page(work):
    """The first task is at the start of what is mapped, and of the image: by its shape it is found all the same."""
    path = os.path.join(work, "snap")
    for how in ({"hole": True}, {}):
        g = Guest(**how)
        if not how:
            g.image_next = g.image_pa
        tasks = [(0, 0, b"swapper/0"), (1, 1, b"init"), (2, 1, b"kthreadd"), (70, 1, b"seventy"), (71, 1, b"another")]
        stacks = guestmake.tasks(g, tasks)
        g.image_next = max(g.image_next, g.root + g.page)
        g.finish()
        g.write(path)
        same("the first task in the first page", b"".join(
            b"%d - 0x%016x %s\n" % (pid, stack, name) for (pid, _, name), stack in zip(tasks, stacks)), guest_file("tasks", path))


def lost_lines(work):
    """The banner and the command line after the log has lost them."""
    path = os.path.join(work, "snap")
    g = Guest()
    guestmake.printk_ring(g, [(1, b"all that is left", FINAL)], 4, 9)
    # Parts of it, and others, come first.
    for text in (b"Linux version %s (x)\n\0", b"Linux version 6.99.1-test (me@here) # SMP test\n\0",
                 b"Linux version 6.98 (me@here) #7 SMP test\n\0", b"<" + BANNER + b"> #7 SMP test\nmore\0", BANNER + b"\n\0"):
        g.put(text, 1)
    g.finish()
    params = bytearray(4096)
    params[0x202:0x206] = b"HdrS"
    params[0x228:0x22c] = (0x20000).to_bytes(4, "little")
    params[0x238:0x23c] = (2047).to_bytes(4, "little")
    g.poke(0x10000, bytes(params))
    g.poke(0x20000, CMDLINE + b"\0")
    g.write(path)
    same("the banner in the image", BANNER + b"\n", guest_file("banner", path))
    same("the boot parameters' command line", CMDLINE + b"\n", guest_file("cmdline", path))
    # Without those there is none.
    g.poke(0x10202, b"none")
    g.write(path)
    require(b"cmdline" in guest_file("cmdline", path, 1), "no command line, and it is not said")
    # A command line that the log had to cut.
    g = Guest()
    guestmake.printk_ring(g, [(1, b"Kernel command line: " + b"x" * 970, FINAL)], 4, 11)
    g.finish()
    g.poke(0x10000, bytes(params))
    g.poke(0x20000, b"x" * 1500 + b"\0")
    g.write(path)
    same("a long command line", b"x" * 1500 + b"\n", guest_file("cmdline", path))


def where_info_is(work):
    """VMCOREINFO in its note, in its page, among variables; copies of it and what is no kernel's."""
    path = os.path.join(work, "snap")
    for what, how in {"note": {}, "page": {"note": False}, "variable": {"where": 0x7f1234},
                      "across pages": {"where": 0x700ff0}, "across pieces": {"where": 0x70fff0}}.items():
        g = Guest()
        g.poke(0x3000, struct.pack("<III12s", 11, 40, 0, b"VMCOREINFO\0") + b"OSRELEASE=3.2\nSYMBOL(_stext)=1\n")
        g.poke(0x5000, b"OSRELEASE=%s\n\0")
        g.finish(**how)
        g.write(path)
        same("VMCOREINFO in a " + what, g.text.encode(), guest_file("vmcoreinfo", path))
    # No page is a hole, and the note is in one of those that are looked at together, or in the last.
    for page in 1, 511, 512, 513, 3071, 4094, 4095:
        g = Guest()
        g.ram[0:4 * MIB] = b"x" * (4 * MIB)
        g.ram[12 * MIB:] = b"x" * (4 * MIB)
        g.finish(where=page * 4096)
        g.write(path)
        same("VMCOREINFO in page %d" % page, g.text.encode(), guest_file("vmcoreinfo", path))


# ---- the core ---------------------------------------------------------------------

X86 = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip cs rflags rsp ss fs_base gs_base"
       " ds es fs gs").split()


class Core:
    """An ELF core, read by the standard."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        d = self.data
        ident, self.type, self.machine, _, _, phoff, _, _, ehsize, size, count, _, _, _ = struct.unpack_from(
            "<16sHHIQQQIHHHHHH", d)
        require(ident[:7] == b"\x7fELF\2\1\1" and (ehsize, size, phoff) == (64, 56, 64), "the ELF header")
        self.programs = [struct.unpack_from("<IIQQQQQQ", d, phoff + i * size) for i in range(count)]
        require(phoff + count * size <= 0x2000, "the program headers are in the first 8 KiB")
        self.loads = [p for p in self.programs if p[0] == 1]
        _, _, at, _, _, size, _, _ = self.programs[0]
        self.notes, end = [], at + size
        while at < end:
            n, m, kind = struct.unpack_from("<III", d, at)
            at += 12
            name, at = d[at:at + n], at + (n + 3 & ~3)
            self.notes.append((name, kind, d[at:at + m]))
            at += m + 3 & ~3

    def read(self, va, n):
        for _, _, offset, start, _, size, _, _ in self.loads:
            if start <= va and va + n <= start + size:
                return self.data[offset + va - start:offset + va - start + n]
        return None


def check_core(what, core, g, vcpus):
    """VCPUS: registers by their places in NT_PRSTATUS."""
    same(what + ": type and machine", (4, 62 if g.machine == "x86_64" else 183), (core.type, core.machine))
    same(what + ": p_align", {0}, {p[7] for p in core.programs})
    same(what + ": sizes", [], [p for p in core.loads if p[5] != p[6] or p[5] == 0])
    physical = [p for p in core.loads if p[4] != guestmake.MASK]
    same(what + ": three loads of RAM", 3, len(physical))
    same(what + ": after each other", [g.base, *(p[4] + p[5] for p in physical[:-1])], [p[4] for p in physical])
    same(what + ": all of RAM", g.base + len(g.ram), physical[-1][4] + physical[-1][5])
    same(what + ": RAM", bytes(g.ram), b"".join(core.data[p[2]:p[2] + p[5]] for p in physical))
    same(what + ": virtual addresses", [g.direct + g.base & guestmake.MASK, g.image,
                                        g.direct + g.image_pa + g.image_size & guestmake.MASK], [p[3] for p in physical])
    same(what + ": last are stacks", core.loads[:3], physical)
    same(what + ": at most 16 of them", True, len(core.loads) <= 19)
    status = [note for note in core.notes if note[1] == 1]
    same(what + ": VMCOREINFO", [(b"VMCOREINFO\0", 0, g.text.encode())], [n for n in core.notes if n[1] == 0])
    same(what + ": vCPUs", len(vcpus), len(status))
    for i, (name, _, data) in enumerate(status):
        same(what + ": a note's name", b"CORE\0", name)
        same(what + ": size of a status", 336 if g.machine == "x86_64" else 392, len(data))
        same(what + ": pid", i + 1, struct.unpack_from("<I", data, 32)[0])
        count = 27 if g.machine == "x86_64" else 34
        same(what + ": registers", vcpus[i], list(struct.unpack_from("<%dQ" % count, data, 112)))


def x86_guest(va_bits=48, vcpus=2, small_pages=3):
    """A guest whose vCPUs are in the kernel, on stacks in vmalloc space, and one in user mode."""
    g, want = full_guest(va_bits=va_bits)
    states, registers = [], []
    for i in range(vcpus):
        values = {name: 0x1111111111111111 * (k % 15) + i for k, name in enumerate(X86) if name != "-"}
        stack = g.vmalloc + 0x1000000 + i * 0x8000
        values.update(rsp=stack + 0x4000 - small_pages * 0x1000 + 0x18, cs=0x10, ss=0x18, ds=0, es=0, fs=0, gs=0)
        for k in range(4):
            # Not in step with their virtual addresses, but for two.
            pa = 0xd00000 + (i * 8 + (k if k >= 2 else 6 - 2 * k)) * 0x1000
            g.map(stack + k * 0x1000, pa, 0x1000, small=True)
            g.poke(pa, b"vCPU %d, page %d of its stack" % (i, k))
        if i == vcpus - 1:
            values.update(rsp=0x7fff12345678, cs=0x33, ss=0x2b)
        names = {"cs": "sregs/cs/selector", "ss": "sregs/ss/selector", "ds": "sregs/ds/selector",
                 "es": "sregs/es/selector", "fs": "sregs/fs/selector", "gs": "sregs/gs/selector",
                 "fs_base": "sregs/fs/base", "gs_base": "sregs/gs/base"}
        states.append(guestmake.kvm_vcpu({names.get(name, "regs/" + name): value for name, value in values.items()}))
        registers.append([values.get(name, guestmake.MASK) for name in X86])
    finish(g, want)
    return g, want, states, registers


def cores(work):
    path, core_path = os.path.join(work, "snap"), os.path.join(work, "core")
    for va_bits in (48, 57):
        g, _, states, registers = x86_guest(va_bits)
        g.write(path, states)
        smsnap("vmcore", path, "-o", core_path)
        core = Core(core_path)
        check_core("x86-64, %d bits" % va_bits, core, g, registers)
        for page in (1, 2, 3):
            text = b"vCPU 0, page %d of its stack" % page
            same("the stack", text, core.read(g.vmalloc + 0x1000000 + page * 0x1000, len(text)))
        same("what is below rsp", None, core.read(g.vmalloc + 0x1000000, 8))
        same("no stack of who is in user mode", None, core.read(g.vmalloc + 0x1008000 + 0x3000, 8))
        same("loads of the stack: two pages in step are one", 2, len(core.loads) - 3)
        same("mode of a core", 0o600, os.stat(core_path).st_mode & 0o777)
        same("it is sparse", True, os.stat(core_path).st_blocks * 512 < len(g.ram) // 2)
    # Many, more than there are loads for: each has its first page.
    g, _, states, registers = x86_guest(vcpus=15)
    g.write(path, states)
    smsnap("vmcore", path, "-o", core_path)
    core = Core(core_path)
    check_core("x86-64, 15 vCPUs", core, g, registers)
    for i in range(14):
        same("the page of rsp", True, core.read(registers[i][19], 8) is not None)

    g, want = full_guest(machine="aarch64", base=0x80000000)
    values = {"gp/x%d" % i: i * 0x101010101 for i in range(31)}
    stack = g.vmalloc + 0x5000000
    g.map(stack, 0x80d00000, 0x4000, small=True)
    g.poke(0x80d03000, b"on the stack")
    values.update({"gp/pc": g.image + 0x1234, "gp/cpsr": 0x600003c5, "sys/sp_el1": stack + 0x3000, "sys/sp_el0": 0x1234})
    finish(g, want)
    g.write(path, [guestmake.hvf_vcpu(values), guestmake.hvf_vcpu({**values, "gp/cpsr": 0})])
    smsnap("vmcore", path, "-o", core_path)
    core = Core(core_path)
    gp = [values["gp/x%d" % i] for i in range(31)]
    check_core("aarch64", core, g, [[*gp, stack + 0x3000, g.image + 0x1234, 0x600003c5],
                                    [*gp, 0x1234, g.image + 0x1234, 0]])
    same("aarch64: the stack", b"on the stack", core.read(stack + 0x3000, 12))


def no_kernel(work):
    """Not Linux: a core with physical addresses, and nothing in /guest."""
    path, core_path = os.path.join(work, "snap"), os.path.join(work, "core")
    g = Guest()
    g.write(path, [guestmake.kvm_vcpu({"regs/rip": 0x1234})])
    for name in FILES:
        require(b"no Linux kernel is found" in guest_file(name, path, 1), "no kernel, and that is not said")
    smsnap("vmcore", path, "-o", core_path)
    core = Core(core_path)
    same("one load", [(0, 0, len(g.ram))], [(p[3], p[4], p[5]) for p in core.loads])
    same("its registers", 0x1234, struct.unpack_from("<27Q", core.notes[0][2], 112)[16])
    same("no other note", 1, len(core.notes))
    require(b"needs -o" in smsnap("vmcore", path, status=2), "vmcore without -o")
    require(b"no such file" in smsnap("guest", "everything", path, status=2), "a file that no guest has")


# ---- a mount ----------------------------------------------------------------------

def read(path):
    with open(path, "rb") as f:
        return f.read()


def mounted(work):
    path, core_path = os.path.join(work, "snap"), os.path.join(work, "core")
    g, want, states, _ = x86_guest()
    g.write(path, states)
    smsnap("vmcore", path, "-o", core_path)
    with Mount(path, "-oumask=0") as m:
        same("/guest", sorted(FILES), sorted(os.listdir(m.path("guest"))))
        for name in FILES:
            full = m.path("guest/" + name)
            st = os.stat(full)
            same("size of " + name, 0, st.st_size)
            same("mode of " + name, 0o400 if name in ("dmesg", "cmdline") else 0o444, st.st_mode & 0o777)
            same("/guest/" + name, want[name], read(full))
            expect("open %s to write" % name, "EACCES", os.open, full, os.O_RDWR)
            expect("truncate " + name, "EACCES", os.truncate, full, 0)
        expect("a file that is not there", "ENOENT", os.stat, m.path("guest/nothing"))
        expect("make a file in /guest", "EPERM", os.open, m.path("guest/x"), os.O_CREAT | os.O_EXCL | os.O_RDWR)
        expect("remove one", "EPERM", os.unlink, m.path("guest/banner"))
        core = m.path("vmcore")
        same("/vmcore", read(core_path), read(core))
        same("its size", os.stat(core_path).st_size, os.stat(core).st_size)
        expect("open it to write", "EACCES", os.open, core, os.O_RDWR)
        fd = os.open(core, os.O_RDONLY)
        head = os.fstat(fd).st_size - len(g.ram)
        ram = os.open(m.path("ram"), os.O_RDONLY)
        at = 0
        while True:
            # Where RAM has data and holes, the core has.
            try:
                data = os.lseek(ram, at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(ram, data, os.SEEK_HOLE)
            same("data in the core", data + head, os.lseek(fd, data + head, os.SEEK_DATA))
            same("a hole in the core", at + head, os.lseek(fd, data + head, os.SEEK_HOLE))
        os.close(ram)
        # An edit of RAM is seen at once, one of a register by who opens it then.
        same("before an edit", bytes(8), os.pread(fd, 8, head + 0x6000))
        with open(m.path("ram"), "r+b", buffering=0) as f:
            os.pwrite(f.fileno(), b"changed!", 0x6000)
        same("after it", b"changed!", os.pread(fd, 8, head + 0x6000))
        with open(m.path("vcpu/0/regs/rip"), "w", encoding="ascii") as f:
            f.write("0x4242\n")
        with open(core, "rb", buffering=0) as f:
            same("an edited register", (0x4242).to_bytes(8, "little"), os.pread(f.fileno(), 8, RIP))
        os.close(fd)
    with Mount(path, "-oumask=0,ro") as m:
        same("of a mount that is read-only", 0o400, os.stat(m.path("guest/dmesg")).st_mode & 0o777)


RIP = 0x2000 + 20 + 112 + 8 * 16    # its place in a core


class OpenCore:
    """A core that is open, and what its first vCPU's rip is for it."""

    def __init__(self, path, rip):
        self.fd, self.rip = os.open(path, os.O_RDONLY), rip
        self.mappings = []

    def map(self):
        self.mappings.append(mmap.mmap(self.fd, 0x10000, mmap.MAP_PRIVATE, mmap.PROT_READ))

    def check(self, what):
        want = self.rip.to_bytes(8, "little")
        same(what, want, os.pread(self.fd, 12288, 0)[RIP:RIP + 8])
        for m in self.mappings:
            same(what + ", mapped", want, m[RIP:RIP + 8])

    def close(self):
        for m in self.mappings:
            m.close()
        os.close(self.fd)


def many_heads(work):
    """Each open core has the registers of its time, whatever is open as well and whoever reads first."""
    path = os.path.join(work, "snap")
    g, _, states, _ = x86_guest()
    g.write(path, states)
    for options in (), ("-oram=direct",):
        what = "heads, %s: " % (options or "cached",)
        with Mount(path, *options) as m:
            core, values = m.path("vmcore"), iter(range(0x1001, 0x100000))

            def edit():
                value = next(values)
                with open(m.path("vcpu/0/regs/rip"), "w", encoding="ascii") as f:
                    f.write("0x%x\n" % value)
                return value

            old = OpenCore(core, edit())
            new = OpenCore(core, edit())
            old.check(what + "the older, read first")
            new.check(what + "the newer after that")
            old.close()
            last = OpenCore(core, new.rip)
            last.check(what + "opened once the older is closed")
            last.close()
            newest = OpenCore(core, edit())
            newest.check(what + "the newer, read first")
            new.check(what + "the older after that")
            new.close()
            newest.close()

            rng, now, opened, head = random.Random(1), edit(), [], os.stat(core).st_size - len(g.ram)
            ram = os.open(m.path("ram"), os.O_RDWR)
            for i in range(600):
                action = rng.randrange(8)
                if action == 0:
                    now = edit()
                elif action < 3 and len(opened) < 6:
                    opened.append(OpenCore(core, now))
                elif action == 3 and opened:
                    opened.pop(rng.randrange(len(opened))).close()
                elif action == 4 and opened:
                    rng.choice(opened).map()
                elif action == 5 and opened:
                    os.posix_fadvise(rng.choice(opened).fd, 0, 0, os.POSIX_FADV_DONTNEED)
                elif action == 6:
                    os.pwrite(ram, b"%8d" % i, 0x6000)
                    for c in opened:
                        same(what + "RAM", b"%8d" % i, os.pread(c.fd, 8, head + 0x6000))
                elif opened:
                    rng.choice(opened).check(what + "step %d" % i)
            for c in opened:
                c.check(what + "in the end")
                c.close()
            os.close(ram)


def places(data, text):
    at = data.find(text)
    while at >= 0:
        yield at
        at = data.find(text, at + 1)


def listed(m):
    return sorted(os.listdir(m.path("guest")))


def late_kernel(work):
    """A kernel that is there only later, as RAM is written: /guest has it then."""
    path = os.path.join(work, "snap")
    g, want, states, _ = x86_guest()
    g.write(path, states)
    ram = bytes(g.ram)
    marks = [at for mark in (b"VMCOREINFO\0", b"OSRELEASE=") for at in places(ram, mark)]
    require(marks, "the guest has no VMCOREINFO")
    with Mount(path) as m:
        fd = os.open(m.path("ram"), os.O_RDWR)
        for at in marks:
            os.pwrite(fd, bytes(16), at)
        for _ in range(2):
            same("/guest without a kernel", [], listed(m))
        expect("a file of it", "ENOENT", os.stat, m.path("guest/banner"))
        os.pwrite(fd, b"nothing", 0x6000)
        same("/guest without one, still", [], listed(m))
        for at in marks:
            os.pwrite(fd, ram[at:at + 16], at)
        same("a file of the kernel that is there now", want["banner"], read(m.path("guest/banner")))
        same("/guest of it", sorted(FILES), listed(m))
        os.close(fd)
    # One file of it: the command line, which is in the log and nowhere else.
    place = ram.index(b"Kernel command line: ")
    other = ram.index(b"Command line: ")
    with Mount(path) as m:
        fd = os.open(m.path("ram"), os.O_RDWR)
        for at in (place, other):
            os.pwrite(fd, b"?", at)
        same("/guest without a command line", sorted(set(FILES) - {"cmdline"}), listed(m))
        for at in (place, other):
            os.pwrite(fd, ram[at:at + 1], at)
        same("/guest with one", sorted(FILES), listed(m))
        same("the command line", want["cmdline"], read(m.path("guest/cmdline")))
        os.close(fd)
    # What can't be read for a while is not taken for absent.
    whole = read(path)
    with Mount(path, stderr=subprocess.DEVNULL) as m:
        os.truncate(path, whole.index(ram[0x100000:0x200000]))
        for _ in range(2):
            same("/guest that can't be read", [], listed(m))
        expect("a file of it", "EIO", os.stat, m.path("guest/banner"))
        with open(path, "r+b") as f:
            f.write(whole)
        same("/guest that can be read again", sorted(FILES), listed(m))


# ---- other programs ----------------------------------------------------------------

def run(*command):
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT).stdout.decode(errors="replace")


def other_programs(work):
    path = os.path.join(work, "snap")
    g, want, states, registers = x86_guest()
    g.write(path, states)
    tried = []
    with Mount(path, "-oro") as m:
        core = m.path("vmcore")
        if shutil.which("gdb"):
            tried.append("gdb")
            said = run("gdb", "-nx", "-batch", "-ex", "core-file " + core, "-ex", "p/x $rip", "-ex", "x/2gx $rsp - 0x18",
                       "-ex", "thread 2", "-ex", "p/x $r15")
            for value in ("$1 = 0x%x" % registers[0][16], "$2 = 0x%x" % registers[1][0],
                          "0x%x:\t0x%016x" % (registers[0][19] - 0x18, int.from_bytes(b"vCPU 0, ", "little"))):
                require(value in said, "gdb does not say %s: %s" % (value, said))
        if shutil.which("vmcore-dmesg"):
            tried.append("vmcore-dmesg")
            same("vmcore-dmesg", want["dmesg"].decode("latin1"), run("vmcore-dmesg", core))
        if shutil.which("crash"):
            tried.append("crash")
            same("crash --osrelease", "6.99.1-test\n", run("crash", "--osrelease", core))
    print("asked as well: %s" % (", ".join(tried) or "nobody"))


def main():
    require_fuse()
    with WorkDir() as work:
        for test in (variants, random_logs, long_log, first_page, lost_lines, where_info_is, cores, no_kernel, mounted, many_heads,
                     late_kernel, other_programs):
            test(work)
    print("%d checks" % checks)


main()
