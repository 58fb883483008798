/* SPDX-License-Identifier: MIT */
/* VMCOREINFO wherever it may be in memory, and a kernel by it. */
#include <string.h>

#include "fuzz.h"
#include "memory.h"

static bool found(void *ctx, struct vmcoreinfo *v)
{
	uint64_t number;
	size_t size;

	demand(v->size == strlen(v->text) && v->size <= VMCOREINFO_MAX, "its size");
	vmcoreinfo_number(v, "KERNELOFFSET", &number);
	vmcoreinfo_number(v, "NUMBER(phys_base)", &number);
	vmcoreinfo_number(v, "SYMBOL(x)", &number);
	if (vmcoreinfo_line(v, "", &size))
		demand(size < v->size, "a line longer than all");
	demand(++*(unsigned *)ctx <= 1000, "it does not end");
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t head[] = "\13\0\0\0\0\2\0\0\0\0\0\0VMCOREINFO\0\0OSRELEASE=x\n";
	struct input in = { data, size };
	unsigned how = (unsigned)input_uint(&in, 1);
	size_t at = input_uint(&in, 2) % FUZZ_MEMORY;
	uint64_t base = how & 4 ? input_uint(&in, 8) : 0;
	struct guest_memory g = fuzz_memory(base, NULL, 0, 0);
	struct guest_kernel k;
	struct error e = { 0 };
	unsigned count = 0;
	int err;

	if (how & 1)
		at &= 0xf000;
	fuzz_memory_put(at, head, sizeof(head) - 1);
	fuzz_memory_put(at + (how & 2 ? sizeof(head) - 1 : 0), in.at, in.left);
	demand(vmcoreinfo_find(&g, found, &count) == 0, "failed");
	err = guest_kernel_find(&k, &g, &e);
	demand(err == 0 || err == -ENOENT, "failed with %d", err);
	if (!err)
		demand(k.image_size && guest_has(&g, k.image_pa, k.image_size), "an image that is not there");
	guest_kernel_free(&k);
	return 0;
}
