#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The most that a snapshot's hints name: 65,536 listeners, 4,096 devices with 8 queues
each, 64 vCPUs. Mounted, listed, read and edited, in memory that follows what is edited.
"""

import os
import random
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import models  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, WorkDir, require_fuse  # noqa: E402

MIB = 1 << 20
RAM = 1 * MIB
# In MiB: to mount it; and all of it, whatever was listed, read and saved.
MOUNTED, AFTERWARDS = 64, 64
# What listings may add: the kernel remembers what it listed, the daemon need not.
LISTED = 2


def most(what, limit, got):
    if got > limit:
        sys.exit("FAIL: %s: %.1f MiB, at most %d expected" % (what, got, limit))
    print("%s: %.1f MiB" % (what, got))


def same(what, want, got):
    if want != got:
        sys.exit("FAIL: %s: expected %.200r, got %.200r" % (what, want, got))


def listed(m, folder):
    """The files below FOLDER as ls -lR names them."""
    ls = subprocess.run(["ls", "-lR", folder], cwd=m.root, check=True, text=True,
                        stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"))
    files, at = set(), None
    for line in ls.stdout.splitlines():
        if line.endswith(":"):
            at = line[:-1]
        elif line.startswith("-"):
            files.add(at + "/" + line.split()[-1])
    return files


def read(m, path):
    with open(m.path(path), "rb") as f:
        return f.read()


def edit(m, model, path, value):
    with open(m.path(path), "wb") as f:
        f.write(reader.shown(path, value))
    reader.set_leaf(model, path, value)


def compare_some(m, model, rng):
    leaves = list(reader.leaves(model))
    some = rng.sample(leaves, 2000) + leaves[:50] + leaves[-50:]
    for path, value in some:
        same(path, reader.shown(path, value), read(m, path))
        same(path + " st_size", len(reader.shown(path, value)), os.stat(m.path(path)).st_size)


def lists_all(m, leaves, folders):
    """Every file is listed, and the daemon keeps nothing of that."""
    before = m.memory("VmRSS") / MIB
    for folder in folders:
        want = {p for p, _ in leaves if p.startswith(folder + "/")}
        same("files of " + folder, sorted(want), sorted(listed(m, folder)))
    most("more after listing %s" % " ".join(folders), LISTED, m.memory("VmRSS") / MIB - before)


def edits_afar(m, snap, model):
    """Elements at the far end, as if they were the first."""
    edit(m, model, "listeners/65535/vm_port", 8022)
    edit(m, model, "listeners/65535/inet_port", 22)
    edit(m, model, "listeners/32768/cid", 1 << 40)
    edit(m, model, "devices/4095/mmio/queues/7/desc_table", 0xfee0000)
    edit(m, model, "devices/4095/backing/host_path", "/srv/" + "y" * 60000)
    edit(m, model, "devices/0/backing/host_path", "/")
    edit(m, model, "vcpu/63/raw", bytes(100000))
    edit(m, model, "listeners/1/inet_port", None)
    now = reader.Snapshot(snap)
    same("snapshot after edits", True, now.model == model)
    same("RAM's size", RAM, len(now.ram))


def main():
    require_fuse()
    rng = random.Random(4)
    model = models.worst_model(RAM)
    with WorkDir() as work:
        snap = os.path.join(work, "snap")
        container = reader.encode(model)
        reader.write_file(snap, model)
        leaves = list(reader.leaves(model))
        print("%d files, container %.1f MiB" % (len(leaves), len(container) / MIB))
        with Mount(snap) as m:
            os.stat(m.path("num_cpus"))
            most("peak of the mount", MOUNTED, m.memory("VmHWM") / MIB)
            compare_some(m, model, rng)
            lists_all(m, leaves, ["listeners"])
            if "SMFS_TEST_ALL" in os.environ:
                lists_all(m, leaves, ["listeners", "devices", "vcpu"])
            edits_afar(m, snap, model)
            compare_some(m, model, rng)
            most("peak of all", AFTERWARDS, m.memory("VmHWM") / MIB)
            most("at the end", MOUNTED, m.memory("VmRSS") / MIB)
        with Mount(snap, "-o", "ro") as m:
            compare_some(m, model, rng)
    print("ok")


main()
