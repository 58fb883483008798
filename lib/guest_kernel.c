/* SPDX-License-Identifier: MIT */
#include "guest_kernel.h"

#include <string.h>

/* Where x86-64's image would be without phys_base. */
#define X86_64_IMAGE UINT64_C(0xffffffff80000000)

/* The greatest image that is believed in, and walks to find the direct map. */
enum {
	IMAGE_MAX = 1 << 30,
	IMAGE_GAP = 64 << 20,
	IMAGE_WALKS = 1 << 19,
	DIRECT_MAP_WALKS = 1 << 18,
	DIRECT_MAP_TRIED = 1024,
};

/* Places in memory that are asked whether a direct map has them. */
enum { SAMPLES = 64 };

static int space_x86_64(struct guest_kernel *k, uint64_t table)
{
	uint64_t phys_base, five_levels = 0;

	if (!vmcoreinfo_number(&k->info, "NUMBER(phys_base)", &phys_base))
		return -ENOENT;
	vmcoreinfo_number(&k->info, "NUMBER(pgtable_l5_enabled)", &five_levels);
	guest_space_x86_64(&k->space, &k->memory, table - X86_64_IMAGE + phys_base, five_levels != 0);
	return 0;
}

static int space_aarch64(struct guest_kernel *k, uint64_t table)
{
	uint64_t offset, va_bits, t1sz, page_size = 4096;

	if (!vmcoreinfo_number(&k->info, "NUMBER(kimage_voffset)", &offset) ||
	    !vmcoreinfo_number(&k->info, "NUMBER(VA_BITS)", &va_bits))
		return -ENOENT;
	vmcoreinfo_number(&k->info, "PAGESIZE", &page_size);
	/*
	 * What the processor was told.  With pages of 64 KiB the table is as the kernel was
	 * built, and the processor is given a place in the middle of it.
	 */
	if (page_size != 65536 && vmcoreinfo_number(&k->info, "NUMBER(TCR_EL1_T1SZ)", &t1sz))
		va_bits = 64 - t1sz;
	return guest_space_aarch64(&k->space, &k->memory, table - offset, page_size,
				   va_bits < 64 ? (unsigned)va_bits : 64);
}

/* How many of the samples the direct map would have that has guest-physical 0 at BASE. */
static unsigned samples_in(struct guest_kernel *k, uint64_t base)
{
	uint64_t step = guest_size(&k->memory) / SAMPLES / 4096 * 4096, pa, found;
	unsigned i, count = 0;

	for (i = 0; i < SAMPLES; i++) {
		pa = k->memory.base + i * step;
		if (!guest_translate(&k->space, base + pa, &found, NULL) && found == pa)
			count++;
	}
	return count;
}

/*
 * The direct map is the one difference of virtual and physical addresses that most of memory
 * has.  Its first addresses come early in the kernel's half.
 */
static void find_direct_map(struct guest_kernel *k)
{
	const uint64_t region = UINT64_C(1) << 30;
	uint64_t va = ~UINT64_C(0) << (k->space.va_bits - (k->space.machine == GUEST_X86_64));
	unsigned budget = DIRECT_MAP_WALKS, tried = DIRECT_MAP_TRIED, count, most = SAMPLES / 2;
	uint64_t pa, size, last = 0;

	while (most < SAMPLES && tried > 0 && guest_next_mapped(&k->space, &va, &pa, &size, &budget)) {
		/* The image is mapped there as well, and in the map that is looked for. */
		if (k->space.machine == GUEST_X86_64 && va >= X86_64_IMAGE)
			break;
		if (va - pa != last) {
			last = va - pa;
			tried--;
			count = samples_in(k, last);
			if (count > most) {
				most = count;
				k->has_direct_map = true;
				k->direct_map = last;
			}
		}
		va = (va | (region - 1)) + 1;
		if (va == 0)
			break;
	}
}

/*
 * The image from _stext on: all that is mapped with the same difference of addresses.  Between
 * its parts some pages are not, which were only needed to boot.
 */
static uint64_t image_size(struct guest_kernel *k)
{
	uint64_t left = k->memory.base + guest_size(&k->memory) - k->image_pa;
	uint64_t most = left < IMAGE_MAX ? left : IMAGE_MAX, end = 0, at, va = k->image, pa, size;
	unsigned budget = IMAGE_WALKS;

	if (!guest_has(&k->memory, k->image_pa, 1))
		return 0;
	while (guest_next_mapped(&k->space, &va, &pa, &size, &budget)) {
		at = va - k->image;
		if (at >= most || at - end > IMAGE_GAP || pa - k->image_pa != at)
			break;
		end = size < most - at ? at + size : most;
		va += size;
		if (va < k->image)
			break;
	}
	return end;
}

/* Whether what K's info says is so: then the rest of K is found. */
static bool is_kernel(struct guest_kernel *k)
{
	uint64_t table, stext, pa, page;

	if (!vmcoreinfo_number(&k->info, "SYMBOL(swapper_pg_dir)", &table) ||
	    !vmcoreinfo_number(&k->info, "SYMBOL(_stext)", &stext))
		return false;
	if (space_x86_64(k, table) && space_aarch64(k, table))
		return false;
	/* The table maps itself, and the kernel's text. */
	if (guest_translate(&k->space, table, &pa, NULL) || pa != k->space.root ||
	    guest_translate(&k->space, stext, &pa, NULL))
		return false;
	page = UINT64_C(1) << k->space.page_shift;
	k->image = stext & ~(page - 1);
	k->image_pa = pa & ~(page - 1);
	k->image_size = image_size(k) & ~(page - 1);
	if (k->image_size == 0)
		return false;
	find_direct_map(k);
	return true;
}

/* A search for a kernel. */
struct search {
	struct guest_kernel *kernel;
	bool found;
};

static bool try_info(void *ctx, struct vmcoreinfo *v)
{
	struct search *s = ctx;

	s->kernel->info = *v;
	s->found = is_kernel(s->kernel);
	if (s->found)
		v->text = NULL;
	return !s->found;
}

int guest_kernel_find(struct guest_kernel *k, const struct guest_memory *g, struct error *e)
{
	struct search s = { k, false };
	int err;

	*k = (struct guest_kernel){ .memory = *g };
	err = vmcoreinfo_find(g, try_info, &s);
	if (s.found)
		return 0;
	*k = (struct guest_kernel){ 0 };
	if (err)
		return error_set(e, -err, "guest memory cannot be read: %s", strerror(-err));
	return error_set(e, ENOENT,
			 "no Linux kernel is found in guest memory: none that has written its VMCOREINFO yet");
}

void guest_kernel_free(struct guest_kernel *k)
{
	vmcoreinfo_free(&k->info);
	*k = (struct guest_kernel){ 0 };
}
