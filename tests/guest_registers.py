#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guest_registers.py MOUNT REGISTERS [GDB]: registers of every vCPU, by three who should know.

REGISTERS has what QEMU says of them (info registers -a). /vcpu/N must have that, and so must GDB where it
opens /vmcore. Prints how many were the same.
"""

import os
import re
import subprocess
import sys

SEGMENTS = "cs ds es fs gs ss".split()
CONTROL = "cr0 cr2 cr3 cr4 efer".split()


def x86_64(text):
    """What QEMU says of a vCPU: by its name below /vcpu/N, by gdb's name."""
    values = {name.lower(): int(value, 16) for name, value in re.findall(r"\b(\w+) *=([0-9a-f]+)\b", text)}
    files = {"mp_state": 3 if values["hlt"] else 0}
    names = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
    gdb = {name: values[name] for name in names}
    gdb["eflags"] = values["rfl"]
    files.update({"regs/" + name: values[name] for name in names})
    files["regs/rflags"] = values["rfl"]
    for name in SEGMENTS + ["ldt", "tr"]:
        selector, base, limit, flags = (int(v, 16) for v in re.search(
            r"^%s *=(\w+) (\w+) (\w+) (\w+)" % name.upper(), text, re.M).groups())
        members = {"selector": selector, "base": base, "limit": limit, "dpl": flags >> 13 & 3,
                   "present": flags >> 15 & 1, "l": flags >> 21 & 1}
        files.update({"sregs/%s/%s" % (name, member): value for member, value in members.items()})
        if name in SEGMENTS:
            gdb[name] = selector
        if name in ("fs", "gs"):
            gdb[name + "_base"] = base
    for name in "gdt", "idt":
        base, limit = (int(v, 16) for v in re.search(r"^%s= +(\w+) (\w+)" % name.upper(), text, re.M).groups())
        files.update({"sregs/%s/base" % name: base, "sregs/%s/limit" % name: limit})
    files.update({"sregs/" + name: values[name] for name in CONTROL})
    files.update({"debugregs/db%d" % i: values["dr%d" % i] for i in range(4)})
    files.update({"debugregs/dr6": values["dr6"], "debugregs/dr7": values["dr7"], "fpu/mxcsr": values["mxcsr"],
                  "fpu/fcw": values["fcw"]})
    for number, high, low in re.findall(r"XMM(\d\d)=(\w{16}) (\w{16})", text):
        files["fpu/xmm%d" % int(number)] = int(high + low, 16)
    return files, gdb


def aarch64(text):
    values = {name.lower(): int(value, 16) for name, value in re.findall(r"\b(\w+)=([0-9a-f]+)\b", text)}
    gdb = {"x%d" % i: values["x%02d" % i] for i in range(31)}
    gdb.update(pc=values["pc"], sp=values["sp"], cpsr=values["pstate"])
    files = {"gp/" + name: value for name, value in gdb.items() if name != "sp"}
    files["sys/sp_el1" if values["pstate"] & 0xd == 5 else "sys/sp_el0"] = values["sp"]
    files.update({"gp/fpcr": values["fpcr"], "gp/fpsr": values["fpsr"]})
    for number, high, low in re.findall(r"Q(\d\d)=(\w{16}):(\w{16})", text):
        files["simd/q%d" % int(number)] = int(high + low, 16)
    return files, gdb


def of_gdb(gdb, core, names, count):
    """What gdb finds in the core, a mapping a vCPU."""
    command = [gdb, "-nx", "-batch", "-ex", "core-file " + core]
    for cpu in range(count):
        command += ["-ex", "thread %d" % (cpu + 1), "-ex", "echo \\n= %d\\n" % cpu,
                    "-ex", "info registers " + " ".join(names)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [{name: int(value, 16) for name, value in re.findall(r"^(\w+) +(0x[0-9a-f]+)\b", part, re.M)}
            for part in re.split(r"^= \d+$", out, flags=re.M)[1:]]


def compare(what, expected, seen):
    for name, value in expected.items():
        if seen.get(name) != value:
            sys.exit("%s: %s is %s, and QEMU says %#x" % (what, name, seen.get(name), value))
    return len(expected)


def main():
    mount, registers = sys.argv[1:3]
    with open(registers, encoding="utf-8") as file:
        cpus = re.split(r"^CPU#\d+$", file.read(), flags=re.M)[1:]
    there = sorted(os.listdir(mount + "/vcpu"), key=int)
    if [str(n) for n in range(len(cpus))] != there or not cpus:
        sys.exit("vCPUs %s, and QEMU has %d" % (there, len(cpus)))
    cpus = [(x86_64 if "RIP=" in text else aarch64)(text) for text in cpus]
    seen = of_gdb(sys.argv[3], mount + "/vmcore", list(cpus[0][1]), len(cpus)) if len(sys.argv) > 3 else None
    count = 0
    for cpu, (files, gdb) in enumerate(cpus):
        shown = {}
        for name in files:
            with open("%s/vcpu/%d/%s" % (mount, cpu, name), encoding="ascii") as file:
                shown[name] = int(file.read(), 0)
        count += compare("/vcpu/%d" % cpu, files, shown)
        if seen:
            count += compare("%s, vCPU %d" % (sys.argv[3], cpu), gdb, seen[cpu])
    print("%d registers" % count)


main()
