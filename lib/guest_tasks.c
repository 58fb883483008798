/* SPDX-License-Identifier: MIT */
/*
 * The kernel's tasks: a list of all processes, through a member of each, which begins with
 * the first task.  No offset is known but what BTF says; where there is none, the list is told
 * by its shape, and a member by what it holds in all of them.
 */
#include <stdlib.h>
#include <string.h>

#include "guest.h"
#include "guest_btf.h"
#include "le.h"

/* The first task's name, which is in the image; the longest name, with its NUL. */
static const char first_name[] = "swapper";
enum { NAME_SIZE = 16 };

enum {
	TASKS_MAX = 1 << 17,     /* in a list */
	/* Along lists, in all: what is no list of tasks ends after a few. */
	STEPS_MAX = TASKS_MAX + TASKS_MAX / 4,
	CANDIDATES = 64,         /* for the first task */
	WINDOW = 8192,           /* a list's member is at most so far before the name, */
	MEMBERS_WINDOW = 4096,   /* and what else is looked for */
	SAMPLES = 4096,          /* tasks that a member is told by */
	PID_LIMIT = 1 << 22,
	STACK_ALIGNMENT = 16384,
	PIECE = 65536,
};

/* Members, counted from the name's first byte. */
struct shape {
	int64_t tasks;
	bool has_pid, has_state, has_exit_state, has_stack;
	int64_t pid, state, exit_state, stack;
};

struct tasks {
	struct guest_kernel *kernel;
	struct shape shape;
	struct buffer names; /* 8 bytes each: the address of a task's name */
	struct buffer found; /* likewise, in the list that is followed */
	unsigned steps;   /* that may still be taken */
};

static bool is_pointer(const struct guest_kernel *k, uint64_t v)
{
	/* Of the kernel's half. */
	return (int64_t)v >> (k->space.va_bits - (k->space.machine == GUEST_X86_64)) == -1;
}

/* Read what is mapped of the N bytes before VA, from VA down, to where they belong in TO. */
static void read_before(struct guest_kernel *k, uint8_t *to, size_t n, uint64_t va)
{
	size_t take;

	for (; n > 0; n -= take, va -= take) {
		take = (va - 1) % RAM_PAGE + 1;
		if (take > n)
			take = n;
		if (guest_read_virtual(&k->space, to + n - take, take, va - take))
			return;
	}
}

/* Whether a name is at VA; PRINTED: as the kernel itself makes them. */
static bool has_name(struct guest_kernel *k, uint64_t va, bool printed)
{
	char name[NAME_SIZE];
	size_t i, n;

	if (guest_read_virtual(&k->space, name, sizeof(name), va))
		return false;
	n = strnlen(name, sizeof(name));
	for (i = 0; i < n && printed; i++)
		if (name[i] <= ' ' || name[i] == 0x7f)
			return false;
	return n < sizeof(name) && (n > 0 || !printed);
}

/* The names of users' processes can be anything, those of the first ones are the kernel's. */
enum { KERNEL_NAMES = 3 };

static size_t count_of(const struct buffer *names)
{
	return names->size / sizeof(uint64_t);
}

static uint64_t name_at(const struct buffer *names, size_t i)
{
	return le_get(names->bytes + i * sizeof(uint64_t), sizeof(uint64_t));
}

/*
 * Follow the list whose member of the first task is TASKS before the name at NAME, and have the
 * names in FOUND.  It ends where it comes back, or where what follows does not know of what is
 * before it.  How many there are; *WHOLE: it came back.
 */
static size_t follow(struct tasks *t, uint64_t name, int64_t tasks, bool *whole)
{
	struct guest_kernel *k = t->kernel;
	uint64_t head = name + (uint64_t)tasks, at = head, next, prev;
	size_t count = 0;

	*whole = false;
	t->found.size = 0;
	do {
		buffer_add_uint(&t->found, sizeof(at), at - (uint64_t)tasks);
		count++;
		if (t->steps == 0 || guest_read_number(&k->space, at, 8, &next) ||
		    !is_pointer(k, next) || next % 8 || next == at)
			return count;
		t->steps--;
		if (guest_read_number(&k->space, next + 8, 8, &prev) || prev != at)
			return count;
		if (next != head && !has_name(k, next - (uint64_t)tasks, count < KERNEL_NAMES))
			return count;
		at = next;
	} while (at != head && count < TASKS_MAX);
	*whole = at == head;
	return count;
}

/*
 * Members by what they hold
 */

/* The numbers of WIDTH bytes at offset AT, from the name on, of task I. */
static uint64_t member(const uint8_t *windows, size_t i, int64_t at, unsigned width)
{
	return le_get(windows + i * MEMBERS_WINDOW + (at + MEMBERS_WINDOW), width);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Whether the COUNT numbers at V are all different. */
static bool are_distinct(uint64_t *v, size_t count)
{
	size_t i;

	qsort(v, count, sizeof(*v), compare);
	for (i = 1; i < count; i++)
		if (v[i] == v[i - 1])
			return false;
	return true;
}

/* The first offset where each has its own small number: 0 the first task, 1 and 2 the next. */
static bool find_pid(const uint8_t *windows, size_t count, uint64_t *scratch, int64_t *offset)
{
	int64_t at;
	size_t i;

	for (at = -MEMBERS_WINDOW; at <= -4; at += 4) {
		for (i = 0; i < count; i++) {
			scratch[i] = member(windows, i, at, 4);
			if (i < 3 ? scratch[i] != i : scratch[i] >= PID_LIMIT)
				break;
		}
		if (i == count && are_distinct(scratch, count)) {
			*offset = at;
			return true;
		}
	}
	return false;
}

/* The first where each has a pointer of its own that a stack may have; those that have ended, none. */
static bool find_stack(const struct guest_kernel *k, const uint8_t *windows, size_t count,
		       uint64_t *scratch, int64_t *offset)
{
	size_t i, found;
	int64_t at;
	uint64_t v;

	for (at = -MEMBERS_WINDOW; at <= -8; at += 8) {
		for (i = found = 0; i < count; i++) {
			v = member(windows, i, at, 8);
			if (v % STACK_ALIGNMENT || (v ? !is_pointer(k, v) : i < KERNEL_NAMES))
				break;
			if (v)
				scratch[found++] = v;
		}
		if (i == count && found > count / 2 && are_distinct(scratch, found)) {
			*offset = at;
			return true;
		}
	}
	return false;
}

/* Find the members of the tasks in T. */
static int find_members(struct tasks *t, struct error *e)
{
	size_t count = count_of(&t->names) < SAMPLES ? count_of(&t->names) : SAMPLES, i;
	uint8_t *windows = malloc(count * MEMBERS_WINDOW);
	uint64_t *scratch = malloc(count * sizeof(*scratch));
	int err = windows && scratch ? 0 : error_set(e, ENOMEM, "out of memory");

	if (!err) {
		/* No member has that. */
		memset(windows, 0xff, count * MEMBERS_WINDOW);
		for (i = 0; i < count; i++)
			read_before(t->kernel, windows + i * MEMBERS_WINDOW, MEMBERS_WINDOW, name_at(&t->names, i));
		t->shape.has_pid = find_pid(windows, count, scratch, &t->shape.pid);
		t->shape.has_stack = find_stack(t->kernel, windows, count, scratch, &t->shape.stack);
	}
	free(windows);
	free(scratch);
	return err;
}

/*
 * The list
 */

/* Keep the list that was followed if it is longer than what T has. */
static void keep(struct tasks *t, int64_t tasks)
{
	struct buffer shorter = t->names;

	if (t->found.size <= t->names.size)
		return;
	t->names = t->found;
	t->found = shorter;
	t->shape.tasks = tasks;
}

/* The list of the first task whose name is at NAME: true if it is whole. */
static bool try_name(struct tasks *t, uint64_t name, bool known)
{
	uint8_t window[WINDOW] = { 0 };
	bool whole;
	size_t count;
	int64_t at;

	if (known) {
		count = follow(t, name, t->shape.tasks, &whole);
		if (count >= KERNEL_NAMES)
			keep(t, t->shape.tasks);
		return whole && count >= KERNEL_NAMES;
	}
	read_before(t->kernel, window, sizeof(window), name);
	for (at = -WINDOW; at <= -16; at += 8) {
		if (!is_pointer(t->kernel, le_get(window + WINDOW + at, 8)))
			continue;
		count = follow(t, name, at, &whole);
		if (count < KERNEL_NAMES)
			continue;
		keep(t, at);
		if (whole)
			return true;
	}
	return false;
}

/* Find the list, with the offset in T->shape.tasks if it is KNOWN. */
static int find_list(struct tasks *t, bool known, struct error *e)
{
	struct guest_kernel *k = t->kernel;
	uint8_t *piece = malloc(PIECE);
	const uint8_t *p, *end;
	unsigned left = CANDIDATES;
	uint64_t at, take;
	bool whole = false;
	int err = piece ? 0 : error_set(e, ENOMEM, "out of memory");

	for (at = 0; !err && !whole && left > 0 && at < k->image_size; at += take) {
		take = k->image_size - at < PIECE ? k->image_size - at : PIECE;
		err = guest_read(&k->memory, piece, take, k->image_pa + at);
		if (err) {
			guest_unreadable(err, "the kernel's image", e);
			break;
		}
		end = piece + take;
		for (p = piece; !whole && left > 0; p++) {
			p = memmem(p, (size_t)(end - p), first_name, sizeof(first_name) - 1);
			if (!p || end - p < NAME_SIZE)
				break;
			if ((p - piece) % 8 || (p[7] != 0 && (p[7] != '/' || p[8] != '0' || p[9] != 0)))
				continue;
			left--;
			whole = try_name(t, k->image + at + (uint64_t)(p - piece), known);
		}
		/* A piece and what overlaps are multiples of 8. */
		if (take == PIECE)
			take -= NAME_SIZE;
	}
	free(piece);
	if (!err && (t->names.failed || t->found.failed))
		err = error_set(e, ENOMEM, "out of memory");
	return err;
}

/* The shape that BTF gives; false if it has not all of it. */
static bool shape_by_btf(struct guest_kernel *k, struct shape *s)
{
	struct btf_want m[] = {
		{ .name = "comm" }, { .name = "tasks" }, { .name = "pid" }, { .name = "stack" },
		{ .name = "exit_state" }, { .name = "__state" }, { .name = "state" }, { 0 }
	};
	const struct btf_want *state = &m[5];

	if (guest_btf_find(k, "task_struct", m) || !m[0].found || !m[1].found)
		return false;
	if (!state->found)
		state = &m[6];
	*s = (struct shape){
		.tasks = (int64_t)m[1].offset - m[0].offset,
		.has_pid = m[2].found, .pid = (int64_t)m[2].offset - m[0].offset,
		.has_stack = m[3].found, .stack = (int64_t)m[3].offset - m[0].offset,
		.has_exit_state = m[4].found, .exit_state = (int64_t)m[4].offset - m[0].offset,
		.has_state = state->found, .state = (int64_t)state->offset - m[0].offset,
	};
	return true;
}

/* As /proc/PID/stat has it, and ps(1): by the highest bit of both that is told, R if there is none. */
static char state_letter(uint64_t state, uint64_t exit_state)
{
	/* IDLE: it waits for work, and is not counted as busy.  Who is FROZEN, or waits for an RTLOCK, is D. */
	enum { TOLD = 0x7f, IDLE = 0x402, RTLOCK = 0x1000, FROZEN = 0x8000 };
	static const char letters[] = "RSDTtXZP";
	uint64_t told = (state | exit_state) & TOLD;
	unsigned i;

	if (state & (RTLOCK | FROZEN))
		return 'D';
	if ((state & IDLE) == IDLE)
		return 'I';
	for (i = 0; told >> i; i++)
		;
	return letters[i];
}

/* A line: pid, state, stack and name, with - for what is not known. */
static int print_task(struct tasks *t, uint64_t at, struct buffer *out, struct error *e)
{
	struct guest_space *s = &t->kernel->space;
	const struct shape *shape = &t->shape;
	char name[NAME_SIZE + 1] = { 0 };
	uint64_t pid, state, exit_state = 0, stack;
	const char *c;
	int err = 0;

	/* A task that can't be read was changed meanwhile. */
	if (guest_read_virtual(s, name, NAME_SIZE, at) ||
	    (shape->has_pid && guest_read_number(s, at + (uint64_t)shape->pid, 4, &pid)) ||
	    (shape->has_state && guest_read_number(s, at + (uint64_t)shape->state, 4, &state)) ||
	    (shape->has_exit_state && guest_read_number(s, at + (uint64_t)shape->exit_state, 4, &exit_state)) ||
	    (shape->has_stack && guest_read_number(s, at + (uint64_t)shape->stack, 8, &stack)))
		return 0;
	err = shape->has_pid ? guest_print(out, e, "%u ", (unsigned)pid) : guest_print(out, e, "- ");
	if (!err)
		err = guest_print(out, e, "%c ", shape->has_state ? state_letter(state, exit_state) : '-');
	if (!err)
		err = shape->has_stack ? guest_print(out, e, "0x%016llx ", (unsigned long long)stack)
				       : guest_print(out, e, "- ");
	for (c = name; *c && !err; c++)
		err = (uint8_t)*c < ' ' || (uint8_t)*c >= 0x7f || *c == '\\'
			? guest_print(out, e, "\\x%02x", (uint8_t)*c)
			: guest_print(out, e, "%c", *c);
	return err ? err : guest_print(out, e, "\n");
}

int guest_tasks(struct guest_kernel *k, struct buffer *out, struct error *e)
{
	struct tasks t = { .kernel = k, .steps = STEPS_MAX };
	bool known = shape_by_btf(k, &t.shape);
	size_t i;
	int err;

	err = find_list(&t, known, e);
	if (!err && count_of(&t.names) == 0)
		err = error_set(e, ENOENT, "the kernel's list of tasks is not found");
	if (!err && !known)
		err = find_members(&t, e);
	for (i = 0; i < count_of(&t.names) && !err; i++)
		err = print_task(&t, name_at(&t.names, i), out, e);
	buffer_free(&t.names);
	buffer_free(&t.found);
	return err;
}
