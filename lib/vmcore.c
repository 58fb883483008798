/* SPDX-License-Identifier: MIT */
#include "vmcore.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "le.h"

/*
 * What tools want of the head: program headers in the first 8 KiB, notes first; RAM in at most
 * three pieces, by physical address; p_align 0 in all, or crash takes the core for another kind.
 */
enum {
	NOTES_AT = 0x2000,
	HEAD_UNIT = 65536,
	RAM_LOADS = 3,
	STACK_LOADS = 16,
	PROGRAM_HEADERS = 1 + RAM_LOADS + STACK_LOADS,
};
_Static_assert(sizeof(Elf64_Ehdr) + PROGRAM_HEADERS * sizeof(Elf64_Phdr) <= NOTES_AT, "headers fit");

/* struct elf_prstatus: its size without the registers and one more number, and places in it. */
enum { PRSTATUS_PID = 32, PRSTATUS_REGISTERS = 112, PRSTATUS_END = 8 };

/* A note's head and a name of up to 12 bytes. */
enum { NOTE_HEAD = 24 };

/* The most of a note of registers, and of VMCOREINFO, that there is room for. */
enum {
	PRSTATUS_ROOM = NOTE_HEAD + PRSTATUS_REGISTERS + 8 * VCPU_REGISTERS_MAX + PRSTATUS_END,
	VMCOREINFO_ROOM = 16384,
};

static uint64_t head_size(uint64_t cpus)
{
	uint64_t size = NOTES_AT + cpus * PRSTATUS_ROOM + NOTE_HEAD + VMCOREINFO_ROOM;

	return (size + HEAD_UNIT - 1) / HEAD_UNIT * HEAD_UNIT;
}

uint64_t vmcore_size(uint64_t cpus, const struct guest_memory *g)
{
	return head_size(cpus) + guest_size(g);
}

/* A head in the making. */
struct making {
	struct vmcore *core;
	struct guest_kernel *kernel; /* null: none was found */
	Elf64_Phdr program[PROGRAM_HEADERS];
	unsigned programs;
	uint64_t notes_end;
};

static void add_note(struct making *m, const char *name, uint32_t type, const void *desc,
		     uint64_t size)
{
	uint8_t *at = m->core->head + m->notes_end;
	uint64_t name_size = strlen(name) + 1, padded = (name_size + 3) / 4 * 4;

	le_put(at, 4, name_size);
	le_put(at + 4, 4, size);
	le_put(at + 8, 4, type);
	memcpy(at + 12, name, name_size);
	memcpy(at + 12 + padded, desc, size);
	m->notes_end += 12 + padded + (size + 3) / 4 * 4;
}

static void add_registers(struct making *m, uint64_t cpu, const struct vcpu_registers *r)
{
	uint8_t status[PRSTATUS_REGISTERS + 8 * VCPU_REGISTERS_MAX + PRSTATUS_END] = { 0 };
	unsigned i;

	/* A process of its own to each, from 1 on: 0 is the idle task of all. */
	le_put(status + PRSTATUS_PID, 4, cpu + 1);
	for (i = 0; i < r->count; i++)
		le_put(status + PRSTATUS_REGISTERS + 8 * i, 8, r->value[i]);
	add_note(m, "CORE", NT_PRSTATUS, status, PRSTATUS_REGISTERS + 8 * r->count + PRSTATUS_END);
}

/* SIZE bytes at PA, which are memory, at VA.  Nothing if there are none. */
static Elf64_Phdr *add_load(struct making *m, uint64_t pa, uint64_t va, uint64_t size)
{
	Elf64_Phdr *p = &m->program[m->programs];

	if (size == 0)
		return NULL;
	m->programs++;
	*p = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_offset = m->core->head_size + (pa - m->core->memory.base),
		.p_vaddr = va,
		.p_paddr = pa,
		.p_filesz = size,
		.p_memsz = size,
	};
	return p;
}

/* All of memory: the kernel's image where it runs, before and after it in the direct map. */
static void add_ram(struct making *m)
{
	const struct guest_memory *g = &m->core->memory;
	const struct guest_kernel *k = m->kernel;
	uint64_t end = g->base + guest_size(g);
	uint64_t direct = k && k->has_direct_map ? k->direct_map : 0;

	if (!k) {
		add_load(m, g->base, g->base, end - g->base);
		return;
	}
	add_load(m, g->base, direct + g->base, k->image_pa - g->base);
	add_load(m, k->image_pa, k->image, k->image_size);
	add_load(m, k->image_pa + k->image_size, direct + k->image_pa + k->image_size,
		 end - k->image_pa - k->image_size);
}

/* Whether a load of RAM has the kernel's address VA. */
static bool is_loaded(const struct making *m, uint64_t va)
{
	unsigned i;

	for (i = 1; i < m->programs; i++)
		if (va - m->program[i].p_vaddr < m->program[i].p_memsz)
			return true;
	return false;
}

/* A stack, and what of it is loaded. */
struct stack {
	uint64_t at, end;   /* still to be loaded */
	Elf64_Phdr *last;   /* the load of what is before it; null: there is none */
	uint64_t next_pa;   /* where that ends */
};

/* A stack has 16 KiB, and starts at a multiple of that. */
enum { STACK_SIZE = 16384 };

/* Load the next page of S: false if there is none, or no room for it. */
static bool load_page(struct making *m, struct stack *s)
{
	uint64_t page = UINT64_C(1) << m->kernel->space.page_shift, pa;

	if (s->at >= s->end || is_loaded(m, s->at) ||
	    guest_translate(&m->kernel->space, s->at, &pa, NULL) ||
	    !guest_has(&m->core->memory, pa, page))
		return false;
	if (s->last && pa == s->next_pa) {
		s->last->p_filesz += page;
		s->last->p_memsz += page;
	} else {
		if (m->programs == PROGRAM_HEADERS)
			return false;
		s->last = add_load(m, pa, s->at, page);
		/* It is no other memory: it is there already. */
		s->last->p_paddr = UINT64_MAX;
	}
	s->at += page;
	s->next_pa = pa + page;
	return true;
}

/*
 * The stacks of vCPUs in the kernel, which are in none of the loads where the kernel has
 * them in addresses of their own: a page of each after the other, while there is room.
 */
static void add_stacks(struct making *m, const struct container *c, uint64_t cpus)
{
	struct stack stacks[STACK_LOADS];
	struct vcpu_registers r;
	unsigned count = 0, i;
	uint64_t cpu, page;
	bool more = true;

	if (!m->kernel)
		return;
	page = UINT64_C(1) << m->kernel->space.page_shift;
	for (cpu = 0; cpu < cpus && count < STACK_LOADS; cpu++) {
		if (!vcpu_registers_read(c, cpu, &r) || !r.in_kernel || is_loaded(m, r.sp))
			continue;
		stacks[count] = (struct stack){ .at = r.sp & ~(page - 1), .end = (r.sp | (STACK_SIZE - 1)) + 1 };
		count++;
	}
	while (more)
		for (i = 0, more = false; i < count; i++)
			more |= load_page(m, &stacks[i]);
}

/* What the guest runs on: what is known tells, else where RAM begins. */
static unsigned machine_of(const struct making *m, const struct container *c)
{
	struct vcpu_registers r;
	enum guest_machine machine = m->core->memory.base ? GUEST_AARCH64 : GUEST_X86_64;

	if (m->kernel)
		machine = m->kernel->space.machine;
	else if (vcpu_registers_read(c, 0, &r))
		machine = r.machine;
	return machine == GUEST_X86_64 ? EM_X86_64 : EM_AARCH64;
}

static void make_head(struct making *m, const struct container *c, uint64_t cpus)
{
	struct vcpu_registers r;
	Elf64_Ehdr *elf = (Elf64_Ehdr *)m->core->head;
	uint64_t cpu;

	m->notes_end = NOTES_AT;
	for (cpu = 0; cpu < cpus; cpu++)
		if (vcpu_registers_read(c, cpu, &r))
			add_registers(m, cpu, &r);
	if (m->kernel && m->kernel->info.size <= VMCOREINFO_ROOM)
		add_note(m, "VMCOREINFO", 0, m->kernel->info.text, m->kernel->info.size);
	m->program[0] = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = NOTES_AT,
		.p_filesz = m->notes_end - NOTES_AT,
		.p_memsz = m->notes_end - NOTES_AT,
	};
	m->programs = 1;
	add_ram(m);
	add_stacks(m, c, cpus);
	*elf = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = (Elf64_Half)machine_of(m, c),
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)m->programs,
	};
	memcpy(m->core->head + sizeof(Elf64_Ehdr), m->program, m->programs * sizeof(Elf64_Phdr));
}

int vmcore_make(struct vmcore *v, const struct container *c, const struct guest_memory *g,
		struct guest_kernel *k, struct error *e)
{
	uint64_t cpus = vcpu_count(c);
	struct making m = { .core = v, .kernel = k };

	*v = (struct vmcore){ .memory = *g, .head_size = head_size(cpus), .size = vmcore_size(cpus, g) };
	v->head = calloc(1, v->head_size);
	if (!v->head)
		return error_set(e, ENOMEM, "out of memory");
	make_head(&m, c, cpus);
	return 0;
}

void vmcore_free(struct vmcore *v)
{
	free(v->head);
	*v = (struct vmcore){ 0 };
}

/* Puts a piece of the head before those of RAM. */
struct joined {
	struct iovec head;
	ram_viewer *fn;
	void *ctx;
	int err;
};

static void join(void *ctx, struct iovec *pieces, int count)
{
	struct joined *j = ctx;
	struct iovec *all = malloc(((size_t)count + 1) * sizeof(*all));

	if (!all) {
		j->err = -ENOMEM;
		return;
	}
	all[0] = j->head;
	memcpy(all + 1, pieces, (size_t)count * sizeof(*all));
	j->fn(j->ctx, all, count + 1);
	free(all);
}

int vmcore_view(struct vmcore *v, size_t n, uint64_t offset, ram_viewer *fn, void *ctx)
{
	struct joined j = { .fn = fn, .ctx = ctx };
	uint64_t left = offset < v->size ? v->size - offset : 0;
	int err;

	if (n > left)
		n = left;
	if (offset >= v->head_size && n > 0)
		return ram_view(v->memory.ram, n, offset - v->head_size, fn, ctx);
	left = n > 0 ? v->head_size - offset : 0;
	j.head.iov_len = n < left ? n : left;
	/* A copy: who is told what it holds closes V, which may be gone before FN returns. */
	j.head.iov_base = malloc(j.head.iov_len + 1);
	if (!j.head.iov_base)
		return -ENOMEM;
	memcpy(j.head.iov_base, v->head + (n > 0 ? offset : 0), j.head.iov_len);
	if (n <= left) {
		fn(ctx, &j.head, 1);
		err = 0;
	} else {
		err = ram_view(v->memory.ram, n - left, 0, join, &j);
	}
	free(j.head.iov_base);
	return err ? err : j.err;
}

int64_t vmcore_seek(struct vmcore *v, uint64_t offset, int whence)
{
	uint64_t in_ram = offset > v->head_size ? offset - v->head_size : 0;
	int64_t at;

	if (offset >= v->size)
		return -ENXIO;
	if (offset < v->head_size && whence == SEEK_DATA)
		return (int64_t)offset;
	if (guest_size(&v->memory) == 0)
		return (int64_t)v->size;
	at = ram_seek(v->memory.ram, in_ram, whence);
	return at < 0 ? at : at + (int64_t)v->head_size;
}
