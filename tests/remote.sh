#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# A snapshot of 64 GiB behind NBD, through nbdkit and nbdfuse: how much crosses, edits under a
# journal beside the file that nbdfuse is mounted over, and what is refused.

. "$(dirname "$0")/lib.sh"
require fuse
require root
require cmd flock nbdinfo nbdkit nbdfuse strace
nbdkit --dump-plugin file >/dev/null || lacking "nbdkit's file plugin"
served=$tmp/served
server=

# serve: what is at home on another machine becomes $snap here.
serve() {
	rm -f "$tmp/ready" "$tmp/up" "$tmp/socket" "$tmp/stats"
	flock -n "$served" nbdkit -f -U "$tmp/socket" -P "$tmp/up" --filter=limit --filter=stats \
		file "$served" limit=1 statsfile="$tmp/stats" &
	server=$!
	wait_until 20 test -s "$tmp/up" || fail "no nbdkit"
	[ -e "$snap" ] || : >"$snap"
	nbdfuse -C 1 -P "$tmp/ready" "$snap" "nbd+unix:///?socket=$tmp/socket" &
	fuse=$!
	wait_until 20 test -s "$tmp/ready" || fail "no nbdfuse"
}
# done_with: sets $crossed to the bytes that were read and written.
done_with() {
	fusermount3 -u "$snap"
	wait "$fuse" || fail "nbdfuse: exit status $?"
	kill "$(cat "$tmp/up")"
	wait "$server" || true
	crossed=$("$python" - "$tmp/stats" <<'P'
import re, sys
unit = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
total = re.search(r"^total: .*?, ([0-9.]+) (bytes|.iB),", open(sys.argv[1]).read(), re.M)
print(int(float(total[1]) * unit[total[2]]))
P
	)
}
# little LEAST: between that and 2 MiB have crossed.
little() {
	[ "$crossed" -ge "$1" ] && [ "$crossed" -lt 2097152 ] || fail "$crossed bytes crossed"
	checks=$((checks + 1))
}

say "# looked at"
sample "$served" $((64 << 30))
path=devices/0/backing/path
was=/var/lib/sm/root.img
# The tests' own reader would read all of it: is TEXT among the fields there?
stored() { head -c 65536 "$served" | grep -aF "$1" >/dev/null || fail "$1 is not in the snapshot"; }
stored $was
head_sum() { head -c 65536 "$served" | sha256sum; }
before=$(head_sum)
serve
mount_snap -o ro "$snap"
same "$path" "$was" "$(cat "$mnt/$path")"
same "size of RAM" $((64 << 30)) "$(stat -c %s "$mnt/ram")"
works find "$mnt" -path "$mnt/guest" -prune -o -name '*raw' -print
unmount
done_with
little 4096
looked=$crossed
same "the snapshot" "$before" "$(head_sum)"

say "# a path is changed"
serve
mount_fg -d "$snap"
put /srv/new.raw "$mnt/$path"
same "what is beside it" "" "$(find "$tmp" -maxdepth 1 -name 'snap.smfs-*')"
unmount
matches "the save" "saved in place" "$(cat "$tmp/daemon.err")"
done_with
little 4096
works stored /srv/new.raw

edited=$crossed

say "# a save that is killed, and the line with it, is undone when it is here again"
serve
if "${strace[@]}" -o /dev/null -e trace=fsync -e inject=fsync:signal=KILL:when=3 \
	"$SMSNAP" set "$snap" "$path=/srv/lost.raw" 2>"$tmp/err"; then
	fail "it was not killed"
fi
works test -s "$snap.smfs-undo"
done_with
works stored /srv/lost.raw
serve
same "$path" /srv/new.raw "$("$SMSNAP" get "$snap" $path)"
[ ! -e "$snap.smfs-undo" ] || fail "the journal is still there"
done_with
works stored /srv/new.raw

say "# RAM would have to move: refused, and little has crossed"
serve
mount_snap "$snap"
long=/$(printf '%04000d' 0)
expect_errno ENOTSUP put "$long" "$mnt/$path"
same "$path" /srv/new.raw "$(cat "$mnt/$path")"
unmount
expect_status 1 "$SMSNAP" set "$snap" "$path=$long"
program=smsnap one_line "RAM would have to move"
done_with
little 4096
works stored /srv/new.raw

say "# somebody else, there or over the network, is refused meanwhile"
serve
expect_status 1 "$SMSNAP" set "$served" num_cpus=3
program=smsnap one_line "lock"
expect_status 1 timeout 10 nbdinfo "nbd+unix:///?socket=$tmp/socket"
done_with
say "$looked bytes crossed to look, $edited to edit"
finish 20
