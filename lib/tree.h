/* SPDX-License-Identifier: MIT */
/* The tree that a mount shows, for who works on a snapshot without mounting it (docs/tree.md). */
#ifndef SMFS_TREE_H
#define SMFS_TREE_H

#include "computed.h"
#include "guest.h"
#include "snapshot.h"

struct tree_entry {
	enum { TREE_NODE, TREE_RAM, TREE_VMCORE, TREE_COMPUTED, TREE_GUEST, TREE_SIDECAR } kind;
	struct node node; /* TREE_NODE and TREE_SIDECAR; of a computed file, the directory that it is in */
	unsigned sidecar; /* TREE_SIDECAR: which one; SIDECARS: the folder of all */
	const struct computed *computed; /* TREE_COMPUTED */
	const struct guest_file *guest; /* TREE_GUEST; null: the folder */
};

bool tree_is_directory(struct snapshot *s, struct tree_entry entry);

/* The entry at PATH, with slashes before or after it too: 0, -ENOENT, -ENOTDIR or -ENOMEM. */
int tree_find(struct snapshot *s, const char *path, struct tree_entry *out);

/* Whether guest memory is asked for what is at PATH, which need not be there. */
bool tree_reads_ram(const char *path);

/* Append what the file ENTRY, which is not RAM nor vmcore, holds to OUT: 0 or a negative errno. */
int tree_show(struct snapshot *s, struct tree_entry entry, struct buffer *out);

/* What is in a directory; return false to end. */
typedef bool tree_child(void *ctx, const char *name, struct tree_entry entry);

/* Call FN for each name in the directory DIR, in the tree's order: 0 or a negative errno. */
int tree_children(struct snapshot *s, struct tree_entry dir, tree_child *fn, void *ctx);

#endif
