#!/bin/bash
# SPDX-License-Identifier: MIT
# Every vector: the mount and the JSON show exactly what the reference reads,
# and dump then build gives the same bytes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep

vectors=0 files=0 leaves=0
for bin in "$tests"/vectors/*.bin; do
	name=$(basename "$bin" .bin)
	snap=$tmp/$name
	cp "$bin" "$snap" && chmod 600 "$snap"

	# The reader agrees with the reference, so the mount can be held to it.
	reader tree "$snap" | cmp - "${bin%.bin}.tree" || fail "$name: the test's own reader is wrong"

	mount_snap "$snap"
	n=$(reader mounted "$snap" "$mnt")
	unmount
	cmp "$bin" "$snap" || fail "$name: reading changed the snapshot"
	ram_offset=$(region ram_offset)
	expected=$(wc -l <"${bin%.bin}.tree")
	[ "$ram_offset" = none ] || expected=$((expected + 1))
	same "$name: files" "$expected" "$n"
	files=$((files + n))

	"$SMSNAP" dump "$snap" >"$tmp/json" || fail "smsnap dump $name: exit status $?"
	n=$(reader json "$snap" "$tmp/json")
	leaves=$((leaves + n))
	checks=$((checks + n))

	# RAM is the last mem_size bytes.
	ram=()
	if [ "$ram_offset" != none ]; then
		tail -c +$((ram_offset + 1)) "$snap" >"$tmp/ram"
		ram=(--ram "$tmp/ram")
	fi
	"$SMSNAP" dump "$snap" | "$SMSNAP" build - -o "$tmp/again" "${ram[@]}" ||
		fail "smsnap build $name: exit status $?"
	cmp "$snap" "$tmp/again" || fail "$name: dump then build gives other bytes"
	rm "$tmp/again"
	vectors=$((vectors + 1))
done
same "vectors" 18 "$vectors"
say "$vectors vectors, $files files, $leaves JSON leaves"
[ "$files" -gt 1660 ] || fail "too few files"
[ "$leaves" -gt 1570 ] || fail "too few leaves"
finish 1570
