# SPDX-License-Identifier: MIT
"""What is inside a snapshot's blobs, read by hand after the description of the format.

A state is a list of fields, each with the places where its bytes are: an edit of a field
changes these and nothing else. What is not understood to its last byte has no fields.
"""

import os
import re
from collections import namedtuple

from snapfile import Cursor, Malformed

# PATH is below the blob's own. WIDTH is in bytes, VALUE a number, text or bytes. Where an id
# repeats, places has several: the last is shown, an edit changes all.
Field = namedtuple("Field", "path places width value")

INODE_KINDS = ["file", "dir", "symlink", "other"]

# Structures are (name, width) in their order; one without a name is padding.

def each(prefixes, fields):
    """These fields once for every prefix."""
    return [(prefix + name if name else "", width) for prefix in prefixes for name, width in fields]


def numbers(names, width):
    return [(name, width) for name in names.split()]


REGS = numbers("rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags", 8)

SREGS = (each(["cs/", "ds/", "es/", "fs/", "gs/", "ss/", "tr/", "ldt/"],
              [("base", 8), ("limit", 4), ("selector", 2)]
              + numbers("type present dpl db s l g avl unusable", 1) + [("", 1)])
         + each(["gdt/", "idt/"], [("base", 8), ("limit", 2), ("", 6)])
         + numbers("cr0 cr2 cr3 cr4 cr8 efer apic_base", 8) + [("interrupt_bitmap", 32)])

FPU = (numbers("st0 st1 st2 st3 st4 st5 st6 st7", 16)
       + [("fcw", 2), ("fsw", 2), ("ftwx", 1), ("", 1), ("last_opcode", 2), ("last_ip", 8), ("last_dp", 8)]
       + [("xmm%d" % i, 16) for i in range(16)] + [("mxcsr", 4), ("", 4)])

EVENTS = (each(["exception/"], numbers("injected nr has_error_code pending", 1) + [("error_code", 4)])
          + each(["interrupt/"], numbers("injected nr soft shadow", 1))
          + each(["nmi/"], numbers("injected pending masked", 1) + [("", 1)])
          + [("sipi_vector", 4), ("flags", 4)]
          + each(["smi/"], numbers("smm pending smm_inside_nmi latched_init", 1))
          + [("triple_fault/pending", 1), ("", 26), ("exception_has_payload", 1), ("exception_payload", 8)])

DEBUGREGS = numbers("db0 db1 db2 db3 dr6 dr7 flags", 8) + [("", 72)]

# Offsets in the page of the local APIC, where every register has 16 bytes.
LAPIC = {"id": 0x20, "version": 0x30, "tpr": 0x80, "ldr": 0xd0, "dfr": 0xe0, "svr": 0xf0,
         **{"isr%d" % i: 0x100 + 16 * i for i in range(8)},
         **{"tmr%d" % i: 0x180 + 16 * i for i in range(8)},
         **{"irr%d" % i: 0x200 + 16 * i for i in range(8)},
         "esr": 0x280, "icr_low": 0x300, "icr_high": 0x310,
         "lvt_timer": 0x320, "lvt_thermal": 0x330, "lvt_perf": 0x340,
         "lvt_lint0": 0x350, "lvt_lint1": 0x360, "lvt_error": 0x370,
         "timer_initial": 0x380, "timer_current": 0x390, "timer_divide": 0x3e0}

MSRS = {0x10: "tsc", 0x174: "sysenter_cs", 0x175: "sysenter_esp", 0x176: "sysenter_eip",
        0xc0000081: "star", 0xc0000082: "lstar", 0xc0000083: "cstar", 0xc0000084: "sfmask",
        0xc0000102: "kernel_gs_base", 0xc0000103: "tsc_aux"}

PIT = (each(["channels/0/", "channels/1/", "channels/2/"],
            [("count", 4), ("latched_count", 2)]
            + numbers("count_latched status_latched status read_state write_state write_latch rw_mode mode bcd gate", 1)
            + [("count_load_time", 8)])
       + [("flags", 4), ("", 36)])
# What a chip is stands before it: chip_id and padding.
PIC = ([("", 8)]
       + numbers("last_irr irr imr isr priority_add irq_base read_reg_select poll special_mask init_state"
                 " auto_eoi rotate_on_auto_eoi special_fully_nested_mode init4 elcr elcr_mask", 1)
       + [("", 496)])
IOAPIC = ([("", 8), ("base_address", 8), ("ioregsel", 4), ("id", 4), ("irr", 4), ("", 4)]
          + [("redirtbl/%d" % i, 8) for i in range(24)] + [("", 296)])
CLOCK = [("clock", 8), ("flags", 4), ("", 4), ("realtime", 8), ("host_tsc", 8), ("", 16)]

HVF_GP = {**{i: "x%d" % i for i in range(31)}, 31: "pc", 32: "fpcr", 33: "fpsr", 34: "cpsr"}
HVF_SIMD = {i: "q%d" % i for i in range(32)}
HVF_SYS = {**{number: name + "_el1" for name, number in {
    "mpidr": 0xc005, "sctlr": 0xc080, "cpacr": 0xc082, "ttbr0": 0xc100, "ttbr1": 0xc101, "tcr": 0xc102,
    "apiakeylo": 0xc108, "apiakeyhi": 0xc109, "apibkeylo": 0xc10a, "apibkeyhi": 0xc10b,
    "apdakeylo": 0xc110, "apdakeyhi": 0xc111, "apdbkeylo": 0xc112, "apdbkeyhi": 0xc113,
    "apgakeylo": 0xc118, "apgakeyhi": 0xc119, "spsr": 0xc200, "elr": 0xc201, "esr": 0xc290, "far": 0xc300,
    "par": 0xc3a0, "mair": 0xc510, "amair": 0xc518, "vbar": 0xc600, "contextidr": 0xc681, "tpidr": 0xc684,
    "cntkctl": 0xc708, "csselr": 0xd000, "mdscr": 0x8012, "sp": 0xe208}.items()},
    0xc208: "sp_el0", 0xde82: "tpidr_el0", 0xde83: "tpidrro_el0", 0xdf11: "cntp_ctl_el0",
    0xdf12: "cntp_cval_el0", 0xdf19: "cntv_ctl_el0", 0xdf1a: "cntv_cval_el0"}
HVF_ICC = {number: name + "_el1" for name, number in {
    "pmr": 0xc230, "bpr0": 0xc643, "ap0r0": 0xc644, "ap1r0": 0xc648, "rpr": 0xc65b, "bpr1": 0xc663,
    "ctlr": 0xc664, "sre": 0xc665, "igrpen0": 0xc666, "igrpen1": 0xc667}.items()}
HVF_ICH = {0xe640: "ap0r0_el2", 0xe648: "ap1r0_el2", 0xe658: "hcr_el2", 0xe65f: "vmcr_el2",
           **{0xe660 + i: "lr%d_el2" % i for i in range(16)}}
HVF_REDIST = {0x10080: "igroupr0", 0x10100: "isenabler0", 0x10200: "ispendr0", 0x10300: "isactiver0",
              **{0x10400 + 4 * i: "ipriorityr%d" % i for i in range(8)}, 0x10c04: "icfgr1"}
# The lists in the order of the file: name, names of the ids, bytes of a value.
HVF_LISTS = [("gp", HVF_GP, 8), ("simd", HVF_SIMD, 16), ("sys", HVF_SYS, 8),
             ("icc", HVF_ICC, 8), ("redist", HVF_REDIST, 8), ("ich", HVF_ICH, 8)]


class State:
    """What is read of a blob: fields by their path, and directories that may be empty."""

    def __init__(self, data):
        self.c = Cursor(data)
        self.fields = {}
        self.directories = []

    def add(self, path, at, width, value):
        before = self.fields.get(path)
        places = before.places + [at] if before else [at]
        self.fields[path] = Field(path, places, width, value)

    def number(self, path, width):
        value = self.c.num(width)
        self.add(path, self.c.at - width, width, value)
        return value

    def text(self, path):
        """A blob of any bytes; those that are no text stay what they are."""
        raw = self.c.blob(len(self.c.data))
        self.add(path, self.c.at - len(raw), len(raw), raw.decode("utf-8", "surrogateescape"))

    def structure(self, prefix, fields):
        """A structure with its size before it; where that begins."""
        size = sum(width for _, width in fields)
        if self.c.num(4) != size:
            raise Malformed("%s is not %d bytes" % (prefix, size))
        start = self.c.at
        for name, width in fields:
            raw = self.c.take(width)
            if name:
                value = raw if name == "interrupt_bitmap" else int.from_bytes(raw, "little")
                self.add(prefix + name, self.c.at - width, width, value)
        return start

    def entry(self, directory, names, number, width):
        """The value that follows its NUMBER."""
        self.number("%s/%s" % (directory, names.get(number, "0x%x" % number)), width)

    def end(self):
        if self.c.at != len(self.c.data):
            raise Malformed("%d bytes left" % (len(self.c.data) - self.c.at))
        return self


def read_kvm_vcpu(data):
    s = State(data)
    s.structure("regs/", REGS)
    s.structure("sregs/", SREGS)
    s.structure("fpu/", FPU)
    start = s.structure("", [("", 392)])
    c = Cursor(data, start)
    count = c.num(4)
    c.num(4)
    s.directories += ["xcrs", "msrs"]
    for _ in range(min(count, 16)):
        xcr = c.num(4)
        c.num(4)
        s.add("xcrs/xcr%d" % xcr, c.at, 8, c.num(8))
    s.structure("events/", EVENTS)
    s.structure("", [("mp_state", 4)])
    s.structure("debugregs/", DEBUGREGS)
    start = s.structure("", [("", 1024)])
    for name, offset in LAPIC.items():
        s.add("lapic/" + name, start + offset, 4, Cursor(data, start + offset).num(4))
    count = s.c.num(4)
    if count > 256:
        raise Malformed("%d MSRs" % count)
    for _ in range(count):
        s.entry("msrs", MSRS, s.c.num(4), 8)
    return s.end()


def read_hvf_vcpu(data):
    s = State(data)
    s.number("vtimer_offset", 8)
    counts = [s.c.num(4) for _ in HVF_LISTS]
    for count, (name, names, width) in zip(counts, HVF_LISTS):
        s.directories.append(name)
        for _ in range(count):
            s.entry(name, names, s.c.num(4), width)
    return s.end()


def read_kvm_intc(data):
    s = State(data)
    s.structure("pit/", PIT)
    s.structure("pic_master/", PIC)
    s.structure("pic_slave/", PIC)
    s.structure("ioapic/", IOAPIC)
    s.structure("clock/", CLOCK)
    return s.end()


def read_version(s, magic, versions):
    if s.c.take(4) != magic:
        raise Malformed("not %r" % magic)
    version = s.number("version", 4)
    if version not in versions:
        raise Malformed("version %d" % version)
    return version


def read_elements(s, name, read):
    s.directories.append(name)
    for i in range(s.c.num(8)):
        directory = "%s/%d" % (name, i)
        read(directory + "/")
        s.directories.append(directory)


def read_backend(data):
    s = State(data)
    version = read_version(s, b"PFSS", (1, 2))
    s.number("next_nodeid", 8)

    def inode(at):
        s.number(at + "nodeid", 8)
        kind = s.c.choice(4, "kind")
        s.add(at + "kind", s.c.at - 1, 1, INODE_KINDS[kind])
        s.text(at + "path")

    def child(at):
        s.number(at + "parent", 8)
        s.text(at + "name")
        s.number(at + "child", 8)

    def handle(at):
        s.number(at + "fh", 8)
        s.number(at + "nodeid", 8)
        s.number(at + "flags", 4)
        s.c.take(4)

    read_elements(s, "inodes", inode)
    read_elements(s, "children", child)
    if version == 2:
        s.number("next_fh", 8)
        read_elements(s, "handles", handle)
    return s.end()


def read_dax(data):
    s = State(data)
    read_version(s, b"DAXS", (1,))
    for name in ("base_gpa", "window_len", "cap_bytes", "mapped_bytes"):
        s.number(name, 8)

    def slot(at):
        for name in ("moffset", "len", "nodeid", "foffset"):
            s.number(at + name, 8)
        s.number(at + "prot", 4)
        s.c.take(4)

    read_elements(s, "slots", slot)
    return s.end()


def readers(path, layout):
    """What the blob at PATH may hold, in a file of this layout."""
    last = path.rsplit("/", 1)[-1]
    if last == "backend_state":
        return [read_backend]
    if last == "dax_state":
        return [read_dax]
    kvm = read_kvm_intc if path == "intc" else read_kvm_vcpu
    hvf = [] if path == "intc" else [read_hvf_vcpu]
    return {"hvf": hvf, "bare": [kvm] + hvf}.get(layout, [kvm])


def read_state(path, data, layout):
    """What is in the blob at PATH, or None where that is not understood."""
    for read in readers(path, layout):
        try:
            return read(data)
        except Malformed:
            continue
    return None


def poke(data, field, value):
    """The blob with another value in a field."""
    if isinstance(value, int):
        raw = value.to_bytes(field.width, "little")
    elif field.path.endswith("/kind"):
        raw = bytes([INODE_KINDS.index(value)])
    else:
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    if len(raw) != field.width:
        raise ValueError("%d bytes for %s" % (len(raw), field))
    for at in field.places:
        data = data[:at] + raw + data[at + len(raw):]
    return data


# ---- a share that moves --------------------------------------------------------

def canonical(path):
    """Where a share is, whose host_path is this (bytes)."""
    if path.startswith(b"/") and b"\0" not in path:
        try:
            return os.path.realpath(path, strict=True)
        except OSError:
            pass
    clean = b"/".join(p for p in path.split(b"/") if p not in (b"", b"."))
    return b"/" + clean if path.startswith(b"/") else clean or b"."


def move_share(data, host_path):
    """A backend_state whose share is at another host_path (bytes) from now on."""
    try:
        state = read_backend(data)
    except Malformed:
        return data
    fields = state.fields.values()
    numbers = {f.path.split("/")[1]: f.value for f in fields if re.fullmatch(r"inodes/\d+/nodeid", f.path)}
    paths = {f.path.split("/")[1]: f for f in fields if re.fullmatch(r"inodes/\d+/path", f.path)}
    roots = [paths[i].value for i, number in numbers.items() if number == 1]
    if not roots or not host_path:
        return data
    old, new = os.fsencode(roots[-1]), canonical(host_path)
    above = old if old == b"/" else old + b"/"
    moved, done = b"", 0
    for field in paths.values():
        path, at = os.fsencode(field.value), field.places[0]
        if path == old or old and path.startswith(above):
            rest = path[len(above):]
            path = new + b"/" + rest if rest and new != b"/" else new + rest
        moved += data[done:at - 4] + len(path).to_bytes(4, "little") + path
        done = at + field.width
    return moved + data[done:]


# ---- how numbers are shown ----------------------------------------------------

# Registers, addresses, masks and flags are hexadecimal: by directory and by name.
REGISTERS = {"regs", "sregs", "fpu", "xcrs", "debugregs", "msrs", "lapic",
             "gp", "simd", "sys", "icc", "ich", "redist"}
HEX = {"flags", "error_code", "exception_payload", "status", "last_irr", "irr", "imr", "isr", "elcr", "elcr_mask",
       "base_address", "ioregsel", "base_gpa", "prot"}


def is_hex(path):
    """Whether a number is, PATH being below the blob's."""
    parts = path.split("/")
    return parts[0] in REGISTERS or parts[-1] in HEX or parts[-2:-1] == ["redirtbl"]


def is_wide(path):
    """Whether it has 128 bits."""
    parts = path.split("/")
    return parts[0] == "simd" or parts[0] == "fpu" and parts[1].startswith(("st", "xmm"))
