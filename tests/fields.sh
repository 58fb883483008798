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
finish 1
