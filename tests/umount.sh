#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# umount(8) with umount.fuse.smfs: when it returns everything is saved, or it says why not.

. "$(dirname "$0")/lib.sh"
require fuse
require root
require cmd strace setpriv
own_fuse_device

# umount(8) looks in one folder alone: there, for this test alone, as it is in a mount namespace.
mkdir "$tmp/above" "$tmp/user"
mount -t tmpfs none "$tmp/above"
mkdir "$tmp/above/upper" "$tmp/above/work"
sbin=$(readlink -f /sbin)
mount -t overlay none -o "lowerdir=$sbin,upperdir=$tmp/above/upper,workdir=$tmp/above/work" "$sbin" 2>"$tmp/err" ||
	lacking "an overlay on $sbin"
cp "${SMFS_BUILD:-$top}/umount.fuse.smfs" "$sbin"
program=umount.fuse.smfs

# slow OPTION...: mount it so that every fsync takes half a second.
slow() {
	"${strace[@]}" -f -o /dev/null -e trace=fsync -e inject=fsync:delay_exit=500000 \
		"$SMFS" -f "$@" "$snap" "$mnt" 2>"$tmp/daemon.err" &
	daemon=$!
	is_child=1
	wait_until 20 is_mounted || fail "not mounted: $(cat "$tmp/daemon.err")"
}

say "# what is held is saved when umount returns"
for options in save=sync save=sync,replace save=sync,output="$tmp/out" save_ram; do
	sample "$snap"
	target=$snap
	[[ $options != *output* ]] || target=$tmp/out
	slow -o "$options"
	put 9 "$mnt/num_cpus"
	[ "$options" != save_ram ] || printf written | dd of="$mnt/ram" bs=1 seek=5000 conv=notrunc status=none
	works umount "$mnt"
	cp "$target" "$tmp/copy"
	not_mounted || fail "it is still mounted"
	same "num_cpus with $options" 9 "$(reader get "$tmp/copy" num_cpus)"
	if [ "$options" = save_ram ]; then
		at=$(region ram_offset)
		same "RAM" written "$(dd if="$tmp/copy" bs=1 skip=$((at + 5000)) count=7 status=none)"
	fi
	# Nobody has it locked any more.
	works flock -n "$snap" true
	daemon_ended
done

say "# in the background, by a user, again and again"
sample "$snap"
chmod 711 "$tmp"
for ((cpus = 1; cpus <= 30; cpus++)); do
	mount_snap -o save=sync "$snap"
	put $cpus "$mnt/num_cpus"
	umount "$mnt"
	cp "$snap" "$tmp/copy"
	is_gone "$daemon" || fail "the daemon is still there"
	same "num_cpus" $cpus "$(reader get "$tmp/copy" num_cpus)"
done
mkdir "$tmp/user/mnt"
sample "$tmp/user/snap"
chown -R nobody "$tmp/user"
for who in root nobody; do
	setpriv --reuid=nobody --clear-groups "$SMFS" -o save=sync "$tmp/user/snap" "$tmp/user/mnt"
	daemon=$(pgrep -f -- " $tmp/user/mnt\$")
	setpriv --reuid=nobody --clear-groups sh -c "echo ${#who} >$tmp/user/mnt/num_cpus"
	works setpriv --reuid=$who --clear-groups umount "$tmp/user/mnt"
	same "num_cpus, unmounted by $who" ${#who} "$(reader get "$tmp/user/snap" num_cpus)"
	is_gone "$daemon" || fail "the daemon is still there"
done

say "# what cannot be saved"
# One bit of the snapshot, by another program.
change() { "$python" -c 'import sys
with open(sys.argv[1], "r+b", buffering=0) as f:
    byte = f.read(1)[0]
    f.seek(0)
    f.write(bytes([byte ^ 1]))' "$snap"; }
sample "$snap"
mount_fg -o save=sync "$snap"
put 9 "$mnt/num_cpus"
change
expect_status 32 umount "$mnt"
one_line "$mnt: what was edited cannot be saved, so it stays mounted; .*: $(strerror ESTALE)"
same "num_cpus in the mount" 9 "$(cat "$mnt/num_cpus")"
change
works umount "$mnt"
daemon_ended
same "num_cpus" 9 "$(reader get "$snap" num_cpus)"
mount_fg -o save=sync "$snap"
put 10 "$mnt/num_cpus"
change
works umount -l "$mnt"
if wait "$daemon"; then fail "the daemon's exit status is 0"; fi
is_child=
[ -e "$snap.smfs-recovered" ] || fail "the edits are lost"
rm "$snap.smfs-recovered"
change

say "# a daemon that has died, and one that is busy"
mount_snap "$snap"
kill -KILL "$daemon"
wait_until 10 is_gone "$daemon" || fail "it survives SIGKILL"
works umount "$mnt"
mount_snap "$snap"
exec {open}<"$mnt/num_cpus"
expect_status 32 umount "$mnt"
matches "what it says" "busy" "$(cat "$tmp/err")"
exec {open}<&-
works umount "$mnt"
is_gone "$daemon" || fail "the daemon is still there"

say "# wrong usage"
expect_status 1 umount.fuse.smfs
expect_status 1 umount.fuse.smfs -x "$mnt"
expect_status 1 umount.fuse.smfs a b
finish 60
