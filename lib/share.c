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

/* Append what PATH is without links and `..` where it exists, else as it says. */
static void resolve(struct buffer *out, const struct value *path)
{
	char *copy, *real = NULL;

	/* A relative one is of another program's folder. */
	if (path->bytes[0] == '/' && !memchr(path->bytes, 0, path->size)) {
		copy = strndup((const char *)path->bytes, path->size);
		real = copy ? realpath(copy, NULL) : NULL;
		out->failed |= !copy || (!real && errno == ENOMEM);
		free(copy);
	}
	if (real)
		buffer_add(out, real, strlen(real));
	else
		add_clean(out, path);
	free(real);
}

/* The root of a table's paths, and where it goes. */
struct root {
	bool moves;
	struct value from, to;
};

static bool find_move(const struct root *root, struct share_moves *moves, const struct value *path,
		      struct value *head, struct value *rest)
{
	*head = root->to;
	if (root->moves && below(path, &root->from, rest))
		return true;
	if (!moves->map || !moves->map(moves->ctx, path, head, rest))
		return false;
	moves->mapped++;
	return true;
}

/* Append the inodes with their paths moved. */
static void move(struct buffer *out, const struct inodes *inodes, const struct root *root,
		 struct share_moves *moves)
{
	const uint8_t *bytes = inodes->d->bytes;
	uint64_t at = inodes->at, done = 0, path, i;
	struct value head, rest;
	size_t n;

	for (i = 0; i < inodes->count; i++) {
		struct value old = path_of(inodes, at);

		if (find_move(root, moves, &old, &head, &rest)) {
			path = decoded_member(inodes->d, inodes->path, at);
			buffer_add(out, bytes + done, path - done);
			n = is_top(&head) && rest.size ? 0 : head.size;
			buffer_add_uint(out, 4, n + rest.size);
			buffer_add(out, n ? head.bytes : NULL, n);
			buffer_add(out, rest.size ? rest.bytes : NULL, rest.size);
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
	const struct value *to = moves->host_path;
	struct inodes inodes = find_inodes(s);
	struct buffer resolved = { 0 };
	struct root root = { 0 };

	root.moves = to && to->size && find_root(&inodes, &root.from);
	if (root.moves)
		resolve(&resolved, to);
	root.to = (struct value){ resolved.bytes, resolved.size };
	out->failed |= resolved.failed;
	if (!out->failed)
		move(out, &inodes, &root, moves);
	buffer_free(&resolved);
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
		 const struct value *host_path, struct buffer *out)
{
	return share_move(c, blob, v, &(struct share_moves){ .host_path = host_path }, out);
}
