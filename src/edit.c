/* SPDX-License-Identifier: MIT */
#include "edit.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "show.h"

int edit_save(struct snapshot *s, struct edits *edits)
{
	struct error e = { 0 };

	/* With nothing changed nothing is written. */
	if (edits_are_change(edits, snapshot_container(s)) && snapshot_save(s, edits, false, &e))
		return complain(WRONG_INPUT, "%s", e.text);
	return 0;
}

static void print_difference(void *ctx, const struct difference *d)
{
	(void)ctx;
	show_difference(stdout, d);
}

/* Likewise what follows for the states of shares beside S from the head NEW. */
static int64_t sidecar_differences(struct snapshot *s, const struct container *new, head_difference *fn,
				   void *ctx, struct error *e)
{
	struct sidecars *all = snapshot_sidecars(s);
	struct container *moved = NULL;
	struct buffer bytes = { 0 };
	struct edits edits = { 0 };
	int64_t n = all ? sidecars_hold(all, e) : 0;

	if (!all || n < 0)
		return n;
	n = sidecar_follow(all, snapshot_container(s), new, &edits, e);
	if (n == 0 && edits.count) {
		sidecar_encode(all, &edits, &bytes);
		n = bytes.failed ? error_set(e, ENOMEM, "%s", strerror(ENOMEM))
				 : container_decode(sidecar_row(SIDECAR_POSIXFS), bytes.bytes, bytes.size, 0,
						    &moved, e);
	}
	if (moved)
		n = head_diff(sidecar_container(all, SIDECAR_POSIXFS), moved, SIDECAR_FOLDER, fn, ctx);
	else
		buffer_free(&bytes);
	container_free(moved);
	edits_free(&edits);
	sidecars_release(all);
	return n;
}

int64_t edit_differences(struct snapshot *s, const struct edits *edits, head_difference *fn, void *ctx,
			 struct error *e)
{
	const struct container *old = snapshot_container(s);
	struct container *new = NULL;
	struct buffer head = { 0 };
	int64_t n, more;
	int err;

	container_encode(old, edits, &head);
	err = head.failed ? error_set(e, ENOMEM, "%s", strerror(ENOMEM))
			  : container_decode(snapshot_layout(s)->head, head.bytes, head.size, 0,
					     &new, e);
	if (err) {
		buffer_free(&head);
		return err;
	}
	n = head_diff(old, new, "", fn, ctx);
	more = n < 0 ? n : sidecar_differences(s, new, fn, ctx, e);
	container_free(new);
	if (more < 0 && !e->code)
		error_set(e, (int)-more, "%s", strerror((int)-more));
	return more < 0 ? more : n + more;
}

int edit_show(struct snapshot *s, const struct edits *edits)
{
	struct error e = { 0 };

	return edit_differences(s, edits, print_difference, NULL, &e) < 0 ? complain(WRONG_INPUT, "%s", e.text)
									  : printed();
}
