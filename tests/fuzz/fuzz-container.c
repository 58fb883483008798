/* SPDX-License-Identifier: MIT */
/*
 * Decoding a head from any bytes, of the layout that their magic says, or a file beside a
 * snapshot, and what comes of it.
 */
#include <inttypes.h>
#include <json-c/json_object.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "text.h"

/* Where in a file the bytes are said to be, for offsets in errors. */
enum { BASE = 0x10000 };

/* The layout that the N bytes at DATA begin as. */
static const struct field *head_of(const uint8_t *data, size_t n)
{
	if (n >= 8 && memcmp(data, "SMSNAP07", 8) == 0)
		return &format_kvm;
	if (n >= 8 && memcmp(data, "SMSNAP7D", 8) == 0)
		return &format_kvm_diff;
	if (n >= 4 && memcmp(data, "PFXS", 4) == 0)
		return &format_posixfs;
	if (n >= 4 && memcmp(data, "DAXC", 4) == 0)
		return &format_dax;
	if (n >= 4 && memcmp(data, "SMPK", 4) == 0)
		return &format_smpark;
	return n >= 8 && memcmp(data, "SMSNAP\n", 8) == 0 ? &format_hvf : &format_bare;
}

/* A file beside a snapshot is not in the JSON. */
static bool is_beside(const struct field *head)
{
	return head == &format_posixfs || head == &format_dax || head == &format_smpark;
}

/* What follows the bytes must not matter where they are wrong already. */
static void check_malformed(const struct error *e, const uint8_t *data, size_t size)
{
	struct container *c = NULL;
	struct error longer;
	uint8_t *more = malloc(size + 64);

	demand(more, "out of memory");
	memcpy(more, data, size);
	memset(more + size, 0, 64);
	demand(fuzz_decode(head_of(data, size), more, size + 64, BASE, &c, &longer) ==
	       -ERR_MALFORMED && strcmp(longer.text, e->text) == 0,
	       "\"%s\", and with more bytes \"%s\"", e->text, longer.text);
	free(more);
}

static void check_refused(int err, const struct error *e, const uint8_t *data, size_t size)
{
	const char *place = strstr(e->text, ": offset 0x"), *needs;
	uint64_t offset, need, left;

	demand_told(err, e);
	demand(err == -ERR_TRUNCATED || err == -ERR_MALFORMED, "refused with %d", err);
	demand(place && place > e->text, "no path or no offset: %s", e->text);
	offset = strtoull(place + strlen(": offset "), NULL, 16);
	demand(offset >= BASE && offset - BASE <= size, "%s: of %zu bytes", e->text, size);
	if (err == -ERR_MALFORMED) {
		check_malformed(e, data, size);
		return;
	}
	needs = strstr(place, "needs ");
	demand(needs && sscanf(needs, "needs %" SCNu64 " byte%*[s,] %" SCNu64 " left", &need, &left) == 2,
	       "%s", e->text);
	demand(left == BASE + size - offset && need > left, "%s: of %zu bytes", e->text, size);
}

/* A container that ends early is no container. */
static void check_prefix(const struct field *head, const uint8_t *data, size_t n)
{
	struct container *c = NULL;
	struct error e;

	demand(fuzz_decode(head, data, n, 0, &c, &e) == -ERR_TRUNCATED,
	       "the first %zu bytes are not refused", n);
	demand(!c, "something was left behind");
}

static void check_raw(const struct container *c, struct node n, const uint8_t *data)
{
	struct buffer raw = { 0 };

	container_raw(c, n, 0, UINT64_MAX, &raw);
	demand_bytes("raw", &raw, data + n.offset, container_raw_size(c, n));
	buffer_free(&raw);
}

static void check_leaf(void *ctx, const struct container *c, struct node n)
{
	const struct field *row = container_row(c, n);
	struct buffer text = { 0 };
	struct value v;

	if (row->kind == RAW) {
		check_raw(c, n, ctx);
		return;
	}
	demand(!container_value(c, n, &v), "a leaf that is listed is not there");
	demand(row->kind == TAG || row->kind == WORD || !value_check(row, &v), "a value that can't be");
	text_print(row, &v, &text);
	demand(!text.failed && text.size == text_size(row, &v), "text of another size");
	buffer_free(&text);
}

/*
 * What is built from the JSON of C is C again, but for what nobody reads: a `ready` above 1 and
 * the high half of an inet_port.
 */
static void check_json(const struct container *c, const uint8_t *data)
{
	const struct field *head = head_of(data, container_size(c));
	json_object *o = json_from_container(c, false), *again;
	struct container *built_c = NULL;
	struct buffer built = { 0 };
	struct error e = { 0 };

	demand(o, "no JSON");
	demand(!json_to_container(head, o, &built, &e), "its own JSON is refused: %s", e.text);
	demand(built.size == container_size(c), "built from its JSON: another size");
	demand(!fuzz_decode(head, built.bytes, built.size, 0, &built_c, &e),
	       "what is built is refused: %s", e.text);
	again = json_from_container(built_c, false);
	fuzz_forget_pages(o);
	demand(again && json_object_equal(o, again), "other JSON of what is built");
	json_object_put(again);
	container_free(built_c);
	buffer_free(&built);
	json_object_put(o);
}

static void check_accepted(const struct container *c, const uint8_t *data, size_t size)
{
	struct buffer out = { 0 };
	uint64_t n = container_size(c);

	demand(n > 0 && n <= size, "it takes %" PRIu64 " of %zu bytes", n, size);
	container_encode(c, NULL, &out);
	demand_bytes("encoding", &out, data, n);
	buffer_free(&out);
	fuzz_leaves(c, container_root(), true, check_leaf, (void *)data);
	if (!is_beside(head_of(data, size)))
		check_json(c, data);
	check_prefix(head_of(data, n), data, n - 1);
	check_prefix(head_of(data, n), data, n / 2);
	check_prefix(head_of(data, n), data, n * data[n / 3] / 256);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct container *c = NULL;
	struct error e;
	int err = fuzz_decode(head_of(data, size), data, size, BASE, &c, &e);

	if (err) {
		demand(!c, "refused, and something was left behind");
		check_refused(err, &e, data, size);
	} else {
		demand(!e.code, "accepted with an error");
		check_accepted(c, data, size);
		container_free(c);
	}
	return 0;
}
