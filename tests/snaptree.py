# SPDX-License-Identifier: MIT
"""The tree of a snapshot: its paths, the text that a mount shows, what JSON and .tree files have."""

import re

from snapfile import write_backing, write_mmio
from snapstates import is_hex as is_state_hex, is_wide, read_state

# Numbers of the container and the layout that are shown in hexadecimal; every other one is decimal.
HEX = {"driver_features", "status", "interrupt_status", "desc_table",
       "avail_ring", "used_ring", "dax_gpa", "ram_gpa",
       "ier", "lcr", "mcr", "scr", "dll", "dlm"}
# The width of each number in bytes; "size" is a queue's or a backing's.
WIDTH = {"num_cpus": 1, "mem_size": 8, "clock_host_ticks": 8, "clock_ref": 8, "ram_gpa": 8,
         "ier": 1, "lcr": 1, "mcr": 1, "scr": 1, "dll": 1, "dlm": 1,
         "driver_features": 8, "status": 4, "interrupt_status": 4,
         "ready": 1, "desc_table": 8, "avail_ring": 8, "used_ring": 8,
         "last_avail_idx": 2, "next_used_idx": 2,
         "dax_gpa": 8, "dax_window_len": 8,
         "cid": 8, "peer_port": 4, "vm_port": 4, "family": 2, "socktype": 2,
         "inet_port": 2}
# What is shown of a layout in the tree, beside its format.
LAYOUT_FILES = {"kvm": ["ram_offset"], "kvm-diff": ["base", "changed_pages"],
                "hvf": ["version", "ram_gpa", "ram_offset"], "bare": []}
# A blob's directory, and what is in it.
BLOB = re.compile(r"(intc|vcpu/\d+|devices/\d+/backing/(?:backend_state|dax_state))(?:/(.*))?")

DIRECTORY = object()


def name_of(path):
    return path.rsplit("/", 1)[-1]


def is_blob(path):
    """A directory that has a blob's bytes as raw, and perhaps what they mean."""
    match = BLOB.fullmatch(path)
    return bool(match) and match[2] is None


def state_path(path):
    """Where a field inside a blob is below the blob's directory; None for another file."""
    match = BLOB.fullmatch(path)
    return match[2] if match and match[2] != "raw" else None


# ---- leaves -------------------------------------------------------------------

def walk(model, decode=False):
    """(path, value) of all that a mount shows but /ram, each directory before what is in it.

    MODEL may have a layout in front, see Snapshot.document. A value is DIRECTORY, or None for
    an optional thing that is absent. DECODE also shows what is inside blobs.
    """
    layout = model.get("layout", {}).get("format", "kvm")

    def state(path, data):
        found = read_state(path, data, layout)
        if found is None:
            return
        seen = set()
        for directory in found.directories:
            yield from parents(seen, directory + "/")
        for field in found.fields.values():
            yield from parents(seen, field.path)
            yield field.path, field.value

    def go(prefix, value):
        path = prefix[1:]
        if is_blob(path):
            yield path, DIRECTORY
            yield path + "/raw", value
            if decode:
                yield from ((path + "/" + p, v) for p, v in state(path, value))
            return
        if not isinstance(value, (dict, list)):
            yield path, value
            return
        if path:
            yield path, DIRECTORY
        if prefix.endswith("/mmio"):
            yield path + "/raw", write_mmio(value)
        if prefix.endswith("/backing"):
            yield path + "/raw", write_backing(value)
        for name, v in value.items() if isinstance(value, dict) else enumerate(value):
            if path != "layout" or name == "format" or name in LAYOUT_FILES[layout]:
                yield from go("%s/%s" % (prefix, name), v)

    yield from go("", model)


def parents(seen, path):
    """The directories that PATH is in, once each."""
    for i, character in enumerate(path):
        if character == "/" and path[:i] not in seen:
            seen.add(path[:i])
            yield path[:i], DIRECTORY


def leaves(model, decode=False):
    """(path, value) of every leaf that is present, in the order of the file."""
    for path, value in walk(model, decode):
        if value is not DIRECTORY and value is not None:
            yield path, value


def files(model, decode=False):
    """What each file of a mount shows, by its path; /ram is not among them."""
    return {p: shown(p, v) for p, v in walk(model, decode) if v is not DIRECTORY}


def directories(model, decode=False):
    return [p for p, v in walk(model, decode) if v is DIRECTORY]


def parent(model, path):
    """The record that holds the leaf at path, and the leaf's key in it."""
    if path.endswith("/raw") and is_blob(path[:-4]):
        path = path[:-4]
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


# ---- text -----------------------------------------------------------------------

def number_text(path, value):
    state = state_path(path)
    if state is not None and is_wide(state):
        return "0x%032x" % value
    is_hex = name_of(path) in HEX if state is None else is_state_hex(state)
    return "0x%x" % value if is_hex else "%d" % value


def shown(path, value):
    """The bytes that a mount shows for this leaf."""
    if value is None:
        return b"none\n" if name_of(path) == "inet_port" else b""
    if isinstance(value, int):
        return number_text(path, value).encode() + b"\n"
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\n"
    return value


def width_of(path):
    if name_of(path) == "size":
        return 2 if "/queues/" in path else 8
    return WIDTH[name_of(path)]


def is_word(path):
    return name_of(path) in ("kind", "format") or path.endswith("backing/type")


def is_writable(path):
    name = name_of(path)
    if path.startswith("layout/"):
        return name in ("ram_gpa", "base")
    if state_path(path) is not None:
        # A text inside a blob is as long as it is.
        return name not in ("path", "name")
    return not (name == "mem_size" or path.endswith(("mmio/raw", "backing/raw", "backing/type")))


# ---- .tree files and JSON ---------------------------------------------------------

def tree_line(path, value):
    if isinstance(value, int):
        return "%s\tnum:%d" % (path, value)
    if isinstance(value, str):
        return "%s\ttext:%s" % (path, value.encode("utf-8", "surrogateescape").hex())
    return "%s\tbytes:%s" % (path, value.hex())


def tree_text(model, decode=False):
    return "".join(tree_line(p, v) + "\n" for p, v in sorted(leaves(model, decode)))


def parse_tree(text):
    """The leaves of a .tree file, as leaves() gives them but sorted by path."""
    out = []
    for line in text.split("\n")[:-1]:
        path, rest = line.split("\t")
        kind, value = rest.split(":")
        if kind == "num":
            out.append((path, int(value)))
        elif kind == "text":
            out.append((path, bytes.fromhex(value).decode("utf-8", "surrogateescape")))
        else:
            out.append((path, bytes.fromhex(value)))
    return out


def json_form(path, value):
    """What stands for a leaf in smsnap's JSON."""
    if isinstance(value, str) and not is_utf8(value):
        return {"bytes": value.encode("utf-8", "surrogateescape").hex()}
    if isinstance(value, int):
        text = number_text(path, value)
        return text if text.startswith("0x") else int(value)
    return value.hex() if isinstance(value, bytes) else value


def is_utf8(text):
    """What is none was read with surrogates for its bytes."""
    return not any(0xd800 <= ord(c) < 0xe000 for c in text)


def json_state(path, data, layout):
    """What the blob at PATH holds: directories of numbers are arrays, others objects."""
    found = read_state(path, data, layout)
    top = {}
    if found is None:
        return top
    lists = {d for d in found.directories if d in ("inodes", "children", "handles", "slots")}
    lists |= {"pit/channels", "ioapic/redirtbl"}

    def place(inner):
        """The object that PATH's parent is."""
        at, before = top, ""
        for part in inner.split("/")[:-1]:
            before = before + "/" + part if before else part
            empty = [] if before in lists else {}
            if isinstance(at, list):
                at.extend([empty] if int(part) == len(at) else [])
                at = at[int(part)]
            else:
                at = at.setdefault(part, empty)
        return at

    for directory in found.directories:
        place(directory + "/x")
    for field in found.fields.values():
        at, name = place(field.path), name_of(field.path)
        form = json_form(path + "/" + field.path, field.value)
        if isinstance(at, list):
            at.append(form)
        else:
            at[name] = form
    return top


def json_shape(value, path="", layout=None):
    """What smsnap dump prints of Snapshot.document(), or of the part of it at PATH.

    LAYOUT, where it is not None, is the file's: what blobs hold is printed, too.
    """
    if is_blob(path):
        return {"raw": value.hex(), **(json_state(path, value, layout) if layout else {})}
    below = path + "/" if path else ""
    if isinstance(value, dict):
        return {name: json_shape(v, below + name, layout) for name, v in value.items()}
    if isinstance(value, list):
        return [json_shape(v, below + str(i), layout) for i, v in enumerate(value)]
    return json_form(path, value)
