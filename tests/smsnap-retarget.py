#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap retarget: paths that move, against the same rules in Python, and nothing else."""

import os
import random
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Failed, WorkDir, require  # noqa: E402
from snapfile import Snapshot, write_file  # noqa: E402
from snapmake import sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
TABLE = ["/srv/a/share", "/srv/a/share/x", "/srv/elsewhere", "/srv/a/sharex"]
PATHS = ["/srv/a/disk", "/srv/ab/disk", "/srv/a", "/srv", "/", "relative/a", "", "/srv/a/", "/srv//a/x", "/other/\u00e9=x"]
OLD = ["/srv/a", "/srv/a/share/x", "/srv", "/srv/a/disk", "/", "/srv/ab/", "/other", "/no/such"]
NEW = ["/new", "/", "/new/longer/than/the/old/one/", "/srv/b"]
checks = 0


def run(status, *arguments):
    done = subprocess.run([SMSNAP, *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    require(done.returncode == status, "%r: exit status %d: %r" % (arguments, done.returncode, done.stderr))
    require(done.stderr.decode().count("\n") == (status != 0), "it says %r" % done.stderr)
    return done.stdout.decode()


def moved(path, mappings):
    """PATH after it, and whether a mapping fits."""
    best = None
    for old, new in mappings:
        old, new = old.rstrip("/"), new.rstrip("/")
        fits = path == old and old or path.startswith(old + "/")
        if fits and (best is None or len(old) >= len(best[0]) and len(old) != len(best[0])):
            best = old, new
    rest = path[len(best[0]):] if best and path != "/" else ""
    return (best[1] + rest or "/", True) if best else (path, False)


def model_of(rng):
    model = sample_model()
    model["mem_size"] = 4096
    model["devices"][0]["backing"]["path"] = rng.choice(PATHS)
    model["devices"][2]["backing"]["path"] = rng.choice(PATHS)
    # Behind a link, the table alone knows where it is.
    model["devices"][3]["backing"].update(host_path=rng.choice(["/srv/a/share", "/link/share"]), backend_state=share(TABLE),
                                          dax_state=b"")
    return model


def share(paths):
    """A state of a share, version 2."""
    blob = lambda data: len(data).to_bytes(4, "little") + data  # noqa: E731
    number = lambda v: v.to_bytes(8, "little")  # noqa: E731
    inodes = b"".join(number(i + 1) + b"\1" + blob(p.encode()) for i, p in enumerate(paths))
    return b"PFSS" + (2).to_bytes(4, "little") + number(9) + number(len(paths)) + inodes + number(0) + number(1) + number(0)


def expected(model, mappings):
    matched = 0
    for device in model["devices"]:
        backing = device["backing"]
        if "path" in backing:
            backing["path"], fits = moved(backing["path"], mappings)
            matched += fits
        if "host_path" in backing:
            to, fits = moved(backing["host_path"], mappings)
            root = [(TABLE[0], to)] if fits and to != backing["host_path"] else []
            inner = [m for m in mappings if len(m[0].rstrip("/")) > len(TABLE[0])]
            ways = inner, root, mappings
            table = [next((m for m in (moved(p, w) for w in ways) if m[1]), (p, False)) for p in TABLE]
            backing["backend_state"] = share([p for p, _ in table])
            backing["host_path"] = to
            matched += fits + sum(fits for _, fits in table)
    return matched


def check_random(work, seed):
    global checks
    rng = random.Random(seed)
    snap = os.path.join(work, "snap")
    mappings = [(old, rng.choice(NEW)) for old in rng.sample(OLD, rng.randrange(1, 4))]
    model = model_of(rng)
    write_file(snap, model)
    with open(snap, "rb") as f:
        before = f.read()
    matched = expected(model, mappings)
    operands = ["%s=%s" % m for m in mappings]
    dry = run(0 if matched else 1, "retarget", "--dry-run", snap, *operands)
    with open(snap, "rb") as f:
        require(f.read() == before, "seed %d: a dry run wrote" % seed)
    out = run(0 if matched else 1, "retarget", *operands, snap)
    require(out == dry, "seed %d: it prints other than the dry run: %r, %r" % (seed, out, dry))
    got = Snapshot(snap).model
    require(got == model, "seed %d: %r:\nexpected %r\ngot      %r" % (
        seed, mappings, [d["backing"] for d in model["devices"]], [d["backing"] for d in got["devices"]]))
    checks += 1


def check_many(work):
    """Several snapshots in one call, a diff's base, and what is wrong with one."""
    global checks
    names = [os.path.join(work, n) for n in ("one", "two", "diff")]
    for name in names[:2]:
        reader.sample(name, 8192)
    reader.sample(names[2], 8192, "kvm-diff", names[0])
    out = run(0, "retarget", *names, work + "=/moved/away", "/var/lib=/images")
    for name in names:
        require(name + ": devices/0/backing/path: " in out, "not told of %s: %r" % (name, out))
        require(Snapshot(name, base=None if name != names[2] else names[0]).model["devices"][0]["backing"]["path"] ==
                "/images/sm/root.img", "not moved in " + name)
    require('layout/base: "%s" -> "/moved/away/one"' % names[0] in out, out)
    require(out.endswith("\n3 snapshots: 3 matched\n"), out)
    # What is wrong with an operand is seen before any is written.
    before = [open(n, "rb").read() for n in names]
    run(2, "retarget", names[0], names[1], "/images=/x", "/a=b")
    require([open(n, "rb").read() for n in names] == before, "one was written")
    require("two: nothing matched" in run(1, "retarget", names[1], "/nothing=/x"), "not told that nothing matched")
    for arguments in ([names[0]], ["/a=/b"], [names[0], "/a=b"], [names[0], names[1]], [names[0], "/a=/b", "/a/=/c"]):
        run(2, "retarget", *arguments)
    # A path that gets too long.
    run(1, "retarget", names[0], "/images=/" + "x" * 65530)
    require([open(n, "rb").read() for n in names] == before, "it was written")
    # Nor where it cannot be saved; and then nothing is said to have changed.
    done = subprocess.run([SMSNAP, "retarget", names[0], "/images=/x"], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    require(done.returncode == 1 and done.stdout == b"" and done.stderr.count(b"\n") == 1 and
            done.stderr.count(names[0].encode()) == 1, "a save that fails: %r" % done)
    require([open(n, "rb").read() for n in names] == before, "it was written")
    checks += 7


def main():
    with WorkDir() as work:
        try:
            for seed in range(300):
                check_random(work, seed)
            check_many(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
