#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""smsnap check: nothing to say of a snapshot that restores, and after each kind of damage that
one alone. What is damaged is damaged by smsnap set, by hand in the file, or on the host."""

import json
import os
import shutil
import stat
import struct
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hostmake import MSRS, WINDOW, dax, intc, share, vcpu  # noqa: E402
from mounted import Failed, Mount, WorkDir, require  # noqa: E402
from rings import Driver  # noqa: E402
from snapfile import write_file  # noqa: E402
from snapmake import sample_model  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("SMFS_BUILD", os.path.join(HERE, ".."))
SMSNAP = os.environ.get("SMSNAP", os.path.join(BUILD, "smsnap"))
MEM = 4 << 20
checks = 0


class Host:
    """A folder that is a host's root, with a snapshot and all that it names."""

    def __init__(self, work):
        self.root = os.path.join(work, "host")
        shutil.rmtree(self.root, ignore_errors=True)
        self.folder = self.path("/srv/vm")
        os.makedirs(self.path("/srv/vm/share"))
        for name, size in (("disk", 1 << 16), ("volume", 1 << 16), ("share/file", 9000)):
            with open(os.path.join(self.folder, name), "wb") as f:
                f.truncate(size)
        self.snap = os.path.join(self.folder, "vm.snap")
        self.driver = Driver(8, 1 << 32 | 1 << 28, mem=MEM)
        self.driver.add([(0x8000, 16, 0), (0x9000, 512, 1)])
        self.model = self.make()
        self.write()

    def path(self, path):
        return self.root + path

    def make(self):
        model = sample_model()
        queue = {**self.driver.queue()}
        for device in model["devices"]:
            idle = [{**queue, "ready": 0}]
            device["mmio"].update(driver_features=self.driver.features, queues=idle)
        model["devices"][0]["mmio"]["queues"] = [queue]
        model["devices"][0]["backing"] = {"type": "disk", "path": "/srv/vm/disk", "size": 1 << 16}
        model["devices"][2]["backing"].update(path="volume", size=1 << 16)
        model["devices"][3]["backing"].update(
            host_path="/srv/vm/share", dax_gpa=WINDOW, dax_window_len=1 << 20,
            backend_state=share("/srv/vm/share", "/srv/vm/share/file"), dax_state=dax((0, 4096, 2), (4096, 4096, 2)))
        model.update(num_cpus=2, vcpu=[vcpu(), vcpu()], intc=intc(), mem_size=MEM)
        return model

    def write(self, model=None):
        write_file(self.snap, model or self.model, {"format": "kvm", "ram_offset": 1 << 16}, bytes(self.driver.ram))

    def set(self, *edits):
        subprocess.run([SMSNAP, "set", self.snap, *edits], check=True)

    def poke(self, gpa, data):
        with open(self.snap, "r+b") as f:
            f.seek((1 << 16) + gpa)
            f.write(data)

    def findings(self, *options, snap=None):
        done = subprocess.run([SMSNAP, "check", "--json", "--host-root", self.root, *options, snap or self.snap], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        require(not done.stderr, "it says %r" % done.stderr)
        found = json.loads(done.stdout)
        errors = any(f["level"] == "error" for f in found)
        require(done.returncode == int(errors), "exit status %d with %r" % (done.returncode, found))
        return found


def damages():
    """(name, what is done to a host, the findings: "level path")."""
    d0, d2, d3 = ("devices/%d/" % i for i in (0, 2, 3))
    queue = d0 + "mmio/queues/0/"

    def sets(*edits):
        return lambda h: h.set(*edits)

    def model(change):
        def function(h):
            change(h.model)
            h.write()
        return function

    def cpu(**changes):
        return model(lambda m: m["vcpu"].__setitem__(1, vcpu(**changes)))

    def files(function):
        return lambda h: function(h.folder + "/")

    def backing(k, **changes):
        return model(lambda m: m["devices"][k]["backing"].update(changes))

    def moved(h):
        os.rename(h.path("/srv/vm/share"), h.path("/srv/share"))
        h.model["devices"][3]["backing"]["host_path"] = "/srv/share"
        h.write()

    def linked(h):
        os.rename(h.path("/srv/vm/share"), h.path("/srv/share"))
        os.symlink("../share", h.path("/srv/vm/share"))

    return [
        # The guest's memory.
        ("used.idx off by one", lambda h: h.poke(h.driver.used + 2, b"\1\0"), ["error " + queue + "next_used_idx"]),
        ("next_used_idx off by one", sets(queue + "next_used_idx=65535"),
         ["error " + queue + "next_used_idx", "warning " + queue + "next_used_idx"]),
        ("a stale last_avail_idx", sets(queue + "last_avail_idx=100", queue + "next_used_idx=100"),
         ["error " + queue + "next_used_idx", "error " + queue + "last_avail_idx"]),
        ("desc_table out of RAM", sets(queue + "desc_table=0x%x" % MEM), ["error " + queue + "desc_table"]),
        ("avail_ring unaligned", sets(queue + "avail_ring=0x200001"), ["error " + queue + "avail_ring"]),
        ("used_ring across the end", sets(queue + "used_ring=0x%x" % (MEM - 8)), ["error " + queue + "used_ring"]),
        ("a buffer nowhere", lambda h: h.poke(0x1000, struct.pack("<Q", MEM)), ["error " + queue + "ring"]),
        ("a loop of descriptors", lambda h: h.poke(0x1010 + 12, struct.pack("<HH", 3, 0)), ["error " + queue + "ring"]),
        ("a queue's size", sets(queue + "size=7"), ["error " + queue + "size"]),
        # Files.
        ("no disk", files(lambda f: os.unlink(f + "disk")), ["error " + d0 + "backing/path"]),
        ("a mistyped path", sets(d0 + "backing/path=/srv/vm/dsik"), ["error " + d0 + "backing/path"]),
        ("a disk that is a folder", sets(d0 + "backing/path=/srv/vm/share"), ["error " + d0 + "backing/path"]),
        ("a disk without a path", sets(d0 + "backing/path="), ["error " + d0 + "backing/path"]),
        ("a disk that is too small", sets(d0 + "backing/size=1M"), ["warning " + d0 + "backing/size"]),
        ("a volume that is too small", files(lambda f: os.truncate(f + "volume", 100)), ["error " + d2 + "backing/size"]),
        ("a disk that is empty", lambda h: (os.truncate(h.path("/srv/vm/disk"), 0), h.set(d0 + "backing/size=0")),
         ["error " + d0 + "backing/path"]),
        ("a volume that is empty", lambda h: (os.truncate(h.path("/srv/vm/volume"), 0), h.set(d2 + "backing/size=0")),
         ["error " + d2 + "backing/path"]),
        ("a disk larger than a file can be", sets(d0 + "backing/size=%d" % (1 << 63)), ["error " + d0 + "backing/size"]),
        ("no volume", files(lambda f: os.unlink(f + "volume")), ["error " + d2 + "backing/path"]),
        ("two disks on one file", sets(d2 + "backing/path=disk"), ["error " + d2 + "backing/path"]),
        ("two disks on one file by a link", files(lambda f: (os.unlink(f + "volume"), os.link(f + "disk", f + "volume"))),
         ["error " + d2 + "backing/path"]),
        # Shares.
        ("a share that is not there", files(lambda f: shutil.move(f + "share", f + "../away")),
         ["error " + d3 + "backing/host_path", "error " + d3 + "backing/backend_state/inodes/1/path"]),
        ("a share moved by hand", moved, ["error " + d3 + "backing/backend_state/inodes/0/path",
                                          "error " + d3 + "backing/backend_state/inodes/1/path"]),
        ("a share behind a link", linked, ["error " + d3 + "backing/backend_state/inodes/0/path"]),
        ("a share that is a file", sets(d3 + "backing/host_path=/srv/vm/disk"),
         ["error " + d3 + "backing/host_path", "error " + d3 + "backing/backend_state/inodes/1/path"]),
        ("a mapped file that is gone", files(lambda f: os.unlink(f + "share/file")),
         ["error " + d3 + "backing/backend_state/inodes/1/path"]),
        ("a mapped file that is a folder", files(lambda f: (os.unlink(f + "share/file"), os.mkdir(f + "share/file"))),
         ["error " + d3 + "backing/backend_state/inodes/1/path"]),
        ("another window", sets(d3 + "backing/dax_gpa=0x20000000000"), ["error " + d3 + "backing/dax_state/base_gpa"]),
        ("a window over RAM", lambda h: h.set(d3 + "backing/dax_gpa=0x100000", d3 + "backing/dax_state/base_gpa=0x100000"),
         ["error " + d3 + "backing/dax_gpa"]),
        ("a window of half a page", lambda h: h.set(d3 + "backing/dax_window_len=0x102000", d3 + "backing/dax_state/window_len=0x102000"),
         ["error " + d3 + "backing/dax_window_len"]),
        ("a window at half a page", lambda h: h.set(d3 + "backing/dax_gpa=0x10000002000", d3 + "backing/dax_state/base_gpa=0x10000002000"),
         ["error " + d3 + "backing/dax_gpa"]),
        ("the longest tag", sets(d3 + "backing/tag=" + "x" * 35), []),
        ("a longer tag", sets(d3 + "backing/tag=" + "\u00e9" * 18), ["error " + d3 + "backing/tag"]),
        ("slots that overlap", backing(3, dax_state=dax((0, 8192, 2), (4096, 4096, 2))),
         ["error " + d3 + "backing/dax_state/slots/1/moffset"]),
        ("a slot that starts inside of a page", backing(3, dax_state=dax((100, 4096, 2))),
         ["error " + d3 + "backing/dax_state/slots/0/moffset"]),
        ("a slot that ends inside of a page", backing(3, dax_state=dax((0, 100, 2))),
         ["error " + d3 + "backing/dax_state/slots/0/len"]),
        ("a slot of nothing", backing(3, dax_state=dax((0, 4096, 2), (1, 0, 77))), []),
        ("a slot past the window", backing(3, dax_state=dax((1 << 20, 4096, 2))),
         ["error " + d3 + "backing/dax_state/slots/0/len"]),
        ("a slot of no inode", backing(3, dax_state=dax((0, 4096, 7))), ["error " + d3 + "backing/dax_state/slots/0/nodeid"]),
        ("no root", backing(3, backend_state=share("/x", "/srv/vm/share/file", first=5), dax_state=b""),
         ["error " + d3 + "backing/backend_state/inodes"]),
        ("a state with a byte more", backing(3, backend_state=share("/srv/vm/share") + b"x", dax_state=b""),
         ["error " + d3 + "backing/backend_state/raw"]),
        # The machine.
        ("kind and backing", sets("devices/2/kind=blk"), ["warning " + d0 + "kind", "error " + d2 + "kind"]),
        ("a share that is a vsock, and gone", lambda h: (h.set("devices/3/kind=vsock"), shutil.rmtree(h.path("/srv/vm/share"))),
         ["warning devices/1/kind"]),
        ("num_cpus", sets("num_cpus=3"), ["warning num_cpus"]),
        ("mem_size", model(lambda m: m.update(mem_size=MEM + 100)), ["error mem_size"]),
        ("a vCPU that is cut", model(lambda m: m["vcpu"].__setitem__(1, vcpu()[:-1])), ["error vcpu/1/raw"]),
        ("a vCPU with a byte more", model(lambda m: m["vcpu"].__setitem__(1, vcpu() + b"x")), ["warning vcpu/1/raw"]),
        ("an intc with a byte more", model(lambda m: m.update(intc=intc() + b"x")), ["warning intc/raw"]),
        ("an intc that is cut", model(lambda m: m.update(intc=intc()[:-1])), ["error intc/raw"]),
        ("chips in another order", model(lambda m: m.update(intc=intc((0, 2, 1)))), ["error intc/raw", "error intc/raw"]),
        ("the clock's flags, which are not restored", model(lambda m: m.update(intc=intc(flags=0x80))), []),
        ("an SMI", sets("vcpu/1/events/smi/pending=1", "vcpu/1/events/flags=8"), ["warning vcpu/1/events/smi/smm"]),
        ("sysenter_esp that is not canonical", sets("vcpu/1/msrs/sysenter_esp=0x%x" % (1 << 62)),
         ["warning vcpu/1/msrs/sysenter_esp"]),
        ("an MSR less", model(lambda m: m["vcpu"].__setitem__(1, vcpu(MSRS[1:]))), ["error vcpu/1/msrs"]),
        ("another MSR", model(lambda m: m["vcpu"].__setitem__(1, vcpu([0x11] + MSRS[1:]))), ["error vcpu/1/msrs"]),
        ("PG without PE", cpu(cr0=0x80000030), ["error vcpu/1/sregs/cr0"]),
        ("NW without CD", cpu(cr0=0xa0050033), ["error vcpu/1/sregs/cr0"]),
        ("long mode without PAE", cpu(cr4=0x6d0), ["error vcpu/1/sregs/cr4"]),
        ("reserved bits of cr3", cpu(cr3=1 << 52), ["error vcpu/1/sregs/cr3"]),
        ("page tables out of RAM", cpu(cr3=MEM), ["warning vcpu/1/sregs/cr3"]),
        ("a bit of cr4 that there is not", cpu(cr4=0x86f0), ["error vcpu/1/sregs/cr4"]),
        ("a guest that is a host", cpu(cr4=0x26f0), ["warning vcpu/1/sregs/cr4"]),
        ("a vCPU in no state", cpu(mp_state=5), ["error vcpu/1/mp_state"]),
        ("LME without LMA", cpu(efer=0x901), ["error vcpu/1/sregs/efer"]),
        ("LMA without LME", cpu(efer=0xc01, l=0), ["error vcpu/1/sregs/efer"]),
        ("64-bit code without long mode", cpu(efer=0, cr0=0x33), ["error vcpu/1/sregs/cs/l"]),
        ("x2APIC that is off", cpu(apic_base=0xfee00400), ["error vcpu/1/sregs/apic_base"]),
        ("lstar that is not canonical", cpu(lstar=1 << 62), ["error vcpu/1/msrs/lstar"]),
        ("rip that is not canonical", cpu(rip=1 << 62), ["warning vcpu/1/regs/rip"]),
        ("gs that is not canonical", cpu(gs=1 << 50), ["warning vcpu/1/sregs/gs/base"]),
        ("too many xcrs", cpu(nr_xcrs=17), ["error vcpu/1/raw"]),
        ("flags of xcrs", cpu(xcr_flags=1), ["error vcpu/1/raw"]),
        ("xcr0 without FP", cpu(xcr0=6), ["error vcpu/1/xcrs/xcr0"]),
        ("xcr0 with AVX, without SSE", cpu(xcr0=5), ["error vcpu/1/xcrs/xcr0"]),
        ("xcr0 with a state that there is not", cpu(xcr0=7 | 1 << 36), ["error vcpu/1/xcrs/xcr0"]),
        ("xcr0 with a part of AVX-512", cpu(xcr0=7 | 1 << 5), ["error vcpu/1/xcrs/xcr0"]),
        ("cr8", sets("vcpu/1/sregs/cr8=16"), ["warning vcpu/1/sregs/cr8"]),
        ("dr7", cpu(dr7=1 << 40), ["error vcpu/1/debugregs/dr7"]),
        ("flags of debugregs", cpu(debug_flags=1), ["error vcpu/1/debugregs/flags"]),
        ("flags of events", cpu(event_flags=0x10), ["error vcpu/1/events/flags"]),
    ]


def check_damages(work):
    global checks
    names = set()
    for name, damage, want in damages():
        require(name not in names, "two damages of one name")
        names.add(name)
        host = Host(work)
        require(host.findings() == [], "%s: before: %r" % (name, host.findings()))
        damage(host)
        found = host.findings()
        got = sorted("%(level)s %(path)s" % f for f in found)
        require(got == sorted(want), "%s: expected %r, got %r" % (name, sorted(want), found))
        require(all(f["wrong"] and f["right"] for f in found), "%s: %r" % (name, found))
        checks += 1


def check_mended(work):
    """What set and retarget do for a share that moved is what check asks for."""
    global checks
    host = Host(work)
    os.rename(host.path("/srv/vm/share"), host.path("/srv/share"))
    subprocess.run([SMSNAP, "retarget", host.snap, "/srv/vm/share=/srv/share"], check=True, stdout=subprocess.DEVNULL)
    require(host.findings() == [], "after retarget: %r" % host.findings())
    checks += 1


def check_text(work):
    """Lines, several snapshots, and what a mount shows."""
    global checks
    host = Host(work)
    run = lambda *a: subprocess.run([SMSNAP, "check", *a], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: E731
    done = run("--host-root", host.root + "/", host.snap)
    require((done.returncode, done.stdout, done.stderr) == (0, b"ok\n", b""), "clean: %r" % done)
    host.set("num_cpus=3")
    line = b"warning num_cpus: 3, and there are states of 2 vCPUs; the number of states in vcpu\n"
    done = run("--host-root", host.root, host.snap)
    require((done.returncode, done.stdout) == (0, line), "a warning: %r" % done)
    other = host.snap + ".other"
    shutil.copy(host.snap, other)
    subprocess.run([SMSNAP, "set", other, "num_cpus=2"], check=True)
    done = run("--host-root", host.root, host.snap, other)
    require((done.returncode, done.stdout) == (0, host.snap.encode() + b": " + line + other.encode() + b": ok\n" +
                                               b"2 snapshots: 1 ok, 1 with warnings\n"), "two: %r" % done)
    done = run("--host-root", host.root, host.snap, host.snap + ".missing")
    require(done.returncode == 1 and done.stderr.count(b"\n") == 1, "one is missing: %r" % done)
    require(run().returncode == 2 and run("--no-such", host.snap).returncode == 2, "usage")
    with Mount(host.snap, "-o", "ro") as m:
        with open(m.path("check"), "rb") as f:
            require(f.read() == run(host.snap).stdout, "a mount's file check is another")
    require(b"error devices/0/backing/path: /srv/vm/disk: No such file" in run(host.snap).stdout, "without --host-root")
    checks += 7


def check_diff(work):
    """Bases: there, changed since, missing, relative; a diff's rings are looked up in both."""
    global checks
    host = Host(work)
    diff = os.path.join(host.folder, "diff.snap")

    def write(base):
        write_file(diff, host.model, {"format": "kvm-diff", "base": base, "changed_pages": 0})
        os.utime(host.snap, (1000, 1000))
        os.utime(diff, (2000, 2000))

    def expect(what, *want):
        global checks
        got = ["%(level)s %(path)s" % f for f in host.findings(snap=diff)]
        require(got == list(want), "%s: %r" % (what, host.findings(snap=diff)))
        checks += 1

    write("/srv/vm/vm.snap")
    expect("a base")
    host.poke(host.driver.used + 2, b"\1\0")
    os.utime(host.snap, (1000, 1000))
    expect("a ring that is in the base", "error devices/0/mmio/queues/0/next_used_idx")
    host.poke(host.driver.used + 2, b"\0\0")
    os.utime(host.snap, (3000, 3000))
    expect("a base that changed", "warning layout/base")
    os.symlink("/srv/vm", host.path("/link"))
    write("/link/vm.snap")
    expect("a base behind a link")
    write("vm.snap")
    expect("a relative base", "warning layout/base")
    write("/srv/vm/vm.snap")
    kept = host.model["intc"]
    host.model["intc"] = kept[:-1]
    host.write()
    host.model["intc"] = kept
    write("/srv/vm/vm.snap")
    expect("a base that does not load", "error layout/base")
    host.write()
    write("/srv/vm/missing.snap")
    expect("no base", "note ram", "error layout/base")
    write("/srv/vm/disk")
    expect("a base that is no snapshot", "note ram", "error layout/base")


def check_metadata(work):
    global checks
    for change, want in (({}, []), ({"backend": "hvf"}, ["error layout/format"]), ({"memory_mib": 5}, ["warning mem_size"]),
                         ({"vcpus": 1}, ["warning num_cpus"]), ({"kvm_snapshot": "other.snap"}, ["error layout/format"]),
                         ({"backend": 1}, ["error layout/format"]), (None, ["error layout/format"])):
        host = Host(work)
        data = {"backend": "kvm", "memory_mib": MEM >> 20, "vcpus": 2, "kvm_snapshot": "vm.snap", "other": [1]}
        data.update(change or {})
        with open(os.path.join(host.folder, "metadata.json"), "w", encoding="ascii") as f:
            f.write("{" if change is None else json.dumps(data))
        got = ["%(level)s %(path)s" % f for f in host.findings()]
        require(got == want, "metadata %r: %r" % (change, host.findings()))
        checks += 1


def check_host_root(work):
    """DIR is / for links and for "..", too."""
    global checks
    for what, change in {
            "a link in it": lambda h: (os.makedirs(h.path("/data")), os.rename(h.path("/srv/vm/disk"), h.path("/data/disk")),
                                       os.symlink("/data/disk", h.path("/srv/vm/disk"))),
            "up to its root": lambda h: h.set("devices/0/backing/path=/../../../srv/vm/disk"),
            "a share's folder": lambda h: (os.rename(h.path("/srv/vm/share"), h.path("/share")), os.symlink("/share", h.path("/srv/vm/share")))}.items():
        host = Host(os.path.join(work, what))
        change(host)
        got = host.findings()
        want = [] if "share" not in what else ["error devices/3/backing/backend_state/inodes/0/path"]
        require(["%(level)s %(path)s" % f for f in got] == want, "%s: %r" % (what, got))
        checks += 1
    outside = os.path.join(work, "outside")
    open(outside, "wb").close()
    host = Host(os.path.join(work, "out of it"))
    up = "/../" * 30 + outside
    host.set("devices/2/backing/path=" + up)
    require([f["path"] for f in host.findings()] == ["devices/2/backing/path"], "what is outside is found: %r" % host.findings())
    checks += 1
    for wrong in "nosuch", "", outside:
        done = subprocess.run([SMSNAP, "check", "--host-root", wrong, host.snap], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        require(done.returncode == 2 and done.stderr.count(b"\n") == 1, "--host-root %r: %r" % (wrong, done))
        checks += 1


def check_waiting(work):
    """What the folder has by the name of metadata.json keeps nobody waiting."""
    global checks
    host = Host(work)
    path = os.path.join(host.folder, "metadata.json")
    for make in os.mkfifo, os.mkdir:
        make(path)
        got = ["%(level)s %(path)s" % f for f in host.findings()]
        require(got == ["error layout/format"], "metadata.json made by %s: %r" % (make.__name__, got))
        checks += 1
        if make is os.mkfifo:
            os.unlink(path)


def check_block_device(work):
    """The monitor asks a block device for its size as it does a file."""
    global checks
    if os.geteuid():
        return
    host = Host(work)
    node = host.path("/srv/vm/node")
    os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(7, 255))
    for k in 0, 2:
        host.write()
        host.set("devices/%d/backing/path=/srv/vm/node" % k)
        got = ["%(level)s %(path)s" % f for f in host.findings()]
        require(got == ["error devices/%d/backing/path" % k], "a block device: %r" % got)
        checks += 1


def main():
    with WorkDir() as work:
        try:
            check_damages(work)
            check_block_device(work)
            check_mended(work)
            check_text(work)
            check_diff(work)
            check_metadata(work)
            check_host_root(work)
            check_waiting(work)
        except Failed as e:
            sys.exit("FAIL: %s" % e)
    print("ok: %d checks, %d kinds of damage" % (checks, len(damages())))


if __name__ == "__main__":
    main()
