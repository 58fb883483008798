#!/bin/bash
# SPDX-License-Identifier: MIT
# The snapshot is truncated while /ram is being read: an error, and the daemon lives.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
require fuse
require cmd xxd

ram=$((64 << 20))
read_ram() { dd if="$mnt/ram" bs=128K iflag=nocache status=none; }
alive() { ! is_gone "$daemon" || fail "the daemon died: $(cat "$tmp/daemon.err")"; }

for case in kvm:rw hvf:ro bare:rw; do
	option=${case#*:}
	sample "$snap" $ram "${case%:*}"
	at=$(region ram_offset)
	mount_fg -o "$option" "$snap"

	# A reader goes round all the time; the file shrinks once it has begun. It
	# keeps nothing in the page cache, so each round asks the daemon again.
	rm -f "$tmp/stop"
	: >"$tmp/rounds"
	(
		trap - ERR EXIT
		set +e
		until [ -e "$tmp/stop" ]; do
			read_ram >/dev/null 2>&1
			echo >>"$tmp/rounds"
		done
	) &
	rounds=$!
	wait_until 20 test -s "$tmp/rounds" || fail "/ram cannot be read"
	read_ram >"$tmp/ram"
	truncate -s $((at + 4096)) "$snap"
	: >"$tmp/rounds"
	# Where the mount has a copy of RAM that does not depend on the snapshot
	# any more, it may go on; what is not there is an error, and never zeros.
	if read_ram >"$tmp/again" 2>"$tmp/err"; then
		works cmp "$tmp/ram" "$tmp/again"
	else
		matches "$case: the reader's error" "$(strerror EIO)" "$(cat "$tmp/err")"
	fi
	alive
	wait_until 20 test -s "$tmp/rounds" || fail "the reader is stuck"
	: >"$tmp/stop"
	wait_until 20 is_gone $rounds || fail "the reader is stuck"
	alive

	same "$case: num_cpus" 4 "$(cat "$mnt/num_cpus")"
	same "$case: path" /var/lib/sm/root.img "$(cat "$mnt/devices/0/backing/path")"
	same "$case: vcpu" "$(printf '01%.0s' {1..65})" "$(hex "$mnt/vcpu/1/raw")"
	if [ "$option" = rw ]; then
		# A store into a page that is no longer there must not kill the daemon.
		expect_errno EIO bash -c "printf x | dd of='$mnt/ram' bs=1 seek=$((ram / 2 + 9000)) conv=notrunc status=none"
		alive
		expect_errno ESTALE put 9 "$mnt/num_cpus"
		same "num_cpus after the refused write" 4 "$(cat "$mnt/num_cpus")"
	fi

	# Nothing is left of the file: reads may fail, cleanly.
	truncate -s 0 "$snap"
	find "$mnt" -type f -exec cat {} + >/dev/null 2>"$tmp/err" || true
	! grep -v "$(strerror EIO)" "$tmp/err" || fail "expected only EIO"
	alive
	works ls "$mnt"
	# As with any change by another program, it is not written to.
	unmount
	same "$case: the truncated snapshot" 0 "$(stat -c %s "$snap")"
done
finish 22
