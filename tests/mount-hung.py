#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A disk or a path that hangs: edits wait for it, and nobody else does.

The file system under the snapshot is frozen (fsfreeze). More edits than the
daemon has threads to begin with must wait then, while the rest of the mount can
be listed and read; once it is thawed all of them succeed, and are saved.  A host_path is looked up where it is, which may hang too.
"""

import concurrent.futures
import errno
import os
import signal
import subprocess
import sys
import tempfile
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
    # Its root moves with host_path.
    inode = reader.num(1, 8) + b"\0" + reader.blob(b"/srv/share")
    model["devices"][3]["backing"]["backend_state"] = (b"PFSS" + reader.num(1, 4) + reader.num(2, 8) + reader.num(1, 8) + inode +
                                                       reader.num(0, 8))
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


def hung_path():
    """A host_path below a mount that does not answer keeps nobody else waiting."""
    with tempfile.TemporaryDirectory() as folder:
        snaps = [os.path.join(folder, name) for name in ("snap", "other")]
        for snap in snaps:
            make(snap)
        with Mount(snaps[0]) as m, Mount(snaps[1]) as other:
            path = other.path("not/there")
            os.kill(other.process.pid, signal.SIGSTOP)
            try:
                edit = subprocess.Popen(["sh", "-c", 'echo "$1" >devices/3/backing/host_path', "-", path], cwd=m.root)
                wait_for("a write of host_path", lambda: is_writing(edit.pid))
                for command in ("echo 9 >num_cpus", "cat mem_size vcpu/*/raw devices/3/backing/host_path >/dev/null",
                                "ls -lR >/dev/null", "echo 7 >devices/0/mmio/status"):
                    done = subprocess.Popen(["sh", "-c", command], cwd=m.root)
                    try:
                        status = done.wait(DEADLINE)
                    except subprocess.TimeoutExpired:
                        sys.exit("FAIL: %s waits for another's host_path" % command)
                    if status:
                        sys.exit("FAIL: %s: status %d" % (command, status))
                if edit.poll() is not None:
                    sys.exit("FAIL: host_path was not looked up")
            finally:
                os.kill(other.process.pid, signal.SIGCONT)
            if edit.wait(60):
                sys.exit("FAIL: host_path was not written")
        saved = reader.Snapshot(snaps[0]).model
        if (saved["num_cpus"], saved["devices"][3]["backing"]["host_path"]) != (9, path):
            sys.exit("FAIL: not all was saved")
    print("ok: a path that hangs")


HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    require_fuse()
    hung_path()
    for kind in ("ext4", "xfs"):
        try:
            with filesystems.mounted(kind) as root:
                run(kind, root)
        except filesystems.Missing as e:
            filesystems.skip_or_fail("%s: %s" % (kind, e))


main()
