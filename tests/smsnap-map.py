#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap map, as JSON, text and picture, against classes that Python finds by comparing all pages."""

import collections
import fcntl
import json
import os
import pty
import random
import resource
import struct
import subprocess
import sys
import termios
import time
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from mounted import Failed, WorkDir, require  # noqa: E402
from snapfile import PAGE, Snapshot, new_layout, round_up, write_file, write_head  # noqa: E402
from snapmake import sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
CLASSES = ["changed", "hole", "zero", "repeated", "data"]
LETTERS = "!.0=#"
# As the picture has them, and paper and ink.
COLOURS = [(0xd6, 0x27, 0x28), (0xe6, 0xe6, 0xe6), (0x9f, 0xb4, 0xc4), (0xf0, 0xa8, 0x2c), (0x1f, 0x55, 0xa0)]
checks = 0
seen = set()


def run(status, *arguments):
    done = subprocess.run([SMSNAP, "map", *arguments], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120)
    require(done.returncode == status, "%r: exit status %d: %r" % (arguments, done.returncode, done.stderr))
    require(done.stderr.decode().count("\n") == (status != 0), "it says %r" % done.stderr)
    return done.stdout.decode()


# ---- the known answer ---------------------------------------------------------

def stored(path, start, size):
    """The pages of the SIZE bytes at START of the file of which a byte is stored."""
    pages, at = set(), start
    fd = os.open(path, os.O_RDONLY)
    try:
        while at < start + size:
            at = max(os.lseek(fd, at, os.SEEK_DATA), at)
            end = min(os.lseek(fd, at, os.SEEK_HOLE), start + size)
            if at < start + size:
                pages.update(range((at - start) // PAGE, (end - start - 1) // PAGE + 1))
            at = end
    except OSError:  # no more data
        pass
    os.close(fd)
    return pages


def classes_of(path):
    """The class of each page of the snapshot, and where RAM is."""
    snap = Snapshot(path)
    region = snap if snap.format != "kvm-diff" else Snapshot(snap.base_path)
    there = stored(region.path, region.ram_offset, len(snap.ram))
    listed = {index for index, _ in snap.pages}
    pages = [snap.ram[at:at + PAGE] for at in range(0, len(snap.ram), PAGE)]
    times = collections.Counter(pages)

    def class_of(i, page):
        if i in listed:
            return "changed"
        if i not in there:
            return "hole"
        if not page.strip(b"\0"):
            return "zero"
        return "repeated" if times[page] > 1 else "data"
    return [class_of(i, page) for i, page in enumerate(pages)], snap.layout.get("ram_gpa", 0), len(snap.ram)


# ---- what it prints -----------------------------------------------------------

def check_json(path, classes, base, size):
    ranges = json.loads(run(0, path, "--json"))
    got, at = [], base
    for r in ranges:
        require(list(r) == ["start", "end", "class"], "names %r" % list(r))
        start, end = int(r["start"], 16), int(r["end"], 16)
        require(start == at < end, "%s: a gap before %r" % (path, r))
        at = end
        got += [r["class"]] * (round_up(end - start, PAGE) // PAGE)
    require(at == base + size, "%s: it ends at 0x%x" % (path, at))
    require(got == classes, "%s: pages %r" % (path, [(i, a, b) for i, (a, b) in enumerate(zip(classes, got)) if a != b][:5]))
    require(all(a["class"] != b["class"] for a, b in zip(ranges, ranges[1:])), "ranges that could be one")


def cells_of(classes, cell):
    """The class that shows each CELL pages: most of them, the first of those as many."""
    for at in range(0, len(classes), cell):
        times = collections.Counter(classes[at:at + cell])
        yield "changed" if times["changed"] else max(CLASSES, key=lambda c: (times[c], -CLASSES.index(c)))


def check_text(classes, base, text, width=80):
    """TEXT is a map of them; returns the cells of a line."""
    lines = text.split("\n")
    require(all(len(line) <= width for line in lines), "wider than %d" % width)
    body, cells = lines[1:lines.index("")], ""
    require(len(body) <= 16, "%d lines" % len(body))
    per_line = (width - 14) // 16 * 16
    cell = 1
    while -(-len(classes) // (cell * per_line)) > 16:
        cell *= 2
    for i, line in enumerate(body):
        address, drawn = line.split()
        require(int(address, 16) == base + i * per_line * cell * PAGE, "line %d is at %s" % (i, address))
        cells += drawn
    want = "".join(LETTERS[CLASSES.index(c)] for c in cells_of(classes, cell))
    require(cells == want, "expected %r, got %r" % (want, cells))
    for name, letter, line in zip(CLASSES, LETTERS, lines[lines.index("") + 1:]):
        words = line.split()
        require(words[:2] == [letter, name], "legend %r" % line)
        require(abs(float(words[4]) - 100 * classes.count(name) / len(classes)) < 0.06, "legend %r" % line)
        kib = float(words[2]) * {"KiB": 1, "MiB": 1024, "GiB": 1 << 20}[words[3]]
        require(abs(kib - 4 * classes.count(name)) <= 0.001 * kib + 52 * (words[3] != "KiB"), "legend %r" % line)


def read_png(path):
    """The rows of an image with a palette, as colours."""
    with open(path, "rb") as f:
        data = f.read()
    require(data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG")
    at, image, palette, width = 8, b"", [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + size]
        require(zlib.crc32(kind + body) == struct.unpack_from(">I", data, at + 8 + size)[0], "a wrong sum")
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            require((depth, colour, interlace) == (8, 3, 0), "another kind of image")
        elif kind == b"PLTE":
            palette = [tuple(body[i:i + 3]) for i in range(0, size, 3)]
        elif kind == b"IDAT":
            image += body
        at += size + 12
    raw = zlib.decompress(image)
    require(len(raw) == height * (width + 1), "%d bytes" % len(raw))
    require(not any(raw[y * (width + 1)] for y in range(height)), "rows are filtered")
    return [[palette[c] for c in raw[y * (width + 1) + 1:(y + 1) * (width + 1)]] for y in range(height)]


def check_picture(path, classes, cell=1):
    png = path + ".png"
    require(run(0, path, "--png", png) == "", "it prints")
    require(os.stat(png).st_mode & 0o777 == 0o600, "mode")
    rows = read_png(png)
    wanted = [COLOURS[CLASSES.index(c)] for c in cells_of(classes, cell)]
    # The first dot that is neither paper nor ink is the map's.
    top, left = next((y, x) for y, row in enumerate(rows) for x, c in enumerate(row) if c in COLOURS)
    side = 1
    while side * side < len(wanted):
        side *= 2
    square = max(512 // side, 1)
    for i, colour in enumerate(wanted):
        y, x = top + i // side * square, left + i % side * square
        for dot in ((y, x), (y + square - 1, x + square - 1)):
            require(rows[dot[0]][dot[1]] == colour, "square %d is %r" % (i, rows[dot[0]][dot[1]]))
    # Nothing else but a legend of each has colour.
    counts = collections.Counter(c for row in rows for c in row)
    for colour in COLOURS:
        require(counts[colour] == wanted.count(colour) * square * square + 18 * 18, "dots of %r" % (colour,))


# ---- snapshots ----------------------------------------------------------------

def random_page(rng, few):
    return rng.choice([bytes(PAGE), rng.choice(few), rng.randbytes(PAGE), bytes(PAGE - 1) + b"\1", rng.choice(few)[:-1] + b"\0"])


def make(rng, path, layout):
    model = sample_model()
    few = [rng.randbytes(PAGE) for _ in range(3)]
    count = rng.choice([1, 2, 7, 70, 300])
    if layout == "kvm-diff":
        make(rng, path + ".base", "kvm")
        model["mem_size"] = Snapshot(path + ".base").model["mem_size"]
        whole = model["mem_size"] // PAGE
        pages = [(rng.randrange(whole), random_page(rng, few)) for _ in range(rng.randrange(whole + 1))]
        write_file(path, model, new_layout(model, layout, base=path + ".base", changed_pages=len(pages)), pages=pages)
        return
    model["mem_size"] = count * PAGE - (rng.randrange(PAGE) if layout == "bare" else 0)
    where = new_layout(model, layout)
    if layout == "bare":
        where["ram_offset"] = len(write_head(model, where)) + rng.randrange(5000)
    if layout == "hvf":
        where["ram_gpa"] = rng.choice([where["ram_gpa"], 0x1001, 1 << 40])
    ram = b"".join(random_page(rng, few) for _ in range(count))[:model["mem_size"]]
    write_file(path, model, where, ram)
    with open(path, "r+b") as f:
        for i in range(count):
            if rng.randrange(8) == 0:
                at = where["ram_offset"] + i * PAGE
                size = min(PAGE, model["mem_size"] - i * PAGE)
                f.seek(at)
                f.write(bytes(size))


def check_random(work, seed):
    global checks
    rng = random.Random(seed)
    path = os.path.join(work, "snap")
    make(rng, path, ["kvm", "kvm-diff", "hvf", "bare"][seed % 4])
    classes, base, size = classes_of(path)
    seen.update(classes)
    check_json(path, classes, base, size)
    check_text(classes, base, run(0, path))
    if seed < 12:
        check_picture(path, classes)
    checks += 3


def check_terminal(work):
    """It takes the terminal's width."""
    global checks
    path = os.path.join(work, "snap")
    make(random.Random(3), path, "kvm")
    classes, base, _ = classes_of(path)
    for width in (200, 132, 80):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        subprocess.run([SMSNAP, "map", path], check=True, stdout=slave, timeout=60)
        os.close(slave)
        text = b""
        try:
            while piece := os.read(master, 65536):
                text += piece
        except OSError:  # all has been read
            pass
        os.close(master)
        check_text(classes, base, text.decode(), width)
        checks += 1


def check_large(work):
    """1 TiB of which little is stored takes the time and the memory of that."""
    global checks
    path = os.path.join(work, "large")
    model = sample_model()
    model["mem_size"] = 1 << 40
    page = os.urandom(PAGE)
    write_file(path, model, ram={0: page, 1 << 39: page * 2 + os.urandom(PAGE)})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    ranges = json.loads(run(0, path, "--json"))
    took = time.monotonic() - start
    wanted = [(0, 1, "repeated"), (1, 1 << 27, "hole"), (1 << 27, (1 << 27) + 2, "repeated"),
              ((1 << 27) + 2, (1 << 27) + 3, "data"), ((1 << 27) + 3, 1 << 28, "hole")]
    require(ranges == [{"start": hex(a * PAGE), "end": hex(b * PAGE), "class": c} for a, b, c in wanted], repr(ranges))
    require(took < 5, "it took %.1f s" % took)
    run(0, path, "--png", path + ".png")
    require("repeated" in run(0, path), "no legend")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # The second copy of RAM has a bit for each page: 32 MiB.
    require(peak < 80 << 10 or peak == before.ru_maxrss, "it took %d KiB" % peak)
    checks += 3


def check_refused(work):
    global checks
    path = os.path.join(work, "snap")
    model = sample_model()
    model["mem_size"] = 2 * PAGE
    write_file(path, model, ram=os.urandom(2 * PAGE))
    with open(path, "rb") as f:
        before = f.read()
    run(1, path, "--png", path)
    run(1, path, "--png", work)
    run(1, path, "--png", os.path.join(work, "missing", "x.png"))
    run(1, path, "--png", "/dev/full")
    with open(path, "rb") as f:
        require(f.read() == before, "the snapshot was written")
    run(2, path, path)
    run(2)
    diff = os.path.join(work, "diff")
    write_file(diff, model, new_layout(model, "kvm-diff", base="/no/such", changed_pages=0))
    run(1, diff)
    require(json.loads(run(0, diff, "--in-base", path, "--json"))[0]["class"] == "data", "with its base")
    model["mem_size"] = 0
    write_file(path, model)
    run(1, path)
    checks += 9


def main():
    with WorkDir() as work:
        try:
            for seed in range(60):
                check_random(work, seed)
            require(seen == set(CLASSES), "not all classes were tried: %r" % seen)
            check_terminal(work)
            check_large(work)
            check_refused(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks" % checks)


if __name__ == "__main__":
    main()
