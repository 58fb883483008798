# SPDX-License-Identifier: MIT
"""Shared by the tests in Python: file systems of their own, freshly made.

  with filesystems.mounted("xfs") as path: ...
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

# In the order in which a save has less to work with.
KINDS = ("btrfs", "xfs", "ext4", "tmpfs")

# Sparse: what counts is that btrfs takes its time to reuse what was freed.
SIZE = {"btrfs": 1 << 30, "xfs": 300 << 20, "ext4": 64 << 20, "ext3": 64 << 20,
        "tmpfs": 64 << 20}

# Blocks of 4 KiB as on disks of today: mkfs.ext4 takes smaller ones for small images.
MKFS = {"btrfs": ["mkfs.btrfs", "-q"],
        "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"],
        "ext4": ["mkfs.ext4", "-q", "-b", "4096"],
        "ext3": ["mkfs.ext3", "-q", "-b", "4096"]}


class Missing(Exception):
    """What is needed for a file system is not here."""


def skip_or_fail(reason):
    if os.environ.get("SMFS_NO_SKIP") == "1":
        sys.exit("FAIL: " + reason)
    print("SKIP: " + reason)
    sys.exit(77)


def _run(*command):
    p = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, check=False)
    if p.returncode:
        raise Missing("%s: %s" % (" ".join(command), p.stdout.strip()))


def _unmount(path):
    # Should a test have left something open in it: it goes when that ends.
    if subprocess.run(["umount", path], check=False).returncode:
        subprocess.run(["umount", "-l", path], check=False)


def _on_sigterm(*_):
    # What has been mounted is unmounted on the way out, and nothing stops that.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _ended_by_sigterm():
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _image(kind, folder, size):
    tool = MKFS[kind]
    if not shutil.which(tool[0]):
        raise Missing("no " + tool[0])
    if not os.path.exists("/dev/loop-control"):
        raise Missing("no loop devices")
    path = os.path.join(folder, "image")
    with open(path, "wb") as f:
        f.truncate(size)
    _run(*tool, path)
    return path


@contextlib.contextmanager
def mounted(kind, size=None, options=None):
    """A new file system of KIND and SIZE bytes, and the path where it is mounted.

    OPTIONS are more mount options. Raises Missing where it can't be had.
    """
    if os.geteuid() != 0:
        raise Missing("only root can mount a file system")
    size = size or SIZE[kind]
    # In memory if possible: a disk's flushes would take most of the time.
    shm = "/dev/shm" if os.path.ismount("/dev/shm") else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        folder = tempfile.mkdtemp(prefix="smfs-test-", dir=shm)
        stack.callback(shutil.rmtree, folder)
        root = os.path.join(folder, "root")
        os.mkdir(root, 0o755)
        os.chmod(folder, 0o755)  # other users' tests go through it
        if kind == "tmpfs":
            what = ["-t", "tmpfs", "-o", ",".join(filter(None, ["size=%d,mode=755" % size, options])),
                    "tmpfs"]
        else:
            what = ["-t", kind, "-o", ",".join(filter(None, ["loop", options])),
                    _image(kind, folder, size)]
        _run("mount", *what, root)
        stack.callback(_unmount, root)
        yield root
