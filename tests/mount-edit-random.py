#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random edits through a mount, each checked in the snapshot on disk.

What a successful write or close returned is in the snapshot, so the test's own
reader looks at the file while it is mounted. SMFS_SEED repeats a run and
SMFS_EDIT_SECONDS sets its length.
"""

import os
import random
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
    path, old = rng.choice([(p, v) for p, v in reader.leaves(model) if reader.is_writable(p) and v is not None])
    full = os.path.join(root, path)
    if isinstance(old, int):
        new = new_number(rng, path)
        rewrite(rng, full, number_forms(rng, path, new))
    elif reader.is_word(path):
        new = rng.choice(reader.KINDS)
        rewrite(rng, full, [new.encode() + rng.choice([b"", b"\n"])])
    elif isinstance(old, str):
        new = reader.random_text(rng, 400 if rng.randrange(8) == 0 else 20)
        rewrite(rng, full, text_forms(rng, new))
    elif path == "tsi_token":
        new = edit_fixed(rng, full, old)
    else:
        new = edit_blob(rng, full, old)
    reader.set_leaf(model, path, new)
    return "%s: %.60r -> %.60r" % (path, old, new)


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
    model["layout"] = {**model["layout"], "ram_offset": now.layout["ram_offset"]} if want else model["layout"]
    same("leaves", list(reader.leaves(model)), list(reader.leaves(now.document())))
    same("RAM", first.ram, now.ram)
    if first.format == "bare" and first.ram_offset is None and first.size == first.container_end:
        same("size of a bare container", now.container_end, now.size)
    return now


def session(rng, snapshot, edits, end):
    first = now = reader.Snapshot(snapshot)
    model = first.document()
    done = 0
    with Mount(snapshot) as mount:
        for _ in range(edits):
            did = edit(rng, mount.root, model)
            now = check(snapshot, model, first, now, did)
            done += 1
            if time.monotonic() > end:
                break
        files = reader.compare_mount(now, mount.root)
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
