#!/bin/bash
# SPDX-License-Identifier: MIT
# Guests as guest.sh's, with their kernel elsewhere: without KASLR, with 5 levels of page tables, on aarch64.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep
# shellcheck source=guest.lib.sh
. "$tests/guest.lib.sh"

[ "${SMFS_TEST_ALL:-}" = 1 ] || lacking "SMFS_TEST_ALL=1: each of four guests takes a minute"

# boots GDB OPTION...: a guest, mounted, which is checked but for what is its own.
boots() {
	local gdb=$1
	shift
	rm -rf "$snap" "$tmp/said"
	say "# $*"
	guest --said "$tmp/said" "$@" "$snap"
	mount_snap "$snap"
	says_the_same
	if command -v "$gdb" >/dev/null; then
		has_registers "$gdb"
	else
		say "# no $gdb"
		has_registers
	fi
}

boots gdb --append nokaslr
same "slide without KASLR" 0x0 "$(slide)"
same "_stext without KASLR" ffffffff81000000 "$(symbol _stext)"
unmount

boots gdb --cpu qemu64,+la57
same "slide with 5 levels" "$(printf '0x%x' $((0x$(symbol _stext) - 0xffffffff81000000)))" "$(slide)"
same "vCPUs with CR4.LA57" "4096 4096" "$(sed -n 's/.* CR4=\([0-9a-f]*\)$/\1/p' "$tmp/said/registers" |
	while read -r cr4; do echo $((0x$cr4 & 4096)); done | xargs)"
matches "the direct map with 5 levels" '^0xff[0-9a-f]{14}$' "$(sed -n 's/^direct_map //p' "$mnt/guest/kaslr")"
unmount

# Without KASLR the kernel is where it was linked, which is what the next one slides from.
boots gdb-multiarch --machine aarch64 --append nokaslr
same "slide without KASLR on aarch64" 0x0 "$(slide)"
linked=$(symbol _stext)
unmount

boots gdb-multiarch --machine aarch64
same "slide on aarch64" "$(printf '0x%x' $((0x$(symbol _stext) - 0x$linked)))" "$(slide)"
[ "$(slide)" != 0x0 ] || fail "no KASLR on aarch64"
unmount

finish 39
