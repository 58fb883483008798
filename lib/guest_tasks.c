/* SPDX-License-Identifier: MIT */
#include "guest.h"

int guest_tasks(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	(void)k; (void)out;
	return error_set(e, ENOENT, "not yet");
}
