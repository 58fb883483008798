#!/bin/bash
# SPDX-License-Identifier: MIT
# The README's walk-through: each of its commands is run, and prints what is written there.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd jq

# Where the reader of the README stands: the top folder after make.
mkdir "$tmp/top"
ln -s "$(realpath "$SMFS")" "$tmp/top/smfs"
ln -s "$(realpath "$SMSNAP")" "$tmp/top/smsnap"
ln -s "$top/scripts" "$tmp/top/scripts"
cd "$tmp/top"

# What is written: the lines of its code blocks.
awk '/^## /{ here = $0 == "## Walk-through" } /^```/{ block = !block; next } here && block' \
	"$top/README.md" >"$tmp/written"

# The commands, one after the other in one shell, each shown before it is run.
while IFS= read -r line; do
	[[ $line == '$ '* ]] || continue
	checks=$((checks + 1))
	printf 'printf "%%s\\n" %q\n%s\n' "$line" "${line#'$ '}"
done <"$tmp/written" >"$tmp/commands"
TMPDIR=$tmp bash "$tmp/commands" >"$tmp/printed" 2>&1 </dev/null || fail "exit status $?: $(tail -n 3 "$tmp/printed")"

# A terminal has ls print in columns, and its shell has no line numbers.
sed -i "s|^$tmp/commands: line [0-9]*:|bash:|" "$tmp/printed"
columns() { awk '/^\$ /{ print (NR > 1 ? "\n" : "") $0; next } { $1 = $1; printf "%s ", $0 }' "$1"; }
diff -u <(columns "$tmp/written") <(columns "$tmp/printed") >"$tmp/diff" ||
	fail "README.md says another thing: $(cat "$tmp/diff")"
same "mounts that are left" "" "$(mounts_below "$tmp")"
finish 15
