# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Shared by demo and test: the Debian packages, and the build.
# Source it from the top folder of the tree.

# shellcheck disable=SC2034 # for whoever sources this
build_packages=(autoconf automake pkg-config gcc libc6-dev make libfuse3-dev fuse3 check
	libjson-c-dev libpng-dev libunistring-dev)

complain() { printf '%s: %s\n' "$0" "$*" >&2; }

die() {
	complain "$@"
	exit 1
}

# install_missing PACKAGE...: installs those that are not there.  Asks no network
# and needs no root where all are.  Says why and fails where it cannot install.
install_missing() {
	local package status missing=()

	if ! command -v dpkg-query apt-get >/dev/null; then
		complain "not Debian, so nothing is installed; needed: $*"
		return
	fi
	for package; do
		# shellcheck disable=SC2016 # a dpkg-query format, not a variable
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || true
		[[ $status == installed ]] || missing+=("$package")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0

	if [[ $(id -u) -ne 0 ]]; then
		complain "packages are missing; as root: apt-get install ${missing[*]}"
		return 1
	fi
	echo "installing: ${missing[*]}"
	# Old package lists name files that are gone: only then fetch new ones.
	apt_install "${missing[@]}" >/dev/null 2>&1 ||
		{ apt_update && apt_install "${missing[@]}" >/dev/null; } ||
		{ complain "cannot install: ${missing[*]}" && return 1; }
}

# Another program may be installing: apt waits for that, ten minutes.
apt_waiting() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@" </dev/null; }

apt_install() { apt_waiting -y --no-install-recommends install "$@"; }

# For the lock of the package lists apt itself does not wait.
apt_update() {
	local tries said

	for ((tries = 0; tries < 120; tries++)); do
		said=$(apt_waiting update 2>&1) && return
		[[ $said == *[Ll]ock* ]] || break
		sleep 5
	done
	complain "apt-get update: $said"
	return 1
}

# configure_tree [OPTION...]: makes ./configure where needed, and a Makefile that was
# configured with each OPTION.  Sets $build to the folder of the build.
configure_tree() {
	local option configured lacking=

	# A tree that was configured by hand cannot serve another build folder.
	build=build
	[[ ! -e config.status ]] || build=.

	[[ -x configure ]] || autoreconf -i || return
	mkdir -p "$build"
	if [[ -e $build/Makefile ]]; then
		configured=$("$build/config.status" --config)
		for option; do
			[[ $configured == *"$option"* ]] || lacking=$option
		done
		[[ -n $lacking ]] || return 0
	fi
	if [[ $build == . ]]; then
		./configure "$@"
	else
		(cd "$build" && ../configure "$@")
	fi
}
