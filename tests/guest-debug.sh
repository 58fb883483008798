#!/bin/bash
# SPDX-License-Identifier: MIT
# /vmcore in crash and drgn with the debug data of the distribution's kernel, and in volatility3.
# It downloads 860 MB once, of which it keeps the 640 MB of one vmlinux.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd apt-get crash dpkg-deb
# shellcheck source=guest.lib.sh
. "$tests/guest.lib.sh"

[ "${SMFS_TEST_ALL:-}" = 1 ] || lacking "SMFS_TEST_ALL=1: it downloads 860 MB"
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/smfs

# Where drgn and volatility3 are: here already, or from PyPI.
tools=${SMFS_GUEST_PYTHON:-}
if [ -z "$tools" ]; then
	tools=$cache/debuggers/bin/python
	"$tools" -c 'import drgn, volatility3' 2>/dev/null ||
		{ "$python" -m venv "$cache/debuggers" && "$cache/debuggers/bin/pip" -q install drgn volatility3; } \
			>"$tmp/pip.log" 2>&1 || lacking "drgn and volatility3: $(tail -n 1 "$tmp/pip.log")"
fi

guest --said "$tmp/said" "$snap"
mount_snap "$snap"
core=$mnt/vmcore
release=$(cat "$mnt/guest/release")

vmlinux=$cache/linux-image-$release-dbg/vmlinux
# get_vmlinux: from Debian's package, whole or not at all.
get_vmlinux() {
	mkdir -p "$tmp/package" "$(dirname "$vmlinux")" &&
		(cd "$tmp/package" && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$release-dbg") &&
		dpkg-deb --fsys-tarfile "$tmp/package/"*.deb |
		tar -x -O "./usr/lib/debug/boot/vmlinux-$release" >"$vmlinux.$$" &&
		rm -r "$tmp/package" && mv "$vmlinux.$$" "$vmlinux"
}
has_vmlinux() { [ -f "$vmlinux" ] && grep -q -a -x -F -z "$(cat "$mnt/guest/banner")
" "$vmlinux"; }
if ! has_vmlinux; then
	get_vmlinux >"$tmp/get.log" 2>&1 ||
		{ rm -f "$vmlinux.$$" && lacking "linux-image-$release-dbg: $(tail -n 1 "$tmp/get.log")"; }
	has_vmlinux || lacking "debug data of this guest's kernel: $vmlinux is of another build"
fi

# ---- crash ----------------------------------------------------------------------

# Its ps has the idle tasks alone with this kernel, on QEMU's own dump as well.
cat >"$tmp/commands" <<END
log > $tmp/crash.log
ps > $tmp/crash.ps
list task_struct.tasks -S task_struct.pid,stack -h init_task > $tmp/crash.tasks
bt -a > $tmp/crash.stacks
quit
END
works crash -s -i "$tmp/commands" "$vmlinux" "$core"

# As makedumpfile does, it moves the further lines of a record to the right.
same "crash log" "$(sed 's/^ *//' "$mnt/guest/dmesg")" "$(sed 's/^ *//' "$tmp/crash.log")"
same "crash ps: pid, CPU and name of the tasks that run" "0 0 [swapper/0]
0 1 [swapper/1]" "$(awk '$1 == ">" { print $2, $4, $NF }' "$tmp/crash.ps")"
same "crash's list of tasks: pid and stack" "$(cut -d ' ' -f 1,3 "$mnt/guest/tasks")" \
	"$(sed -n '/pid = /{ s/.*= //; N; s/,*\n.*stack = / /; s/,$//; p }' "$tmp/crash.tasks")"

# Both processors wait for something to do: so says QEMU.
same "halted vCPUs" "2" "$(grep -c 'CPL=0 .*HLT=1' "$tmp/said/registers")"
for cpu in 0 1; do
	stack=$(awk -v cpu="$cpu" '/^PID:/ { on = $6 == cpu } on' "$tmp/crash.stacks")
	matches "crash bt, CPU $cpu" "native_safe_halt at $(sed -n 's/^RIP=\([0-9a-f]*\) .*/\1/p' "$tmp/said/registers" |
		sed -n "$((cpu + 1))p").* default_idle_call .* do_idle .* secondary_startup_64" "$(echo "$stack" | tr '\n' ' ')"
done

# ---- drgn -----------------------------------------------------------------------

works "$tools" - "$core" "$vmlinux" "$tmp" <<'PROGRAM'
import sys, drgn
from drgn.helpers.linux import d_path, for_each_task, get_printk_records, idle_task, task_state_to_char
core, vmlinux, tmp = sys.argv[1:]
program = drgn.Program()
program.set_core_dump(core)
program.load_debug_info([vmlinux])
with open(tmp + "/drgn.tasks", "w") as out:
    for task in [program["init_task"].address_of_()] + list(for_each_task(program)):
        if task.pid == task.tgid:
            name = task.comm.string_().decode()
            print(task.pid.value_(), task_state_to_char(task), hex(task.stack.value_()), name, file=out)
with open(tmp + "/drgn.log", "w") as out:
    for record in get_printk_records(program):
        for line in record.text.decode(errors="replace").split("\n"):
            print("[%5d.%06d] %s" % (record.timestamp // 10**9, record.timestamp // 1000 % 10**6, line), file=out)
for cpu in 0, 1:
    print(*[frame.name for frame in program.stack_trace(idle_task(program, cpu))])
PROGRAM
cp "$tmp/out" "$tmp/drgn.stacks"
works "$python" - "$tmp/drgn.tasks" "$mnt/guest/tasks" <<'PROGRAM'
import sys
drgn, shown = (sorted(open(name).read().splitlines()) for name in sys.argv[1:])
if drgn != shown or len(shown) < 20:
    sys.exit("tasks of drgn alone %s, of /guest/tasks alone %s" % (set(drgn) - set(shown), set(shown) - set(drgn)))
PROGRAM
works "$python" "$tests/guest_said.py" --log "$tmp/drgn.log" "$mnt/guest/dmesg"
same "stacks by drgn" 2 \
	"$(grep -c '^native_safe_halt .*default_idle_call .*do_idle .*secondary_startup_64' "$tmp/drgn.stacks")"

# ---- volatility3 -------------------------------------------------------------------

# Its other plug-ins want symbols in a form that no package has.
works "$(dirname "$tools")/vol" -q -f "$core" banners.Banners
matches "volatility3's banners" "Linux version " "$(grep -F "$(cat "$mnt/guest/banner")" "$tmp/out")"

unmount
finish 13
