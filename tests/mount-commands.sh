#!/bin/bash
# SPDX-License-Identifier: MIT
# Ordinary commands on each kind of file: what they do, or how they are refused.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd pgrep vim xxd hexdump tar

sample "$snap"
mount_snap "$snap"
cd "$mnt"
export HOME=$tmp

token=$(printf '5a%.0s' {1..32})
queue=devices/0/mmio/queues/1
backing=devices/3/backing

# value PATH EXPECTED: seen through the mount, and by another open.
value() { same "$1" "$2" "$(cat "$1")"; }
bytes() { same "$1" "$2" "$(hex "$1")"; }
# kept ERRNO PATH command...: refused, and the file still holds what it did.
kept() {
	local errno=$1 path=$2 before
	before=$(hex "$path")
	shift 2
	expect_errno "$errno" "$@"
	same "$path after the refused '$*'" "$before" "$(hex "$path")"
}
# In one write(2): bash's own printf makes one of each line.
put_once() { printf %s "$1" | dd of="$2" bs=64K iflag=fullblock status=none; }
# What nobody writes is saved when the daemon hears of the close, a little after it.
is_empty_in_snapshot() { [ -z "$(reader get "$snap" "$1")" ]; }
dd_at() {
	printf '%b' "$1" |
		dd of="$2" bs=64K iflag=fullblock oflag=seek_bytes seek="$3" conv=notrunc status=none
}

say "# numbers"
works bash -c 'echo 7 >num_cpus'
value num_cpus 7
saved num_cpus 7
works put 8 num_cpus
value num_cpus 8
works put $' \t9 \n' num_cpus
value num_cpus 9
works put 0x10 num_cpus
value num_cpus 16
works bash -c 'echo 17 | cat >num_cpus'
value num_cpus 17
works dd_at '18\n' num_cpus 0
value num_cpus 18
works bash -c 'echo 16 | dd of=num_cpus bs=1 conv=notrunc status=none'
value num_cpus 16
echo 19 >"$tmp/nineteen"
works cp "$tmp/nineteen" num_cpus
value num_cpus 19
works bash -c 'echo 20 | tee num_cpus'
value num_cpus 20
works sed -i 's/20/21/' num_cpus
value num_cpus 21
saved num_cpus 21
works vim -es -u NONE -i NONE -c 's/.*/22/' -c wq num_cpus
value num_cpus 22
saved num_cpus 22
works truncate -s 0 num_cpus
value num_cpus 22
works append 7 num_cpus
value num_cpus 7
works put '' num_cpus
value num_cpus 7
works bash -c '{ printf 1; printf 2; } >num_cpus'
value num_cpus 12
kept EINVAL num_cpus bash -c 'echo 3 | tee -a num_cpus'
works put 255 num_cpus
kept ERANGE num_cpus put 256 num_cpus
kept ERANGE num_cpus put 0x100 num_cpus
kept ERANGE num_cpus put 99999999999999999999999 num_cpus
kept 'EINVAL|ERANGE' num_cpus put -1 num_cpus
for junk in abc 1x 0x '1 2' 0xg 1.5 1e2 +-1 ' ' '4K'; do
	kept EINVAL num_cpus put "$junk" num_cpus
done
kept EINVAL num_cpus put_once $'1\n2' num_cpus
same "the snapshot's num_cpus" 255 "$(reader get "$snap" num_cpus)"

works put 18446744073709551615 clock_ref
value clock_ref 18446744073709551615
kept ERANGE clock_ref put 18446744073709551616 clock_ref
kept ERANGE clock_ref put 0x10000000000000000 clock_ref
works put 4096 "$queue/desc_table"
value "$queue/desc_table" 0x1000
works put 0xFFFFffffFFFFffff "$queue/avail_ring"
value "$queue/avail_ring" 0xffffffffffffffff
works put 0 devices/0/mmio/status
value devices/0/mmio/status 0x0
kept ERANGE devices/0/mmio/status put 0x100000000 devices/0/mmio/status
works put 0x123456789abcdef0 devices/0/mmio/driver_features
value devices/0/mmio/driver_features 0x123456789abcdef0
saved devices/0/mmio/driver_features 0x123456789abcdef0
same "low word first in raw" f0debc9a78563412 "$(head -c 8 devices/0/mmio/raw | xxd -p)"
kept ERANGE "$queue/ready" put 2 "$queue/ready"
works put 1 "$queue/ready"
value "$queue/ready" 1
kept ERANGE "$queue/size" put 65536 "$queue/size"

say "# sizes with a suffix"
for form in 4K:4096 3M:3145728 2G:2147483648 1T:1099511627776; do
	works put "${form%:*}" devices/0/backing/size
	value devices/0/backing/size "${form#*:}"
done
works put ' 16M ' $backing/dax_window_len
value $backing/dax_window_len 16777216
kept ERANGE devices/0/backing/size put 16777216T devices/0/backing/size
kept EINVAL devices/0/backing/size put 4Q devices/0/backing/size
kept EINVAL devices/0/backing/size put K devices/0/backing/size

say "# words"
for word in vsock volume virtiofs blk; do
	works bash -c "echo $word >devices/0/kind"
	value devices/0/kind $word
done
works put vsock devices/0/kind
saved devices/0/kind vsock
for junk in disk Blk blkx ' ' 1; do
	kept EINVAL devices/0/kind put "$junk" devices/0/kind
done
works truncate -s 0 devices/0/kind
value devices/0/kind vsock
works append blk devices/0/kind
value devices/0/kind blk
works sed -i s/blk/volume/ devices/0/kind
value devices/0/kind volume

say "# strings"
path=devices/0/backing/path
works bash -c "echo /a/b >$path"
value $path /a/b
same "$path st_size" 5 "$(stat -c %s $path)"
saved $path /a/b
works put /c $path
bytes $path 2f630a
works put $'two\nlines\n\n' $path
bytes $path "$(printf 'two\nlines\n\n' | xxd -p)"
works bash -c "cat $path >'$tmp/f.txt'; cat '$tmp/f.txt' >$path"
bytes $path "$(printf 'two\nlines\n\n' | xxd -p)"
works bash -c "printf 'nul\0in\0it' >$path"
bytes $path "$(printf 'nul\0in\0it\n' | xxd -p)"
works put '日本 é 🦀' $path
value $path '日本 é 🦀'
kept EILSEQ $path put $'\xff\xfe' $path
kept EILSEQ $path put $'\xc0\xaf' $path
kept EILSEQ $path put $'\xed\xa0\x80' $path
kept EILSEQ $path put $'\xf4\x90\x80\x80' $path
works put one $path
works bash -c ": >$path"
value $path one
works bash -c "echo two | tee -a $path"
bytes $path "$(printf 'one\ntwo\n' | xxd -p)"
works truncate -s 0 $path
bytes $path 0a
saved $path ''
works put 'sed me' $path
works sed -i 's/me/you/' $path
value $path 'sed you'
saved $path 'sed you'
works vim -es -u NONE -i NONE -c 's/you/vim/' -c wq $path
value $path 'sed vim'
saved $path 'sed vim'
works cp "$tmp/nineteen" $path
value $path 19
works dd_at '8' $path 1
value $path 18
head -c 65536 /dev/zero | tr '\0' a >"$tmp/longest"
works bash -c "cat '$tmp/longest' >$path"
same "longest string" 65537 "$(stat -c %s $path)"
same "longest string" "$(sum "$tmp/longest")" "$(head -c 65536 $path | sha256sum | cut -d' ' -f1)"
works put short $path
head -c 65537 /dev/zero | tr '\0' a >"$tmp/longer"
kept ENAMETOOLONG $path dd if="$tmp/longer" of=$path bs=1M
value $path short

say "# bytes"
for blob in intc/raw vcpu/0/raw $backing/dax_state/raw; do
	works put 'some bytes' "$blob"
	value "$blob" 'some bytes'
	works append ', more' "$blob"
	value "$blob" 'some bytes, more'
	works dd_at 'S' "$blob" 0
	works dd_at '\n' "$blob" 20
	bytes "$blob" "$(printf 'Some bytes, more\0\0\0\0\n' | xxd -p)"
	same "$blob st_size" 21 "$(stat -c %s "$blob")"
	works truncate -s 4 "$blob"
	value "$blob" Some
	works truncate -s 6 "$blob"
	bytes "$blob" 536f6d650000
	same "$blob in the snapshot" 536f6d650000 "$(reader get "$snap" "$blob" | xxd -p)"
	works cp "$tmp/longer" "$blob"
	same "$blob copied" "$(sum "$tmp/longer")" "$(sum "$blob")"
	works bash -c ": >$blob"
	# A close without a write is an edit, and the kernel tells of it a little later.
	works wait_until 10 is_empty_in_snapshot "$blob"
	same "$blob emptied" 0 "$(stat -c %s "$blob")"
	works put 'what follows' "$blob"
	works bash -c ": >$blob; printf %s 'is kept' >>$blob"
	value "$blob" 'is kept'
	saved "$blob" 'is kept'
	works bash -c ": >$blob; cat '$tmp/nineteen' >$blob"
	value "$blob" 19
	works truncate -s 0 "$blob"
	same "$blob truncated in the snapshot" "" "$(reader get "$snap" "$blob" | xxd -p)"
	works bash -c "printf ab | tee -a $blob"
	value "$blob" ab
	works truncate -s 0 "$blob"
	bytes "$blob" ''
done
# O_TRUNC without the right to write: the size that is told in between does not stay.
works put 'some bytes' vcpu/0/raw
works "$python" -c 'import os
fd = os.open("vcpu/0/raw", os.O_RDONLY | os.O_TRUNC)
os.fstat(fd)
os.close(fd)'
works wait_until 10 is_empty_in_snapshot vcpu/0/raw
has_size() { [ "$(stat -c %s "$2")" = "$1" ]; }
works wait_until 5 has_size 0 vcpu/0/raw
works truncate -s 16M intc/raw
same "largest blob" 16777216 "$(stat -c %s intc/raw)"
expect_errno EFBIG append x intc/raw
expect_errno EFBIG truncate -s 16777217 intc/raw
expect_errno EFBIG "$python" -c 'import os
fd = os.open("intc/raw", os.O_WRONLY | os.O_TRUNC)
os.pwrite(fd, b"x", 16777216)'
same "largest blob" 16777216 "$(stat -c %s intc/raw)"
works put small intc/raw
value intc/raw small

say "# registers of com1"
same "com1" "0x1 0x2 0x3 0x4 0x5 0x6" "$(cat com1/{ier,lcr,mcr,scr,dll,dlm} | xargs)"
works put 0xff com1/lcr
value com1/lcr 0xff
saved com1/lcr 0xff
works put 3 com1/lcr
value com1/lcr 0x3
kept ERANGE com1/lcr put 256 com1/lcr

say "# a token, or none"
same "the token's size" 32 "$(stat -c %s tsi_token)"
works dd_at '\x5b' tsi_token 31
bytes tsi_token "${token%5a}5b"
saved_bytes() { same "$1 in the snapshot" "$2" "$(reader get "$snap" "$1" | xxd -p -c 0)"; }
saved_bytes tsi_token "${token%5a}5b"
kept EFBIG tsi_token append x tsi_token
kept EFBIG tsi_token dd_at yz tsi_token 31
kept EINVAL tsi_token put short tsi_token
kept EINVAL tsi_token truncate -s 31 tsi_token
kept EINVAL tsi_token truncate -s 33 tsi_token
works truncate -s 32 tsi_token
bytes tsi_token "${token%5a}5b"
works truncate -s 0 tsi_token
bytes tsi_token ''
saved_bytes tsi_token ''
same "mode of an empty tsi_token" 600 "$(stat -c %a tsi_token)"
kept EINVAL tsi_token put 'not 32 bytes' tsi_token
works bash -c "printf %s 0123456789abcdef0123456789abcdef >tsi_token"
value tsi_token 0123456789abcdef0123456789abcdef
saved tsi_token 0123456789abcdef0123456789abcdef
works bash -c ': >tsi_token'
# A close without a write is an edit, and the kernel tells of it a little later.
works wait_until 10 is_empty_in_snapshot tsi_token
bytes tsi_token ''
works bash -c "printf %s 0123456789abcdef0123456789abcdef | cat >tsi_token"
saved tsi_token 0123456789abcdef0123456789abcdef

say "# a port, or none"
value listeners/1/inet_port none
works put 4321 listeners/1/inet_port
value listeners/1/inet_port 4321
saved listeners/1/inet_port 4321
works put none listeners/1/inet_port
value listeners/1/inet_port none
saved listeners/1/inet_port none
for junk in nones None '' ' '; do
	[ -z "$junk" ] || kept EINVAL listeners/1/inet_port put "$junk" listeners/1/inet_port
done
kept ERANGE listeners/1/inet_port put 65536 listeners/1/inet_port
kept ERANGE listeners/1/inet_port put 0xffffffff listeners/1/inet_port
works cp "$tmp/nineteen" listeners/0/inet_port
value listeners/0/inet_port 19
works sed -i 's/.*/8080/' listeners/0/inet_port
value listeners/0/inet_port 8080
works put 65535 listeners/1/inet_port
saved listeners/1/inet_port 65535

say "# the layout"
value layout/format kvm
value layout/ram_offset "$(region ram_offset)" # intc had 16 MiB: RAM has moved
same "multiple of 64 KiB" 0 $(($(cat layout/ram_offset) % 65536))
same "its size" "$(wc -c <layout/ram_offset)" "$(stat -c %s layout/ram_offset)"

say "# read-only files"
for file in mem_size layout/format layout/ram_offset devices/0/mmio/raw devices/0/backing/raw devices/0/backing/type; do
	kept EACCES "$file" put 1 "$file"
	kept EACCES "$file" append 1 "$file"
	kept 'EACCES|EPERM' "$file" truncate -s 0 "$file"
	kept EPERM "$file" rm -f "$file"
	same "mode of $file" 400 "$(stat -c %a "$file")"
done

say "# nothing else can be made, moved or removed"
find . | sort >"$tmp/before"
for dir in . layout com1 vcpu vcpu/0 devices devices/0 devices/0/mmio/queues $queue devices/0/backing listeners listeners/1; do
	expect_errno EPERM touch "$dir/foo"
	expect_errno EPERM mkdir "$dir/foo"
	expect_errno EPERM ln -s target "$dir/foo"
	expect_errno EPERM ln num_cpus "$dir/foo"
	expect_errno EPERM mknod "$dir/foo" p
done
expect_errno EPERM touch vcpu/4
expect_errno EPERM put x vcpu/4
expect_errno EPERM mkdir devices/4
expect_errno EPERM rmdir vcpu
expect_errno EPERM rmdir devices/0/mmio/queues/0
for file in num_cpus vcpu/0/raw devices/0/kind $path ram tsi_token listeners/0/inet_port; do
	expect_errno EPERM rm -f "$file"
done
whole=$(sum "$snap")
expect_errno EPERM rm -rf "$mnt"
same "the snapshot after rm -rf" "$whole" "$(sum "$snap")"
expect_errno EPERM find . -delete
same "the snapshot after find -delete" "$whole" "$(sum "$snap")"
rename() { "$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$@"; }
expect_errno EPERM rename num_cpus clock_ref
expect_errno EPERM rename num_cpus other
expect_errno EPERM rename vcpu/0/raw vcpu/1/raw
expect_errno EPERM rename vcpu/0 vcpu/1
expect_errno EPERM rename devices/0 devices/9
find . | sort >"$tmp/after"
works diff "$tmp/before" "$tmp/after"

say "# temporary files"
works "$python" - <<'PY'
import os
# As mkstemp and sed -i do, with the name of each folder's text field.
for where, field, text in ((".", "num_cpus", b"33\n"), ("devices/0/backing", "path", b"by rename\n"),
                           ("listeners/1", "inet_port", b"77\n")):
    name = where + "/tmpXy12_z"
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.write(fd, text)
    assert os.pread(fd, 100, 0) == text
    assert os.fstat(fd).st_size == len(text)
    os.close(fd)
    os.rename(name, where + "/" + field)
    assert not os.path.exists(name), "the temporary is still there"
    assert open(where + "/" + field, "rb").read() == text
# One that is wrong is refused, changes nothing, and can be removed.
fd = os.open("tmpabc", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
os.write(fd, b"junk")
os.close(fd)
try:
    os.rename("tmpabc", "num_cpus")
    raise SystemExit("junk was renamed over num_cpus")
except OSError:
    pass
assert open("num_cpus").read() == "33\n"
os.unlink("tmpabc")
assert not os.path.exists("tmpabc")
PY
saved num_cpus 33
saved devices/0/backing/path 'by rename'
saved listeners/1/inet_port 77
find . | sort >"$tmp/after"
works diff "$tmp/before" "$tmp/after"

say "# mv of a temporary to a field"
# It first asks for a rename that replaces nothing.
temporary() {
	made=$(mktemp "${1}tmpXXXXXX")
	cat >"$made"
}
renameat2() {
	"$python" -c 'import ctypes, os, sys
old, new, flags = sys.argv[1:]
if ctypes.CDLL(None, use_errno=True).renameat2(-100, old.encode(), -100, new.encode(), int(flags)):
    sys.exit(os.strerror(ctypes.get_errno()))' "$@"
}
temporary listeners/1/ <<<78
works mv -f "$made" listeners/1/inet_port
value listeners/1/inet_port 78
saved listeners/1/inet_port 78
temporary listeners/1/ <<<79
for flags in 2 4; do # RENAME_EXCHANGE RENAME_WHITEOUT
	expect_errno 'EPERM|EINVAL' renameat2 "$made" listeners/1/inet_port $flags
done
expect_errno EPERM renameat2 "$made" listeners/1/other 1
expect_errno EEXIST renameat2 "$made" listeners/1/inet_port 1
value listeners/1/inet_port 78
works mv "$made" devices/0/backing/path
value devices/0/backing/path 79
temporary listeners/1/ <<<none
works mv "$made" listeners/1/inet_port
value listeners/1/inet_port none
works put 77 listeners/1/inet_port
find . | sort >"$tmp/after"
works diff "$tmp/before" "$tmp/after"

say "# a rename ends what others had begun"
works "$python" - <<'PY'
import os
def rename(content, over):
    fd = os.open("tmpover", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.write(fd, content)
    os.close(fd)
    os.rename("tmpover", over)
def content(path, want):
    got = open(path, "rb").read()
    assert got == want, "%s: %r, not %r" % (path, got, want)

# Bytes that were written before it and not yet saved.
fd = os.open("vcpu/0/raw", os.O_RDWR)
os.pwrite(fd, b"draft", 0)
rename(b"renamed", "vcpu/0/raw")
content("vcpu/0/raw", b"renamed")
os.close(fd)
content("vcpu/0/raw", b"renamed")

# A file that goes on writing changes what was put there.
fd = os.open("vcpu/0/raw", os.O_RDWR)
os.pwrite(fd, b"a longer draft", 0)
rename(b"renamed", "vcpu/0/raw")
os.pwrite(fd, b"R", 0)
os.close(fd)
content("vcpu/0/raw", b"Renamed")

# O_TRUNC.
fd = os.open("vcpu/0/raw", os.O_WRONLY | os.O_TRUNC)
rename(b"over", "vcpu/0/raw")
os.close(fd)
content("vcpu/0/raw", b"over")

# A refused one ends nothing.
token = open("tsi_token", "rb").read()
fd = os.open("tsi_token", os.O_RDWR)
os.pwrite(fd, b"X", 0)
try:
    rename(b"too short", "tsi_token")
    raise SystemExit("tsi_token was given another size")
except OSError:
    os.unlink("tmpover")
content("tsi_token", b"X" + token[1:])
os.pwrite(fd, token[:1], 0)
os.close(fd)

# A truncation: what is appended after it is no longer a new text.
def append(path, text):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, text)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
path = "devices/0/backing/path"
os.truncate(path, 0)
rename(b"/image\n", path)
assert append(path, b"2")
content(path, b"/image\n2\n")
os.truncate(path, 0)
os.truncate(path, 2)
assert append(path, b"3")
content(path, b"\n\0\n3\n")
os.truncate("num_cpus", 0)
rename(b"33\n", "num_cpus")
assert not append("num_cpus", b"7"), "the text began anew"
content("num_cpus", b"33\n")
PY

say "# modes, owners and times are accepted and ignored"
works put 33 num_cpus
edited=$(stat -c '%Y %a %u' num_cpus)
works touch -d @1000000000 num_cpus
works chmod 644 num_cpus
works chown 12 num_cpus
same "of num_cpus" "$edited" "$(stat -c '%Y %a %u' num_cpus)"
printf '34\n' >"$tmp/copied-number"
chmod 644 "$tmp/copied-number"
touch -d @1000000000 "$tmp/copied-number"
works cp -p "$tmp/copied-number" num_cpus
value num_cpus 34
works "$python" -c 'import shutil, sys; shutil.copy2(sys.argv[1], "clock_ref")' "$tmp/copied-number"
value clock_ref 34
works cp -p "$tmp/nineteen" vcpu/0/raw
value vcpu/0/raw 19
whole=$(sum "$snap")
modes() { find . -printf '%p %m %U %G\n' | sort; }
modes >"$tmp/modes"
works chmod -R go+rwx .
works chown -R 12:34 .
works find . -exec touch -c -d @1000000000 {} +
same "modes and owners" "$(cat "$tmp/modes")" "$(modes)"
same "the snapshot after chmod, chown, touch" "$whole" "$(sum "$snap")"
works put 33 num_cpus

say "# ram"
ram_before=$(region ram_sha256)
works dd_at 'written' ram 5000
same "ram where written" written "$(dd if=ram bs=1 skip=5000 count=7 status=none)"
same "ram elsewhere" "page at 0" "$(head -c 9 ram)"
same "ram in the snapshot" "$ram_before" "$(region ram_sha256)"
for size in 0 4096 1048575 1048577; do
	expect_errno EPERM truncate -s $size ram
done
expect_errno EPERM append x ram
same "ram st_size" 1048576 "$(stat -c %s ram)"
works "$python" - <<'PY'
import mmap, os
fd = os.open("ram", os.O_RDONLY)
m = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
assert m[:9] == b"page at 0" and m[5000:5007] == b"written"
PY

say "# whole trees"
works ls -lR .
same "files in ls -lR" "$(find . -type f | wc -l)" "$(grep -c '^-' "$tmp/out")"
works tar cf "$tmp/all.tar" -C "$mnt" .
mkdir "$tmp/untarred" && tar xf "$tmp/all.tar" -C "$tmp/untarred"
# What is computed has no size to be packed by.
works diff -r -x check -x ring -x health "$mnt" "$tmp/untarred"
works cp -r "$mnt" "$tmp/copied"
works diff -r "$mnt" "$tmp/copied"
works grep -rq virtiofs .
works du -a .
works hexdump -C devices/0/mmio/raw
matches "hexdump" '^00000000  f0 de bc 9a 78 56 34 12' "$(cat "$tmp/out")"
works find . -type f -size +0
works wc -c $backing/host_path
works stat -f .

cd "$tmp"
cp "$snap" "$tmp/snap2"
mkdir "$tmp/mnt2"
mounted=$(reader mounted "$snap" "$mnt" 2>&1) && fail "ram was written, yet the mount equals the snapshot"
matches "what differs" 'mnt/ram' "$mounted"
unmount
mount_snap "$snap"
checks=$((checks + $(reader mounted "$snap" "$mnt")))
first=$daemon
mnt=$tmp/mnt2 mount_snap "$tmp/snap2"
works diff -r "$tmp/mnt" "$tmp/mnt2"
mnt=$tmp/mnt2 unmount
daemon=$first
unmount

say "# rm -rf of a folder with a mount in it"
mkdir -p "$tmp/folder/mnt"
whole=$(sum "$snap")
mnt=$tmp/folder/mnt mount_snap "$snap"
expect_errno EPERM rm -rf "$tmp/folder"
same "the snapshot" "$whole" "$(sum "$snap")"
checks=$((checks + $(reader mounted "$snap" "$tmp/folder/mnt")))
mnt=$tmp/folder/mnt unmount

say "# each layout"
# header_number OFFSET: 64 bits of the snapshot's header.
header_number() { od -An -v -td8 -j "$1" -N 8 "$snap" | xargs; }
# ram_at OFFSET: RAM is there and nowhere else, and what is before it is the head and zeros.
ram_at() {
	local -A found
	local end name number
	while read -r name number; do found[$name]=$number; done < <(reader dump-region "$snap")
	end=$((found[container_offset] + found[container_len]))
	same "where RAM is" "$1" "${found[ram_offset]}"
	[ "$layout" = bare ] || same "layout/ram_offset" "$1" "$(cat layout/ram_offset)"
	case $layout in
	kvm) same "ram_offset in the header" "$1" "$(header_number 8)" ;;
	hvf) same "ram_offset in the header" "$1" "$(header_number 24)" ;;
	esac
	same "the file's size" $(($1 + 1048576)) "$(stat -c %s "$snap")"
	same "RAM in the file" "$guest" "${found[ram_sha256]}"
	same "RAM that is shown" "$guest" "$(sum ram)"
	same "bytes between container and RAM" 0 \
		"$(dd if="$snap" bs=64K iflag=skip_bytes,count_bytes skip=$end count=$(($1 - end)) status=none | tr -d '\0' | wc -c)"
}
for case in kvm:rw kvm:replace hvf:rw hvf:replace bare:rw; do
	layout=${case%:*}
	sample "$snap" 1048576 "$layout"
	mount_snap -o ${case#*:} "$snap"
	cd "$mnt"
	guest=$(sum ram)
	value layout/format "$layout"
	case $layout in
	kvm) names="format ram_offset" first=4096 ;;
	hvf) names="format ram_gpa ram_offset version" first=16384 ;;
	bare) names="format" first=4096 ;;
	esac
	same "names in layout" "$names" "$(cd layout && echo *)"
	ram_at "$first"
	# Where a path outgrows the room, RAM moves to the next multiple of 64 KiB; it stays
	# where the next one fits, or a shorter one.
	for form in 20000:65536 30000:65536 65536:131072 1:131072; do
		head -c ${form%:*} "$tmp/longest" >"$tmp/path"
		works cp "$tmp/path" $path
		ram_at ${form#*:}
		same "the path" "$(cat "$tmp/path")" "$(cat $path)"
	done
	if [ "$layout" = hvf ]; then
		value layout/version 11
		value layout/ram_gpa 0x80000000
		for refused in ERANGE:0x10000000000000000 EINVAL:far EINVAL:none; do
			kept ${refused%:*} layout/ram_gpa put ${refused#*:} layout/ram_gpa
		done
		works bash -c 'echo 1073741824 >layout/ram_gpa'
		value layout/ram_gpa 0x40000000
		same "ram_gpa in the header" $((1 << 30)) "$(header_number 16)"
		works sed -i s/4/5/ layout/ram_gpa
		same "ram_gpa in the header" $((0x50000000)) "$(header_number 16)"
		same "version in the header" 11 "$(header_number 8)"
		for file in layout/format layout/version layout/ram_offset; do
			kept EACCES $file put 1 $file
			same "mode of $file" 400 "$(stat -c %a $file)"
		done
		same "mode of ram_gpa" 600 "$(stat -c %a layout/ram_gpa)"
	fi
	whole=$(sum "$snap")
	expect_errno EPERM rm -rf "$mnt"
	same "the snapshot after rm -rf" "$whole" "$(sum "$snap")"
	cd "$tmp"
	checks=$((checks + $(reader mounted "$snap" "$mnt")))
	unmount
	same "the snapshot after it was unmounted" "$whole" "$(sum "$snap")"
	mount_snap -o ro "$snap"
	checks=$((checks + $(reader mounted "$snap" "$mnt" fields ram)))
	unmount
done

say "# a write to ram that the limit cuts short"
sample "$snap"
mount_snap -o scratch,ram_limit=64K "$snap"
works "$python" - "$mnt/ram" <<'PY'
import errno, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
old = os.pread(fd, 1 << 17, 0)
new = b"x" * (1 << 17)
n = os.pwrite(fd, new, 10)
assert n == 65536 - 10, "%d bytes were written" % n
assert os.pread(fd, 1 << 17, 0) == old[:10] + new[:n] + old[65536:]
try:
    os.pwrite(fd, new[n:], 65536)
    raise SystemExit("more was written than the limit lets")
except OSError as e:
    assert e.errno == errno.ENOSPC
# What a mapping stores is stored or an error: nobody is told of a count.
with mmap.mmap(fd, 1 << 17) as m:
    m[65536 - 4096:65536 + 4096] = b"y" * 8192
    try:
        m.flush()
        raise SystemExit("a store that is lost was flushed")
    except OSError:
        pass
PY
unmount

say "# a save that fails"
sample "$snap"
mount_snap "$snap"
cd "$mnt"
works env PYTHONPATH="$tests" "$python" -B - "$snap" <<'PY'
import os, sys
from mounted import expect
old = open("vcpu/0/raw", "rb").read()
def change():
    """The snapshot's first byte, by another program; again, and it is what it was."""
    with open(sys.argv[1], "r+b", buffering=0) as f:
        byte = f.read(1)[0]
        os.pwrite(f.fileno(), bytes([byte ^ 1]), 0)
fails = works = change
def writers():
    fds = [os.open("vcpu/0/raw", os.O_WRONLY) for _ in range(3)]
    os.pwrite(fds[0], b"AAAA", 0)
    os.pwrite(fds[1], b"BBBB", 4)
    return fds
def content(want): assert open("vcpu/0/raw", "rb").read() == want, "it shows something else"

a, b, c = writers()
fails()
expect("the one whose save fails", "ESTALE", os.close, a)
content(old)
expect("another whose bytes that save had", "ESTALE", os.close, b)
expect("who wrote nothing", "OK", os.close, c)
works()

a, b, c = writers()
fails()
expect("fsync", "ESTALE", os.fsync, a)
works()
# What was lost is not made good by what is written after it.
os.pwrite(b, b"b", 1)
os.pwrite(c, b"c", 2)
os.pwrite(a, b"a", 0)
expect("who was told, and wrote again", "OK", os.close, a)
content(b"abc" + old[3:])
expect("who was not told", "ESTALE", os.close, b)
expect("who wrote only after it", "OK", os.close, c)

old = b"abc" + old[3:]
a, b, c = writers()
fails()
expect("truncate", "ESTALE", os.truncate, "vcpu/0/raw", 6)
works()
content(old)
expect("whose bytes were truncated", "ESTALE", os.close, a)
expect("fsync", "ESTALE", os.fsync, b)
expect("who was told", "OK", os.close, b)
os.close(c)

a, b, c = writers()
expect("a save that does not fail", "OK", os.close, a)
expect("whose bytes that save had", "OK", os.close, b)
os.close(c)
content(b"AAAABBBB" + old[8:])

old = b"AAAABBBB" + old[8:]
a, b, c = writers()
expect("a save that does not fail", "OK", os.close, a)
os.pwrite(c, b"C", 0)
fails()
expect("one that does", "ESTALE", os.close, c)
expect("who wrote before, which is saved", "OK", os.close, b)
works()
content(old)
PY
cd "$tmp"
unmount
finish 2000
