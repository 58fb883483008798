/* SPDX-License-Identifier: MIT */
/* The list of tasks, by its shape or by what BTF says. */
#include "fuzz.h"
#include "memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char name[] = "swapper/0";
	struct input in = { data, size };
	/* The first task's name, a little before or after a page's middle, and where the input is. */
	size_t at = 0x2000 + (size_t)(input_uint(&in, 1) & ~7u);
	struct guest_kernel k = fuzz_kernel(NULL, 0, "");
	struct buffer out = { 0 };
	struct error e = { 0 };

	fuzz_memory_put(0x1c00, in.at, in.left);
	fuzz_memory_put(at, name, sizeof(name));
	fuzz_check_file(guest_tasks(&k, &out, &e), &out, &e);
	buffer_free(&out);
	guest_kernel_free(&k);
	return 0;
}
