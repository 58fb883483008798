#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guest_said.py SAID GUEST: the log and the processes in GUEST, a mount's /guest, are those that the guest
said itself: its dmesg, and /proc/PID/stat of all.

guest_said.py --log FILE DMESG: a log in which each line has the time, and that of /guest.
"""

import re
import sys


def compare_logs(said, shown):
    """The guest's dmesg puts the time before each line of a record, /guest before its first."""
    time = re.compile(r"\[ *[0-9]+\.[0-9]{6}\] ")
    if len(said) < 100 or len(said) != len(shown):
        sys.exit("%d lines, and %d are shown" % (len(said), len(shown)))
    for a, b in zip(said, shown):
        if a != b and time.sub("", a, count=1) != b:
            sys.exit("%r is shown as %r" % (a, b))


def compare_tasks(stat, tasks):
    """But for the idle task, which /proc does not have, and what was started since."""
    said = {int(m[1]): m[2] for m in re.finditer(r"^(\d+) \((.*)\) \S", stat, re.M)}
    lines = [line.split(" ", 3) for line in tasks.splitlines()]
    shown = {int(pid): name for pid, _, _, name in lines}
    if [pid for pid in said if pid not in shown] or len(set(shown) - set(said)) > 2 or shown[0] != "swapper/0":
        sys.exit("processes %s, shown are %s" % (sorted(said), sorted(shown)))
    for pid, name in said.items():
        # /proc has a workqueue's work after a kernel thread's name, or its whole name.
        if not name.startswith(shown[pid]):
            sys.exit("%d is called %s, not %s" % (pid, name, shown[pid]))
    if not {state for _, state, _, _ in lines} <= set("RSDTtXZPI-"):
        sys.exit("states that there are not")
    if len({stack for _, _, stack, _ in lines}) != len(lines):
        sys.exit("stacks are not different")


def main():

    def read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    if sys.argv[1] == "--log":
        compare_logs(*(read(path).splitlines() for path in sys.argv[2:]))
        return
    said, guest = sys.argv[1:]
    compare_logs(read(said + "/dmesg").splitlines(), read(guest + "/dmesg").splitlines())
    compare_tasks(read(said + "/tasks"), read(guest + "/tasks"))


main()
