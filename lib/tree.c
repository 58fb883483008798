/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char RAM_NAME[] = "ram";

bool tree_is_directory(struct snapshot *s, struct tree_entry entry)
{
	return entry.kind == TREE_NODE &&
	       container_is_directory(snapshot_container(s), entry.node);
}

int tree_find(struct snapshot *s, const char *path, struct tree_entry *out)
{
	size_t n;

	path += strspn(path, "/");
	n = strcspn(path, "/");
	if (snapshot_ram(s) && n == strlen(RAM_NAME) && strncmp(path, RAM_NAME, n) == 0) {
		*out = (struct tree_entry){ .kind = TREE_RAM };
		return path[n] ? -ENOTDIR : 0;
	}
	*out = (struct tree_entry){ .kind = TREE_NODE };
	return container_find(snapshot_container(s), path, &out->node);
}

struct walk {
	tree_child *fn;
	void *ctx;
	bool ended;
};

static bool pass_on(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct walk *w = ctx;
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, index);
	w->ended = !w->fn(w->ctx, name ? name : number,
			  (struct tree_entry){ .kind = TREE_NODE, .node = n });
	return !w->ended;
}

int tree_children(struct snapshot *s, struct tree_entry dir, tree_child *fn, void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx };

	int err = container_children(snapshot_container(s), dir.node, 0, pass_on, &w);

	if (!err && !w.ended && dir.node.place == container_root().place && snapshot_ram(s))
		fn(ctx, RAM_NAME, (struct tree_entry){ .kind = TREE_RAM });
	return err;
}
