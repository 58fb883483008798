/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "leaf.h"

static const char RAM_NAME[] = "ram";

bool tree_is_directory(struct snapshot *s, struct tree_entry entry)
{
	return entry.kind == TREE_NODE &&
	       container_is_directory(snapshot_container(s), entry.node);
}

/* The computed file at PATH, if there is one. */
static bool find_computed(struct snapshot *s, const char *path, struct tree_entry *out)
{
	const char *end = path + strlen(path), *slash;
	const struct container *c = snapshot_container(s);
	char folder[CONTAINER_PATH_MAX];
	struct node dir;
	unsigned i;

	for (slash = end; slash > path && slash[-1] != '/'; slash--)
		;
	if (slash - path >= CONTAINER_PATH_MAX)
		return false;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	if (container_find(c, folder, &dir) || !computed_lookup(c, dir, slash, &i))
		return false;
	*out = (struct tree_entry){ TREE_COMPUTED, dir, computed_row(i) };
	return true;
}

int tree_find(struct snapshot *s, const char *path, struct tree_entry *out)
{
	size_t n;
	int err;

	path += strspn(path, "/");
	n = strcspn(path, "/");
	if (snapshot_ram(s) && n == strlen(RAM_NAME) && strncmp(path, RAM_NAME, n) == 0) {
		*out = (struct tree_entry){ .kind = TREE_RAM };
		return path[n] ? -ENOTDIR : 0;
	}
	*out = (struct tree_entry){ .kind = TREE_NODE };
	err = container_find(snapshot_container(s), path, &out->node);
	return err == -ENOENT && find_computed(s, path, out) ? 0 : err;
}

bool tree_reads_ram(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const struct computed *row;
	unsigned i;

	for (i = 0; (row = computed_row(i)); i++)
		if (strcmp(row->name, name) == 0)
			return true;
	return strcmp(name, RAM_NAME) == 0;
}

int tree_show(struct snapshot *s, struct tree_entry entry, struct buffer *out)
{
	char folder[CONTAINER_PATH_MAX];

	if (entry.kind == TREE_NODE)
		return leaf_show(snapshot_container(s), entry.node, 0, SIZE_MAX, out);
	container_path(snapshot_container(s), entry.node, folder);
	return entry.computed->make(s, folder, out);
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
	unsigned i;

	int err = container_children(snapshot_container(s), dir.node, 0, pass_on, &w);

	for (i = 0; !err && !w.ended && computed_next(snapshot_container(s), dir.node, &i); i++)
		w.ended = !fn(ctx, computed_row(i)->name,
			      (struct tree_entry){ TREE_COMPUTED, dir.node, computed_row(i) });
	if (!err && !w.ended && dir.node.place == container_root().place && snapshot_ram(s))
		fn(ctx, RAM_NAME, (struct tree_entry){ .kind = TREE_RAM });
	return err;
}
