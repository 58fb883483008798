# SPDX-License-Identifier: MIT
"""vCPUs in the form of a snapshot, from the device state that QEMU saves.

Each function takes the payloads of a vCPU's sections, by name, as QEMU's migration format has them: numbers
in the order of its vmstate tables, big-endian. Those orders go with the section's version.
"""

import struct


class Reader:
    """Numbers from the start of DATA on."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def __call__(self, form):
        """All that FORM, as struct has it, describes; alone where it is one."""
        form = ">" + form
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values[0] if len(values) == 1 else values


def sized(*structures):
    return b"".join(struct.pack("<I", len(s)) + s for s in structures)


# ---- x86-64: structures of KVM's interface ---------------------------------------------

X86_64_VERSION = 12
X86_64_ORDER = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
KVM_ORDER = "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags".split()


def segment(selector, base, limit, flags, busy=0):
    """struct kvm_segment; FLAGS is the upper half of the descriptor."""
    def bits(at, count=1):
        return flags >> at & (1 << count) - 1
    present = bits(15)
    return struct.pack("<QIH10B", base, limit, selector, bits(8, 4) | busy, present, bits(13, 2), bits(22), bits(12),
                       bits(21), bits(23), bits(20), 1 - present, 0)


def lapic(payload, now):
    """struct kvm_lapic_state, APIC base and task priority; NOW is the guest's clock in nanoseconds."""
    page = bytearray(1024)
    if payload is None:
        return bytes(page), 0, 0
    read = Reader(payload)
    base, number, _arbitration, tpr, svr, logical, model = read("IBBBIBB")
    bits, lvt, esr, icr = read("24I"), read("6I"), read("I"), read("2I")
    divide, shift, initial, loaded = read("IiIq")
    passed = max(now - loaded, 0) >> shift if initial and shift >= 0 else 0
    if lvt[0] >> 17 & 1:    # periodic
        passed %= initial + 1
    registers = {0x20: number << 24, 0x30: 5 << 16 | 0x14, 0x80: tpr, 0xd0: logical << 24,
                 0xe0: model << 28 | 0x0fffffff, 0xf0: svr, 0x280: esr, 0x300: icr[0], 0x310: icr[1],
                 0x380: initial, 0x390: max(initial - passed, 0), 0x3e0: divide}
    registers.update({0x100 + 16 * i: value for i, value in enumerate(bits)})    # ISR, TMR, IRR
    registers.update({0x320 + 16 * i: value for i, value in enumerate(lvt)})
    for at, value in registers.items():
        struct.pack_into("<I", page, at, value)
    return bytes(page), base, tpr


def x86_64(sections, ticks, now, relative):
    """The blob of a vCPU; RELATIVE: its x87 registers are in the order of the stack, as KVM has them."""
    read = Reader(sections["cpu"])
    registers = dict(zip(X86_64_ORDER, read("16Q")))
    registers["rip"], registers["rflags"] = read("QQ")
    flags, fcw, fsw, tags, _format = read("IHHHH")
    x87 = [read("QH") for _ in range(8)]
    es, cs, ss, ds, fs, gs, ldt, tr, gdt, idt = (read("IQII") for _ in range(10))
    sysenter = read("IQQ")
    cr0, cr2, cr3, cr4 = read("4Q")
    dr, _a20, mxcsr = read("8Q"), read("i"), read("I")
    xmm = [read("QQ") for _ in range(16)]
    efer, star, lstar, cstar, mask, kernel_gs = read("6Q")
    _smbase, _pat, flags2 = read("IQI")
    read("4Q4HIB 11QQ 16Q")    # nested guests, MTRRs
    read("iIQi4BI 3Q 40Q")     # what KVM keeps, machine checks
    tsc_aux = read("Q")
    read("2Q")
    xcr0 = read("Q")
    halted = Reader(sections["cpu_common"])("I")
    page, apic_base, tpr = lapic(sections.get("apic"), now)

    top = 0 if relative else fsw >> 11 & 7
    fpu = b"".join(struct.pack("<QHHI", *x87[top + i & 7], 0, 0) for i in range(8))
    fpu += struct.pack("<HHBBHQQ", fcw, fsw, tags & 0xff, 0, 0, 0, 0)
    fpu += b"".join(struct.pack("<QQ", *one) for one in xmm) + struct.pack("<II", mxcsr, 0)
    sregs = b"".join(segment(*one) for one in (cs, ds, es, fs, gs, ss))
    # A task register that was loaded is busy, which QEMU does not note and processors insist on.
    sregs += segment(*tr, busy=2) + segment(*ldt)
    sregs += b"".join(struct.pack("<QH6x", base, limit) for _, base, limit, _ in (gdt, idt))
    sregs += struct.pack("<7Q", cr0, cr2, cr3, cr4, tpr >> 4, efer, apic_base) + bytes(32)
    events = bytearray(64)
    events[11] = flags >> 3 & 1     # interrupts wait for an instruction
    events[14] = flags2 >> 2 & 1    # an NMI is being handled
    events[24] = flags >> 19 & 1    # system management mode
    msrs = {0x10: ticks, 0x174: sysenter[0], 0x175: sysenter[1], 0x176: sysenter[2], 0xc0000081: star,
            0xc0000082: lstar, 0xc0000083: cstar, 0xc0000084: mask, 0xc0000102: kernel_gs, 0xc0000103: tsc_aux}
    return sized(
        struct.pack("<18Q", *(registers[name] for name in KVM_ORDER)), sregs, fpu,
        struct.pack("<IIIIQ", 1, 0, 0, 0, xcr0).ljust(392, b"\0"), bytes(events), struct.pack("<I", 3 if halted else 0),
        struct.pack("<6Q", *dr[:4], dr[6], dr[7]).ljust(128, b"\0"), page,
    ) + struct.pack("<I", len(msrs)) + b"".join(struct.pack("<IQ", *pair) for pair in msrs.items())


# ---- aarch64: lists of registers, as from hvf -------------------------------------------

AARCH64_VERSION = 22
# Numbers of registers in the list of QEMU are KVM's: this is the part that says what kind it is.
SYSTEM = 0x6030000000130000


def system(op0, op1, crn, crm, op2):
    return op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


def aarch64(sections):
    """The blob of a vCPU. Its part of the interrupt controller is not in it."""
    read = Reader(sections["cpu"])
    read("16I")
    x, pc, cpsr = read("32Q"), read("Q"), read("I")
    read("I")
    spsr = read("8Q")
    read("8I 8I 5I 5I")
    elr, sp = read("4Q"), list(read("4Q"))
    count = read("i")
    ids, values = read("%dQ" % count), read("%dQ" % count)
    # The stack pointer in use is kept in x31 alone.
    level = cpsr >> 2 & 3
    sp[level if cpsr & 1 else 0] = x[31]
    sys = {number & 0xffff: value for number, value in zip(ids, values) if number & ~0xffff == SYSTEM}
    sys.update({system(3, 0, 4, 0, 0): spsr[1], system(3, 0, 4, 0, 1): elr[1],
                system(3, 0, 4, 1, 0): sp[0], system(3, 4, 4, 1, 0): sp[1]})
    q, status = [(0, 0)] * 32, 0
    if "cpu/vfp" in sections:
        read = Reader(sections["cpu/vfp"])
        q = [read("QQ") for _ in range(32)]
        read("I 14I")
        status = read("I")
    gp = {**dict(enumerate(x[:31])), 31: pc, 32: status & 0x07f79f00, 33: status & 0xf800009f, 34: cpsr}
    entries = [struct.pack("<IQ", *pair) for pair in gp.items()]
    entries += [struct.pack("<IQQ", number, *value) for number, value in enumerate(q)]
    entries += [struct.pack("<IQ", *pair) for pair in sorted(sys.items())]
    return struct.pack("<Q6I", 0, len(gp), len(q), len(sys), 0, 0, 0) + b"".join(entries)
