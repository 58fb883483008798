/* SPDX-License-Identifier: MIT */
/*
 * What a blob may hold: decoding it from any bytes, and edits of what is inside.
 *
 * An input is a byte that says of what kind the blob is; three edits (a u16 that chooses the
 * leaf, and 16 bytes of a value), and the blob's bytes.  One in so many is looked at as JSON too,
 * and looked up, which takes time.  It is not for the input to say which, or what is kept would all say it.
 */
#include <json-c/json_object.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "le.h"
#include "text.h"

enum { THOROUGH = 64, EDITS = 3, VALUE_SIZE = 16, LEAVES_MAX = 4096, SHOWN_MAX = 64 };

/* Where the blob is in a head around it. */
static const struct place_of {
	const struct field *head;
	const char *directory;
} kinds[] = {
	{ &format_kvm, "vcpu/0" },
	{ &format_hvf, "vcpu/0" },
	{ &format_bare, "vcpu/0" },
	{ &format_kvm, "intc" },
	{ &format_kvm, "devices/0/backing/backend_state" },
	{ &format_kvm, "devices/0/backing/dax_state" },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static void add_blob(struct buffer *out, bool here, const uint8_t *p, size_t n)
{
	buffer_add_uint(out, 4, here ? n : 0);
	if (here && n)
		buffer_add(out, p, n);
}

/* A head that has the N bytes at P as the blob of the kind K and nothing else; where they start in *AT. */
static void build(unsigned k, const uint8_t *p, size_t n, struct buffer *out, size_t *at)
{
	if (kinds[k].head == &format_kvm) {
		buffer_add(out, "SMSNAP07", 8);
		buffer_add_uint(out, 8, 1 << 20);
	} else if (kinds[k].head == &format_hvf) {
		buffer_add(out, "SMSNAP\n", 8);
		buffer_add_uint(out, 8, FORMAT_HVF_VERSION);
		buffer_add(out, NULL, 16);
	}
	buffer_add(out, NULL, 1 + 8 + 6 + 16);
	*at = out->size + 4;
	add_blob(out, k == 3, p, n);
	buffer_add_uint(out, 4, 1);
	*at = k < 3 ? out->size + 4 : *at;
	add_blob(out, k < 3, p, n);
	buffer_add_uint(out, 4, 1);
	buffer_add(out, "\3", 1);
	buffer_add(out, NULL, 20);
	buffer_add(out, "\3", 1);
	buffer_add(out, NULL, 3 * 4 + 16);
	*at = k == 4 ? out->size + 4 : *at;
	add_blob(out, k == 4, p, n);
	*at = k == 5 ? out->size + 4 : *at;
	add_blob(out, k == 5, p, n);
	buffer_add(out, NULL, 1 + 4);
	demand(!out->failed, "out of memory");
}

struct world {
	const struct container *c;
	struct node leaves[LEAVES_MAX];
	size_t count;
};

static void note_leaf(void *ctx, const struct container *c, struct node n)
{
	const struct field *row = container_row(c, n);
	uint8_t scratch[TEXT_SCRATCH];
	struct buffer text = { 0 };
	struct world *w = ctx;
	struct value v, again;

	if (row->kind == RAW)
		return;
	demand(!container_value(c, n, &v), "a leaf that is listed is not there");
	text_print(row, &v, &text);
	demand(!text.failed && text.size == text_size(row, &v), "text of another size");
	if (row->kind == UINT && !row->only)
		demand(!text_parse(row, (char *)text.bytes, text.size, scratch, &again) && again.size == v.size &&
		       (row->none || row->base == BOOL || memcmp(again.bytes, v.bytes, v.size) == 0),
		       "its own text is another value: %.*s", (int)text.size, text.bytes);
	buffer_free(&text);
	if (w->count < LEAVES_MAX)
		w->leaves[w->count++] = n;
}

/* What is decoded anew from what C encodes to shows what C does. */
static void check_anew(unsigned k, const struct container *c)
{
	json_object *o = json_from_container(c, true), *again;
	struct buffer out = { 0 }, built = { 0 };
	struct container *fresh = NULL;
	struct error e = { 0 };

	container_encode(c, NULL, &out);
	demand(!fuzz_decode(kinds[k].head, out.bytes, out.size, 0, &fresh, &e), "%s", e.text);
	again = json_from_container(fresh, true);
	demand(o && again && json_object_equal(o, again), "decoded anew it shows something else");
	demand(!json_to_container(kinds[k].head, o, &built, &e), "its own JSON is refused: %s", e.text);
	demand_bytes("built from its JSON", &built, out.bytes, out.size);
	json_object_put(again);
	json_object_put(o);
	container_free(fresh);
	buffer_free(&built);
	buffer_free(&out);
}

static void edit(struct container *c, struct world *w, struct input *in, size_t blob, size_t n)
{
	struct node leaf = w->leaves[input_uint(in, 2) % w->count], owner;
	const struct field *row = container_row(c, leaf);
	struct buffer before = { 0 }, after = { 0 };
	uint8_t bytes[VALUE_SIZE * 2] = { 0 };
	struct value v = { bytes, row->size }, got;
	struct edits edits = { 0 };
	size_t taken, i, changed = 0;
	uint64_t at;

	memcpy(bytes, input_bytes(in, VALUE_SIZE, &taken), taken < VALUE_SIZE ? taken : VALUE_SIZE);
	if (!container_is_inside(c, leaf, &owner) || row->access == RO || container_check(c, leaf) ||
	    value_check_size(row, row->size) || value_check(row, &v))
		return;
	demand(!container_offset_inside(c, leaf, &at) && at + row->size <= n, "it is past the blob's end");
	container_encode(c, NULL, &before);
	demand(!edits_add(&edits, c, leaf, &v, (struct timespec){ 0 }), "not edited");
	demand(!container_reserve(c, 1), "out of memory");
	container_apply(c, &edits);
	container_encode(c, NULL, &after);
	demand(before.size == after.size && !before.failed && !after.failed, "another size");
	demand(memcmp(after.bytes + blob + at, bytes, row->size) == 0, "other bytes than those of the value");
	for (i = 0; i < after.size; i++)
		changed += before.bytes[i] != after.bytes[i];
	demand(changed <= row->size || container_is_counted(c, leaf), "%zu bytes of another field", changed);
	/* A version that is another says that there is something else. */
	if (!container_check(c, leaf))
		demand(!container_value(c, leaf, &got) && got.size == v.size &&
		       memcmp(got.bytes, bytes, v.size) == 0, "it shows another value");
	buffer_free(&before);
	buffer_free(&after);
}

static unsigned sum(const uint8_t *p, size_t n)
{
	unsigned all = 0;

	while (n-- > 0)
		all += p[n];
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t head = 1 + EDITS * (2 + VALUE_SIZE);
	struct input in = { data, size < head ? size : head };
	unsigned k = (unsigned)input_uint(&in, 1) % KINDS, i;
	bool thorough = sum(data, size) % THOROUGH == 0;
	const uint8_t *blob = data + (size < head ? size : head);
	size_t n = size < head ? 0 : size - head, at;
	static struct world w;
	struct buffer bytes = { 0 };
	struct container *c = NULL;
	struct node directory;
	struct error e;

	build(k, blob, n, &bytes, &at);
	demand(!fuzz_decode(kinds[k].head, bytes.bytes, bytes.size, 0, &c, &e), "%s", e.text);
	demand(!container_find(c, kinds[k].directory, &directory), "no directory");
	w = (struct world){ .c = c };
	fuzz_leaves(c, directory, thorough, note_leaf, &w);
	demand(w.count > 0, "no raw");
	if (thorough)
		check_anew(k, c);
	for (i = 0; i < EDITS && w.count > 1; i++)
		edit(c, &w, &in, at, n);
	if (w.count > 1 && thorough)
		check_anew(k, c);
	container_free(c);
	buffer_free(&bytes);
	return 0;
}
