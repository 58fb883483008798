#!/bin/bash
# SPDX-License-Identifier: MIT
# smsnap convert: leaves and RAM are the same before and after, in all pairs of layouts that
# can be, by another program's reading; and what cannot be is refused and leaves nothing.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd truncate jq
program=smsnap

mem=262144
base=$tmp/base
sample "$base" $mem
ram_of() { reader ram "$1" "$tmp/expected" && sum "$tmp/expected"; }
# The leaves but for those of the layout.
leaves_of() { reader tree "$1" | grep -v '^layout/' | sha256sum | cut -d' ' -f1; }
convert() { works "$SMSNAP" convert "$@"; }
refuse() { # PATTERN operand...
	local pattern=$1
	shift
	rm -f "$tmp/out.snap"
	expect_status 1 "$SMSNAP" convert "$@" -o "$tmp/out.snap"
	one_line "$pattern"
	same "files that it leaves" "" "$(find "$tmp" -name 'out.snap*')"
}

say "# all pairs"
for from in kvm kvm-diff bare hvf; do
	in=$tmp/in.$from
	# One that has RAM, and whole pages of it; a bare container's states may be of any machine.
	"$python" - "$tests" "$in" $from <<'END'
import random, sys
sys.path.insert(0, sys.argv[1])
import reader
for seed in range(1000):
    rng, path, layout = random.Random(seed), sys.argv[2], sys.argv[3]
    base = None
    if layout == "kvm-diff":
        base = path + ".base"
        reader.random_file(rng, reader.random_model(rng), base, "kvm")
    model = reader.random_model(rng, layout)
    if base:
        model["mem_size"] = reader.Snapshot(base).model["mem_size"]
    if not model["mem_size"] or model["mem_size"] % 4096:
        continue
    if layout == "bare":
        model["vcpu"], model["intc"] = [b"vcpu"], b"intc"
    reader.random_file(rng, model, path, layout, base)
    made = reader.Snapshot(path)
    # Another address of RAM than 0 is what a bare file cannot say.
    if made.ram and made.layout.get("ram_gpa") != 0:
        break
else:
    sys.exit("no seed will do")
END
	size=$(reader get "$in" mem_size)
	leaves=$(leaves_of "$in") ram=$(ram_of "$in")
	for to in kvm kvm-diff bare hvf; do
		case $from-$to in
		kvm*-hvf | hvf-kvm) refuse "$in: .*another kind of machine" "$in" --layout $to ;;
		hvf-kvm-diff) refuse "$in: .*another kind of machine" "$in" --base "$base" ;;
		hvf-bare) refuse "$in: layout/ram_gpa is not 0" "$in" --layout $to ;;
		*-kvm-diff)
			# Over a base that shares all, some or no pages with it.
			reader random 7 "$base.same" --layout kvm
			truncate -s 0 "$base.other"
			"$SMSNAP" dump "$base.same" 2>/dev/null | jq ".mem_size = $size" >"$tmp/json"
			works "$SMSNAP" build "$tmp/json" -o "$base.other"
			convert "$in" -o "$tmp/to" --base "$base.other"
			same "$from to $to: leaves" "$leaves" "$(leaves_of "$tmp/to")"
			same "$from to $to: RAM" "$ram" "$(ram_of "$tmp/to")"
			same "$from to $to: base" "$base.other" "$(reader get "$tmp/to" layout/base)"
			convert "$tmp/to" -o "$tmp/again" --base "$base.other"
			cmp "$tmp/to" "$tmp/again" || fail "$from to $to and again gives other bytes"
			;;
		*)
			convert "$in" -o "$tmp/to" --layout $to
			same "$from to $to: format" $to "$(reader get "$tmp/to" layout/format)"
			same "$from to $to: leaves" "$leaves" "$(leaves_of "$tmp/to")"
			same "$from to $to: RAM" "$ram" "$(ram_of "$tmp/to")"
			same "$from to $to: mode" 600 "$(stat -c %a "$tmp/to")"
			;;
		esac
	done
done

# What a bare container is of, its states say.
works "$SMSNAP" convert "$tests/vectors/kvm-01.snap" -o "$tmp/bare" --layout bare
refuse "$tmp/bare: intc/raw: is of another kind of machine than layout hvf is for" "$tmp/bare" --layout hvf
convert "$tmp/bare" -o "$tmp/to" --layout kvm
same "kvm to bare to kvm" "$(leaves_of "$tests/vectors/kvm-01.snap")" "$(leaves_of "$tmp/to")"

say "# a diff, flattened and over another base"
reader sample "$tmp/diff" $mem --layout kvm-diff --base "$base"
convert "$tmp/diff" -o "$tmp/full" --layout kvm
same "RAM" "$(ram_of "$tmp/diff")" "$(ram_of "$tmp/full")"
# Of five pages with data one is zeros: it is a hole as those that were holes are.
head=$(($(reader dump-region "$tmp/full" | awk '$1 == "ram_offset" { print $2 }') / 512))
same "blocks" $((head + 3 * 8)) "$(stat -c %b "$tmp/full")"
convert "$tmp/full" -o "$tmp/diff2" --base "$base"
same "leaves" "$(leaves_of "$tmp/diff")" "$(leaves_of "$tmp/diff2")"
same "RAM" "$(ram_of "$tmp/diff")" "$(ram_of "$tmp/diff2")"
same "changed_pages: the page of zeros is the base's" 2 "$(reader get "$tmp/diff2" layout/changed_pages)"
# Pages that equal the base's are dropped; without options IN's layout and base stay.
convert "$base" -o "$tmp/none" --base "$base"
same "changed_pages of the base itself" 0 "$(reader get "$tmp/none" layout/changed_pages)"
same "RAM of the base itself" "$(ram_of "$base")" "$(ram_of "$tmp/none")"
convert "$tmp/diff2" -o "$tmp/diff3"
cmp "$tmp/diff2" "$tmp/diff3" || fail "a diff as it is gives other bytes"
mkdir "$tmp/folder"
ln -s ../base "$tmp/folder/link"
(cd "$tmp/folder" && works "$SMSNAP" convert ../full -o diff4 --base link)
same "a base is recorded by its canonical path" "$base" "$(reader get "$tmp/folder/diff4" layout/base)"
mv "$base" "$base.moved"
refuse "$tmp/diff2: no base: $base: $(strerror ENOENT); give --in-base FILE" "$tmp/diff2" --layout kvm
convert "$tmp/diff2" -o "$tmp/full2" --layout kvm --in-base "$base.moved"
mv "$base.moved" "$base"
cmp "$tmp/full" "$tmp/full2" || fail "--in-base gives other bytes"

say "# what is left out is said, what is replaced is whole"
cp "$base" "$tmp/stray"
printf nobody >>"$tmp/stray"
convert "$tmp/stray" -o "$tmp/clean"
matches "standard error" "^smsnap: $tmp/stray: bytes that belong to nothing in it are left out" "$(cat "$tmp/err")"
same "RAM" "$(ram_of "$base")" "$(ram_of "$tmp/clean")"
convert "$base" -o "$tmp/clean"
same "nothing is said" "" "$(cat "$tmp/err")"
before=$(sum "$tmp/full")
expect_status 1 "$SMSNAP" convert "$tmp/none-there" -o "$tmp/full"
same "what was there" "$before" "$(sum "$tmp/full")"
mount_snap "$tmp/full"
expect_status 1 "$SMSNAP" convert "$base" -o "$tmp/full"
one_line "$tmp/full: "
unmount

say "# wrong usage"
wrong() {
	local pattern=$1
	shift
	expect_status 2 "$SMSNAP" convert "$@"
	one_line "$pattern"
}
wrong "needs -o OUT" "$base"
wrong "no layout is called qcow2: kvm, kvm-diff, hvf or bare" "$base" -o "$tmp/out.snap" --layout qcow2
wrong "layout kvm-diff needs --base FILE" "$base" -o "$tmp/out.snap" --layout kvm-diff
wrong "base is for layout kvm-diff" "$base" -o "$tmp/out.snap" --layout kvm --base "$base"
wrong "$tmp/diff is IN itself" "$tmp/diff" -o "$tmp/diff" --layout kvm
wrong "$base is the base" "$tmp/full" -o "$base" --base "$base"
sample "$tmp/large" $((2 * mem))
refuse "base: $tmp/large: has $((2 * mem)) bytes of RAM, and this snapshot $mem" "$base" --base "$tmp/large"
sample "$tmp/bare" none
refuse "$tmp/bare: has no RAM in it" "$tmp/bare" --layout kvm

say "# sparse RAM costs what its data does, and an interrupted run leaves nothing"
reader sample "$tmp/huge" $((1 << 36)) --layout kvm
convert "$tmp/huge" -o "$tmp/huge2"
[ "$(stat -c %b "$tmp/huge2")" -lt 200 ] || fail "64 GiB of holes take $(stat -c %b "$tmp/huge2") blocks"
reader sample "$tmp/hugediff" $((1 << 36)) --layout kvm-diff --base "$tmp/huge"
convert "$tmp/hugediff" -o "$tmp/huge2" --layout kvm
[ "$(stat -c %b "$tmp/huge2")" -lt 200 ] || fail "64 GiB of holes take $(stat -c %b "$tmp/huge2") blocks"
convert "$tmp/huge2" -o "$tmp/hugediff2" --base "$tmp/huge"
same "pages of 64 GiB" 2 "$("$SMSNAP" dump "$tmp/hugediff2" | jq .layout.changed_pages)"
# RAM without a hole, so that there is time.
mkdir "$tmp/cut"
"$SMSNAP" dump "$base" | jq '.mem_size = 536870912' >"$tmp/json"
head -c 536870912 /dev/zero | tr '\0' x >"$tmp/ram"
works "$SMSNAP" build "$tmp/json" -o "$tmp/solid" --ram "$tmp/ram"
is_begun() { [ -s "$tmp/cut/out.smfs-new" ]; }
for command in convert vmcore; do
	"$SMSNAP" $command "$tmp/solid" -o "$tmp/cut/out" 2>"$tmp/err" &
	pid=$!
	wait_until 20 is_begun || fail "$command does not begin"
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	same "exit status of $command, interrupted" 1 $status
	one_line "interrupted"
	same "files that $command leaves" "" "$(ls "$tmp/cut")"
done

say "# build makes a diff"
"$SMSNAP" dump "$tmp/diff" >"$tmp/json"
works "$SMSNAP" build "$tmp/json" -o "$tmp/built"
same "pages without --ram" 0 "$(reader get "$tmp/built" layout/changed_pages)"
same "leaves" "$(leaves_of "$tmp/diff")" "$(leaves_of "$tmp/built")"
reader ram "$tmp/diff" "$tmp/diff.ram"
works "$SMSNAP" build "$tmp/json" -o "$tmp/built" --ram "$tmp/diff.ram"
same "pages with --ram" 2 "$(reader get "$tmp/built" layout/changed_pages)"
same "RAM" "$(sum "$tmp/diff.ram")" "$(ram_of "$tmp/built")"
mv "$base" "$base.moved"
expect_status 1 "$SMSNAP" build "$tmp/json" -o "$tmp/built2" --ram "$tmp/diff.ram"
one_line "base: $base: $(strerror ENOENT)"
works "$SMSNAP" build "$tmp/json" -o "$tmp/built2" --ram "$tmp/diff.ram" --in-base "$base.moved"
cmp "$tmp/built" "$tmp/built2" || fail "--in-base gives other bytes"
jq '.layout.changed_pages = "2"' "$tmp/json" >"$tmp/wrong"
expect_status 1 "$SMSNAP" build "$tmp/wrong" -o "$tmp/built2"
one_line "layout.changed_pages: must be a whole number"

finish 100
