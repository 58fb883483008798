#!/bin/bash
# SPDX-License-Identifier: MIT
# A disk that is full in the middle of a save: the old bytes are put back, which takes no
# space that there is not, and the snapshot can be opened and edited.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require root
require cmd pgrep dd

disk=$tmp/disk
mkdir "$disk"
snap=$disk/snap
path=$mnt/devices/0/backing/path
# text CHARACTER SIZE: a path as long as that.
text() { head -c "$2" /dev/zero | tr '\0' "$1"; }

failed=0
for size in 108k 112k 116k 120k; do
	for length in 36900 40960 45056 49152 53248; do
		mount -t tmpfs -o size=$size smfs-test "$disk"
		cp --sparse=always "$tests/vectors/kvm-02.snap" "$snap"
		chmod 600 "$snap"
		mount_snap "$snap"
		text q 32768 >"$path"
		before=$(sum "$snap")
		if ! text r $length | dd of="$path" bs=65536 iflag=fullblock conv=notrunc status=none 2>"$tmp/err"; then
			failed=$((failed + 1))
			matches "$size, $length" "$(strerror ENOSPC)" "$(cat "$tmp/err")"
			same "$size, $length: the snapshot" "$before" "$(sum "$snap")"
			same "$size, $length: beside it" snap "$(ls "$disk")"
			put 3 "$mnt/num_cpus"
			saved num_cpus 3
		fi
		unmount
		works "$SMSNAP" get "$snap" num_cpus
		mount_snap -o ro "$snap"
		unmount
		umount "$disk"
	done
done
[ $failed -ge 4 ] || fail "only $failed saves failed: the disks are too large"
finish 30
