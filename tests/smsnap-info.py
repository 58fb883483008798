#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap info against the tests' own reader, and modes of vCPUs that are put together by hand."""

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
                want = leaves.get(at + register)
                # What hvf's lists leave out is shown as 0.
                if want is not None or not line.startswith("EL"):
                    same("%s: %s" % (name, at + register), want, number(line, word))
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
        files(work)
    print("ok: %d checks" % checks)


main()
