#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Several programs at one snapshot: each save is one's alone, what somebody else is
# doing is not disturbed, and nothing of anybody is replaced unseen.

. "$(dirname "$0")/lib.sh"
require fuse
require cmd strace flock jq
program=smsnap
other=$tmp/other
mkdir "$other"
sample "$snap"
num_cpus() { reader get "$1" num_cpus; }
names() { (cd "$tmp" && ls -d "$1"*) | xargs; }

# traced CALLS INJECT command...: in the background; what is injected makes it wait.
traced() {
	local calls=$1 inject=$2
	shift 2
	rm -f "$tmp/trace"
	"${strace[@]}" -o "$tmp/trace" -e trace="$calls" -e inject="$inject:delay_enter=2000000" "$@" \
		>"$tmp/out" 2>"$tmp/err" </dev/null &
	tracer=$!
}

# until_trace PATTERN: the traced program has come so far.
until_trace() { wait_until 20 grep -qs "$1" "$tmp/trace" || fail "no $1 in the trace"; }

# ended STATUS: the traced program.
ended() {
	local status=0
	wait "$tracer" || status=$?
	same "exit status ($(head -c 300 "$tmp/err"))" "$1" "$status"
}

say "# output= where somebody has it mounted"
program=smfs
sample "$tmp/target"
"$SMFS" "$tmp/target" "$other"
before=$(sum "$tmp/target")
expect_status 1 "$SMFS" -o output="$tmp/target" "$snap" "$mnt"
one_line "output $tmp/target: in use by a mount"
same "the other's snapshot" "$before" "$(sum "$tmp/target")"
detach "$other"
wait_until 20 flock -n "$tmp/target" true || fail "the daemon still has it locked"

if [ "$(id -u)" = 0 ]; then
	say "# a mount on overlayfs copies nothing, the first edit does"
	mkdir "$tmp/lower" "$tmp/above"
	sample "$tmp/lower/snap"
	before=$(sum "$tmp/lower/snap")
	for options in ro scratch "output=$tmp/away" rw replace save_ram; do
		mount -t tmpfs none "$tmp/above"
		mkdir "$tmp/above/upper" "$tmp/above/work" "$tmp/above/all"
		mount -t overlay none -o "lowerdir=$tmp/lower,upperdir=$tmp/above/upper,workdir=$tmp/above/work" \
			"$tmp/above/all"
		upper=$tmp/above/upper/snap
		mount_snap -o "$options" "$tmp/above/all/snap"
		works cat "$mnt/num_cpus" "$mnt/ram"
		[ ! -e "$upper" ] || fail "the mount alone has copied the snapshot"
		case $options in
		rw | replace | save_ram)
			ram=$(sum "$mnt/ram")
			put 9 "$mnt/num_cpus"
			same "what was saved with $options" 9 "$(num_cpus "$upper")"
			same "RAM" "$ram" "$(sum "$mnt/ram")"
			matches "what locks it" "in use by a mount" \
				"$("$SMFS" "$tmp/above/all/snap" "$other" 2>&1 || true)"
			printf written | dd of="$mnt/ram" bs=1 seek=5000 conv=notrunc status=none
			sync "$mnt"
			works truncate -s 100000 "$mnt/intc/raw"
			ram=$(sum "$mnt/ram")
			unmount
			same "what was saved then" 100000 "$(reader get "$upper" intc/raw | wc -c)"
			[ $options != save_ram ] ||
				same "RAM in the snapshot" "$ram" "$(tail -c 1048576 "$upper" | sha256sum | cut -d' ' -f1)"
			;;
		*)
			unmount
			;;
		esac
		umount "$tmp/above/all" "$tmp/above"
		same "what is below" "$before" "$(sum "$tmp/lower/snap")"
	done
fi

say "# a lock that is no mount's"
: >"$tmp/held"
flock "$snap" sh -c 'echo >"$1"; read -r _ <"$2"' - "$tmp/held" <(sleep 100) &
holder=$!
wait_until 20 test -s "$tmp/held" || fail "flock did not lock it"
for option in rw ro scratch; do
	expect_status 1 "$SMFS" -o $option "$snap" "$mnt"
	one_line "snap: locked by (flock|sh) \(process [0-9]+\), which is no mount; wait"
done
# shellcheck disable=SC2046 # two processes
kill $holder $(pgrep -P $holder) || true
wait $holder || true
wait_until 20 flock -n "$snap" true || fail "it is still locked"
mount_snap "$snap"
expect_status 1 "$SMFS" "$snap" "$other"
one_line "snap: in use by a mount, on $mnt; unmount that first"
unmount

say "# a file system without locks"
# lockless ERRNO PROGRAM: a program that runs it where flock(2) gives that.
lockless() {
	printf '#!/bin/sh\nexec %s -f -o /dev/null -e trace=flock -e inject=flock:error=%s "%s" "$@"\n' \
		"${strace[*]@Q}" "$1" "$2" >"$tmp/lockless"
	chmod +x "$tmp/lockless"
}
real=$SMFS
for errno in ENOLCK EBADF ENOSYS EOPNOTSUPP; do
	lockless $errno "$real"
	SMFS=$tmp/lockless
	expect_status 1 "$SMFS" "$snap" "$mnt"
	one_line "snap: cannot be locked: .* use -o ro or scratch, or nolock"
	expect_status 1 "$SMFS" -o output="$tmp/unlocked" "$snap" "$mnt"
	one_line "snap: cannot be locked: "
	for option in ro scratch; do
		mount_fg -o $option "$snap"
		same "num_cpus with $option" 4 "$(cat "$mnt/num_cpus")"
		unmount
		same "lines ($(cat "$tmp/daemon.err"))" 1 "$(wc -l <"$tmp/daemon.err")"
		matches "the warning" "^smfs: $snap: cannot be locked .*: changes by other programs" \
			"$(cat "$tmp/daemon.err")"
	done
	cpus=5
	for options in nolock nolock,replace nolock,save=sync "nolock,output=$tmp/unlocked"; do
		target=$snap
		[[ $options != *output* ]] || target=$tmp/unlocked
		mount_fg -o "$options" "$snap"
		put $cpus "$mnt/num_cpus"
		works truncate -s $((1000 * cpus)) "$mnt/intc/raw"
		unmount
		same "standard error with $options" "" "$(cat "$tmp/daemon.err")"
		same "what was saved with $options" "$cpus $((1000 * cpus))" \
			"$(num_cpus "$target") $(reader get "$target" intc/raw | wc -c)"
		cpus=$((cpus + 1))
	done
	rm "$tmp/unlocked"
	lockless $errno "$SMSNAP"
	expect_status 0 "$tmp/lockless" dump "$snap"
	mv "$tmp/out" "$tmp/json"
	expect_status 0 "$tmp/lockless" build "$tmp/json" -o "$tmp/unlocked"
	expect_status 0 "$tmp/lockless" build "$tmp/json" -o "$tmp/unlocked"
	same "what was built" 7 "$(num_cpus "$tmp/unlocked")"
	expect_status 0 "$tmp/lockless" set "$tmp/unlocked" num_cpus=33
	same "what was set" 33 "$(num_cpus "$tmp/unlocked")"
	rm "$tmp/unlocked"
	SMFS=$real
	sample "$snap"
done

say "# an interrupted save where there are no locks"
"${strace[@]}" -f -o /dev/null -e trace=fsync -e inject=fsync:signal=KILL:when=2 \
	"$SMFS" -f "$snap" "$mnt" 2>"$tmp/err" &
daemon=$!
wait_until 20 is_mounted || fail "not mounted"
! put 9 "$mnt/num_cpus" 2>"$tmp/err" || fail "the save was not killed"
detach "$mnt" || true
wait $daemon || true
lockless ENOLCK "$SMFS"
[ -e "$snap.smfs-undo" ] || fail "there is no journal"
SMFS=$tmp/lockless
expect_status 1 "$SMFS" -o ro "$snap" "$mnt"
one_line "a save was interrupted"
mount_fg -o nolock "$snap"
unmount
matches "what it says" "a save was interrupted: it has been undone" "$(cat "$tmp/daemon.err")"
[ ! -e "$snap.smfs-undo" ] || fail "the journal is still there"
SMFS=$real
sample "$snap"

say "# output= where a save was interrupted"
# A journal by hand: of another file, so that it is refused.
head -c 100 /dev/zero >"$tmp/target.smfs-undo"
expect_status 1 "$SMFS" -o output="$tmp/target" "$snap" "$mnt"
one_line "output $tmp/target: target.smfs-undo: is not a journal"
rm "$tmp/target.smfs-undo"
touch "$tmp/target.smfs-new"
mount_snap -o output="$tmp/target" "$snap"
same "files" "target" "$(names target)"
put 7 "$mnt/num_cpus"
expect_status 1 "$SMFS" "$tmp/target" "$other"
one_line "target: in use by a mount"
unmount
same "what was saved" 7 "$(num_cpus "$tmp/target")"

say "# output= a file that somebody takes away, and one that is never written"
sample "$tmp/target"
before=$(sum "$tmp/target")
mount_snap -o output="$tmp/target" "$snap"
unmount
same "a target that was not needed" "$before" "$(sum "$tmp/target")"
mount_snap -o output="$tmp/target" "$snap"
mv "$tmp/target" "$tmp/away"
sample "$tmp/target"
put 9 "$mnt/num_cpus"
unmount
same "what was taken away" "$before" "$(sum "$tmp/away")"
same "what was saved" 9 "$(num_cpus "$tmp/target")"
rm "$tmp/away"

say "# one output= of two mounts"
sample "$tmp/snap2"
mount_snap -o output="$tmp/both" "$snap"
"$SMFS" -o output="$tmp/both" "$tmp/snap2" "$other"
put 5 "$mnt/num_cpus"
if put 6 "$other/num_cpus" 2>"$tmp/err"; then fail "two mounts saved to one file"; fi
matches "its error" "$(strerror EBUSY)" "$(cat "$tmp/err")"
same "what the other shows" 4 "$(cat "$other/num_cpus")"
same "what was saved" 5 "$(num_cpus "$tmp/both")"
put 8 "$mnt/num_cpus"
unmount
wait_until 20 flock -n "$tmp/both" true || fail "the daemon still has it locked"
put 6 "$other/num_cpus"
detach "$other"
same "what was saved then" 6 "$(num_cpus "$tmp/both")"
wait_until 20 flock -n "$tmp/both" true || fail "the daemon still has it locked"

say "# a save that is on its way"
rm "$tmp/both"
mount_snap -o output="$tmp/both" "$snap"
# Whoever writes the new file has it locked.
: >"$tmp/both.smfs-new"
exec {writer}<"$tmp/both.smfs-new"
flock "$writer"
if put 5 "$mnt/num_cpus" 2>"$tmp/err"; then fail "saved through another's file"; fi
matches "its error" "$(strerror EBUSY)" "$(cat "$tmp/err")"
program=smsnap
"$SMSNAP" dump "$snap" >"$tmp/json"
tail -c 1048576 "$snap" >"$tmp/ram"
expect_status 1 "$SMSNAP" build "$tmp/json" -o "$tmp/both" --ram "$tmp/ram"
one_line "another program is saving here: it has both.smfs-new locked"
same "files" "both.smfs-new" "$(names both)"
exec {writer}<&-
put 5 "$mnt/num_cpus"
same "what was saved" 5 "$(num_cpus "$tmp/both")"
unmount

say "# a file that is not to be written"
program=smfs
sample "$tmp/state" 1048576 bare
expect_status 1 "$SMFS" -o ram="$tmp/state",ram_offset=65536 "$tmp/state" "$mnt"
one_line "ram $tmp/state: is the snapshot itself"
expect_status 1 "$SMFS" -o "ram=$tmp/ram,output=$tmp/ram" "$tmp/state" "$mnt"
one_line "output $tmp/ram: is the file that RAM is in"
before=$(sum "$tmp/ram")
mount_snap -o "ram=$tmp/ram,output=$tmp/new" "$tmp/state"
put 3 "$mnt/num_cpus"
same "RAM" "$before" "$(sum "$mnt/ram")"
unmount
same "what was saved" 3 "$("$SMSNAP" dump "$tmp/new" | jq .num_cpus)"
same "the file that RAM is in" "$before" "$(sum "$tmp/ram")"

say "# smsnap build over what a mount has just replaced"
program=smsnap
mount_snap -o replace "$snap"
jq .num_cpus=33 "$tmp/json" >"$tmp/json33"
traced openat,flock flock:when=1 "$SMSNAP" build "$tmp/json33" -o "$snap" --ram "$tmp/ram"
until_trace "openat.*$snap\""
put 9 "$mnt/num_cpus"
ended 1
one_line "in use by a mount"
same "the mount's edit" 9 "$(num_cpus "$snap")"
put 10 "$mnt/num_cpus"
unmount
same "the mount's next edit" 10 "$(num_cpus "$snap")"

say "# smsnap build of RAM that gets shorter"
before=$(sum "$snap")
traced ftruncate,lseek lseek:when=1 "$SMSNAP" build "$tmp/json33" -o "$snap" --ram "$tmp/ram"
until_trace ftruncate
truncate -s 4096 "$tmp/ram"
ended 1
same "the snapshot" "$before" "$(sum "$snap")"
same "files" "snap snap2" "$(names snap)"

say "# smsnap build of RAM that is one hole"
truncate -s 0 "$tmp/ram"
truncate -s 1048576 "$tmp/ram"
expect_status 0 "$SMSNAP" build "$tmp/json33" -o "$snap" --ram "$tmp/ram"
same "RAM" "$(sum "$tmp/ram")" "$(tail -c 1048576 "$snap" | sha256sum | cut -d' ' -f1)"

say "# smsnap dump that begins in the middle of a save"
# It has seen no journal yet when the save begins, and has read when that ends.
"${strace[@]}" -o "$tmp/trace" -e trace=openat,pread64 "$SMSNAP" dump "$snap" >"$tmp/out"
opens=$(grep -c ^openat <(sed "\\|\"$snap\"|q" "$tmp/trace"))
reads=$(grep -c ^pread64 <(sed "\\|\"$snap\"|q" "$tmp/trace") || true)
rm "$tmp/trace"
"${strace[@]}" -o "$tmp/trace" -e trace=openat,newfstatat,pread64 -e inject=openat:delay_enter=2000000:when="$opens" \
	-e inject=pread64:delay_enter=4000000:when=$((reads + 1)) "$SMSNAP" dump "$snap" >"$tmp/out2" 2>"$tmp/err" &
tracer=$!
until_trace 'snap.smfs-new'
: >"$snap.smfs-undo"
exec {writer}<"$snap"
flock "$writer"
until_trace "openat.*\"$snap\".* = [0-9]"
# It looks again, or reads, which takes longer.
looked_again() { [ "$(grep -c smfs-undo "$tmp/trace")" -ge 2 ]; }
wait_until 1 looked_again || true
rm "$snap.smfs-undo"
exec {writer}<&-
ended 0
same "what it printed" "$(cat "$tmp/out")" "$(cat "$tmp/out2")"
[ "$(grep -c "openat.*\"$snap\"" "$tmp/trace")" -ge 2 ] || fail "it trusts what it read while a save was under way"

say "# what is left of a save is removed durably"
touch "$snap.smfs-new"
"${strace[@]}" -o "$tmp/trace" -e trace=unlinkat,fsync "$SMSNAP" dump "$snap" >"$tmp/out"
matches "its calls" '^unlinkat.*smfs-new.*fsync' "$(grep -v '^[+]' "$tmp/trace" | xargs)"

say "# JSON that has a member twice, of very many"
"$python" -c 'print("{%s,\"x\":0,\"x\":1}" % ",".join("\"%d\":0" % i for i in range(200000)))' >"$tmp/twice"
expect_status 1 "$SMSNAP" build "$tmp/twice" -o "$tmp/never"
one_line "an object has a member twice"
finish 50
