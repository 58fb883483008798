/* SPDX-License-Identifier: MIT */
/* A snapshot on a line, for a person or a program. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "info.h"
#include "json_text.h"

/* Kinds of devices, and files that are missing, that a line names. */
enum { MOST_KINDS = 8, MOST_MISSING = 8 };

/* The field of a backing that names a file of the host: null where there is none. */
struct named {
	const char *field;
	bool folder; /* that file is one */
};

/* What device INDEX is of. */
static struct named find_named(struct info *i, uint64_t index)
{
	if (info_is_there(i, "devices/%" PRIu64 "/backing/host_path", index))
		return (struct named){ "host_path", true };
	if (info_is_there(i, "devices/%" PRIu64 "/backing/path", index))
		return (struct named){ "path", false };
	return (struct named){ 0 };
}

/* SHOWN is what is missing, if THERE says so; so many were before. */
static void print_missing(const char *shown, const char *there, unsigned *missing)
{
	if (!info_is_missing(there))
		return;
	if (*missing < MOST_MISSING)
		printf("%s %s (%s)", *missing ? "," : "; missing:", shown, there);
	++*missing;
}

static void print_devices(struct info *i, uint64_t devices)
{
	char kind[INFO_TEXT];
	uint64_t d;

	printf(", %" PRIu64 " device%s", devices, devices == 1 ? "" : "s");
	for (d = 0; d < devices && d < MOST_KINDS; d++) {
		info_text(i, kind, "devices/%" PRIu64 "/kind", d);
		printf("%s%s", d ? ", " : " (", kind);
	}
	if (devices)
		printf("%s)", d < devices ? ", ..." : "");
}

bool info_print_line(struct info *i)
{
	uint64_t vcpus = info_count(i, "vcpu"), devices = info_count(i, "devices"), d;
	char shown[INFO_TEXT], size[INFO_SIZE];
	struct ram *ram = snapshot_ram(i->s);
	unsigned missing = 0;

	printf("%s", snapshot_layout(i->s)->name);
	if (info_text(i, shown, "layout/version"))
		printf(" %s", shown);
	printf(", %" PRIu64 " vCPU%s, %s of RAM", vcpus, vcpus == 1 ? "" : "s",
	       info_size(container_mem_size(i->c), size));
	if (ram)
		printf(" (%s stored)", info_size(ram_stored(ram), size));
	else
		printf(" (none here)");
	if (info_text(i, shown, "layout/changed_pages"))
		printf(", %s page%s changed", shown, strcmp(shown, "1") == 0 ? "" : "s");
	print_devices(i, devices);
	if (info_text(i, shown, "layout/base"))
		print_missing(shown, info_base(i), &missing);
	for (d = 0; d < devices; d++) {
		struct named named = find_named(i, d);

		if (!named.field)
			continue;
		info_text(i, shown, "devices/%" PRIu64 "/backing/%s", d, named.field);
		print_missing(shown, info_there(i, named.folder, "devices/%" PRIu64 "/backing/%s", d, named.field),
			      &missing);
	}
	if (missing > MOST_MISSING)
		printf(" and %u more", missing - MOST_MISSING);
	return missing;
}

/*
 * JSON
 */

static void add_text(json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_text(text, strlen(text)));
}

static void add_number(json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_uint64(v));
}

static void add_address(json_object *o, const char *name, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, v);
	add_text(o, name, text);
}

/* The string V as NAME. */
static void add_string(json_object *o, const char *name, const struct value *v)
{
	json_object_object_add(o, name, json_text((const char *)v->bytes, v->size));
}

static json_object *make_layout(struct info *i, bool *missing)
{
	json_object *o = json_object_new_object();
	const char *there;
	struct value v;

	add_text(o, "format", snapshot_layout(i->s)->name);
	if (info_is_there(i, "layout/version"))
		add_number(o, "version", info_number(i, "layout/version"));
	if (info_is_there(i, "layout/ram_gpa"))
		add_address(o, "ram_gpa", info_number(i, "layout/ram_gpa"));
	if (info_value(i, &v, "layout/base")) {
		there = info_base(i);
		add_string(o, "base", &v);
		add_text(o, "host", there);
		*missing |= info_is_missing(there);
	}
	if (info_is_there(i, "layout/changed_pages"))
		add_number(o, "changed_pages", info_number(i, "layout/changed_pages"));
	return o;
}

static json_object *make_ram(struct info *i)
{
	json_object *o = json_object_new_object();
	struct ram *ram = snapshot_ram(i->s);

	add_number(o, "size", container_mem_size(i->c));
	json_object_object_add(o, "stored", ram ? json_object_new_uint64(ram_stored(ram)) : NULL);
	return o;
}

static json_object *make_vcpu(struct info *i, uint64_t index)
{
	json_object *o = json_object_new_object();
	struct info_vcpu vcpu;
	unsigned k;

	info_vcpu(i, index, &vcpu);
	json_object_object_add(o, "state", vcpu.state[0] ? json_object_new_string(vcpu.state) : NULL);
	for (k = 0; vcpu.registers[k].name; k++) {
		if (vcpu.registers[k].is_there)
			add_address(o, vcpu.registers[k].name, vcpu.registers[k].value);
		else
			json_object_object_add(o, vcpu.registers[k].name, NULL);
	}
	return o;
}

static json_object *make_device(struct info *i, uint64_t d, bool *missing)
{
	json_object *o = json_object_new_object();
	struct named named = find_named(i, d);
	char text[INFO_TEXT];
	const char *there;
	struct value v;

	info_text(i, text, "devices/%" PRIu64 "/kind", d);
	add_text(o, "kind", text);
	info_text(i, text, "devices/%" PRIu64 "/backing/type", d);
	add_text(o, "type", text);
	if (named.field && info_value(i, &v, "devices/%" PRIu64 "/backing/%s", d, named.field)) {
		there = info_there(i, named.folder, "devices/%" PRIu64 "/backing/%s", d, named.field);
		add_string(o, named.field, &v);
		add_text(o, "host", there);
		*missing |= info_is_missing(there);
	}
	if (info_is_there(i, "devices/%" PRIu64 "/backing/size", d))
		add_number(o, "size", info_number(i, "devices/%" PRIu64 "/backing/size", d));
	if (info_value(i, &v, "devices/%" PRIu64 "/backing/mount", d))
		add_string(o, "mount", &v);
	if (info_is_there(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d)) {
		add_number(o, "inodes", info_count(i, "devices/%" PRIu64 "/backing/backend_state/inodes", d));
		add_number(o, "handles", info_count(i, "devices/%" PRIu64 "/backing/backend_state/handles", d));
	}
	return o;
}

static json_object *make_listener(struct info *i, uint64_t l)
{
	json_object *o = json_object_new_object();
	char port[INFO_TEXT];

	add_number(o, "vm_port", info_number(i, "listeners/%" PRIu64 "/vm_port", l));
	info_text(i, port, "listeners/%" PRIu64 "/inet_port", l);
	json_object_object_add(o, "inet_port", port[0] < '0' || port[0] > '9' ? NULL :
				json_object_new_uint64(info_number(i, "listeners/%" PRIu64 "/inet_port", l)));
	return o;
}

bool info_add_json(struct info *i, json_object *o)
{
	json_object *vcpus = json_object_new_array(), *devices = json_object_new_array(),
		    *listeners = json_object_new_array();
	bool missing = false;
	uint64_t k, count;

	json_object_object_add(o, "layout", make_layout(i, &missing));
	json_object_object_add(o, "ram", make_ram(i));
	for (k = 0, count = info_count(i, "vcpu"); k < count; k++)
		json_object_array_add(vcpus, make_vcpu(i, k));
	json_object_object_add(o, "vcpus", vcpus);
	for (k = 0, count = info_count(i, "devices"); k < count; k++)
		json_object_array_add(devices, make_device(i, k, &missing));
	json_object_object_add(o, "devices", devices);
	for (k = 0, count = info_count(i, "listeners"); k < count; k++)
		json_object_array_add(listeners, make_listener(i, k));
	json_object_object_add(o, "listeners", listeners);
	json_object_object_add(o, "token", json_object_new_boolean(info_has_token(i)));
	return missing;
}
