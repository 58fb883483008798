/* SPDX-License-Identifier: MIT */
#include "share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "container_parts.h"
#include "le.h"

/* The number of the inode that is the share's root. */
enum { ROOT_NODE = 1 };

/* A share's table of inodes, in a state that is understood. */
struct inodes {
	const struct decoded *d;
	uint64_t at; /* of the first */
	uint64_t count;
	unsigned element, nodeid, path; /* places */
};

static unsigned child_named(const struct schema *s, unsigned parent, const char *name)
{
	const struct place *p = &s->place[parent];
	unsigned i = p->first_child;

	while (!s->place[i].row->name || strcmp(s->place[i].row->name, name) != 0)
		i++;
	return i;
}

static struct inodes find_inodes(const struct state *s)
{
	const struct schema *schema = s->d.schema;
	unsigned list = child_named(schema, s->root, "inodes");
	struct inodes found = { .d = &s->d, .element = schema->place[list].first_child };
	uint64_t at;

	found.nodeid = child_named(schema, found.element, "nodeid");
	found.path = child_named(schema, found.element, "path");
	at = decoded_member(&s->d, list, 0);
	found.count = decoded_count(&s->d, list, at);
	found.at = at + schema->place[list].row->size;
	return found;
}

/* The path of the inode at AT. */
static struct value path_of(const struct inodes *inodes, uint64_t at)
{
	uint64_t path = decoded_member(inodes->d, inodes->path, at);

	return value_decode(inodes->d->schema->place[inodes->path].row, inodes->d->bytes + path);
}

/* The path of the share's root: of the last such inode.  False if there is none. */
static bool find_root(const struct inodes *inodes, struct value *root)
{
	uint64_t at = inodes->at, i;
	bool found = false;

	for (i = 0; i < inodes->count; i++) {
		if (le_get(inodes->d->bytes + decoded_member(inodes->d, inodes->nodeid, at), 8) == ROOT_NODE) {
			*root = path_of(inodes, at);
			found = true;
		}
		at = decoded_end(inodes->d, inodes->element, at);
	}
	return found;
}

/* Whether ROOT is the root of all paths. */
static bool is_top(const struct value *root)
{
	return root->size == 1 && root->bytes[0] == '/';
}

/* What PATH is below ROOT, with a slash first, or nothing if it is ROOT; false if it is elsewhere. */
static bool below(const struct value *path, const struct value *root, struct value *rest)
{
	size_t n = is_top(root) ? 0 : root->size;

	/* Nothing is below no path, and no path is nowhere. */
	if ((root->size == 0) != (path->size == 0))
		return false;
	if (path->size < n || (n && memcmp(path->bytes, root->bytes, n) != 0) ||
	    (path->size > n && path->bytes[n] != '/'))
		return false;
	*rest = (struct value){ path->bytes + n, path->size - n };
	if (is_top(rest))
		rest->size = 0;
	return true;
}

/* Append what PATH says without empty and `.` components. */
static void add_clean(struct buffer *out, const struct value *path)
{
	const char *p = (const char *)path->bytes, *end = p + path->size, *next;
	bool slash = path->size > 0 && *p == '/';

	if (slash)
		buffer_add(out, "/", 1);
	for (slash = false; p < end; p = next + 1) {
		next = memchr(p, '/', (size_t)(end - p));
		if (!next)
			next = end;
		if (next == p || (next == p + 1 && *p == '.'))
			continue;
		if (slash)
			buffer_add(out, "/", 1);
		buffer_add(out, p, (size_t)(next - p));
		slash = true;
	}
	if (out->size == 0)
		buffer_add(out, ".", 1);
}

int share_resolve(const struct value *v, struct buffer *out)
{
	char *copy, *real = NULL;

	if (!v->size)
		return 0;
	/* A relative one is of another program's folder. */
	if (v->bytes[0] == '/' && !memchr(v->bytes, 0, v->size)) {
		copy = strndup((const char *)v->bytes, v->size);
		real = copy ? realpath(copy, NULL) : NULL;
		out->failed |= !copy || (!real && errno == ENOMEM);
		free(copy);
	}
	if (real)
		buffer_add(out, real, strlen(real));
	else
		add_clean(out, v);
	free(real);
	return out->failed ? -ENOMEM : 0;
}

/* The root of a table's paths, and where it goes. */
struct root {
	bool moves, mapped;
	struct value from;
	struct buffer to;
};

/* Append HEAD and then REST, which starts with a slash or is nothing. */
static void add_path(struct buffer *out, const struct value *head, const struct value *rest)
{
	size_t n = is_top(head) && rest->size ? 0 : head->size;

	buffer_add(out, n ? head->bytes : NULL, n);
	buffer_add(out, rest->size ? rest->bytes : NULL, rest->size);
}

/* Where the root of INODES goes. */
static void find_root_move(const struct inodes *inodes, struct share_moves *moves, struct root *root)
{
	struct buffer mapped = { 0 };
	struct value head, rest, to;

	if (!find_root(inodes, &root->from))
		return;
	if (moves->root && moves->root->size) {
		buffer_add(&root->to, moves->root->bytes, moves->root->size);
		root->moves = true;
	} else if (!moves->root && moves->map && moves->map(moves->ctx, &root->from, &head, &rest)) {
		add_path(&mapped, &head, &rest);
		to = (struct value){ mapped.bytes, mapped.size };
		root->to.failed |= mapped.failed;
		if (!mapped.failed)
			share_resolve(&to, &root->to);
		root->moves = root->mapped = true;
	}
	buffer_free(&mapped);
}

static bool find_move(const struct root *root, struct share_moves *moves, const struct value *path,
		      struct value *head, struct value *rest)
{
	struct value mapped_head, mapped_rest;
	bool rooted = root->moves && below(path, &root->from, rest);
	bool mapped = moves->map && moves->map(moves->ctx, path, &mapped_head, &mapped_rest);

	*head = (struct value){ root->to.bytes, root->to.size };
	/* The longer of what both were found by. */
	if (mapped && (!rooted || path->size - mapped_rest.size > root->from.size)) {
		*head = mapped_head;
		*rest = mapped_rest;
		moves->mapped++;
		return true;
	}
	moves->mapped += rooted && root->mapped;
	return rooted;
}

/* Append the inodes with their paths moved. */
static void move(struct buffer *out, const struct inodes *inodes, const struct root *root,
		 struct share_moves *moves)
{
	const uint8_t *bytes = inodes->d->bytes;
	uint64_t at = inodes->at, done = 0, path, i;
	struct value head, rest;
	size_t size;

	for (i = 0; i < inodes->count; i++) {
		struct value old = path_of(inodes, at);

		if (find_move(root, moves, &old, &head, &rest)) {
			path = decoded_member(inodes->d, inodes->path, at);
			size = (is_top(&head) && rest.size ? 0 : head.size) + rest.size;
			buffer_add(out, bytes + done, path - done);
			buffer_add_uint(out, 4, size);
			add_path(out, &head, &rest);
			done = path + 4 + old.size;
		}
		at = decoded_end(inodes->d, inodes->element, at);
		/* Far from what a count of 32 bits can't say. */
		if (out->size > FORMAT_BLOB_MAX)
			return;
	}
	buffer_add(out, bytes + done, inodes->d->size - done);
}

/* The same for S, which is understood. */
static void move_table(struct buffer *out, const struct state *s, struct share_moves *moves)
{
	struct inodes inodes = find_inodes(s);
	struct root root = { 0 };

	find_root_move(&inodes, moves, &root);
	out->failed |= root.to.failed;
	if (!out->failed)
		move(out, &inodes, &root, moves);
	buffer_free(&root.to);
}

int share_move(const struct container *c, struct node blob, const struct value *v,
	       struct share_moves *moves, struct buffer *out)
{
	struct state s = { 0 };
	int err = state_decode(c, blob.place, v->bytes, v->size, &s);

	if (err)
		return err;
	if (s.root)
		move_table(out, &s, moves);
	else
		buffer_add(out, v->size ? v->bytes : NULL, v->size);
	decoded_free(&s.d);
	if (out->failed)
		return -ENOMEM;
	return out->size > FORMAT_BLOB_MAX ? -EFBIG : 0;
}

int share_follow(const struct container *c, struct node blob, const struct value *v,
		 const struct value *root, struct buffer *out)
{
	return share_move(c, blob, v, &(struct share_moves){ .root = root }, out);
}
