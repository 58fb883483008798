# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Tests with a Linux guest that boots in QEMU: source it after lib.sh.
# shellcheck disable=SC2154 # what lib.sh has

export SMSNAP

# guest OPTION...: boots one. What that lacks here, the test lacks.
guest() {
	local status=0
	"$top/scripts/guest-snapshot" "$@" >"$tmp/guest.log" 2>&1 || status=$?
	[ $status != 77 ] || lacking "$(tail -n 1 "$tmp/guest.log")"
	[ $status = 0 ] || fail "guest-snapshot $*: status $status: $(tail -n 5 "$tmp/guest.log")"
}

# symbol NAME: its address, as the guest said.
symbol() { sed -n "s/^\(.*\) [A-Z] $1\$/\1/p" "$tmp/said/kallsyms"; }

# says_the_same: /guest of what is mounted tells what the guest said itself, which is in $tmp/said.
says_the_same() {
	local said=$tmp/said
	same "/guest" "banner cmdline dmesg kallsyms kaslr release tasks vmcoreinfo" "$(cd "$mnt/guest" && echo *)"
	works cmp "$said/version" "$mnt/guest/banner"
	works cmp "$said/cmdline" "$mnt/guest/cmdline"
	# Those of modules are not the kernel's own.
	grep -v '\[' "$said/kallsyms" >"$tmp/kallsyms"
	works cmp "$tmp/kallsyms" "$mnt/guest/kallsyms"
	works "$python" "$tests/guest_said.py" "$said" "$mnt/guest"
	same "_stext" "_stext 0x$(symbol _stext)" "$(grep '^_stext ' "$mnt/guest/kaslr")"
	same "release" "$(cut -d ' ' -f 3 "$said/version")" "$(cat "$mnt/guest/release")"
}

# slide: by how much the kernel's addresses are others than those of vmlinux.
slide() { sed -n 's/^slide //p' "$mnt/guest/kaslr"; }

# has_registers [GDB]: /vcpu and what gdb finds in /vmcore are what QEMU said.
has_registers() {
	works "$python" "$tests/guest_registers.py" "$mnt" "$tmp/said/registers" "$@"
	say "# $(cat "$tmp/out")"
}
