#!/bin/bash
# SPDX-License-Identifier: MIT
# smsnap: its exit statuses, and the documents that it refuses.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require cmd xxd
program=smsnap

full=$tmp/full
sample "$full" none
"$SMSNAP" dump "$full" >"$tmp/full.json" || fail "smsnap dump: exit status $?"
checks=$((checks + $(reader json "$full" "$tmp/full.json")))

say "# usage"
for arguments in '' 'dump' 'build' 'unknown x' "dump $full $full" "build $tmp/full.json" \
	"build $tmp/full.json -o" "dump --no-such $full" "dump --ram" "fields x" "--no-such" "build $tmp/full.json -o $tmp/x --no-such"; do
	# shellcheck disable=SC2086
	expect_status 2 "$SMSNAP" $arguments
	one_line ''
	same "standard output" "" "$(cat "$tmp/out")"
done
expect_status 0 "$SMSNAP" -h
cp "$tmp/out" "$tmp/help"
expect_status 0 "$SMSNAP" --help
same "--help" "$(cat "$tmp/help")" "$(cat "$tmp/out")"
mapfile -t commands < <(sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' "$tmp/help")
same "commands in the help" "${#commands[@]}" "$(printf '%s\n' "${commands[@]}" | sort -u | wc -l)"
matches "-h" ' build .*dump .*fields ' " ${commands[*]} "

# Each command's help fits a screen, and the manual page has the command and its options.
fits() { awk 'length > 80 { wide = 1 } END { exit wide || NR > 24 }' "$1"; }
# section COMMAND: what the manual page says of it.
section() {
	sed -n "/^\\.Ss $1\$/,/^\\.S[sh]/p" "$top/docs/smsnap.1"
}
# shellcheck source=../completions/smsnap.bash
. "$top/completions/smsnap.bash"
# completed WORD...: what the last word can be.
completed() {
	COMP_WORDS=("$SMSNAP" "$@")
	COMP_CWORD=$#
	_smsnap "$SMSNAP"
	echo "${COMPREPLY[*]}"
}
works fits "$tmp/help"
same "completion of nothing" "${commands[*]} --help --version" "$(completed '')"
for command in "${commands[@]}"; do
	expect_status 0 "$SMSNAP" "$command" --help
	cp "$tmp/out" "$tmp/help"
	works fits "$tmp/help"
	matches "$command --help" "^Usage: smsnap $command" "$(cat "$tmp/help")"
	mapfile -t options < <(sed -n 's/^  .*--\([a-z-]*\).*/\1/p' "$tmp/help")
	for option in "${options[@]}"; do
		[ "$option" = help ] || matches "--$option of $command in the manual page" "Fl -$option" \
			"$(section "$command")"
	done
	same "completion of $command" "$(printf -- '--%s ' "${options[@]}")" "$(completed "$command" --) "
	matches "the manual page's synopsis" "smsnap:$command:" \
		":$(awk '/^\.Nm smsnap/ { getline; print "smsnap:" $2 }' "$top/docs/smsnap.1" | tr '\n' ':')"
done
expect_status 0 "$SMSNAP" -V
matches "-V" '[0-9]' "$(cat "$tmp/out")"

say "# snapshots that are wrong"
expect_status 1 "$SMSNAP" dump "$tmp/missing"
one_line "$tmp/missing.*No such file"
mkdir "$tmp/nothing"
expect_status 1 "$SMSNAP" dump "$tmp/nothing"
one_line "$tmp/nothing: a folder without a snapshot"
: >"$tmp/empty"
expect_status 1 "$SMSNAP" dump "$tmp/empty"
one_line "$tmp/empty"
# Strict prefixes: the line says how many bytes are left, from where.
size=$(stat -c %s "$full")
for ((n = 1; n < size; n += 13)); do
	head -c "$n" "$full" >"$tmp/prefix"
	expect_status 1 "$SMSNAP" dump "$tmp/prefix"
	same "standard output" "" "$(cat "$tmp/out")"
	[[ $(cat "$tmp/err") =~ ^smsnap:\ .*$tmp/prefix:\ not\ a\ snapshot\ .*:\ [a-z0-9_/]+:\ offset\ (0x[0-9a-f]+):\ needs\ ([0-9]+)\ bytes?,\ ([0-9]+)\ left\;\ was\ it\ copied\ whole\?$ ]] ||
		fail "$n bytes: $(cat "$tmp/err")"
	same "offset and what is left of $n bytes" "$n" $((BASH_REMATCH[1] + BASH_REMATCH[3]))
done

say "# dump and build"
for ((seed = 1; seed <= 25; seed++)); do
	snap=$tmp/random
	reader random $seed "$snap"
	works "$SMSNAP" dump "$snap"
	cp "$tmp/out" "$tmp/json"
	works reader json "$snap" "$tmp/json"
	ram=()
	ram_offset=$(region ram_offset)
	if [ "$ram_offset" != none ]; then
		reader ram "$snap" "$tmp/ram"
		ram=(--ram "$tmp/ram")
	fi
	"$SMSNAP" build - -o "$tmp/again" "${ram[@]}" <"$tmp/json" || fail "seed $seed: exit status $?"
	works cmp "$snap" "$tmp/again"
	works "$SMSNAP" build "$tmp/json" -o "$tmp/again" "${ram[@]}"
	works cmp "$snap" "$tmp/again"
done

say "# dump into a file"
for mask in 0 0777; do
	rm -f "$tmp/dumped"
	(umask $mask && works "$SMSNAP" dump "$full" -o "$tmp/dumped") || exit 1
	works cmp "$tmp/full.json" "$tmp/dumped"
	same "its mode" 600 "$(stat -c %a "$tmp/dumped")"
done
chmod 644 "$tmp/dumped"
works "$SMSNAP" dump "$full" --output "$tmp/dumped"
same "printed as well" "" "$(cat "$tmp/out")"
same "mode of one that was there" 600 "$(stat -c %a "$tmp/dumped")"
cp "$full" "$tmp/itself"
ln -s itself "$tmp/itself.link"
for name in itself itself.link; do
	expect_status 1 "$SMSNAP" dump "$tmp/itself" -o "$tmp/$name"
	one_line "$tmp/$name: is the snapshot itself"
done
works cmp "$full" "$tmp/itself"
sample "$tmp/bare" 4096 bare
head -c 4096 /dev/urandom >"$tmp/ram"
expect_status 1 "$SMSNAP" dump "$tmp/bare" --ram "$tmp/ram" -o "$tmp/ram"
one_line "$tmp/ram: is the snapshot itself"
expect_status 1 "$SMSNAP" dump "$full" -o "$tmp/no/such/folder"
one_line "$tmp/no/such/folder: .*$(strerror ENOENT)"
expect_status 1 "$SMSNAP" dump "$full" -o /dev/null
one_line "/dev/null: not a regular file"

say "# documents that are refused"
printf 'what was there' >"$tmp/output"

# refused PATTERN DOCUMENT: status 1, a line that matches, and the output as it was.
refused() {
	expect_status 1 "$SMSNAP" build "$2" -o "$tmp/output"
	one_line "$1"
	same "the output after a failure" 'what was there' "$(cat "$tmp/output")"
	same "files beside the output" 1 "$(find "$tmp" -name 'output*' | wc -l)"
}

# spoil PYTHON: full.json changed by a statement on its document, d.
spoil() {
	"$python" - "$tmp/full.json" "$tmp/wrong.json" "$1" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
before = json.dumps(d)
exec(sys.argv[3])
assert json.dumps(d) != before, "nothing changed"
json.dump(d, open(sys.argv[2], "w"))
PY
}

# wrong JSON-PATH PYTHON
wrong() {
	spoil "$2"
	local fixed=${1//./\\.}
	fixed=${fixed//[/\\[}
	fixed=${fixed//]/\\]}
	refused "(^|[^a-z0-9_.])$fixed([^a-z0-9_.[]|\$)" "$tmp/wrong.json"
}

# refused_text PATH: the text itself is wrong, in the value of that path: the byte is told as well.
refused_text() {
	refused "wrong\.json: $1: byte [0-9]+: " "$tmp/wrong.json"
}
wrong_text() {
	spoil "$2"
	refused_text "$1"
}

wrong num_cpus 'd["num_cpus"] = 256'
wrong num_cpus 'd["num_cpus"] = -1'
wrong num_cpus 'd["num_cpus"] = 1.5'
wrong num_cpus 'd["num_cpus"] = 1.0'
wrong num_cpus 'd["num_cpus"] = 1e3'
wrong num_cpus 'd["num_cpus"] = "4"'
wrong num_cpus 'd["num_cpus"] = "0x4"'
wrong num_cpus 'd["num_cpus"] = None'
wrong num_cpus 'd["num_cpus"] = True'
wrong num_cpus 'd["num_cpus"] = [4]'
wrong num_cpus 'd["num_cpus"] = {}'
wrong num_cpus 'del d["num_cpus"]'
wrong_text clock_ref 'd["clock_ref"] = 1 << 64'
wrong mem_size 'del d["mem_size"]'
wrong com1 'd["com1"] = "010203040506"'
wrong com1.lcr 'd["com1"]["lcr"] = 2'
wrong com1.lcr 'd["com1"]["lcr"] = "0x100"'
wrong com1.dlm 'del d["com1"]["dlm"]'
wrong intc 'd["intc"] = "00"'
wrong intc.raw 'd["intc"]["raw"] = "0"'
wrong intc.raw 'd["intc"]["raw"] = None'
wrong intc.raw 'd["intc"]["raw"] = " 00"'
wrong intc.raw 'd["intc"]["raw"] = "AB"'
wrong 'vcpu[2]' 'd["vcpu"][2] = 5'
wrong 'vcpu[3].raw' 'd["vcpu"][3]["raw"] = "xy"'
wrong vcpu 'd["vcpu"] = {}'
wrong devices 'd["devices"] = None'
wrong 'devices[1]' 'd["devices"][1] = []'
wrong 'devices[0].kind' 'd["devices"][0]["kind"] = "disk"'
wrong 'devices[0].kind' 'd["devices"][0]["kind"] = 0'
wrong 'devices[0].kind' 'del d["devices"][0]["kind"]'
wrong 'devices[0].mmio' 'del d["devices"][0]["mmio"]'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = 15'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "15"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0x"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0x1G"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0xF"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0XF"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0x0f"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = " 0xf"'
wrong 'devices[0].mmio.status' 'd["devices"][0]["mmio"]["status"] = "0x100000000"'
wrong 'devices[0].mmio.driver_features' 'd["devices"][0]["mmio"]["driver_features"] = "0x10000000000000000"'
wrong 'devices[0].mmio.queues[1].ready' 'd["devices"][0]["mmio"]["queues"][1]["ready"] = 2'
wrong 'devices[0].mmio.queues[1].ready' 'd["devices"][0]["mmio"]["queues"][1]["ready"] = False'
wrong 'devices[0].mmio.queues[1].size' 'd["devices"][0]["mmio"]["queues"][1]["size"] = 65536'
wrong 'devices[3].mmio.queues[0].used_ring' 'del d["devices"][3]["mmio"]["queues"][0]["used_ring"]'
wrong 'devices[0].backing.type' 'd["devices"][0]["backing"]["type"] = "blk"'
wrong 'devices[0].backing.type' 'del d["devices"][0]["backing"]["type"]'
wrong 'devices[0].backing.path' 'd["devices"][0]["backing"]["path"] = 1'
wrong 'devices[0].backing.path' 'd["devices"][0]["backing"]["path"] = "a" * 65537'
wrong_text 'devices\[0\]\.backing\.path' 'd["devices"][0]["backing"]["path"] = "\ud800"'
wrong_text 'devices\[0\]\.backing\.path' 'd["devices"][0]["backing"]["path"] = "\udc00\ud800"'
wrong 'devices[0].backing.size' 'd["devices"][0]["backing"]["size"] = "4K"'
wrong 'devices[3].backing.dax_gpa' 'd["devices"][3]["backing"]["dax_gpa"] = 0'
wrong 'devices[3].backing.dax_state' 'd["devices"][3]["backing"]["dax_state"] = "00"'
wrong 'devices[3].backing.dax_state.raw' 'd["devices"][3]["backing"]["dax_state"]["raw"] = "0" * 33'
wrong tsi_token 'd["tsi_token"] = "5a" * 31'
wrong tsi_token 'd["tsi_token"] = ""'
wrong tsi_token 'del d["tsi_token"]'
wrong 'listeners[0].cid' 'd["listeners"][0]["cid"] = -5'
wrong 'listeners[1].family' 'd["listeners"][1]["family"] = 65536'
wrong 'listeners[2].inet_port' 'd["listeners"][2]["inet_port"] = 65536'
wrong 'listeners[2].inet_port' 'd["listeners"][2]["inet_port"] = "80"'
wrong 'listeners[1].inet_port' 'del d["listeners"][1]["inet_port"]'
wrong layout 'del d["layout"]'
wrong layout 'd["layout"] = "bare"'
wrong layout.format 'del d["layout"]["format"]'
wrong layout.format 'd["layout"]["format"] = "qcow2"'
wrong layout.format 'd["layout"]["format"] = 7'
wrong layout.format 'd["layout"]["format"] = "bare\0"'
wrong layout.container_offset 'd["layout"]["container_offset"] = "x"'
wrong layout.container_offset 'd["layout"]["container_offset"] = None'
wrong layout.container_offset 'd["layout"]["container_offset"] = -1'
wrong layout.container_offset 'del d["layout"]["container_offset"]'
wrong layout.ram_offset 'd["layout"]["ram_offset"] = True'
wrong layout.ram_offset 'd["layout"]["ram_offset"] = 1 << 63'
wrong layout.ram_offset 'd["layout"] = {"format": "kvm"}'
wrong layout.ram_offset 'd["layout"] = {"format": "kvm", "ram_offset": "0x1000"}'
wrong layout.ram_offset 'd["layout"] = {"format": "kvm", "ram_offset": None}'
wrong layout.ram_offset 'd["layout"] = {"format": "kvm", "ram_offset": 1 << 63}'
wrong mem_size 'd["layout"] = {"format": "kvm", "ram_offset": 8192}; d["mem_size"] = 1 << 63'
wrong layout.version 'd["layout"] = {"format": "hvf", "version": 12, "ram_gpa": "0x0", "ram_offset": 0}'
wrong layout.ram_gpa 'd["layout"] = {"format": "hvf", "version": 11, "ram_gpa": 0, "ram_offset": 0}'

# The fields of another variant are not those of this one.
wrong 'devices[0].backing.mount' 'd["devices"][0]["backing"]["type"] = "volume"'

# An unknown key: it is named, and where it is.
unknown() {
	"$python" - "$tmp/full.json" "$tmp/wrong.json" "$1" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
eval("d" + sys.argv[3])["bogus"] = 1
json.dump(d, open(sys.argv[2], "w"))
PY
	refused "$2.*bogus" "$tmp/wrong.json"
}
unknown '' ''
unknown '["layout"]' 'layout'
unknown '["intc"]' 'intc'
unknown '["devices"][0]' 'devices\[0\]'
unknown '["devices"][1]["mmio"]["queues"][2]' 'devices\[1\]\.mmio\.queues\[2\]'
unknown '["devices"][1]["backing"]' 'devices\[1\]\.backing'
unknown '["listeners"][2]' 'listeners\[2\]'

say "# what is not JSON, or not this"
# text PATTERN TEXT
text() {
	printf '%b' "$2" >"$tmp/wrong.json"
	refused "$1" "$tmp/wrong.json"
}
for text in '' ' ' 'x' '{' '[' '[]' 'null' '1' '"a"' '{"num_cpus"' '{"num_cpus":}' '{"num_cpus":1,}' "{'a':1}"; do
	text '' "$text"
done
"$python" -c 'print("[" * 200000)' >"$tmp/wrong.json"
refused '' "$tmp/wrong.json"
{ cat "$tmp/full.json"; echo x; } >"$tmp/wrong.json"
refused '' "$tmp/wrong.json"
{ cat "$tmp/full.json" "$tmp/full.json"; } >"$tmp/wrong.json"
refused '' "$tmp/wrong.json"
head -c -3 "$tmp/full.json" >"$tmp/wrong.json"
refused '' "$tmp/wrong.json"
edit() {
	sed "$1" "$tmp/full.json" >"$tmp/wrong.json"
	! cmp -s "$tmp/full.json" "$tmp/wrong.json" || fail "sed $1 changed nothing"
}
# edited NAME SED-SCRIPT: full.json changed as text, in the value of a member.
edited() {
	edit "$2"
	refused_text "$1"
}
edited num_cpus 's/"num_cpus": *4/"num_cpus": 4, "num_cpus": 4/'
edited num_cpus 's/"num_cpus": *4/"num_cpus": 04/'
edited num_cpus 's/"num_cpus": *4/"num_cpus": +4/'
edited num_cpus 's/"num_cpus": *4/"num_cpus": -0/'
edited num_cpus 's/"num_cpus": *4/"num_cpus": 99999999999999999999999/'
edited 'devices\[0\]\.backing\.path' 's|/var/lib/sm/root.img|\xff|'
edited 'devices\[0\]\.backing\.path' 's|/var/lib/sm/root.img|\xc0\xaf|'
edited 'devices\[0\]\.backing\.path' 's|/var/lib/sm/root.img|\\q|'
edited 'devices\[0\]\.backing\.path' 's|/var/lib/sm/root.img|\\u12|'
edited 'devices\[0\]\.backing\.path' 's|/var/lib/sm/root.img|\x01|'

say "# files"
expect_status 1 "$SMSNAP" build "$tmp/missing" -o "$tmp/output"
one_line "$tmp/missing.*No such file"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/no/such/folder"
one_line "$tmp/no/such/folder"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/output" --ram "$tmp/missing"
one_line "$tmp/missing"
head -c 4096 /dev/zero >"$tmp/ram"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/output" --ram "$tmp/ram"
one_line ''
same "the output after a failure" 'what was there' "$(cat "$tmp/output")"

mkdir "$tmp/folder"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/folder"
one_line "$tmp/folder: "
mkfifo "$tmp/fifo"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/fifo"
one_line "$tmp/fifo: not a regular file"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/$(printf '%0250d' 0)"
one_line "$(strerror ENAMETOOLONG)"
ln -s loop "$tmp/loop"
expect_status 1 "$SMSNAP" build "$tmp/full.json" -o "$tmp/loop"
one_line "$(strerror ELOOP)"
# A snapshot that is in use is not replaced.
sample "$tmp/used" 4096
cp "$tmp/used" "$tmp/used.before"
flock -s "$tmp/used" "$SMSNAP" build "$tmp/full.json" -o "$tmp/used" 2>"$tmp/err" && fail "replaced"
one_line "locked by flock \\(process [0-9]+\\), which is no mount"
works cmp "$tmp/used" "$tmp/used.before"
# What a link leads to is replaced, not the link.
ln -s used "$tmp/link"
chmod 640 "$tmp/used"
works "$SMSNAP" build "$tmp/full.json" -o "$tmp/link"
same "the link" used "$(readlink "$tmp/link")"
works cmp "$full" "$tmp/used"
same "its mode" 600 "$(stat -c %a "$tmp/used")"
# The current folder, and a disk that is full.
(cd "$tmp" && works "$SMSNAP" build full.json -o here) || exit 1
works cmp "$full" "$tmp/here"
if [ "$(id -u)" = 0 ]; then
	mkdir "$tmp/small"
	mount -t tmpfs -o size=16k none "$tmp/small"
	head -c 100000 /dev/urandom >"$tmp/ram"
	jq '.mem_size = 100000 | .layout.ram_offset = 8192' "$tmp/full.json" >"$tmp/right.json"
	expect_status 1 "$SMSNAP" build "$tmp/right.json" -o "$tmp/small/snap" --ram "$tmp/ram"
	one_line "$(strerror ENOSPC)"
	same "files on the full disk" "" "$(ls -A "$tmp/small")"
	umount "$tmp/small"
fi

# The longest string that there can be is accepted.
"$python" - "$tmp/full.json" "$tmp/right.json" <<'PY'
import json, sys
d = json.load(open(sys.argv[1]))
d["devices"][0]["backing"]["path"] = "é" * 32768
json.dump(d, open(sys.argv[2], "w"))
PY
works "$SMSNAP" build "$tmp/right.json" -o "$tmp/output"
same "longest string" 65537 "$(reader get "$tmp/output" devices/0/backing/path | wc -c)"

say "# RAM, and where it is"
# built PYTHON [OPTION]...: the document d of $snap, changed, as a snapshot.
built() {
	# Not by jq, which rounds large numbers.
	"$SMSNAP" dump "$snap" | "$python" -c 'import json, sys
d = json.load(sys.stdin)
exec(sys.argv[1])
json.dump(d, sys.stdout)' "$1" >"$tmp/json"
	rm -f "$tmp/built"
	works "$SMSNAP" build "$tmp/json" -o "$tmp/built" "${@:2}"
	same "the mode" 600 "$(stat -c %a "$tmp/built")"
}
at() { snap=$tmp/built region ram_offset; }
for layout in kvm:4096 hvf:16384 bare:4096; do
	snap=$tmp/${layout%:*} step=${layout#*:}
	sample "$snap" 40960 "${layout%:*}"
	reader ram "$snap" "$tmp/ram"
	built pass --ram "$tmp/ram"
	works cmp "$snap" "$tmp/built"
	built pass
	same "RAM's size without --ram" $(($(region ram_offset) + 40960)) "$(stat -c %s "$tmp/built")"
	same "RAM without --ram" "$(head -c 40960 /dev/zero | sha256sum | cut -d' ' -f1)" "$(snap=$tmp/built region ram_sha256)"
	same "what is stored of it" 1 $(($(stat -c %b "$tmp/built") * 512 <= step))
	built 'd["layout"]["ram_offset"] = 131072' --ram "$tmp/ram"
	same "RAM where the document says" 131072 "$(at)"
	built 'd["layout"]["ram_offset"] = 5' --ram "$tmp/ram"
	same "RAM at the next place" "$step" "$(at)"
	built 'd["devices"][0]["backing"]["path"] = "x" * 20000' --ram "$tmp/ram"
	end=$(($(snap=$tmp/built region container_offset) + $(snap=$tmp/built region container_len)))
	same "RAM after a long path" $(((end + step - 1) / step * step)) "$(at)"
	same "RAM" "$(sum "$tmp/ram")" "$(snap=$tmp/built region ram_sha256)"
done
snap=$tmp/bare
built 'd["layout"]["ram_offset"] = 65537' --ram "$tmp/ram"
same "RAM of a bare file, which is at any byte" 65537 "$(at)"
built 'd["layout"]["ram_offset"] = None' --ram "$tmp/ram"
same "RAM of a bare file that had none" "4096 $(sum "$tmp/ram")" "$(at) $(snap=$tmp/built region ram_sha256)"
built 'd["layout"]["ram_offset"] = None'
same "RAM of a bare file without any" none "$(at)"
for mask in 0 0777; do
	(umask $mask && snap=$tmp/kvm built pass) || exit 1
done
snap=$tmp/kvm built 'd["listeners"][0]["inet_port"] = d["tsi_token"] = None' --ram "$tmp/ram"
same "inet_port" none "$(reader get "$tmp/built" listeners/0/inet_port)"
same "tsi_token" "" "$(reader get "$tmp/built" tsi_token)"

rm "$tmp/output"
works "$SMSNAP" build "$tmp/full.json" -o "$tmp/output"
works cmp "$full" "$tmp/output"

say "# output that cannot be written"
# redirected STATUS REDIRECTION argument...
redirected() {
	expect_status "$1" sh -c 'exec "$@" '"$2" - "$SMSNAP" "${@:3}"
}
for arguments in "dump $full" -h -V; do
	# shellcheck disable=SC2086
	redirected 1 '>/dev/full' $arguments
	one_line "standard output: $(strerror ENOSPC)"
	# shellcheck disable=SC2086
	redirected 1 '>&-' $arguments
	one_line "standard output: $(strerror EBADF)"
done

say "# standard descriptors that are closed"
redirected 1 '<&-' build - -o "$tmp/output"
one_line "$(strerror EBADF)"
for redirection in '<&-' '>&-' '2>&-' '<&- >&- 2>&-'; do
	rm "$tmp/output"
	redirected 0 "$redirection" build "$tmp/full.json" -o "$tmp/output"
	works cmp "$full" "$tmp/output"
	redirected 1 "$redirection" build "$tmp/wrong.json" -o "$tmp/output"
	works cmp "$full" "$tmp/output"
done
finish 600
