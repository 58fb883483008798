#!/bin/bash
# SPDX-License-Identifier: MIT
# The load and the commands again with builds that check themselves: SMFS_ASAN is
# an smfs from configure --enable-sanitize=address,undefined, SMFS_TSAN one from
# --enable-sanitize=thread. SMFS_LOAD_SECONDS sets the time.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd setarch

# A daemon has no standard error, and its end is nobody's: what counts are files.
# UndefinedBehaviorSanitizer in one with ASan writes none: it ends the daemon.
reports=$tmp/reports
mkdir "$reports"
export ASAN_OPTIONS=log_path=$reports/asan:detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=log_path=$reports/tsan:second_deadlock_stack=1:suppressions=$tests/tsan.supp
# A sanitizer keeps what was freed.
export SMFS_LOAD_MEMORY=no

# clean NAME command...: it succeeds, and nothing is reported meanwhile.
clean() {
	local name=$1 status=0 file
	shift
	say "# $name: $(basename "${*: -1}")"
	SMFS=$tmp/smfs "$@" >"$tmp/out" 2>&1 || status=$?
	for file in "$reports"/*; do
		[ ! -e "$file" ] || fail "$name: $(cat "$file")"
	done
	[ $status = 0 ] || fail "$name: $* gave $status: $(tail -c 4000 "$tmp/out")"
	tail -n 1 "$tmp/out"
	checks=$((checks + 1))
}

# sanitized NAME PROGRAM
sanitized() {
	[ -x "$2" ] || fail "no program $2"
	# ThreadSanitizer knows only some layouts of the address space.
	printf '#!/bin/sh\nexec setarch -R "%s" "$@"\n' "$(realpath "$2")" >"$tmp/smfs"
	chmod 755 "$tmp/smfs"
	clean "$1" "$python" "$tests/mount-load.py"
	clean "$1" bash "$tests/mount-commands.sh"
}

[ -n "${SMFS_ASAN:-}${SMFS_TSAN:-}" ] || lacking "SMFS_ASAN or SMFS_TSAN"
[ -z "${SMFS_ASAN:-}" ] || sanitized address "$SMFS_ASAN"
[ -z "${SMFS_TSAN:-}" ] || sanitized thread "$SMFS_TSAN"
finish 2
