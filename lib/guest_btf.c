/* SPDX-License-Identifier: MIT */
#include "guest_btf.h"

#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>

#include "le.h"

/* Of a kernel: a few MiB. */
enum { BTF_MAX = 24 << 20 };

/* The search reads so much at a time, and looks at so many of what may be BTF. */
enum { PIECE = 65536, CANDIDATES = 16, ALIGNMENT = 4 };

/* Bytes of a type after its head: so many, and so many more for each of its members. */
static const struct {
	uint8_t fixed, each;
} bodies[] = {
	[BTF_KIND_UNKN] = { 0, 0 },
	[BTF_KIND_INT] = { 4, 0 },
	[BTF_KIND_PTR] = { 0, 0 },
	[BTF_KIND_ARRAY] = { 12, 0 },
	[BTF_KIND_STRUCT] = { 0, 12 },
	[BTF_KIND_UNION] = { 0, 12 },
	[BTF_KIND_ENUM] = { 0, 8 },
	[BTF_KIND_FWD] = { 0, 0 },
	[BTF_KIND_TYPEDEF] = { 0, 0 },
	[BTF_KIND_VOLATILE] = { 0, 0 },
	[BTF_KIND_CONST] = { 0, 0 },
	[BTF_KIND_RESTRICT] = { 0, 0 },
	[BTF_KIND_FUNC] = { 0, 0 },
	[BTF_KIND_FUNC_PROTO] = { 0, 8 },
	[BTF_KIND_VAR] = { 4, 0 },
	[BTF_KIND_DATASEC] = { 0, 12 },
	[BTF_KIND_FLOAT] = { 0, 0 },
	[BTF_KIND_DECL_TAG] = { 4, 0 },
	[BTF_KIND_TYPE_TAG] = { 0, 0 },
	[BTF_KIND_ENUM64] = { 0, 12 },
};

enum { HEAD = 24, TYPE_HEAD = 12, MEMBER = 12 };

/* What the head says: where the types and the strings are in the N bytes at P. */
struct btf {
	const uint8_t *types, *strings;
	size_t types_size, strings_size;
};

/* Bytes that the BTF takes that the N bytes at P, at least a head, begin; 0 if it can't be one. */
static uint64_t btf_size(const uint8_t *p)
{
	uint64_t types = le_get(p + 4, 4), strings = types;

	if (le_get(p, 2) != BTF_MAGIC || p[2] != BTF_VERSION || types < HEAD || types > BTF_MAX)
		return 0;
	types += le_get(p + 8, 4) + le_get(p + 12, 4);
	strings += le_get(p + 16, 4) + le_get(p + 20, 4);
	if (types < strings)
		types = strings;
	return types <= BTF_MAX ? types : 0;
}

static bool open_btf(const uint8_t *p, size_t n, struct btf *b)
{
	uint64_t size = n >= HEAD ? btf_size(p) : 0;
	uint64_t head;

	if (size == 0 || size > n)
		return false;
	head = le_get(p + 4, 4);
	b->types = p + head + le_get(p + 8, 4);
	b->types_size = le_get(p + 12, 4);
	b->strings = p + head + le_get(p + 16, 4);
	b->strings_size = le_get(p + 20, 4);
	return b->strings_size > 0 && b->strings[b->strings_size - 1] == 0;
}

static const char *string(const struct btf *b, uint64_t offset)
{
	return offset < b->strings_size ? (const char *)b->strings + offset : "";
}

/* Find MEMBERS among the COUNT at P. */
static void find_members(const struct btf *b, const uint8_t *p, size_t count, bool bit_fields,
			 struct btf_want *members)
{
	struct btf_want *m;
	uint32_t bits;

	for (; count > 0; count--, p += MEMBER) {
		const char *name = string(b, le_get(p, 4));

		for (m = members; m->name; m++) {
			if (m->found || strcmp(m->name, name))
				continue;
			bits = (uint32_t)le_get(p + 8, 4);
			m->offset = (bit_fields ? BTF_MEMBER_BIT_OFFSET(bits) : bits) / 8;
			m->found = true;
		}
	}
}

int btf_find(const uint8_t *p, size_t n, const char *structure, struct btf_want *members)
{
	struct btf b;
	size_t at = 0, size, count, kind;
	uint32_t info;

	if (!open_btf(p, n, &b))
		return -ENOENT;
	for (; b.types_size - at >= TYPE_HEAD; at += size) {
		info = (uint32_t)le_get(b.types + at + 4, 4);
		kind = BTF_INFO_KIND(info);
		count = BTF_INFO_VLEN(info);
		if (kind >= sizeof(bodies) / sizeof(bodies[0]))
			return -ENOENT;
		size = TYPE_HEAD + bodies[kind].fixed + bodies[kind].each * count;
		if (size > b.types_size - at)
			return -ENOENT;
		if (kind == BTF_KIND_STRUCT && strcmp(string(&b, le_get(b.types + at, 4)), structure) == 0) {
			find_members(&b, b.types + at + TYPE_HEAD, count, BTF_INFO_KFLAG(info), members);
			return 0;
		}
	}
	return -ENOENT;
}

/* The same in what begins at PA, with HEAD there. */
static int try_at(struct guest_kernel *k, uint64_t pa, const uint8_t *head, const char *structure,
		  struct btf_want *members)
{
	uint64_t size = btf_size(head);
	uint8_t *all;
	int err;

	if (size == 0 || size > k->image_pa + k->image_size - pa)
		return -ENOENT;
	all = malloc(size);
	if (!all)
		return -ENOMEM;
	err = guest_read(&k->memory, all, size, pa);
	if (!err)
		err = btf_find(all, size, structure, members);
	free(all);
	return err;
}

int guest_btf_find(struct guest_kernel *k, const char *structure, struct btf_want *members)
{
	static const uint8_t magic[] = { BTF_MAGIC & 255, BTF_MAGIC >> 8, BTF_VERSION, 0 };
	uint8_t *piece = malloc(PIECE);
	const uint8_t *p, *end;
	uint64_t at, take;
	unsigned left = CANDIDATES;
	int err = piece ? -ENOENT : -ENOMEM;

	for (at = 0; err == -ENOENT && at < k->image_size; at += take) {
		take = k->image_size - at < PIECE ? k->image_size - at : PIECE;
		err = guest_read(&k->memory, piece, take, k->image_pa + at);
		if (err)
			break;
		err = -ENOENT;
		end = piece + take;
		for (p = piece; err == -ENOENT && left > 0; p++) {
			p = memmem(p, (size_t)(end - p), magic, sizeof(magic));
			if (!p || end - p < HEAD)
				break;
			if ((p - piece) % ALIGNMENT || btf_size(p) == 0)
				continue;
			left--;
			err = try_at(k, k->image_pa + at + (uint64_t)(p - piece), p, structure, members);
		}
		if (left == 0)
			break;
		if (take == PIECE)
			take -= HEAD;
	}
	free(piece);
	return err;
}
