/* SPDX-License-Identifier: MIT */
#include "edit.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "show.h"

int edit_try_save(struct snapshot *s, const char *path, struct edits *edits, struct error *e)
{
	int err;

	/* With nothing changed nothing is written. */
	if (!edits_are_change(edits, snapshot_container(s)))
		return 0;
	err = snapshot_save(s, edits, false, e);
	return err ? error_prefix(e, -err, "%s", path) : 0;
}

int edit_save(struct snapshot *s, const char *path, struct edits *edits)
{
	struct error e = { 0 };

	return edit_try_save(s, path, edits, &e) ? complain(WRONG_INPUT, "%s", e.text) : 0;
}

static void print_difference(void *ctx, const struct difference *d)
{
	(void)ctx;
	show_difference(d);
}

int64_t edit_differences(struct snapshot *s, const struct edits *edits, head_difference *fn, void *ctx,
			 struct error *e)
{
	const struct container *old = snapshot_container(s);
	struct container *new = NULL;
	struct buffer head = { 0 };
	int64_t n;
	int err;

	container_encode(old, edits, &head);
	err = head.failed ? error_set(e, ENOMEM, "%s", strerror(ENOMEM))
			  : container_decode(snapshot_layout(s)->head, head.bytes, head.size, 0,
					     &new, e);
	if (err) {
		buffer_free(&head);
		return err;
	}
	n = head_diff(old, new, fn, ctx);
	container_free(new);
	return n < 0 ? error_set(e, (int)-n, "%s", strerror((int)-n)) : n;
}

int edit_show(struct snapshot *s, const struct edits *edits)
{
	struct error e = { 0 };

	return edit_differences(s, edits, print_difference, NULL, &e) < 0 ? complain(WRONG_INPUT, "%s", e.text)
									  : printed();
}
