/* SPDX-License-Identifier: MIT */
/* The tree that a mount shows, for who works on a snapshot without mounting it (docs/tree.md). */
#ifndef SMFS_TREE_H
#define SMFS_TREE_H

#include "snapshot.h"

struct tree_entry {
	enum { TREE_NODE, TREE_RAM } kind;
	struct node node; /* TREE_NODE */
};

bool tree_is_directory(struct snapshot *s, struct tree_entry entry);

/* The entry at PATH, with slashes before or after it too: 0, -ENOENT or -ENOTDIR. */
int tree_find(struct snapshot *s, const char *path, struct tree_entry *out);

/* What is in a directory; return false to end. */
typedef bool tree_child(void *ctx, const char *name, struct tree_entry entry);

/* Call FN for each name in the directory DIR, in the tree's order: 0 or a negative errno. */
int tree_children(struct snapshot *s, struct tree_entry dir, tree_child *fn, void *ctx);

#endif
