#!/bin/bash
# SPDX-License-Identifier: MIT
# What smsnap says that there can be in a snapshot is what another reader found in
# those that have everything.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Registers without a name are one line, those with one a line each.
{
	for layout in kvm hvf bare; do
		sample "$tmp/$layout" 4096 $layout
		reader tree "$tmp/$layout"
	done
	reader sample "$tmp/kvm-diff" 4096 --layout kvm-diff --base "$tmp/kvm"
	reader tree "$tmp/kvm-diff"
	for vector in kvm-02.snap kvm-03.snap share-01.snap hvf-01.snap hvf-02.snap bare-05.bin; do
		reader tree --decode "$tests/vectors/$vector"
	done
	# Beside an hvf snapshot there are the same states of shares.
	reader tree --decode "$tests/vectors/share-01.snap" |
		sed -n 's,^devices/0/backing/backend_state,sidecars/posixfs/0,p; s,^devices/0/backing/dax_state,sidecars/dax/0,p'
	printf '%s\n' sidecars/smpark/version sidecars/smpark/gpa
	printf '%s\n' check devices/0/mmio/queues/0/ring devices/0/mmio/queues/0/health
} | cut -f 1 | sed -E 's,/0x[0-9a-f]+$,/0xN,; s,/xcr[0-9]+$,/xcrN,; s,/[0-9]+(/|$),/N\1,g; s,/[0-9]+(/|$),/N\1,g' |
	sort -u >"$tmp/found"
"$SMSNAP" fields >"$tmp/fields"
cut -f 1 "$tmp/fields" | sed 's,/[A-Z]\>,/N,g' | sort -u >"$tmp/said"
diff "$tmp/found" "$tmp/said" || fail "smsnap fields lists other paths"
same "paths that are said twice" "" "$(grep -v ^layout/ "$tmp/fields" | cut -f 1 | sort | uniq -d)"
same "lines with three columns" "$(wc -l <"$tmp/fields")" "$(grep -cP '^[^\t]+\t[^\t]+\t[^\t]+$' "$tmp/fields")"
# What is in /layout depends on the layout: a line for each that has it.
for layout in kvm kvm-diff hvf bare; do
	reader tree "$tmp/$layout" | grep -o '^layout/[a-z_]*' | sort >"$tmp/found"
	sed -n "s,^\\(layout/[a-z_]*\\)\t.*\t$layout: .*,\\1,p" "$tmp/fields" | sort >"$tmp/said"
	diff "$tmp/found" "$tmp/said" || fail "smsnap fields lists others for layout $layout"
	cat "$tmp/said" >>"$tmp/rows"
done
same "lines for the layouts" "$(grep -c ^layout/ "$tmp/fields")" "$(wc -l <"$tmp/rows")"
same "lines for the layouts" 10 "$(wc -l <"$tmp/rows")"

# What cannot be written is not printed in part without a word.
program=smsnap
expect_status 1 sh -c 'exec "$@" >/dev/full' - "$SMSNAP" fields
one_line "standard output: $(strerror ENOSPC)"
expect_status 1 sh -c 'exec "$@" >&-' - "$SMSNAP" fields
one_line "standard output: $(strerror EBADF)"
finish 10
