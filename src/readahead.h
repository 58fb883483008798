/* SPDX-License-Identifier: MIT */
#ifndef SMFS_READAHEAD_H
#define SMFS_READAHEAD_H

/*
 * Let the kernel read KIB KiB ahead in what is mounted on MOUNTPOINT, a path from
 * realpath, where this process may set that.  It asks no file of the mount anything: its own daemon
 * need not be serving yet.
 */
void readahead_set(const char *mountpoint, unsigned kib);

#endif
