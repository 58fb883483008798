# SPDX-License-Identifier: MIT
"""Snapshots that are made: random ones, and one that has everything."""

import os

import snapstates
from snapfile import (BACKINGS, COM1, HVF_RAM, KINDS, NO_PORT, PAGE, RAM_STEP, Kept, blob, encode, new_layout,
                      num, round_up, write_file, write_head)

PIECES = ["a", "Z", "0", " ", "/", "..", "\n", "\0", "\t", "\"", "\\", "\x7f",
          "é", "日本", "🦀", "\ufeff", "\U0010ffff", "root.img"]
RAM_SIZES = [0, PAGE, 3 * PAGE, PAGE + 1234, 16 * PAGE]


# ---- random values ----------------------------------------------------------

def random_num(rng, width):
    top = (1 << 8 * width) - 1
    pick = rng.randrange(5)
    if pick == 0:
        return 0
    if pick == 1:
        return top
    if pick == 2:
        return rng.randrange(10)
    return rng.randrange(1 << rng.randrange(1, 8 * width + 1))


def random_text(rng, longest=20):
    if rng.randrange(5) == 0:
        return ""
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, longest)))


def random_bytes(rng, longest=600):
    if rng.randrange(5) == 0:
        return b""
    return rng.getrandbits(8 * longest).to_bytes(longest, "little")[:rng.randrange(longest)]


def exact_bytes(rng, n):
    return rng.getrandbits(8 * n).to_bytes(n, "little") if n else b""


# ---- random states ------------------------------------------------------------

def sized(*structures):
    return b"".join(blob(s) for s in structures)


def random_number(rng, names):
    """One of these ids, or now and then another."""
    return random_num(rng, 4) if rng.randrange(8) == 0 else rng.choice(list(names))


def kvm_vcpu(rng):
    sizes = (144, 312, 416, 392, 64, 4, 128, 1024)
    parts = [exact_bytes(rng, n) for n in sizes]
    parts[3] = num(rng.randrange(20), 4) + parts[3][4:]
    msrs = [random_number(rng, snapstates.MSRS) for _ in range(rng.choice([0, 1, 10, 12]))]
    return sized(*parts) + num(len(msrs), 4) + b"".join(num(m, 4) + num(random_num(rng, 8), 8) for m in msrs)


def hvf_vcpu(rng):
    counts, entries = b"", b""
    for _, names, width in snapstates.HVF_LISTS:
        numbers = [random_number(rng, names) for _ in range(rng.choice([0, 1, 5, 40]))]
        counts += num(len(numbers), 4)
        entries += b"".join(num(n, 4) + num(random_num(rng, width), width) for n in numbers)
    return num(random_num(rng, 8), 8) + counts + entries


def kvm_intc(rng):
    return sized(*(exact_bytes(rng, n) for n in (112, 520, 520, 520, 48)))


def random_path(rng):
    """Of an inode: of a share at one of few places, or elsewhere, or no path at all."""
    if rng.randrange(3) == 0:
        return random_bytes(rng, 30)
    root = rng.choice([b"/srv/share", b"/srv/share", b"/srv/sharing", b"/srv", b"/", b""])
    return root + b"".join(b"/" + exact_bytes(rng, rng.randrange(4)) for _ in range(rng.randrange(3)))


def random_backend(rng):
    version = rng.choice([1, 2, 2, 2])
    inodes = [num(rng.choice([1, random_num(rng, 8)]), 8) + num(rng.randrange(4), 1) + blob(random_path(rng))
              for _ in range(rng.randrange(9))]
    children = [num(random_num(rng, 8), 8) + blob(random_bytes(rng, 20)) + num(random_num(rng, 8), 8)
                for _ in range(rng.randrange(5))]
    handles = [exact_bytes(rng, 20) + bytes(4) for _ in range(rng.randrange(4))]
    out = b"PFSS" + num(version, 4) + exact_bytes(rng, 8)
    out += num(len(inodes), 8) + b"".join(inodes) + num(len(children), 8) + b"".join(children)
    if version == 2:
        out += exact_bytes(rng, 8) + num(len(handles), 8) + b"".join(handles)
    return out


def random_dax(rng):
    slots = [exact_bytes(rng, 36) + bytes(4) for _ in range(rng.randrange(4))]
    return b"DAXS" + num(1, 4) + exact_bytes(rng, 32) + num(len(slots), 8) + b"".join(slots)


def maybe(rng, state):
    """A state that is understood, or any bytes."""
    return state(rng) if rng.randrange(3) == 0 else random_bytes(rng)


# ---- random snapshots -----------------------------------------------------------

def random_queue(rng, odd=False):
    q = {"size": random_num(rng, 2), "ready": rng.randrange(2)}
    if odd and q["ready"]:
        stored = rng.randrange(1, 256)
        q["ready"] = 1 if stored == 1 else Kept(1, stored)
    for name in ("desc_table", "avail_ring", "used_ring"):
        q[name] = random_num(rng, 8)
    q["last_avail_idx"] = random_num(rng, 2)
    q["next_used_idx"] = random_num(rng, 2)
    return q


def random_backing(rng, kind):
    if kind == "none":
        return {"type": kind}
    if kind == "disk":
        return {"type": kind, "path": random_text(rng), "size": random_num(rng, 8)}
    if kind == "volume":
        return {"type": kind, "path": random_text(rng), "size": random_num(rng, 8),
                "mount": random_text(rng)}
    return {"type": kind, "tag": random_text(rng), "mount": random_text(rng),
            "host_path": random_text(rng), "dax_gpa": random_num(rng, 8),
            "dax_window_len": random_num(rng, 8),
            "backend_state": maybe(rng, random_backend), "dax_state": maybe(rng, random_dax)}


def random_device(rng, odd=False):
    # The kind of a device and that of its backing do not depend on each other.
    return {"kind": rng.choice(KINDS),
            "mmio": {"driver_features": random_num(rng, 8),
                     "status": random_num(rng, 4),
                     "interrupt_status": random_num(rng, 4),
                     "queues": [random_queue(rng, odd) for _ in range(rng.randrange(4))]},
            "backing": random_backing(rng, rng.choice(BACKINGS))}


def random_listener(rng, odd=False):
    port = rng.choice([None, random_num(rng, 2)])
    if odd and port is not None and rng.randrange(2):
        stored = rng.randrange(1, 1 << 16) << 16 | port
        port = Kept(port, stored) if stored != NO_PORT else port
    return {"cid": random_num(rng, 8), "peer_port": random_num(rng, 4),
            "vm_port": random_num(rng, 4), "family": random_num(rng, 2),
            "socktype": random_num(rng, 2), "inet_port": port}


def random_model(rng, layout="kvm", odd=False):
    """ODD: some numbers are stored as more than they are read as."""
    vcpu = hvf_vcpu if layout == "hvf" or layout == "bare" and rng.randrange(2) else kvm_vcpu
    return {"num_cpus": random_num(rng, 1),
            "mem_size": rng.choice(RAM_SIZES),
            "com1": {name: random_num(rng, 1) for name in COM1},
            "clock_host_ticks": random_num(rng, 8),
            "clock_ref": random_num(rng, 8),
            "intc": maybe(rng, kvm_intc),
            "vcpu": [maybe(rng, vcpu) for _ in range(rng.randrange(5))],
            "devices": [random_device(rng, odd) for _ in range(rng.randrange(5))],
            "tsi_token": rng.choice([None, exact_bytes(rng, 32)]),
            "listeners": [random_listener(rng, odd) for _ in range(rng.randrange(5))]}


def random_layout(rng, name, model):
    """With RAM directly behind the container, or with some room before it."""
    layout = new_layout(model, name)
    if name == "bare" and not model["mem_size"]:
        layout["ram_offset"] = None
    elif name == "bare":
        layout["ram_offset"] = rng.choice([len(encode(model)), layout["ram_offset"], RAM_STEP, None])
    elif name == "hvf":
        layout["ram_gpa"] = rng.choice([HVF_RAM, 0, random_num(rng, 8)])
    if layout["ram_offset"] is None or not model["mem_size"]:
        return layout
    layout["ram_offset"] = max(layout["ram_offset"], len(write_head(model, layout)))
    if rng.randrange(2):
        layout["ram_offset"] += PAGE * rng.randrange(3)
    return layout


def random_ram(rng, size):
    """A part of it are zeros, so that the file has holes."""
    pages = [exact_bytes(rng, PAGE) if rng.randrange(3) else bytes(PAGE) for _ in range(round_up(size, PAGE) // PAGE)]
    return b"".join(pages)[:size]


def random_pages(rng, mem_size):
    """Of a diff: ascending as a writer has them, or in any order and with repeats."""
    whole = mem_size // PAGE
    indexes = [rng.randrange(whole) for _ in range(rng.randrange(6))] if whole else []
    if rng.randrange(2):
        indexes = sorted(set(indexes))
    return [(i, exact_bytes(rng, PAGE) if rng.randrange(4) else bytes(PAGE)) for i in indexes]


def random_file(rng, model, path, layout=None, base=None, odd=False):
    """Write MODEL as a snapshot of this layout, else kvm, hvf or bare. BASE is a kvm-diff's.

    ODD: there may be bytes behind it that are nobody's, but for a bare file, whose RAM is last.
    """
    name = layout or rng.choice(["kvm", "hvf", "bare"])
    after = random_bytes(rng, 50) if odd and name != "bare" else b""
    if name == "kvm-diff":
        pages = random_pages(rng, model["mem_size"])
        write_file(path, model, new_layout(model, name, base=base, changed_pages=len(pages)), pages=pages, after=after)
        return
    where = random_layout(rng, name, model)
    ram = random_ram(rng, model["mem_size"]) if where["ram_offset"] is not None else b""
    write_file(path, model, where, ram, after=after)


# ---- one that has everything ------------------------------------------------------

def sample_device(k, kind, queues, backing):
    return {"kind": kind,
            "mmio": {"driver_features": (0xdeadbeee - k) << 32 | (k + 1),
                     "status": 15, "interrupt_status": 1,
                     "queues": [{"size": 256, "ready": 1 - q % 2, "desc_table": 0x1000 * (q + 1),
                                 "avail_ring": 0x2000 * (q + 1), "used_ring": 0x3000 * (q + 1),
                                 "last_avail_idx": q, "next_used_idx": q + 7} for q in range(queues)]},
            "backing": backing}


def sample_model():
    """Every kind of field and of backing, listeners with and without a port, and a token."""
    return {
        "num_cpus": 4, "mem_size": 512 << 20,
        "com1": {"ier": 1, "lcr": 2, "mcr": 3, "scr": 4, "dll": 5, "dlm": 6},
        "clock_host_ticks": 0x1122334455667788, "clock_ref": 0x99aabbccddeeff00,
        "intc": bytes(i % 256 for i in range(333)),
        "vcpu": [bytes([i]) * (64 + i) for i in range(4)],
        "devices": [
            sample_device(0, "blk", 2, {"type": "disk", "path": "/var/lib/sm/root.img", "size": 1 << 30}),
            sample_device(1, "vsock", 3, {"type": "none"}),
            sample_device(2, "volume", 1, {"type": "volume", "path": "/var/lib/sm/vol-b.img", "size": 4 << 20,
                                           "mount": "/data"}),
            sample_device(3, "virtiofs", 2, {"type": "virtiofs", "tag": "shared", "mount": "/mnt/shared",
                                             "host_path": "/srv/share", "dax_gpa": 1 << 30,
                                             "dax_window_len": 128 << 20,
                                             "backend_state": b"\xab" * 200, "dax_state": b"\xcd" * 100})],
        "tsi_token": b"\x5a" * 32,
        "listeners": [{"cid": 3, "peer_port": 1000 + i, "vm_port": 80, "family": 2, "socktype": 1,
                       "inet_port": 8080 + i if i != 1 else None} for i in range(3)]}


def sample(path, mem_size, layout="kvm", base=None):
    """sample_model() with RAM of MEM_SIZE bytes: all holes but a page at its start, middle and end.

    A kvm-diff names BASE and has pages over it: one new, one all zeros. With MEM_SIZE None the
    file is a bare container without RAM.
    """
    model = sample_model()
    if mem_size is None:
        write_file(path, model, {"format": "bare", "container_offset": 0, "ram_offset": None})
        return
    model["mem_size"] = mem_size
    middle = mem_size // 2 // PAGE * PAGE
    if layout == "kvm-diff":
        pages = {middle // PAGE: bytes(PAGE)}
        if mem_size > PAGE:
            pages[1] = b"page of the diff\n".ljust(PAGE, b".")
        write_file(path, model, new_layout(model, layout, base=os.fspath(base), changed_pages=len(pages)),
                   pages=sorted(pages.items()))
        return
    pieces = {at: (b"page at %d\n" % at).ljust(PAGE, b".") for at in (0, middle, mem_size - PAGE)} if mem_size else {}
    write_file(path, model, new_layout(model, layout), pieces)
