/* SPDX-License-Identifier: MIT */
/* How umount.fuse.smfs asks a mount for its daemon: an ioctl(2) of the mount's directory. */
#ifndef SMFS_DAEMON_PID_H
#define SMFS_DAEMON_PID_H

#include <stdint.h>
#include <sys/ioctl.h>

/* The daemon's process number, as it sees itself, to an int32_t. */
#define SMFS_DAEMON_PID _IOR('s', 0x5f, int32_t)

#endif
