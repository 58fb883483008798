/* SPDX-License-Identifier: MIT */
/* A kernel's description of its types. */
#include <stdlib.h>

#include "fuzz.h"
#include "guest_btf.h"
#include "le.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct btf_want members[] = { { .name = "comm" }, { .name = "pid" }, { .name = "" }, { 0 } };
	uint8_t *copy = fuzz_copy(data, size);
	int err;

	/* Half of the inputs have a good head. */
	if (size >= 24 && data[0] & 1) {
		le_put(copy, 4, 0x0001eb9f);
		le_put(copy + 4, 4, 24);
		le_put(copy + 8, 4, 0);
		le_put(copy + 12, 4, (size - 24) / 2);
		le_put(copy + 16, 4, (size - 24) / 2);
		le_put(copy + 20, 4, size - 24 - (size - 24) / 2);
		if (size > 24)
			copy[size - 1] = 0;
	}
	err = btf_find(copy, size, "t", members);
	demand(err == 0 || err == -ENOENT, "failed with %d", err);
	free(copy);
	return 0;
}
