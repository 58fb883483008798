/* SPDX-License-Identifier: MIT */
/* smfs's command line (smfs(1)). */
#ifndef SMFS_OPTIONS_H
#define SMFS_OPTIONS_H

#define FUSE_USE_VERSION 314
#include <fuse_opt.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot.h"

struct options {
	char *snapshot;   /* as given */
	char *mountpoint; /* as given */
	int help;
	int version;
	int foreground;
	int debug;
	int scratch;
	int replace;
	int nolock;
	int save_ram;
	int read_only;
	int read_write;   /* rw was given; it is the default as well */
	int ram_direct;
	int writeback;
	int allow_other;
	unsigned max_read; /* bytes; 0: not given */
	int sync_at_end;  /* save=sync */
	char *output;
	char *ram_file;
	char *log;
	char *base;
	char *ram_offset_text;
	char *ram_limit_text;
	char *container_offset_text;
	char *uid_text;
	char *gid_text;
	char *umask_text;

	/* From the texts. */
	struct region_options region;
	uint64_t ram_limit; /* bytes; 0: not given */
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

/*
 * Parse ARGS, from which what is FUSE's own remains.  0, or -EINVAL with what is
 * wrong in E.  Options are to be freed either way.
 */
int options_parse(struct options *o, struct fuse_args *args, struct error *e);
void options_free(struct options *o);

#endif
