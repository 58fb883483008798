#!/bin/bash
# SPDX-License-Identifier: MIT
# Differential snapshots: the base's RAM with the listed pages over it, bases that are not
# to be had, edits and saves, and RAM that is saved into the page list.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep dd truncate

mem=262144
base=$tmp/base

fresh() {
	rm -rf "$base" "$snap" "$base".*
	sample "$base" $mem
	reader sample "$snap" $mem --layout kvm-diff --base "${1:-$base}"
}
# What RAM must be, by another program than the one that is tested.
ram_of() { reader ram "${1:-$snap}" "$tmp/expected" && sum "$tmp/expected"; }
page() { dd if="$1" bs=4096 skip="$2" count=1 status=none; }
fill() { head -c "${2:-4096}" /dev/zero | tr '\0' "$1"; }

say "# as one reads it that shares nothing with it"
fresh
mount_snap "$snap"
reader mounted "$snap" "$mnt" >"$tmp/out"
matches "files compared" "^[0-9]{2}" "$(cat "$tmp/out")"
same "format" kvm-diff "$(cat "$mnt/layout/format")"
same "base" "$base" "$(cat "$mnt/layout/base")"
same "changed_pages" 2 "$(cat "$mnt/layout/changed_pages")"
same "RAM" "$(ram_of)" "$(sum "$mnt/ram")"
# What is listed is data though it is zeros; of the base its first and last page are.
same "stored" $((4 * 4096 / 512)) "$(stat -c %b "$mnt/ram")"
same "data, hole, data" "0 8192 131072 135168 258048" "$("$python" - "$mnt/ram" <<'END'
import os, sys
fd, at, out = os.open(sys.argv[1], os.O_RDONLY), 0, []
while True:
    try:
        at = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    out.append(at)
    at = os.lseek(fd, at, os.SEEK_HOLE)
    out.append(at)
print(*out[:5])
END
)"
unmount

say "# RAM is private, and base and diff are not written"
fresh
before=$(sum "$snap") base_before=$(sum "$base")
mount_snap "$snap"
fill x | dd of="$mnt/ram" bs=4096 seek=1 conv=notrunc status=none
fill y 100 | dd of="$mnt/ram" bs=1 seek=8200 conv=notrunc status=none
same "written over what is listed" "$(fill x | sum /dev/stdin)" "$(page "$mnt/ram" 1 | sum /dev/stdin)"
same "written over the base's" "$({ head -c 8 /dev/zero; fill y 100; head -c 3988 /dev/zero; } | sum /dev/stdin)" \
	"$(page "$mnt/ram" 2 | sum /dev/stdin)"
unmount
same "the diff" "$before" "$(sum "$snap")"
same "the base" "$base_before" "$(sum "$base")"

say "# edits that change how long the head is"
fresh
for path in /a "/much/longer/$(fill p 5000)" "$base"; do
	mount_snap "$snap"
	expected=$(ram_of)
	put "$path" "$mnt/devices/0/backing/path"
	same "RAM after an edit" "$expected" "$(sum "$mnt/ram")"
	unmount
	saved devices/0/backing/path "$path"
	same "RAM of what was saved" "$expected" "$(ram_of)"
	same "changed_pages of what was saved" 2 "$(reader get "$snap" layout/changed_pages)"
done
mount_snap "$snap"
put "$base.moved" "$mnt/layout/base"
same "RAM: the base counts from the next mount on" "$(reader ram "$snap" --base "$base" | sum /dev/stdin)" "$(sum "$mnt/ram")"
expect_errno EACCES\|EPERM sh -c "echo 1 >'$mnt/layout/changed_pages'"
unmount
saved layout/base "$base.moved"
mv "$base" "$base.moved"
mount_snap "$snap"
same "RAM over the base that has moved" "$(ram_of)" "$(sum "$mnt/ram")"
unmount
# Bytes after the list, a file with another name, and a file that is written anew each time.
fresh
printf 'nobody' >>"$snap"
ln "$snap" "$tmp/other"
mount_snap "$snap"
put "/longer/$(fill q 300)" "$mnt/devices/0/backing/path"
unmount
same "one file" "$(stat -c %i "$tmp/other")" "$(stat -c %i "$snap")"
same "nobody's bytes" nobody "$(tail -c 6 "$tmp/other")"
rm "$tmp/other"
mount_snap -o replace "$snap"
put /short "$mnt/devices/0/backing/path"
unmount
same "nobody's bytes" nobody "$(tail -c 6 "$snap")"
saved devices/0/backing/path /short

say "# save_ram"
for how in plain linked; do
	fresh
	base_before=$(sum "$base")
	printf 'nobody' >>"$snap"
	[ $how = plain ] || ln "$snap" "$tmp/other"
	mount_snap -o save_ram "$snap"
	fill a | dd of="$mnt/ram" bs=4096 seek=5 conv=notrunc status=none     # new
	fill b 10 | dd of="$mnt/ram" bs=1 seek=5000 conv=notrunc status=none  # of a listed page
	page "$base" 0 >/dev/null
	head -c 4096 /dev/zero | dd of="$mnt/ram" bs=4096 seek=7 conv=notrunc status=none # as in the base
	expected=$(sum "$mnt/ram")
	works sync "$mnt/ram"
	same "changed_pages after a sync, $how" 3 "$(cat "$mnt/layout/changed_pages")"
	same "RAM after a sync, $how" "$expected" "$(sum "$mnt/ram")"
	fill c | dd of="$mnt/ram" bs=4096 seek=6 conv=notrunc status=none
	put "/other/$how/$(fill p 300)" "$mnt/devices/0/backing/path"
	expected=$(sum "$mnt/ram")
	unmount
	same "RAM that was saved, $how" "$expected" "$(ram_of)"
	same "changed_pages that was saved, $how" 4 "$(reader get "$snap" layout/changed_pages)"
	same "nobody's bytes, $how" nobody "$(tail -c 6 "$snap")"
	same "the base, $how" "$base_before" "$(sum "$base")"
	if [ $how = linked ]; then
		same "one file" "$(stat -c %i "$tmp/other")" "$(stat -c %i "$snap")"
		rm "$tmp/other"
	fi
done
# Pages that are again what the base has are not listed any more.
mount_snap -o save_ram "$snap"
reader ram "$base" "$tmp/base-ram"
dd if="$tmp/base-ram" of="$mnt/ram" bs=64k conv=notrunc status=none
unmount
same "changed_pages where nothing has" 0 "$(reader get "$snap" layout/changed_pages)"
same "RAM where nothing has" "$(sum "$tmp/base-ram")" "$(ram_of)"
# output=FILE gets all of it, and neither of the others is written.
fresh
before=$(sum "$snap")
mount_snap -o save_ram,output="$tmp/out.snap" "$snap"
fill z | dd of="$mnt/ram" bs=4096 seek=9 conv=notrunc status=none
expected=$(sum "$mnt/ram")
unmount
same "the diff" "$before" "$(sum "$snap")"
same "RAM of the output" "$expected" "$(ram_of "$tmp/out.snap")"

say "# a base that is not to be had"
without() { # PATTERN [option]...: mounts with a line, metadata and listed pages are there
	local pattern=$1
	shift
	timeout 30 "$SMFS" "$@" "$snap" "$mnt" 2>"$tmp/err" </dev/null || fail "no mount: $(cat "$tmp/err")"
	daemon=$(pgrep -f -- " $mnt\$")
	is_child=
	one_line "no base: .*$pattern.*; of ram only the listed pages can be read: correct layout/base, or give -o base=FILE"
	same "a listed page" "$(fill . 4079 | sum /dev/stdin)" "$(page "$mnt/ram" 1 | tail -c +18 | sum /dev/stdin)"
	expect_errno EIO page "$mnt/ram" 0
	same "num_cpus" "$cpus" "$(cat "$mnt/num_cpus")"
	unmount
}
fresh
cpus=$(reader get "$snap" num_cpus)
rm "$base"
without "$base: $(strerror ENOENT)"
mkdir "$base"
without "not a regular file"
rmdir "$base"
mkfifo "$base"
without "not a regular file"
rm "$base"
ln -s /dev/null "$base"
without "not a regular file"
rm "$base"
ln -s base "$base"
without "$(strerror ELOOP)"
rm "$base"
sample "$base" $((2 * mem))
without "has $((2 * mem)) bytes of RAM, and this snapshot $mem"
sample "$base" $mem hvf
without "of layout hvf"
cp "$snap" "$base"
without "of layout kvm-diff"
rm "$base"
ln "$snap" "$base"
without "is the differential snapshot itself"
rm "$base"
sample "$base" $mem
size=$(stat -c %s "$base")
truncate -s $((size - 1)) "$base"
without "exceeds file length $((size - 1))"
truncate -s 100 "$base"
without "offset 0x"
: >"$base"
without "is empty"
sample "$base" $mem
: >"$base.smfs-undo"
without "interrupted"
rm "$base.smfs-undo"
# What the mount says can be mended in the mount.
mv "$base" "$base.elsewhere"
timeout 30 "$SMFS" "$snap" "$mnt" 2>/dev/null </dev/null || fail "no mount"
daemon=$(pgrep -f -- " $mnt\$")
echo "$base.elsewhere" >"$mnt/layout/base"
unmount
mount_snap "$snap"
same "RAM of what was mended" "$(ram_of)" "$(sum "$mnt/ram")"
unmount

say "# where a base is looked for"
mkdir "$tmp/folder" "$tmp/here"
sample "$tmp/folder/b" $mem
sample "$tmp/here/b" $mem
fill f | dd of="$tmp/folder/b" bs=1 seek=$(($(stat -c %s "$tmp/folder/b") - 4096)) conv=notrunc status=none
reader sample "$tmp/folder/d" $mem --layout kvm-diff --base b
cd "$tmp/here"
mount_snap "$tmp/folder/d"
same "beside the diff first" "$(fill f | sum /dev/stdin)" "$(tail -c 4096 "$mnt/ram" | sum /dev/stdin)"
unmount
mount_snap -o base=b "$tmp/folder/d"
same "-o base is given from where one stands" "$(fill f | sum /dev/stdin)" "$(tail -c 4096 "$mnt/ram" | sum /dev/stdin)"
unmount
rm "$tmp/folder/b"
mount_snap "$tmp/folder/d"
same "then as it stands" "$(tail -c 4096 b | sum /dev/stdin)" "$(tail -c 4096 "$mnt/ram" | sum /dev/stdin)"
unmount
cd "$tmp"
mount_snap -o base="$tmp/here/b" "$tmp/folder/d"
same "-o base" "$(tail -c 4096 here/b | sum /dev/stdin)" "$(tail -c 4096 "$mnt/ram" | sum /dev/stdin)"
unmount
expect_status 1 "$SMFS" -o base="$tmp/none" "$tmp/folder/d" "$mnt"
one_line "$tmp/folder/d: base $tmp/none: $(strerror ENOENT)"
expect_status 1 "$SMFS" -o base="$tmp/here/b" "$tmp/here/b" "$mnt"
one_line "has no base \\(layout kvm\\): leave the base option out"
expect_status 1 "$SMFS" -o ram="$tmp/here/b" "$tmp/folder/d" "$mnt"
one_line "leave the ram option out"

say "# a base that changes"
for change in touch cut chmod written; do
	fresh
	mount_fg "$snap"
	cat "$mnt/ram" >/dev/null
	echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || :
	case $change in
	touch) touch "$base" ;;
	cut) truncate -s $((mem / 2)) "$base" ;;
	chmod) chmod 640 "$base" ;;
	written) printf x | dd of="$base" bs=1 seek=9000 conv=notrunc status=none ;;
	esac
	expect_errno EIO dd if="$mnt/ram" of=/dev/null bs=4096 skip=20 count=1 iflag=direct status=none
	expect_errno EIO dd if="$mnt/ram" of=/dev/null bs=4096 skip=30 count=1 iflag=direct status=none
	same "a listed page" "$(fill . 4079 | sum /dev/stdin)" "$(page "$mnt/ram" 1 | tail -c +18 | sum /dev/stdin)"
	put /still/edited "$mnt/devices/0/backing/path"
	unmount
	same "lines of the daemon" 1 "$(wc -l <"$tmp/daemon.err")"
	matches "the daemon" "^smfs: base $base: has changed since the mount" "$(cat "$tmp/daemon.err")"
	saved devices/0/backing/path /still/edited
done

say "# locks: whoever edits the base waits for the diff's mount"
fresh
mount_snap "$snap"
mkdir "$tmp/mnt2"
expect_status 1 "$SMFS" "$base" "$tmp/mnt2"
one_line "$base: "
timeout 30 "$SMFS" -o ro "$base" "$tmp/mnt2" || fail "a base cannot be read beside its diff"
umount "$tmp/mnt2"
unmount

say "# page lists that lie"
fresh
head=$(($(stat -c %s "$snap") - 2 * 4100))
lie() { # PATTERN OFFSET HEX
	fresh
	printf %s "$3" | xxd -r -p | dd of="$snap" bs=1 seek="$2" conv=notrunc status=none
	expect_status 1 "$SMFS" "$snap" "$mnt"
	one_line "$snap: page list: .*$1"
}
lie "offset 0x[0-9a-f]+: 4294967295 pages need more bytes, 8200 left" $((head - 4)) ffffffff
lie "3 pages need more bytes" $((head - 4)) 03000000
lie "offset 0x[0-9a-f]+: page 64, RAM has 64" "$head" 40000000
lie "page 4294967295, RAM has 64" $((head + 4100)) ffffffff
# The last of a repeat counts, in any order.
fresh
printf 01000000 | xxd -r -p | dd of="$snap" bs=1 seek=$((head + 4100)) conv=notrunc status=none
mount_snap "$snap"
same "the last of a repeat" "$(fill '\0' | sum /dev/stdin)" "$(page "$mnt/ram" 1 | sum /dev/stdin)"
same "RAM" "$(ram_of)" "$(sum "$mnt/ram")"
same "changed_pages" 2 "$(cat "$mnt/layout/changed_pages")"
unmount

finish 150
