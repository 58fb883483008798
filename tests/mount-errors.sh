#!/bin/bash
# SPDX-License-Identifier: MIT
# What cannot be mounted: one line that names the file and why, the exit status,
# nothing mounted and no daemon left.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep

sample "$snap"

# nothing_left: of the last attempt.
nothing_left() {
	same "mounts" "" "$(mounts_below "$mnt")"
	! pgrep -f -- "$tmp" >"$tmp/pids" || fail "left running: $(xargs <"$tmp/pids")"
}

# refused STATUS PATTERN argument...
refused() {
	local status=$1 pattern=$2
	shift 2
	expect_status "$status" "$SMFS" "$@"
	one_line "$pattern"
	nothing_left
}

say "# wrong usage"
refused 2 ''
refused 2 '' "$snap"
refused 2 '' "$snap" "$mnt" "$tmp"
refused 2 'no_such_option' -o no_such_option "$snap" "$mnt"
refused 2 '' --no-such-option "$snap" "$mnt"
refused 2 'ram_offset' -o ram_offset=abc "$snap" "$mnt"
refused 2 'ram_offset' -o ram_offset= "$snap" "$mnt"
refused 2 'container_offset' -o container_offset=-1 "$snap" "$mnt"
refused 2 'container_offset' -o container_offset=18446744073709551616 "$snap" "$mnt"
refused 2 'save' -o save=never "$snap" "$mnt"
refused 2 'uid' -o uid=abc "$snap" "$mnt"
refused 2 'uid=1K' -o uid=1K "$snap" "$mnt"
refused 2 'gid=1K' -o gid=1K "$snap" "$mnt"
refused 2 'ro and rw' -o ro,rw "$snap" "$mnt"
refused 2 'ro and rw' -o rw -o ro "$snap" "$mnt"
refused 2 'umask' -o umask=999 "$snap" "$mnt"
expect_status 0 "$SMFS" -h
matches "-h" 'SNAPSHOT MOUNTPOINT' "$(cat "$tmp/out")"
same "standard error of -h" "" "$(cat "$tmp/err")"
expect_status 0 "$SMFS" -V
matches "-V" 'smfs.*[0-9]' "$(cat "$tmp/out")"
for option in -h --help -V --version; do
	expect_status 1 sh -c 'exec "$@" >/dev/full' - "$SMFS" $option
	one_line "standard output: $(strerror ENOSPC)"
	expect_status 1 sh -c 'exec "$@" >&-' - "$SMFS" $option
	one_line "standard output: $(strerror EBADF)"
done

say "# what is wrong is named, and what would be right"
sample "$snap"
while read -r options pattern; do
	expect_status 2 "$SMFS" -o "$options" "$snap" "$mnt"
	one_line "$pattern"
done <<'END'
output= -o output=: a file has to follow
log= -o log=: a file has to follow
ram= -o ram=: a file has to follow
base= -o base=: a file has to follow
output -o output: needs a value
uid -o uid: needs a value
save=frob -o save=frob: .*save=sync
uid=frob -o uid=frob: not a number from 0 to 4294967294$
gid=4294967295 -o gid=4294967295: not a number from 0 to 4294967294$
umask=8 -o umask=8: not an octal mode from 0 to 777$
ram_limit=1Q -o ram_limit=1Q: not a number from 0 to 18446744073709551615, with K, M, G or T
ram_offset=-1 -o ram_offset=-1: not a number from 0
frob frob
END
expect_status 2 "$SMFS" "$snap"
one_line "needs a mount point as well"
expect_status 2 "$SMFS" "$snap" "$mnt" third
one_line "third: one operand too many"

say "# standard descriptors that are closed"
# What is opened next gets their numbers: messages must not go to the snapshot.
before=$(sum "$snap")
for closed in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
	expect_status 2 sh -c 'exec "$@" '"$closed" - "$SMFS" -o no_such_option "$snap" "$mnt"
	same "the snapshot after $closed" "$before" "$(sum "$snap")"
	nothing_left
done

say "# no snapshot"
refused 1 "$tmp/missing.*No such file or directory" "$tmp/missing" "$mnt"
mkdir "$tmp/folder"
refused 1 "$tmp/folder: a folder without a snapshot: there is no restore.snap or vm.snap in it" "$tmp/folder" "$mnt"
: >"$tmp/empty"
refused 1 "$tmp/empty: is empty, not a snapshot" "$tmp/empty" "$mnt"
{ printf '\1'; head -c 30 /dev/zero; printf '\377\377\377\377'; } >"$tmp/huge"
refused 1 "$tmp/huge: not a snapshot \(no SMSNAP at its start\), nor a bare container: intc/raw: offset 0x1f" "$tmp/huge" "$mnt"
truncate -s 1M "$tmp/ram-image"
refused 1 "$tmp/ram-image: not a snapshot .*RAM image" "$tmp/ram-image" "$mnt"
mount_snap -o container_offset=0 "$tmp/ram-image"
same "layout" bare "$(cat "$mnt/layout/format")"
unmount
refused 1 "older format SMSNAP06, only SMSNAP07 is read here; it has to be baked again" "$tests/vectors/refuse-smsnap06.snap" "$mnt"
refused 1 "newer format SMSNAP08, only SMSNAP07 is read here" "$tests/vectors/refuse-smsnap08.snap" "$mnt"
refused 1 "layout/version: offset 0x8: is 12, only 11 is read here" "$tests/vectors/refuse-hvf-v12.snap" "$mnt"
refused 1 "hvf snapshot of format 9, only 10 is read here" "$tests/vectors/refuse-hvf-magic-09.snap" "$mnt"
refused 1 "process snapshot .*no machine in it" "$tests/vectors/refuse-smtstsnp1.snap" "$mnt"
refused 1 "older format SMSNAP4D, only SMSNAP7D is read here; it has to be baked again" "$tests/vectors/refuse-smsnap4d.snap" "$mnt"
refused 1 "page list: offset 0x[0-9a-f]*: page" "$tests/vectors/refuse-page-index.snap" "$mnt"
refused 1 "page list: .*need more bytes" "$tests/vectors/refuse-page-list-cut.snap" "$mnt"
head -c 100000 /dev/zero | tr '\0' '\377' >"$tmp/no-snapshot"
refused 1 "$tmp/no-snapshot.*offset 0x" "$tmp/no-snapshot" "$mnt"
mkfifo "$tmp/fifo"
refused 1 "$tmp/fifo" "$tmp/fifo" "$mnt"
refused 1 "/dev/null" /dev/null "$mnt"

say "# no output"
mkdir "$tmp/outputs"
ln "$snap" "$tmp/outputs/link"
refused 1 "output $tmp/folder: not a regular file" -o output="$tmp/folder" "$snap" "$mnt"
refused 1 "output $tmp/outputs/link: is the snapshot itself" -o output="$tmp/outputs/link" "$snap" "$mnt"
refused 1 "output $tmp/no/output: No such file or directory" -o output="$tmp/no/output" "$snap" "$mnt"
ln -s loop "$tmp/outputs/loop"
refused 1 "output $tmp/outputs/loop: $(strerror ELOOP)" -o output="$tmp/outputs/loop" "$snap" "$mnt"
rm -r "$tmp/outputs"

say "# a truncated snapshot"
for layout in kvm:8 hvf:8 bare:1; do
	sample "$snap" 1048576 "${layout%:*}"
	reader tree "$snap" >"$tmp/tree"
	head=$(($(region container_offset) + $(region container_len)))
	for ((n = ${layout#*:}; n < head; n += 97)); do
		head -c "$n" "$snap" >"$tmp/short"
		refused 1 "([a-z0-9_]+/)*[a-z0-9_]+: offset 0x[0-9a-f]+: needs [0-9]+ bytes?, [0-9]+ left; was it copied whole\?\$" \
			"$tmp/short" "$mnt"
		# offset + left is where the file ends, and the path is one of the tree's.
		[[ $(cat "$tmp/err") =~ \ ([a-z0-9_/]+):\ offset\ (0x[0-9a-f]+):\ needs\ ([0-9]+)\ bytes?,\ ([0-9]+)\ left\;\ was\ it\ copied\ whole\?$ ]] ||
			fail "$(cat "$tmp/err")"
		same "offset and what is left of $n bytes" "$n" $((BASH_REMATCH[2] + BASH_REMATCH[4]))
		[ "${BASH_REMATCH[3]}" -gt "${BASH_REMATCH[4]}" ] || fail "$(cat "$tmp/err")"
		grep -q "^${BASH_REMATCH[1]}[/	]" "$tmp/tree" || fail "no ${BASH_REMATCH[1]} in the tree"
	done
	# Nor is a beginning of the magic anything.
	for n in 1 7; do
		head -c "$n" "$snap" >"$tmp/short"
		refused 1 "$tmp/short: " "$tmp/short" "$mnt"
	done
done
sample "$snap"

say "# malformed values"
# spoil OFFSET BYTE: a copy of the snapshot with one byte changed.
spoil() {
	cp "$snap" "$tmp/spoilt"
	printf '%b' "$2" | dd of="$tmp/spoilt" bs=1 seek="$1" conv=notrunc status=none
}
devices=$("$python" - "$tests" "$snap" <<'PY'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import reader
model = reader.Snapshot(sys.argv[2]).model
print(16 + len(reader.encode(model).split(reader.write_device(model["devices"][0]))[0]))
PY
)
spoil "$devices" '\x04'
refused 1 "$tmp/spoilt: devices/0/kind: offset $(printf '0x%x' "$devices"):" "$tmp/spoilt" "$mnt"
# Any byte but 0 means that the queue is ready, and stays what it is.
ready=$((devices + 1 + 20 + 2))
spoil "$ready" '\x02'
mount_snap "$tmp/spoilt"
same "ready" 1 "$(cat "$mnt/devices/0/mmio/queues/0/ready")"
put 5 "$mnt/num_cpus"
unmount
same "the byte" 02 "$(dd if="$tmp/spoilt" bs=1 skip="$ready" count=1 status=none | xxd -p)"
tag=$((devices + 1 + 20 + 2 * 31))
spoil "$tag" '\x09'
refused 1 "$tmp/spoilt: devices/0/backing(/type)?: offset $(printf '0x%x' "$tag"):" "$tmp/spoilt" "$mnt"
spoil $((tag + 5)) '\xff'
refused 1 "$tmp/spoilt: devices/0/backing/path: .*UTF-8" "$tmp/spoilt" "$mnt"

say "# where RAM cannot be"
refused 1 "$snap: says itself where RAM is \(layout kvm\)" -o ram_offset=8192 "$snap" "$mnt"
refused 1 "$snap: has its RAM itself \(layout kvm\)" -o ram="$tmp/other" "$snap" "$mnt"
size=$(stat -c %s "$snap")
head -c $((size - 4096)) "$snap" >"$tmp/short"
refused 1 "$tmp/short: snapshot RAM region \[4096, $size\) exceeds file length $((size - 4096))" "$tmp/short" "$mnt"
sample "$snap" 1048576 bare
size=$(stat -c %s "$snap")
refused 1 "$snap: snapshot RAM region \[8192, 1056768\) exceeds file length $size" \
	-o ram_offset=8192 "$snap" "$mnt"
refused 1 "$snap: .*exceeds file length $size" -o ram_offset=18446744073709547520 "$snap" "$mnt"
refused 1 "$snap: .*inside the container" -o ram_offset=0 "$snap" "$mnt"
refused 1 "$snap: .*inside the container" -o ram_offset=100 "$snap" "$mnt"
head -c $((size - 4096)) "$snap" >"$tmp/short"
refused 1 "$tmp/short" "$tmp/short" "$mnt"
head -c 8192 "$snap" >"$tmp/short"
refused 1 "$tmp/short: .*exceeds file length 8192" "$tmp/short" "$mnt"
refused 1 "$snap" -o container_offset=999999999 "$snap" "$mnt"
refused 1 "$tmp/missing" -o ram="$tmp/missing" "$snap" "$mnt"
sample "$snap"

say "# the mount point"
refused 1 "$tmp/nowhere.*No such file or directory" "$snap" "$tmp/nowhere"
refused 1 "$tmp/empty" "$snap" "$tmp/empty"
sample "$tmp/other"
mount_snap "$snap"
expect_status 1 "$SMFS" "$tmp/other" "$mnt"
one_line "$mnt"
same "mounts" "$mnt" "$(mounts_below "$mnt")"
same "num_cpus" 4 "$(cat "$mnt/num_cpus")"
unmount
nothing_left

say "# files that the mount would hide from itself"
own=$tmp/own
mkdir -p "$own/below" "$own/below-not"
sample "$own/below/snap"
sample "$own/below-not/snap"
truncate -s 1048576 "$own/below/ram"
ln -s below/snap "$own/link"
ln -s below "$own/linked"
before=$(sum "$own/below/snap")
# hidden WHAT argument...: it lies below the mount point.
hidden() { refused 1 "$1: lies below the mount point .*another mount point" "${@:2}"; }
hidden "$own/below/snap" "$own/below/snap" "$own/below"
hidden "$own/below/snap" "$own/below/snap" "$own"
hidden "$own/below/snap" "$own/below/snap" "$own/linked"
hidden "$own/link" "$own/link" "$own/below"
hidden "$own/below/snap" -o ro "$own/below/snap" "$own/below"
hidden "$own/below/snap" -o output="$tmp/new" "$own/below/snap" "$own/below"
hidden "output $own/below/new" -o output="$own/below/new" "$snap" "$own/below"
hidden "output $own/below/snap" -o output="$own/below/snap" "$snap" "$own"
hidden "output $own/linked/new" -o output="$own/linked/new" "$snap" "$own/below"
hidden "ram $own/below/ram" -o ram="$own/below/ram" "$snap" "$own"
(cd "$own/below" && hidden snap snap .) || exit 1
(cd "$own/below" && hidden "output new" -o output=new "$snap" ../below) || exit 1
same "the snapshot" "$before" "$(sum "$own/below/snap")"
same "files beside it" "ram snap" "$(cd "$own/below" && echo *)"
if [ "$(id -u)" = 0 ]; then
	# Where mounts are passed on, what is mounted on one path is on the other as well.
	mkdir "$own/bound"
	mount --bind "$own/below" "$own/bound"
	hidden "$own/bound/snap" "$own/bound/snap" "$own/below"
	umount "$own/bound"
fi
# Names that only begin alike, and links that lead out.
ln -s ../below-not/snap "$own/below/out"
for path in "$own/below-not/snap" "$own/below/out"; do
	"$SMFS" -o output="$tmp/new" "$path" "$own/below" || fail "$path: exit status $?"
	daemon=$(pgrep -f -- " $own/below\$") is_child=
	detach "$own/below"
	wait_until 60 is_gone "$daemon" || fail "the daemon is still there"
done

say "# a limit of how large a file may get"
# 1,024 bytes each: RAM has to move out of the way of a path so long.
ulimit -Sf 20
sample "$tmp/limited" 8192
mount_snap "$tmp/limited"
ulimit -Sf unlimited
before=$(sum "$tmp/limited")
head -c 60000 /dev/zero | tr '\0' q >"$tmp/long"
beside=$(ls "$tmp")
expect_errno EFBIG dd if="$tmp/long" of="$mnt/devices/0/backing/path" bs=65536 iflag=fullblock status=none
same "the snapshot" "$before" "$(sum "$tmp/limited")"
same "beside it" "$beside" "$(ls "$tmp")"
works put 9 "$mnt/num_cpus"
same "num_cpus" 9 "$(reader get "$tmp/limited" num_cpus)"
unmount
before=$(sum "$tmp/limited")
ulimit -Sf 20
expect_status 1 "$SMSNAP" set "$tmp/limited" "devices/0/backing/path=@$tmp/long"
ulimit -Sf unlimited
matches "what it says" "^smsnap: .*$(strerror EFBIG)" "$(cat "$tmp/err")"
same "the snapshot" "$before" "$(sum "$tmp/limited")"
rm "$tmp/limited" "$tmp/long"

say "# no permission"
# The program may be where another user cannot reach it; /dev/fuse should not be.
# shellcheck disable=SC2016
as_nobody=(unshare -m sh -c 'mount --bind "$1" /dev/fuse && shift &&
	exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' - "$tmp/fuse")
mknod -m 666 "$tmp/fuse" c 10 229 2>/dev/null || true
if [ "$(id -u)" = 0 ] && "${as_nobody[@]}" "$SMFS" -V >/dev/null 2>&1; then
	chmod 755 "$tmp"
	chmod 600 "$snap"
	mkdir "$tmp/nobodys" && chown 65534 "$tmp/nobodys"
	expect_status 1 "${as_nobody[@]}" "$SMFS" "$snap" "$tmp/nobodys"
	one_line "$snap.*Permission denied"
	nothing_left
	# One that can be read but not written is mounted with ro only.
	chmod 644 "$snap"
	expect_status 1 "${as_nobody[@]}" "$SMFS" "$snap" "$tmp/nobodys"
	one_line "$snap.*Permission denied.*-o ro"
	nothing_left
else
	say "(left out: no other user)"
fi

say "# edits that can be neither saved nor kept"
# lost SNAPSHOT WHY: they were held, and the mount ends.
lost() {
	local status=0
	detach "$mnt"
	wait "$daemon" || status=$?
	same "exit status" 1 "$status"
	matches "what it said" "^smfs: $1: " "$(head -n 1 "$tmp/daemon.err")"
	matches "what it said" "^smfs: the edits are lost: .*$2" "$(tail -n 1 "$tmp/daemon.err")"
	same "lines that it said" 2 "$(wc -l <"$tmp/daemon.err")"
}
mkdir "$tmp/away"
sample "$tmp/away/snap"
mount_fg -o save=sync "$tmp/away/snap"
echo 9 >"$mnt/num_cpus"
rm -r "$tmp/away"
lost "$tmp/away/snap" "No such file or directory"
mkdir "$tmp/away"
if mount -t tmpfs -o size=256k none "$tmp/away" 2>/dev/null; then
	sample "$tmp/away/snap" 65536
	mount_fg -o save=sync "$tmp/away/snap"
	echo 9 >"$mnt/num_cpus"
	before=$(sum "$tmp/away/snap")
	if dd if=/dev/zero of="$tmp/away/filler" bs=4k 2>/dev/null; then fail "it is not full"; fi
	lost "$tmp/away/snap" "No space left on device"
	same "the snapshot" "$before" "$(sum "$tmp/away/snap")"
	same "files" "filler snap" "$(cd "$tmp/away" && echo *)"
	umount "$tmp/away"
else
	say "(left out: no tmpfs can be mounted)"
fi

say "# no /dev/fuse"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	# shellcheck disable=SC2016
	expect_status 1 unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@"' - "$SMFS" "$snap" "$mnt"
	one_line '/dev/fuse'
	nothing_left
	# Nor /dev/null for a descriptor that is closed: nothing is opened in its place.
	# shellcheck disable=SC2016
	expect_status 1 unshare -m sh -c 'mount -t tmpfs none /dev && exec "$@" <&-' - "$SMFS" "$snap" "$mnt"
	one_line '/dev/null: No such file or directory'
	nothing_left
else
	say "(left out: no mount namespace)"
fi
finish 155
