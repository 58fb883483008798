/* SPDX-License-Identifier: MIT */
/* Page tables: what is translated one way is translated so every way, and always ends. */
#include "fuzz.h"
#include "guest_space.h"
#include "memory.h"

static void check(struct guest_space *s, uint64_t va)
{
	uint64_t pa = 0, size = 0, again = 0, next = va, rest = 0, run;
	uint8_t byte, same;
	unsigned budget = 1000;
	int err = guest_translate(s, va, &pa, &size);

	demand(err == 0 || err == -EFAULT, "failed with %d", err);
	if (err) {
		demand(guest_read_virtual(s, &byte, 1, va) == -EFAULT, "read, and not mapped");
		demand(guest_run(s, va, 1) == 0, "a run, and not mapped");
		if (guest_next_mapped(s, &next, &again, &rest, &budget))
			demand(next > va && guest_translate(s, next, &pa, &size) == 0 && pa == again &&
			       size == rest, "the next that is mapped is not");
		return;
	}
	demand(size > 0 && size <= UINT64_C(1) << 42, "%llu bytes", (unsigned long long)size);
	demand(guest_next_mapped(s, &next, &again, &rest, &budget) && next == va && again == pa &&
	       rest == size, "it is mapped and is not the next");
	demand(guest_translate(s, va + size - 1, &again, &rest) == 0 && again == pa + size - 1 && rest == 1,
	       "the entry's last byte");
	run = guest_run(s, va, 1 << 20);
	demand((run > 0) == guest_has(&s->memory, pa, 1) && guest_has(&s->memory, pa, run), "the run");
	if (run) {
		demand(!guest_read_virtual(s, &byte, 1, va) && !guest_read(&s->memory, &same, 1, pa) &&
		       byte == same, "other bytes");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const unsigned pages[] = { 4096, 16384, 65536, 12 };
	struct input in = { data, size };
	unsigned how = (unsigned)input_uint(&in, 1), bits = (unsigned)input_uint(&in, 1) % 64, i;
	uint64_t root = input_uint(&in, 2), va[4];
	uint64_t base = how & 8 ? input_uint(&in, 8) : 0;
	struct guest_memory g;
	struct guest_space s;

	for (i = 0; i < 4; i++)
		va[i] = input_uint(&in, 8) | (i & 1 ? UINT64_C(0xffff) << 48 : 0);
	g = fuzz_memory(base, in.at, in.left, 0);
	if (how & 1)
		guest_space_x86_64(&s, &g, base + root, how & 2);
	else if (guest_space_aarch64(&s, &g, base + root, pages[how >> 1 & 3], bits))
		return 0;
	for (i = 0; i < 4; i++)
		check(&s, va[i]);
	return 0;
}
