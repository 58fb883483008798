#!/bin/bash
# SPDX-License-Identifier: MIT
# A real Linux guest: its snapshot shows what is in its memory, and can be edited.
# And a capture leaves the guest as it was.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd jq od pgrep python3 sha256sum

# shellcheck source=guest.lib.sh
. "$tests/guest.lib.sh"

# ---- a snapshot of a guest ------------------------------------------------------

# The guest reads its disk when it boots, so what is on it gets into its memory.
marker="on the disk of the guest $$"
disk=$tmp/disk.img
truncate -s 1M "$disk"
printf '%s' "$marker" | dd of="$disk" bs=4096 seek=17 conv=notrunc status=none

guest --disk "$disk" --keep-json "$tmp" --said "$tmp/said" "$snap"
mem=$(jq .mem_size "$tmp/snapshot.json")
ram=$(tail -c "$mem" "$snap" | sha256sum)

# All that was captured comes back.
"$SMSNAP" dump "$snap" >"$tmp/dump.json" || fail "smsnap dump: exit status $?"
places='del(.layout.ram_offset)'
same "captured and dumped" "$(jq -S "$places" "$tmp/snapshot.json")" "$(jq -S "$places" "$tmp/dump.json")"

mount_snap "$snap"

same "num_cpus" 2 "$(cat "$mnt/num_cpus")"
same "vCPU files" "0 1" "$(cd "$mnt/vcpu" && echo *)"
same "devices" "0 1 2 3" "$(cd "$mnt/devices" && echo *)"
same "the disk's path" "$disk" "$(cat "$mnt/devices/0/backing/path")"
same "the disk's size" 1048576 "$(cat "$mnt/devices/0/backing/size")"
same "/ram" "$ram" "$(sha256sum <"$mnt/ram")"
banner=$(grep -a -o -m 1 'Linux version [0-9][^ ]*' "$mnt/ram" | head -n 1)
matches "the kernel's banner" '^Linux version [0-9]' "$banner"
works grep -a -q -F "$marker" "$mnt/ram"

# u16 ADDRESS: in the guest's memory
u16() { od -An -t u2 --endian=little -j $(($1)) -N 2 "$mnt/ram" | tr -d ' '; }

# The rings are where the snapshot says, and in the state that it says.
rings=0
for queue in "$mnt"/devices/*/mmio/queues/*; do
	name=${queue#"$mnt"}
	[ "$(cat "$queue/ready")" = 1 ] || continue
	size=$(cat "$queue/size")
	desc=$(cat "$queue/desc_table")
	avail=$(cat "$queue/avail_ring")
	used=$(cat "$queue/used_ring")
	((desc + 16 * size <= mem && avail + 6 + 2 * size <= mem && used + 6 + 8 * size <= mem)) ||
		fail "$name: a ring is not inside the memory: $desc $avail $used"

	same "$name: used index" "$(cat "$queue/next_used_idx")" "$(u16 $((used + 2)))"
	waiting=$((($(u16 $((avail + 2))) - $(cat "$queue/last_avail_idx")) & 0xffff))
	[ $waiting -le "$size" ] || fail "$name: $waiting buffers wait in a ring of $size"
	rings=$((rings + 1))
done
# Two disks, random source, and the network card's three.
same "rings" 6 "$rings"
[ "$(cat "$mnt/devices/0/mmio/queues/0/next_used_idx")" -gt 0 ] || fail "the disk was not used"

# ---- what its Linux tells of itself, and what the guest said ---------------------

says_the_same
same "slide" "$(printf '0x%x' $((0x$(symbol _stext) - 0xffffffff81000000)))" "$(slide)"

# ---- what debuggers make of the core ----------------------------------------------

core=$mnt/vmcore
asked=
ask() { command -v "$1" >/dev/null && asked="$asked $1"; }
ask gdb && gdb=gdb || gdb=
has_registers ${gdb:+"$gdb"}
if ask makedumpfile; then
	works makedumpfile --dump-dmesg "$core" "$tmp/makedumpfile.dmesg"
	# It moves the second and further lines of a record to the right.
	same "makedumpfile --dump-dmesg" "$(sed 's/^ *//' "$mnt/guest/dmesg")" \
		"$(sed 's/^ *//' "$tmp/makedumpfile.dmesg")"
fi
if ask vmcore-dmesg; then
	works vmcore-dmesg "$core"
	mv "$tmp/out" "$tmp/vmcore-dmesg"
	works cmp "$tmp/vmcore-dmesg" "$mnt/guest/dmesg"
fi
if ask crash; then
	works crash --osrelease "$core"
	same "crash --osrelease" "$(cat "$mnt/guest/release")" "$(cat "$tmp/out")"
fi
if [ -n "$gdb" ]; then
	works gdb -nx -batch -ex "core-file $core" -ex "x/s 0x$(symbol linux_banner)"
	matches "gdb" "Linux version [0-9]" "$(cat "$tmp/out")"
fi
guest_python=${SMFS_GUEST_PYTHON:-python3}
if "$guest_python" -c 'import drgn' 2>/dev/null; then
	asked="$asked drgn"
	works "$guest_python" - "$core" <<'PROGRAM'
import sys, drgn
program = drgn.Program()
program.set_core_dump(sys.argv[1])
print(program["UTS_RELEASE"].string_().decode())
PROGRAM
	same "drgn" "$(cat "$mnt/guest/release")" "$(cat "$tmp/out")"
fi
echo "# asked as well:$asked"

# Another disk, nothing else.
echo /srv/new.img >"$mnt/devices/0/backing/path"
unmount
"$SMSNAP" dump "$snap" >"$tmp/edited.json" || fail "smsnap dump: exit status $?"
same "the disk's new path" /srv/new.img "$(jq -r '.devices[0].backing.path' "$tmp/edited.json")"
same "all else" "$(jq -S "$places | .devices[0].backing.path = \"/srv/new.img\"" "$tmp/snapshot.json")" \
	"$(jq -S "$places" "$tmp/edited.json")"
same "RAM after the edit" "$ram" "$(tail -c "$mem" "$snap" | sha256sum)"

# ---- a capture of a guest that somebody else runs -------------------------------

# qmp SOCKET COMMAND [JSON of arguments]: the answer.
cat >"$tmp/qmp" <<'EOF'
import json, socket, sys
qmp = socket.socket(socket.AF_UNIX)
qmp.connect(sys.argv[1])
lines = qmp.makefile("rw")
lines.readline()
for command, arguments in ("qmp_capabilities", "{}"), (sys.argv[2], (sys.argv + ["{}"])[3]):
    print(json.dumps({"execute": command, "arguments": json.loads(arguments)}), file=lines, flush=True)
    answer = {}
    while "return" not in answer:
        answer = json.loads(lines.readline())
print(answer["return"] if isinstance(answer["return"], str) else json.dumps(answer["return"]))
EOF

export work=$tmp capture=$top/scripts/qmp-capture
# shellcheck disable=SC2317 # it is run in the shell that --run starts
others() {
	set -eu
	state() { echo "$1: $(python3 "$work/qmp" "$QMP" query-status | jq -r .status)" >>"$work/states"; }
	state before
	"$capture" "$QMP" "$work/other"
	state captured
	mkdir -p "$work/refused/ram.bin"
	if "$capture" "$QMP" "$work/refused"; then return 1; fi
	state failed
	python3 "$work/qmp" "$QMP" stop
	# What a processor of QEMU sees at its own stack pointer and instructions (rsp and rip, by older names).
	for cpu in 0 1; do
		for words in "12gx \$esp" "2gx \$eip"; do
			python3 "$work/qmp" "$QMP" human-monitor-command \
				"{\"command-line\": \"x /$words\", \"cpu-index\": $cpu}"
		done
	done >"$work/memory"
	"$capture" "$QMP" "$work/other"
	state "captured while stopped"
}
export -f others

guest --run others
same "the guest's state" "before: running
captured: running
failed: running
captured while stopped: paused" "$(cat "$tmp/states")"
works "$SMSNAP" build "$tmp/other/snapshot.json" -o "$tmp/other.snap" --ram "$tmp/other/ram.bin"
mount_snap "$tmp/other.snap"
works "$python" "$tests/guest_registers.py" "$mnt" "$tmp/other/registers" ${gdb:+"$gdb"}
if [ -n "$gdb" ]; then
	# shellcheck disable=SC2016 # they are gdb's
	works gdb -nx -batch -ex "core-file $mnt/vmcore" -ex "thread 1" -ex 'x/12gx $rsp' -ex 'x/2gx $rip' \
		-ex "thread 2" -ex 'x/12gx $rsp' -ex 'x/2gx $rip'
	words() { grep -o -E '\b0x[0-9a-f]{16}\b' | xargs -n 2; }
	same "what gdb and QEMU read" "$(sed 's/^[^:]*://' "$tmp/memory" | words)" \
		"$(grep -E '^0x[0-9a-f]+( <.*>)?:' "$tmp/out" | sed 's/^[^:]*://' | words)"
	same "what QEMU reads" 14 "$(sed 's/^[^:]*://' "$tmp/memory" | words | wc -l)"
fi
unmount
same "RAM of the other guest" "$(sha256sum <"$tmp/other/ram.bin")" \
	"$(tail -c "$mem" "$tmp/other.snap" | sha256sum)"

finish 30
