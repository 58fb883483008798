#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each operation answers on each kind of file, as a table.

The cells were written from docs/tree.md, and from POSIX and Linux's manual pages
where that says nothing; none was taken from what the program does.

  OK        succeeds and changes nothing
  EDIT      succeeds and changes what the file shows; it is put back afterwards
  LATER     succeeds, changes nothing yet, and the next write starts from nothing
  E...      fails so (ENOTSUP is EOPNOTSUPP); A|B where the order of two checks is nobody's promise
  -         makes no sense here
  =         as in the table before (in the tables of other mounts)

After each cell but EDIT the file shows what it did, and the snapshot has not been
written. At the end of a mount the tree and the snapshot are what they were.

SMFS_ERRNO_ONLY=word runs only the operations that have it in their name.
"""

import ctypes
import errno
import fcntl
import mmap
import os
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import reader  # noqa: E402
from mounted import Mount, WorkDir, program, require_fuse  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
FAR = 1 << 62
OTHER_USER = 65534
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE, ZERO_RANGE, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64

# ---- kinds of file --------------------------------------------------------------

# kind: class, path, another of its kind
KINDS = {
    "root": ("dir", "", "vcpu"),
    "list": ("dir", "vcpu", "devices"),
    "element": ("dir", "listeners/0", "listeners/1"),
    "number": ("text", "num_cpus", "clock_ref"),
    "word": ("text", "devices/0/kind", "devices/1/kind"),
    "string": ("text", "devices/0/backing/path", "devices/2/backing/path"),
    "port": ("text", "listeners/0/inet_port", "listeners/2/inet_port"),
    "noport": ("text", "listeners/1/inet_port", "listeners/2/inet_port"),
    "blob": ("bytes", "vcpu/0/raw", "vcpu/1/raw"),
    "secret": ("bytes", "tsi_token", "intc/raw"),
    "constant": ("ronly", "mem_size", "num_cpus"),
    "type": ("ronly", "devices/0/backing/type", "devices/1/backing/type"),
    "raw": ("ronly", "devices/0/mmio/raw", "devices/1/mmio/raw"),
    "ram": ("ram", "ram", "intc/raw"),
    "temp": ("temp", "tmpAbC123", "num_cpus"),
    "none": ("none", "new", "num_cpus"),
    "longest": ("none", "vcpu/" + "n" * 255, "num_cpus"),
    "toolong": ("none", "n" * 256, "num_cpus"),
}
# In a differential snapshot these stand for what only that has.
OF_A_DIFF = {
    "string": ("text", "layout/base", "devices/2/backing/path"),
    "constant": ("ronly", "layout/changed_pages", "num_cpus"),
}
TEMP_CONTENT = b"7\n"

# ---- operations -----------------------------------------------------------------


class Target:
    """What an operation is given."""

    def __init__(self, root, kind, content, outside):
        self.kind, self.root, self.outside = kind, root, outside
        self.group, at, sibling = KINDS[kind]
        self.path = os.path.join(root, at) if at else root
        self.sibling = os.path.join(root, sibling)
        self.folder = os.path.join(root, "listeners" if at.startswith("vcpu") else "vcpu")
        self.new = os.path.join(os.path.dirname(self.path), "other")
        self.content = content  # None for what is no file


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def opened(flags):
    """The operation that opens with FLAGS, given by their names, and closes."""
    number = 0
    for name in flags.split("|"):
        number |= getattr(os, name)

    def operation(t):
        os.close(os.open(t.path, number, 0o600))
    return operation


def on(flags, function):
    """The operation that calls function(descriptor, target) on an open file."""
    def operation(t):
        fd = os.open(t.path, flags)
        failed = None
        try:
            function(fd, t)
        except OSError as e:
            failed = e
        # A close may be what fails, but not when the call has failed already.
        try:
            os.close(fd)
        except OSError:
            if failed is None:
                raise
        if failed:
            raise failed
    operation.mode = ("O_RDONLY", "O_WRONLY", "O_RDWR")[flags & os.O_ACCMODE]
    return operation


R, W, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR


def expect(what, want, got):
    if want != got:
        raise AssertionError("%s: expected %.80r, got %.80r" % (what, want, got))


def reads(offset):
    def function(fd, t):
        at = offset(t.content or b"")
        want = (t.content or b"")[at:at + 100]
        expect("read", want, os.pread(fd, 100, at))
    return on(R, function)


def writes(offset, data, flags=W):
    def function(fd, t):
        piece = data(t.content or b"1\n")
        expect("bytes written", len(piece), os.pwrite(fd, piece, offset(t.content or b"")))
    return on(flags, function)


def middle(content):
    return len(content) // 2


def truncates(size):
    return lambda t: os.truncate(t.path, size(t.content or b""))


def ftruncates(size, flags=W):
    return on(flags, lambda fd, t: os.ftruncate(fd, size(t.content or b"")))


def renames(target, flags=0):
    def operation(t):
        call("renameat2", -100, t.path.encode(), -100, target(t).encode(), flags)
    return operation


def makes_node(mode, device=0):
    return lambda t: os.mknod(t.path, mode | 0o600, device)


def chmods(change):
    def operation(t):
        mode = stat.S_IMODE(os.stat(t.path).st_mode)
        os.chmod(t.path, mode ^ change)
    return operation


def chowns(change):
    def operation(t):
        st = os.stat(t.path)
        os.chown(t.path, st.st_uid + change, st.st_gid + change)
    return operation


def fallocates(mode, flags=W):
    def function(fd, t):
        call("fallocate", fd, mode, ctypes.c_long(0), ctypes.c_long(4096))
    return on(flags, function)


def seeks(offset, whence, result=None):
    def function(fd, t):
        content = t.content or b""
        at = os.lseek(fd, offset(content), whence)
        if result and t.content is not None:
            expect("lseek", result(content), at)
    return on(R, function)


LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                      ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def maps(flags, kind, protection):
    def function(fd, t):
        size = len(t.content or b"") or 1
        at = LIBC.mmap(None, size, protection, kind, fd, 0)
        if at == ctypes.c_void_p(-1).value:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        try:
            if protection & mmap.PROT_READ:
                expect("mapped", t.content, ctypes.string_at(at, size))
            if protection & mmap.PROT_WRITE:
                ctypes.memmove(at, t.content, size)
        finally:
            LIBC.munmap(at, size)
    return on(flags, function)


def accesses(mode):
    def operation(t):
        call("access", t.path.encode(), mode)
    return operation


def locks(flags, kind, command=fcntl.F_SETLK):
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)
    return on(flags, lambda fd, t: fcntl.fcntl(fd, command, lock))


def copies_out(fd, t):
    with open(t.outside, "r+b") as f:
        os.copy_file_range(fd, f.fileno(), 10, 0, 0)


def copies_in(fd, t):
    with open(t.outside, "rb") as f:
        os.copy_file_range(f.fileno(), fd, 10, 0, 0)


def sends_out(fd, t):
    with open(t.outside, "r+b") as f:
        want = (t.content or b"")[:100]
        expect("sendfile", len(want), os.sendfile(f.fileno(), fd, 0, 100))
        f.seek(0)
        expect("sent", want, f.read(len(want)))


def sends_in(fd, t):
    """One piece that is the present content, and so no change."""
    piece = (t.content or b"1\n")[:60000]
    with open(t.outside, "w+b") as f:
        f.write(piece)
        f.flush()
        expect("sendfile", len(piece), os.sendfile(fd, f.fileno(), 0, len(piece)))


def makes_socket(t):
    os.chdir(os.path.dirname(t.path))
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.basename(t.path))
    finally:
        os.chdir("/")


def changes_folder(path):
    os.chdir(path)
    os.chdir("/")


OPERATIONS = {
    "read 0": reads(lambda c: 0),
    "read middle": reads(middle),
    "read end": reads(len),
    "read beyond": reads(lambda c: len(c) + 10),
    "read huge": reads(lambda c: FAR),
    "read negative": on(R, lambda fd, t: os.pread(fd, 1, -1)),
    "read of O_WRONLY": on(W, lambda fd, t: os.pread(fd, 1, 0)),
    "write 0": writes(lambda c: 0, lambda c: c),
    "write middle": writes(middle, lambda c: c[len(c) // 2:][:1]),
    "write end": writes(len, lambda c: b"x"),
    "write beyond": writes(lambda c: len(c) + 10, lambda c: b"x"),
    "write huge": writes(lambda c: FAR, lambda c: b"x"),
    "write negative": writes(lambda c: -1, lambda c: b"x"),
    "write nothing": writes(lambda c: 0, lambda c: b""),
    "write nonsense": writes(lambda c: 0, lambda c: b"\xff"),
    "write of O_RDONLY": writes(lambda c: 0, lambda c: b"1", R),
    "append": on(W | os.O_APPEND, lambda fd, t: os.write(fd, b"x")),
    "write and O_TRUNC": on(W | os.O_TRUNC, lambda fd, t: os.write(fd, t.content)),
    "truncate 0": truncates(lambda c: 0),
    "truncate same": truncates(len),
    "truncate larger": truncates(lambda c: len(c) + 1),
    "truncate huge": truncates(lambda c: FAR),
    "truncate negative": truncates(lambda c: -1),
    "ftruncate same": ftruncates(len),
    "ftruncate larger": ftruncates(lambda c: len(c) + 1),
    "ftruncate huge": ftruncates(lambda c: FAR),
    "ftruncate of O_RDONLY": ftruncates(len, R),
    "stat": lambda t: os.lstat(t.path),
    "stat below": lambda t: os.lstat(t.path + "/x"),
    "stat with a slash": lambda t: os.lstat(t.path + "/"),
    "chdir": lambda t: changes_folder(t.path),
    "exec": lambda t: os.execv(t.path, ["x"]),
    "unlink": lambda t: os.unlink(t.path),
    "rename to itself": renames(lambda t: t.path),
    "rename to a sibling": renames(lambda t: t.sibling),
    "rename to a new name": renames(lambda t: t.new),
    "rename to a directory": renames(lambda t: t.folder),
    "rename to a long name": renames(lambda t: t.root + "/" + "m" * 256),
    "rename below itself": renames(lambda t: t.path + "/x"),
    "rename NOREPLACE": renames(lambda t: t.sibling, RENAME_NOREPLACE),
    "rename NOREPLACE new": renames(lambda t: t.new, RENAME_NOREPLACE),
    "rename EXCHANGE": renames(lambda t: t.sibling, RENAME_EXCHANGE),
    "rename EXCHANGE new": renames(lambda t: t.new, RENAME_EXCHANGE),
    "rename both flags": renames(lambda t: t.sibling, RENAME_EXCHANGE | RENAME_NOREPLACE),
    "link": lambda t: os.link(t.path, t.new),
    "link to a sibling": lambda t: os.link(t.path, t.sibling),
    "symlink": lambda t: os.symlink("target", t.path),
    "mkdir": lambda t: os.mkdir(t.path),
    "mkdir below": lambda t: os.mkdir(t.path + "/x"),
    "rmdir": lambda t: os.rmdir(t.path),
    "mknod file": makes_node(stat.S_IFREG),
    "mkfifo": makes_node(stat.S_IFIFO),
    "mknod device": makes_node(stat.S_IFCHR, os.makedev(1, 3)),
    "bind a socket": makes_socket,
    "chmod same": chmods(0),
    "chmod other": chmods(0o110),
    "chmod setuid": chmods(0o4000),
    "chown same": chowns(0),
    "chown other": chowns(1),
    "chown nothing": lambda t: os.chown(t.path, -1, -1),
    "utimens now": lambda t: os.utime(t.path),
    "utimens given": lambda t: os.utime(t.path, (5, 5)),
    "setxattr user": lambda t: os.setxattr(t.path, "user.x", b"1"),
    "setxattr acl": lambda t: os.setxattr(t.path, "system.posix_acl_access", b"1"),
    "getxattr user": lambda t: os.getxattr(t.path, "user.x"),
    "listxattr": lambda t: os.listxattr(t.path),
    "removexattr user": lambda t: os.removexattr(t.path, "user.x"),
    "fallocate": fallocates(0),
    "fallocate KEEP_SIZE": fallocates(KEEP_SIZE),
    "fallocate PUNCH_HOLE": fallocates(PUNCH_HOLE | KEEP_SIZE),
    "fallocate ZERO_RANGE": fallocates(ZERO_RANGE),
    "fallocate COLLAPSE": fallocates(COLLAPSE),
    "fallocate INSERT": fallocates(INSERT),
    "fallocate UNSHARE": fallocates(UNSHARE),
    "fallocate of O_RDONLY": fallocates(0, R),
    "lseek SET 0": seeks(lambda c: 0, os.SEEK_SET, lambda c: 0),
    "lseek SET negative": seeks(lambda c: -1, os.SEEK_SET),
    "lseek SET beyond": seeks(lambda c: len(c) + 10, os.SEEK_SET, lambda c: len(c) + 10),
    "lseek END": seeks(lambda c: 0, os.SEEK_END, len),
    "lseek END negative": seeks(lambda c: -len(c) - 1, os.SEEK_END),
    "lseek DATA 0": seeks(lambda c: 0, os.SEEK_DATA, lambda c: 0),
    "lseek DATA end": seeks(len, os.SEEK_DATA),
    "lseek DATA beyond": seeks(lambda c: FAR, os.SEEK_DATA),
    "lseek DATA negative": seeks(lambda c: -1, os.SEEK_DATA),
    "lseek HOLE 0": seeks(lambda c: 0, os.SEEK_HOLE),
    "lseek HOLE end": seeks(len, os.SEEK_HOLE),
    "lseek HOLE beyond": seeks(lambda c: FAR, os.SEEK_HOLE),
    "lseek HOLE negative": seeks(lambda c: -1, os.SEEK_HOLE),
    "lseek other": seeks(lambda c: 0, 17),
    "mmap private read": maps(R, mmap.MAP_PRIVATE, mmap.PROT_READ),
    "mmap private write": maps(R, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE),
    "mmap private O_WRONLY": maps(W, mmap.MAP_PRIVATE, mmap.PROT_READ),
    "mmap shared read": maps(R, mmap.MAP_SHARED, mmap.PROT_READ),
    "mmap shared write": maps(RW, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
    "mmap shared O_RDONLY": maps(R, mmap.MAP_SHARED, mmap.PROT_WRITE),
    "statfs": lambda t: os.statvfs(t.path),
    "fsync": on(R, lambda fd, t: os.fsync(fd)),
    "fdatasync": on(R, lambda fd, t: os.fdatasync(fd)),
    "access F": accesses(os.F_OK),
    "access R": accesses(os.R_OK),
    "access W": accesses(os.W_OK),
    "access X": accesses(os.X_OK),
    "readlink": lambda t: os.readlink(t.path),
    "opendir": lambda t: os.listdir(t.path),
    "readdir": on(R, lambda fd, t: os.listdir(fd)),
    "ioctl TCGETS": on(R, lambda fd, t: fcntl.ioctl(fd, 0x5401, bytes(64))),
    "ioctl other": on(R, lambda fd, t: fcntl.ioctl(fd, 0x5a5a, bytes(64))),
    "flock SH": on(R, lambda fd, t: fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)),
    "flock EX": on(R, lambda fd, t: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "lock read": locks(R, fcntl.F_RDLCK),
    "lock write": locks(W, fcntl.F_WRLCK),
    "lock write O_RDONLY": locks(R, fcntl.F_WRLCK),
    "lock read O_WRONLY": locks(W, fcntl.F_RDLCK),
    "lock OFD": locks(R, fcntl.F_RDLCK, 37),
    "copy_file_range out": on(R, copies_out),
    "copy_file_range in": on(W, copies_in),
    "copy_file_range itself": on(RW, lambda fd, t: os.copy_file_range(fd, fd, 1, 0, 0)),
    "sendfile out": on(R, sends_out),
    "sendfile in": on(W, sends_in),
}

# ---- what is expected -----------------------------------------------------------

CLASSES = ["dir", "text", "bytes", "ronly", "ram", "temp", "none"]


class Table:
    """{(operation, kind): cell}, with one column for each class and exceptions by kind."""

    def __init__(self, text):
        self.cells, self.exceptions = {}, {}
        for line in text.strip().split("\n")[1:]:
            name, cells = line.split(":")
            cells = cells.split()
            classes, exceptions = cells[:len(CLASSES)], cells[len(CLASSES):]
            self.cells.update(((name, c), cell) for c, cell in zip(CLASSES, classes, strict=True))
            for exception in exceptions:
                kind, cell = exception.split("=", 1)
                self.exceptions[name, kind] = cell

    def check(self):
        """A row that is never used would check nothing."""
        unknown = {operation for operation, _ in self.cells} - set(OPERATIONS)
        unknown |= {kind for _, kind in self.exceptions} - set(KINDS)
        if unknown:
            sys.exit("FAIL: no such operations or kinds: %s" % sorted(unknown))

    def cell(self, operation, kind):
        group = KINDS[kind][0]
        if (operation, kind) in self.exceptions:
            return self.exceptions[operation, kind]
        return self.cells.get((operation, group), "=")


# Whoever mounted is root; then a name too long is ENAMETOOLONG unless it says otherwise.
OWNER = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
open O_RDONLY:             OK      OK      OK      OK      OK      OK      ENOENT
open O_WRONLY:             EISDIR  OK      OK      EACCES  OK      OK      ENOENT
open O_RDWR:               EISDIR  OK      OK      EACCES  OK      OK      ENOENT
open O_WRONLY|O_TRUNC:     EISDIR  LATER   OK      EACCES  EPERM   EDIT    ENOENT string=OK \
    blob=EDIT secret=EDIT
open O_RDONLY|O_TRUNC:     EISDIR  OK      OK      EACCES  EPERM   EDIT    ENOENT blob=EDIT \
    secret=EDIT
open O_WRONLY|O_APPEND:    EISDIR  OK      OK      EACCES  OK      OK      ENOENT
open O_RDONLY|O_CREAT:     EISDIR  OK      OK      OK      OK      OK      EPERM
open O_WRONLY|O_CREAT:     EISDIR  OK      OK      EACCES  OK      OK      EPERM
open O_RDWR|O_CREAT:       EISDIR  OK      OK      EACCES  OK      OK      EPERM
open O_RDWR|O_CREAT|O_TRUNC: EISDIR  LATER   OK      EACCES  EPERM   EDIT    EPERM string=OK \
    blob=EDIT secret=EDIT
open O_RDONLY|O_CREAT|O_EXCL: EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
open O_WRONLY|O_CREAT|O_EXCL: EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
open O_RDWR|O_CREAT|O_EXCL: EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EDIT
open O_RDONLY|O_DIRECTORY: OK      ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
open O_RDONLY|O_NOFOLLOW:  OK      OK      OK      OK      OK      OK      ENOENT
open O_RDONLY|O_NONBLOCK:  OK      OK      OK      OK      OK      OK      ENOENT
open O_RDONLY|O_DIRECT:    OK|EINVAL OK      OK      OK      OK      OK      ENOENT
open O_PATH:               OK      OK      OK      OK      OK      OK      ENOENT
open O_RDWR|O_TMPFILE:     ENOTSUP ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
read 0:                    EISDIR  OK      OK      OK      OK      OK      ENOENT
read middle:               EISDIR  OK      OK      OK      OK      OK      ENOENT
read end:                  EISDIR  OK      OK      OK      OK      OK      ENOENT
read beyond:               EISDIR  OK      OK      OK      OK      OK      ENOENT
read huge:                 EISDIR  OK      OK      OK      OK      OK      ENOENT
read negative:             EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
read of O_WRONLY:          EISDIR  EBADF   EBADF   EACCES  EBADF   EBADF   ENOENT
write 0:                   EISDIR  OK      OK      EACCES  OK      OK      ENOENT
write middle:              EISDIR  OK      OK      EACCES  OK      OK      ENOENT
write end:                 EISDIR  EINVAL  EFBIG   EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT
write beyond:              EISDIR  EINVAL  EFBIG   EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT
write huge:                EISDIR  EINVAL  EFBIG   EACCES  EPERM   EFBIG   ENOENT \
    string=ENAMETOOLONG
write negative:            EISDIR  EINVAL  EINVAL  EACCES  EINVAL  EINVAL  ENOENT
write nothing:             EISDIR  OK      OK      EACCES  OK      OK      ENOENT
write nonsense:            EISDIR  EINVAL  EDIT    EACCES  -       EDIT    ENOENT string=EILSEQ
write of O_RDONLY:         EBADF   EBADF   EBADF   EBADF   EBADF   EBADF   ENOENT
append:                    EISDIR  EINVAL  EFBIG   EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT
write and O_TRUNC:         EISDIR  OK      OK      EACCES  EPERM   OK      ENOENT
truncate 0:                EISDIR  LATER   EINVAL  EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT secret=EDIT
truncate same:             EISDIR  OK      OK      EACCES  OK      OK      ENOENT
truncate larger:           EISDIR  EINVAL  EINVAL  EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT
truncate huge:             EISDIR  EINVAL  EINVAL  EACCES  EPERM   EFBIG   ENOENT \
    string=ENAMETOOLONG blob=EFBIG
truncate negative:         EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL toolong=EINVAL
ftruncate same:            EISDIR  OK      OK      EACCES  OK      OK      ENOENT
ftruncate larger:          EISDIR  EINVAL  EINVAL  EACCES  EPERM   EDIT    ENOENT string=EDIT \
    blob=EDIT
ftruncate huge:            EISDIR  EINVAL  EINVAL  EACCES  EPERM   EFBIG   ENOENT \
    string=ENAMETOOLONG blob=EFBIG
ftruncate of O_RDONLY:     EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
stat:                      OK      OK      OK      OK      OK      OK      ENOENT
stat below:                ENOENT  ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
stat with a slash:         OK      ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
chdir:                     OK      ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
exec:                      EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  ENOENT
unlink:                    EISDIR  EPERM   EPERM   EPERM   EPERM   EDIT    ENOENT
rename to itself:          OK      OK      OK      OK      OK      OK      ENOENT root=OK|EBUSY
rename to a sibling:       EPERM   EPERM   EPERM   EPERM   EPERM   EDIT    ENOENT \
    root=EBUSY|EXDEV
rename to a new name:      EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   ENOENT root=EBUSY
rename to a directory:     EPERM   EISDIR  EISDIR  EISDIR  EISDIR  EISDIR  ENOENT \
    root=EBUSY|EXDEV
rename to a long name:     ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG ENAMETOOLONG \
    ENAMETOOLONG ENOENT root=EBUSY|EXDEV
rename below itself:       EINVAL  ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT \
    root=EBUSY|EXDEV
rename NOREPLACE:          EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  ENOENT \
    root=EBUSY|EXDEV
rename NOREPLACE new:      EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   ENOENT root=EBUSY
rename EXCHANGE:           EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   ENOENT \
    root=EBUSY|EXDEV
rename EXCHANGE new:       ENOENT  ENOENT  ENOENT  ENOENT  ENOENT  ENOENT  ENOENT \
    root=EBUSY|ENOENT
rename both flags:         EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL toolong=EINVAL
link:                      EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   ENOENT \
    root=EPERM|EXDEV
link to a sibling:         EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  ENOENT
symlink:                   EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
mkdir:                     EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
mkdir below:               EPERM   ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
rmdir:                     EPERM   ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT root=EBUSY
mknod file:                EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
mkfifo:                    EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
mknod device:              EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EEXIST  EPERM
bind a socket:             EADDRINUSE EADDRINUSE EADDRINUSE EADDRINUSE EADDRINUSE EADDRINUSE \
    EPERM longest=- toolong=-
chmod same:                OK      OK      OK      OK      OK      OK      ENOENT
chmod other:               OK      OK      OK      OK      OK      OK      ENOENT
chmod setuid:              OK      OK      OK      OK      OK      OK      ENOENT
chown same:                OK      OK      OK      OK      OK      OK      ENOENT
chown other:               OK      OK      OK      OK      OK      OK      ENOENT
chown nothing:             OK      OK      OK      OK      OK      OK      ENOENT
utimens now:               OK      OK      OK      OK      OK      OK      ENOENT
utimens given:             OK      OK      OK      OK      OK      OK      ENOENT
setxattr user:             ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOENT
setxattr acl:              ENOTSUP|EINVAL ENOTSUP|EINVAL ENOTSUP|EINVAL ENOTSUP|EINVAL \
    ENOTSUP|EINVAL ENOTSUP|EINVAL ENOENT|EINVAL toolong=ENAMETOOLONG|EINVAL
getxattr user:             ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOENT
listxattr:                 ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOENT
removexattr user:          ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOTSUP ENOENT
fallocate:                 EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate KEEP_SIZE:       EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate PUNCH_HOLE:      EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate ZERO_RANGE:      EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate COLLAPSE:        EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate INSERT:          EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate UNSHARE:         EISDIR  ENOTSUP ENOTSUP EACCES  ENOTSUP ENOTSUP ENOENT
fallocate of O_RDONLY:     EBADF   EBADF   EBADF   EBADF   EBADF   EBADF   ENOENT
lseek SET 0:               OK      OK      OK      OK      OK      OK      ENOENT
lseek SET negative:        EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
lseek SET beyond:          OK      OK      OK      OK      OK      OK      ENOENT
lseek END:                 OK      OK      OK      OK      OK      OK      ENOENT
lseek END negative:        EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
lseek DATA 0:              ENXIO   OK      OK      OK      OK      OK      ENOENT
lseek DATA end:            ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek DATA beyond:         ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek DATA negative:       ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek HOLE 0:              ENXIO   OK      OK      OK      OK      OK      ENOENT
lseek HOLE end:            ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek HOLE beyond:         ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek HOLE negative:       ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENXIO   ENOENT
lseek other:               EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
mmap private read:         ENODEV  OK      OK      OK      OK      OK      ENOENT
mmap private write:        ENODEV  OK      OK      OK      OK      OK      ENOENT
mmap private O_WRONLY:     EISDIR  EACCES  EACCES  EACCES  EACCES  EACCES  ENOENT
mmap shared read:          ENODEV  ENODEV  ENODEV  ENODEV  OK      ENODEV  ENOENT
mmap shared write:         EISDIR  ENODEV  ENODEV  EACCES  OK      ENODEV  ENOENT
mmap shared O_RDONLY:      EACCES|ENODEV EACCES  EACCES  EACCES  EACCES  EACCES  ENOENT
statfs:                    OK      OK      OK      OK      OK      OK      ENOENT
fsync:                     OK      OK      OK      OK      OK      OK      ENOENT
fdatasync:                 OK      OK      OK      OK      OK      OK      ENOENT
access F:                  OK      OK      OK      OK      OK      OK      ENOENT
access R:                  OK      OK      OK      OK      OK      OK      ENOENT
access W:                  OK      OK      OK      OK      OK      OK      ENOENT
access X:                  OK      EACCES  EACCES  EACCES  EACCES  EACCES  ENOENT
readlink:                  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  EINVAL  ENOENT
opendir:                   OK      ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
readdir:                   OK      ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOTDIR ENOENT
ioctl TCGETS:              ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOENT
ioctl other:               ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOTTY  ENOENT
flock SH:                  OK      OK      OK      OK      OK      OK      ENOENT
flock EX:                  OK      OK      OK      OK      OK      OK      ENOENT
lock read:                 OK      OK      OK      OK      OK      OK      ENOENT
lock write:                EISDIR  OK      OK      EACCES  OK      OK      ENOENT
lock write O_RDONLY:       EBADF   EBADF   EBADF   EBADF   EBADF   EBADF   ENOENT
lock read O_WRONLY:        EISDIR  EBADF   EBADF   EACCES  EBADF   EBADF   ENOENT
lock OFD:                  OK      OK      OK      OK      OK      OK      ENOENT
copy_file_range out:       EISDIR  EXDEV   EXDEV   EXDEV   EXDEV   EXDEV   ENOENT
copy_file_range in:        EISDIR  EXDEV   EXDEV   EACCES  EXDEV   EXDEV   ENOENT
copy_file_range itself:    EISDIR  EINVAL  EINVAL  EACCES  EINVAL  EINVAL  ENOENT
sendfile out:              EINVAL  OK      OK      OK      OK      OK      ENOENT
sendfile in:               EISDIR  OK      OK      EACCES  OK      OK      ENOENT
""")

# With -o ram=direct the kernel caches nothing that a shared mapping could show.
RAM_DIRECT = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
mmap shared read:          =       =       =       =       ENODEV  =       =
mmap shared write:         =       =       =       =       ENODEV  =       =
""")

# With -o ro nothing can be written, whoever asks. What exists is told before that in some
# calls and after it in others: POSIX does not say.
READ_ONLY = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
open O_WRONLY:             =       EROFS   EROFS   EROFS   EROFS   =       =
open O_RDWR:               =       EROFS   EROFS   EROFS   EROFS   =       =
open O_WRONLY|O_TRUNC:     =       EROFS   EROFS   EROFS   EROFS   =       =
open O_RDONLY|O_TRUNC:     =       EROFS   EROFS   EROFS   EROFS   =       =
open O_WRONLY|O_APPEND:    =       EROFS   EROFS   EROFS   EROFS   =       =
open O_RDONLY|O_CREAT:     =       =       =       =       =       =       EROFS
open O_WRONLY|O_CREAT:     =       EROFS   EROFS   EROFS   EROFS   =       EROFS
open O_RDWR|O_CREAT:       =       EROFS   EROFS   EROFS   EROFS   =       EROFS
open O_RDWR|O_CREAT|O_TRUNC: =       EROFS   EROFS   EROFS   EROFS   =       EROFS
open O_RDONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS
open O_WRONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS
open O_RDWR|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS
open O_RDWR|O_TMPFILE:     EROFS   =       =       =       =       =       =
truncate 0:                =       EROFS   EROFS   EROFS   EROFS   =       =
truncate same:             =       EROFS   EROFS   EROFS   EROFS   =       =
truncate larger:           =       EROFS   EROFS   EROFS   EROFS   =       =
truncate huge:             =       EROFS   EROFS   EROFS   EROFS   =       =
unlink:                    EROFS|EISDIR EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    toolong=EROFS|ENAMETOOLONG
rename to itself:          EROFS   EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    root=OK|EBUSY toolong=EROFS|ENAMETOOLONG
rename to a sibling:       EROFS   EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    root=EBUSY|EXDEV toolong=EROFS|ENAMETOOLONG
rename to a new name:      EROFS   EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    root=EBUSY toolong=EROFS|ENAMETOOLONG
rename to a directory:     EROFS   EROFS|EISDIR EROFS|EISDIR EROFS|EISDIR EROFS|EISDIR = \
    EROFS|ENOENT root=EBUSY|EXDEV toolong=EROFS|ENAMETOOLONG
rename to a long name:     EROFS|ENAMETOOLONG EROFS|ENAMETOOLONG EROFS|ENAMETOOLONG \
    EROFS|ENAMETOOLONG EROFS|ENAMETOOLONG =       EROFS|ENOENT root=EBUSY|EXDEV \
    toolong=EROFS|ENAMETOOLONG
rename below itself:       EROFS|EINVAL =       =       =       =       =       EROFS|ENOENT \
    root=EBUSY|EXDEV toolong=EROFS|ENAMETOOLONG
rename NOREPLACE:          EROFS|EEXIST EROFS|EEXIST EROFS|EEXIST EROFS|EEXIST EROFS|EEXIST = \
    EROFS|ENOENT root=EBUSY|EXDEV toolong=EROFS|ENAMETOOLONG
rename NOREPLACE new:      EROFS   EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    root=EBUSY toolong=EROFS|ENAMETOOLONG
rename EXCHANGE:           EROFS   EROFS   EROFS   EROFS   EROFS   =       EROFS|ENOENT \
    root=EBUSY|EXDEV toolong=EROFS|ENAMETOOLONG
rename EXCHANGE new:       EROFS|ENOENT EROFS|ENOENT EROFS|ENOENT EROFS|ENOENT EROFS|ENOENT = \
    EROFS|ENOENT root=EBUSY|ENOENT toolong=EROFS|ENAMETOOLONG
link:                      EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
    root=EPERM|EXDEV
symlink:                   =       =       =       =       =       =       EROFS
mkdir:                     =       =       =       =       =       =       EROFS
mkdir below:               EROFS   =       =       =       =       =       =
rmdir:                     EROFS   EROFS|ENOTDIR EROFS|ENOTDIR EROFS|ENOTDIR EROFS|ENOTDIR = \
    EROFS|ENOENT root=EBUSY toolong=EROFS|ENAMETOOLONG
mknod file:                =       =       =       =       =       =       EROFS
mkfifo:                    =       =       =       =       =       =       EROFS
mknod device:              =       =       =       =       =       =       EROFS
bind a socket:             =       =       =       =       =       =       EROFS longest=- \
    toolong=-
chmod same:                EROFS   EROFS   EROFS   EROFS   EROFS   =       =
chmod other:               EROFS   EROFS   EROFS   EROFS   EROFS   =       =
chmod setuid:              EROFS   EROFS   EROFS   EROFS   EROFS   =       =
chown same:                EROFS   EROFS   EROFS   EROFS   EROFS   =       =
chown other:               EROFS   EROFS   EROFS   EROFS   EROFS   =       =
chown nothing:             EROFS   EROFS   EROFS   EROFS   EROFS   =       =
utimens now:               EROFS   EROFS   EROFS   EROFS   EROFS   =       =
utimens given:             EROFS   EROFS   EROFS   EROFS   EROFS   =       =
setxattr user:             EROFS   EROFS   EROFS   EROFS   EROFS   =       =
setxattr acl:              EROFS|EINVAL EROFS|EINVAL EROFS|EINVAL EROFS|EINVAL EROFS|EINVAL = \
    =
removexattr user:          EROFS   EROFS   EROFS   EROFS   EROFS   =       =
access W:                  EROFS   EROFS   EROFS   EROFS   EROFS   =       =
""")

# With -o writeback only RAM can be written, fields answer as on a read-only mount. The kernel
# tells of RAM's end when it is closed, and calls it EIO, whatever the program said.
WRITEBACK = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
open O_WRONLY:             =       EROFS   EROFS   EROFS   =       =       =
open O_RDWR:               =       EROFS   EROFS   EROFS   =       =       =
open O_WRONLY|O_TRUNC:     =       EROFS   EROFS   EROFS   =       =       =
open O_RDONLY|O_TRUNC:     =       EROFS   EROFS   EROFS   =       =       =
open O_WRONLY|O_APPEND:    =       EROFS   EROFS   EROFS   =       =       =
open O_RDONLY|O_CREAT:     =       =       =       =       =       =       EROFS|EPERM
open O_WRONLY|O_CREAT:     =       EROFS   EROFS   EROFS   =       =       EROFS|EPERM
open O_RDWR|O_CREAT:       =       EROFS   EROFS   EROFS   =       =       EROFS|EPERM
open O_RDWR|O_CREAT|O_TRUNC: =       EROFS   EROFS   EROFS   =       =       EROFS|EPERM
open O_RDONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS|EPERM
open O_WRONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS|EPERM
open O_RDWR|O_CREAT|O_EXCL: =       =       =       =       =       =       EROFS|EPERM
truncate 0:                =       EROFS   EROFS   EROFS   =       =       =
truncate same:             =       EROFS   EROFS   EROFS   =       =       =
truncate larger:           =       EROFS   EROFS   EROFS   =       =       =
truncate huge:             =       EROFS   EROFS   EROFS   =       =       =
unlink:                    =       EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
   
rename to a sibling:       EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
    root=EBUSY|EXDEV
rename to a new name:      EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
    root=EBUSY
rename to a directory:     EROFS|EPERM =       =       =       =       =       = root=EBUSY|EXDEV
rename NOREPLACE new:      EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
    root=EBUSY
rename EXCHANGE:           EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM EROFS|EPERM =       = \
    root=EBUSY|EXDEV
write end:                 =       =       =       =       EIO     =       =
write beyond:              =       =       =       =       EIO     =       =
write huge:                =       =       =       =       EIO     =       =
append:                    =       =       =       =       EIO     =       =
""")

# An owner without root's rights asks the kernel first: modes 0400 and 0600 are in force.
UNPRIVILEGED = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
mknod device:              =       =       =       =       =       =       EPERM
chown other:               EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
setxattr user:             =       =       =       EACCES  =       =       =
removexattr user:          =       =       =       EACCES  =       =       =
access W:                  =       =       =       EACCES  =       =       =
""")

# Another user, with -o allow_other,umask=022: may read, but for secrets, and change nothing.
READER = Table("""
operation:                 dir     text    bytes   ronly   ram     temp    none
open O_RDONLY:             =       =       =       =       =       EACCES  = secret=EACCES
open O_WRONLY:             =       EACCES  EACCES  EACCES  EACCES  EACCES  =
open O_RDWR:               =       EACCES  EACCES  EACCES  EACCES  EACCES  =
open O_WRONLY|O_TRUNC:     =       EACCES  EACCES  EACCES  EACCES  EACCES  =
open O_RDONLY|O_TRUNC:     =       EACCES  EACCES  EACCES  EACCES  EACCES  =
open O_WRONLY|O_APPEND:    =       EACCES  EACCES  EACCES  EACCES  EACCES  =
open O_RDONLY|O_CREAT:     =       =       =       =       =       EACCES  EACCES secret=EACCES
open O_WRONLY|O_CREAT:     =       EACCES  EACCES  EACCES  EACCES  EACCES  EACCES
open O_RDWR|O_CREAT:       =       EACCES  EACCES  EACCES  EACCES  EACCES  EACCES
open O_RDWR|O_CREAT|O_TRUNC: =       EACCES  EACCES  EACCES  EACCES  EACCES  EACCES
open O_RDONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EACCES
open O_WRONLY|O_CREAT|O_EXCL: =       =       =       =       =       =       EACCES
open O_RDWR|O_CREAT|O_EXCL: =       =       =       =       =       =       EACCES
open O_RDONLY|O_NOFOLLOW:  =       =       =       =       =       EACCES  = secret=EACCES
open O_RDONLY|O_NONBLOCK:  =       =       =       =       =       EACCES  = secret=EACCES
open O_RDONLY|O_DIRECT:    =       =       =       =       =       EACCES  = secret=EACCES
open O_RDWR|O_TMPFILE:     EACCES  =       =       =       =       =       =
chmod same:                EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
chmod other:               EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
chmod setuid:              EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
chown same:                EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
chown other:               EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
truncate 0:                =       EACCES  EACCES  EACCES  EACCES  EACCES  =
truncate same:             =       EACCES  EACCES  EACCES  EACCES  EACCES  =
truncate larger:           =       EACCES  EACCES  EACCES  EACCES  EACCES  =
truncate huge:             =       EACCES  EACCES  EACCES  EACCES  EACCES  =
unlink:                    EACCES|EISDIR EACCES  EACCES  EACCES  EACCES  EACCES  EACCES|ENOENT \
    root=EACCES|EPERM|EISDIR
rename to a sibling:       EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  = root=EBUSY|EXDEV
rename to a new name:      EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  = \
    root=EBUSY|EACCES|EPERM
rename to a directory:     EACCES  EACCES|EISDIR EACCES|EISDIR EACCES|EISDIR EACCES|EISDIR \
    EACCES|EISDIR = root=EBUSY|EXDEV
rename NOREPLACE new:      EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  = \
    root=EBUSY|EACCES|EPERM
rename EXCHANGE:           EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  = root=EBUSY|EXDEV
link:                      =       EACCES|EPERM EACCES|EPERM EACCES|EPERM EACCES|EPERM \
    EACCES|EPERM =
symlink:                   =       =       =       =       =       =       EACCES
mkdir:                     =       =       =       =       =       =       EACCES
mkdir below:               EACCES  =       =       =       =       =       =
rmdir:                     EACCES  EACCES|ENOTDIR EACCES|ENOTDIR EACCES|ENOTDIR EACCES|ENOTDIR \
    EACCES|ENOTDIR EACCES|ENOENT root=EBUSY|EACCES|EPERM
mknod file:                =       =       =       =       =       =       EACCES
mkfifo:                    =       =       =       =       =       =       EACCES
mknod device:              =       =       =       =       =       =       EACCES|EPERM
bind a socket:             =       =       =       =       =       =       EACCES longest=- \
    toolong=-
utimens now:               EACCES|EPERM EACCES|EPERM EACCES|EPERM EACCES|EPERM EACCES|EPERM \
    EACCES|EPERM =
utimens given:             EPERM   EPERM   EPERM   EPERM   EPERM   EPERM   =
setxattr user:             EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  =
setxattr acl:              EPERM|EINVAL EPERM|EINVAL EPERM|EINVAL EPERM|EINVAL EPERM|EINVAL \
    EPERM|EINVAL =
getxattr user:             =       =       =       =       =       EACCES  = secret=EACCES
removexattr user:          EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  =
access R:                  =       =       =       =       =       EACCES  = secret=EACCES
access W:                  EACCES  EACCES  EACCES  EACCES  EACCES  EACCES  =
""")

# ---- the rules ------------------------------------------------------------------


def look_up(tables, operation, kind):
    for table in reversed(tables):
        cell = table.cell(operation, kind)
        if cell != "=":
            if kind == "toolong" and (operation, kind) not in table.exceptions and cell != "-":
                return "ENAMETOOLONG"
            return cell
    raise KeyError("%s of %s: no table says" % (operation, kind))


def follow(*tables):
    """The rule of these tables, each an exception to those before it."""
    def rule(operation, kind):
        # What starts with an open can get no further than that.
        mode = getattr(OPERATIONS[operation], "mode", None)
        if mode is not None:
            cell = look_up(tables, "open " + mode, kind)
            if cell[0] == "E":
                return cell
        return look_up(tables, operation, kind)
    return rule


def remounted(operation, kind):
    """The rule of a mount with -o ro where the kernel was told to let writers in after all.

    What would change something is refused as before, and so is what opens for that. The
    rest may be answered as elsewhere.
    """
    own, read_only = follow(OWNER)(operation, kind), follow(OWNER, READ_ONLY)(operation, kind)
    opens = operation.startswith("open ") or hasattr(OPERATIONS[operation], "mode")
    if own in ("EDIT", "LATER") or (opens and own == "OK") or read_only == "-":
        return read_only
    return read_only + "|" + own


def no_entry(operation, kind):
    """The rule of a mount without allow_other for whom it does not let in.

    Nothing can be asked there, not even whether a file is there. Its root can be
    named, and what is refused to a directory, or to flags, may be refused as such.
    """
    own = follow(OWNER)(operation, kind)
    if operation == "rename both flags" or own == "-":
        return own
    if operation == "truncate negative":
        return "EACCES|" + own
    if kind != "root":
        return "EACCES"
    if operation in ("open O_PATH", "statfs"):
        return "OK"
    return "EACCES" if own in ("OK", "EDIT", "LATER") else "EACCES|EPERM|" + own


# ---- running --------------------------------------------------------------------

OWN_RIGHTS = (OWNER,) if os.geteuid() == 0 else (OWNER, UNPRIVILEGED)
WITH_ALL = list(KINDS)
WITHOUT_TEMP = [k for k in WITH_ALL if k != "temp"]
# A bare container without RAM.
BARE = [k for k in KINDS if k != "ram"]


def answer(operation, target):
    """What the operation does: OK, or the name of its error."""
    try:
        operation(target)
    except OSError as e:
        return errno.errorcode[e.errno]
    except AssertionError as e:
        return "WRONG(%s)" % e
    return "OK"


def contents(snapshot):
    """What each file shows, by path."""
    files = reader.files(snapshot.document())
    files["ram"] = snapshot.ram
    files[KINDS["temp"][1]] = TEMP_CONTENT
    return files


def shown(path):
    """What a file shows; None for a directory and where there is nothing."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as e:
        return None if e.errno == errno.ENAMETOOLONG else str(e)
    try:
        return os.read(fd, 1 << 20)
    except IsADirectoryError:
        return None
    finally:
        os.close(fd)


def becomes(condition):
    """Whether it is so at once or soon: of a close the daemon may hear a little later."""
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            return False
    return True


def identity(path):
    st = os.stat(path)
    return st.st_ino, st.st_size, st.st_mtime_ns


class Session:
    """Runs all operations on all kinds in one mount, in the process that it is made in."""

    def __init__(self, name, root, snapshot, outside, rule, kinds, is_owner):
        self.name, self.root, self.snapshot, self.outside = name, root, snapshot, outside
        self.rule, self.kinds, self.is_owner = rule, kinds, is_owner
        self.cases, self.failures = 0, []
        self.before = {kind: contents(reader.Snapshot(snapshot)).get(KINDS[kind][1])
                       for kind in kinds}

    def path(self, kind):
        at = KINDS[kind][1]
        return os.path.join(self.root, at) if at else self.root

    def put_back(self, kind):
        """Undo an EDIT, of the file and of what a temporary was renamed over."""
        path = self.path(kind)
        if self.before[kind] is None:
            os.unlink(path)
            return
        if kind == "temp":
            self.put_back("number")
            make_temporary(path)
            return
        with open(path, "wb", buffering=0) as f:
            f.write(self.before[kind])

    def fail(self, operation, kind, text, *arguments):
        self.failures.append("%s: %s of %s: %s" % (self.name, operation, kind, text % arguments))

    def case(self, operation, kind):
        cell = self.rule(operation, kind)
        if cell == "-":
            return
        self.cases += 1
        was = identity(self.snapshot)
        target = Target(self.root, kind, self.before[kind], self.outside)
        got = answer(OPERATIONS[operation], target)
        want = "OK" if cell in ("EDIT", "LATER") else cell
        if got not in want.split("|"):
            self.fail(operation, kind, "expected %s, got %s", want, got)
        if not self.is_owner:
            return
        before, path = self.before[kind], self.path(kind)
        if cell == "EDIT":
            if not becomes(lambda: shown(path) != before):
                self.fail(operation, kind, "nothing changed")
            else:
                self.put_back(kind)
        elif cell == "LATER":
            self.put_back(kind)
        elif identity(self.snapshot) != was:
            self.fail(operation, kind, "the snapshot was written")
        if not becomes(lambda: shown(path) == before):
            self.fail(operation, kind, "it shows %.60r, not %.60r", shown(path), before)
            self.put_back(kind)

    def run(self):
        only = os.environ.get("SMFS_ERRNO_ONLY", "")
        if self.is_owner and "temp" in self.kinds:
            make_temporary(self.path("temp"))
        for operation in OPERATIONS:
            for kind in self.kinds:
                if only in operation:
                    self.case(operation, kind)
        if self.is_owner and "temp" in self.kinds:
            os.unlink(self.path("temp"))
        return self.cases, self.failures


def make_temporary(path):
    if os.path.exists(path):
        os.unlink(path)
    with open(path, "x+b", buffering=0) as f:
        f.write(TEMP_CONTENT)


def in_child(user, function):
    """What FUNCTION returns, run as USER, as text that Python reads back."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if user:
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
            os.write(writing, repr(function()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    os.close(writing)
    with open(reading, "rb") as f:
        text = f.read().decode()
    if os.waitpid(child, 0)[1]:
        sys.exit("FAIL: a child failed")
    return eval(text, {})  # pylint: disable=eval-used


class UsersMount(Mount):
    """A mount by another user, who need not let root in: that it is there the kernel tells."""

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="ascii") as f:
            return any(line.split()[1] == self.root for line in f)


class Test:
    def __init__(self, work):
        self.work, self.cases, self.failures = work, 0, []
        self.outside = os.path.join(work, "outside")
        with open(self.outside, "wb") as f:
            f.write(b"0123456789")
        os.chmod(self.outside, 0o666)
        self.snapshot = os.path.join(work, "snap")
        self.base = os.path.join(work, "base")

    def sample(self, layout):
        reader.sample(self.base, 1 << 16)
        if layout == "bare":
            reader.sample(self.snapshot, None)
        else:
            reader.sample(self.snapshot, 1 << 16, layout, self.base)

    def mount(self, name, options, kinds, rule, owner=None, others=(), fixed=(), umask=0o077,
              remount=None):
        """As mount_layout, of layout kvm, or bare where there are no other kinds than BARE."""
        self.mount_layout("bare" if kinds is BARE else "kvm", name, options, kinds, rule, owner, others, fixed,
                          umask, remount)

    def mount_diff(self, name, *arguments, **more):
        before = {kind: KINDS[kind] for kind in OF_A_DIFF}
        KINDS.update(OF_A_DIFF)
        self.mount_layout("kvm-diff", name, *arguments, **more)
        KINDS.update(before)

    def mount_layout(self, layout, name, options, kinds, rule, owner=None, others=(), fixed=(), umask=0o077,
                     remount=None):
        """One mount: all operations by its owner, if there is a RULE for him, and by OTHERS.

        Each of these is (name, user, rule). FIXED is what reader.compare_mount is to find
        read-only, UMASK what it is to find of the modes. REMOUNT is done to it first.
        """
        self.sample(layout)
        with open(self.snapshot, "rb") as f:
            bytes_before = f.read()
        if owner:
            os.chown(self.snapshot, owner, owner)
            os.chown(self.work, owner, owner)
        before = reader.Snapshot(self.snapshot)
        start = time.monotonic()
        with UsersMount(self.snapshot, *options, user=owner) as m:
            def run(user, name, rule, is_owner):
                session = Session(name, m.root, self.snapshot, self.outside, rule, kinds, is_owner)
                cases, failures = in_child(user, session.run)
                self.cases += cases
                self.failures += failures

            if remount:
                subprocess.run(["mount", "-i", "-o", "remount," + remount, m.root], check=True)
            if rule:
                run(owner, name, rule, True)
            temporary = os.path.join(m.root, KINDS["temp"][1])
            if others:
                in_child(owner, lambda: make_temporary(temporary))
            for title, user, others_rule in others:
                run(user, name + ", " + title, others_rule, False)
            if others:
                in_child(owner, lambda: os.unlink(temporary))
            in_child(owner, lambda: reader.compare_mount(before, m.root, fixed, umask))
        with open(self.snapshot, "rb") as f:
            if f.read() != bytes_before:
                self.failures.append(name + ": the snapshot is not what it was")
        left = set(os.listdir(self.work)) - {"outside", "snap", "base", "fuse", "bin"}
        if left:
            self.failures.append("%s: beside the snapshot: %s" % (name, left))
        print("%-22s %5d cases so far, %.1f s" % (name, self.cases, time.monotonic() - start),
              flush=True)


def own_fuse_device(work):
    """A mount namespace where every user may mount, and programs that every user may run."""
    device = os.path.join(work, "fuse")
    call("unshare", 0x20000)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(10, 229))
    os.chmod(device, 0o666)
    subprocess.run(["mount", "--bind", device, "/dev/fuse"], check=True)
    os.mkdir(os.path.join(work, "bin"))
    os.environ["SMFS"] = shutil.copy(program(), os.path.join(work, "bin", "smfs"))


def with_root(test):
    """What needs root, and a second user: others on root's mounts, and root on another's."""
    own_fuse_device(test.work)
    # To root, as its fields are 0400: another owner is told that first.
    test.mount("writeback", ["-owriteback"], WITHOUT_TEMP, follow(OWNER, WRITEBACK),
               fixed=("fields",))
    test.mount("ro, remounted", ["-oro"], WITHOUT_TEMP, remounted, fixed=("fields", "ram"),
               remount="rw")
    test.mount("allow_other", ["-oallow_other,umask=022"], WITH_ALL, None, umask=0o022,
               others=[("another user", OTHER_USER, follow(OWNER, UNPRIVILEGED, READER))])
    test.mount("for its owner", [], WITH_ALL, None,
               others=[("another user", OTHER_USER, no_entry)])
    if shutil.which("fusermount3"):
        test.mount("unprivileged", [], WITH_ALL, follow(OWNER, UNPRIVILEGED), owner=OTHER_USER,
                   others=[("root", 0, no_entry)])
    else:
        print("(left out: a mount by another user, which needs fusermount3)")


def main():
    require_fuse()
    for operation, _ in OWNER.cells:
        if operation.startswith("open "):
            OPERATIONS[operation] = opened(operation[5:])
    for table in (OWNER, RAM_DIRECT, READ_ONLY, WRITEBACK, UNPRIVILEGED, READER):
        table.check()
    with WorkDir() as work:
        os.chmod(work, 0o755)
        test = Test(work)
        test.mount("normal", [], WITH_ALL, follow(*OWN_RIGHTS))
        test.mount("scratch", ["-oscratch"], WITH_ALL, follow(*OWN_RIGHTS))
        test.mount("ram=direct", ["-oram=direct"], WITH_ALL, follow(*OWN_RIGHTS, RAM_DIRECT))
        test.mount("ro", ["-oro"], WITHOUT_TEMP, follow(*OWN_RIGHTS, READ_ONLY),
                   fixed=("fields", "ram"))
        test.mount("bare", [], BARE, follow(*OWN_RIGHTS))
        test.mount_diff("diff", [], WITH_ALL, follow(*OWN_RIGHTS))
        test.mount_diff("diff, ram=direct", ["-oram=direct"], WITH_ALL, follow(*OWN_RIGHTS, RAM_DIRECT))
        test.mount_diff("diff, ro", ["-oro"], WITHOUT_TEMP, follow(*OWN_RIGHTS, READ_ONLY), fixed=("fields", "ram"))
        if os.geteuid() == 0:
            with_root(test)
        else:
            print("(left out: other users, which needs root)")
        for failure in test.failures[:40]:
            print("FAIL: " + failure)
        if test.failures:
            sys.exit("FAIL: %d of %d cases" % (len(test.failures), test.cases))
        if test.cases < 1000:
            sys.exit("FAIL: only %d cases" % test.cases)
        print("ok: %d cases" % test.cases)


if __name__ == "__main__":
    main()
