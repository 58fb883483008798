#!/bin/bash
# SPDX-License-Identifier: MIT
# What smsnap says that there can be in a snapshot is what another reader found in
# those that have everything.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

for layout in kvm hvf bare; do
	sample "$tmp/$layout" 4096 $layout
	reader tree "$tmp/$layout"
done | cut -f 1 | sed 's,/[0-9][0-9]*,/N,g' | sort -u >"$tmp/found"
"$SMSNAP" fields >"$tmp/fields"
cut -f 1 "$tmp/fields" | sed 's,/[A-Z],/N,g' | sort -u >"$tmp/said"
diff "$tmp/found" "$tmp/said" || fail "smsnap fields lists other paths"
same "lines with three columns" "$(wc -l <"$tmp/fields")" "$(grep -cP '^[^\t]+\t[^\t]+\t[^\t]+$' "$tmp/fields")"
same "lines for the layouts" "kvm kvm hvf hvf hvf hvf bare" "$(grep ^layout/ "$tmp/fields" | sed 's/.*\t\([a-z]*\): .*/\1/' | xargs)"

# What cannot be written is not printed in part without a word.
program=smsnap
expect_status 1 sh -c 'exec "$@" >/dev/full' - "$SMSNAP" fields
one_line "standard output: $(strerror ENOSPC)"
expect_status 1 sh -c 'exec "$@" >&-' - "$SMSNAP" fields
one_line "standard output: $(strerror EBADF)"
finish 8
