#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An independent reader and writer of snapshot files, for the tests.

It follows the description of the format by hand and shares nothing with the
program's own table, so that an error in one is not repeated in the other.

  reader.py tree FILE [--decode]    print the leaves, as in vectors/*.tree; what
                                    is inside blobs only with --decode
  reader.py check FILE TREE         compare both, and encode FILE back
  reader.py refused FILE            why it is no snapshot; fails if it is one
  reader.py dump-region FILE        layout, container length, RAM offset, hashes
  reader.py get FILE PATH           one leaf, as the mount would show it
  reader.py ram FILE [OUT]          the guest's RAM: a diff's over its base
  reader.py random SEED FILE        write a random snapshot: of --layout L, else
                                    kvm, hvf or bare. A kvm-diff is over --base BASE,
                                    else over FILE.base, which is written too. --odd:
                                    with bytes in it that no field shows
  reader.py sample FILE MEM         write one with every kind of field, and MEM bytes
                                    of sparse RAM: layout kvm, or --layout L; a kvm-diff
                                    names --base BASE. MEM none: a bare container
  reader.py mounted FILE DIR WHAT   compare a mount of FILE with FILE; WHAT is
                                    read-only: nothing, or "fields", "ram" or both.
                                    What is inside blobs is compared where the mount
                                    shows any of it, and has to be there with --decode
  reader.py json FILE JSON          compare what smsnap dump, or dump --decode, printed with FILE

Where FILE is read, --base BASE is another base than a diff's own.
"""

import argparse
import errno
import hashlib
import json
import os
import re
import random
import stat
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# What other tests use of the modules, they import from here.
# pylint: disable=unused-import,wrong-import-position
# ruff: noqa: E402
from snapfile import (BACKINGS, BLOB_MAX, COM1, FORMATS, KINDS, NO_PORT, PAGE, RAM_STEP, STRING_MAX,  # noqa: F401
                      Cursor, Kept, Malformed, Snapshot, blob, decode, encode, new_layout, num, read_backing, read_head,
                      read_mmio, round_up, string, write_backing, write_device, write_file, write_head,
                      write_listener, write_mmio)
from snapmake import (exact_bytes, random_bytes, random_file, random_model, random_num, random_text,  # noqa: F401
                      sample, sample_model)
from snapstates import INODE_KINDS, move_share, poke, read_state  # noqa: F401
from snaptree import (directories, files, get_leaf, is_blob, is_word, is_writable, json_shape,  # noqa: F401
                      leaves, name_of, parse_tree, set_leaf, shown, state_path, tree_line, tree_text, walk,
                      width_of)


def die(message):
    sys.exit("reader.py: " + message)


def differ(what, want, got):
    if want == got:
        return
    if isinstance(want, list) and isinstance(got, list):
        # Where long lists begin to differ.
        at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
        die("%s: at %d of %d: expected %.200r, got %.200r" % (what, at, len(want), want[at:at + 1], got[at:at + 1]))
    else:
        die("%s: expected %.200r, got %.200r" % (what, want, got))


# ---- a mount ------------------------------------------------------------------

def whole_file(f):
    return b"".join(iter(lambda: f.read(1 << 20), b""))


def shows_states(snap, root):
    """Whether any blob's directory has more in it than raw."""
    blobs = [os.path.join(root, p) for p in directories(snap.model) if is_blob(p)]
    return any(os.path.isdir(b) and set(os.listdir(b)) - {"raw"} for b in blobs)


def compare_listing(root, want_dirs, want_files):
    seen_files, seen_dirs = set(), set()
    for here, names, found in os.walk(root, onerror=lambda e: die(str(e))):
        at = os.path.relpath(here, root)
        at = "" if at == "." else at + "/"
        seen_dirs |= {at + n for n in names}
        seen_files |= {at + n for n in found}
    for what, want, seen in (("directories", set(want_dirs), seen_dirs), ("files", set(want_files), seen_files)):
        differ("%s %s that are missing" % (root, what), [], sorted(want - seen))
        differ("%s %s that should not be" % (root, what), [], sorted(seen - want))


def compare_stat(full, size, mode):
    st = os.lstat(full)
    differ(full + " is a file", True, stat.S_ISREG(st.st_mode))
    differ(full + " st_size", size, st.st_size)
    differ(full + " mode", oct(mode), oct(stat.S_IMODE(st.st_mode)))


def compare_content(full, content):
    with open(full, "rb", buffering=0) as f:
        differ(full, content, whole_file(f))
        # And from the middle, as tail and dd would read.
        middle = len(content) // 3
        differ(full + " middle", content[middle:middle + 100], os.pread(f.fileno(), 100, middle))
        differ(full + " past its end", b"", os.pread(f.fileno(), 100, len(content)))


def computed(paths):
    """The files that are computed where PATHS are."""
    return ["check"] + [m[1] + name for m in (re.fullmatch(r"(devices/[0-9]+/mmio/queues/[0-9]+/)size", p) for p in paths)
            if m for name in ("ring", "health")]


def compare_computed(full, umask):
    """A computed file, of whatever content: like one of /proc."""
    compare_stat(full, 0, 0o444 & ~umask)
    with open(full, "rb", buffering=0) as f:
        content = whole_file(f)
        differ(full + " in lines", b"\n", content[-1:])
        differ(full + " middle", content[3:9], os.pread(f.fileno(), 6, 3))


def compare_core(full, snap, umask):
    """The core: a head, and RAM as it is."""
    size, mem = os.stat(full).st_size, snap.model["mem_size"]
    if snap.layout.get("ram_gpa", 0) + mem > 1 << 64:
        return  # no address is that of its last bytes
    compare_stat(full, size, 0o444 & ~umask)
    differ(full + " has a head in units of 64 KiB", 0, (size - mem) % 65536)
    with open(full, "rb", buffering=0) as f:
        differ(full + " begins as an ELF core of 64 bits", b"\x7fELF\2\1\1", os.pread(f.fileno(), 7, 0))
        if snap.ram is not None:
            # From within the head, too.
            differ(full + " ends with RAM", snap.ram, os.pread(f.fileno(), mem + 100, size - mem - 100)[100:]
                   if mem < 1 << 28 else snap.ram)


def compare_pages(full, snap):
    """RAM of a diff without its base: the pages that it lists, and EIO."""
    pages, mem = dict(snap.pages), snap.model["mem_size"]
    fd = os.open(full, os.O_RDONLY)
    try:
        for i in range(round_up(mem, PAGE) // PAGE):
            try:
                got = os.pread(fd, PAGE, i * PAGE)
            except OSError as e:
                got = errno.errorcode[e.errno]
            differ("%s, page %d" % (full, i), pages.get(i, "EIO"), got)
    finally:
        os.close(fd)


def compare_mount(snap, root, read_only=(), umask=0o077, states=None):
    """Compare a mounted tree with a Snapshot; how many files were compared.

    READ_ONLY says what can't be written, beside what never can: "fields", "ram".
    UMASK is the mount's. STATES: what is inside blobs is shown; None looks whether any is.
    """
    if states is None:
        states = shows_states(snap, root)
    document = snap.document()
    want = files(document, states)
    ram = ["ram"] if snap.has_ram else []
    made = computed(want)
    # No guest of the tests' is a Linux, so nothing is in /guest.
    guest, core = (["guest"], ["vmcore"]) if ram else ([], [])
    compare_listing(root, [*directories(document, states), *guest], [*want, *ram, *made, *core])
    for path in made:
        compare_computed(os.path.join(root, path), umask)
    for path, content in want.items():
        full = os.path.join(root, path)
        mode = (0o444 if "fields" in read_only or not is_writable(path) else 0o666) & ~umask
        if path == "tsi_token":
            mode &= 0o600
        compare_stat(full, len(content), mode)
        compare_content(full, content)
    if ram:
        full = os.path.join(root, "ram")
        compare_stat(full, snap.model["mem_size"], (0o444 if "ram" in read_only else 0o666) & ~umask)
        if snap.ram is None:
            compare_pages(full, snap)
        else:
            compare_content(full, snap.ram)
        compare_core(os.path.join(root, "vmcore"), snap, umask)
    return len(want) + len(made) + len(ram) + len(core)


# ---- commands -----------------------------------------------------------------

def opened(args):
    return Snapshot(args.file, base=args.base)


def tree(args):
    sys.stdout.write(tree_text(opened(args).document(), args.decode))


def check_states(document, path, data):
    """An edit of a field inside a blob changes what that shows, and no other."""
    layout = document["layout"]["format"]
    state = read_state(path, data, layout)
    for field in state.fields.values() if state else ():
        if len(field.places) == 1:
            differ("%s/%s as it is" % (path, field.path), data, poke(data, field, field.value))
        # A version says what else there is.
        if isinstance(field.value, int) and field.path != "version":
            value = field.value ^ 1 << 8 * field.width - 1
            edited = read_state(path, poke(data, field, value), layout).fields
            changed = [(p, f.value) for p, f in edited.items() if f.value != state.fields[p].value]
            differ("%s/%s edited" % (path, field.path), [(field.path, value)], changed)


def check(args):
    with open(args.file, "rb") as f:
        data = f.read()
    with open(args.tree, encoding="ascii") as f:
        want = f.read()
    snap = Snapshot(args.file)
    document = snap.document()
    differ(args.file, want.split("\n"), tree_text(document, True).split("\n"))
    differ(args.file + " leaves", parse_tree(want), sorted(leaves(document, True)))
    raw = [(p, v) for p, v in parse_tree(want) if state_path(p) is None]
    differ(args.file + " without states", raw, sorted(leaves(document)))
    begin, end = snap.container_offset, snap.container_end
    differ(args.file + " encoded", data[begin:end], encode(snap.model))
    for path, value in leaves(document):
        if path.endswith("/raw") and is_blob(path[:-4]):
            check_states(document, path[:-4], value)
    # A strict prefix is an error, wherever it ends.
    for n in range(begin, end, 1 + snap.container_len // 2000):
        try:
            decode(data[:n], begin)
        except Malformed:
            continue
        die("%s: %d bytes of %d are accepted" % (args.file, n - begin, snap.container_len))
    print("%s: %d leaves, %d without states, %d bytes"
          % (os.path.basename(args.file), len(want.split("\n")) - 1, len(raw), snap.container_len))


def refused(args):
    try:
        opened(args)
    except Malformed as e:
        print(e)
        return
    die(args.file + ": is a snapshot")


def dump_region(args):
    s = opened(args)
    print("layout %s" % s.format)
    print("file_size %d" % s.size)
    print("container_offset %d" % s.container_offset)
    print("container_len %d" % s.container_len)
    print("ram_offset %s" % ("none" if s.ram_offset is None else s.ram_offset))
    for name, data in (("container", encode(s.model)), ("padding", s.padding), ("ram", s.ram), ("after", s.after)):
        print("%s_sha256 %s" % (name, "none" if data is None else hashlib.sha256(data).hexdigest()))
    if s.format == "kvm-diff":
        print("changed_pages %d" % len(s.pages))
        print("base %s" % (s.base_path or "none, " + s.base_error))


def get(args):
    document = opened(args).document()
    found = files(document, state_path(args.path) is not None)
    if args.path not in found:
        die("%s: no %s" % (args.file, args.path))
    sys.stdout.buffer.write(found[args.path])


def ram_command(args):
    s = opened(args)
    if s.ram is None:
        die("%s: no base: %s" % (args.file, s.base_error))
    if args.out is None:
        sys.stdout.buffer.write(s.ram)
        return
    with open(args.out, "wb") as f:
        f.write(s.ram)


def random_command(args):
    rng = random.Random(args.seed)
    base = args.base
    if args.layout == "kvm-diff" and base is None:
        base = args.file + ".base"
        random_file(rng, random_model(rng), base, "kvm")
    layout = args.layout or rng.choice(["kvm", "hvf", "bare"])
    model = random_model(rng, layout, args.odd)
    if layout == "kvm-diff":
        model["mem_size"] = Snapshot(base).model["mem_size"]
    random_file(rng, model, args.file, layout, base, args.odd)


def sample_command(args):
    if args.layout == "kvm-diff" and args.base is None:
        die("sample --layout kvm-diff: no --base")
    sample(args.file, None if args.mem == "none" else int(args.mem), args.layout or "kvm", args.base)


def mounted(args):
    print(compare_mount(opened(args), args.dir, args.what, states=args.decode or None))


def compare_json(args):
    with open(args.json, "rb") as f:
        doc = json.loads(f.read().decode("utf-8"))
    document = opened(args).document()
    want = json_shape(document, layout=document["layout"]["format"] if args.decode else None)
    for name, value in want.items():
        differ("%s: %s" % (args.json, name), value, doc.get(name, "nothing"))
    differ("names in " + args.json, sorted(want), sorted(doc))

    def count(value):
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 1 if inner is None else sum(count(v) for v in inner)

    print(count(doc))


# What each takes: operands, as argparse says how many, and options.
COMMANDS = {
    "tree": (tree, "file --decode --base"), "check": (check, "file tree"), "refused": (refused, "file --base"),
    "dump-region": (dump_region, "file --base"), "get": (get, "file path --base"),
    "ram": (ram_command, "file out? --base"), "random": (random_command, "seed file --layout --base --odd"),
    "sample": (sample_command, "file mem --layout --base"), "mounted": (mounted, "file dir what* --decode --base"),
    "json": (compare_json, "file json --decode --base")}
OPTIONS = {"--decode": {"action": "store_true"}, "--odd": {"action": "store_true"},
           "--layout": {"choices": FORMATS}, "--base": {}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (run, takes) in COMMANDS.items():
        p = commands.add_parser(name)
        p.set_defaults(run=run)
        for word in takes.split():
            if word in OPTIONS:
                p.add_argument(word, **OPTIONS[word])
            else:
                p.add_argument(word.rstrip("?*"), nargs=word[-1] if word[-1] in "?*" else None)
    args = parser.parse_args()
    try:
        args.run(args)
    except Malformed as e:
        die("%s: %s" % (args.file, e))


if __name__ == "__main__":
    main()
