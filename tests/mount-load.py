#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sixteen readers and four writers at once: what is read was written, whole.

Each writer owns its files and each value says whose it is and which one, so
that a mixture of two values is seen. SMFS_LOAD_SECONDS sets the time.
"""

import hashlib
import multiprocessing
import os
import random
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, require_fuse  # noqa: E402

READERS, WRITERS = 16, 4
RAM = 4 << 20


def number(path, i):
    """The i-th value of a number's file: its bits repeat, so a part is not a value."""
    width = reader.width_of(path)
    return int.from_bytes(bytes([i % 200 + 1]) * width, "little")


def is_number(path, value):
    raw = value.to_bytes(reader.width_of(path), "little")
    return len(set(raw)) == 1 and 1 <= raw[0] <= 200


def text(i):
    body = "%d:%s" % (i, chr(ord("a") + i % 26) * (i * 37 % 900))
    return body + ":" + hashlib.md5(body.encode()).hexdigest()


def is_text(value):
    body, _, digest = value.rpartition(":")
    return hashlib.md5(body.encode()).hexdigest() == digest


def blob(size, i):
    body = b"%08d" % i + bytes([i % 256]) * (size - 8 - 16)
    return body + hashlib.md5(body).digest()


def is_blob(value):
    return hashlib.md5(value[:-16]).digest() == value[-16:]


FIXED = {"vcpu/0": 512, "vcpu/1": 3000, "vcpu/2": 100, "intc": 2048}
NUMBERS = ["num_cpus", "clock_ref", "devices/0/mmio/driver_features",
           "devices/0/mmio/queues/0/desc_table", "devices/1/mmio/queues/2/used_ring",
           "devices/3/backing/dax_gpa", "listeners/0/cid", "listeners/1/vm_port"]
TEXTS = ["devices/0/backing/path", "devices/2/backing/mount", "devices/3/backing/tag",
         "devices/3/backing/host_path"]
WORDS = ["devices/0/kind", "devices/1/kind"]
OPTIONAL = ["listeners/0/inet_port", "listeners/2/inet_port"]
ALL = NUMBERS + TEXTS + WORDS + OPTIONAL + list(FIXED)


def value_of(path, i):
    if path in FIXED:
        return blob(FIXED[path], i)
    if path in TEXTS:
        return text(i)
    if path in WORDS:
        return reader.KINDS[i % 4]
    if path in OPTIONAL and i % 3 == 0:
        return None
    return number(path, i)


def store(root, path, value):
    full = os.path.join(root, path)
    if value is None:
        try:
            os.unlink(full)
        except FileNotFoundError:
            pass
        return
    data = reader.shown(path, value)
    # Bytes both ways: as cp and cat write them, and in place.
    flags = os.O_WRONLY | (0 if path in ("vcpu/1", "vcpu/2") else os.O_TRUNC)
    fd = os.open(full, flags | (os.O_CREAT if path in OPTIONAL else 0))
    try:
        # One write: what a reader sees is all of it or nothing.
        if os.write(fd, data) != len(data):
            raise OSError("short write to " + path)
    finally:
        os.close(fd)


def fetch(root, path):
    """The value in a file; None where an optional one is absent."""
    try:
        fd = os.open(os.path.join(root, path), os.O_RDONLY)
    except FileNotFoundError:
        if path in OPTIONAL:
            return None
        raise
    try:
        data = os.pread(fd, 1 << 17, 0)
    except FileNotFoundError:
        if path in OPTIONAL:
            return None
        raise
    finally:
        os.close(fd)
    if path in FIXED:
        return data
    if not data.endswith(b"\n"):
        # Removed since it was opened.
        if path in OPTIONAL and not data:
            return None
        raise ValueError("%s: no newline in %r" % (path, data))
    data = data[:-1].decode()
    return data if path in TEXTS or path in WORDS else int(data, 0)


def is_good(path, value):
    if path in FIXED:
        return len(value) == FIXED[path] and is_blob(value)
    if path in TEXTS:
        return is_text(value)
    if path in WORDS:
        return value in reader.KINDS
    return value is None and path in OPTIONAL or is_number(path, value)


def write_ram(root, rng, ram):
    """What is there already: pages become private while others read them."""
    at = rng.randrange(RAM)
    data = ram[at:at + rng.randrange(1, 20000)]
    with open(os.path.join(root, "ram"), "r+b", buffering=0) as f:
        if os.pwrite(f.fileno(), data, at) != len(data):
            raise OSError("short write to ram")


def write_files(root, who, end, result, ram):
    own = [p for k, p in enumerate(ALL) if k % WRITERS == who]
    rng = random.Random(who)
    last, count = {}, 0
    while time.monotonic() < end:
        if count % 4 == 0:
            write_ram(root, rng, ram)
        path = own[count % len(own)]
        value = value_of(path, count)
        store(root, path, value)
        last[path] = value
        if fetch(root, path) != value:
            raise ValueError("%s: the writer does not read what it wrote" % path)
        count += 1
    result.put(("write", who, count, last))


def check_raw(root):
    """The record as encoded, and a size from the same daemon: each is of some moment."""
    path = os.path.join(root, "devices/0/backing/raw")
    with open(path, "rb", buffering=0) as f:
        if os.fstat(f.fileno()).st_size < 13:
            raise ValueError("size of " + path)
        record = reader.read_backing(reader.Cursor(os.pread(f.fileno(), 1 << 17, 0)))
    if record["type"] != "disk" or not is_text(record["path"]):
        raise ValueError("%s: nobody wrote %.300r" % (path, record))


def read_files(root, who, end, result, ram_digests):
    rng = random.Random(who)
    count = 0
    while time.monotonic() < end:
        if who % 4 == 0 and count % 8 == 0:
            page = rng.randrange(RAM // 65536)
            with open(os.path.join(root, "ram"), "rb", buffering=0) as f:
                if hashlib.md5(os.pread(f.fileno(), 65536, page * 65536)).digest() != ram_digests[page]:
                    raise ValueError("/ram differs at %d" % (page * 65536))
        elif who % 4 == 1 and count % 64 == 0:
            for name in os.listdir(os.path.join(root, "listeners/0")):
                if name not in ("cid", "peer_port", "vm_port", "family", "socktype", "inet_port"):
                    raise ValueError("listeners/0/" + name)
        elif who % 4 == 2 and count % 8 == 0:
            check_raw(root)
        else:
            path = rng.choice(ALL)
            value = fetch(root, path)
            if not is_good(path, value):
                raise ValueError("%s: nobody wrote %.300r" % (path, value))
        count += 1
    result.put(("read", who, count, None))


def guarded(task, root, who, end, result, *more):
    try:
        task(root, who, end, result, *more)
    except BaseException:
        result.put(("failed", who, 0, traceback.format_exc()))


def main():
    require_fuse()
    seconds = float(os.environ.get("SMFS_LOAD_SECONDS", "5"))
    vector = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors", "full.bin")
    with WorkDir() as work:
        snapshot = os.path.join(work, "snap")
        model = reader.Snapshot(vector).model
        model["mem_size"] = RAM
        for path in ALL:
            reader.set_leaf(model, path, value_of(path, 1))
        ram = reader.exact_bytes(random.Random(1), RAM)
        data = reader.encode(model)
        with open(snapshot, "wb") as f:
            # Room for the texts to grow without moving RAM.
            f.write(data.ljust(reader.RAM_STEP, b"\0") + ram)
        digests = [hashlib.md5(ram[k:k + 65536]).digest() for k in range(0, RAM, 65536)]
        result = multiprocessing.Queue()
        with Mount(snapshot) as mount:
            end = time.monotonic() + seconds
            tasks = [(write_files, who, ram) for who in range(WRITERS)]
            tasks += [(read_files, who, digests) for who in range(READERS)]
            children = [multiprocessing.Process(target=guarded,
                                                args=(task, mount.root, who, end, result, *more))
                        for task, who, *more in tasks]
            for child in children:
                child.start()
            reports = [result.get(timeout=seconds + 120) for _ in children]
            for child in children:
                child.join()
            for kind, who, _, what in reports:
                if kind == "failed":
                    print("%d: %s" % (who, what), file=sys.stderr)
            if any(r[0] == "failed" for r in reports):
                raise SystemExit("FAIL: see above")
            for kind, _, _, last in reports:
                for path, value in (last or {}).items():
                    reader.set_leaf(model, path, value)
            files = reader.compare_mount(reader.Snapshot(snapshot), mount.root)
        now = reader.Snapshot(snapshot)
        if now.model != model or now.ram != ram:
            sys.exit("FAIL: the snapshot is not what was written last")
    reads = sum(r[2] for r in reports if r[0] == "read")
    writes = sum(r[2] for r in reports if r[0] == "write")
    print("%d reads, %d writes, %d files compared" % (reads, writes, files))
    if reads < READERS * 10 or writes < WRITERS * 10:
        sys.exit("FAIL: too few to mean anything")


if __name__ == "__main__":
    main()
