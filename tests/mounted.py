# SPDX-License-Identifier: MIT
"""Shared by the tests in Python: a mount of a snapshot, what a test needs, how a case fails."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    pass


def require(condition, text):
    if not condition:
        raise Failed(text)


def expect(what, result, call, *arguments):
    """CALL gives the error of the name RESULT, or none: OK."""
    try:
        call(*arguments)
        got = "OK"
    except OSError as e:
        got = errno.errorcode[e.errno]
    require(got == result, "%s: expected %s, got %s" % (what, result, got))


def lacking(what):
    if os.environ.get("SMFS_NO_SKIP") == "1":
        sys.exit("FAIL: lacking: " + what)
    print("SKIP: lacking: " + what)
    sys.exit(77)


def require_fuse():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        lacking("access to /dev/fuse")


def program():
    here = os.path.dirname(os.path.abspath(__file__))
    top = os.environ.get("srcdir", os.path.join(here, ".."))
    return os.path.abspath(os.environ.get("SMFS", os.path.join(top, "smfs")))


class Mount:
    """with Mount(snapshot, option...) as m: m.path("num_cpus") ...

    The daemon is a child, in the foreground; leaving the block unmounts and
    fails unless the daemon ends well. SMFS is another program than the usual.
    Not for one of several threads that start programs: until a child executes its own, it
    has open what any of them had, and a mount with open files is busy.
    """

    def __init__(self, snapshot, *options, stderr=None, user=None, smfs=None):
        smfs = smfs or program()
        if not os.access(smfs, os.X_OK):
            sys.exit("FAIL: no program " + smfs)
        self.root = tempfile.mkdtemp(prefix="smfs-test-")
        if user:
            os.chown(self.root, user, user)
        self.process = subprocess.Popen([smfs, "-f", *options, snapshot, self.root],
                                        stdin=subprocess.DEVNULL, stderr=stderr,
                                        user=user, group=user)

    def path(self, name):
        return os.path.join(self.root, name)

    def is_mounted(self):
        return os.path.ismount(self.root)

    def memory(self, what):
        """Of the daemon, in bytes: VmRSS now, VmHWM at most so far."""
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as f:
            for line in f:
                if line.startswith(what + ":"):
                    return int(line.split()[1]) << 10
        sys.exit("FAIL: no " + what)

    def __enter__(self):
        end = time.monotonic() + 20
        while not self.is_mounted():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                status = self.process.wait()
                subprocess.run(["umount", "-lq", self.root], check=False)
                os.rmdir(self.root)
                sys.exit("FAIL: smfs did not mount, exit status %d" % status)
            time.sleep(0.01)
        return self

    def __exit__(self, kind, value, trace):
        tool = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
        failed = subprocess.run(tool + [self.root], check=False).returncode
        if failed:
            subprocess.run(["umount", "-l", self.root], check=False)
            self.process.kill()
        status = self.process.wait(60)
        os.rmdir(self.root)
        if kind is None and (failed or status):
            sys.exit("FAIL: umount gave %d, the daemon %d" % (failed, status))


class WorkDir:
    """with WorkDir() as d: a folder that is removed afterwards."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="smfs-test-")
        return self.path

    def __exit__(self, *exc):
        shutil.rmtree(self.path)
