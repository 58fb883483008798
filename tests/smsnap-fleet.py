#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap check, info and retarget of many snapshots: the order and the form of what is printed, failures
that stay with their snapshot, processes that are killed, few descriptors, signals. A process is killed
or stopped where it opens its snapshot or, as retarget has all looked at before, locks it, by strace.
smsnap-fleet.py [TEXT...] takes only the checks that have one of the texts in their name.
"""

import contextlib
import fcntl
import json
import os
import pty
import resource
import select
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostmake  # noqa: E402
from mounted import Failed, WorkDir, lacking, require  # noqa: E402
from reader import RAM_STEP, Snapshot, num, write_file  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
PATIENCE = 60
MEM = 4 << 20
checks = 0


def run(status, *arguments, limit=None, stdout=subprocess.PIPE):
    """Lines of standard output, and of standard error, of smsnap."""
    few = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if limit else None
    done = subprocess.run([SMSNAP, *arguments], check=False, stdin=subprocess.DEVNULL, stdout=stdout,
                          stderr=subprocess.PIPE, timeout=PATIENCE, preexec_fn=few)
    require(done.returncode == status, "%.300r: exit status %d, it says %.2000r" % (arguments, done.returncode, done.stderr))
    return (done.stdout or b"").decode().splitlines(), done.stderr.decode().splitlines()


def fleet(work, name, count, **how):
    """A folder of snapshots: their paths."""
    folder = os.path.join(work, name)
    os.makedirs(folder, exist_ok=True)
    names = ["s%03d" % i for i in range(count)]
    hostmake.fleet(folder, names, **{"mem": MEM, "inodes": 5, **how})
    return [os.path.join(folder, name) for name in names]


def disk_of(path):
    return Snapshot(path).model["devices"][0]["backing"]["path"]


def contents(paths):
    found = []
    for path in paths:
        with open(path, "rb") as f:
            found.append(f.read())
    return found


def same(what, want, got):
    global checks
    checks += 1
    require(want == got, "%s: expected %.1500r, got %.1500r" % (what, want, got))


# ---- what is printed -----------------------------------------------------------

def damage(paths):
    """One of each kind of wrong, in the middle of those that are right: which status each has."""
    status = dict.fromkeys(paths, "ok")
    errors, warnings, cut, empty, gone, noise, folder = paths[3:10]
    os.unlink(errors + ".disk")
    subprocess.run([SMSNAP, "set", warnings, "num_cpus=3"], check=True)
    os.truncate(cut, 200)
    os.truncate(empty, 0)
    os.unlink(gone)
    with open(noise, "wb") as f:
        f.write(os.urandom(5000))
    os.unlink(folder)
    os.mkdir(folder)
    status.update({errors: "errors", warnings: "warnings", **dict.fromkeys((cut, empty, gone, noise, folder), "failed")})
    return status


def check_forms(work):
    """Each line names its snapshot, the order is that of the operands, however many are looked at at a time."""
    paths = fleet(work, "forms", 24)
    status = damage(paths)
    readable = [p for p in paths if status[p] != "failed"]
    failed = [p for p in paths if status[p] == "failed"]
    for command, more in (("check", []), ("info", []), ("retarget", ["--dry-run", work + "/forms=/moved"])):
        lines, said = run(1, command, *paths, *more)
        named = [next((p for p in paths if line.startswith(p + ": ")), None) for line in lines[:-1]]
        require(None not in named, "%s: lines without a snapshot: %r" % (command, lines))
        same(command + ": who is told of, in order", readable, list(dict.fromkeys(named)))
        same(command + ": who is not readable", ["smsnap: " + p for p in failed], [s[:len("smsnap: " + p)] for s, p in zip(said, failed)])
        same(command + ": lines of errors", len(failed), len(said))
        same(command + ": who is counted", ["24", "snapshots"], lines[-1].partition(":")[0].split())
        same(command + ": as the sum of", 24, sum(int(part.split()[0]) for part in lines[-1].partition(": ")[2].split(", ")))
        objects, _ = run(1, command, "--json", *paths, *more)
        same(command + ": in JSON", paths, [json.loads(line)["snapshot"] for line in objects])
        for line in objects:
            o = json.loads(line)
            same(command + ": an error", o["status"] == "failed", "error" in o)
            require(o["status"] != "failed" or o["snapshot"] in o["error"], line)
        for count in ("1", "2", "7", "256"):
            same("%s -P %s" % (command, count), (lines, said), run(1, command, "-P", count, *more, *paths))
            same("%s --json -P %s" % (command, count), objects, run(1, command, "--parallel", count, "--json", *paths, *more)[0])
    lines, _ = run(1, "check", *paths)
    same("the summary", "24 snapshots: 17 ok, 1 with warnings, 1 with errors, 5 not readable".replace("17", str(24 - 7)), lines[-1])
    # As each alone.
    for path, line in zip(paths, run(1, "check", "--json", *paths)[0]):
        o = json.loads(line)
        same("status of " + path, status[path], o["status"])
        if status[path] != "failed":
            alone = json.loads("\n".join(run(int(status[path] == "errors"), "check", "--json", path)[0]))
            same("findings of " + path, alone, [{"snapshot": path, **f} for f in o["findings"]])
    same("all are readable", 0, len(run(0, "info", *readable)[1]))
    same("only warnings", 0, len(run(0, "check", *[p for p in readable if status[p] != "errors"])[1]))
    shutil.rmtree(os.path.join(work, "forms"))


def check_info(work):
    """The members of info's objects, against the reader."""
    for path in fleet(work, "info", 3):
        o = json.loads(run(0, "info", "--json", path)[0][0])
        model, st = Snapshot(path).model, os.stat(path)
        same("layout", {"format": "kvm"}, o["layout"])
        same("size", model["mem_size"], o["ram"]["size"])
        require(0 < o["ram"]["stored"] <= st.st_blocks * 512, "RAM stored: %r" % o["ram"])
        same("vCPUs", [("long mode", hex(hostmake.KERNEL))] * 2, [(v["state"], v["rip"]) for v in o["vcpus"]])
        same("devices", [("blk", path + ".disk", "there"), ("vsock", None, None), ("virtiofs", os.path.dirname(path) + "/share", "there")],
             [(d["kind"], d.get("path", d.get("host_path")), d.get("host")) for d in o["devices"]])
        same("inodes", 5, o["devices"][2]["inodes"])
        same("listeners", [(x["vm_port"], x["inet_port"]) for x in model["listeners"]],
             [(x["vm_port"], x["inet_port"]) for x in o["listeners"]])
        same("a token", True, o["token"])
        same("its members", ["devices", "layout", "listeners", "ram", "snapshot", "status", "token", "vcpus"], sorted(o))
        lines, _ = run(0, "info", path, path)
        same("a line", path + ": kvm, 2 vCPUs, 4 MiB of RAM (48 KiB stored), 3 devices (blk, vsock, virtiofs)", lines[0])
        os.unlink(path + ".disk")
        lines, _ = run(0, "info", "-P", "1", path)
        require(lines[0].endswith("; missing: %s.disk (not there)" % path), lines[0])
        same("one that lacks something", "1 snapshot: 1 with files that are missing", lines[1])
        same("in JSON", "missing", json.loads(run(0, "info", "--json", path)[0][0])["status"])
    shutil.rmtree(os.path.join(work, "info"))


def check_single(work):
    """One snapshot is told of as ever, but where -P asks for a line."""
    path, = fleet(work, "single", 1)
    same("check of one", (["ok"], []), run(0, "check", path))
    same("check of one, in JSON", ([], []), (json.loads("".join(run(0, "check", "--json", path)[0])), []))
    same("check -P of one", ([path + ": ok", "1 snapshot: 1 ok"], []), run(0, "check", "-P", "3", path))
    same("in JSON", {"snapshot": path, "status": "ok", "findings": []}, json.loads(run(0, "check", "-P1", "--json", path)[0][0]))
    require(run(0, "info", path)[0][0].startswith("snapshot "), "info of one")
    same("retarget of one", path + ":", run(0, "retarget", "--dry-run", path, work + "=/m")[0][0])


def check_usage(work):
    path, = fleet(work, "usage", 1)
    before = contents([path])
    for command, more in (("check", []), ("info", []), ("retarget", [work + "=/moved"])):
        for wrong in ("0", "257", "-1", "x", "", "1x", " 1", "99999999999999999999"):
            lines, said = run(2, command, "-P", wrong, path, path, *more)
            same("-P %r" % wrong, ([], 1, True), (lines, len(said), "from 1 to 256" in said[0]))
    run(2, "retarget", path, path, "/a=/b", "/a=b")
    run(2, "check", path, path, "--ram-offset", "x")
    same("the snapshot", before, contents([path]))


def check_names(work):
    """Paths that are no text, or more than a line."""
    folder = os.path.join(work, "names")
    good, = fleet(work, "names", 1)
    names = [b"odd\xff", b"two\nlines", b"\x1b[31m", "\u00e9t\u00e9 \U0001f980".encode(), b'"quoted\\']
    paths = [folder.encode() + b"/" + name for name in names]
    for path in paths:
        shutil.copy(good, path)
    paths.append(folder.encode() + b"/missing\xfe\n")
    for command, more in (("check", []), ("info", []), ("retarget", ["--dry-run", work + "=/moved"])):
        lines, said = run(1, command, *paths, *more)
        same(command + ": lines", len(names) + 1, len({line.partition(": ")[0] for line in lines}))
        same(command + ": one is missing", (1, True), (len(said), "missing\\xfe\\x0a: No such file" in said[0]))
        require(lines[0].startswith(folder + "/odd\\xff: "), lines[0])
        objects = [json.loads(line) for line in run(1, command, "--json", *paths, *more)[0]]
        got = [o["snapshot"] for o in objects]
        same(command + ": in JSON", paths, [bytes.fromhex(p["bytes"]) if isinstance(p, dict) else p.encode() for p in got])
        same(command + ": what is no text", [True, False, False, False, False, True], [isinstance(p, dict) for p in got])
    same("an array", [], json.loads("".join(run(0, "check", "--json", paths[1])[0])))
    os.unlink(good + ".disk")
    found = json.loads("".join(run(1, "check", "--json", paths[0])[0]))
    same("of a path that is no text", {"bytes": paths[0].hex()}, found[0]["snapshot"])


def check_diffs(work):
    """Many over one base."""
    base = fleet(work, "base", 1)[0]
    paths = fleet(work, "diffs", 40, base=base)
    lines, said = run(0, "check", "-P", "8", *paths)
    same("diffs", (["%s: ok" % p for p in paths] + ["40 snapshots: 40 ok"], []), (lines, said))
    lines, said = run(0, "retarget", "-P", "8", *paths, work + "=/moved")
    same("diffs moved", "40 snapshots: 40 matched", lines[-1])
    same("their base", "/moved/base/s000", Snapshot(paths[7], base=base).layout["base"])


def check_base_first(work):
    """A base is saved before its diffs, in whatever order they are given: check would say that it was changed after them."""
    base = fleet(work, "first", 1)[0]
    diffs = fleet(work, "then", 4, base=base)
    there, here = work + "/moved", work + "/first"
    os.symlink(here, there)
    for given in ([*diffs, base], [base, *diffs], [*diffs[:2], base, *diffs[2:]], [*diffs, work + "/missing", base]):
        missing = len(given) > 5
        for parallel in ("1", "2", "8"):
            for old, new in ((here, there), (there, here)):
                lines, said = run(int(missing), "retarget", "-P", parallel, *given, "%s=%s" % (old, new))
                same("who is told of, in order", [p for p in given if "missing" not in p],
                     list(dict.fromkeys(line.partition(": ")[0] for line in lines[:-1])))
                same("errors", missing, len(said))
                at = {p: os.stat(p).st_mtime_ns for p in (base, *diffs)}
                require(all(at[base] < at[p] for p in diffs), "-P %s %r: the base is not the first: %r" % (parallel, given, at))
    found = json.loads("".join(run(0, "check", "--json", diffs[0])[0]))
    same("findings of a diff", [], [f for f in found if "layout" in f["path"]])


# ---- retarget --------------------------------------------------------------------

def check_retarget(work):
    """Each by itself, all or nothing."""
    folder = os.path.join(work, "moving")
    paths = fleet(work, "moving", 12)
    before = contents(paths)
    dry, said = run(0, "retarget", "--dry-run", *paths, folder + "=/moved")
    same("a dry run", (before, []), (contents(paths), said))
    # One is somebody's, one is damaged, one is elsewhere already, one gets too long.
    os.truncate(paths[2], 300)
    subprocess.run([SMSNAP, "set", paths[5], "devices/0/backing/path=" + "/long" * 13107], check=True)
    subprocess.run([SMSNAP, "retarget", paths[8], folder + "=/elsewhere"], check=True, stdout=subprocess.DEVNULL)
    before = contents(paths)
    with open(paths[3], "rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        lines, said = run(1, "retarget", "-P", "4", *paths, folder + "=/moved", "/long=/much/longer")
    same("the summary", "12 snapshots: 8 matched, 1 not matched, 3 failed", lines[-1])
    same("who failed", [paths[2], paths[3], paths[5]], [s.split(": ")[1] for s in said])
    same("nothing matched", True, paths[8] + ": nothing matched" in lines)
    for i, path in enumerate(paths):
        if i in (2, 3, 5, 8):
            same(path, before[i], contents([path])[0])
            same("lines of " + path, int(i == 8), sum(line.startswith(path + ": ") for line in lines))
        else:
            same(path, "/moved/s%03d.disk" % i, disk_of(path))
            own = [line for line in lines if line.startswith(path + ": ")]
            same("lines of " + path, [line for line in dry if line.startswith(path + ": ")], own)
    same("beside them", 24 + 1, len(os.listdir(folder)))
    # The objects, by the reader.
    for line in run(0, "retarget", "--json", paths[0], paths[1], paths[8], "/moved=/again")[0]:
        o = json.loads(line)
        same("status", "unmatched" if o["snapshot"] == paths[8] else "ok", o["status"])
        if o["status"] == "ok":
            same("changes", [("devices/0/backing/path", "/moved/", "/again/"), ("devices/2/backing/host_path", "/moved/", "/again/")],
                 [(c["path"], c["old"][:7], c["new"][:7]) for c in o["changed"] if "inodes" not in c["path"]])
            same("inodes", 5, sum("inodes" in c["path"] for c in o["changed"]))
            same("it", "/again/" + os.path.basename(o["snapshot"]) + ".disk", disk_of(o["snapshot"]))
        else:
            same("changes", [], o["changed"])
    lines, said = run(1, "retarget", paths[0], paths[1], "/nowhere=/x")
    same("matched in none", ("2 snapshots: 2 not matched", ["smsnap: nothing matched"]), (lines[-1], said))
    shutil.rmtree(folder)


def check_repeated(work):
    """Given twice, however spelt, a snapshot moves once."""
    path, = fleet(work, "repeated", 1)
    folder = os.path.join(work, "as-folder")
    os.mkdir(folder)
    os.symlink(path, os.path.join(folder, "restore.snap"))
    os.link(path, path + ".hard")
    spelt = [path, path, os.path.join(work, "repeated/../repeated/s000"), folder, os.path.join(folder, "restore.snap"), path + ".hard"]
    lines, said = run(0, "retarget", "-P", "6", *spelt, work + "=" + work + work)
    same("the summary", ("6 snapshots: 1 matched, 5 given before", []), (lines[-1], said))
    same("it moved once", work + work + "/repeated/s000.disk", disk_of(path))
    same("lines", 5, sum("the same file as %s, which was given before" % path in line for line in lines))
    status = [json.loads(line)["status"] for line in run(0, "retarget", "--dry-run", "--json", *spelt, work + "=/x")[0]]
    same("in JSON", ["ok"] + 5 * ["repeated"], status)
    same("check of one twice", [path + ": "] * 2, [line[:len(path) + 2] for line in run(1, "check", path, path)[0][:2] if "error" in line])


# ---- processes -------------------------------------------------------------------

def check_few_descriptors(work):
    paths = fleet(work, "few", 300)
    for more in ([], ["-P", "256"]):
        lines, said = run(0, "check", *more, *paths, limit=64)
        same("check", (["%s: ok" % p for p in paths] + ["300 snapshots: 300 ok"], []), (lines, said))
    lines, said = run(0, "info", "-P", "40", "--json", *paths, limit=64)
    same("info", (paths, []), ([json.loads(line)["snapshot"] for line in lines], said))
    lines, said = run(0, "retarget", "-P", "256", *paths, work + "=/moved", limit=64)
    same("retarget", ("300 snapshots: 300 matched", []), (lines[-1], said))
    same("moved", {"/moved/few"}, {os.path.dirname(disk_of(p)) for p in paths})


def parent_of(pid):
    """And its state, a letter: of a process that is not there, none."""
    with contextlib.suppress(OSError):
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
            state, parent = f.read().rpartition(")")[2].split()[:2]
            return int(parent), state
    return None, None


def children(pid):
    return [p for p in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent_of(p)[0] == pid]


def wait_until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        require(time.monotonic() < end, "not in %d s: %s" % (PATIENCE, what))


def traced(path, fate, *arguments, log=os.devnull):
    """A command with strace, and what happens to the process that does a certain call with PATH: CALL:..."""
    environment = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    return ["strace", "-f", "-q", "-o", log, "-P", path, "-e", "trace=" + fate.partition(":")[0], "-e", "inject=" + fate,
            SMSNAP, *arguments], environment


def first_call(command):
    """With its snapshot's path, of the process for it and no other."""
    return "flock" if command == "retarget" else "openat"


def check_killed(work):
    """One process dies: its snapshot failed, and no other."""
    paths = fleet(work, "killed", 20)
    for command, more, word in (("check", [], "ok"), ("info", [], "ok"), ("retarget", [work + "=/moved"], "matched")):
        for json_too in ([], ["--json"]):
            before = contents(paths[4:5])
            how, environment = traced(paths[4], first_call(command) + ":signal=KILL", command, "-P", "3", *json_too, *paths, *more)
            done = subprocess.run(how, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
            lines = done.stdout.decode().splitlines()
            if json_too:
                objects = [json.loads(line) for line in lines]
                same(command + ": who is told of", paths, [o["snapshot"] for o in objects])
                same(command + ": who failed", [paths[4]], [o["snapshot"] for o in objects if o["status"] == "failed"])
                require("signal 9" in objects[4]["error"], objects[4])
            else:
                failed = "failed" if command == "retarget" else "not readable"
                same(command + ": the summary", "20 snapshots: 19 %s, 1 %s" % (word, failed), lines[-1])
                said = done.stderr.decode().splitlines()
                same(command + ": one line", 1, len(said))
                require(said[0].startswith("smsnap: %s: the process for it was ended by signal 9" % paths[4]), said[0])
            same(command + ": exit status", 1, done.returncode)
            same("its snapshot", before, contents(paths[4:5]))
            if command == "retarget":
                # For the second round.
                subprocess.run([SMSNAP, "retarget", *paths[:4], *paths[5:], "/moved=" + work], check=True, stdout=subprocess.DEVNULL)


def check_not_saved(work):
    """A save that fails: nothing is said to have moved."""
    paths = fleet(work, "not-saved", 6)
    before = contents(paths[2:3])
    how, environment = traced(paths[2], "fsync:error=EIO", "retarget", "-P", "3", *paths, work + "=/moved")
    done = subprocess.run(how, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
    lines, said = done.stdout.decode().splitlines(), done.stderr.decode().splitlines()
    same("status", (1, 1), (done.returncode, len(said)))
    require(said[0].startswith("smsnap: %s: " % paths[2]) and "Input/output error" in said[0], said[0])
    same("the summary", "6 snapshots: 5 matched, 1 failed", lines[-1])
    same("lines", paths[:2] + paths[3:], list(dict.fromkeys(line.partition(": ")[0] for line in lines[:-1])))
    same("it", before, contents(paths[2:3]))


class Stopped:
    """A command with one of its processes stopped where it opens PATH."""

    def __init__(self, path, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        self.log = path + ".log"
        how, environment = traced(path, first_call(arguments[0]) + ":signal=STOP", *arguments, log=self.log)
        self.tracer = subprocess.Popen(how, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        self.pid = self.worker = None
        wait_until("it is there", self.has_begun)
        wait_until("one is stopped", self.has_stopped)

    def has_begun(self):
        # The tracer tries itself out with children of its own.
        for pid in children(self.tracer.pid):
            with contextlib.suppress(OSError):
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    if f.read().startswith(SMSNAP.encode() + b"\0"):
                        self.pid = pid
        return self.pid

    def has_stopped(self):
        # Its state is that of any process at a call, of whom the tracer is told.
        with open(self.log, encoding="ascii") as f:
            stopped = [line.split()[0] for line in f if "--- stopped by SIGSTOP" in line]
        self.worker = int(stopped[0]) if stopped else None
        return self.worker

    def end(self):
        """Exit status, standard output and error."""
        out, err = self.tracer.communicate(timeout=PATIENCE)
        wait_until("all processes have ended", lambda: parent_of(self.worker)[1] in (None, "Z"))
        return self.tracer.returncode, (out or b"").decode().splitlines(), (err or b"").decode().splitlines()

    def order(self):
        """The processes in the order in which they ended."""
        with open(self.log, encoding="ascii") as f:
            return [int(line.split()[0]) for line in f if " +++ " in line]


def check_stopped(work):
    """A slow one keeps no other from being done, and all is printed in order; signals end all processes."""
    paths = fleet(work, "stopped", 30)
    order = ["%s: ok" % p for p in paths] + ["30 snapshots: 30 ok"]
    s = Stopped(paths[0], "check", "-P", "2", *paths)
    os.kill(s.worker, signal.SIGCONT)
    same("a slow first", (0, order, []), s.end())
    others = paths[:3] + paths[4:]
    times = [os.stat(p).st_mtime_ns for p in others]
    s = Stopped(paths[3], "retarget", "-P", "2", *paths, work + "=/moved")
    wait_until("others are written", lambda: all(os.stat(p).st_mtime_ns != t for p, t in zip(others, times)))
    wait_until("others are done", lambda: children(s.pid) == [s.worker])
    same("moved meanwhile", {"/moved/stopped"}, {os.path.dirname(disk_of(p)) for p in others})
    same("not moved", paths[3] + ".disk", disk_of(paths[3]))
    os.kill(s.pid, signal.SIGTERM)
    status, lines, said = s.end()
    same("a signal", (-signal.SIGTERM, []), (status, said))
    same("the last to end", [s.worker, s.pid], s.order()[-2:])
    same("what was printed", paths[:3], list(dict.fromkeys(line.partition(": ")[0] for line in lines)))
    same("not moved", paths[3] + ".disk", disk_of(paths[3]))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
        s = Stopped(paths[0], "info", "-P", "2", *paths)
        os.kill(s.pid, number)
        same("a signal", (-number, [], []), s.end())
        require(number == signal.SIGKILL or s.order()[-1] == s.pid, "signal %d: the first process did not wait" % number)


class Terminal:
    """What is shown on it."""

    def __init__(self):
        self.screen, self.inside = pty.openpty()
        self.shown = b""

    def read_until(self, text):
        """TEXT comes, or with none the end."""
        if self.inside is not None:
            os.close(self.inside)
            self.inside = None
        with contextlib.suppress(OSError):  # how a terminal ends
            while not text or text not in self.shown:
                require(select.select([self.screen], [], [], PATIENCE)[0], "nothing more on the screen than %r" % self.shown)
                self.shown += os.read(self.screen, 1000)


def check_terminal(work):
    """Who waits at a terminal is told how far it is, and with --json has a summary there."""
    paths = fleet(work, "terminal", 30)
    t = Terminal()
    s = Stopped(paths[0], "check", "--json", *paths, stderr=t.inside)
    t.read_until(b"check: 29 of 30")
    os.kill(s.worker, signal.SIGCONT)
    t.read_until(None)
    status, lines, _ = s.end()
    same("what is printed", (0, paths), (status, [json.loads(line)["snapshot"] for line in lines]))
    require(t.shown.endswith(b"\r\x1b[K30 snapshots: 30 ok\r\n"), "the screen: %r" % t.shown)
    os.close(t.screen)
    # All on one: lines come where the other was.
    t = Terminal()
    s = Stopped(paths[0], "check", *paths, stdout=t.inside, stderr=t.inside)
    t.read_until(b"check: 29 of 30")
    os.kill(s.worker, signal.SIGCONT)
    t.read_until(None)
    same("status", 0, s.end()[0])
    lines = b"".join(b"%s: ok\r\n" % p.encode() for p in paths)
    require(b"check: 29 of 30\r\x1b[K" + lines in t.shown, "the screen: %r" % t.shown)
    os.close(t.screen)


def check_pipe(work):
    """Whoever stops reading ends all of it, without a word."""
    paths = fleet(work, "pipe", 200)
    for command, more in (("check", []), ("info", ["--json"])):
        with subprocess.Popen([SMSNAP, command, "-P", "4", *more, *paths], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as p:
            first = p.stdout.readline().decode()
            p.stdout.close()
            require(paths[0] in first, first)
            same("status", -signal.SIGPIPE, p.wait(PATIENCE))
            same("it says", b"", p.stderr.read())
        lines, _ = run(0, command, *more, *paths[:2])
        require(paths[1] in lines[1], lines[1])
    with open("/dev/full", "wb") as full:
        _, said = run(1, "check", *paths, stdout=full)
        same("a full disk", ["smsnap: standard output: No space left on device"], said)


# ---- inodes ------------------------------------------------------------------------

def check_inodes(work):
    """A window's slots ask for inodes by number, of which the last counts."""
    path, = fleet(work, "inodes", 1)
    snap = Snapshot(path)
    backing = snap.model["devices"][2]["backing"]
    root = backing["host_path"]
    table = [(1, root), (9, root + "/gone"), (9, root + "/file-001"), (7, root + "/file-002"), (8, root + "/gone")]
    state = b"".join(num(n, 8) + b"\1" + num(len(p), 4) + p.encode() for n, p in table)
    backing["backend_state"] = b"PFSS" + num(2, 4) + num(10, 8) + num(len(table), 8) + state + num(0, 8) + num(1, 8) + num(0, 8)
    backing["dax_state"] = hostmake.dax((0, 4096, 9), (4096, 4096, 7), (8192, 4096, 8), (12288, 4096, 6))
    write_file(path, snap.model, {"format": "kvm", "ram_offset": RAM_STEP}, snap.ram)
    found = json.loads("".join(run(1, "check", "--json", path)[0]))
    at = "devices/2/backing/"
    same("inodes", [at + "backend_state/inodes/4/path", at + "dax_state/slots/3/nodeid"], sorted(f["path"] for f in found))


def main():
    if not shutil.which("strace"):
        lacking("strace")
    # What is ignored ends nobody, and should not: nohup's children ignore the one, a shell's in the background the other.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for check in (check_forms, check_info, check_single, check_usage, check_names, check_diffs, check_base_first, check_retarget, check_repeated,
                  check_few_descriptors, check_killed, check_not_saved, check_stopped, check_terminal, check_pipe, check_inodes):
        if sys.argv[1:] and not any(text in check.__name__ for text in sys.argv[1:]):
            continue
        with WorkDir() as work:
            try:
                check(work)
            except (Failed, subprocess.TimeoutExpired) as e:
                sys.exit("FAIL: %s: %s" % (check.__name__, e))
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
