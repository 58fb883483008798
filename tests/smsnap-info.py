#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap info against the tests' own reader, and modes of vCPUs that are put together by hand."""

import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import WorkDir, program  # noqa: E402

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
SMSNAP = os.environ.get("SMSNAP", os.path.join(os.path.dirname(program()), "smsnap"))
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    if want != got:
        sys.exit("FAIL: %s: expected %r, got %r" % (what, want, got))


def info(path):
    """Its lines by the words before their texts."""
    done = subprocess.run([SMSNAP, "info", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    same(path + ": exit status, errors", (0, b""), (done.returncode, done.stderr))
    lines = done.stdout.decode().splitlines()
    same(path + ": a screen", True, len(lines) <= 24)
    return {re.sub(r" +", " ", line[:12].strip()): line[12:] for line in lines}


def number(line, name):
    found = re.search(r"\b%s (0x[0-9a-f]+)" % name, line)
    return int(found[1], 16) if found else None


def vectors():
    for name in sorted(os.listdir(VECTORS)):
        if not re.fullmatch(r"(kvm|hvf|share|diff)-\d+\.snap|bare-\d+\.bin", name):
            continue
        path = os.path.join(VECTORS, name)
        document = reader.Snapshot(path).document()
        leaves = dict(reader.leaves(document, True))
        lines = info(path)
        same(name + ": layout", document["layout"]["format"], re.split("[ ,]", lines["layout"])[0])
        same(name + ": token", "yes" if document["tsi_token"] else "no", lines["token"])
        same(name + ": listeners", str(len(document["listeners"])), lines["listeners"].partition(":")[0])
        for i in range(min(7, len(document["vcpu"]))):
            line, at = lines["vcpu %d" % i], "vcpu/%d/" % i
            pairs = [("rip", "regs/rip"), ("rsp", "regs/rsp"), ("cr3", "sregs/cr3"),
                     ("pc", "gp/pc"), ("ttbr0", "sys/ttbr0_el1"), ("ttbr1", "sys/ttbr1_el1")]
            for word, register in pairs:
                same("%s: %s" % (name, at + register), leaves.get(at + register), number(line, word))
            cpsr = leaves.get(at + "gp/cpsr")
            if cpsr is not None:
                same("%s: %s" % (name, at + "gp/cpsr"), "EL%d" % (cpsr >> 2 & 3), line.partition(",")[0])
                level = cpsr >> 2 & 3 if cpsr & 1 else 0
                same("%s: %s" % (name, at + "sp"), leaves.get(at + "sys/sp_el%d" % level), number(line, "sp"))
            if not any(p.startswith(at) and p != at + "raw" for p in leaves):
                same("%s: %s" % (name, at), "not understood", line)
        for i, device in enumerate(document["devices"][:7]):
            line = lines["device %d" % i]
            same("%s: device %d" % (name, i), device["kind"], line.split(",")[0])
            state = reader.read_state("devices/%d/backing/backend_state" % i, device["backing"].get("backend_state", b""), "kvm")
            if state:
                for what, table in ((r"(\d+) inodes", "inodes"), (r"(\d+) files open", "handles")):
                    n = len([p for p in state.directories if re.fullmatch(table + r"/\d+", p)])
                    same("%s: device %d: %s" % (name, i, table), str(n), re.search(what, line)[1])


def modes(work):
    """Bits of registers, as the manuals have them."""
    path = os.path.join(work, "modes")
    lma, pe, vm = 1 << 10, 1, 1 << 17
    for want, values in (("real mode", {"sregs/cr0": 0x60000010, "sregs/efer": 0}),
                         ("protected mode", {"sregs/cr0": pe, "sregs/efer": 0}),
                         ("virtual-8086 mode", {"sregs/cr0": pe, "sregs/efer": 0, "regs/rflags": vm | 2}),
                         ("long mode", {"sregs/cr0": pe, "sregs/efer": lma, "sregs/cs/l": 1}),
                         ("long mode, halted", {"sregs/cr0": pe, "sregs/efer": lma, "sregs/cs/l": 1, "mp_state": 3}),
                         ("long mode, 32-bit code", {"sregs/cr0": pe, "sregs/efer": lma, "sregs/cs/l": 0}),
                         ("EL0", {"gp/cpsr": 0}), ("EL1", {"gp/cpsr": 0x600003c5}), ("EL1", {"gp/cpsr": 4})):
        snap = reader.Snapshot(os.path.join(VECTORS, "hvf-01.snap" if want.startswith("EL") else "kvm-01.snap"))
        model = snap.model
        base = {} if want.startswith("EL") else {"regs/rflags": 2, "mp_state": 0}
        for register, value in {**base, **values}.items():
            state = reader.read_state("vcpu/0", model["vcpu"][0], snap.format)
            model["vcpu"][0] = reader.poke(model["vcpu"][0], state.fields[register], value)
        reader.write_file(path, model, reader.new_layout(model, snap.format), bytes(model["mem_size"]))
        same("%r" % values, want, re.split(r", (?:rip|pc)", info(path)["vcpu 0"])[0])
        if want.startswith("EL"):
            fields = reader.read_state("vcpu/0", model["vcpu"][0], "hvf").fields
            same("the stack pointer", fields["sys/sp_el1" if values["gp/cpsr"] & 1 else "sys/sp_el0"].value,
                 number(info(path)["vcpu 0"], "sp"))


def absent(work):
    """Of lists that are empty nothing is told."""
    path = os.path.join(VECTORS, "hvf-02.snap")
    leaves = dict(reader.leaves(reader.Snapshot(path).document(), True))
    same("a vCPU without registers", [], [p for p in leaves if p.startswith(("vcpu/1/gp/", "vcpu/1/sys/"))])
    same("on a screen", "-, pc -, sp -, ttbr0 -, ttbr1 -", info(path)["vcpu 1"])
    done = subprocess.run([SMSNAP, "info", "--json", path], check=True, stdout=subprocess.PIPE)
    vcpus = json.loads(done.stdout)["vcpus"]
    same("in JSON", dict.fromkeys(("state", "pc", "sp", "ttbr0", "ttbr1")), vcpus[1])
    same("of one that has them", hex(leaves["vcpu/0/gp/pc"]), vcpus[0]["pc"])
    # One of them is there, and stays what it is, however the rest is.
    path = os.path.join(work, "cpsr")
    snap = reader.Snapshot(os.path.join(VECTORS, "hvf-01.snap"))
    field = reader.read_state("vcpu/0", snap.model["vcpu"][0], "hvf").fields["gp/cpsr"]
    snap.model["vcpu"][0] = reader.poke(snap.model["vcpu"][0], field, 9)
    reader.write_file(path, snap.model, reader.new_layout(snap.model, "hvf"), bytes(snap.model["mem_size"]))
    same("sp_el2, which no list has", ("EL2", True), (info(path)["vcpu 0"][:3], ", sp -," in info(path)["vcpu 0"]))


def files(work):
    """Whether what a device is of is there: relative to the snapshot's folder."""
    path = os.path.join(work, "files")
    model = reader.Snapshot(os.path.join(VECTORS, "kvm-02.snap")).model
    for device in model["devices"]:
        if device["backing"]["type"] == "virtiofs":
            device["backing"]["host_path"] = work
    reader.write_file(path, model, reader.new_layout(model), bytes(model["mem_size"]))
    same("a disk that is not there", True, "rootfs.img (not there)" in info(path)["device 0"])
    same("a share that is there", True, work + " (there)" in info(path)["device 3"])
    with open(os.path.join(work, "rootfs.img"), "wb"):
        pass
    same("a disk that is there", True, "rootfs.img (there)" in info(path)["device 0"])


def main():
    vectors()
    with WorkDir() as work:
        modes(work)
        absent(work)
        files(work)
    print("ok: %d checks" % checks)


main()
