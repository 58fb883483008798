# SPDX-License-Identifier: MIT
"""Snapshots that smsnap check has nothing to say of, with the files on a host that they name."""

import os
import struct

from rings import Driver
from snapfile import write_file
from snapmake import sample_model

MSRS = [0x10, 0x174, 0x175, 0x176, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103]
KERNEL = 0xffffffff81000000
WINDOW = 1 << 40


def put(data, at, form, *values):
    struct.pack_into("<" + form, data, at, *values)


def sized(*structures):
    return b"".join(struct.pack("<I", len(s)) + s for s in structures)


def vcpu(msrs=MSRS, **changes):
    """A vCPU of Linux in 64-bit mode, as <linux/kvm.h> lays it out."""
    at = {"cr0": 0x80050033, "cr4": 0x6f0, "efer": 0xd01, "apic_base": 0xfee00d00, "l": 1, "xcr0": 7, "nr_xcrs": 1,
          "xcr_flags": 0, "rip": KERNEL, "lstar": KERNEL, "debug_flags": 0, "dr7": 0x400, "event_flags": 0, "gs": 0, "cr3": 0x1000, "mp_state": 0}
    at.update(changes)
    regs, sregs, xcrs = bytearray(144), bytearray(312), bytearray(392)
    events, debug = bytearray(64), bytearray(128)
    put(regs, 128, "QQ", at["rip"], 0x246)
    put(sregs, 19, "B", at["l"])
    put(sregs, 4 * 24, "Q", at["gs"])
    put(sregs, 224, "QQQQQQQ", at["cr0"], 0, at["cr3"], at["cr4"], 0, at["efer"], at["apic_base"])
    put(xcrs, 0, "IIIIQ", at["nr_xcrs"], at["xcr_flags"], 0, 0, at["xcr0"])
    put(events, 20, "I", at["event_flags"])
    put(debug, 32, "QQQ", 0xffff0ff0, at["dr7"], at["debug_flags"])
    values = b"".join(struct.pack("<IQ", m, at["lstar"] if m == 0xc0000082 else 0) for m in msrs)
    return sized(regs, sregs, bytes(416), xcrs, events, struct.pack("<I", at["mp_state"]), debug, bytes(1024)) + struct.pack("<I", len(msrs)) + values


def intc(chips=(0, 1, 2), flags=0):
    clock = bytearray(48)
    put(clock, 8, "I", flags)
    return sized(bytes(112), *(struct.pack("<II", c, 0) + bytes(512) for c in chips), clock)


def blob(data):
    return struct.pack("<I", len(data)) + data


def share(*paths, first=1):
    inodes = b"".join(struct.pack("<QB", i + first, 1 if i == 0 else 0) + blob(p.encode()) for i, p in enumerate(paths))
    return b"PFSS" + struct.pack("<IQQ", 2, 10, len(paths)) + inodes + struct.pack("<QQQ", 0, 1, 0)


def dax(*slots, gpa=WINDOW, length=1 << 20):
    return b"DAXS" + struct.pack("<IQQQQQ", 1, gpa, length, length, 0, len(slots)) + b"".join(
        struct.pack("<QQQQII", offset, n, node, 0, 1, 0) for offset, n, node in slots)


def fleet(folder, names, mem=1 << 30, inodes=300, base=None):
    """Snapshots of these NAMES in FOLDER, with a disk each, one share, and RAM of holes but for virtqueues.

    With BASE, the path of such a one, they are diffs over it.
    """
    root = os.path.join(folder, "share")
    paths = [root] + [os.path.join(root, "file-%03d" % i) for i in range(1, inodes)]
    if not os.path.isdir(root):
        os.mkdir(root)
        for path in paths[1:]:
            with open(path, "wb") as f:
                f.truncate(9000)
    drivers = [Driver(256, 1 << 32 | 1 << 28, gpa=(1 + i) << 16, mem=1 << 16) for i in range(6)]
    for driver in drivers:
        driver.add([(0x8000, 16, 0), (0x9000, 512, 1)])
    queues = [driver.queue() for driver in drivers]
    ram = {driver.gpa: bytes(driver.ram) for driver in drivers}
    model = sample_model()
    del model["devices"][2]
    for device, own in zip(model["devices"], (queues[:1], queues[1:4], queues[4:])):
        device["mmio"].update(driver_features=drivers[0].features, queues=own)
    disk = model["devices"][0]["backing"] = {"type": "disk", "size": 1 << 16}
    model["devices"][2]["backing"].update(
        host_path=root, dax_gpa=WINDOW, dax_window_len=1 << 20, backend_state=share(*paths),
        dax_state=dax(*((i * 4096, 4096, 2 + i % (inodes - 1)) for i in range(64))))
    model.update(num_cpus=2, vcpu=[vcpu(), vcpu()], intc=intc(), mem_size=mem)
    for name in names:
        path = os.path.join(folder, name)
        disk["path"] = path + ".disk"
        with open(disk["path"], "wb") as f:
            f.truncate(disk["size"])
        if base is None:
            write_file(path, model, {"format": "kvm", "ram_offset": 1 << 16}, ram)
        else:
            write_file(path, model, {"format": "kvm-diff", "base": base, "changed_pages": 1},
                       pages=[(drivers[0].gpa >> 12, ram[drivers[0].gpa][:4096])])
