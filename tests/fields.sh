#!/bin/bash
# SPDX-License-Identifier: MIT
# What smsnap says that there can be in a snapshot is what another reader found in
# one that has everything.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

"$SMSNAP" fields >"$tmp/fields"
cut -f 1 "$tmp/fields" | sed 's,/[A-Z],/N,g' | sort -u >"$tmp/said"
cut -f 1 "$tests/vectors/full.tree" | sed 's,/[0-9][0-9]*,/N,g' | sort -u >"$tmp/found"
diff "$tmp/found" "$tmp/said" || fail "smsnap fields lists other paths"
same "lines with three columns" "$(wc -l <"$tmp/fields")" "$(grep -cP '^[^\t]+\t[^\t]+\t[^\t]+$' "$tmp/fields")"

# What cannot be written is not printed in part without a word.
program=smsnap
expect_status 1 sh -c 'exec "$@" >/dev/full' - "$SMSNAP" fields
one_line "standard output: $(strerror ENOSPC)"
expect_status 1 sh -c 'exec "$@" >&-' - "$SMSNAP" fields
one_line "standard output: $(strerror EBADF)"
finish 7
