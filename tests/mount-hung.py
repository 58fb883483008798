#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A disk that hangs: edits wait for it, and nobody else does.

The file system under the snapshot is frozen (fsfreeze). More edits than the
daemon has threads to begin with must wait then, while the rest of the mount can
be listed and read; once it is thawed all of them succeed, and are saved.
"""

import concurrent.futures
import errno
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import filesystems  # noqa: E402
import reader  # noqa: E402
from mounted import Mount, require_fuse  # noqa: E402

EDITS = 40
TEMPS_MAX = 64
DEADLINE = 20
WRITE = "1 "  # the number of write(2) on x86-64


def make(path):
    model = reader.sample_model()
    model["listeners"] = [dict(cid=i, peer_port=0, vm_port=0, family=1, socktype=1, inet_port=None)
                          for i in range(EDITS)]
    model["mem_size"] = 1 << 20
    reader.write_file(path, model, reader.new_layout(model, ram_offset=reader.RAM_STEP), b"m" * (1 << 20))


def is_writing(pid):
    with open("/proc/%d/syscall" % pid, encoding="ascii") as f:
        return f.read().startswith(WRITE)


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > end:
            sys.exit("FAIL: %s: not in %d s" % (what, DEADLINE))
        time.sleep(0.01)


def can_make(path):
    """A temporary, which is over at once."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR))
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        return False
    os.unlink(path)
    return True


def others(m):
    """What does not wait for the disk."""
    files = [os.path.join(folder, name)
             for folder, _, names in os.walk(m.root) for name in names]
    for path in files:
        with open(path, "rb") as f:
            data = f.read()
        if path == m.path("ram") and data != b"m" * (1 << 20):
            sys.exit("FAIL: wrong RAM")
        os.stat(path)
    # To write RAM is an edit of nothing on the disk.
    with open(m.path("ram"), "r+b") as f:
        f.write(b"w")
    # One after another: none lives on because what was read above is closed only later.
    for k in range(2 * TEMPS_MAX):
        wait_for("a temporary", lambda: can_make(m.path("listeners/0/.%d" % k)))
    return len(files)


def run(kind, root):
    snap = os.path.join(root, "snap")
    make(snap)
    # With a limit RAM is not passed through: its clone would be on that disk.
    with Mount(snap, "-oram_limit=1M") as m:
        subprocess.run(["fsfreeze", "-f", root], check=True)
        try:
            edits = [subprocess.Popen(["sh", "-c", "echo %d >listeners/%d/vm_port" % (7000 + i, i)],
                                      cwd=m.root)
                     for i in range(EDITS)]
            wait_for("edits that wait", lambda: all(is_writing(p.pid) for p in edits))
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                try:
                    files = pool.submit(others, m).result(DEADLINE)
                except concurrent.futures.TimeoutError:
                    # Thawed first: the thread has to end before this process can.
                    subprocess.run(["fsfreeze", "-u", root], check=True)
                    sys.exit("FAIL: %s: the rest of the mount waits as well" % kind)
            if any(p.poll() is not None for p in edits):
                sys.exit("FAIL: %s: an edit ended that can't be saved" % kind)
        finally:
            subprocess.run(["fsfreeze", "-u", root], check=False, stderr=subprocess.DEVNULL)
        if any(p.wait(60) for p in edits):
            sys.exit("FAIL: %s: an edit failed" % kind)
    saved = reader.Snapshot(snap).model
    if [r["vm_port"] for r in saved["listeners"]] != [7000 + i for i in range(EDITS)]:
        sys.exit("FAIL: %s: not all edits were saved" % kind)
    print("ok: %s: %d edits waited, %d files were read" % (kind, EDITS, files))


HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    require_fuse()
    for kind in ("ext4", "xfs"):
        try:
            with filesystems.mounted(kind) as root:
                run(kind, root)
        except filesystems.Missing as e:
            filesystems.skip_or_fail("%s: %s" % (kind, e))


main()
