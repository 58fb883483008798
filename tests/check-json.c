/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <json-c/json.h>

#include "json.h"

/* A JSON value from text, by the parser that is not ours. */
static json_object *parsed(const char *text)
{
	enum json_tokener_error why;
	json_object *o = json_tokener_parse_verbose(text, &why);

	ck_assert_msg(why == json_tokener_success, "the test's own JSON is wrong: %s", text);
	return o;
}

/* What all that there can be is as JSON. */
static json_object *full_json(void)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	json_object *top = json_from_container(c, false);

	ck_assert_ptr_nonnull(top);
	container_free(c);
	bytes_free(&b);
	return top;
}

/* The value at PATH in TOP, or, of its last component, what it is to be found in. */
static json_object *at(json_object *top, const char *path, char last[64])
{
	char copy[128];
	char *name, *rest = copy;
	json_object *in = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((name = strsep(&rest, "/"))) {
		in = top;
		if (last)
			snprintf(last, 64, "%s", name);
		if (json_object_is_type(top, json_type_array))
			top = json_object_array_get_idx(top, strtoul(name, NULL, 10));
		else
			json_object_object_get_ex(top, name, &top);
	}
	return last ? in : top;
}

/* Put VALUE at PATH, or take away what is there if VALUE is null. */
static void put(json_object *top, const char *path, const char *value)
{
	char last[64];
	json_object *in = at(top, path, last);

	if (!value)
		json_object_object_del(in, last);
	else if (json_object_is_type(in, json_type_array))
		json_object_array_put_idx(in, strtoul(last, NULL, 10), parsed(value));
	else
		json_object_object_add(in, last, parsed(value));
}

static void check_built(json_object *top, const void *expected, size_t size)
{
	struct buffer out = { 0 };
	struct error e = { 0 };

	if (json_to_container(&format_bare, top, &out, &e))
		ck_abort_msg("refused: %s", e.text);
	check_bytes("container", out.bytes, out.size, expected, size);
	buffer_free(&out);
}

/*
 * What is right
 */

/* The head of which ROOT is the row that the text of TOP makes, in OUT. */
static void build_from_text(const struct field *root, json_object *top, struct buffer *out)
{
	json_object *again = NULL;
	struct error e = { 0 };
	const char *text;
	size_t n;

	text = json_object_to_json_string_length(top, JSON_C_TO_STRING_PRETTY, &n);
	if (json_parse(text, n, &again, &e) || json_to_container(root, again, out, &e))
		ck_abort_msg("%s", e.text);
	json_object_put(again);
}

START_TEST(vectors_round_trip)
{
	static const struct {
		const char *name;
		const struct field *head;
	} vectors[] = {
		{ "kvm-01.snap", &format_kvm }, { "kvm-02.snap", &format_kvm },
		{ "kvm-03.snap", &format_kvm }, { "kvm-04.snap", &format_kvm },
		{ "kvm-05.snap", &format_kvm }, { "kvm-06.snap", &format_kvm },
		{ "kvm-07.snap", &format_kvm }, { "kvm-08.snap", &format_kvm },
		{ "kvm-09.snap", &format_kvm }, { "hvf-01.snap", &format_hvf },
		{ "hvf-02.snap", &format_hvf }, { "hvf-03.snap", &format_hvf },
		{ "bare-01.bin", &format_bare }, { "bare-02.bin", &format_bare },
		{ "bare-03.bin", &format_bare }, { "bare-04.bin", &format_bare },
		{ "bare-05.bin", &format_bare }, { "bare-06.bin", &format_bare },
		{ "share-01.snap", &format_kvm }, { "share-02.snap", &format_kvm },
	};
	size_t i;

	for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct bytes b = read_vector(vectors[i].name);
		struct buffer out = { 0 };
		struct container *c;
		json_object *top;
		struct error e;

		ck_assert_int_eq(try_decode_head(vectors[i].head, b.at, b.size, &c, &e), 0);
		top = json_from_container(c, false);
		ck_assert_ptr_nonnull(top);
		build_from_text(vectors[i].head, top, &out);
		check_bytes(vectors[i].name, out.bytes, out.size, b.at, container_size(c));
		buffer_free(&out);
		json_object_put(top);
		container_free(c);
		bytes_free(&b);
	}
}
END_TEST

/* With VALUE at PATH the document of an hvf snapshot is refused for the reason WHY. */
static void check_layout(json_object *top, const char *path, const char *value, const char *why)
{
	json_object *changed = NULL;
	struct buffer out = { 0 };
	struct error e = { 0 };

	ck_assert_int_eq(json_object_deep_copy(top, &changed, NULL), 0);
	put(changed, path, value);
	ck_assert_int_eq(json_to_container(&format_hvf, changed, &out, &e), -EINVAL);
	ck_assert_str_eq(e.text, why);
	buffer_free(&out);
	json_object_put(changed);
}

START_TEST(layouts)
{
	struct bytes b = { 0 };
	struct buffer out = { 0 };
	struct container *c;
	json_object *top, *expected;
	struct error e;

	add(&b, "SMSNAP\x0a\0\x0b\0\0\0\0\0\0\0\0\0\0\x80\0\0\0\0\0\x40\0\0\0\0\0\0", 32);
	add_fill(&b, 0, 48);
	ck_assert_int_eq(try_decode_head(&format_hvf, b.at, b.size, &c, &e), 0);
	top = json_from_container(c, false);
	expected = parsed("{\"format\":\"hvf\",\"version\":11,\"ram_gpa\":\"0x80000000\",\"ram_offset\":16384}");
	ck_assert(json_object_equal(at(top, "layout", NULL), expected));
	ck_assert_int_eq(json_to_container(&format_hvf, top, &out, &e), 0);
	check_bytes("head", out.bytes, out.size, b.at, b.size);
	/* One layout's document is not another's. */
	ck_assert_int_eq(json_to_container(&format_kvm, top, &out, &e), -EINVAL);
	ck_assert_str_eq(e.text, "layout.format: must be \"kvm\"");
	check_layout(top, "layout/version", "12", "layout.version: is out of range");
	check_layout(top, "layout/version", NULL, "layout.version: is missing");
	check_layout(top, "layout/ram_offset", NULL, "layout.ram_offset: is missing");
	check_layout(top, "layout/ram_offset", "\"0x4000\"", "layout.ram_offset: must be a whole number");
	check_layout(top, "layout/ram_gpa", "2147483648", "layout.ram_gpa: must be a string");
	check_layout(top, "layout/format", "\"kvm\"", "layout.format: must be \"hvf\"");
	check_layout(top, "layout/magic", "\"SMSNAP07\"",
		     "layout: has a member that is not known: \"magic\"");
	check_layout(top, "layout/container_offset", "0",
		     "layout: has a member that is not known: \"container_offset\"");
	buffer_free(&out);
	json_object_put(expected);
	json_object_put(top);
	container_free(c);
	bytes_free(&b);
}
END_TEST

/* One of each, and the document for it, both written by hand. */
static struct bytes small_bytes(void)
{
	struct bytes b = { 0 };

	add_uint(&b, 1, 255);
	add_uint(&b, 8, 0x8000000000000000);
	add(&b, "\xff\0\1\2\3\x9a", 6);
	add_uint(&b, 8, UINT64_MAX);
	add_uint(&b, 8, 0);
	add_counted(&b, "\xde\xad", 2);
	add_uint(&b, 4, 2);
	add_counted(&b, "", 0);
	add_counted(&b, "\1", 1);
	add_uint(&b, 4, 1);
	add_uint(&b, 1, 2);
	add_uint(&b, 4, 0x89abcdef);
	add_uint(&b, 4, 0x01234567);
	add_uint(&b, 4, 0);
	add_uint(&b, 4, UINT32_MAX);
	add_uint(&b, 4, 1);
	add_uint(&b, 2, 65535);
	add_uint(&b, 1, 1);
	add_uint(&b, 8, UINT64_MAX);
	add_uint(&b, 8, 0x1000);
	add_uint(&b, 8, 0);
	add_uint(&b, 2, 1);
	add_uint(&b, 2, 2);
	add_uint(&b, 1, 1);
	add_counted(&b, "a\0\n\"\\/\x7f\xc3\xa9\xf0\x9f\xa6\x80", 13);
	add_uint(&b, 8, 12345);
	add_uint(&b, 1, 0);
	add_uint(&b, 4, 2);
	add_uint(&b, 8, UINT64_MAX);
	add_uint(&b, 4, UINT32_MAX);
	add_uint(&b, 4, 80);
	add_uint(&b, 2, 40);
	add_uint(&b, 2, 1);
	add_uint(&b, 4, 65535);
	add_fill(&b, 0, 20);
	add_uint(&b, 4, UINT32_MAX);
	return b;
}

static const char small_text[] =
	"{"
	"	\"layout\": { \"format\": \"bare\" },"
	"	\"num_cpus\": 255,"
	"	\"mem_size\": 9223372036854775808,"
	"	\"com1\": { \"ier\": \"0xff\", \"lcr\": \"0x0\", \"mcr\": \"0x1\", \"scr\": \"0x2\","
	"		\"dll\": \"0x3\", \"dlm\": \"0x9a\" },"
	"	\"clock_host_ticks\": 18446744073709551615,"
	"	\"clock_ref\": 0,"
	"	\"intc\": { \"raw\": \"dead\" },"
	"	\"vcpu\": [ { \"raw\": \"\" }, { \"raw\": \"01\" } ],"
	"	\"devices\": [ {"
	"		\"kind\": \"volume\","
	"		\"mmio\": {"
	"			\"driver_features\": \"0x123456789abcdef\","
	"			\"status\": \"0x0\","
	"			\"interrupt_status\": \"0xffffffff\","
	"			\"queues\": [ {"
	"				\"size\": 65535,"
	"				\"ready\": 1,"
	"				\"desc_table\": \"0xffffffffffffffff\","
	"				\"avail_ring\": \"0x1000\","
	"				\"used_ring\": \"0x0\","
	"				\"last_avail_idx\": 1,"
	"				\"next_used_idx\": 2"
	"			} ]"
	"		},"
	"		\"backing\": {"
	"			\"type\": \"disk\","
	"			\"path\": \"a\\u0000\\n\\\"\\\\/\\u007f\\u00e9\\ud83e\\udd80\","
	"			\"size\": 12345"
	"		}"
	"	} ],"
	"	\"tsi_token\": null,"
	"	\"listeners\": [ {"
	"		\"cid\": 18446744073709551615,"
	"		\"peer_port\": 4294967295,"
	"		\"vm_port\": 80,"
	"		\"family\": 40,"
	"		\"socktype\": 1,"
	"		\"inet_port\": 65535"
	"	}, {"
	"		\"cid\": 0,"
	"		\"peer_port\": 0,"
	"		\"vm_port\": 0,"
	"		\"family\": 0,"
	"		\"socktype\": 0,"
	"		\"inet_port\": null"
	"	} ]"
	"}";

START_TEST(known_document)
{
	struct bytes b = small_bytes();
	struct container *c = decode_good(b.at, b.size);
	json_object *expected = parsed(small_text), *top = json_from_container(c, false), *read = NULL;
	struct error e;

	ck_assert_uint_eq(container_size(c), b.size);
	ck_assert_msg(json_object_equal(top, expected), "%s", json_object_to_json_string(top));
	check_built(expected, b.at, b.size);
	if (json_parse(small_text, strlen(small_text), &read, &e))
		ck_abort_msg("%s", e.text);
	ck_assert(json_object_equal(read, expected));
	json_object_put(read);
	json_object_put(top);
	json_object_put(expected);
	container_free(c);
	bytes_free(&b);
}
END_TEST

START_TEST(the_other_backings)
{
	json_object *top = full_json();
	json_object *d = at(top, "devices/2/backing", NULL);
	json_object *expected = parsed("{\"type\":\"volume\",\"path\":\"/var/lib/sm/vol-b.img\","
				       "\"size\":4194304,\"mount\":\"/data\"}");

	ck_assert(json_object_equal(d, expected));
	json_object_put(expected);
	expected = parsed("{\"type\":\"none\"}");
	ck_assert(json_object_equal(at(top, "devices/1/backing", NULL), expected));
	json_object_put(expected);
	d = at(top, "devices/3/backing", NULL);
	ck_assert_int_eq(json_object_object_length(d), 8);
	ck_assert_str_eq(json_object_get_string(at(d, "type", NULL)), "virtiofs");
	ck_assert_str_eq(json_object_get_string(at(d, "tag", NULL)), "shared");
	ck_assert_str_eq(json_object_get_string(at(d, "dax_gpa", NULL)), "0x40000000");
	ck_assert_uint_eq(json_object_get_uint64(at(d, "dax_window_len", NULL)), 134217728);
	ck_assert_int_eq(json_object_get_string_len(at(d, "backend_state/raw", NULL)), 400);
	ck_assert_int_eq(json_object_get_string_len(at(d, "dax_state/raw", NULL)), 160);
	ck_assert_str_eq(json_object_get_string(at(top, "tsi_token", NULL)),
			 "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
	json_object_put(top);
}
END_TEST

START_TEST(edits_are_in_it)
{
	struct bytes b = full_bytes();
	struct container *c = decode_good(b.at, b.size);
	struct value none = { NULL, 0 }, port = { (const uint8_t *)"\1\2\0", 4 };
	struct timespec now = { 0 };
	struct edits edits = { 0 };
	json_object *top;

	ck_assert_int_eq(edits_add(&edits, c, find(c, "tsi_token"), &none, now), 0);
	ck_assert_int_eq(edits_add(&edits, c, find(c, "listeners/1/inet_port"), &port, now), 0);
	ck_assert_int_eq(container_reserve(c, edits.count), 0);
	container_apply(c, &edits);
	top = json_from_container(c, false);
	ck_assert(json_object_object_get_ex(top, "tsi_token", NULL));
	ck_assert_ptr_null(at(top, "tsi_token", NULL));
	ck_assert_int_eq(json_object_get_int(at(top, "listeners/1/inet_port", NULL)), 513);
	json_object_put(top);
	container_free(c);
	bytes_free(&b);
}
END_TEST

/* What is stored in more than one way is in the document, and built, in the one that is usual. */
START_TEST(stored_in_another_way)
{
	struct sample *s = sample_new();
	struct bytes b = sample_bytes(s, "");
	size_t ready = sample_offset(s, "devices/0/mmio/queues/0/ready");
	size_t port = sample_offset(s, "listeners/0/inet_port");
	struct container *c;
	json_object *top;

	ck_assert_uint_eq(b.at[ready], 1);
	b.at[ready] = 0x80;
	b.at[port + 2] = 0xff;
	b.at[port + 3] = 0xfe;
	c = decode_good(b.at, b.size);
	check_encoding(c, NULL, b.at, b.size);
	top = json_from_container(c, false);
	ck_assert_int_eq(json_object_get_int(at(top, "devices/0/mmio/queues/0/ready", NULL)), 1);
	ck_assert_int_eq(json_object_get_int(at(top, "listeners/0/inet_port", NULL)), 8080);
	b.at[ready] = 1;
	b.at[port + 2] = 0;
	b.at[port + 3] = 0;
	check_built(top, b.at, b.size);
	json_object_put(top);
	container_free(c);
	bytes_free(&b);
	sample_free(s);
}
END_TEST

START_TEST(members_may_come_in_any_order)
{
	json_object *top = parsed(small_text);
	struct bytes b = small_bytes();
	json_object *o = json_object_get(at(top, "num_cpus", NULL));

	json_object_object_del(top, "num_cpus");
	json_object_object_add(top, "num_cpus", o);
	put(top, "devices/0/backing/type", NULL);
	put(top, "devices/0/backing/type", "\"disk\"");
	check_built(top, b.at, b.size);
	bytes_free(&b);
	json_object_put(top);
}
END_TEST

START_TEST(the_longest)
{
	json_object *top = full_json();
	struct buffer out = { 0 };
	struct error e = { 0 };
	struct bytes text = { 0 };

	/* A string of 65,536 bytes, in characters of two. */
	add_uint(&text, 1, '"');
	while (text.size < 1 + 65536)
		add(&text, "\xc3\xa9", 2);
	add(&text, "\"", 2);
	put(top, "devices/0/backing/path", (char *)text.at);
	ck_assert_msg(!json_to_container(&format_bare, top, &out, &e), "%s", e.text);
	ck_assert_uint_eq(out.size, 1516 - 20 + 65536);
	out.size = 0;

	/* A blob of 16 MiB. */
	text.size = 1;
	add_fill(&text, 'a', 2 * 16777216);
	add(&text, "\"", 2);
	put(top, "vcpu/0/raw", (char *)text.at);
	ck_assert_msg(!json_to_container(&format_bare, top, &out, &e), "%s", e.text);
	ck_assert_uint_eq(out.size, 1516 - 20 + 65536 - 64 + 16777216);
	bytes_free(&text);
	buffer_free(&out);
	json_object_put(top);
}
END_TEST

/*
 * What is refused
 */

static void check_refused(json_object *top, const char *path)
{
	struct buffer out = { 0 };
	struct error e = { 0 };
	size_t length = strlen(path);
	int err = json_to_container(&format_bare, top, &out, &e);

	ck_assert_msg(err == -EINVAL, "%s: %d, not %d: %s", path, err, -EINVAL, e.text);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_msg(strncmp(e.text, path, length) == 0 &&
			      strncmp(e.text + length, ": ", 2) == 0 && e.text[length + 2],
		      "not about %s: %s", path, e.text);
	ck_assert_msg(!strchr(e.text, '\n'), "more than a line: %s", e.text);
	buffer_free(&out);
	out = (struct buffer){ 0 };
	ck_assert_int_eq(json_to_container(&format_bare, top, &out, NULL), -EINVAL);
	buffer_free(&out);
}

#define ZEROS16 "00000000000000000000000000000000"

static const struct {
	const char *at, *value; /* a null value: the member is missing */
	const char *path;
} bad[] = {
	/* The wrong type */
	{ "num_cpus", "\"4\"", "num_cpus" },
	{ "num_cpus", "true", "num_cpus" },
	{ "num_cpus", "null", "num_cpus" },
	{ "num_cpus", "[4]", "num_cpus" },
	{ "num_cpus", "{}", "num_cpus" },
	{ "layout", "null", "layout" },
	{ "layout", "\"bare\"", "layout" },
	{ "layout/format", "null", "layout.format" },
	{ "layout/format", "7", "layout.format" },
	{ "layout/format", "\"kvm\"", "layout.format" },
	{ "layout/format", "\"bare\\u0000\"", "layout.format" },
	{ "com1", "\"010203040506\"", "com1" },
	{ "com1", "null", "com1" },
	{ "com1", "[1,2,3,4,5,6]", "com1" },
	{ "com1/ier", "1", "com1.ier" },
	{ "com1/ier", "\"0x100\"", "com1.ier" },
	{ "intc", "null", "intc" },
	{ "intc", "\"00\"", "intc" },
	{ "intc/raw", "null", "intc.raw" },
	{ "intc/raw", "0", "intc.raw" },
	{ "vcpu", "{}", "vcpu" },
	{ "vcpu", "null", "vcpu" },
	{ "vcpu", "\"\"", "vcpu" },
	{ "vcpu/2", "2", "vcpu[2]" },
	{ "vcpu/2", "null", "vcpu[2]" },
	{ "devices", "{\"0\":{}}", "devices" },
	{ "devices/1", "[]", "devices[1]" },
	{ "devices/1", "null", "devices[1]" },
	{ "devices/1/kind", "1", "devices[1].kind" },
	{ "devices/1/kind", "null", "devices[1].kind" },
	{ "devices/0/mmio", "[]", "devices[0].mmio" },
	{ "devices/0/mmio", "null", "devices[0].mmio" },
	{ "devices/0/mmio/status", "15", "devices[0].mmio.status" },
	{ "devices/0/mmio/queues", "null", "devices[0].mmio.queues" },
	{ "devices/0/mmio/queues/1/ready", "true", "devices[0].mmio.queues[1].ready" },
	{ "devices/0/backing", "\"none\"", "devices[0].backing" },
	{ "devices/0/backing", "null", "devices[0].backing" },
	{ "devices/0/backing/path", "1", "devices[0].backing.path" },
	{ "devices/0/backing/path", "null", "devices[0].backing.path" },
	{ "devices/0/backing/size", "\"1G\"", "devices[0].backing.size" },
	{ "devices/0/backing/size", "\"1\"", "devices[0].backing.size" },
	{ "devices/0/backing/type", "1", "devices[0].backing.type" },
	{ "devices/0/backing/type", "null", "devices[0].backing.type" },
	{ "tsi_token", "0", "tsi_token" },
	{ "tsi_token", "false", "tsi_token" },
	{ "tsi_token", "[]", "tsi_token" },
	{ "listeners/2/inet_port", "\"8082\"", "listeners[2].inet_port" },
	{ "listeners/2/inet_port", "false", "listeners[2].inet_port" },
	{ "listeners/1/inet_port", "\"\"", "listeners[1].inet_port" },
	{ "listeners/1/inet_port", "\"none\"", "listeners[1].inet_port" },
	{ "listeners/1/cid", "null", "listeners[1].cid" },

	/* Out of range */
	{ "num_cpus", "256", "num_cpus" },
	{ "num_cpus", "-1", "num_cpus" },
	{ "num_cpus", "4294967300", "num_cpus" },
	{ "num_cpus", "18446744073709551615", "num_cpus" },
	{ "clock_ref", "-1", "clock_ref" },
	{ "clock_ref", "-9223372036854775808", "clock_ref" },
	{ "devices/0/mmio/queues/0/size", "65536", "devices[0].mmio.queues[0].size" },
	{ "devices/0/mmio/queues/0/ready", "2", "devices[0].mmio.queues[0].ready" },
	{ "devices/0/mmio/queues/0/ready", "-1", "devices[0].mmio.queues[0].ready" },
	{ "devices/0/mmio/status", "\"0x100000000\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/driver_features", "\"0x10000000000000000\"",
	  "devices[0].mmio.driver_features" },
	{ "listeners/0/peer_port", "4294967296", "listeners[0].peer_port" },
	{ "listeners/0/inet_port", "65536", "listeners[0].inet_port" },
	{ "listeners/0/inet_port", "-1", "listeners[0].inet_port" },
	{ "listeners/0/inet_port", "4294967295", "listeners[0].inet_port" },

	/* No whole number */
	{ "num_cpus", "4.0", "num_cpus" },
	{ "num_cpus", "1.5", "num_cpus" },
	{ "num_cpus", "4e0", "num_cpus" },
	{ "clock_ref", "1e3", "clock_ref" },
	{ "listeners/2/cid", "0.5", "listeners[2].cid" },

	/* Missing */
	{ "layout", NULL, "layout" },
	{ "layout/format", NULL, "layout.format" },
	{ "com1", NULL, "com1" },
	{ "com1/dlm", NULL, "com1.dlm" },
	{ "intc/raw", NULL, "intc.raw" },
	{ "vcpu/1/raw", NULL, "vcpu[1].raw" },
	{ "devices/3/backing/dax_state/raw", NULL, "devices[3].backing.dax_state.raw" },
	{ "num_cpus", NULL, "num_cpus" },
	{ "tsi_token", NULL, "tsi_token" },
	{ "listeners", NULL, "listeners" },
	{ "devices/3/mmio", NULL, "devices[3].mmio" },
	{ "devices/3/mmio/queues", NULL, "devices[3].mmio.queues" },
	{ "devices/3/mmio/queues/0/used_ring", NULL, "devices[3].mmio.queues[0].used_ring" },
	{ "devices/3/backing/type", NULL, "devices[3].backing.type" },
	{ "devices/3/backing/dax_gpa", NULL, "devices[3].backing.dax_gpa" },
	{ "listeners/1/inet_port", NULL, "listeners[1].inet_port" },

	/* Hexadecimal digits */
	{ "tsi_token", "\"" ZEROS16 ZEROS16 "0\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "0000000000000000000000000000000g\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "0000000000000000000000000000000G\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "0000000000000000000000000000000 \"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "0x000000000000000000000000000000\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "000000000000000000000000000\\u00000000\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "000000000000000000000000000000aA\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 "000000000000000000000000000000+6\"", "tsi_token" },
	{ "intc/raw", "\"0\"", "intc.raw" },
	{ "intc/raw", "\"0z\"", "intc.raw" },
	{ "vcpu/3/raw", "\"abc\"", "vcpu[3].raw" },
	{ "vcpu/3/raw", "\"AB\"", "vcpu[3].raw" },
	{ "tsi_token", "\"" ZEROS16 "\"", "tsi_token" },
	{ "tsi_token", "\"\"", "tsi_token" },
	{ "tsi_token", "\"" ZEROS16 ZEROS16 "00\"", "tsi_token" },
	{ "devices/3/backing/dax_state/raw", "\"0\"", "devices[3].backing.dax_state.raw" },

	/* Words */
	{ "devices/1/kind", "\"\"", "devices[1].kind" },
	{ "devices/1/kind", "\"VSOCK\"", "devices[1].kind" },
	{ "devices/1/kind", "\"disk\"", "devices[1].kind" },
	{ "devices/1/kind", "\"1\"", "devices[1].kind" },
	{ "devices/1/kind", "\" vsock\"", "devices[1].kind" },
	{ "devices/1/kind", "\"vsock\\n\"", "devices[1].kind" },
	{ "devices/1/kind", "\"vsock\\u0000\"", "devices[1].kind" },
	{ "devices/0/backing/type", "\"\"", "devices[0].backing.type" },
	{ "devices/0/backing/type", "\"blk\"", "devices[0].backing.type" },
	{ "devices/0/backing/type", "\"Disk\"", "devices[0].backing.type" },

	/* Not as it is shown */
	{ "devices/0/mmio/status", "\"0x0f\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0xF\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0Xf\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"15\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"f\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0x\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\" 0xf\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0xf\\n\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0xf\\u0000\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"-0x1\"", "devices[0].mmio.status" },
	{ "devices/0/mmio/status", "\"0x0\\u0000\"", "devices[0].mmio.status" },

	/* The fields of another variant */
	{ "devices/0/backing/type", "\"volume\"", "devices[0].backing.mount" },
	{ "devices/1/backing/type", "\"disk\"", "devices[1].backing.path" },
};
enum { BAD = sizeof(bad) / sizeof(bad[0]) };

START_TEST(what_is_refused)
{
	json_object *top;
	size_t i;

	for (i = 0; i < BAD; i++) {
		top = full_json();
		put(top, bad[i].at, bad[i].value);
		check_refused(top, bad[i].path);
		json_object_put(top);
	}
}
END_TEST

static void check_reason(json_object *top, const char *text)
{
	struct buffer out = { 0 };
	struct error e = { 0 };

	ck_assert_int_eq(json_to_container(&format_bare, top, &out, &e), -EINVAL);
	ck_assert_str_eq(e.text, text);
	buffer_free(&out);
}

/* Each reason, in full. */
START_TEST(reasons)
{
	static const struct {
		const char *at, *value, *text;
	} rows[] = {
		{ "num_cpus", "4.5", "num_cpus: must be a whole number" },
		{ "num_cpus", "256", "num_cpus: is out of range" },
		{ "num_cpus", NULL, "num_cpus: is missing" },
		{ "com1", "[]", "com1: must be an object" },
		{ "vcpu", "{}", "vcpu: must be an array" },
		{ "intc/raw", "null", "intc.raw: must be a string of hexadecimal digits" },
		{ "intc/raw", "\"0\"", "intc.raw: has an odd number of hexadecimal digits" },
		{ "vcpu/0/raw", "\"0G\"",
		  "vcpu[0].raw: has something else than the digits 0-9 and a-f" },
		{ "tsi_token", "\"00\"", "tsi_token: has 1 bytes, not 32" },
		{ "listeners/1/inet_port", "\"none\"",
		  "listeners[1].inet_port: must be a whole number or null" },
		{ "devices/1/kind", "1", "devices[1].kind: must be a string" },
		{ "devices/1/kind", "\"disk\"", "devices[1].kind: is not one of the words for it" },
		{ "devices/0/mmio/status", "\"0x100000000\"",
		  "devices[0].mmio.status: is not a number \"0x...\" in its range" },
		{ "devices/0/mmio/status", "\"0x0f\"",
		  "devices[0].mmio.status: is not written as it is shown" },
		{ "devices/0/backing", "[]", "devices[0].backing: must be an object" },
		{ "devices/0/backing/type", NULL, "devices[0].backing.type: is missing" },
		{ "devices/0/backing/type", "1", "devices[0].backing.type: must be a string" },
		{ "devices/0/backing/type", "\"blk\"",
		  "devices[0].backing.type: is not one of the words for it" },
		{ "devices/1/backing/path", "\"\"",
		  "devices[1].backing: has a member that is not known: \"path\"" },
		{ "layout/format", "\"kvm\"", "layout.format: must be \"bare\"" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *top = full_json();

		put(top, rows[i].at, rows[i].value);
		check_reason(top, rows[i].text);
		json_object_put(top);
	}
}
END_TEST

/* The word before a NUL is not the word. */
START_TEST(a_type_with_nul_in_it)
{
	json_object *top = full_json();

	put(top, "devices/0/backing/type", "\"disk\\u0000x\"");
	check_refused(top, "devices[0].backing.type");
	json_object_put(top);
}
END_TEST

START_TEST(tops_that_are_no_object)
{
	static const char *const tops[] = { "null", "[]", "1", "\"x\"", "true", "1.5" };
	size_t i;

	for (i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
		/* Within an array, for a bare number may go on. */
		char text[32];
		json_object *o;

		snprintf(text, sizeof(text), "[%s]", tops[i]);
		o = parsed(text);
		check_refused(json_object_array_get_idx(o, 0), ".");
		json_object_put(o);
	}
}
END_TEST

START_TEST(too_long)
{
	json_object *top = full_json();
	struct bytes text = { 0 };

	add_uint(&text, 1, '"');
	add_fill(&text, 'a', 65537);
	add(&text, "\"", 2);
	put(top, "devices/2/backing/mount", (char *)text.at);
	check_refused(top, "devices[2].backing.mount");
	check_reason(top, "devices[2].backing.mount: is longer than 65536 bytes");
	json_object_put(top);

	top = full_json();
	text.size = 1;
	add_fill(&text, 'a', 2 * 16777216 + 2);
	add(&text, "\"", 2);
	put(top, "vcpu/1/raw", (char *)text.at);
	check_refused(top, "vcpu[1].raw");
	check_reason(top, "vcpu[1].raw: has 16777217 bytes, at most 16777216");
	bytes_free(&text);
	json_object_put(top);
}
END_TEST

START_TEST(strings_that_are_not_utf8)
{
	json_object *top = full_json();

	json_object_object_add(at(top, "devices/0/backing", NULL), "path",
			       json_object_new_string_len("a\xc3", 2));
	check_refused(top, "devices[0].backing.path");
	json_object_object_add(at(top, "devices/0/backing", NULL), "path",
			       json_object_new_string_len("\xed\xa0\x80", 3));
	check_refused(top, "devices[0].backing.path");
	check_reason(top, "devices[0].backing.path: is not UTF-8");
	json_object_put(top);
}
END_TEST

/* A member too many in what is at PATH: the error names both. */
static void check_unknown(const char *where, const char *path, const char *member)
{
	json_object *top = full_json();
	json_object *o = *where ? at(top, where, NULL) : top;
	struct buffer out = { 0 };
	struct error e = { 0 };
	int err;

	json_object_object_add(o, member, json_object_new_int(1));
	err = json_to_container(&format_bare, top, &out, &e);
	ck_assert_msg(err == -EINVAL, "%s.%s: %d", path, member, err);
	ck_assert_msg(strncmp(e.text, path, strlen(path)) == 0, "not about %s: %s", path, e.text);
	ck_assert_msg(strstr(e.text, member) != NULL, "not about %s: %s", member, e.text);
	buffer_free(&out);
	json_object_put(top);
}

START_TEST(members_that_are_not_known)
{
	check_unknown("", "", "ram");
	check_unknown("", "", "raw");
	check_unknown("layout", "layout", "ram_offset");
	check_unknown("intc", "intc", "extra");
	check_unknown("com1", "com1", "raw");
	check_unknown("vcpu/1", "vcpu[1]", "registers");
	check_unknown("devices/3/backing/backend_state", "devices[3].backing.backend_state", "slots");
	check_unknown("devices/2", "devices[2]", "extra");
	check_unknown("devices/2/mmio", "devices[2].mmio", "raw");
	check_unknown("devices/2/mmio/queues/0", "devices[2].mmio.queues[0]", "extra");
	check_unknown("devices/2/backing", "devices[2].backing", "raw");
	check_unknown("devices/2/backing", "devices[2].backing", "tag");
	check_unknown("devices/0/backing", "devices[0].backing", "mount");
	check_unknown("devices/1/backing", "devices[1].backing", "path");
	check_unknown("listeners/1", "listeners[1]", "Cid");
	check_unknown("listeners/1", "listeners[1]", "type");
}
END_TEST

/* A name is text of anybody's, and the error still is a line. */
START_TEST(an_unknown_name_with_a_newline)
{
	json_object *top = full_json();
	struct buffer out = { 0 };
	struct error e = { 0 };

	json_object_object_add(top, "two\nlines", json_object_new_int(1));
	ck_assert_int_eq(json_to_container(&format_bare, top, &out, &e), -EINVAL);
	ck_assert_msg(!strchr(e.text, '\n'), "more than a line: %s", e.text);
	buffer_free(&out);
	json_object_put(top);
}
END_TEST

/*
 * Parsing
 */

/* Parse a copy of the N bytes at TEXT that a tool sees the end of. */
static int parse(const char *text, size_t n, json_object **out, struct error *e)
{
	char *copy = malloc(n);
	int err;

	if (n)
		memcpy(copy, text, n);
	*e = (struct error){ 0 };
	err = json_parse(copy, n, out, e);
	free(copy);
	return err;
}

static void check_no_json(const char *text, size_t n)
{
	json_object *untouched = (json_object *)&untouched, *o = untouched;
	struct error e;
	int err = parse(text, n, &o, &e);

	ck_assert_msg(err == -EINVAL, "\"%s\": %d", text, err);
	ck_assert_int_eq(e.code, EINVAL);
	ck_assert_str_ne(e.text, "");
	ck_assert_msg(!strchr(e.text, '\n'), "more than a line: %s", e.text);
	ck_assert_ptr_eq(o, untouched);
	ck_assert_int_eq(json_parse(text, n, &o, NULL), -EINVAL);
}

static void check_json(const char *text, const char *expected)
{
	json_object *o = NULL;
	struct error e;

	if (parse(text, strlen(text), &o, &e))
		ck_abort_msg("\"%s\": %s", text, e.text);
	ck_assert_str_eq(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), expected);
	json_object_put(o);
}

START_TEST(what_is_json)
{
	check_json("{}", "{}");
	check_json(" \t\r\n{ } \n", "{}");
	check_json("[]", "[]");
	check_json("{\"a\":1,\"b\":[true,false,null,\"x\"]}",
		   "{\"a\":1,\"b\":[true,false,null,\"x\"]}");
	check_json("[0,18446744073709551615,9223372036854775808]",
		   "[0,18446744073709551615,9223372036854775808]");
	check_json("[-1,-9223372036854775808]", "[-1,-9223372036854775808]");
	check_json("[\"\\u0000\\n\\\"\"]", "[\"\\u0000\\n\\\"\"]");
	check_json("[\"\\ud83e\\udd80\"]", "[\"\xf0\x9f\xa6\x80\"]");
	/* Names that look alike, but in different objects, and in strings. */
	check_json("[{\"a\":1},{\"a\":2}]", "[{\"a\":1},{\"a\":2}]");
	check_json("{\"a\":{\"a\":1}}", "{\"a\":{\"a\":1}}");
	check_json("{\"a\":\":\",\":\":\"\\\":\"}", "{\"a\":\":\",\":\":\"\\\":\"}");
	check_json("{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}");
}
END_TEST

START_TEST(only_the_given_bytes_are_parsed)
{
	json_object *o = NULL;
	struct error e;

	ck_assert_int_eq(parse("{}garbage", 2, &o, &e), 0);
	ck_assert(json_object_is_type(o, json_type_object));
	json_object_put(o);
	check_no_json("{\"a\":1}", 6);
}
END_TEST

START_TEST(what_is_no_json)
{
	static const char *const rows[] = {
		"", " ", "\n",
		/* Bytes after it */
		"{}x", "{} {}", "{}]", "{},", "[]1", "{}\"\"", "{} /", "{}//", "{}\v",
		/* It ends too early */
		"{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "[1", "[1,", "\"abc",
		"[\"\\", "[\"\\u00", "tru", "nul", "[tru", "[[]", "{\"a\":[}",
		/* Punctuation */
		"[1,]", "{\"a\":1,}", "[,]", "{,}", "[1 2]", "{\"a\" 1}", "{\"a\":1 \"b\":2}",
		"{\"a\"}", "{\"a\":}", "{1:2}", "{a:1}", "{'a':1}", "['a']", "[1;2]", "]", "}",
		"[}", "{]", ":",
		/* Comments */
		"// c\n{}", "/* c */{}", "{}/* c */", "[1/**/]", "# c\n{}",
		/* Words */
		"[TRUE]", "[True]", "[NULL]", "[Null]", "[nULL]", "[undefined]", "[NaN]", "[nan]",
		"[Infinity]", "[-Infinity]", "[truefalse]", "[none]",
		/* Numbers */
		"[+1]", "[01]", "[-01]", "[.5]", "[1e]", "[1e+]", "[-]", "[--1]", "[0x1]",
		"[1_000]", "[1.2.3]", "[1-2]",
		/* Strings */
		"[\"\\x\"]", "[\"\\'\"]", "[\"\\u12g4\"]", "[\"\\U0041\"]", "[\"a\nb\"]",
		"[\"a\tb\"]", "[\"\x01\"]", "[\"\xff\"]", "[\"\xc3\"]",
		"[\"\\ud800\"]", "[\"\\udc00\"]", "[\"\\ud800x\"]", "[\"\\ud800\\u0041\"]",
		"[\"\\udd80\\ud83e\"]",
		/* Other bytes */
		"\xef\xbb\xbf{}", "\xff", "\xfe\xff", "{\xa0}", "\x7f{}",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_no_json(rows[i], strlen(rows[i]));
}
END_TEST

START_TEST(a_point_with_no_digits_after_it)
{
	check_no_json("[1.]", 4);
	check_no_json("[1.e1]", 6);
	check_no_json("[-1.]", 5);
}
END_TEST

/* UTF-8 by its shape, but not by its rules. */
START_TEST(characters_that_do_not_exist)
{
	check_no_json("[\"\xed\xa0\x80\"]", 7);
	check_no_json("[\"\xc0\x80\"]", 6);
	check_no_json("[\"\xe0\x80\x80\"]", 7);
	check_no_json("[\"\xf4\x90\x80\x80\"]", 8);
	check_no_json("{\"\xc1\xbf\":1}", 8);
}
END_TEST

START_TEST(nul_ends_nothing)
{
	check_no_json("{}\0", 3);
	check_no_json("{}\0garbage", 10);
	check_no_json("\0{}", 3);
	check_no_json("[1\0]", 4);
	check_no_json("[\"a\0b\"]", 7);
	check_no_json("\0", 1);
}
END_TEST

START_TEST(numbers_that_fit_no_integer)
{
	check_no_json("[18446744073709551616]", 22);
	check_no_json("[99999999999999999999999999999999999999999]", 43);
	check_no_json("[-9223372036854775809]", 22);
	check_no_json("{\"a\":{\"b\":18446744073709551616}}", 32);
}
END_TEST

START_TEST(deep_nesting)
{
	static const size_t depths[] = { 100, 1000, 1000000 };
	struct bytes b = { 0 };
	size_t i, k;

	for (i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		b.size = 0;
		add_fill(&b, '[', depths[i]);
		check_no_json((char *)b.at, b.size);
		add_fill(&b, ']', depths[i]);
		check_no_json((char *)b.at, b.size);
		b.size = 0;
		for (k = 0; k < depths[i]; k++)
			add(&b, "{\"a\":", 5);
		check_no_json((char *)b.at, b.size);
	}
	bytes_free(&b);
	/* As deep as a container is. */
	check_json("{\"a\":[{\"b\":{\"c\":[{\"d\":1}]}}]}",
		   "{\"a\":[{\"b\":{\"c\":[{\"d\":1}]}}]}");
}
END_TEST

START_TEST(the_same_member_twice)
{
	static const char *const rows[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"{\"a\":1,\"\\u0061\":2}",
		"{\"a\":null,\"a\":null}",
		"{\"a\":{\"x\":1},\"a\":{\"x\":1}}",
		"[[{\"b\":{\"a\":1,\"a\":2}}]]",
		"{\"a\\\"\":1,\"a\\\"\":2}",
		"{\":\":1,\":\":2}",
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_no_json(rows[i], strlen(rows[i]));
}
END_TEST

/* Such a name is not that of the member which it starts with. */
START_TEST(a_name_with_nul_in_it)
{
	struct bytes text = { 0 };
	struct buffer out = { 0 };
	json_object *o = NULL;
	struct error e = { 0 };
	const char *rest = strstr(small_text, "num_cpus") + strlen("num_cpus");
	int err;

	add(&text, small_text, (size_t)(rest - small_text));
	add(&text, "\\u0000x", 7);
	add(&text, rest, strlen(rest));
	err = parse((char *)text.at, text.size, &o, &e);
	if (!err)
		err = json_to_container(&format_bare, o, &out, &e);
	ck_assert_int_eq(err, -EINVAL);
	json_object_put(o);
	buffer_free(&out);
	bytes_free(&text);
}
END_TEST

START_TEST(every_prefix_is_refused)
{
	size_t n;

	for (n = 0; n < strlen(small_text); n++)
		check_no_json(small_text, n);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("json");

	tcase_add_test(t, vectors_round_trip);
	tcase_add_test(t, layouts);
	tcase_add_test(t, known_document);
	tcase_add_test(t, the_other_backings);
	tcase_add_test(t, edits_are_in_it);
	tcase_add_test(t, stored_in_another_way);
	tcase_add_test(t, members_may_come_in_any_order);
	tcase_add_test(t, the_longest);
	tcase_add_test(t, what_is_refused);
	tcase_add_test(t, reasons);
	tcase_add_test(t, a_type_with_nul_in_it);
	tcase_add_test(t, tops_that_are_no_object);
	tcase_add_test(t, too_long);
	tcase_add_test(t, strings_that_are_not_utf8);
	tcase_add_test(t, members_that_are_not_known);
	tcase_add_test(t, an_unknown_name_with_a_newline);
	tcase_add_test(t, what_is_json);
	tcase_add_test(t, only_the_given_bytes_are_parsed);
	tcase_add_test(t, what_is_no_json);
	tcase_add_test(t, a_point_with_no_digits_after_it);
	tcase_add_test(t, characters_that_do_not_exist);
	tcase_add_test(t, nul_ends_nothing);
	tcase_add_test(t, numbers_that_fit_no_integer);
	tcase_add_test(t, deep_nesting);
	tcase_add_test(t, the_same_member_twice);
	tcase_add_test(t, a_name_with_nul_in_it);
	tcase_add_test(t, every_prefix_is_refused);
	return check_run(t);
}
