#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random edits through a mount, each checked in the snapshot on disk.

What a successful write or close returned is in the snapshot, so the test's own
reader looks at the file while it is mounted. SMFS_SEED repeats a run and
SMFS_EDIT_SECONDS sets its length. With SMFS_PEER the monitor's own reader (tests/peer)
has to agree after each edit.
"""

import errno
import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, require_fuse  # noqa: E402

SUFFIXES = {"K": 10, "M": 20, "G": 30, "T": 40}


def write_pieces(fd, pieces):
    for piece in pieces:
        done = os.write(fd, piece)
        if done != len(piece):
            raise OSError("wrote %d of %d bytes" % (done, len(piece)))


def rewrite(rng, path, pieces):
    """Write a file's whole content, in one of the ways that programs use."""
    flags = os.O_WRONLY
    if rng.randrange(3):
        fd = os.open(path, flags | os.O_TRUNC)
    else:
        os.truncate(path, 0)
        fd = os.open(path, flags)
    try:
        write_pieces(fd, pieces)
    finally:
        os.close(fd)


def number_forms(rng, path, value):
    """Texts that mean value: a list of pieces to write."""
    decimal = b"%d" % value
    forms = [[decimal], [decimal + b"\n"], [b"0x%x\n" % value], [b"0x%X" % value],
             [b" \t" + decimal + b"  \n"]]
    if len(decimal) > 1:
        # Each beginning of a decimal number is a number within the same range.
        cut = rng.randrange(1, len(decimal))
        forms.append([decimal[:cut], decimal[cut:] + b"\n"])
    name = reader.name_of(path)
    if name == "dax_window_len" or path.endswith("backing/size"):
        for suffix, shift in SUFFIXES.items():
            if value and value % (1 << shift) == 0:
                forms.append([b"%d%s\n" % (value >> shift, suffix.encode())])
    return rng.choice(forms)


def text_forms(rng, value):
    """Texts that mean value: a list of pieces to write."""
    raw = value.encode()
    if raw and not raw.endswith(b"\n") and rng.randrange(2):
        return [raw]
    if len(value) > 1 and rng.randrange(3) == 0:
        cut = rng.randrange(1, len(value))
        return [value[:cut].encode(), value[cut:].encode() + b"\n"]
    return [raw + b"\n"]


def new_number(rng, path):
    if reader.name_of(path) == "ready":
        return rng.randrange(2)
    if reader.name_of(path) == "inet_port":
        return reader.random_num(rng, 2)
    if path.endswith("backing/size") and rng.randrange(2):
        return rng.randrange(1, 1000) << rng.choice(list(SUFFIXES.values()))
    return reader.random_num(rng, reader.width_of(path))


# ---- inside blobs ---------------------------------------------------------------

def blob_of(path):
    """The directory of the blob that a field is in."""
    return path[:-len(reader.state_path(path)) - 1]


def state_of(model, blob):
    return reader.read_state(blob, reader.get_leaf(model, blob + "/raw"), model["layout"]["format"])


def new_state_value(rng, field):
    if isinstance(field.value, int):
        return reader.random_num(rng, field.width)
    if isinstance(field.value, str):
        return rng.choice(reader.INODE_KINDS)
    return reader.exact_bytes(rng, field.width)


def set_state(model, blob, field, value):
    raw = blob + "/raw"
    reader.set_leaf(model, raw, reader.poke(reader.get_leaf(model, raw), field, value))


def state_forms(rng, path, value):
    if isinstance(value, int):
        return number_forms(rng, path, value)
    return [value.encode() + rng.choice([b"", b"\n"])] if isinstance(value, str) else [value]


def edit_state(rng, root, model, path):
    """A field inside a blob: its bytes change there, and no other."""
    blob = blob_of(path)
    field = state_of(model, blob).fields[reader.state_path(path)]
    new = new_state_value(rng, field)
    full = os.path.join(root, path)
    if isinstance(field.value, bytes):
        new = edit_fixed(rng, full, field.value)
    else:
        pieces = state_forms(rng, path, new)
        # A piece of a version is another one, with which the file may be gone.
        rewrite(rng, full, [b"".join(pieces)] if field.path == "version" else pieces)
    set_state(model, blob, field, new)
    return "%s: %.60r -> %.60r" % (path, field.value, new)


def two_files(rng, root, model, path):
    """Raw and a field of one blob are open at once, and written in turn."""
    blob = blob_of(path)
    raw, did = blob + "/raw", ["%s and raw:" % path]
    fds = [os.open(os.path.join(root, p), os.O_RDWR) for p in (raw, path)]
    for _ in range(rng.randrange(1, 6)):
        state = state_of(model, blob)
        field = state and state.fields.get(reader.state_path(path))
        old = reader.get_leaf(model, raw)
        if rng.randrange(2) and old:
            # Mostly where fields are, now and then what says what they are.
            target = rng.choice(list(state.fields.values())) if state and rng.randrange(8) else None
            at = target.places[-1] if target else rng.randrange(len(old))
            data = reader.exact_bytes(rng, min(target.width if target else rng.randrange(1, 9), len(old) - at))
            os.pwrite(fds[0], data, at)
            reader.set_leaf(model, raw, old[:at] + data + old[at + len(data):])
            did.append("raw at %d: %s" % (at, data.hex()))
        else:
            value = new_state_value(rng, field) if field else 0
            data = b"".join(state_forms(rng, path, value)) if field else b"0\n"
            try:
                if field and not isinstance(value, bytes):
                    os.ftruncate(fds[1], 0)
                os.pwrite(fds[1], data, 0)
                if not field:
                    sys.exit("FAIL: %s: a field that is not there is written" % did)
                set_state(model, blob, field, value)
            except OSError as e:
                if field or e.errno != errno.ESTALE:
                    sys.exit("FAIL: %s: writing %r to %s: %s" % (did, data, field, e))
            did.append("field: %r" % data)
        for name, fd in zip((raw, path), fds):
            check_open(model, name, fd, did)
    rng.shuffle(fds)
    for fd in fds:
        os.close(fd)
    return " ".join(did)


def expected(model, path):
    """What PATH, raw or in a blob, shows; None where it is not there."""
    if reader.state_path(path) is None:
        return reader.get_leaf(model, path)
    state = state_of(model, blob_of(path))
    field = state and state.fields.get(reader.state_path(path))
    return reader.shown(path, field.value) if field else None


def check_open(model, path, fd, did):
    """An open file shows what is there now, size and content."""
    want = expected(model, path)
    try:
        got = os.pread(fd, 1 << 20, 0)
        size = os.fstat(fd).st_size
    except OSError as e:
        got, size = None, None
        if e.errno != errno.ESTALE:
            raise
    if got != want or (want is not None and size != len(want)):
        sys.exit("FAIL: after %s: open %s shows %.200r, %s bytes, not %.200r" % (did, path, got, size, want))


def check_blob(root, model, blob, did):
    """All that the mount shows in the directory of a blob."""
    want = {p: v for p, v in reader.files(model, True).items() if p.startswith(blob + "/")}
    want_dirs = [p for p in reader.directories(model, True) if p.startswith(blob + "/")]
    got, got_dirs = {}, []
    for here, dirs, names in os.walk(os.path.join(root, blob)):
        below = os.path.relpath(here, root)
        got_dirs += [os.path.join(below, d) for d in dirs]
        for name in names:
            full = os.path.join(here, name)
            with open(full, "rb", buffering=0) as f:
                got[os.path.join(below, name)] = f.read(os.stat(full).st_size + 1)
    if sorted(want_dirs) != sorted(got_dirs):
        sys.exit("FAIL: after %s: directories %r, not %r" % (did, sorted(got_dirs), sorted(want_dirs)))
    for path in want.keys() | got.keys():
        if want.get(path) != got.get(path):
            sys.exit("FAIL: after %s: %s is %.200r, not %.200r" % (did, path, got.get(path), want.get(path)))


def edit_blob(rng, path, old):
    """Change a file of bytes in some way; what it holds then."""
    pick = rng.randrange(5)
    data = reader.random_bytes(rng, 6000 if rng.randrange(8) == 0 else 300)
    if pick == 0:
        if data:
            rewrite(rng, path, [data[:7], data[7:]] if len(data) > 7 else [data])
        else:
            # With O_TRUNC and no write the daemon learns of the end after close(2).
            os.truncate(path, 0)
        return data
    if pick == 1:
        size = rng.randrange(2 * len(old) + 10)
        os.truncate(path, size)
        return old[:size] + bytes(size - min(size, len(old)))
    fd = os.open(path, os.O_WRONLY | (os.O_APPEND if pick == 2 else 0))
    try:
        at = len(old) if pick == 2 else rng.randrange(len(old) + 20)
        if pick == 2:
            write_pieces(fd, [data])
        else:
            os.pwrite(fd, data, at)
        new = old
        if data:
            new = old.ljust(at, b"\0")
            new = new[:at] + data + new[at + len(data):]
        if pick == 4:
            size = rng.randrange(len(new) + 1)
            os.ftruncate(fd, size)
            new = new[:size]
    finally:
        os.close(fd)
    return new


def edit_fixed(rng, path, old):
    if rng.randrange(2):
        # O_TRUNC and not truncate(2), which cannot change such a file's size.
        new = reader.exact_bytes(rng, len(old))
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            write_pieces(fd, [new])
        finally:
            os.close(fd)
        return new
    at = rng.randrange(len(old))
    data = reader.exact_bytes(rng, rng.randrange(1, len(old) - at + 1))
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, data, at)
    finally:
        os.close(fd)
    return old[:at] + data + old[at + len(data):]


def edit_optional(rng, root, model):
    """Take an optional value away, or set it."""
    places = ["tsi_token"] + ["listeners/%d/inet_port" % i
                              for i in range(len(model["listeners"]))]
    path = rng.choice(places)
    full = os.path.join(root, path)
    value = None
    if path == "tsi_token":
        if reader.get_leaf(model, path) is None:
            value = reader.exact_bytes(rng, 32)
            rewrite(rng, full, [value])
        else:
            os.truncate(full, 0)
    elif reader.get_leaf(model, path) is None:
        value = reader.random_num(rng, 2)
        rewrite(rng, full, number_forms(rng, path, value))
    else:
        rewrite(rng, full, [b"none" + rng.choice([b"", b"\n"])])
    reader.set_leaf(model, path, value)
    return "%s = %r" % (path, value)


def edit(rng, root, model):
    """One random edit of the mount and of the model; what was done."""
    if rng.randrange(8) == 0:
        return edit_optional(rng, root, model)
    inside = [p for p, _ in reader.leaves(model, True) if reader.state_path(p) is not None and reader.is_writable(p)]
    if inside and rng.randrange(2):
        # Of few fields, too, not only of what has many.
        folder = rng.choice(sorted({os.path.dirname(p) for p in inside}))
        path = rng.choice([p for p in inside if os.path.dirname(p) == folder])
        if rng.randrange(4) == 0:
            return two_files(rng, root, model, path)
        return edit_state(rng, root, model, path)
    path, old = rng.choice([(p, v) for p, v in reader.leaves(model) if reader.is_writable(p) and v is not None])
    full = os.path.join(root, path)
    if isinstance(old, int):
        new = new_number(rng, path)
        rewrite(rng, full, number_forms(rng, path, new))
    elif reader.is_word(path):
        new = rng.choice(reader.KINDS)
        rewrite(rng, full, [new.encode() + rng.choice([b"", b"\n"])])
    elif path.endswith("backing/host_path"):
        # Emptied first and then given its old value, it is another one in between.
        new = next(n for n in iter(lambda: new_host_path(rng, model, path), None) if n != old)
        rewrite(rng, full, text_forms(rng, new))
    elif isinstance(old, str):
        new = reader.random_text(rng, 400 if rng.randrange(8) == 0 else 20)
        rewrite(rng, full, text_forms(rng, new))
    elif path == "tsi_token":
        new = edit_fixed(rng, full, old)
    else:
        new = edit_blob(rng, full, old)
    if path.endswith("backing/host_path") and new != old:
        state = path[:-len("host_path")] + "backend_state"
        reader.set_leaf(model, state, reader.move_share(reader.get_leaf(model, state), new.encode()))
    reader.set_leaf(model, path, new)
    return "%s: %.60r -> %.60r" % (path, old, new)


def new_host_path(rng, model, path):
    """Of a share: often one that has to do with those in its table, or that exists."""
    state = state_of(model, path[:-len("host_path")] + "backend_state")
    found = [f.value for f in state.fields.values() if f.path.endswith("/path")] if state else []
    found = [p for p in found if p.isascii() and p.isprintable()]
    pick = rng.randrange(6)
    if found and pick < 2:
        return rng.choice(found)
    if found and pick == 2:
        return rng.choice(found)[:rng.randrange(1, 20)]
    return rng.choice(["/", "//srv/./moved//", "/etc/../usr", "/proc/self/cwd/..", "/var/run", "relative/../x/", ".", "",
                       "/srv/share", "/srv/share/below", "/srv/new", reader.random_text(rng)])


class Peer:
    """The monitor's reader, as one process."""

    def __init__(self):
        self.process = subprocess.Popen([os.environ["SMFS_PEER"], "batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def leaves(self, path):
        self.process.stdin.write(os.fsencode(path) + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().decode().split()
        if answer[0] != "ok":
            return " ".join(answer)
        return b"".join(self.process.stdout.readline() for _ in range(int(answer[1]))).decode()


PEER = Peer() if os.environ.get("SMFS_PEER") else None


def check(snapshot, model, first, before, did):
    """The snapshot holds model, and first's RAM where it belongs."""

    def same(what, want, got):
        if want != got:
            sys.exit("FAIL: after %s: %s: expected %.200r, got %.200r" % (did, what, want, got))

    now = reader.Snapshot(snapshot)
    want = before.ram_offset
    if want is not None and now.container_end > want:
        want = reader.round_up(now.container_end, reader.RAM_STEP)
    same("RAM offset", want, now.ram_offset)
    # Where there is no RAM the header says where it would be, and moves that likewise.
    recorded = before.layout["ram_offset"]
    if want is None and first.format != "bare" and now.container_end > recorded:
        want = reader.round_up(now.container_end, reader.RAM_STEP)
    if want is not None:
        same("ram_offset", want, now.layout["ram_offset"])
        model["layout"] = {**model["layout"], "ram_offset": want}
    same("leaves", list(reader.leaves(model, True)), list(reader.leaves(now.document(), True)))
    if PEER:
        same("leaves that the monitor reads", reader.tree_text(model, True).split("\n"), PEER.leaves(snapshot).split("\n"))
    same("RAM", first.ram, now.ram)
    if first.format == "bare" and first.ram_offset is None and first.size == first.container_end:
        same("size of a bare container", now.container_end, now.size)
    return now


def session(rng, snapshot, edits, end):
    first = now = reader.Snapshot(snapshot)
    model = first.document()
    done = 0
    with Mount(snapshot) as mount:
        # Some files are open all the time.
        in_blobs = [p for p, _ in reader.leaves(model, True) if reader.state_path(p) is not None or
                    reader.is_blob(os.path.dirname(p))]
        opened = {p: os.open(os.path.join(mount.root, p), os.O_RDONLY)
                  for p in rng.sample(in_blobs, min(6, len(in_blobs)))}
        blobs = [p for p in reader.directories(model) if reader.is_blob(p)]
        for _ in range(edits):
            did = edit(rng, mount.root, model)
            now = check(snapshot, model, first, now, did)
            for path, fd in opened.items():
                check_open(model, path, fd, did)
            if rng.randrange(4) == 0:
                check_blob(mount.root, model, rng.choice(blobs), did)
            done += 1
            if time.monotonic() > end:
                break
        for fd in opened.values():
            os.close(fd)
        files = reader.compare_mount(now, mount.root, states=True)
    names = os.listdir(os.path.dirname(snapshot))
    if names != [os.path.basename(snapshot)]:
        sys.exit("FAIL: beside the snapshot: %r" % names)
    check(snapshot, model, first, now, "unmounting")
    return done, files


def main():
    require_fuse()
    seed = int(os.environ.get("SMFS_SEED") or random.SystemRandom().randrange(1 << 32))
    print("SMFS_SEED=%d" % seed, flush=True)
    rng = random.Random(seed)
    end = time.monotonic() + float(os.environ.get("SMFS_EDIT_SECONDS", "10"))
    vectors = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors")
    vectors = sorted(os.path.join(vectors, n) for n in os.listdir(vectors) if n.startswith(("kvm-", "hvf-", "bare-", "share-")) and not n.endswith(".tree"))
    sessions = edits = files = 0
    with WorkDir() as work:
        snapshot = os.path.join(work, "snap")
        while time.monotonic() < end or sessions < 4:
            if sessions % 2:
                with open(rng.choice(vectors), "rb") as f:
                    data = f.read()
                with open(snapshot, "wb") as f:
                    f.write(data)
            else:
                reader.random_file(rng, reader.random_model(rng), snapshot)
            counts = session(rng, snapshot, 40, max(end, time.monotonic() + 0.5))
            sessions, edits, files = sessions + 1, edits + counts[0], files + counts[1]
            os.unlink(snapshot)
    print("%d mounts, %d edits, %d files compared" % (sessions, edits, files))
    if edits < 40:
        sys.exit("FAIL: only %d edits" % edits)


if __name__ == "__main__":
    main()
