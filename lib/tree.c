/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "leaf.h"

/* In the root, where there is RAM. */
static const char RAM_NAME[] = "ram";
static const char VMCORE_NAME[] = "vmcore";
static const char GUEST_NAME[] = "guest";

bool tree_is_directory(struct snapshot *s, struct tree_entry entry)
{
	if (entry.kind == TREE_GUEST)
		return !entry.guest;
	if (entry.kind == TREE_SIDECAR)
		return entry.sidecar == SIDECARS ||
		       container_is_directory(sidecar_container(snapshot_sidecars(s), entry.sidecar),
					      entry.node);
	return entry.kind == TREE_NODE &&
	       container_is_directory(snapshot_container(s), entry.node);
}

static struct tree_entry computed_entry(struct node dir, unsigned i)
{
	return (struct tree_entry){ .kind = TREE_COMPUTED, .node = dir, .computed = computed_row(i) };
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
	*out = computed_entry(dir, i);
	return true;
}

static bool is_name(const char *path, size_t n, const char *name)
{
	return n == strlen(name) && strncmp(path, name, n) == 0;
}

static bool guest_has_file(struct snapshot *s, const struct guest_file *f)
{
	struct guest_memory g = guest_memory_of(snapshot_container(s), snapshot_ram(s));

	return guest_files_present(&g, UINT32_C(1) << (f - guest_files)) != 0;
}

/* What is at PATH in the folder guest. */
static int find_guest(struct snapshot *s, const char *path, struct tree_entry *out)
{
	*out = (struct tree_entry){ .kind = TREE_GUEST };
	path += strspn(path, "/");
	if (!*path)
		return 0;
	out->guest = guest_file_named(path);
	return out->guest && guest_has_file(s, out->guest) ? 0 : -ENOENT;
}

/* What is at PATH in the folder of the sidecars. */
static int find_sidecar(struct snapshot *s, const char *path, struct tree_entry *out)
{
	struct sidecars *all = snapshot_sidecars(s);
	int err = sidecars_hold(all, NULL), found = -ENOENT;
	unsigned i;

	if (err)
		return err;
	*out = (struct tree_entry){ .kind = TREE_SIDECAR, .sidecar = SIDECARS };
	if (!path[strspn(path, "/")])
		found = 0;
	/* A name at the top is one's alone. */
	for (i = 0; found == -ENOENT && i < SIDECARS; i++) {
		if (!sidecar_container(all, i))
			continue;
		found = container_find(sidecar_container(all, i), path, &out->node);
		out->sidecar = i;
	}
	sidecars_release(all);
	return found;
}

int tree_find(struct snapshot *s, const char *path, struct tree_entry *out)
{
	size_t n;
	int err;

	path += strspn(path, "/");
	n = strcspn(path, "/");
	if (snapshot_ram(s) && is_name(path, n, RAM_NAME)) {
		*out = (struct tree_entry){ .kind = TREE_RAM };
		return path[n] ? -ENOTDIR : 0;
	}
	if (snapshot_ram(s) && is_name(path, n, VMCORE_NAME)) {
		*out = (struct tree_entry){ .kind = TREE_VMCORE };
		return path[n] ? -ENOTDIR : 0;
	}
	if (snapshot_ram(s) && is_name(path, n, GUEST_NAME))
		return find_guest(s, path + n, out);
	if (snapshot_sidecars(s) && is_name(path, n, SIDECAR_FOLDER))
		return find_sidecar(s, path + n, out);
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
	path += strspn(path, "/");
	return strcmp(name, RAM_NAME) == 0 || strcmp(name, VMCORE_NAME) == 0 ||
	       strncmp(path, GUEST_NAME, strlen(GUEST_NAME)) == 0;
}

int tree_show(struct snapshot *s, struct tree_entry entry, struct buffer *out)
{
	char folder[CONTAINER_PATH_MAX];
	struct guest_memory g;

	if (entry.kind == TREE_GUEST) {
		g = guest_memory_of(snapshot_container(s), snapshot_ram(s));
		return guest_file_read(entry.guest, &g, out, NULL);
	}
	if (entry.kind == TREE_SIDECAR)
		return leaf_show(sidecar_container(snapshot_sidecars(s), entry.sidecar), entry.node, 0,
				 SIZE_MAX, out);
	if (entry.kind == TREE_NODE)
		return leaf_show(snapshot_container(s), entry.node, 0, SIZE_MAX, out);
	container_path(snapshot_container(s), entry.node, folder);
	return entry.computed->make(s, snapshot_container(s), folder, out);
}

struct walk {
	tree_child *fn;
	void *ctx;
	struct tree_entry entry; /* but for its node */
	bool ended;
};

static bool pass_on(void *ctx, const char *name, uint64_t index, struct node n)
{
	struct walk *w = ctx;
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, index);
	w->entry.node = n;
	w->ended = !w->fn(w->ctx, name ? name : number, w->entry);
	return !w->ended;
}

/* False: the walk is over. */
static bool ram_children(tree_child *fn, void *ctx)
{
	return fn(ctx, RAM_NAME, (struct tree_entry){ .kind = TREE_RAM }) &&
	       fn(ctx, VMCORE_NAME, (struct tree_entry){ .kind = TREE_VMCORE }) &&
	       fn(ctx, GUEST_NAME, (struct tree_entry){ .kind = TREE_GUEST });
}

static void root_children(struct snapshot *s, tree_child *fn, void *ctx)
{
	if ((!snapshot_ram(s) || ram_children(fn, ctx)) && snapshot_sidecars(s))
		fn(ctx, SIDECAR_FOLDER, (struct tree_entry){ .kind = TREE_SIDECAR, .sidecar = SIDECARS });
}

/* The folder of the sidecars has what the roots of all have. */
static int sidecar_children(struct snapshot *s, struct tree_entry dir, struct walk *w)
{
	struct sidecars *all = snapshot_sidecars(s);
	bool top = dir.sidecar == SIDECARS;
	int err = sidecars_hold(all, NULL);
	unsigned i;

	if (err)
		return err;
	for (i = 0; !err && !w->ended && i < SIDECARS; i++) {
		if (!sidecar_container(all, i) || (!top && i != dir.sidecar))
			continue;
		w->entry.sidecar = i;
		err = container_children(sidecar_container(all, i), top ? container_root() : dir.node, 0,
					 pass_on, w);
	}
	sidecars_release(all);
	return err;
}

static int guest_children(struct snapshot *s, tree_child *fn, void *ctx)
{
	struct guest_memory g = guest_memory_of(snapshot_container(s), snapshot_ram(s));
	uint32_t there = guest_files_present(&g, UINT32_MAX);
	unsigned i;

	for (i = 0; guest_files[i].name; i++)
		if (there >> i & 1 && !fn(ctx, guest_files[i].name,
					  (struct tree_entry){ .kind = TREE_GUEST, .guest = &guest_files[i] }))
			break;
	return 0;
}

int tree_children(struct snapshot *s, struct tree_entry dir, tree_child *fn, void *ctx)
{
	struct walk w = { .fn = fn, .ctx = ctx, .entry.kind = dir.kind };
	unsigned i;
	int err;

	if (dir.kind == TREE_GUEST)
		return guest_children(s, fn, ctx);
	if (dir.kind == TREE_SIDECAR)
		return sidecar_children(s, dir, &w);
	err = container_children(snapshot_container(s), dir.node, 0, pass_on, &w);
	for (i = 0; !err && !w.ended && computed_next(snapshot_container(s), dir.node, &i); i++)
		w.ended = !fn(ctx, computed_row(i)->name,
			      computed_entry(dir.node, i));
	if (!err && !w.ended && dir.node.place == container_root().place)
		root_children(s, fn, ctx);
	return err;
}
