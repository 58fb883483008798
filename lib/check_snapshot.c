/* SPDX-License-Identifier: MIT */
#include "check_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "leaf.h"
#include "queue.h"

/*
 * What rules ask
 */

const char *check_path(char out[CHECK_PATH], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(out, CHECK_PATH, format, ap);
	va_end(ap);
	return out;
}

/* Whether ERR is none; where memory ran out, that it is not known. */
static bool is_well(struct check *k, int err)
{
	if (err == -ENOMEM)
		k->err = err;
	return !err;
}

bool check_has(struct check *k, const char *path)
{
	struct node n;

	return is_well(k, container_find(k->c, path, &n));
}

uint64_t check_number(struct check *k, const char *path)
{
	uint64_t v = 0;

	container_number(k->c, path, &v);
	return v;
}

bool check_value(struct check *k, const char *path, struct value *out)
{
	struct node n;

	return is_well(k, container_find(k->c, path, &n)) && !container_is_directory(k->c, n) &&
	       is_well(k, container_value(k->c, n, out));
}

bool check_is(struct check *k, const char *path, const char *word)
{
	struct buffer text = { 0 };
	struct node n;
	bool is = is_well(k, container_find(k->c, path, &n)) &&
		  is_well(k, leaf_show(k->c, n, 0, SIZE_MAX, &text)) &&
		  text.size == strlen(word) + 1 && memcmp(text.bytes, word, text.size - 1) == 0;

	buffer_free(&text);
	return is;
}

bool check_is_device(struct check *k, uint64_t index, const char *kind, const char *backing)
{
	char path[CHECK_PATH];

	return check_is(k, check_path(path, "devices/%" PRIu64 "/kind", index), kind) &&
	       check_is(k, check_path(path, "devices/%" PRIu64 "/backing/type", index), backing);
}

uint64_t check_count(struct check *k, const char *path)
{
	uint64_t count = 0;
	struct node n;

	if (is_well(k, container_find(k->c, path, &n)))
		is_well(k, container_count(k->c, n, &count));
	return count;
}

/*
 * Rules
 */

static void check_memory_size(struct check *k)
{
	uint64_t size = check_number(k, "mem_size");

	if (size == 0 || size % RAM_PAGE)
		finding_tell(k->to, LEVEL_ERROR, "mem_size", "a multiple of 4096 that is not 0",
			     "a guest cannot have %" PRIu64 " bytes of memory", size);
}

static void check_cpu_count(struct check *k)
{
	uint64_t said = check_number(k, "num_cpus"), there = check_count(k, "vcpu");

	if (said != there)
		finding_tell(k->to, LEVEL_WARNING, "num_cpus", "the number of states in vcpu",
			     "%" PRIu64 ", and there are states of %" PRIu64 " vCPUs", said, there);
}

/* Which backings go with a kind; null ends, and a kind without any takes all. */
static const struct pairing {
	const char *kind;
	const char *backing;
	bool single; /* the last one counts alone */
} pairings[] = {
	{ "blk", "disk", true }, { "vsock", NULL, true }, { "volume", "volume", false },
	{ "virtiofs", "virtiofs", false },
};

static void check_pairing(struct check *k, const struct pairing *p)
{
	uint64_t i, count = check_count(k, "devices"), last = UINT64_MAX;
	char path[CHECK_PATH], type[CHECK_PATH];

	for (i = 0; i < count; i++) {
		if (!check_is(k, check_path(path, "devices/%" PRIu64 "/kind", i), p->kind))
			continue;
		if (p->single && last != UINT64_MAX)
			finding_tell(k->to, LEVEL_WARNING, check_path(type, "devices/%" PRIu64 "/kind", last),
				     "one such device", "%s, as a later device is: the last one counts alone",
				     p->kind);
		last = i;
		if (p->backing && !check_is(k, check_path(type, "devices/%" PRIu64 "/backing/type", i), p->backing))
			finding_tell(k->to, LEVEL_ERROR, path, p->backing,
				     "%s with another backing", p->kind);
	}
}

void check_pairings(struct check *k)
{
	size_t i;

	for (i = 0; i < sizeof(pairings) / sizeof(pairings[0]); i++)
		check_pairing(k, &pairings[i]);
}

static void check_hvf(struct check *k)
{
	uint64_t i, count = check_count(k, "vcpu");
	char path[CHECK_PATH];

	if (!count)
		finding_tell(k->to, LEVEL_ERROR, "vcpu", "the state of one at least", "there is no vCPU");
	for (i = 0; i < count; i++)
		if (!check_has(k, check_path(path, "vcpu/%" PRIu64 "/vtimer_offset", i)))
			finding_tell(k->to, LEVEL_ERROR, check_path(path, "vcpu/%" PRIu64 "/raw", i),
				     "lists of registers", "is no state of an aarch64 vCPU");
}

/*
 * Virtqueues
 */

struct queue_job {
	struct check *k;
	const char *folder; /* of the queue */
};

static void tell_queue(void *ctx, const struct finding *f)
{
	struct queue_job *job = ctx;
	char path[CHECK_PATH];

	finding_tell(job->k->to, f->level, check_path(path, "%s/%s", job->folder, f->path), f->right,
		     "%s", f->wrong);
}

static void check_queue(struct check *k, const char *folder)
{
	struct queue_job job = { k, folder };
	struct findings to = { tell_queue, &job };
	struct queue q;
	int err = queue_get(k->c, snapshot_ram(k->s), folder, &q);

	if (err) {
		k->err = err;
		return;
	}
	vring_check(&q.ring, &to);
	queue_put(&q);
}

/* Why there is no guest memory to look into; null if there is. */
static const char *why_no_memory(struct check *k)
{
	struct ram *ram = snapshot_ram(k->s);

	if (!ram)
		return "the snapshot has no RAM in it";
	if (ram_diff(ram) && !source_base_path(ram_diff(ram)))
		return "the base is not to be had";
	return NULL;
}

static void check_queues(struct check *k)
{
	uint64_t i, j, devices = check_count(k, "devices"), queues;
	const char *why = why_no_memory(k);
	char path[CHECK_PATH];

	if (why && devices)
		finding_tell(k->to, LEVEL_NOTE, "ram", "a snapshot, and its base, with all of the RAM",
			     "%s: virtqueues are not judged", why);
	for (i = 0; !why && i < devices; i++) {
		queues = check_count(k, check_path(path, "devices/%" PRIu64 "/mmio/queues", i));
		for (j = 0; j < queues && !k->err; j++)
			check_queue(k, check_path(path, "devices/%" PRIu64 "/mmio/queues/%" PRIu64, i, j));
	}
}

static const struct rule {
	unsigned machines; /* whose snapshots it is for */
	void (*check)(struct check *k);
} rules[] = {
	{ MACHINE_ANY, check_memory_size },
	{ MACHINE_ANY, check_cpu_count },
	{ MACHINE_ANY, check_pairings },
	{ MACHINE_KVM, check_kvm_intc },
	{ MACHINE_KVM, check_kvm_vcpus },
	{ MACHINE_HVF, check_hvf },
	{ MACHINE_ANY, check_disks },
	{ MACHINE_ANY, check_shares },
	{ MACHINE_ANY, check_queues },
	{ MACHINE_ANY, check_base },
	{ MACHINE_KVM, check_metadata },
};

int check_snapshot(struct snapshot *s, const struct container *c, const char *host_root,
		   const struct findings *to)
{
	struct check k = { .s = s, .c = c, .host_root = host_root, .to = to };
	unsigned machines = snapshot_layout(s)->head->machines;
	size_t i;

	/* Whose a bare one is, its states say. */
	if (machines == MACHINE_ANY)
		machines = check_has(&k, "vcpu/0/vtimer_offset") ? MACHINE_HVF : MACHINE_KVM;
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]) && !k.err; i++)
		if (rules[i].machines & machines)
			rules[i].check(&k);
	return k.err;
}
