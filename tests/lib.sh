# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Shared by the shell tests: source it first.
#
#   $SMFS $SMSNAP   the programs           $tests   this folder
#   $tmp            an own work directory, removed at exit
#   $mnt            where mount_snap mounts
#   $daemon         pid of the last mount's daemon
#   $snap           the snapshot that a test works on

set -Eeuo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
umask 022

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "${srcdir:-$tests/..}" && pwd)
SMFS=${SMFS:-$top/smfs}
SMSNAP=${SMSNAP:-$top/smsnap}

say() { printf '%s\n' "$*"; }

# With the line of the test that called, through whatever functions.
fail() {
	printf 'FAIL: line %s: %s\n' "${BASH_LINENO[*]: -2:1}" "$*" >&2
	exit 1
}

trap 'echo "FAIL: $0 line $LINENO: $BASH_COMMAND" >&2' ERR

# ---- what a test needs --------------------------------------------------------

lacking() {
	[ "${SMFS_NO_SKIP:-}" != 1 ] || fail "lacking: $*"
	say "SKIP: lacking: $*"
	exit 77
}

# require root|fuse|cmd NAME...
require() {
	local what=$1 name
	shift
	case $what in
	root) [ "$(id -u)" = 0 ] || lacking "root" ;;
	fuse) { [ -r /dev/fuse ] && [ -w /dev/fuse ]; } || lacking "access to /dev/fuse" ;;
	cmd)
		for name; do
			command -v "$name" >/dev/null || lacking "command $name"
		done
		;;
	*) fail "require $what" ;;
	esac
}

require cmd python3
# The interpreter itself: a wrapper would start it anew at every call.
python=$(python3 -c 'import sys; print(sys.executable)')

# Where somebody traces, LeakSanitizer cannot work.
# shellcheck disable=SC2034 # for whoever sources this
strace=(env "ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0" strace)

# ---- the work directory -------------------------------------------------------

# In a mount namespace of its own a test has what others had mounted when that was made, and their
# daemons would not end before it does.
if [ -n "${SMFS_OWN_MOUNTS:-}" ]; then
	awk '$2 ~ /smfs-test-/ { print $2 }' /proc/self/mounts | sort -r | xargs -r -n 1 umount -l 2>/dev/null || true
fi

tmp=$(mktemp -d "${TMPDIR:-/tmp}/smfs-test-XXXXXX")
tmp=$(cd "$tmp" && pwd -P)
mnt=$tmp/mnt
snap=$tmp/snap
daemon=
is_child=
mkdir "$mnt"

mounts_below() { awk -v d="$1/" 'index($2 "/", d) == 1 { print $2 }' /proc/self/mounts; }

detach() {
	if [ "$(id -u)" = 0 ]; then umount "$@"; else fusermount3 -u "$@"; fi
}

cleanup() {
	local status=$? m pid
	trap - ERR
	set +e
	cd /
	# The last mounted first: one can be on another.
	for m in $(mounts_below "$tmp" | tac); do
		detach "$m" 2>/dev/null || umount -l "$m"
	done
	for pid in $(jobs -p); do
		kill "$pid" 2>/dev/null
	done
	wait
	rm -rf "$tmp"
	exit $status
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# own_fuse_device: a /dev/fuse that every user may open, for this test alone, which starts
# anew in a mount namespace of its own.
own_fuse_device() {
	if [ -z "${SMFS_OWN_MOUNTS:-}" ]; then
		rm -rf "$tmp"
		SMFS_OWN_MOUNTS=1 exec unshare -m bash "$0"
	fi
	mknod -m 666 "$tmp/fuse" c 10 229
	mount --bind "$tmp/fuse" /dev/fuse
}

# ---- waiting for a condition --------------------------------------------------

# wait_until SECONDS command...: poll until the command succeeds.
wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -le $end ] || return 1
		sleep 0.02
	done
}

is_mounted() { mountpoint -q "$mnt"; }
not_mounted() { [ -z "$(mounts_below "$mnt")" ]; }
# A daemon's new parent may take its time to collect it: a zombie is gone.
is_gone() { ! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null; }
# A mount or the early end of its daemon.
settled() { is_mounted || is_gone "$daemon"; }

# ---- mounting -----------------------------------------------------------------

# mount_snap [option]... SNAPSHOT: in the background, as users do.
mount_snap() {
	timeout 30 "$SMFS" "$@" "$mnt" </dev/null || fail "smfs $* $mnt: exit status $?"
	is_mounted || fail "smfs $*: returned 0 and nothing is mounted"
	is_child=
	daemon=$(pgrep -f -- " $mnt\$") || fail "smfs $*: no daemon"
}

# mount_fg [option]... SNAPSHOT: in the foreground, as a child of the test.
mount_fg() {
	# A shell starts its background jobs with SIGINT ignored, nohup all with SIGHUP ignored.
	env --default-signal=INT,HUP,TERM "$SMFS" -f "$@" "$mnt" </dev/null 2>"$tmp/daemon.err" &
	daemon=$!
	is_child=1
	wait_until 20 settled || fail "smfs -f $*: nothing mounted after 20 s"
	is_mounted || fail "smfs -f $*: $(cat "$tmp/daemon.err")"
}

# The daemon ends and leaves nothing mounted. A child's exit status must be 0.
daemon_ended() {
	wait_until 60 is_gone "$daemon" || fail "the daemon is still there"
	not_mounted || fail "$mnt is still mounted"
	if [ -n "$is_child" ]; then
		wait "$daemon" || fail "the daemon's exit status is $?: $(cat "$tmp/daemon.err")"
	fi
}

unmount() {
	detach "$mnt" || fail "$mnt cannot be unmounted"
	daemon_ended
}

# ---- data ---------------------------------------------------------------------

reader() { "$python" "$tests/reader.py" "$@"; }

# sample FILE [BYTES] [LAYOUT]: every kind of field, and sparse RAM (1 MiB).
sample() { reader sample "$1" "${2:-1048576}" --layout "${3:-kvm}"; }

# region NAME: one line of reader.py dump-region for $snap.
region() { reader dump-region "$snap" | awk -v n="$1" '$1 == n { print $2 }'; }
put() { printf '%s' "$1" >"$2"; }
append() { printf '%s' "$1" >>"$2"; }
sum() { sha256sum <"$1" | cut -d' ' -f1; }
hex() { xxd -p -c 0 "$1"; }

# ---- checking -----------------------------------------------------------------

checks=0

# same WHAT EXPECTED SEEN
same() {
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
	checks=$((checks + 1))
}

# saved PATH EXPECTED: what is on disk in $snap, read while it is mounted.
saved() { same "$1 in the snapshot" "$2" "$(reader get "$snap" "$1")"; }

# matches WHAT PATTERN SEEN: an extended regular expression.
matches() {
	[[ $3 =~ $2 ]] || fail "$1: expected something like '$2', got '$3'"
	checks=$((checks + 1))
}

# works command...
works() {
	("$@") >"$tmp/out" 2>"$tmp/err" ||
		fail "$*: exit status $?: $(head -c 500 "$tmp/err")"
	checks=$((checks + 1))
}

# strerror NAME: the text that programs print for it.
declare -A error_texts
while read -r name text; do
	error_texts[$name]=$text
done < <("$python" -c 'import errno, os
for number, name in errno.errorcode.items(): print(name, os.strerror(number))')
strerror() { printf '%s\n' "${error_texts[$1]}"; }

# expect_errno NAME[|NAME] command...: it fails, and says this error.
expect_errno() {
	local names=$1 name
	shift
	if ("$@") >"$tmp/out" 2>"$tmp/err"; then
		fail "$*: expected $names, but it succeeded"
	fi
	for name in ${names//|/ }; do
		if grep -qF "${error_texts[$name]}" "$tmp/err"; then
			checks=$((checks + 1))
			return
		fi
	done
	fail "$*: expected $names, got: $(head -c 500 "$tmp/err")"
}

# expect_status STATUS command...: its output is in $tmp/out and $tmp/err.
expect_status() {
	local want=$1 got=0
	shift
	(timeout 30 "$@") >"$tmp/out" 2>"$tmp/err" </dev/null || got=$?
	[ "$got" = "$want" ] ||
		fail "$*: expected exit status $want, got $got: $(head -c 500 "$tmp/err")"
	checks=$((checks + 1))
}

# one_line PATTERN: $tmp/err is one line, says "$PROGRAM: " first, and matches.
one_line() {
	same "lines on standard error ($(head -c 500 "$tmp/err"))" 1 "$(wc -l <"$tmp/err")"
	matches "standard error" "^${program:-smfs}: .*$1" "$(cat "$tmp/err")"
}

# finish LEAST: the last line of a test; none may pass without having checked.
finish() {
	[ "$checks" -ge "$1" ] || fail "only $checks checks, expected $1"
	say "ok: $checks checks"
}
