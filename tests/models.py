# SPDX-License-Identifier: MIT
"""Shared by tests and benchmark: snapshots of a certain size, as reader.py has them."""

import os
import random

import reader
import snapmake

KIB, GIB = 1 << 10, 1 << 30


def queue(k):
    return {"size": 256, "ready": 1, "desc_table": 0x10000 + k, "avail_ring": 0x11000 + k,
            "used_ring": 0x12000 + k, "last_avail_idx": k % 65536, "next_used_idx": k % 65536}


def device(kind, queues, backing):
    return {"kind": kind, "backing": backing,
            "mmio": {"driver_features": 0x100000206, "status": 0xf, "interrupt_status": 0,
                     "queues": [queue(k) for k in range(queues)]}}


def disk():
    return device("blk", 1, {"type": "disk", "path": "/srv/images/root.raw", "size": 8 * GIB})


def listener(k):
    return {"cid": 3, "peer_port": k, "vm_port": k, "family": 40, "socktype": 1, "inet_port": k % 65536}


def snapshot_model(mem_size, devices, listeners, vcpus=2, vcpu_size=8 * KIB):
    return {"num_cpus": vcpus, "mem_size": mem_size, "com1": {name: 0 for name in reader.COM1},
            "clock_host_ticks": 1, "clock_ref": 2, "intc": bytes(KIB),
            "vcpu": [os.urandom(vcpu_size)] * vcpus, "devices": devices,
            "tsi_token": None, "listeners": [listener(k) for k in range(listeners)]}


def typical_model(mem_size):
    return snapshot_model(mem_size, [disk(), device("vsock", 3, {"type": "none"})], 4)


def tree_model(files):
    """About that many files: half of them listeners' (6 each), half disks' (21 each)."""
    return snapshot_model(0, [disk()] * (files // 2 // 21), files // 2 // 6)


def share(k):
    return device("virtiofs", 8, {"type": "virtiofs", "tag": "share%d" % k, "mount": "/mnt",
                                  "host_path": "/srv/" + "x" * 900, "dax_gpa": 0, "dax_window_len": 0,
                                  "backend_state": bytes(64), "dax_state": b""})


def worst_model(mem_size=0):
    """The most of everything that the format's hints name."""
    return snapshot_model(mem_size, [share(k) for k in range(4096)], 65536, 64, 64 * KIB)


def states_model(vcpus=255, understood=True):
    """vCPUs from KVM, or bytes of their size that are not understood."""
    rng = random.Random(1)
    model = snapshot_model(0, [disk()], 4)
    model["num_cpus"] = vcpus
    model["vcpu"] = [snapmake.kvm_vcpu(rng) if understood else os.urandom(2640) for _ in range(vcpus)]
    return model


def share_model(understood=True):
    """A share whose table of inodes fills its blob, or bytes of that size that are not understood."""
    path = b"/srv/share/" + b"x" * 60
    entry = reader.num(2, 8) + b"\0" + reader.blob(path)
    count = (reader.BLOB_MAX - 64) // len(entry)
    state = (b"PFSS" + reader.num(1, 4) + reader.num(9, 8) + reader.num(count, 8) + entry * count + reader.num(0, 8))
    backing = share(0)["backing"]
    backing["backend_state"] = state if understood else b"?" + state[1:]
    return snapshot_model(0, [device("virtiofs", 2, backing)], 4)
