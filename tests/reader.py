#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An independent reader and writer of snapshot files, for the tests.

It follows the description of the format by hand and shares nothing with the
program's own table, so that an error in one is not repeated in the other.

  reader.py tree FILE              print the leaves, as in vectors/*.tree
  reader.py check BIN TREE         compare both, and encode BIN back
  reader.py dump-region FILE       container length, RAM offset, hashes
  reader.py get FILE PATH          one leaf, as the mount would show it
  reader.py random SEED FILE       write a random snapshot
  reader.py sample BIN FILE MEM    give the container in BIN a sparse RAM
  reader.py mounted FILE DIR WHAT  compare a mount of FILE with FILE; WHAT is
                                   read-only: nothing, or "fields", "ram" or both
  reader.py json FILE JSON         compare what smsnap dump printed with FILE
"""

import hashlib
import json
import os
import stat
import sys

BLOB_MAX = 16 << 20
STRING_MAX = 65536
PAGE = 4096
RAM_STEP = 64 << 10

KINDS = ["blk", "vsock", "volume", "virtiofs"]
BACKINGS = ["none", "disk", "volume", "virtiofs"]
# Numbers shown in hexadecimal; every other one is decimal.
HEX = {"driver_features", "status", "interrupt_status", "desc_table",
       "avail_ring", "used_ring", "dax_gpa"}
READ_ONLY = {"mem_size", "raw", "type"}
# The width of each number in bytes; "size" is a queue's or a backing's.
WIDTH = {"num_cpus": 1, "mem_size": 8, "clock_host_ticks": 8, "clock_ref": 8,
         "driver_features": 8, "status": 4, "interrupt_status": 4,
         "ready": 1, "desc_table": 8, "avail_ring": 8, "used_ring": 8,
         "last_avail_idx": 2, "next_used_idx": 2,
         "dax_gpa": 8, "dax_window_len": 8,
         "cid": 8, "peer_port": 4, "vm_port": 4, "family": 2, "socktype": 2,
         "inet_port": 2}


class Malformed(Exception):
    pass


# ---- reading ----------------------------------------------------------------

class Cursor:
    def __init__(self, data, at=0):
        self.data = data
        self.at = at

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Malformed("offset 0x%x: needs %d bytes, %d left"
                            % (self.at, n, len(self.data) - self.at))
        self.at += n
        return self.data[self.at - n:self.at]

    def num(self, width):
        return int.from_bytes(self.take(width), "little")

    def choice(self, limit, what):
        value = self.num(1)
        if value >= limit:
            raise Malformed("offset 0x%x: %s is %d" % (self.at - 1, what, value))
        return value

    def blob(self, limit=BLOB_MAX):
        n = self.num(4)
        if n > limit:
            raise Malformed("offset 0x%x: %d bytes, at most %d"
                            % (self.at - 4, n, limit))
        return self.take(n)

    def string(self):
        raw = self.blob(STRING_MAX)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as e:
            raise Malformed("offset 0x%x: not UTF-8" % self.at) from e

    def many(self, read):
        # The count comes from the file: grow the list as elements are found.
        out = []
        for _ in range(self.num(4)):
            out.append(read())
        return out


def read_queue(c):
    q = {"size": c.num(2), "ready": c.choice(2, "ready")}
    for name in ("desc_table", "avail_ring", "used_ring"):
        q[name] = c.num(8)
    q["last_avail_idx"] = c.num(2)
    q["next_used_idx"] = c.num(2)
    return q


def read_mmio(c):
    low, high = c.num(4), c.num(4)
    return {"driver_features": high << 32 | low,
            "status": c.num(4),
            "interrupt_status": c.num(4),
            "queues": c.many(lambda: read_queue(c))}


def read_backing(c):
    b = {"type": BACKINGS[c.choice(4, "backing")]}
    if b["type"] == "disk":
        b["path"] = c.string()
        b["size"] = c.num(8)
    elif b["type"] == "volume":
        b["path"] = c.string()
        b["size"] = c.num(8)
        b["mount"] = c.string()
    elif b["type"] == "virtiofs":
        b["tag"] = c.string()
        b["mount"] = c.string()
        b["host_path"] = c.string()
        b["dax_gpa"] = c.num(8)
        b["dax_window_len"] = c.num(8)
        b["backend_state"] = c.blob()
        b["dax_state"] = c.blob()
    return b


def read_device(c):
    return {"kind": KINDS[c.choice(4, "kind")],
            "mmio": read_mmio(c),
            "backing": read_backing(c)}


def read_listener(c):
    r = {"cid": c.num(8), "peer_port": c.num(4), "vm_port": c.num(4),
         "family": c.num(2), "socktype": c.num(2), "inet_port": None}
    if c.choice(2, "presence"):
        r["inet_port"] = c.num(2)
    return r


def decode(data, at=0):
    """The model in data[at:], and how many bytes it takes."""
    c = Cursor(data, at)
    m = {"num_cpus": c.num(1), "mem_size": c.num(8), "com1": c.take(6),
         "clock_host_ticks": c.num(8), "clock_ref": c.num(8),
         "intc": c.blob()}
    m["vcpu"] = c.many(c.blob)
    m["devices"] = c.many(lambda: read_device(c))
    m["tsi_token"] = c.take(32) if c.choice(2, "presence") else None
    m["listeners"] = c.many(lambda: read_listener(c))
    return m, c.at - at


# ---- writing ----------------------------------------------------------------

def num(value, width):
    return value.to_bytes(width, "little")


def blob(data):
    return num(len(data), 4) + data


def string(text):
    return blob(text.encode("utf-8"))


def many(items, write):
    return num(len(items), 4) + b"".join(write(i) for i in items)


def write_queue(q):
    return (num(q["size"], 2) + num(q["ready"], 1) + num(q["desc_table"], 8)
            + num(q["avail_ring"], 8) + num(q["used_ring"], 8)
            + num(q["last_avail_idx"], 2) + num(q["next_used_idx"], 2))


def write_mmio(m):
    features = m["driver_features"]
    return (num(features & 0xffffffff, 4) + num(features >> 32, 4)
            + num(m["status"], 4) + num(m["interrupt_status"], 4)
            + many(m["queues"], write_queue))


def write_backing(b):
    out = num(BACKINGS.index(b["type"]), 1)
    if b["type"] == "disk":
        out += string(b["path"]) + num(b["size"], 8)
    elif b["type"] == "volume":
        out += string(b["path"]) + num(b["size"], 8) + string(b["mount"])
    elif b["type"] == "virtiofs":
        out += (string(b["tag"]) + string(b["mount"]) + string(b["host_path"])
                + num(b["dax_gpa"], 8) + num(b["dax_window_len"], 8)
                + blob(b["backend_state"]) + blob(b["dax_state"]))
    return out


def write_device(d):
    return (num(KINDS.index(d["kind"]), 1) + write_mmio(d["mmio"])
            + write_backing(d["backing"]))


def write_listener(r):
    out = (num(r["cid"], 8) + num(r["peer_port"], 4) + num(r["vm_port"], 4)
           + num(r["family"], 2) + num(r["socktype"], 2))
    if r["inet_port"] is None:
        return out + b"\0"
    return out + b"\1" + num(r["inet_port"], 2)


def encode(m):
    out = (num(m["num_cpus"], 1) + num(m["mem_size"], 8) + m["com1"]
           + num(m["clock_host_ticks"], 8) + num(m["clock_ref"], 8)
           + blob(m["intc"]) + many(m["vcpu"], blob)
           + many(m["devices"], write_device))
    out += b"\0" if m["tsi_token"] is None else b"\1" + m["tsi_token"]
    return out + many(m["listeners"], write_listener)


# ---- the snapshot file ------------------------------------------------------

class Snapshot:
    """A snapshot file as it is on disk now.

    model, container_len; ram_offset is None where there is no RAM; before,
    padding, ram and after are the bytes around them.
    """

    def __init__(self, path, container_offset=0, ram_offset=None):
        with open(path, "rb") as f:
            data = f.read()
        self.size = len(data)
        self.before = data[:container_offset]
        self.model, self.container_len = decode(data, container_offset)
        end = container_offset + self.container_len
        mem = self.model["mem_size"]
        self.ram_offset = None
        if mem == 0 or (end == self.size and ram_offset is None):
            self.padding, self.ram, self.after = data[end:], b"", b""
            return
        if ram_offset is None:
            ram_offset = self.size - mem
        if ram_offset < 0 or ram_offset > self.size or mem > self.size - ram_offset:
            raise Malformed("RAM [%d, %d) exceeds file length %d"
                            % (ram_offset, ram_offset + mem, self.size))
        if ram_offset < end or ram_offset % PAGE:
            raise Malformed("RAM at %d, container ends at %d" % (ram_offset, end))
        self.ram_offset = ram_offset
        self.padding = data[end:ram_offset]
        self.ram = data[ram_offset:ram_offset + mem]
        self.after = data[ram_offset + mem:]


def round_up(n, step):
    return -(-n // step) * step


# ---- leaves and their text --------------------------------------------------

def leaves(model):
    """(path, value) of every leaf that is present, in the order of the file."""

    def walk(prefix, value):
        if isinstance(value, dict):
            if prefix.endswith("/mmio"):
                yield prefix[1:] + "/raw", write_mmio(value)
            if prefix.endswith("/backing"):
                yield prefix[1:] + "/raw", write_backing(value)
            for name, v in value.items():
                yield from walk(prefix + "/" + name, v)
        elif isinstance(value, list):
            for i, v in enumerate(value):
                yield from walk("%s/%d" % (prefix, i), v)
        elif value is not None:
            yield prefix[1:], value

    yield from walk("", model)


def tree_line(path, value):
    if isinstance(value, int):
        return "%s\tnum:%d" % (path, value)
    if isinstance(value, str):
        return "%s\ttext:%s" % (path, value.encode().hex())
    return "%s\tbytes:%s" % (path, value.hex())


def parse_tree(text):
    """The leaves of a .tree file, as leaves() gives them."""
    out = []
    for line in text.split("\n")[:-1]:
        path, rest = line.split("\t")
        kind, value = rest.split(":")
        if kind == "num":
            out.append((path, int(value)))
        elif kind == "text":
            out.append((path, bytes.fromhex(value).decode()))
        else:
            out.append((path, bytes.fromhex(value)))
    return out


def name_of(path):
    return path.rsplit("/", 1)[-1]


def width_of(path):
    if name_of(path) == "size":
        return 2 if "/queues/" in path else 8
    return WIDTH[name_of(path)]


def shown(path, value):
    """The bytes that a mount shows for this leaf."""
    if isinstance(value, int):
        form = "0x%x\n" if name_of(path) in HEX else "%d\n"
        return (form % value).encode()
    if isinstance(value, str):
        return value.encode() + b"\n"
    return value


def is_word(path):
    return name_of(path) in ("kind", "type")


def is_writable(path):
    return name_of(path) not in READ_ONLY


def parent(model, path):
    """The record that holds the leaf at path, and the leaf's key in it."""
    at = model
    parts = path.split("/")
    for part in parts[:-1]:
        at = at[int(part)] if isinstance(at, list) else at[part]
    key = int(parts[-1]) if isinstance(at, list) else parts[-1]
    return at, key


def get_leaf(model, path):
    at, key = parent(model, path)
    return at[key]


def set_leaf(model, path, value):
    at, key = parent(model, path)
    at[key] = value


# ---- random values ----------------------------------------------------------

PIECES = ["a", "Z", "0", " ", "/", "..", "\n", "\0", "\t", "\"", "\\", "\x7f",
          "é", "日本", "🦀", "\ufeff", "\U0010ffff", "root.img"]


def random_num(rng, width):
    top = (1 << 8 * width) - 1
    pick = rng.randrange(5)
    if pick == 0:
        return 0
    if pick == 1:
        return top
    if pick == 2:
        return rng.randrange(10)
    return rng.randrange(1 << rng.randrange(1, 8 * width + 1))


def random_text(rng, longest=20):
    if rng.randrange(5) == 0:
        return ""
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, longest)))


def random_bytes(rng, longest=600):
    if rng.randrange(5) == 0:
        return b""
    return rng.getrandbits(8 * longest).to_bytes(longest, "little")[:rng.randrange(longest)]


def exact_bytes(rng, n):
    return rng.getrandbits(8 * n).to_bytes(n, "little")


def random_queue(rng):
    q = {"size": random_num(rng, 2), "ready": rng.randrange(2)}
    for name in ("desc_table", "avail_ring", "used_ring"):
        q[name] = random_num(rng, 8)
    q["last_avail_idx"] = random_num(rng, 2)
    q["next_used_idx"] = random_num(rng, 2)
    return q


def random_backing(rng, kind):
    if kind == "none":
        return {"type": kind}
    if kind == "disk":
        return {"type": kind, "path": random_text(rng), "size": random_num(rng, 8)}
    if kind == "volume":
        return {"type": kind, "path": random_text(rng), "size": random_num(rng, 8),
                "mount": random_text(rng)}
    return {"type": kind, "tag": random_text(rng), "mount": random_text(rng),
            "host_path": random_text(rng), "dax_gpa": random_num(rng, 8),
            "dax_window_len": random_num(rng, 8),
            "backend_state": random_bytes(rng), "dax_state": random_bytes(rng)}


def random_device(rng):
    # The kind of a device and that of its backing do not depend on each other.
    return {"kind": rng.choice(KINDS),
            "mmio": {"driver_features": random_num(rng, 8),
                     "status": random_num(rng, 4),
                     "interrupt_status": random_num(rng, 4),
                     "queues": [random_queue(rng) for _ in range(rng.randrange(4))]},
            "backing": random_backing(rng, rng.choice(BACKINGS))}


def random_listener(rng):
    return {"cid": random_num(rng, 8), "peer_port": random_num(rng, 4),
            "vm_port": random_num(rng, 4), "family": random_num(rng, 2),
            "socktype": random_num(rng, 2),
            "inet_port": rng.choice([None, random_num(rng, 2)])}


def random_model(rng):
    return {"num_cpus": random_num(rng, 1),
            "mem_size": rng.choice([0, PAGE, 3 * PAGE, PAGE + 1234, 16 * PAGE]),
            "com1": exact_bytes(rng, 6),
            "clock_host_ticks": random_num(rng, 8),
            "clock_ref": random_num(rng, 8),
            "intc": random_bytes(rng),
            "vcpu": [random_bytes(rng) for _ in range(rng.randrange(5))],
            "devices": [random_device(rng) for _ in range(rng.randrange(5))],
            "tsi_token": rng.choice([None, exact_bytes(rng, 32)]),
            "listeners": [random_listener(rng) for _ in range(rng.randrange(5))]}


def random_file(rng, model, path):
    """Write model as a snapshot: bare sometimes, else with RAM behind it."""
    data = encode(model)
    if rng.randrange(4):
        data += bytes(round_up(len(data), PAGE) - len(data))
        data += bytes(PAGE * rng.randrange(3))
        data += exact_bytes(rng, model["mem_size"]) if model["mem_size"] else b""
    with open(path, "wb") as f:
        f.write(data)


# ---- commands ---------------------------------------------------------------

def die(message):
    sys.exit("reader.py: " + message)


def differ(what, want, got):
    if want != got:
        die("%s: expected %.200r, got %.200r" % (what, want, got))


def tree(path):
    text = "".join(tree_line(p, v) + "\n" for p, v in leaves(Snapshot(path).model))
    sys.stdout.write(text)


def check(bin_path, tree_path):
    with open(bin_path, "rb") as f:
        data = f.read()
    with open(tree_path) as f:
        want = f.read()
    model, length = decode(data)
    lines = [tree_line(p, v) for p, v in leaves(model)]
    differ(bin_path, want.split("\n")[:-1], lines)
    differ(bin_path + " leaves", list(leaves(model)), parse_tree(want))
    differ(bin_path + " encoded", data[:length], encode(model))
    # A strict prefix is an error, wherever it ends.
    for n in range(0, length, 1 + length // 2000):
        try:
            decode(data[:n])
        except Malformed:
            continue
        die("%s: %d bytes of %d are accepted" % (bin_path, n, length))
    print("%s: %d leaves, %d bytes" % (os.path.basename(bin_path), len(lines), length))


def dump_region(path):
    s = Snapshot(path)
    print("file_size %d" % s.size)
    print("container_len %d" % s.container_len)
    print("ram_offset %s" % ("none" if s.ram_offset is None else s.ram_offset))
    for name, data in (("container", encode(s.model)), ("padding", s.padding), ("ram", s.ram)):
        print("%s_sha256 %s" % (name, hashlib.sha256(data).hexdigest()))


def get(path, leaf):
    sys.stdout.buffer.write(shown(leaf, dict(leaves(Snapshot(path).model))[leaf]))


def random_command(seed, path):
    from random import Random
    rng = Random(int(seed))
    random_file(rng, random_model(rng), path)


def sample(bin_path, path, mem_size):
    """RAM of mem_size bytes, all holes but a page at its start, middle and end."""
    with open(bin_path, "rb") as f:
        model, _ = decode(f.read())
    model["mem_size"] = int(mem_size)
    container = encode(model)
    at = round_up(len(container), PAGE)
    with open(path, "wb") as f:
        f.write(container)
        f.truncate(at + model["mem_size"])
        for where in (0, model["mem_size"] // 2 // PAGE * PAGE, model["mem_size"] - PAGE):
            f.seek(at + where)
            f.write((b"page at %d\n" % where).ljust(PAGE, b"."))


def compare_mount(snap, root, read_only=(), umask=0o077):
    """Compare a mounted tree with a Snapshot; how many files were compared.

    READ_ONLY says what can't be written, beside what never can: "fields", "ram".
    UMASK is the mount's.
    """
    want = {p: shown(p, v) for p, v in leaves(snap.model)}
    if snap.ram_offset is not None:
        want["ram"] = snap.ram
    # Directories that are there whatever the lists hold.
    dirs = {"vcpu", "devices", "listeners"}
    dirs |= {"devices/%d/mmio/queues" % k for k in range(len(snap.model["devices"]))}
    for path in list(want) + list(dirs):
        while "/" in path:
            path = path.rsplit("/", 1)[0]
            dirs.add(path)
    seen_files, seen_dirs = set(), set()
    for here, names, files in os.walk(root, onerror=lambda e: die(str(e))):
        at = os.path.relpath(here, root)
        at = "" if at == "." else at + "/"
        seen_dirs |= {at + n for n in names}
        seen_files |= {at + n for n in files}
    differ(root + " directories", sorted(dirs), sorted(seen_dirs))
    differ(root + " files", sorted(want), sorted(seen_files))
    for path, content in want.items():
        full = os.path.join(root, path)
        st = os.lstat(full)
        differ(full + " is a file", True, stat.S_ISREG(st.st_mode))
        differ(full + " st_size", len(content), st.st_size)
        fixed = ("ram" if path == "ram" else "fields") in read_only
        mode = (0o444 if fixed or not is_writable(path) else 0o666) & ~umask
        if path == "tsi_token":
            mode &= 0o600
        differ(full + " mode", oct(mode), oct(stat.S_IMODE(st.st_mode)))
        with open(full, "rb", buffering=0) as f:
            got = b"".join(iter(lambda f=f: f.read(1 << 20), b""))
            differ(full, content, got)
            # And from the middle, as tail and dd would read.
            middle = len(content) // 3
            differ(full + " middle", content[middle:middle + 100], os.pread(f.fileno(), 100, middle))
            differ(full + " past its end", b"", os.pread(f.fileno(), 100, len(content)))
    return len(want)


def mounted(path, root, *read_only):
    print(compare_mount(Snapshot(path), root, read_only))


def json_leaves(value, prefix=""):
    if isinstance(value, dict):
        for name, v in value.items():
            yield from json_leaves(v, prefix + "/" + name)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from json_leaves(v, "%s/%d" % (prefix, i))
    else:
        yield prefix[1:], value


def json_form(path, value):
    if isinstance(value, int):
        return "0x%x" % value if name_of(path) in HEX else value
    return value.hex() if isinstance(value, bytes) else value


def compare_json(path, json_path):
    snap = Snapshot(path)
    with open(json_path, "rb") as f:
        doc = json.loads(f.read().decode("utf-8"))
    differ("container_offset", 0, doc.pop("container_offset"))
    differ("file_size", snap.size, doc.pop("file_size"))
    at = doc.pop("ram_offset")
    if snap.model["mem_size"]:
        differ("ram_offset", snap.ram_offset, at)
    want = {p: json_form(p, v) for p, v in leaves(snap.model) if name_of(p) != "raw"}
    # What is absent is written as null, not left out.
    if snap.model["tsi_token"] is None:
        want["tsi_token"] = None
    for i, r in enumerate(snap.model["listeners"]):
        want.setdefault("listeners/%d/inet_port" % i, r["inet_port"])
    differ("leaves of " + json_path, want, dict(json_leaves(doc)))
    # Empty lists have no leaf to be seen by.
    for name in ("vcpu", "devices", "listeners"):
        differ(name, len(snap.model[name]), len(doc[name]))
    for d, j in zip(snap.model["devices"], doc["devices"]):
        differ("queues", len(d["mmio"]["queues"]), len(j["mmio"]["queues"]))
    print(len(want))


COMMANDS = {"tree": tree, "check": check, "dump-region": dump_region, "get": get,
            "random": random_command, "sample": sample, "mounted": mounted,
            "json": compare_json}


def main(argv):
    if len(argv) < 2 or argv[1] not in COMMANDS:
        sys.exit(__doc__)
    try:
        COMMANDS[argv[1]](*argv[2:])
    except Malformed as e:
        die("%s: %s" % (argv[2], e))


if __name__ == "__main__":
    main(sys.argv)
