/* SPDX-License-Identifier: MIT */
/* Building a container from any document. */
#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "layout.h"

/* The path of what is wrong comes first.  Names in it may be anything. */
static void demand_path(int err, const struct error *e)
{
	demand_told(err, e);
	demand(err == -EINVAL, "refused with %d", err);
	demand(strstr(e->text, ": "), "no path: %s", e->text);
}

/* The head that a document is of: of a bare file if it does not say. */
static const struct field *head_of(json_object *document)
{
	const struct layout *layout = NULL;
	json_object *o;

	if (json_object_object_get_ex(document, "layout", &o) &&
	    json_object_object_get_ex(o, "format", &o) && json_object_is_type(o, json_type_string))
		layout = layout_named(json_object_get_string(o));
	return layout ? layout->head : &format_bare;
}

/* The document that the container C is printed as is built to the bytes BUILT. */
static void check_printed(json_object *dump, const struct buffer *built)
{
	const char *text = json_object_to_json_string(dump);
	struct buffer again = { 0 };
	struct error e = { 0 };
	json_object *o = NULL;

	demand(text, "not printed");
	demand(!json_parse(text, strlen(text), &o, &e), "what is printed is refused: %s", e.text);
	demand(!json_to_container(head_of(o), o, &again, &e), "what is printed is refused: %s", e.text);
	demand_bytes("built from what is printed", &again, built->bytes, built->size);
	buffer_free(&again);
	json_object_put(o);
}

static void check_built(json_object *document, const struct buffer *built)
{
	struct container *c = NULL;
	struct error e = { 0 };
	json_object *dump;

	demand(!fuzz_decode(head_of(document), built->bytes, built->size, 0, &c, &e),
	       "what is built is refused: %s", e.text);
	demand(container_size(c) == built->size, "bytes after the container");
	dump = json_from_container(c, false);
	fuzz_forget_pages(document);
	demand(dump && json_object_equal(dump, document), "not what would have been printed");
	check_printed(dump, built);
	json_object_put(dump);
	container_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_copy(data, size);
	struct buffer built = { 0 };
	struct error e = { 0 };
	json_object *document = NULL;
	int err = json_parse(text, size, &document, &e);

	if (err) {
		demand(!document, "refused, and something was left behind");
		demand_path(err, &e);
	} else {
		err = json_to_container(head_of(document), document, &built, &e);
		if (err)
			demand_path(err, &e);
		else
			check_built(document, &built);
	}
	buffer_free(&built);
	json_object_put(document);
	free(text);
	return 0;
}
