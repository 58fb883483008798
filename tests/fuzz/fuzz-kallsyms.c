/* SPDX-License-Identifier: MIT */
/* The kernel's table of symbols, where VMCOREINFO says or where it is found. */
#include <string.h>

#include "fuzz.h"
#include "memory.h"

#define AT "ffffffff8000"
static const char told[] =
	"SYMBOL(_stext)=ffffffff80000000\nSYMBOL(kallsyms_num_syms)=" AT "0000\n"
	"SYMBOL(kallsyms_relative_base)=" AT "0008\nSYMBOL(kallsyms_offsets)=" AT "0010\n"
	"SYMBOL(kallsyms_names)=" AT "0050\nSYMBOL(kallsyms_token_index)=" AT "0200\n"
	"SYMBOL(kallsyms_token_table)=" AT "0400\n";
static const char untold[] = "SYMBOL(_stext)=ffffffff80000000\n";

/* Tokens that are what they are called, and their index, for those who begin with 1. */
static void put_tokens(size_t table, size_t index)
{
	uint8_t strings[512], starts[512];
	unsigned i;

	for (i = 0; i < 256; i++) {
		strings[2 * i] = (uint8_t)(i ? i : 1);
		strings[2 * i + 1] = 0;
		starts[2 * i] = (uint8_t)(2 * i);
		starts[2 * i + 1] = (uint8_t)(2 * i >> 8);
	}
	fuzz_memory_put(table, strings, sizeof(strings));
	fuzz_memory_put(index, starts, sizeof(starts));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned how = (unsigned)input_uint(&in, 1);
	struct guest_kernel k = fuzz_kernel(in.at, in.left, how & 1 ? told : untold);
	struct buffer out = { 0 };
	struct error e = { 0 };

	if (how & 2)
		put_tokens(how & 1 ? 0x400 : 0x800, how & 1 ? 0x200 : 0xa00);
	fuzz_check_file(guest_kallsyms(&k, &out, &e), &out, &e);
	buffer_free(&out);
	guest_kernel_free(&k);
	return 0;
}
