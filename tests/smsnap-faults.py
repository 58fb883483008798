#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each system call of smsnap fails once, or is the last before it is killed: it says what
is wrong and leaves nothing half done, neither what it writes nor anything beside it.
smsnap-faults.py [TEXT...] takes only the cases that have one of the texts in their name.
"""

import collections
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Failed, WorkDir, lacking, require  # noqa: E402

ONLY = sys.argv[1:]
PATIENCE = 60
HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
RAM = 256 << 10

# What each can fail with; a call with EINTR is to be done again.
ERRORS = {
    "openat": "EIO ENOSPC EMFILE EACCES",
    "read": "EIO EINTR",
    "write": "EIO ENOSPC EPIPE",
    "pread64": "EIO EINTR",
    "pwrite64": "EIO ENOSPC EDQUOT EINTR",
    "ftruncate": "EIO ENOSPC EINTR",
    "fallocate": "EIO ENOSPC EINTR",
    "fsync": "EIO ENOSPC EINTR",
    "fchmod": "EIO EPERM",
    "renameat": "EIO ENOSPC EDQUOT",
    "newfstatat": "EIO",
    "lseek": "EIO EINVAL",
    "flock": "ENOLCK EAGAIN",
    "getcwd": "ENOENT",
    "readlink": "EIO EACCES",
    "mmap": "ENOMEM",
}

cases = 0


def contents(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None


class Command:
    """A command of smsnap, which is to make a file of some bytes, or print them."""

    def __init__(self, name, work, arguments, first, old=None):
        self.name, self.work, self.old = name, work, old
        self.arguments = [SMSNAP, *arguments]
        self.first = first  # what it opens first
        self.built = os.path.join(work, "built")
        self.trace = os.path.join(work, "trace")
        self.files = set()
        self.prepare()
        self.status, self.out, self.err = self.run("-e", "trace=all")
        require(self.status == 0 and not self.err, "exit status %d: %r" % (self.status, self.err))
        self.new = contents(self.built)
        self.calls = list(self.own_calls())

    def prepare(self):
        """As it is before the command."""
        for name in os.listdir(self.work):
            if name.startswith("built"):
                os.unlink(os.path.join(self.work, name))
        if self.old is not None:
            with open(self.built, "wb") as f:
                f.write(self.old)
        open(self.trace, "wb").close()
        self.files = {*os.listdir(self.work), "built"}

    def run(self, *how):
        """Exit status, what it printed, what it said."""
        done = subprocess.run(["strace", "-o", self.trace, *how, *self.arguments], check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=PATIENCE)
        return done.returncode, done.stdout, done.stderr.decode()

    def own_calls(self):
        """(name, the how manyth of that name), without those of starting a program, and of
        counting coverage at its end."""
        count = collections.Counter()
        begun = False
        with open(self.trace, encoding="utf-8", errors="replace") as f:
            for line in f:
                name = line.split("(", 1)[0]
                count[name] += 1
                begun = begun or (name == "openat" and '"%s"' % self.first in line)
                if ".gcda" in line or line.startswith(("exit", "+++")):
                    break
                if begun:
                    yield name, count[name]

    def left(self):
        return set(os.listdir(self.work)) - self.files

    def fault(self, call, number, error):
        self.prepare()
        status, out, err = self.run("-e", "trace=" + call, "-e",
                                    "inject=%s:error=%s:when=%d" % (call, error, number))
        require(error in contents(self.trace).decode(), "nothing failed")
        if status == 0:
            require(not err and (out, contents(self.built)) == (self.out, self.new), "not done, and status 0")
        else:
            require(error != "EINTR", "it was not done again")
            require(status == 1 and err.startswith("smsnap: ") and err.count("\n") == 1,
                    "exit status %d, it says %r" % (status, err))
            require(self.out.startswith(out), "it printed something else")
            # The folder's fsync comes when the file has its name.
            whole = (self.old, self.new) if call == "fsync" else (self.old,)
            require(contents(self.built) in whole, "not as before")
        require(not self.left(), "left: %s" % self.left())

    def kill(self, call, number, _error):
        self.prepare()
        self.run("-e", "trace=" + call, "-e", "inject=%s:signal=KILL:when=%d" % (call, number))
        require("killed by SIGKILL" in contents(self.trace).decode(), "it was not killed")
        require(contents(self.built) in (self.old, self.new), "half done")
        # The next one does not trip over what is left.
        status, out, err = self.run("-e", "trace=none")
        require(status == 0 and not err, "then exit status %d: %r" % (status, err))
        require((out, contents(self.built)) == (self.out, self.new), "then something else")
        require(not self.left(), "then left: %s" % self.left())

    def attempt(self, do, *how):
        global cases
        name = "%s: %s %s %d %s" % (self.name, do.__name__, *how)
        if ONLY and not any(text in name for text in ONLY):
            return
        cases += 1
        try:
            do(*how)
        except (Failed, subprocess.TimeoutExpired) as e:
            raise Failed("%s: %s" % (name, e)) from e

    def all(self):
        for call, number in self.calls:
            for error in ERRORS.get(call, "").split():
                self.attempt(self.fault, call, number, error)
            self.attempt(self.kill, call, number, "")


def main():
    if not shutil.which("strace"):
        lacking("strace")
    with WorkDir() as work:
        snapshot, json, ram, built = (os.path.join(work, n) for n in ("snap", "json", "ram", "built"))
        reader.sample(snapshot, RAM)
        with open(ram, "wb") as f:
            f.write(reader.Snapshot(snapshot).ram)
        with open(json, "wb") as f:
            subprocess.run([SMSNAP, "dump", snapshot], check=True, stdout=f)
        build = ["build", json, "-o", built, "--ram", ram]
        try:
            for command in (Command("dump", work, ["dump", snapshot], snapshot),
                            Command("dump to a file", work, ["dump", snapshot, "-o", built], snapshot,
                                    b"{}\n"),
                            Command("build", work, build, json),
                            Command("rebuild", work, build, json, contents(snapshot)),
                            Command("get", work, ["get", snapshot, "num_cpus", "devices/0/backing/path"],
                                    snapshot)):
                command.all()
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d cases" % cases)


if __name__ == "__main__":
    main()
