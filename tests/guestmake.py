# SPDX-License-Identifier: MIT
"""Linux guests put together by hand: page tables, VMCOREINFO, log, symbols, tasks, BTF.

Nothing of a real kernel is in them, and nothing here knows how smfs reads them: the layouts are
those of the kernel's own structures, with sizes and offsets that this file chooses.
"""

import collections
import struct

import snapstates
from snapfile import new_layout, num, write_file
from snapmake import sized

MIB = 1 << 20
X86_IMAGE = 0xffffffff80000000
MASK = (1 << 64) - 1


def up(n, step):
    return -(-n // step) * step


class Guest:
    """A guest with SIZE bytes of RAM at BASE.

    MACHINE is x86_64 or aarch64, PAGE and VA_BITS say how it translates. The image is 4 MiB at IMAGE_PA, with
    or without a HOLE in its mapping.
    """

    def __init__(self, machine="x86_64", page=4096, va_bits=48, base=0, size=16 * MIB, slide=0x2e000000,
                 release="6.99.1-test", hole=False):
        self.machine, self.page, self.va_bits, self.base = machine, page, va_bits, base
        self.ram = bytearray(size)
        self.shift = page.bit_length() - 1
        self.bits = self.shift - 3
        self.levels = -(-(va_bits - self.shift) // self.bits)
        self.image_pa, self.image_size = base + 4 * MIB, 4 * MIB
        self.image_next = self.image_pa + 0x10000
        self.free = base + 8 * MIB    # for what is outside of the image
        self.slide = slide
        if machine == "x86_64":
            self.image = X86_IMAGE + 0x1000000 + slide
            self.direct = 0xffff888000000000 if va_bits == 48 else 0xff11000000000000
            self.vmalloc = 0xffffc90000000000 if va_bits == 48 else 0xffa0000000000000
        else:
            # The direct map begins with the lowest address there is, and RAM's first byte.
            self.image = 0xffff800080000000 + slide if va_bits == 48 else (MASK << (va_bits - 1) & MASK) + slide
            self.direct = ((MASK << va_bits & MASK) - base) & MASK
            self.vmalloc = self.image + 0x40000000
        self.root = self.image_pa + 0x8000 if page == 4096 else self.image_pa + 0x10000
        self.image_next = max(self.image_next, self.root + page)
        self.info = []
        self.release = release
        self.tables = {}
        if hole:    # what was needed to boot alone is not mapped any more; all else is behind it
            self.map(self.image, self.image_pa, 2 * MIB)
            self.map(self.image + 3 * MIB, self.image_pa + 3 * MIB, MIB)
            self.image_next = self.image_pa + 3 * MIB
        else:
            self.map(self.image, self.image_pa, self.image_size)
        self.map(self.direct + base & MASK, base, size)

    # ---- memory ----

    def poke(self, pa, data):
        at = pa - self.base
        assert 0 <= at and at + len(data) <= len(self.ram)
        self.ram[at:at + len(data)] = data

    def image_va(self, pa):
        return pa - self.image_pa + self.image

    def put(self, data, align=8):
        """Put DATA into the image: its virtual address."""
        pa = up(self.image_next, align)
        self.image_next = pa + len(data)
        assert self.image_next <= self.image_pa + self.image_size
        self.poke(pa, data)
        return self.image_va(pa)

    def give(self, n, align=16):
        """N bytes outside of the image: a physical address."""
        pa = up(self.free, align)
        self.free = pa + n
        assert self.free <= self.base + len(self.ram)
        return pa

    def put_outside(self, data, align=16):
        """Likewise, with DATA: its address in the direct map."""
        pa = self.give(len(data), align)
        self.poke(pa, data)
        return pa + self.direct & MASK

    # ---- page tables ----

    def entry(self, pa, level, leaf):
        if self.machine == "x86_64":
            return pa | 0x63 | (0x80 if leaf and level else 0) | (1 << 63 if leaf else 0)
        return pa | (1 if leaf and level else 3) | (0x40000000000f00 if leaf else 0)

    def map(self, va, pa, size, small=False):
        """Map SIZE bytes, with the largest pages there are, or with SMALL ones."""
        while size > 0:
            level, table = self.levels - 1, self.root
            while True:
                step = 1 << self.shift + level * self.bits
                blocks = level == 0 or not small and level <= (2 if self.page == 4096 else 1)
                leaf = blocks and va % step == 0 and pa % step == 0 and size >= step
                width = min(self.bits, self.va_bits - self.shift - level * self.bits)
                at = table + 8 * (va // step % (1 << width))
                if leaf:
                    self.poke(at, num(self.entry(pa, level, True), 8))
                    break
                if at not in self.tables:
                    self.tables[at] = self.give(self.page, self.page)
                    self.poke(at, num(self.entry(self.tables[at], level, False), 8))
                table = self.tables[at]
                level -= 1
            va, pa, size = va + step & MASK, pa + step, size - step

    # ---- VMCOREINFO ----

    def finish(self, note=True, where=None):
        """Write VMCOREINFO, and what every kernel has in it."""
        lines = ["OSRELEASE=" + self.release, "PAGESIZE=%d" % self.page]
        uts = b"".join(s.encode().ljust(65, b"\0") for s in (
            "Linux", "(none)", self.release, "#7 SMP test", self.machine, "(none)"))
        lines += ["SYMBOL(init_uts_ns)=%x" % (self.put(uts, 64) - 4), "OFFSET(uts_namespace.name)=4",
                  "SYMBOL(swapper_pg_dir)=%x" % self.image_va(self.root), "SYMBOL(_stext)=%x" % self.image]
        if self.machine == "x86_64":
            phys_base = self.image_pa - (self.image - X86_IMAGE)
            lines += ["SYMBOL(init_top_pgt)=%x" % self.image_va(self.root), "NUMBER(phys_base)=%d" % phys_base, "NUMBER(pgtable_l5_enabled)=%d" % (self.va_bits == 57)]
        else:
            lines += ["NUMBER(VA_BITS)=%d" % self.va_bits,
                      "NUMBER(kimage_voffset)=0x%x" % (self.image - self.image_pa & MASK),
                      "NUMBER(PHYS_OFFSET)=0x%x" % self.base, "NUMBER(TCR_EL1_T1SZ)=0x%x" % (64 - self.va_bits)]
        lines += ["KERNELOFFSET=%x" % self.slide, *self.info]
        self.text = "".join(line + "\n" for line in lines)
        data = self.text.encode()
        if note:
            data = struct.pack("<III12s", 11, len(data), 0, b"VMCOREINFO\0") + data
        self.poke(self.give(up(len(data), 4096), 4096) if where is None else where, data)

    def write(self, path, vcpus=()):
        model = {"num_cpus": len(vcpus), "mem_size": len(self.ram),
                 "com1": {name: 0 for name in ("ier", "lcr", "mcr", "scr", "dll", "dlm")},
                 "clock_host_ticks": 0, "clock_ref": 0, "intc": b"", "vcpu": list(vcpus), "devices": [],
                 "tsi_token": None, "listeners": []}
        layout = new_layout(model, "kvm" if self.machine == "x86_64" else "hvf")
        if self.machine != "x86_64":
            layout["ram_gpa"] = self.base
        write_file(path, model, layout, bytes(self.ram))


# ---- the log --------------------------------------------------------------------

FREE, COMMITTED, FINAL, REUSABLE = 0, 1, 2, 3


def printk_ring(guest, records, count_bits, size_bits, to_the_end=False):
    """Write RECORDS, (time, text, state) each, one after the other, as Linux 5.10 and later do.

    TEXT None is a record without data that was lost, "" one that had none. TO_THE_END: text may end where the ring
    does, as newer kernels have it. Those that are left, as (time, text).
    """
    count, size = 1 << count_bits, 1 << size_bits
    descs, infos, data = bytearray(24 * count), bytearray(88 * count), bytearray(size)
    first_id = -(count + 1) & MASK >> 2
    lpos, kept = -size & MASK, []
    for i, (time, text, state) in enumerate(records):
        ident = first_id + 1 + i & MASK >> 2
        index = ident % count
        if not text:
            begin = after = 1 if text is None else 3
        else:
            need = up(8 + len(text), 8)
            begin, after = lpos, lpos + need & MASK
            start = begin % size
            if start + need > size - (not to_the_end):    # it goes to the start of the next round
                after = (begin - start + size + need) & MASK
                start = 0
            data[start:start + 8] = num(ident, 8)
            data[start + 8:start + 8 + len(text)] = text
            lpos = after
        descs[24 * index:24 * index + 24] = num(state << 62 | ident, 8) + num(begin, 8) + num(after, 8)
        infos[88 * index:88 * index + 24] = num(i, 8) + num(time, 8) + num(len(text or b""), 2) + bytes(6)
        kept.append((time, text, state, begin, ident))
    # What was overwritten is not there any more.
    kept = kept[-count:]
    tail = kept[0][4]
    for time, text, state, begin, ident in kept:
        if text and (lpos - begin & MASK) > size:
            index = ident % count
            descs[24 * index:24 * index + 8] = num(REUSABLE << 62 | ident, 8)
    left = [(time, text or b"") for time, text, state, begin, ident in kept
            if state in (COMMITTED, FINAL) and (not text or (lpos - begin & MASK) <= size)]
    prb = guest.put(bytes(88))
    pa = guest.image_pa + prb - guest.image
    guest.poke(pa, num(count_bits, 4) + bytes(4) + num(guest.put_outside(bytes(descs)), 8)
               + num(guest.put_outside(bytes(infos)), 8) + num(ident, 8) + num(tail, 8) + bytes(8)
               + num(size_bits, 4) + bytes(4) + num(guest.put_outside(bytes(data)), 8))
    guest.info += ["SYMBOL(prb)=%x" % guest.put(num(prb, 8)),
                   "OFFSET(printk_ringbuffer.desc_ring)=0", "OFFSET(printk_ringbuffer.text_data_ring)=48",
                   "SIZE(printk_ringbuffer)=88", "OFFSET(printk_ringbuffer.fail)=80", "SIZE(prb_desc_ring)=48",
                   "OFFSET(prb_desc_ring.count_bits)=0", "OFFSET(prb_desc_ring.descs)=8",
                   "OFFSET(prb_desc_ring.infos)=16", "OFFSET(prb_desc_ring.head_id)=24",
                   "OFFSET(prb_desc_ring.tail_id)=32", "SIZE(prb_desc)=24", "OFFSET(prb_desc.state_var)=0",
                   "OFFSET(prb_desc.text_blk_lpos)=8", "SIZE(prb_data_blk_lpos)=16",
                   "OFFSET(prb_data_blk_lpos.begin)=0", "OFFSET(prb_data_blk_lpos.next)=8", "SIZE(printk_info)=88",
                   "OFFSET(printk_info.seq)=0", "OFFSET(printk_info.ts_nsec)=8", "OFFSET(printk_info.text_len)=16",
                   "OFFSET(printk_info.caller_id)=20", "OFFSET(printk_info.dev_info)=24",
                   "SIZE(prb_data_ring)=32", "OFFSET(prb_data_ring.size_bits)=0", "OFFSET(prb_data_ring.data)=8",
                   "OFFSET(prb_data_ring.head_lpos)=16", "OFFSET(prb_data_ring.tail_lpos)=24",
                   "SIZE(atomic_long_t)=8", "OFFSET(atomic_long_t.counter)=0"]
    return left


def log_buf(guest, records, size):
    """The same as before 5.10: records of struct printk_log in a buffer of SIZE bytes.

    Where it goes on at its start, there is a record without a length, which vmcore-dmesg prints too.
    """
    buf, at, places = bytearray(size), 0, collections.deque()
    for time, text in records:
        need = up(16 + len(text), 8)
        if at + need + 16 > size:
            # The next is at the start, and the oldest ones, from here on, make way.
            while places and places[0][0] >= at:
                places.popleft()
            buf[at:at + 16] = bytes(16)
            places.append((at, 0, b""))
            at = 0
        # There is room for another such mark, too.
        while places and at <= places[0][0] < at + need + 16:
            places.popleft()
        buf[at:at + need] = (num(time, 8) + num(need, 2) + num(len(text), 2) + bytes(4) + text).ljust(need, b"\0")
        places.append((at, time, text))
        at += need
    first = places[0][0]
    guest.info += ["SYMBOL(log_buf)=%x" % guest.put(num(guest.put_outside(bytes(buf)), 8)),
                   "SYMBOL(log_buf_len)=%x" % guest.put(num(size, 4)),
                   "SYMBOL(log_first_idx)=%x" % guest.put(num(first, 4)),
                   "SYMBOL(log_next_idx)=%x" % guest.put(num(at, 4)), "SIZE(printk_log)=16",
                   "OFFSET(printk_log.ts_nsec)=0", "OFFSET(printk_log.len)=8", "OFFSET(printk_log.text_len)=10",
                   "OFFSET(printk_log.dict_len)=12"]
    return [(time, text) for _, time, text in places]


def log_text(records):
    """As vmcore-dmesg prints it."""
    shown = b"".join(b"[%5d.%06d] %s\n" % (time // 10**9, time // 1000 % 10**6, b"".join(
        bytes([c]) if 32 <= c < 127 or 9 <= c <= 13 else b"\\x%02x" % c for c in text)) for time, text in records)
    return shown


# ---- symbols --------------------------------------------------------------------

TOKENS = {1: b"sys_", 2: b"_start", 3: b"Tdo_"}


def kallsyms(guest, symbols, order, absolute, wide=False, long_names=False):
    """SYMBOLS, (address, type and name) each, in the tables' ORDER: "6.5", in VMCOREINFO, or "4.6", not.

    ABSOLUTE: as with ABSOLUTE_PERCPU. WIDE: numbers of 8 bytes.
    """
    table, index, begins = b"", b"", {}
    for i in range(256):
        text = TOKENS.get(i, bytes([i]) if 32 < i < 127 else b"")
        begins[i] = len(table)
        table += text + b"\0"
        index += num(begins[i], 2)
    names, markers = b"", []
    for i, (_, name) in enumerate(symbols):
        if i % 256 == 0:
            markers.append(len(names))
        for token, text in TOKENS.items():
            name = name.replace(text, bytes([token]))
        if len(name) > 127:
            assert long_names
            names += bytes([len(name) & 127 | 128, len(name) >> 7]) + name
        else:
            names += bytes([len(name)]) + name
    base = guest.image
    offsets = b""
    for address, _ in symbols:
        if not absolute:
            value = address - base
        else:
            value = address if address < 1 << 31 else base - 1 - address
        offsets += struct.pack("<I", value & 0xffffffff)
    width = 8 if wide else 4
    parts = {"offsets": offsets, "relative_base": num(base, 8), "num_syms": num(len(symbols), width),
             "names": names, "markers": b"".join(num(m, width) for m in markers), "token_table": table,
             "token_index": index}
    if order == "4.6":
        sequence = ["offsets", "relative_base", "num_syms", "names", "markers", "token_table", "token_index"]
    else:
        sequence = ["num_syms", "names", "markers", "token_table", "token_index", "offsets", "relative_base"]
    for name in sequence:
        va = guest.put(parts[name], 8)
        if order != "4.6" and name != "markers":
            guest.info.append("SYMBOL(kallsyms_%s)=%x" % (name, va))


def kallsyms_text(symbols):
    return b"".join(b"%016x %c %s\n" % (address, name[0], name[1:]) for address, name in symbols)


# ---- tasks ----------------------------------------------------------------------

# Where members are in struct task_struct: whatever they are, they are found.
SIZE, STATE, STACK, TASKS, EXIT_STATE, PID, TGID, COMM = 2560, 24, 32, 1160, 1340, 1368, 1372, 1856


def tasks(guest, listed):
    """LISTED: (pid, state, name) each, and exit_state if it is not 0; the first is the idle task, in the image.
    Their stacks."""
    stacks = [guest.vmalloc + 0x10000 + i * 0x8000 for i in range(len(listed))]
    places = []
    for i in range(len(listed)):
        places.append(guest.put(bytes(SIZE), 64) if i == 0 else guest.put_outside(bytes(SIZE), 64))
    for i, (pid, state, name, *exit_state) in enumerate(listed):
        task = bytearray(SIZE)
        # Something like it, before what is looked for.
        task[8:16] = num(guest.direct + 0x5000 + 64 * i & MASK, 8)
        task[STATE:STATE + 4] = num(state, 4)
        task[EXIT_STATE:EXIT_STATE + 4] = num(*(exit_state or [0]), 4)
        task[STACK:STACK + 8] = num(stacks[i], 8)
        around = places[(i + 1) % len(listed)] + TASKS, places[i - 1] + TASKS
        task[TASKS:TASKS + 16] = num(around[0], 8) + num(around[1], 8)
        task[PID:PID + 8] = num(pid, 4) + num(pid, 4)
        task[COMM:COMM + 16] = name.ljust(16, b"\0")
        va = places[i]
        pa = guest.image_pa + va - guest.image if i == 0 else va - guest.direct & MASK
        guest.poke(pa, bytes(task))
    return stacks


def btf(guest):
    """BTF with a structure for the tasks, and what else there is."""
    strings, types = b"\0", b""

    def name(text):
        nonlocal strings
        at = len(strings)
        strings += text + b"\0"
        return at

    def kind(text, number, vlen, size, rest=b"", flag=0):
        nonlocal types
        types += struct.pack("<III", name(text) if text else 0, flag << 31 | number << 24 | vlen, size) + rest

    kind(b"int", 1, 0, 4, num(32, 4))
    kind(b"", 2, 0, 1)
    kind(b"", 3, 0, 0, struct.pack("<III", 1, 1, 16))
    kind(b"task_struct", 8, 0, 1)    # a typedef of that name
    kind(b"color", 6, 2, 4, struct.pack("<IIII", name(b"red"), 0, name(b"green"), 1))
    kind(b"", 13, 1, 1, struct.pack("<II", 0, 1))
    kind(b"", 19, 1, 8, struct.pack("<III", name(b"wide"), 0, 1))
    members = [(b"__state", STATE), (b"stack", STACK), (b"tasks", TASKS), (b"exit_state", EXIT_STATE), (b"pid", PID),
               (b"tgid", TGID), (b"comm", COMM)]
    kind(b"task_struct", 4, len(members), SIZE,
         b"".join(struct.pack("<III", name(text), 1, at * 8) for text, at in members), flag=1)
    head = struct.pack("<HBBIIIII", 0xeb9f, 1, 0, 24, 0, len(types), len(types), len(strings))
    guest.put(head + types + strings, 8)


# ---- vCPUs ----------------------------------------------------------------------

def kvm_vcpu(registers):
    """The state of an x86-64 vCPU, by the names of its fields."""
    blank = sized(*(bytes(n) for n in (144, 312, 416, 392, 64, 4, 128, 1024))) + num(0, 4)
    fields = snapstates.read_state("vcpu/0/raw", blank, "kvm").fields
    for name, value in registers.items():
        blank = snapstates.poke(blank, fields[name], value)
    return blank


def hvf_vcpu(registers):
    counts, entries = b"", b""
    for group, names, width in snapstates.HVF_LISTS:
        counts += num(len(names), 4)
        for number, name in names.items():
            entries += num(number, 4) + num(registers.get("%s/%s" % (group, name), 0), width)
    return num(0, 8) + counts + entries
