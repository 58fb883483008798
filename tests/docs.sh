#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What is written of smfs is what smfs is: its help, manual page, completion and README name
# the options of src/options.c, all of them and no others.

. "$(dirname "$0")/lib.sh"

manual=$top/docs/smfs.1
# Of every FUSE file system: that they are left to it is written, and one or the other named.
fuse_options='allow_other allow_root auto_unmount fsname= max_read= noatime nodev noexec nosuid rw'

# The table's rows, a name each, with "=" where a value follows. Those of fstab are apart.
mapfile -t table < <(sed -n 's/^\t\(OPT\|OPT_NUMBER\|FUSE_OPT_KEY\)("\([a-z][^"%]*\).*/\2/p' \
	"$top/src/options.c" | grep -vx debug | sort -u)
mapfile -t ignored < <(sed -n 's/^\tIGNORE("\(.*\)"),/\1/p' "$top/src/options.c")
if [ ${#table[@]} -lt 18 ] || [ ${#ignored[@]} -lt 10 ]; then fail "the table of options is not found"; fi
own=()
for option in "${table[@]}"; do
	[[ " $fuse_options " == *" $option "* ]] || own+=("$option")
done

"$SMFS" --help >"$tmp/help"
mapfile -t in_help < <(grep -o '^  -o [^ ]*' "$tmp/help" | sed 's/^  -o //; s/,/\n/g' | sed 's/=[A-Z].*/=/' | sort -u)
# "ram=direct", and "save=sync": a word of its own, not any value.
mapfile -t in_manual < <(sed -n 's/^\.It Cm //p' "$manual" | sed 's/ , Cm /\n/g' |
	sed 's/ Ns = Ns Cm /=/; s/ Ns = Ns Ar .*/=/' | sort -u)
mapfile -t in_readme < <(sed -n '/^| mount option/,/^$/s/^| \(`[^|]*`\) |.*/\1/p' "$top/README.md" |
	grep -o '`[^`]*`' | tr -d '`' | sed 's/=[A-Z].*/=/' | sort -u)
# shellcheck source=../completions/smfs.bash
. "$top/completions/smfs.bash"
compopt() { :; }
# completed LINE: what its last word can be.
completed() (
	COMP_LINE=$1 COMP_POINT=${#1}
	set +Ee
	_smfs
	printf '%s\n' "${COMPREPLY[@]}"
)
mapfile -t in_completion < <(completed 'smfs -o ' | sort -u)

# named WHERE OPTION...: each of our own is among these, and each of these is an option.
named() {
	local where=$1 option
	shift
	for option in "${own[@]}"; do
		[[ " $* " == *" $option "* ]] || fail "$where does not have $option"
		checks=$((checks + 1))
	done
	for option; do
		[[ " ${table[*]} $fuse_options ram=direct " == *" $option "* ]] || fail "$where has $option, which there is not"
		checks=$((checks + 1))
	done
}
named "the help" "${in_help[@]}"
named "the manual page" "${in_manual[@]}"
named "the completion" "${in_completion[@]}"
named "the README" "${in_readme[@]}"

say "# options without -o"
for option in -f -d -h -V; do
	grep -q -- "^  $option" "$tmp/help" || fail "the help does not have $option"
	grep -qx -- ".It Fl ${option#-}" "$manual" || fail "the manual page does not have $option"
	[[ " $(completed 'smfs -' | xargs) " == *" $option "* ]] || fail "the completion does not have $option"
done

say "# they are taken for what is written"
# Of a program that only parses: a mount point that is not there ends it with 1, wrong usage with 2.
sample "$snap" 4096
value() {
	case $1 in
	save=sync | ram=direct) ;;
	output= | log= | ram= | base=) printf '%s' "$tmp/none/file" ;;
	umask=) printf 022 ;;
	*=) printf 4096 ;;
	esac
}
for option in "${table[@]}" "${ignored[@]}" x-systemd.automount; do
	expect_status 1 "$SMFS" -o "$option$(value "$option")" "$snap" "$tmp/none"
	one_line "$tmp/none"
done

say "# the line for fstab"
if [ "$(id -u)" = 0 ] && [ -x /sbin/mount.fuse3 ]; then
	for page in "$manual" "$top/README.md"; do
		line=$(grep '^/srv/vm.snap /mnt/vm fuse.smfs ' "$page")
		line=${line/#\/srv\/vm.snap/$snap}
		printf '%s\n' "${line/\/mnt\/vm/$mnt}" >"$tmp/fstab"
		chmod 711 "$tmp"
		# mount(8) has a path of its own, and this one need not be installed.
		sed -i "s, fuse.smfs , fuse.$(realpath "$SMFS") ," "$tmp/fstab"
		works mount -T "$tmp/fstab" "$mnt"
		is_mounted || fail "nothing is mounted"
		works setpriv --reuid=65534 --clear-groups cat "$mnt/num_cpus"
		daemon=$(pgrep -f -- " $mnt ") || daemon=$(pgrep -f -- " $mnt\$")
		is_child=
		unmount
	done
fi

say "# packages"
# shellcheck source=../scripts/lib.sh
. "$top/scripts/lib.sh"
same "packages in the README" "$(printf '%s\n' "${build_packages[@]}" python3 jq | sort)" \
	"$(sed -n '/^apt-get install/,/^autoreconf/p' "$top/README.md" | grep -v autoreconf | tr -d '\\' |
		sed 's/apt-get install//' | xargs -n 1 | sort)"
for command in configure make 'scripts/demo' 'scripts/test'; do
	grep -qF "$command" "$top/README.md" || fail "the README does not have $command"
done
for page in smfs.1 smsnap.1 umount.fuse.smfs.8; do
	if command -v mandoc >/dev/null; then works mandoc -T lint -W warning "$top/docs/$page"; fi
done
finish 150
