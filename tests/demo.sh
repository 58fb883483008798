#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# scripts/demo: whoever stops reading, nothing is left of it; and it waits for apt.

. "$(dirname "$0")/lib.sh"
require fuse
require cmd jq hexdump pgrep

# A tree that is built, with these programs, and a system that has every package.
mkdir -p "$tmp/top/build" "$tmp/bin" "$tmp/work"
cp -r "$top/scripts" "$tmp/top/scripts"
printf '#!/bin/sh\n' | tee "$tmp/top/configure" "$tmp/top/build/config.status" >/dev/null
printf 'all:\n' >"$tmp/top/build/Makefile"
ln -s "$(realpath "$SMFS")" "$(realpath "$SMSNAP")" "$tmp/top/build"
printf '#!/bin/sh\n! [ -e %q ] && echo installed\n' "$tmp/missing" >"$tmp/bin/dpkg-query"
chmod +x "$tmp/top/configure" "$tmp/top/build/config.status" "$tmp/bin/dpkg-query"
PATH=$tmp/bin:$PATH
export TMPDIR=$tmp/work

demo() { timeout 60 "$tmp/top/scripts/demo" </dev/null; }
nothing_left() {
	same "mounts left by $1" "" "$(mounts_below "$tmp/work")"
	same "files left by $1" "" "$(ls "$tmp/work")"
}

say "# to its end"
demo >"$tmp/all" 2>&1 || fail "exit status $?: $(tail -n 3 "$tmp/all")"
matches "what it shows" '/srv/images/root-v2.raw' "$(cat "$tmp/all")"
nothing_left "the whole demo"

say "# for somebody who stops reading"
for lines in 1 3 7 12 20 30 60 80; do
	demo 2>"$tmp/err" | head -n "$lines" >"$tmp/out" || true
	same "lines" "$lines" "$(wc -l <"$tmp/out")"
	nothing_left "demo | head -n $lines"
done

say "# for somebody who interrupts it"
for signal in INT TERM HUP; do
	mkfifo "$tmp/fifo"
	env --default-signal=INT,HUP,TERM "$tmp/top/scripts/demo" >"$tmp/fifo" 2>&1 </dev/null &
	pid=$!
	exec {reader}<"$tmp/fifo"
	while read -r line; do
		[[ $line != *'smfs vm.snap'* ]] || break
	done <&"$reader"
	kill -$signal $pid
	cat <&"$reader" >/dev/null
	exec {reader}<&-
	if wait $pid; then fail "its exit status is 0"; fi
	nothing_left "a demo that gets $signal"
	rm "$tmp/fifo"
done

say "# apt that another program has locked"
if [ "$(id -u)" = 0 ]; then
	touch "$tmp/missing"
	cat >"$tmp/bin/apt-get" <<END
#!/bin/sh
echo "\$*" >>$tmp/calls
case "\$*" in
*update*)
	[ -e $tmp/locked ] || { touch $tmp/locked; echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100; }
	touch $tmp/updated ;;
*) [ -e $tmp/updated ] && rm $tmp/missing ;;
esac
END
	printf '#!/bin/sh\n' >"$tmp/bin/sleep"
	chmod +x "$tmp/bin/apt-get" "$tmp/bin/sleep"
	demo >"$tmp/all" 2>&1 || fail "exit status $?: $(tail -n 3 "$tmp/all")"
	same "updates" 2 "$(grep -c update "$tmp/calls")"
	same "calls that wait for no lock" 0 "$(grep -vc 'DPkg::Lock::Timeout=[1-9]' "$tmp/calls" || true)"
fi
finish 30
