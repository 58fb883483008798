#!/bin/bash
# SPDX-License-Identifier: MIT
# Every vector, which the monitor wrote: the mount and the JSON show exactly what it reads
# itself, and dump then build gives the same bytes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep

cd "$tests/vectors" || fail "no vectors"
vectors=0 files=0 leaves=0 decoded=0
# What the vectors name as their bases.
cp diff-01-base.snap diff-01.snap hvf-01.snap refuse-*.snap "$tmp"
chmod 600 "$tmp"/*.snap
for vector in kvm-*.snap diff-*.snap nobase-*.snap hvf-*.snap bare-*.bin share-*.snap; do
	name=${vector%.*}
	snap=$tmp/$name.snap
	cp "$vector" "$snap" && chmod 600 "$snap"

	# The test's own reader agrees with the monitor, so the mount can be held to it.
	reader tree "$snap" --decode | cmp - "$name.tree" || fail "$name: the test's own reader is wrong"

	mount_snap "$snap" 2>"$tmp/err"
	case $name in
	nobase-*) one_line "no base: .*" ;;
	*) same "$name: standard error" "" "$(cat "$tmp/err")" ;;
	esac
	n=$(reader mounted "$snap" "$mnt" --decode)
	with_ram=() seen=none
	if [[ -e $mnt/ram && $name != nobase-* ]]; then
		cp "$mnt/ram" "$tmp/ram"
		with_ram=(--ram "$tmp/ram") seen=$(sum "$tmp/ram")
	fi
	ram=$(awk -v name="$vector" '$2 == name { print $1 }' ram.sha256)
	same "$name: RAM" "${ram:-none}" "$seen"
	same "$name: layout" "$(region layout)" "$(cat "$mnt/layout/format")"
	unmount
	cmp "$vector" "$snap" || fail "$name: reading changed the snapshot"
	[ "$n" -gt 5 ] || fail "$name: $n files"
	files=$((files + n))

	"$SMSNAP" dump "$snap" >"$tmp/json" || fail "smsnap dump $name: exit status $?"
	n=$(reader json "$snap" "$tmp/json")
	leaves=$((leaves + n))
	checks=$((checks + n))
	# What blobs hold stands beside them, and build does not look at it.
	"$SMSNAP" dump --decode "$snap" >"$tmp/decoded" || fail "smsnap dump --decode $name: exit status $?"
	n=$(reader json "$snap" "$tmp/decoded" --decode)
	decoded=$((decoded + n))

	"$SMSNAP" build "$tmp/json" -o "$tmp/again" "${with_ram[@]}" ||
		fail "smsnap build $name: exit status $?"
	"$SMSNAP" build "$tmp/decoded" -o "$tmp/other" "${with_ram[@]}" ||
		fail "smsnap build $name, decoded: exit status $?"
	cmp "$tmp/again" "$tmp/other" || fail "$name: what blobs hold changes what is built"
	case $name in
	nobase-*) # without its pages: which they are nobody can tell
		same "$name built again" "$(reader tree "$snap" | grep -v changed_pages)" \
			"$(reader tree "$tmp/again" | grep -v changed_pages)"
		;;
	diff-02 | kvm-04) # with bytes that are nobody's; of a list in another order than it is written
		mv "$snap" "$snap.old"
		same "$name built again" "$(snap=$snap.old region ram_sha256)" "$(snap=$tmp/again region ram_sha256)"
		"$SMSNAP" dump "$tmp/again" | grep -v changed_pages | cmp - <(grep -v changed_pages "$tmp/json") || fail "$name: dump then build gives other leaves"
		;;
	*) cmp "$snap" "$tmp/again" || fail "$name: dump then build gives other bytes" ;;
	esac
	same "$name: the mode of what is built" 600 "$(stat -c %a "$tmp/again")"
	rm "$tmp/again" "$tmp/other"
	vectors=$((vectors + 1))
done
same "vectors" 31 "$vectors"

# What is no snapshot is refused by each program with a line that names it.
refused=0
for vector in refuse-*.snap; do
	program=smfs
	expect_status 1 "$SMFS" "$vector" "$mnt"
	one_line "$vector: "
	same "mounts of $vector" "" "$(mounts_below "$mnt")"
	program=smsnap
	expect_status 1 "$SMSNAP" dump "$vector"
	one_line "$vector: "
	same "$vector printed" "" "$(cat "$tmp/out")"
	refused=$((refused + 1))
done
same "vectors that are refused" "$(find . -name 'refuse-*.why' | wc -l)" "$refused"

# A folder is opened by what is in it.
mkdir "$tmp/vm"
expect_status 1 "$SMSNAP" dump "$tmp/vm"
one_line "$tmp/vm: a folder without a snapshot"
program=smfs
expect_status 1 "$SMFS" "$tmp/vm" "$mnt"
one_line "$tmp/vm: a folder without a snapshot"
cp kvm-02.snap "$tmp/vm/vm.snap"
mount_snap "$tmp/vm"
same "mem_size of vm.snap" 32768 "$(cat "$mnt/mem_size")"
put /elsewhere.img "$mnt/devices/0/backing/path"
unmount
same "edited" /elsewhere.img "$(reader get "$tmp/vm/vm.snap" devices/0/backing/path)"
cp kvm-08.snap "$tmp/vm/restore.snap"
"$SMSNAP" dump "$tmp/vm" | cmp - <("$SMSNAP" dump kvm-08.snap) || fail "restore.snap does not come first"
mount_snap "$tmp/vm"
same "files of restore.snap" "$(find "$mnt" -type f | wc -l)" "$(reader mounted kvm-08.snap "$mnt")"
unmount

# An image of RAM by mistake: zeros are a bare container, but only for who says so.
truncate -s 1M "$tmp/zeros"
expect_status 1 "$SMFS" "$tmp/zeros" "$mnt"
one_line "$tmp/zeros: not a snapshot .*RAM image"
program=smsnap
expect_status 1 "$SMSNAP" dump "$tmp/zeros"
one_line "$tmp/zeros: not a snapshot .*RAM image"
mount_snap -o container_offset=0 "$tmp/zeros"
same "layout of zeros" "bare 0" "$(cat "$mnt/layout/format" "$mnt/mem_size" | xargs)"
unmount

say "$vectors vectors, $files files, $leaves JSON leaves, $decoded decoded"
[ "$files" -gt 2300 ] || fail "too few files: $files"
[ "$leaves" -gt 2100 ] || fail "too few leaves: $leaves"
finish 2000
