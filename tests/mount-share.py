#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A share's host_path takes the paths of its inodes along, however it is written."""

import errno
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, require_fuse  # noqa: E402

VECTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors", "share-01.snap")
BACKING = "devices/0/backing/"
HOST, RAW = BACKING + "host_path", BACKING + "backend_state/raw"
checks = 0


def same(what, want, got):
    global checks
    checks += 1
    if want != got:
        sys.exit("FAIL: %s: expected %.300r, got %.300r" % (what, want, got))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def copy(path):
    with open(path, "wb") as f:
        f.write(read(VECTOR))
    return reader.Snapshot(path)


def write_once(path, text):
    with open(path, "wb", buffering=0) as f:
        f.write(text)


def write_pieces(path, text):
    """One by one: each beginning would move the paths elsewhere, / all there are."""
    with open(path, "wb", buffering=0) as f:
        for character in text.decode():
            f.write(character.encode())


def write_later_pieces(path, text):
    """Where each belongs."""
    fd = os.open(path, os.O_RDWR)
    os.ftruncate(fd, 0)
    characters = text.decode()
    for i in range(0, len(characters), 3):
        os.pwrite(fd, characters[i:i + 3].encode(), len(characters[:i].encode()))
    os.close(fd)


def truncate_first(path, text):
    os.truncate(path, 0)
    with open(path, "r+b", buffering=0) as f:
        f.write(text)


def edit_in_place(path, text):
    """As an editor does: a temporary that takes the name."""
    subprocess.run(["sed", "-i", "s,.*,%s," % os.fsdecode(text.rstrip(b"\n")), path], check=True)


WAYS = [write_once, write_pieces, write_later_pieces, truncate_first]


def check_saved(what, snapshot, host_path, state):
    document = reader.Snapshot(snapshot).model["devices"][0]["backing"]
    same(what + ": host_path", host_path, document["host_path"])
    same(what + ": backend_state", state, document["backend_state"])


def places(work):
    """host_paths, and the root that each means: None where that is what it says."""
    real = os.path.join(work, "real")
    os.makedirs(os.path.join(real, "below"))
    os.symlink(real, os.path.join(work, "link"))
    real = os.path.realpath(real)
    return [(real, real), (real + "/", real), (work + "/link", real), (work + "/link/below/..", real),
            (work + "/./link//below", real + "/below"), ("/", "/"), ("//", "/"),
            ("/not/here", "/not/here"), ("/not//./here/", "/not/here"), ("/not/../here", "/not/../here"),
            ("not/absolute/", "not/absolute"), (".", "."), ("/srv", "/srv"), ("/srv/geteilt", "/srv/geteilt"),
            ("/odd \n\x00name", "/odd \n\x00name")]


def moves(work):
    snapshot = os.path.join(work, "snap")
    where = places(work)
    for host_path, root in where:
        for way in WAYS + ([edit_in_place] if host_path == "/not/here" else []):
            before = copy(snapshot)
            old = before.model["devices"][0]["backing"]
            inside = {f.path: f.value for f in reader.read_state(BACKING + "backend_state", old["backend_state"],
                                                                 "kvm").fields.values()}
            want = reader.move_share(old["backend_state"], host_path.encode())
            what = "%s by %s" % (host_path, way.__name__)
            with Mount(snapshot) as m:
                with open(m.path(RAW), "rb", buffering=0) as opened:
                    way(m.path(HOST), host_path.encode() + b"\n")
                    check_saved(what, snapshot, host_path, want)
                    same(what + ": raw, open before", want, os.pread(opened.fileno(), 1 << 20, 0))
                    same(what + ": its size", len(want), os.fstat(opened.fileno()).st_size)
                same(what + ": the root", os.fsencode(root) + b"\n", read(m.path(BACKING + "backend_state/inodes/1/path")))
                for i in range(8):
                    # What is elsewhere stays; the table's numbers do, all.
                    path = "inodes/%d/path" % i
                    if not inside[path].startswith("/srv/geteilt/日本/") and i != 1:
                        same(what + ": " + path, os.fsencode(inside[path]) + b"\n",
                             read(m.path(BACKING + "backend_state/" + path)))
            after = reader.read_state(BACKING + "backend_state", want, "kvm").fields
            for path, value in inside.items():
                if not path.startswith("inodes/") or not path.endswith("/path"):
                    same(what + ": " + path, value, after[path].value)
    print("%d places, each in %d ways" % (len(where), len(WAYS)))


def stays(work):
    """What is written again changes nothing, nor do raw and other fields move anything."""
    snapshot = os.path.join(work, "snap")
    before = copy(snapshot)
    data = read(snapshot)
    old = before.model["devices"][0]["backing"]
    with Mount(snapshot) as m:
        for way in (write_once, write_pieces, write_later_pieces):
            way(m.path(HOST), old["host_path"].encode() + b"\n")
            same("written again by " + way.__name__, data, read(snapshot))
        # The root is where raw says, and host_path with it when it moves next.
        moved = reader.move_share(old["backend_state"], b"/elsewhere/else")
        write_once(m.path(RAW), moved)
        check_saved("raw", snapshot, old["host_path"], moved)
        write_once(m.path(HOST), b"/third\n")
        check_saved("host_path after raw", snapshot, "/third", reader.move_share(moved, b"/third"))


def with_drafts(work):
    """What was written to raw, and is not closed, moves too; a piece after another's edit goes on from that."""
    snapshot = os.path.join(work, "snap")
    state = copy(snapshot).model["devices"][0]["backing"]["backend_state"]
    with Mount(snapshot) as m:
        raw = os.open(m.path(RAW), os.O_RDWR)
        os.pwrite(raw, b"\x63", 8)
        state = state[:8] + b"\x63" + state[9:]
        write_once(m.path(HOST), b"/srv/moved\n")
        state = reader.move_share(state, b"/srv/moved")
        check_saved("with a draft", snapshot, "/srv/moved", state)
        os.close(raw)
        check_saved("after its close", snapshot, "/srv/moved", state)
        host = os.open(m.path(HOST), os.O_WRONLY | os.O_TRUNC)
        os.pwrite(host, b"/one", 0)
        state = reader.move_share(state, b"/one")
        write_once(m.path(BACKING + "backend_state/next_nodeid"), b"77\n")
        state = state[:8] + (77).to_bytes(8, "little") + state[16:]
        check_saved("a field between two pieces", snapshot, "/one", state)
        os.pwrite(host, b"/two", 4)
        os.close(host)
        state = reader.move_share(state, b"/one/two")
        check_saved("the second piece", snapshot, "/one/two", state)
        # Half of a state is not understood: there is nothing to move, and it stays its writer's.
        raw = os.open(m.path(RAW), os.O_RDWR)
        os.ftruncate(raw, 0)
        os.pwrite(raw, state[:29], 0)
        write_once(m.path(HOST), b"/three\n")
        check_saved("half of a draft", snapshot, "/three", state)
        os.pwrite(raw, state[29:], 29)
        check_saved("all of a draft", snapshot, "/three", state)
        os.close(raw)
        check_saved("a draft's close", snapshot, "/three", state)


def emptied(work):
    """What is written inside of an emptied raw that nobody has written to yet is kept; a write to raw is later, and all of it."""
    snapshot = os.path.join(work, "snap")
    state = copy(snapshot).model["devices"][0]["backing"]["backend_state"]
    field, host = BACKING + "backend_state/next_nodeid", b"/srv/emptied"
    with Mount(snapshot) as m:
        for later in (b"", b"short"):
            raw = os.open(m.path(RAW), os.O_WRONLY | os.O_TRUNC)
            write_once(m.path(field), b"99\n")
            state = state[:8] + (99).to_bytes(8, "little") + state[16:]
            check_saved("a field of an emptied raw", snapshot, reader.Snapshot(snapshot).model["devices"][0]["backing"]["host_path"], state)
            write_once(m.path(HOST), host + b"\n")
            state = reader.move_share(state, host)
            if later:
                os.write(raw, later)
            os.close(raw)
            # It is saved when its file is closed, which the kernel tells later than close(2) returns.
            same("raw, written %r" % later, later or state, read(m.path(RAW)))
            host += b"/more"
    check_saved("raw at last", snapshot, "/srv/emptied/more", b"short")


def too_large(work):
    """A table that would outgrow a blob refuses the write, and nothing changes."""
    snapshot = os.path.join(work, "large")
    model = copy(snapshot).model
    backing = model["devices"][0]["backing"]
    count = 5000
    inodes = [reader.num(i, 8) + b"\0" + reader.blob(b"/srv" if i == 1 else b"/srv/" + b"x" * 3280) for i in range(1, count)]
    backing["backend_state"] = (b"PFSS" + reader.num(1, 4) + reader.num(9, 8) + reader.num(len(inodes), 8)
                                + b"".join(inodes) + reader.num(0, 8))
    backing["host_path"] = "/srv"
    room = reader.BLOB_MAX - len(backing["backend_state"])
    same("it is nearly too large", True, 0 < room < 400000)
    reader.write_file(snapshot, model, reader.new_layout(model), reader.Snapshot(VECTOR).ram)
    longest = 4 + room // (count - 1)
    with Mount(snapshot) as m:
        before = read(snapshot)
        try:
            write_once(m.path(HOST), b"/" + b"y" * longest)
            got = None
        except OSError as e:
            got = e.errno
        same("a path too long", errno.EFBIG, got)
        same("host_path after that", b"/srv\n", read(m.path(HOST)))
        same("the snapshot after that", before, read(snapshot))
        write_once(m.path(HOST), b"/" + b"y" * (longest - 1))
        same("the longest", longest, len(read(m.path(HOST))) - 1)
    want = reader.move_share(backing["backend_state"], b"/" + b"y" * (longest - 1))
    check_saved("the longest", snapshot, "/" + "y" * (longest - 1), want)


def main():
    require_fuse()
    with WorkDir() as work:
        moves(work)
        stays(work)
        with_drafts(work)
        emptied(work)
        too_large(work)
    print("ok: %d checks" % checks)


main()
