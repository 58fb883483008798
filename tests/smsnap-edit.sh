#!/bin/bash
# SPDX-License-Identifier: MIT
# smsnap ls, get and set: what a mount of the snapshot shows and takes, without it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
program=smsnap

# printed FILE: what the last command printed.
printed() {
	cmp "$1" "$tmp/out" || fail "it printed: $(head -c 500 "$tmp/out")"
	checks=$((checks + 1))
}

say "# ls and get say what ls and cat say of a mount"
for layout in kvm hvf bare; do
	sample "$snap" 40960 $layout
	mount_snap -o ro "$snap"
	(cd "$mnt" && find . -type d | sed 's,^\./*,,') >"$tmp/folders"
	(cd "$mnt" && find . -type f | sed 's,^\./*,,') >"$tmp/files"
	while read -r folder; do
		LC_ALL=C ls "$mnt/$folder" >"$tmp/expected"
		works "$SMSNAP" ls "$snap" "$folder"
		printed "$tmp/expected"
		works "$SMSNAP" ls "$snap" "/$folder/"
		printed "$tmp/expected"
	done <"$tmp/folders"
	while read -r file; do
		cat "$mnt/$file" >"$tmp/expected"
		works "$SMSNAP" get "$snap" "$file"
		printed "$tmp/expected"
		works "$SMSNAP" ls "$snap" "$file"
		same "ls of a file" "$file" "$(cat "$tmp/out")"
	done <"$tmp/files"
	mapfile -t files <"$tmp/files"
	(cd "$mnt" && cat "${files[@]}") >"$tmp/expected"
	works "$SMSNAP" get "$snap" "${files[@]}"
	printed "$tmp/expected"
	unmount
done

say "# what is not there"
sample "$snap" 40960
for path in no devices/99 devices/01 vcpu/x; do
	expect_status 1 "$SMSNAP" get "$snap" "$path"
	one_line "$snap: $path: $(strerror ENOENT)"
	expect_status 1 "$SMSNAP" ls "$snap" "$path"
	one_line "$snap: $path: $(strerror ENOENT)"
	expect_status 1 "$SMSNAP" set "$snap" "$path=1"
	one_line "$snap: $path: $(strerror ENOENT)"
done
for path in num_cpus/x ram/x; do
	expect_status 1 "$SMSNAP" get "$snap" "$path"
	one_line "$snap: $path: $(strerror ENOTDIR)"
done
for path in '' / devices devices/0/; do
	expect_status 1 "$SMSNAP" get "$snap" "$path"
	one_line "$snap: $path: $(strerror EISDIR)"
done
expect_status 1 "$SMSNAP" set "$snap" devices=1
one_line "$snap: devices: $(strerror EISDIR)"
expect_status 1 sh -c 'exec "$@" >/dev/full' - "$SMSNAP" get "$snap" ram
one_line "standard output: $(strerror ENOSPC)"
expect_status 2 "$SMSNAP" set "$snap" num_cpus
one_line 'num_cpus: is not PATH=VALUE'

say "# set does what a write does"
cp "$snap" "$tmp/mounted"
head -c 700 /dev/urandom >"$tmp/bytes"
# edited PATH VALUE: by a mount and by set, the same bytes.
edited() {
	mount_snap "$tmp/mounted"
	if [ -z "$2" ]; then
		truncate -s 0 "$mnt/$1"
	elif [ "${2#@}" = "$2" ]; then
		printf %s "$2" >"$mnt/$1"
	else
		cat "${2#@}" >"$mnt/$1"
	fi
	unmount
	works "$SMSNAP" set "$snap" "$1=$2"
	same "what set prints" "" "$(cat "$tmp/out" "$tmp/err")"
	works cmp "$tmp/mounted" "$snap"
}
edited num_cpus 3
edited num_cpus 0x4
edited clock_ref ' 12 '
edited devices/0/backing/path /a/b
edited devices/0/backing/path ' a = b, @c '
edited devices/0/backing/path "$(printf 'x%.0s' {1..5000})"
edited devices/0/backing/path ''
edited devices/0/backing/size 3G
edited devices/0/kind vsock
edited devices/0/mmio/queues/0/last_avail_idx 65535
edited listeners/0/inet_port none
edited listeners/0/inet_port 80
edited vcpu/0/raw "@$tmp/bytes"
edited tsi_token ''
edited tsi_token "$(printf 'x%.0s' {1..32})"
printf 'from a file\n' >"$tmp/text"
edited devices/0/backing/path "@$tmp/text"
works "$SMSNAP" get "$snap" devices/0/backing/path
printed "$tmp/text"
works sh -c 'printf 7 | "$@"' - "$SMSNAP" set "$snap" num_cpus=@-
same "from standard input" 7 "$(reader get "$snap" num_cpus)"

say "# all or none"
cp "$snap" "$tmp/before"
# refused PATH VALUE ERRNO: status 1, the error that a write would have had, nothing done.
refused() {
	expect_status 1 "$SMSNAP" set "$snap" clock_ref=5 "$1=$2" num_cpus=1
	one_line "$snap: $1: .*$(strerror "$3")"
	works cmp "$tmp/before" "$snap"
	expect_status 1 "$SMSNAP" set "$snap" clock_ref=5 "$1=$2" num_cpus=1 --dry-run
	same "what it prints" "" "$(cat "$tmp/out")"
	works cmp "$tmp/before" "$snap"
}
refused num_cpus 256 ERANGE
refused num_cpus x EINVAL
refused num_cpus '' EINVAL
refused mem_size 4096 EACCES
refused layout/format bare EACCES
refused devices/0/mmio/raw x EACCES
refused devices/0/kind disk EINVAL
refused devices/0/backing/path "$(printf '\xff')" EILSEQ
head -c 70000 /dev/zero | tr '\0' a >"$tmp/long"
refused devices/0/backing/path "@$tmp/long" ENAMETOOLONG
refused tsi_token x EINVAL
refused tsi_token "$(printf 'x%.0s' {1..33})" EFBIG
refused nothing 1 ENOENT
refused num_cpus "@$tmp/missing" ENOENT
# What an edit before took away.
cp "$snap" "$tmp/kept"
cp "$tests/vectors/kvm-01.snap" "$snap"
cp "$snap" "$tmp/before"
for dry in '' --dry-run; do
	expect_status 1 "$SMSNAP" set "$snap" vcpu/0/raw=@/dev/null vcpu/0/regs/rax=5 $dry
	one_line "$snap: vcpu/0/regs/rax: is not there with what is given before it$"
	works cmp "$tmp/before" "$snap"
done
cp "$tmp/kept" "$snap"
cp "$snap" "$tmp/before"
expect_status 1 "$SMSNAP" set "$snap" num_cpus=x
one_line 'num_cpus: .*; it is a number from 0 to 255'
expect_status 1 "$SMSNAP" set "$snap" devices/0/kind=x
one_line 'blk\|vsock\|volume\|virtiofs'
expect_status 1 "$SMSNAP" set "$snap" ram=x
one_line 'ram: is not edited here'

say "# a dry run"
printf 'x%.0s' {1..31} >"$tmp/token"
printf y >>"$tmp/token"
works "$SMSNAP" set "$snap" --dry-run num_cpus=9 devices/0/backing/path=/new/disk tsi_token=@"$tmp/token" \
	"clock_ref=$(reader get "$snap" clock_ref)" listeners/0/inet_port=none
cat >"$tmp/expected" <<'END'
num_cpus: 7 -> 9
devices/0/backing/path: "from a file" -> "/new/disk"
tsi_token: (32 secret bytes) -> (32 secret bytes)
listeners/0/inet_port: 80 -> none
END
printed "$tmp/expected"
works cmp "$tmp/before" "$snap"
printf '\033[2J' >"$tmp/text"
works "$SMSNAP" set "$snap" --dry-run devices/0/backing/path=@"$tmp/text" "vcpu/0/raw=@$tmp/bytes" vcpu/0/raw=abc
same "what drives a terminal" 1 "$(grep -c '"\\x1b\[2J"$' "$tmp/out")"
same "bytes" 1 "$(grep -c 'vcpu/0/raw: .*(700 bytes) -> 616263$' "$tmp/out")"
works "$SMSNAP" set "$snap" --dry-run "num_cpus=$(reader get "$snap" num_cpus)"
same "nothing would differ" "" "$(cat "$tmp/out")"

say "# nothing changed, nothing written; in use"
before=$(stat -c '%i %y %z' "$snap")
works "$SMSNAP" set "$snap" "num_cpus=$(reader get "$snap" num_cpus)"
same "inode and times" "$before" "$(stat -c '%i %y %z' "$snap")"
mount_snap "$snap"
expect_status 1 "$SMSNAP" set "$snap" num_cpus=1
one_line "$snap: in use by a mount"
works "$SMSNAP" set --dry-run "$snap" num_cpus=1
works "$SMSNAP" get "$snap" num_cpus
unmount
say "# a save that fails, and is undone now or when the snapshot is next opened"
cp "$snap" "$tmp/before"
port=$(($(reader get "$snap" listeners/0/inet_port) ^ 1))
# Only the first bytes of a file can be written, which the journal has room in, and it is not undone either.
expect_status 1 sh -c 'ulimit -f 2 && exec "$@"' - "$SMSNAP" set "$snap" listeners/0/inet_port=$port # 1 KiB
one_line "$snap: cannot write: $(strerror EFBIG); snap.smfs-undo is left and undoes the save when the snapshot is next opened or saved$"
[ -e "$snap.smfs-undo" ] || fail "no journal is left"
works "$SMSNAP" get "$snap" num_cpus
same "it says" "smsnap: a save was interrupted: it has been undone, the snapshot is as before it" "$(cat "$tmp/err")"
[ ! -e "$snap.smfs-undo" ] || fail "the journal is still there"
works cmp "$tmp/before" "$snap"
# A disk that fails once: it was undone at once, and there is nothing more to say.
if command -v strace >/dev/null; then
	expect_status 1 "${strace[@]}" -qq -o "$tmp/trace" -P "$snap" -e trace=fsync -e inject=fsync:error=EIO:when=1 \
		"$SMSNAP" set "$snap" listeners/0/inet_port=$port
	one_line "$snap: cannot write: $(strerror EIO)$"
	[ ! -e "$snap.smfs-undo" ] || fail "a journal is left"
	works cmp "$tmp/before" "$snap"
fi

say "# what is wrong is named, and what would be right"
sample "$tmp/right"
# wrong STATUS PATTERN ARGUMENT...
wrong() {
	local status=$1 pattern=$2
	shift 2
	expect_status "$status" "$SMSNAP" "$@"
	one_line "$pattern"
}
commands=$("$SMSNAP" --help | sed -n 's/^  \([a-z]*\)  *[a-z].*/\1/p' | xargs)
wrong 2 "frob: unknown command; there are $commands\$" frob
wrong 2 "needs a command, one of $commands; see" 
wrong 2 "--frob: unknown option" --frob
wrong 2 "ls: needs SNAPSHOT \[PATH\], and got nothing" ls
wrong 2 "ls: third: one operand too many; it takes SNAPSHOT \[PATH\]" ls "$tmp/right" num_cpus third
wrong 2 "dump: --frob is not an option of it" dump --frob "$tmp/right"
wrong 2 "--ram-offset 1x: not a number of bytes from 0 to 18446744073709551615" dump --ram-offset 1x "$tmp/right"
wrong 2 "guest: frob: there is no such file, only vmcoreinfo banner release" guest frob "$tmp/right"
wrong 2 "frob: kvm, kvm-diff, hvf or bare" convert "$tmp/right" -o "$tmp/never" --layout frob
wrong 1 "devices/0/kind: .*; it is one of blk|vsock|volume|virtiofs" set "$tmp/right" devices/0/kind=frob
wrong 1 "inet_port: .*; it is a number from 0 to 65535, or none" set "$tmp/right" listeners/0/inet_port=70000
wrong 1 "size: .*; it is a number from 0 to 18446744073709551615, with K, M, G or T" \
	set "$tmp/right" devices/0/backing/size=5X
wrong 1 "driver_features: .*; it is a number from 0 to 0xffffffffffffffff" \
	set "$tmp/right" devices/0/mmio/driver_features=0x10000000000000000
wrong 1 "tsi_token: .*; it is 32 bytes, or none" set "$tmp/right" tsi_token=short
wrong 1 "mem_size: .*; it is read-only" set "$tmp/right" mem_size=1

say "# what is no snapshot is told by what it is"
# By the programs that make such files, where they are there.
others=0
other() { # PATTERN command...: its output is the file
	local pattern=$1
	shift
	command -v "$1" >/dev/null || return 0
	"$@" >"$tmp/other" 2>/dev/null
	wrong 1 "$tmp/other: is .*$pattern" dump "$tmp/other"
	program=smfs
	expect_status 1 "$SMFS" "$tmp/other" "$mnt"
	one_line "$tmp/other: is .*$pattern"
	program=smsnap
	others=$((others + 1))
}
other 'gzip: unpack' gzip -c "$tmp/right"
other 'xz: unpack' xz -c "$tmp/right"
other 'zstd: unpack' zstd -qc "$tmp/right"
other 'bzip2: unpack' bzip2 -c "$tmp/right"
other 'lz4: unpack' lz4 -c "$tmp/right"
other 'tar archive: unpack' tar -C "$tmp" -c right
other 'zip archive: unpack' zip -q - "$tmp/right"
other 'ELF file' cat "$SMSNAP"
other 'JSON document.*smsnap build' "$SMSNAP" dump "$tmp/right"
other 'JSON document.*smsnap build' jq -n '{a: 1}'
other 'qcow2' "$python" -c 'import sys; sys.stdout.buffer.write(b"QFI\xfb" + bytes(512))'
[ $others -ge 6 ] || fail "only $others kinds of files"

finish 600
