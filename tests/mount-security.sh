#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What SECURITY.md promises: of journals, temporaries, messages and the daemon.

# On tmpfs saves are in place, with a journal.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
require fuse
require root
require cmd strace xxd setpriv
[ "$(stat -f -c %T "$tmp")" = tmpfs ] || lacking "a tmpfs at /dev/shm"
own_fuse_device
memory=$tmp/memory
mkdir "$memory"

# ---- whose journal it is ------------------------------------------------------

# A save that is killed between its last write and the removal of its journal.
interrupted() {
	rm -f "$memory"/*
	sample "$memory/snap"
	mount_fg "$memory/snap"
	"${strace[@]}" -qq -f -o /dev/null -e trace=renameat -e inject=renameat:signal=KILL:when=2 \
		-p "$daemon" &
	local tracer=$!
	wait_until 20 grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$daemon/status" ||
		fail "strace does not trace"
	if echo 9 2>/dev/null >"$mnt/num_cpus"; then fail "an edit went well that was killed"; fi
	wait "$tracer" || true
	umount "$mnt"
	[ -e "$memory/snap.smfs-undo" ] || fail "no journal was left"
}

held_locked() { ! flock -n -s "$memory/snap" true; }
refuses_journal() {
	local before
	before=$(sum "$memory/snap")
	expect_status 1 "$SMFS" "$memory/snap" "$mnt"
	one_line "snap\.smfs-undo: $1"
	program=smsnap
	expect_status 1 "$SMSNAP" dump "$memory/snap"
	one_line "snap\.smfs-undo: $1"
	program=smfs
	same "the snapshot" "$before" "$(sum "$memory/snap")"
}

undoes_journal() {
	expect_status 0 "$SMSNAP" dump "$memory/snap"
	same "num_cpus" 4 "$(reader get "$memory/snap" num_cpus)"
	[ ! -e "$memory/snap.smfs-undo" ] || fail "the journal is still there"
}

interrupted
same "the journal's mode" 600 "$(stat -c %a "$memory/snap.smfs-undo")"
chown nobody "$memory/snap.smfs-undo"
refuses_journal "may be somebody else's"
chown root "$memory/snap.smfs-undo"
chmod 0620 "$memory/snap.smfs-undo"
refuses_journal "may be somebody else's"
# Who may write the snapshot may as well have made its journal.
chmod 0660 "$memory/snap"
undoes_journal

interrupted
chown nobody "$memory/snap" "$memory/snap.smfs-undo"
undoes_journal

# A user who may write both: undone if the journal is their own, root's or the snapshot's owner's.
chmod 0711 "$tmp"
chmod 0777 "$memory"
for case in "daemon nobody 0" "daemon root 0" "daemon daemon 0" "root daemon 1"; do
	read -r owner journals status <<<"$case"
	interrupted
	chown "$owner" "$memory/snap"
	chmod 0666 "$memory/snap"
	chown "$journals" "$memory/snap.smfs-undo"
	chmod 0644 "$memory/snap.smfs-undo"
	expect_status "$status" setpriv --reuid=nobody --clear-groups "$SMSNAP" dump "$memory/snap"
	same "journals left by $case" "$status" "$(find "$memory" -name snap.smfs-undo | wc -l)"
done
chmod 0700 "$tmp" "$memory"

# Who has the snapshot locked may be saving it: half a save is neither shown nor undone.
interrupted
exec {locked}<"$memory/snap"
flock --shared "$locked"
before=$(sum "$memory/snap")
program=smsnap
expect_status 1 "$SMSNAP" dump "$memory/snap"
one_line "snap: a save of it is not finished"
same "what it printed" "" "$(cat "$tmp/out")"
# Nor is it for somebody who may only read it anything else.
chmod 0755 "$tmp" "$memory"
expect_status 1 setpriv --reuid=nobody --clear-groups "$SMSNAP" dump "$memory/snap"
one_line "snap: a save of it is not finished"
chmod 0700 "$tmp" "$memory"
program=smfs
expect_status 1 "$SMFS" -o ro "$memory/snap" "$mnt"
one_line "snap: a save was interrupted and can't be undone while others have the snapshot open"
same "the snapshot" "$before" "$(sum "$memory/snap")"
exec {locked}<&-
undoes_journal

# Whoever replaces it waits for who has it locked, and undoes what that one did not.
tried_twice() { [ "$(grep -c EAGAIN "$tmp/trace")" -ge 3 ]; }
replaces() {
	interrupted
	flock -F "$memory/snap" sleep 100 &
	local holder=$! waiting
	wait_until 20 held_locked || fail "it is not locked"
	: >"$tmp/trace"
	"${strace[@]}" -o "$tmp/trace" -e trace=flock "$@" 2>"$tmp/err" &
	waiting=$!
	wait_until 20 tried_twice || fail "$1 does not wait: $(cat "$tmp/err")"
	kill "$holder"
	wait "$waiting" || fail "$1: $(cat "$tmp/err")"
	same "what $1 left" "" "$(find "$memory" -name "*.smfs-*")"
}
sample "$tmp/source"
"$SMSNAP" dump "$tmp/source" >"$tmp/json"
tail -c 1048576 "$tmp/source" >"$tmp/ram"
replaces "$SMSNAP" build "$tmp/json" -o "$memory/snap" --ram "$tmp/ram"
same "the snapshot" "$(sum "$tmp/source")" "$(sum "$memory/snap")"
replaces "$SMFS" -o output="$memory/snap" "$tmp/source" "$mnt"
daemon=$(pgrep -f -- " $mnt\$")
is_child=
echo 7 >"$mnt/num_cpus"
echo 8 >"$mnt/num_cpus"
unmount
same "num_cpus" 8 "$(reader get "$memory/snap" num_cpus)"

# Two programs find it, and one is quicker.
interrupted
"${strace[@]}" -o "$tmp/trace" -e trace=openat,flock -e inject=flock:delay_enter=1000000:when=1 \
	"$SMSNAP" dump "$memory/snap" >"$tmp/slower" 2>"$tmp/slower.err" &
slower=$!
wait_until 20 grep -qs 'snap", O_RDWR' "$tmp/trace" || fail "it does not open the snapshot"
undoes_journal
wait "$slower" || fail "the slower one: $(cat "$tmp/slower.err")"
same "what both printed" "$(cat "$tmp/out")" "$(cat "$tmp/slower")"

interrupted
mv "$memory/snap.smfs-undo" "$memory/elsewhere"
ln -s elsewhere "$memory/snap.smfs-undo"
refuses_journal "$(strerror ELOOP)"

# ---- temporaries --------------------------------------------------------------

# What lies in the way under a temporary's name is replaced, never written through; what
# was kept of an earlier mount, or has that name, stays.
rm -f "$memory"/*
sample "$memory/snap"
echo precious >"$memory/precious"
ln -s precious "$memory/snap.smfs-new"
ln "$memory/precious" "$memory/snap.smfs-recovered"
mount_snap -o save=sync "$memory/snap"
echo 9 >"$mnt/num_cpus"
sync "$mnt"
same "the link's target" precious "$(cat "$memory/precious")"
# What can't be saved at the end is kept, for the owner alone.
echo 10 >"$mnt/num_cpus"
echo >>"$memory/snap"
detach "$mnt"
daemon_ended
same "the hard link" precious "$(cat "$memory/snap.smfs-recovered")"
same "mode of what was kept" 600 "$(stat -c %a "$memory/snap.smfs-recovered.1")"
same "num_cpus kept" 10 "$(reader get "$memory/snap.smfs-recovered.1" num_cpus)"
# not_saved NUMBER PATTERN: of a mount that holds it as num_cpus, and what that says.
not_saved() {
	sample "$memory/snap"
	mount_fg -o save=sync "$memory/snap"
	echo "$1" >"$mnt/num_cpus"
	echo >>"$memory/snap"
	detach "$mnt"
	if wait "$daemon"; then fail "it says that all went well"; fi
	matches "what it said" "$2" "$(tail -n 1 "$tmp/daemon.err")"
}
not_saved 11 "is kept beside the snapshot, as snap.smfs-recovered.2\$"
for n in $(seq 3 99); do touch "$memory/snap.smfs-recovered.$n"; done
not_saved 12 "the edits are lost: snap.smfs-recovered.99: there are 100 of them"
same "num_cpus kept" "10 11" "$(for n in 1 2; do reader get "$memory/snap.smfs-recovered.$n" num_cpus; done | xargs)"

# ---- messages -----------------------------------------------------------------

odd=$tmp/$'odd\e[31m\nname\xe2\x80\xae'
expect_status 1 "$SMFS" "$odd" "$mnt"
one_line 'odd\\x1b\[31m\\x0aname\\xe2\\x80\\xae: '
program=smsnap
expect_status 1 "$SMSNAP" dump "$odd"
one_line 'odd\\x1b\[31m\\x0aname\\xe2\\x80\\xae: '
printf '{"\\u001b[31m": 1}' >"$tmp/odd.json"
expect_status 1 "$SMSNAP" build "$tmp/odd.json" -o "$tmp/odd.bin"
same "escapes that reach the terminal" 0 "$(tr -cd '\033' <"$tmp/err" | wc -c)"
program=smfs
touch "$tmp/größe"
expect_status 1 "$SMFS" "$tmp/größe" "$mnt"
one_line 'größe: '

# Nothing of the guest's memory, its vCPUs or the token is in the daemon's trace.
sample "$snap"
printf 'THEGUESTSMEMORY!' | dd of="$snap" bs=1 conv=notrunc seek=$(($(stat -c %s "$snap") - 16)) status=none
"$SMFS" -d "$snap" "$mnt" >"$tmp/trace" 2>&1 &
daemon=$!
is_child=1
wait_until 20 is_mounted || fail "nothing mounted"
token=$(hex "$mnt/tsi_token")
cat "$mnt/ram" "$mnt/vcpu/0/raw" >/dev/null
printf '%032d' 7 >"$mnt/tsi_token"
unmount
[ -s "$tmp/trace" ] || fail "no trace"
same "RAM in the trace" 0 "$(grep -ac THEGUESTSMEMORY "$tmp/trace" || true)"
same "the token in the trace" 0 "$(xxd -p -c 0 "$tmp/trace" | grep -c "$token" || true)"
same "the new token in the trace" 0 "$(grep -ac 0000000000000000000000000000007 "$tmp/trace" || true)"

# ---- the daemon ---------------------------------------------------------------

mount_snap "$snap"
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$daemon/status"; }
# Of what this root may: chown dac_override dac_read_search fowner fsetid sys_admin
# sys_resource setfcap
for set in CapPrm CapEff CapBnd; do
	mine=$(sed -n "s/^$set:[[:space:]]*//p" /proc/self/status)
	same "$set" "$(printf '%016x' $((0x$mine & 0x8120001f)))" "$(status $set)"
done
[ "$mine" != "$(status CapBnd)" ] || fail "root has no more than the daemon keeps"
same CapInh 0000000000000000 "$(status CapInh)"
same NoNewPrivs 1 "$(status NoNewPrivs)"
same "its folder" / "$(readlink "/proc/$daemon/cwd")"
# The files in /proc of a process that can't be dumped are root's, whoever runs it.
(cd "$tmp" && expect_status 1 setpriv --reuid=nobody --clear-groups cat "/proc/$daemon/mem")
unmount

# No core file, wherever the kernel puts them.
cp "$snap" "$tmp/nobody.snap"
chmod 755 "$tmp"
chown nobody "$tmp/nobody.snap" "$mnt"
setpriv --reuid=nobody --clear-groups "$SMFS" -o ro "$tmp/nobody.snap" "$mnt"
daemon=$(pgrep -f -- " $mnt\$")
same "the owner of its memory" 0 "$(stat -c %u "/proc/$daemon/mem")"
umount "$mnt"
is_child=
daemon_ended

# ---- one line, from whoever knows why there is no mount -----------------------

program=smfs
chmod 0711 "$tmp"
sample "$memory/snap"
chown nobody "$memory" "$memory/snap" "$mnt"
as_nobody=(setpriv --reuid=nobody --clear-groups)
sed '/^user_allow_other/d' /etc/fuse.conf >"$tmp/fuse.conf"
chmod 644 "$tmp/fuse.conf"
mount --bind "$tmp/fuse.conf" /etc/fuse.conf
expect_status 1 "${as_nobody[@]}" "$SMFS" -o allow_other,umask=022 "$memory/snap" "$mnt"
one_line "cannot mount on $mnt: fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf"
expect_status 1 setpriv --bounding-set=-sys_admin "$SMFS" "$memory/snap" "$mnt"
one_line "cannot mount on $mnt: .*$(strerror EPERM); in a container, it has to be given CAP_SYS_ADMIN"
mount --bind /dev/null "$(readlink -f "$(command -v fusermount3)")"
expect_status 1 "${as_nobody[@]}" "$SMFS" "$memory/snap" "$mnt"
one_line "cannot mount on $mnt: .*fusermount3.*$(strerror EACCES)"
umount "$(readlink -f "$(command -v fusermount3)")"

# ---- a folder in which no file can be made ------------------------------------

chown root "$memory"
chmod 755 "$memory"
chmod 777 "$tmp"
for options in rw save=sync save_ram "output=$memory/out"; do
	expect_status 1 "${as_nobody[@]}" "$SMFS" -o "$options" "$memory/snap" "$mnt"
	one_line "no file can be made beside it, .*$(strerror EACCES); use -o ro, scratch or output="
done
for options in ro scratch "output=$tmp/out"; do
	"${as_nobody[@]}" "$SMFS" -o "$options" "$memory/snap" "$mnt"
	daemon=$(pgrep -f -- " $mnt\$")
	is_child=
	unmount
	checks=$((checks + 1))
done
chmod 711 "$tmp"

# ---- allow_other, and nobody let in -------------------------------------------

chown root "$mnt"
for options in allow_other allow_other,umask=022 allow_other,uid=65534; do
	"$SMFS" -o $options "$memory/snap" "$mnt" 2>"$tmp/err"
	daemon=$(pgrep -f -- " $mnt\$")
	is_child=
	if [ $options = allow_other ]; then
		one_line "allow_other without umask=.*umask=022"
		expect_errno EACCES "${as_nobody[@]}" cat "$mnt/num_cpus"
	else
		same "what it says" "" "$(cat "$tmp/err")"
		works "${as_nobody[@]}" cat "$mnt/num_cpus"
	fi
	unmount
done

finish 40
