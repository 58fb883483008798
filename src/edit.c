/* SPDX-License-Identifier: MIT */
#include "edit.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "head_diff.h"
#include "show.h"

int edit_save(struct snapshot *s, const char *path, struct edits *edits)
{
	struct error e = { 0 };

	/* With nothing changed nothing is written. */
	if (!edits_are_change(edits, snapshot_container(s)))
		return 0;
	return snapshot_save(s, edits, false, &e) ? complain(WRONG_INPUT, "%s: %s", path, e.text) : 0;
}

static void print_difference(void *ctx, const struct difference *d)
{
	(void)ctx;
	show_difference(d);
}

int edit_show(struct snapshot *s, const struct edits *edits)
{
	const struct container *old = snapshot_container(s);
	struct container *new = NULL;
	struct buffer head = { 0 };
	struct error e = { 0 };
	int64_t n;
	int err;

	container_encode(old, edits, &head);
	err = head.failed ? error_set(&e, ENOMEM, "%s", strerror(ENOMEM))
			  : container_decode(snapshot_layout(s)->head, head.bytes, head.size, 0,
					     &new, &e);
	if (err) {
		buffer_free(&head);
		return complain(WRONG_INPUT, "%s", e.text);
	}
	n = head_diff(old, new, print_difference, NULL);
	container_free(new);
	return n < 0 ? complain(WRONG_INPUT, "%s", strerror((int)-n)) : printed();
}
