#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The Debian package: built twice to the same bytes, lintian has nothing to say, and installed,
# used, removed and purged in a throw-away root: this machine's, with all changes in memory.

. "$(dirname "$0")/lib.sh"
require fuse
require root
require cmd chroot dh dpkg-buildpackage lintian man setpriv unshare
if [ -z "${SMFS_OWN_MOUNTS:-}" ]; then
	rm -rf "$tmp"
	SMFS_OWN_MOUNTS=1 exec unshare -m bash "$0"
fi
program=smsnap

say "# twice, of a tree and of what it packs, by another user's habits, elsewhere: the same bytes"
# Its tests run as tests.
export DEB_BUILD_OPTIONS=nocheck
works "$top/scripts/deb" "$tmp/one"
mkdir "$tmp/unpacked"
tar -C "$tmp/unpacked" --strip-components=1 -xf "$tmp"/one/smfs-*.tar.xz
cd "$tmp/unpacked"
touch -d tomorrow README.md
(
	umask 027
	export TZ=Asia/Tokyo LC_ALL=C.UTF-8
	works scripts/deb two
)
cd "$tmp"
for file in one/*.deb one/*.tar.xz one/*.dsc; do
	works cmp "$file" "unpacked/two/${file#one/}"
done
deb=$(echo one/smfs_*.deb)
same "packages" 1 "$(echo "$deb" | wc -w)"

say "# a root to throw away"
mkdir above root
mount -t tmpfs none above
mkdir above/upper above/work
mount -t overlay none -o "lowerdir=/,upperdir=$tmp/above/upper,workdir=$tmp/above/work" root 2>err ||
	lacking "an overlay on /"
for folder in /proc /dev; do
	mount --rbind "$folder" "root$folder"
done
# What programs note of mounts is no part of a machine that is switched off.
mount -t tmpfs none root/run
cp "$deb" root/smfs.deb
inside() { chroot root "$@"; }
# What there is of packages, and what has been changed but for what every installation writes.
packages() { inside dpkg-query -W -f '${Package} ${Version} ${Status}\n'; }
changed() {
	(cd above/upper && find . ! -type d ! -path './var/lib/dpkg/*' ! -path './var/log/*' ! -path './var/cache/*' ! -path ./etc/ld.so.cache) | sort
}
# An own build that somebody installed is not what is tested.
rm -f root/usr/local/bin/smfs root/usr/local/bin/smsnap
inside dpkg --purge smfs >/dev/null 2>&1
packages >before
changed >changed.before

say "# installed"
works inside dpkg -i smfs.deb
same "status" "install ok installed" "$(inside dpkg-query -W -f '${Status}' smfs)"
works inside dpkg --verify smfs
for file in /usr/bin/smfs /usr/bin/smsnap /sbin/umount.fuse.smfs \
	/usr/share/bash-completion/completions/smfs /usr/share/bash-completion/completions/smsnap; do
	[ -s "root$file" ] || fail "$file is not there"
done
for page in 1/smfs 1/smsnap 8/umount.fuse.smfs; do
	works inside man -w "${page%/*}" "${page#*/}"
	matches "man ${page#*/}" "(SYNOPSIS|Synopsis)" "$(inside man -P cat "${page%/*}" "${page#*/}" 2>&1)"
done
works inside bash -c '. /usr/share/bash-completion/completions/smsnap && complete -p smsnap'

say "# used"
mkdir root/mnt/smfs
sample root/mnt/snap
inside smfs -o save=sync /mnt/snap /mnt/smfs </dev/null
same "num_cpus" "$(reader get root/mnt/snap num_cpus)" "$(inside cat /mnt/smfs/num_cpus)"
inside sh -c 'echo 9 >/mnt/smfs/num_cpus'
# umount finds the package's helper, which waits until all is saved.
works inside umount /mnt/smfs
same "num_cpus" 9 "$(reader get root/mnt/snap num_cpus)"
works inside smsnap set /mnt/snap num_cpus=7
same "smsnap get" 7 "$(inside smsnap get /mnt/snap num_cpus)"
rm root/mnt/snap
rmdir root/mnt/smfs

say "# removed and purged: the machine is as before"
works inside dpkg --remove smfs
[ ! -e root/usr/bin/smfs ] && [ ! -e root/sbin/umount.fuse.smfs ] || fail "removed, and still there"
works inside dpkg --purge smfs
packages >after
works cmp before after
changed >changed.after
same "files left behind" "" "$(diff changed.before changed.after)"
finish 25
