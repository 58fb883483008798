/* SPDX-License-Identifier: MIT */
/*
 * The table in which umount(8) looks up that a mount has umount.fuse.smfs(8): without an
 * entry there it asks the kernel alone, which tells it no more than "fuse".
 */
#ifndef SMFS_UTAB_H
#define SMFS_UTAB_H

/*
 * Enter the mount of SOURCE, as the mount was told, on DIR, an absolute path.  Only root may;
 * umount(8) of anybody else looks for the program by itself.
 */
void utab_add(const char *source, const char *dir);

/* Take the entry out, if it is still there.  The mount is gone. */
void utab_remove(const char *dir);

#endif
