#!/bin/bash
# SPDX-License-Identifier: MIT
# The mount options, and what a save keeps of the file that it replaces.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd jq pgrep strace xxd

# Each case has a folder of its own, so that what is left beside a snapshot is seen.
# fresh [BYTES [LAYOUT]]
fresh() {
	rm -rf "$tmp/case"
	mkdir "$tmp/case"
	snap=$tmp/case/snap
	sample "$snap" "${1:-1048576}" "${2:-kvm}"
}
beside() { same "files beside the snapshot" "$1" "$(cd "$tmp/case" && echo *)"; }
ram_written() { dd if="$1" bs=1 skip="$2" count=7 status=none; }
# change OFFSET: one bit of a byte, and the times as they were.
change() {
	"$python" - "$snap" "$1" <<'PY'
import os, sys
path, offset = sys.argv[1], int(sys.argv[2])
was = os.stat(path)
with open(path, "r+b", buffering=0) as f:
    byte = os.pread(f.fileno(), 1, offset)[0]
    os.pwrite(f.fileno(), bytes([byte ^ 1]), offset)
os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
PY
}
write_ram() { printf written | dd of="$mnt/ram" bs=1 seek="$1" conv=notrunc status=none; }

say "# ro"
fresh
before=$(sum "$snap")
mount_snap -o ro "$snap"
expect_errno 'EROFS|EACCES' put 1 "$mnt/num_cpus"
expect_errno 'EROFS|EACCES' append 1 "$mnt/intc/raw"
expect_errno 'EROFS|EACCES' truncate -s 0 "$mnt/intc/raw"
expect_errno 'EROFS|EPERM' rm -f "$mnt/tsi_token"
expect_errno 'EROFS|EACCES|EPERM' put 1 "$mnt/listeners/1/inet_port"
expect_errno 'EROFS|EACCES' write_ram 0
expect_errno 'EROFS|EPERM' mkdir "$mnt/new"
checks=$((checks + $(reader mounted "$snap" "$mnt" fields ram)))
same "mode of a folder" 500 "$(stat -c %a "$mnt/devices/0")"
unmount
same "snapshot" "$before" "$(sum "$snap")"
beside snap

say "# ro needs no permission to write"
if [ "$(id -u)" = 0 ]; then
	mkdir "$tmp/rofs"
	mount -t tmpfs none "$tmp/rofs" && cp "$snap" "$tmp/rofs/snap" && mount -o remount,ro "$tmp/rofs"
	mount_snap -o ro "$tmp/rofs/snap"
	same "num_cpus" 4 "$(cat "$mnt/num_cpus")"
	unmount
	umount "$tmp/rofs"
fi

say "# scratch"
fresh
before=$(sum "$snap")
mount_snap -o scratch "$snap"
works put 9 "$mnt/num_cpus"
works put other "$mnt/intc/raw"
works truncate -s 0 "$mnt/tsi_token"
works write_ram 5000
same "num_cpus" 9 "$(cat "$mnt/num_cpus")"
same "intc" other "$(cat "$mnt/intc/raw")"
works sync "$mnt"
unmount
same "snapshot" "$before" "$(sum "$snap")"
beside snap

say "# output=FILE"
fresh
before=$(sum "$snap")
ram=$(region ram_sha256)
mount_snap -o output="$tmp/case/out" "$snap"
works put 9 "$mnt/num_cpus"
same "num_cpus in the output" 9 "$(reader get "$tmp/case/out" num_cpus)"
works put other "$mnt/intc/raw"
same "intc in the output" other "$(reader get "$tmp/case/out" intc/raw)"
unmount
same "snapshot" "$before" "$(sum "$snap")"
beside "out snap"
snap=$tmp/case/out
same "RAM in the output" "$ram" "$(region ram_sha256)"
same "holes in the output" 1 "$(($(stat -c %b "$snap") < 256))"

say "# output= a file that is there, and read beside another mount"
fresh
echo precious >"$tmp/case/out"
mount_snap -o output="$tmp/case/out" "$snap"
same "the output before an edit" precious "$(cat "$tmp/case/out")"
works put 9 "$mnt/num_cpus"
same "num_cpus in the output" 9 "$(reader get "$tmp/case/out" num_cpus)"
unmount
beside "out snap"

say "# save=sync"
fresh
before=$(sum "$snap")
mount_snap -o save=sync "$snap"
works put 9 "$mnt/num_cpus"
works put other "$mnt/intc/raw"
same "num_cpus" 9 "$(cat "$mnt/num_cpus")"
same "snapshot before sync" "$before" "$(sum "$snap")"
works sync "$mnt"
saved num_cpus 9
saved intc/raw other
works put 10 "$mnt/num_cpus"
saved num_cpus 9
works sync "$mnt/intc/raw"
saved num_cpus 10
works put 11 "$mnt/num_cpus"
saved num_cpus 10
unmount
saved num_cpus 11
beside snap
cpus=20
for signal in TERM INT HUP; do
	mount_fg -o save=sync "$snap"
	works put $cpus "$mnt/num_cpus"
	# A file that is open does not keep it.
	exec {open}<"$mnt/com1/ier"
	kill -$signal "$daemon"
	daemon_ended
	exec {open}<&-
	saved num_cpus $cpus
	cpus=$((cpus + 1))
done
mount_snap -o save=sync "$snap"
works put $cpus "$mnt/num_cpus"
kill -TERM "$daemon"
daemon_ended
saved num_cpus $cpus
beside snap

say "# replace"
fresh
ram=$(region ram_sha256)
inode=$(stat -c %i "$snap")
mount_snap -o replace "$snap"
works put 9 "$mnt/num_cpus"
saved num_cpus 9
[ "$(stat -c %i "$snap")" != "$inode" ] || fail "replace wrote into the same file"
# The second save meets the file that the first one made.
works put 10 "$mnt/num_cpus"
saved num_cpus 10
unmount
same "RAM" "$ram" "$(region ram_sha256)"
beside snap

say "# save_ram"
fresh
mount_snap -o save_ram "$snap"
at=$(region ram_offset)
works write_ram 5000
works sync "$mnt"
same "RAM in the snapshot" written "$(ram_written "$snap" $((at + 5000)))"
works write_ram 6000
works put 9 "$mnt/num_cpus"
unmount
same "RAM in the snapshot" written "$(ram_written "$snap" $((at + 6000)))"
saved num_cpus 9
beside snap

say "# a thousand edits are one save"
fresh
tail -c 1048576 "$snap" >"$tmp/case/ram"
"$SMSNAP" dump "$snap" |
	jq '.listeners = [range(1000) | {cid: 3, peer_port: ., vm_port: ., family: 2, socktype: 1, inet_port: 1}]' |
	"$SMSNAP" build - -o "$tmp/case/many" --ram "$tmp/case/ram"
mount_fg -d -o save=sync "$tmp/case/many"
for ((n = 0; n < 1000; n++)); do
	echo $((n + 2)) >"$mnt/listeners/$n/inet_port"
done
same "saves before sync" 0 "$(grep -c '^smfs: saved ' "$tmp/daemon.err" || true)"
works sync "$mnt"
same "saves after sync" 1 "$(grep -c '^smfs: saved ' "$tmp/daemon.err")"
same "ports in the snapshot" "$(seq 2 1001 | sha256sum)" \
	"$("$SMSNAP" dump "$tmp/case/many" | jq '.listeners[].inet_port' | sha256sum)"
unmount
same "saves after the end" 1 "$(grep -c '^smfs: saved ' "$tmp/daemon.err")"

say "# ram_limit= and ram=direct"
fresh
mount_snap -o scratch,ram_limit=64K "$snap"
expect_errno ENOSPC dd if=/dev/zero of="$mnt/ram" bs=64K count=2 conv=notrunc status=none
same "bytes written up to the limit" "$(head -c 65536 /dev/zero | sha256sum)" "$(head -c 65536 "$mnt/ram" | sha256sum)"
works dd if=/dev/urandom of="$mnt/ram" bs=64K count=1 conv=notrunc status=none
works dd if=/dev/zero of="$mnt/num_cpus" bs=1 count=0 conv=notrunc status=none
unmount
mount_snap -o scratch,ram=direct "$snap"
works cmp <(tail -c 1048576 "$snap") "$mnt/ram"
works write_ram 5000
same "RAM in the mount" written "$(ram_written "$mnt/ram" 5000)"
unmount
same "RAM in the snapshot" "$ram" "$(region ram_sha256)"

say "# writeback"
fresh
before=$(sum "$snap")
mount_snap -o writeback "$snap"
checks=$((checks + $(reader mounted "$snap" "$mnt" fields)))
expect_errno EROFS put 1 "$mnt/num_cpus"
expect_errno EROFS append 1 "$mnt/intc/raw"
expect_errno EROFS truncate -s 0 "$mnt/intc/raw"
works touch "$mnt/intc/raw"
expect_errno EROFS rm -f "$mnt/tsi_token"
expect_errno EROFS put 1 "$mnt/listeners/1/inet_port"
expect_errno EROFS mktemp -p "$mnt"
works cmp <(tail -c 1048576 "$snap") "$mnt/ram"
works write_ram 5000
same "RAM in the mount" written "$(ram_written "$mnt/ram" 5000)"
# The kernel takes what it is given, and tells later.
expect_errno 'EIO|EPERM' dd if=/dev/zero of="$mnt/ram" bs=1 seek=1048570 count=10 conv=notrunc,fsync status=none
same "size of RAM" 1048576 "$(stat -c %s "$mnt/ram")"
same "its last bytes" 000000000000 "$(tail -c 6 "$mnt/ram" | xxd -p)"
unmount
same "snapshot" "$before" "$(sum "$snap")"
mount_snap -o writeback,save_ram "$snap"
works write_ram 6000
# Nothing has been written out yet: the unmount brings it.
unmount
same "RAM in the snapshot" written "$(ram_written "$snap" $(($(region ram_offset) + 6000)))"
for options in ro,writeback ram=direct,writeback; do
	expect_status 2 "$SMFS" -o $options "$snap" "$mnt"
	one_line "can't be had"
done
beside snap

say "# ram=FILE"
fresh
tail -c 1048576 "$snap" >"$tmp/case/ram"
sample "$snap" 1048576 bare
head -c "$(region container_len)" "$snap" >"$tmp/case/bare" && mv "$tmp/case/bare" "$snap"
before=$(sum "$tmp/case/ram")
mount_snap "$snap"
[ ! -e "$mnt/ram" ] || fail "a bare container has /ram"
unmount
mount_snap -o ram="$tmp/case/ram" "$snap"
works cmp "$tmp/case/ram" "$mnt/ram"
works write_ram 5000
works put 'a longer value than there was, for the container to grow' "$mnt/devices/0/backing/path"
saved devices/0/backing/path 'a longer value than there was, for the container to grow'
unmount
same "the RAM file" "$before" "$(sum "$tmp/case/ram")"
same "the snapshot is still bare" "$(region container_len)" "$(stat -c %s "$snap")"
{ head -c 8192 /dev/zero | tr '\0' z; cat "$tmp/case/ram"; } >"$tmp/case/ram2"
mount_snap -o ram="$tmp/case/ram2",ram_offset=8192 "$snap"
works cmp "$tmp/case/ram" "$mnt/ram"
unmount
# How RAM is read and where it is are two options.
for options in "ram=$tmp/case/ram,ram=direct" "ram=direct,ram=$tmp/case/ram"; do
	mount_snap -o "$options" "$snap"
	works cmp "$tmp/case/ram" "$mnt/ram"
	works "$python" - "$mnt/ram" <<'PY'
import errno, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
try:
    mmap.mmap(fd, 4096, mmap.MAP_SHARED)
    sys.exit("with ram=direct there is a shared mapping")
except OSError as e:
    assert e.errno == errno.ENODEV, e
PY
	unmount
done
expect_status 1 "$SMFS" -o ram="$tmp/case/ram2",ram_offset=12288 "$snap" "$mnt"
one_line 'RAM region \[12288, 1060864\) exceeds file length 1056768'

say "# container_offset= and ram_offset="
for offset in 4096 100; do
	fresh
	sample "$snap" 1048576 bare
	head -c "$offset" /dev/urandom >"$tmp/before"
	head -c 1000 /dev/urandom >"$tmp/after"
	head -c "$(region container_len)" "$snap" >"$tmp/container"
	tail -c 1048576 "$snap" >"$tmp/ram"
	{
		cat "$tmp/before" "$tmp/container"
		head -c $((12288 - offset - $(stat -c %s "$tmp/container"))) /dev/zero
		cat "$tmp/ram" "$tmp/after"
	} >"$snap"
	mount_snap -o container_offset=$offset,ram_offset=12288 "$snap"
	works cmp "$tmp/ram" "$mnt/ram"
	same "num_cpus" 4 "$(cat "$mnt/num_cpus")"
	works put 9 "$mnt/num_cpus"
	works put 'some text that makes the container longer' "$mnt/devices/0/backing/path"
	unmount
	works "$python" - "$tests" "$snap" $offset "$tmp" <<'PY'
import sys
sys.dont_write_bytecode = True
tests, snap, offset, tmp = sys.argv[1:]
sys.path.insert(0, tests)
import reader
s = reader.Snapshot(snap, int(offset), 12288)
assert s.before == open(tmp + "/before", "rb").read(), "the bytes before the container"
assert s.ram == open(tmp + "/ram", "rb").read(), "RAM"
assert s.after == open(tmp + "/after", "rb").read(), "the bytes after RAM"
assert s.model["num_cpus"] == 9
assert not any(s.padding), "padding"
PY
	# A container that no longer fits: RAM moves, and what is around stays.
	mount_snap -o container_offset=$offset,ram_offset=12288 "$snap"
	works truncate -s 20000 "$mnt/intc/raw"
	works cmp "$tmp/ram" "$mnt/ram"
	unmount
	works "$python" - "$tests" "$snap" $offset "$tmp" <<'PY'
import sys
sys.dont_write_bytecode = True
tests, snap, offset, tmp = sys.argv[1:]
sys.path.insert(0, tests)
import reader
s = reader.Snapshot(snap, int(offset), 65536)
assert s.before == open(tmp + "/before", "rb").read(), "the bytes before the container"
assert s.ram == open(tmp + "/ram", "rb").read(), "RAM"
assert s.after == open(tmp + "/after", "rb").read(), "the bytes after RAM"
assert len(s.model["intc"]) == 20000
PY
	beside snap
done

say "# df"
# df_of PATH: size, used and free, and the same of inodes; alike until somebody writes.
df_of() { df --output=size,used,avail,itotal,iused,iavail "$1" | tail -n 1; }
fresh
if [ "$(id -u)" = 0 ]; then
	mkdir "$tmp/small"
	mount -t tmpfs -o size=3m,nr_inodes=50 none "$tmp/small"
	cp "$snap" "$tmp/small/snap"
	for options in rw ro scratch save=sync; do
		mount_snap -o $options "$tmp/small/snap"
		same "df with $options" "$(df_of "$tmp/small")" "$(df_of "$mnt")"
		unmount
	done
	mount_snap -o "output=$tmp/small/out" "$snap"
	same "df with output=" "$(df_of "$tmp/small")" "$(df_of "$mnt")"
	works put 9 "$mnt/num_cpus"
	same "df with output=, after an edit" "$(df_of "$tmp/small")" "$(df_of "$mnt")"
	unmount
	umount "$tmp/small"
fi
mount_snap "$snap"
same "longest name" 255 "$(stat -f -c %l "$mnt")"
same "blocks of the file system" "$(stat -f -c '%S %b' "$tmp")" "$(stat -f -c '%S %b' "$mnt")"
rm "$snap"
mv "$tmp/case" "$tmp/away"
works stat -f "$mnt"
mv "$tmp/away" "$tmp/case"
unmount

say "# log="
fresh
mount_snap -o log="$tmp/case/log" "$snap"
same "its mode" 600 "$(stat -c %a "$tmp/case/log")"
works put 9 "$mnt/num_cpus"
same "what is in it" "" "$(cat "$tmp/case/log")"
works change 0
expect_errno ESTALE put 10 "$mnt/num_cpus"
same "lines" 1 "$(wc -l <"$tmp/case/log")"
matches "the line" "^20[0-9-]*T[0-9:]*[+-][0-9]* smfs\[$daemon\]: $snap: another program changed the snapshot$" \
	"$(cat "$tmp/case/log")"
works change 0
unmount
# It is appended to, and found where the program was started.
cd "$tmp/case"
mount_fg -o log=log,save=sync "$snap"
works put 11 "$mnt/num_cpus"
works change 0
expect_errno ESTALE sync "$mnt"
works change 0
cd "$tmp"
unmount
same "lines" 2 "$(wc -l <"$tmp/case/log")"
matches "standard error" "^smfs: $snap: another program changed" "$(cat "$tmp/daemon.err")"
ln -s snap "$tmp/case/link"
before=$(sum "$snap")
for log in "$snap" "$tmp/case/link" "$tmp/case/none/log" "$tmp/case" "$mnt/log"; do
	expect_status 1 "$SMFS" -o log="$log" "$snap" "$mnt"
	one_line "log $log: "
done
cp "$snap" "$tmp/case/out"
expect_status 1 "$SMFS" -o "log=$tmp/case/out,output=$tmp/case/out" "$snap" "$mnt"
one_line "log $tmp/case/out: "
same "the snapshot" "$before" "$(sum "$snap")"

say "# max_read="
fresh
for size in 0 1 4096 65536 131072 1048576; do
	mount_snap -o max_read=$size "$snap"
	works cmp <(tail -c 1048576 "$snap") "$mnt/ram"
	works put 9 "$mnt/num_cpus"
	unmount
done
for size in x -1 1.5 4294967296; do
	got=0
	"$SMFS" -o max_read=$size "$snap" "$mnt" 2>"$tmp/err" || got=$?
	[ $got -ne 0 ] || fail "max_read=$size is accepted"
	one_line ""
	not_mounted || fail "max_read=$size: exit status $got, and it is mounted"
done

say "# the kernel does not get its first answer"
for error in EINVAL EIO ENODEV; do
	got=0
	# Only the daemon's own descriptor is that of the device.
	timeout -s KILL 60 "${strace[@]}" -qq -f -o /dev/null -e trace=writev -P /dev/fuse -e inject=writev:error=$error:when=1 \
		"$SMFS" "$snap" "$mnt" 2>"$tmp/err" || got=$?
	same "exit status" 1 $got
	one_line "cannot mount on $mnt: .*writing device"
	not_mounted || fail "it is mounted"
done

say "# what stands in fstab"
for options in defaults,nofail,_netdev,user,noauto users,auto,nouser,owner,group,comment=a x-systemd.automount,X-y.z=a \
	atime,noatime,diratime,nodiratime,relatime,norelatime,strictatime,nostrictatime,lazytime,nolazytime; do
	mount_snap -o $options "$snap"
	works put 9 "$mnt/num_cpus"
	unmount
done

say "# uid= gid= umask="
fresh
mount_snap "$snap"
same "owner" "$(id -u):$(id -g)" "$(stat -c %u:%g "$mnt/num_cpus")"
same "mode of the root" 700 "$(stat -c %a "$mnt")"
unmount
mount_snap -o uid=1234,gid=5678,umask=027 "$snap"
for file in . num_cpus devices/0/kind ram; do
	same "owner of $file" 1234:5678 "$(stat -c %u:%g "$mnt/$file")"
	mode=$(stat -c %a "$mnt/$file")
	same "mode $mode of $file without umask" 0 $((0$mode & 027))
	same "mode $mode of $file for the group" 32 $((0$mode & 040))
done
unmount

say "# edits that can be neither saved nor kept"
# lost PATTERN: at the end of the mount; it matches what the daemon says last.
lost() {
	detach "$mnt"
	if wait "$daemon"; then fail "the daemon's exit status is 0"; fi
	matches "the daemon's last line" "the edits are lost: .*$1" "$(tail -n 1 "$tmp/daemon.err")"
}
fresh
before=$(sum "$snap")
mount_fg -o save=sync "$snap"
works put 9 "$mnt/num_cpus"
mv "$tmp/case" "$tmp/elsewhere"
lost 'No such file'
mv "$tmp/elsewhere" "$tmp/case"
same "snapshot" "$before" "$(sum "$snap")"
beside snap
if [ "$(id -u)" = 0 ]; then
	mount -t tmpfs -o size=64k none "$tmp/case"
	sample "$snap" none
	cp "$snap" "$tmp/small-before"
	mount_fg -o save=sync "$snap"
	works truncate -s 100000 "$mnt/intc/raw"
	lost 'No space left'
	works cmp "$tmp/small-before" "$snap"
	beside snap
	umount "$tmp/case"
fi

say "# locks"
fresh
mkdir "$tmp/second"
one=$mnt two=$tmp/second
mount_snap "$snap"
first=$daemon
for option in rw ro; do
	expect_status 1 "$SMFS" -o $option "$snap" "$two"
	one_line "$snap"
done
works "$SMSNAP" dump "$snap"
daemon=$first
unmount
mount_snap -o ro "$snap"
first=$daemon
mnt=$two
mount_snap -o ro "$snap"
same "num_cpus in both" "$(cat "$one/num_cpus")" "$(cat "$two/num_cpus")"
unmount
expect_status 1 "$SMFS" "$snap" "$two"
one_line "$snap"
mnt=$one daemon=$first
unmount
# The lock ends with its daemon, however that ends.
mount_snap "$snap"
kill -KILL "$daemon"
wait_until 10 is_gone "$daemon" || fail "the daemon survives SIGKILL"
expect_errno ENOTCONN cat "$mnt/num_cpus"
detach "$mnt"
mount_snap "$snap"
unmount

say "# relative paths"
fresh
cd "$tmp/case"
"$SMFS" -o output=out snap ../mnt || fail "relative paths: exit status $?"
daemon=$(pgrep -f -- "snap ../mnt\$") is_child=
works put 9 "$mnt/num_cpus"
kill -TERM "$daemon"
daemon_ended
cd "$tmp"
same "num_cpus in the output" 9 "$(reader get "$tmp/case/out" num_cpus)"
beside "out snap"

say "# standard descriptors that are closed"
for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
	fresh
	printf '#!/bin/sh\nexec "%s" "$@" %s\n' "$SMFS" "$closed" >"$tmp/closing"
	chmod +x "$tmp/closing"
	SMFS=$tmp/closing mount_snap "$snap"
	works put 9 "$mnt/num_cpus"
	unmount
	saved num_cpus 9
	beside snap
done

say "# a snapshot that another program touched, or read and set the times of"
for options in rw replace save=sync "output=$tmp/case/out"; do
	for layout in kvm hvf bare; do
		[ "$options" = rw ] || [ $layout = kvm ] || continue
		fresh 1048576 "$layout"
		target=$snap
		[ "${options%=*}" != output ] || target=$tmp/case/out
		mount_snap -o "$options" "$snap"
		cpus=20
		for touch in "touch $snap" "touch -d @1000000001 $snap" "chmod 640 $snap" \
			"ln $snap $tmp/link" "rm $tmp/link" "chown $(id -u):$(id -g) $snap"; do
			# shellcheck disable=SC2086 # a command and its arguments
			works $touch
			works put $cpus "$mnt/num_cpus"
			works sync "$mnt"
			same "$options, $layout, $touch: num_cpus" $cpus "$(reader get "$target" num_cpus)"
			cpus=$((cpus + 1))
		done
		works truncate -s 3000 "$mnt/intc/raw"
		works touch -d @1000000001 "$snap"
		unmount
		same "$options, $layout: intc" 3000 "$(reader get "$target" intc/raw | wc -c)"
	done
done

say "# a snapshot that another program changed"
for options in rw replace save=sync "output=$tmp/case/out"; do
	for from in start end; do
		fresh
		at=0
		[ $from = start ] || at=$(($(region container_offset) + $(region container_len) - 1))
		mount_snap -o "$options" "$snap"
		works change $at
		before=$(sum "$snap")
		if [ "$options" = save=sync ]; then
			works put 9 "$mnt/num_cpus"
			expect_errno ESTALE sync "$mnt"
		else
			expect_errno ESTALE put 9 "$mnt/num_cpus"
			same "num_cpus" 4 "$(cat "$mnt/num_cpus")"
		fi
		same "snapshot" "$before" "$(sum "$snap")"
		# As soon as it is what it was, edits go on.
		works change $at
		works put 9 "$mnt/num_cpus"
		works sync "$mnt"
		unmount
	done
done
fresh
mount_snap "$snap"
mv "$snap" "$snap.old"
cp "$snap.old" "$snap"
expect_errno ESTALE put 9 "$mnt/num_cpus"
same "num_cpus in the other file" 4 "$(reader get "$snap" num_cpus)"
unmount

say "# what a save keeps"
for case in rw:kvm rw:hvf rw:bare replace:kvm replace:hvf replace:bare; do
	options=${case%:*} layout=${case#*:}
	fresh 1048576 "$layout"
	ram=$(region ram_sha256)
	mv "$snap" "$tmp/case/real"
	ln -s real "$snap"
	"$python" -c 'import os, sys; os.setxattr(sys.argv[1], "user.smfs", b"kept")' "$snap" 2>"$tmp/err" &&
		xattr=1 || xattr=
	chmod 640 "$snap"
	owner=$(id -u):$(id -g)
	[ "$(id -u)" != 0 ] || owner=1234:5678
	chown "$owner" "$snap"
	touch -d @1000000000 "$snap"
	mount_snap -o "$options" "$snap"
	same "st_mtime before an edit" 1000000000 "$(stat -c %Y "$mnt/num_cpus")"
	start=$(date +%s)
	works put 9 "$mnt/num_cpus"
	[ "$(stat -c %Y "$mnt/num_cpus")" -ge "$start" ] || fail "st_mtime is not the edit's"
	works truncate -s 100000 "$mnt/intc/raw"
	unmount
	same "$case: symbolic link" real "$(readlink "$snap")"
	same "$case: owner" "$owner" "$(stat -c %u:%g "$tmp/case/real")"
	same "$case: mode" 640 "$(stat -c %a "$tmp/case/real")"
	# The header, if there is one, says where RAM is now.
	same "$case: layout and RAM" "$layout 131072 $ram" \
		"$(region layout) $(region ram_offset) $(region ram_sha256)"
	same "$case: num_cpus" 9 "$(reader get "$tmp/case/real" num_cpus)"
	same "$case: type" "regular file" "$(stat -c %F "$tmp/case/real")"
	[ -z "$xattr" ] || same "$case: xattr" kept \
		"$("$python" -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.smfs").decode())' "$tmp/case/real")"
	beside "real snap"
done

say "# nothing changed, nothing written"
fresh
before=$(stat -c '%y %i %s' "$snap")
mount_snap "$snap"
works bash -c "cat '$mnt/devices/0/backing/path' >'$tmp/f.txt'; cat '$tmp/f.txt' >'$mnt/devices/0/backing/path'"
works bash -c "cat '$mnt/intc/raw' >'$tmp/f.bin'; cat '$tmp/f.bin' >'$mnt/intc/raw'"
works put 0x4 "$mnt/num_cpus"
works sync "$mnt"
unmount
same "the snapshot's mtime, inode and size" "$before" "$(stat -c '%y %i %s' "$snap")"

say "# what is closed as the mount ends"
[ "$(id -u)" = 0 ] && tries=20 || tries=0
for ((i = 0; i < tries; i++)); do
	fresh
	mount_snap "$snap"
	works "$python" -c 'import ctypes, os, sys
os.close(os.open(sys.argv[1] + "/intc/raw", os.O_WRONLY | os.O_TRUNC))
sys.exit(ctypes.CDLL(None).umount2(sys.argv[1].encode(), 0))' "$mnt"
	daemon_ended
	same "size of intc" 0 "$(reader get "$snap" intc/raw | wc -c)"
done

say "# holes"
for case in rw:kvm rw:hvf rw:bare replace:kvm replace:hvf replace:bare; do
	options=${case%:*}
	fresh $((64 << 20)) "${case#*:}"
	ram=$(region ram_sha256)
	[ "$(du -k "$snap" | cut -f1)" -lt 1024 ] || lacking "holes in files of $tmp"
	mount_snap -o "$options" "$snap"
	same "du of ram" 1 "$(($(du -k "$mnt/ram" | cut -f1) < 1024))"
	works put 9 "$mnt/num_cpus"
	works truncate -s 100000 "$mnt/intc/raw"
	unmount
	same "$case: du of the snapshot" 1 "$(($(du -k "$snap" | cut -f1) < 1024))"
	same "$case: RAM" "$ram" "$(region ram_sha256)"
	same "$case: RAM offset" 131072 "$(region ram_offset)"
	beside snap
done

say "# hard links"
for options in rw replace; do
	fresh
	ln "$snap" "$tmp/case/link"
	inode=$(stat -c %i "$snap")
	mount_snap -o "$options" "$snap"
	works put 9 "$mnt/num_cpus"
	works truncate -s 100000 "$mnt/intc/raw"
	unmount
	same "$options: num_cpus by the other link" 9 "$(reader get "$tmp/case/link" num_cpus)"
	same "$options: both are one file" "$inode $inode" "$(stat -c %i "$snap" "$tmp/case/link" | xargs)"
	beside "link snap"
done
finish 200
