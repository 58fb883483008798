# SPDX-License-Identifier: MIT
"""Shared by tests and benchmark: snapshots of a certain size, as reader.py has them."""

import os

import reader

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
