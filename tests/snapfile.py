# SPDX-License-Identifier: MIT
"""Snapshot files, read and written by hand after the description of the format.

A container is a model of dicts, lists, numbers, strings and bytes, by the names that a mount
shows. Blobs are bytes in it; what is inside them is for snapstates.py.
"""

import os

BLOB_MAX = 16 << 20
STRING_MAX = 65536
PAGE = 4096
RAM_STEP = 64 << 10

KINDS = ["blk", "vsock", "volume", "virtiofs"]
BACKINGS = ["none", "disk", "volume", "virtiofs"]
COM1 = ["ier", "lcr", "mcr", "scr", "dll", "dlm"]
MAGIC = {"kvm": b"SMSNAP07", "kvm-diff": b"SMSNAP7D", "hvf": b"SMSNAP\n\0"}
FORMATS = [*MAGIC, "bare"]
HVF_VERSION = 11
HVF_RAM = 0x80000000
NO_PORT = 0xffffffff
# What a writer puts RAM at a multiple of. A reader wants whole pages, and of a bare file nothing.
ALIGNMENT = {"kvm": PAGE, "hvf": 16384, "bare": PAGE}


class Malformed(Exception):
    pass


class Kept(int):
    """A number that was stored as more than it is read as; encoding gives the stored one again."""

    def __new__(cls, value, stored=0):
        self = super().__new__(cls, value)
        self.stored = stored
        return self


def round_up(n, step):
    return -(-n // step) * step


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

    def many(self, read, width=4):
        # The count comes from the file: grow the list as elements are found.
        out = []
        for _ in range(self.num(width)):
            out.append(read())
        return out


def kept(value, stored):
    return stored if value == stored else Kept(value, stored)


def read_ready(c):
    stored = c.num(1)
    return kept(min(stored, 1), stored)


def read_queue(c):
    q = {"size": c.num(2), "ready": read_ready(c)}
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
         "family": c.num(2), "socktype": c.num(2)}
    port = c.num(4)
    r["inet_port"] = None if port == NO_PORT else kept(port & 0xffff, port)
    return r


def decode(data, at=0):
    """The model of the container in data[at:], and how many bytes it takes."""
    c = Cursor(data, at)
    m = {"num_cpus": c.num(1), "mem_size": c.num(8),
         "com1": {name: c.num(1) for name in COM1},
         "clock_host_ticks": c.num(8), "clock_ref": c.num(8),
         "intc": c.blob()}
    m["vcpu"] = c.many(c.blob)
    m["devices"] = c.many(lambda: read_device(c))
    m["tsi_token"] = c.take(32) if c.choice(2, "presence") else None
    m["listeners"] = c.many(lambda: read_listener(c))
    return m, c.at - at


# ---- writing ----------------------------------------------------------------

def num(value, width):
    return getattr(value, "stored", value).to_bytes(width, "little")


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
    port = NO_PORT if r["inet_port"] is None else r["inet_port"]
    return (num(r["cid"], 8) + num(r["peer_port"], 4) + num(r["vm_port"], 4)
            + num(r["family"], 2) + num(r["socktype"], 2) + num(port, 4))


def encode(m):
    """The container, whatever layout the file has that it is in."""
    out = (num(m["num_cpus"], 1) + num(m["mem_size"], 8)
           + b"".join(num(m["com1"][name], 1) for name in COM1)
           + num(m["clock_host_ticks"], 8) + num(m["clock_ref"], 8)
           + blob(m["intc"]) + many(m["vcpu"], blob)
           + many(m["devices"], write_device))
    out += b"\0" if m["tsi_token"] is None else b"\1" + m["tsi_token"]
    return out + many(m["listeners"], write_listener)


# ---- layouts ----------------------------------------------------------------

# A layout is what smsnap dump prints under this name:
#   {"format": "kvm", "ram_offset": N}
#   {"format": "kvm-diff", "base": TEXT, "changed_pages": N}
#   {"format": "hvf", "version": 11, "ram_gpa": N, "ram_offset": N}
#   {"format": "bare", "container_offset": N, "ram_offset": N or None}

def format_of(data):
    """By the magic, or Malformed where it is a known neighbour's."""
    if not data:
        raise Malformed("an empty file")
    for name, magic in MAGIC.items():
        if data.startswith(magic):
            return name
    if data.startswith(b"SMSNAP"):
        raise Malformed("another version of the format: %r" % data[:8])
    if data.startswith(b"SMSTSNP1"):
        raise Malformed("a process snapshot, with no machine in it")
    return "bare"


def read_head(data):
    """The layout, and where the container begins. What follows the container is not looked at."""
    layout = {"format": format_of(data)}
    c = Cursor(data, 8)
    if layout["format"] == "bare":
        return dict(layout, container_offset=0, ram_offset=None), 0
    if layout["format"] == "kvm":
        layout["ram_offset"] = c.num(8)
    elif layout["format"] == "kvm-diff":
        layout["base"] = c.string()
        c.num(8)
    else:
        layout["version"] = c.num(8)
        if layout["version"] != HVF_VERSION:
            raise Malformed("hvf version %d, only %d is read" % (layout["version"], HVF_VERSION))
        layout["ram_gpa"] = c.num(8)
        layout["ram_offset"] = c.num(8)
    return layout, c.at


def write_head(model, layout):
    """All that is before RAM or the page list, without padding."""
    out = MAGIC.get(layout["format"], b"")
    if layout["format"] == "kvm":
        out += num(layout["ram_offset"], 8)
    elif layout["format"] == "kvm-diff":
        out += string(layout["base"]) + num(0, 8)
    elif layout["format"] == "hvf":
        out += num(layout["version"], 8) + num(layout["ram_gpa"], 8) + num(layout["ram_offset"], 8)
    return out + encode(model)


def new_layout(model, name="kvm", ram_offset=None, base="", changed_pages=0):
    """As a writer makes it: RAM is where it fits, if RAM_OFFSET does not say."""
    if name == "kvm-diff":
        return {"format": name, "base": base, "changed_pages": changed_pages}
    layout = {"format": name, "ram_offset": ram_offset or 0}
    if name == "hvf":
        layout.update(version=HVF_VERSION, ram_gpa=HVF_RAM)
    elif name == "bare":
        layout.update(container_offset=0)
    if ram_offset is None:
        layout["ram_offset"] = round_up(len(write_head(model, layout)), ALIGNMENT[name])
    return layout


def write_file(path, model, layout=None, ram=b"", pages=(), padding=None, after=b""):
    """Write a snapshot. RAM is bytes, or pieces by their offset; pages of zeros become holes.

    PAGES are a diff's, as (index, bytes). PADDING is what is between the container and RAM,
    AFTER what is behind all.
    """
    layout = layout or new_layout(model)
    head = write_head(model, layout)
    pieces = ram if isinstance(ram, dict) else {0: ram}
    with open(path, "wb") as f:
        f.write(head)
        if layout["format"] == "kvm-diff":
            f.write(many(pages, lambda page: num(page[0], 4) + page[1]) + after)
            return
        if layout["ram_offset"] is None:
            f.write((padding or b"") + after)
            return
        start = layout["ram_offset"]
        if padding is not None:
            f.write(padding)
        f.truncate(start + model["mem_size"])
        for offset, data in pieces.items():
            for at in range(0, len(data), PAGE):
                if data[at:at + PAGE].strip(b"\0"):
                    f.seek(start + offset + at)
                    f.write(data[at:at + PAGE])
        f.seek(start + model["mem_size"])
        f.write(after)


# ---- the snapshot file ------------------------------------------------------

class Snapshot:
    """A snapshot file as it is on disk now.

    layout, model; container_offset, container_len; before, padding and after are the bytes
    around container and RAM. ram_offset is None where the file has no RAM of its own.
    ram is the guest's RAM: b"" where there is none, None for a diff without its base. Of a
    diff, pages is the list as it stands, base_path the base or None, base_error why not.
    container_offset and ram_offset say where the parts of a bare file are; base is another
    base than the diff's.
    """

    def __init__(self, path, container_offset=None, ram_offset=None, base=None):
        with open(path, "rb") as f:
            data = f.read()
        self.path = path
        self.size = len(data)
        if container_offset is None:
            self.layout, container_offset = read_head(data)
        else:
            self.layout = {"format": "bare", "container_offset": container_offset, "ram_offset": None}
        self.format = self.layout["format"]
        if ram_offset is not None and self.format != "bare":
            raise Malformed("a ram_offset of one's own, for layout %s" % self.format)
        if base is not None and self.format != "kvm-diff":
            raise Malformed("a base, for layout %s" % self.format)
        self.container_offset = container_offset
        self.model, self.container_len = decode(data, container_offset)
        self.before = data[:container_offset]
        self.pages, self.base_path, self.base_error = [], None, None
        self.ram_offset = None
        if self.format == "kvm-diff":
            self._read_pages(data, base)
        else:
            self._read_region(data, ram_offset)

    @property
    def container_end(self):
        return self.container_offset + self.container_len

    @property
    def has_ram(self):
        return self.ram != b""

    def _read_region(self, data, ram_offset):
        end, mem = self.container_end, self.model["mem_size"]
        if self.format != "bare":
            ram_offset = self.layout["ram_offset"]
        elif ram_offset is None and end < self.size:
            ram_offset = self.size - mem
        if mem == 0 or ram_offset is None:
            self.padding, self.ram, self.after = data[end:], b"", b""
            return
        if ram_offset < 0 or ram_offset > self.size or mem > self.size - ram_offset:
            raise Malformed("snapshot RAM region [%d, %d) exceeds file length %d"
                            % (ram_offset, ram_offset + mem, self.size))
        if ram_offset < end:
            raise Malformed("RAM at %d, container ends at %d" % (ram_offset, end))
        if self.format != "bare" and ram_offset % PAGE:
            raise Malformed("RAM at %d, not a multiple of %d" % (ram_offset, PAGE))
        self.ram_offset = self.layout["ram_offset"] = ram_offset
        self.padding = data[end:ram_offset]
        self.ram = data[ram_offset:ram_offset + mem]
        self.after = data[ram_offset + mem:]

    def _read_pages(self, data, base):
        c = Cursor(data, self.container_end)
        mem = self.model["mem_size"]

        def read_page():
            index = c.num(4)
            if (index + 1) * PAGE > mem:
                raise Malformed("offset 0x%x: page %d is not in %d bytes of RAM"
                                % (c.at - 4, index, mem))
            return index, c.take(PAGE)

        self.pages = c.many(read_page)
        self.layout["changed_pages"] = len(self.pages)
        self.padding, self.after = b"", data[c.at:]
        self.ram = None if mem else b""
        try:
            path = find_base(self.path, self.layout["base"]) if base is None else base
            ram = bytearray(read_base(path, mem))
        except (OSError, ValueError, Malformed) as e:  # ValueError: NUL is in no path
            self.base_error = str(e)
            return
        for index, page in self.pages:
            ram[index * PAGE:(index + 1) * PAGE] = page
        self.base_path, self.ram = path, bytes(ram)

    def document(self):
        """The model with the layout in front, as smsnap dump has it. It shares what is in both."""
        return {"layout": self.layout, **self.model}


def find_base(diff, recorded):
    """Where the base of a diff is: beside it, or as it stands."""
    beside = os.path.join(os.path.dirname(diff), recorded)
    return beside if os.path.exists(beside) else recorded


def read_base(path, mem_size):
    with open(path, "rb") as f:
        name = format_of(f.read(8))
    if name != "kvm":
        raise Malformed("the base is %s, not kvm" % name)
    base = Snapshot(path)
    if base.model["mem_size"] != mem_size:
        raise Malformed("the base has %d bytes of RAM, not %d" % (base.model["mem_size"], mem_size))
    return base.ram
