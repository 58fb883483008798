/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistr.h>

#include "le.h"
#include "text.h"

/*
 * Container to JSON
 */

static json_object *hex_string(const struct value *v)
{
	static const char digits[] = "0123456789abcdef";
	char *hex = malloc(v->size * 2 + 1);
	json_object *o;
	size_t i;

	if (!hex)
		return NULL;
	for (i = 0; i < v->size; i++) {
		hex[2 * i] = digits[v->bytes[i] >> 4];
		hex[2 * i + 1] = digits[v->bytes[i] & 15];
	}
	o = json_object_new_string_len(hex, (int)(v->size * 2));
	free(hex);
	return o;
}

/* Text that is none in UTF-8 is an object, which no text is. */
static json_object *odd_text(const struct value *v)
{
	json_object *o = json_object_new_object(), *hex = hex_string(v);

	if (o && hex && json_object_object_add(o, "bytes", hex) == 0)
		return o;
	json_object_put(hex);
	json_object_put(o);
	return NULL;
}

static json_object *leaf_to_json(const struct field *row, const struct value *v)
{
	struct buffer text = { 0 };
	json_object *o;

	if (row->kind == TEXT && v->size && u8_check(v->bytes, v->size))
		return odd_text(v);
	if (row->kind == UINT && !row->words && row->base != HEX)
		return json_object_new_uint64(text_number(row, v));
	if (!text_is_text(row))
		return hex_string(v);
	text_print(row, v, &text);
	o = text.failed ? NULL
			: json_object_new_string_len((char *)text.bytes, (int)text.size - 1);
	buffer_free(&text);
	return o;
}

struct dump {
	const struct container *c;
	bool decode;
	json_object *parent; /* an object or an array */
	bool failed;
};

static json_object *node_to_json(const struct container *c, struct node n, bool decode);

/* Whether the leaf N is absent: its file is empty, or says none. */
static bool is_null(const struct container *c, struct node n)
{
	const struct field *row = container_row(c, n);
	struct value v;

	if (row->kind != OPTION && !(row->kind == UINT && row->none))
		return false;
	if (container_value(c, n, &v))
		return false;
	return row->kind == OPTION ? v.size == 0 : text_is_none(row, &v);
}

static bool add_child(void *ctx, const char *name, uint64_t index, struct node n)
{
	const struct field *row;
	struct dump *d = ctx;
	json_object *o = NULL;

	(void)index;
	row = container_row(d->c, n);
	if (row->kind == RAW)
		return true;
	if (is_null(d->c, n)) {
		d->failed = json_object_object_add(d->parent, name, NULL) < 0;
		return !d->failed;
	}
	o = node_to_json(d->c, n, d->decode);
	d->failed = !o || (name ? json_object_object_add(d->parent, name, o)
				: json_object_array_add(d->parent, o)) < 0;
	if (d->failed)
		json_object_put(o);
	/* What a blob holds comes after it, and nothing else does. */
	return !d->failed && (d->decode || !container_is_owner(d->c, n));
}

/* As deep as the schema. */
static json_object *node_to_json(const struct container *c, struct node n, bool decode)
{
	const struct field *row = container_row(c, n);
	struct dump d = { .c = c, .decode = decode };
	struct value v;

	if (!container_is_directory(c, n))
		return container_value(c, n, &v) ? NULL : leaf_to_json(row, &v);
	d.parent = row->kind == LIST ? json_object_new_array() : json_object_new_object();
	if (!d.parent)
		return NULL;
	if (container_children(c, n, 0, add_child, &d) || d.failed) {
		json_object_put(d.parent);
		return NULL;
	}
	return d.parent;
}

json_object *json_from_container(const struct container *c, bool decode)
{
	return node_to_json(c, container_root(), decode);
}

/*
 * JSON to container
 */

struct build {
	struct buffer *out;
	struct error *error;
	char path[256]; /* where in the document, as jq writes it without the first dot */
};

static int refuse(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct build *b, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return error_set(b->error, EINVAL, "%s: %s", b->path[0] ? b->path : ".", why);
}

static int build_node(struct build *b, const struct field *row, json_object *o);

/* Add NAME, or INDEX where it is null, to the path; where it is to be cut again. */
static char *enter(struct build *b, const char *name, size_t index)
{
	size_t length = strlen(b->path);
	char *end = b->path + length;

	if (name)
		snprintf(end, sizeof(b->path) - length, "%s%s", length ? "." : "", name);
	else
		snprintf(end, sizeof(b->path) - length, "[%zu]", index);
	return end;
}

/* Build the element or member O, with NAME or INDEX added to the path while it lasts. */
static int build_in(struct build *b, const char *name, size_t index, const struct field *row,
		    json_object *o)
{
	char *end = enter(b, name, index);
	int err = build_node(b, row, o);

	*end = 0;
	return err;
}

/* Text that is the value's own: what reads as the same but is not how it is shown is refused. */
static int build_text(struct build *b, const struct field *row, json_object *o)
{
	struct buffer again = { 0 };
	uint8_t scratch[TEXT_SCRATCH];
	struct value v;
	size_t length;
	bool same;
	int err;

	if (!json_object_is_type(o, json_type_string))
		return refuse(b, "must be a string");
	length = (size_t)json_object_get_string_len(o);
	if (row->kind == STRING)
		v = (struct value){ (const uint8_t *)json_object_get_string(o), length };
	else if (text_parse(row, json_object_get_string(o), length, scratch, &v))
		return refuse(b, row->words ? "is not one of the words for it"
					    : "is not a number \"0x...\" in its range");
	err = value_check(row, &v);
	if (err == -EILSEQ)
		return refuse(b, "is not UTF-8");
	if (err == -ENAMETOOLONG)
		return refuse(b, "is longer than %" PRIu32 " bytes", row->size);
	if (err)
		return refuse(b, "is out of range");
	if (row->kind != STRING) {
		text_print(row, &v, &again);
		same = !again.failed && again.size == length + 1 &&
		       memcmp(again.bytes, json_object_get_string(o), length) == 0;
		buffer_free(&again);
		if (!same)
			return refuse(b, "is not written as it is shown");
	}
	value_encode(row, &v, b->out);
	return 0;
}

static int build_number(struct build *b, const struct field *row, json_object *o)
{
	uint8_t bytes[8];
	struct value v = { bytes, row->size };
	uint64_t n;

	if (row->none && !o) {
		le_put(bytes, 8, row->none);
		value_encode(row, &v, b->out);
		return 0;
	}
	if (!json_object_is_type(o, json_type_int))
		return refuse(b, row->none ? "must be a whole number or null" : "must be a whole number");
	n = json_object_get_uint64(o);
	le_put(bytes, 8, n);
	/* What is left of it once it is stored must be all of it. */
	if (json_object_get_int64(o) < 0 || le_get(bytes, row->size) != n ||
	    text_number(row, &v) != n || value_check(row, &v))
		return refuse(b, "is out of range");
	value_encode(row, &v, b->out);
	return 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int build_bytes(struct build *b, const struct field *row, json_object *o)
{
	struct value v = { .size = 0 };
	const char *hex;
	uint8_t *bytes;
	size_t i;

	if (row->kind == OPTION && !o) {
		value_encode(row, &v, b->out);
		return 0;
	}
	if (!json_object_is_type(o, json_type_string))
		return refuse(b, "must be a string of hexadecimal digits");
	hex = json_object_get_string(o);
	v.size = (size_t)json_object_get_string_len(o) / 2;
	if (json_object_get_string_len(o) % 2)
		return refuse(b, "has an odd number of hexadecimal digits");
	if (value_check_size(row, v.size) || (row->kind == OPTION && v.size == 0))
		return refuse(b, "has %zu bytes, %s %" PRIu32, v.size,
			      row->kind == BLOB ? "at most" : "not", row->size);
	bytes = malloc(v.size + 1);
	if (!bytes)
		return error_set(b->error, ENOMEM, "out of memory");
	for (i = 0; i < v.size; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0) {
			free(bytes);
			return refuse(b, "has something else than the digits 0-9 and a-f");
		}
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	v.bytes = bytes;
	value_encode(row, &v, b->out);
	free(bytes);
	return 0;
}

static int build_list(struct build *b, const struct field *row, json_object *o)
{
	size_t count, i;
	int err;

	if (!json_object_is_type(o, json_type_array))
		return refuse(b, "must be an array");
	count = json_object_array_length(o);
	if (count > UINT32_MAX)
		return refuse(b, "has too many elements");
	buffer_add_uint(b->out, 4, count);
	for (i = 0; i < count; i++) {
		err = build_in(b, NULL, i, row->of, json_object_array_get_idx(o, i));
		if (err)
			return err;
	}
	return 0;
}

/* What has no name is not in the document: the bytes are always the same. */
static void build_hidden(struct build *b, const struct field *row)
{
	buffer_add(b->out, row->kind == MAGIC ? row->magic : NULL, row->size);
}

/* The members of O that ROWS describe; *FOUND counts them. */
static int build_members(struct build *b, const struct field *rows, json_object *o, size_t *found)
{
	json_object *member;
	size_t size;
	int err = 0;

	for (; !err && rows && rows->kind != END; rows++) {
		if (!rows->name && rows->kind == RECORD) {
			err = build_members(b, rows->of, o, found);
		} else if (!rows->name) {
			build_hidden(b, rows);
		} else if (rows->kind != RAW && rows->kind != TAG) {
			if (!json_object_object_get_ex(o, rows->name, &member)) {
				enter(b, rows->name, 0);
				return refuse(b, "is missing");
			}
			size = b->out->size;
			err = build_in(b, rows->name, 0, rows, member);
			/* What it counts is not in the document, and is counted when it is made. */
			if (rows->at_end)
				b->out->size = size;
			++*found;
		}
	}
	return err;
}

static bool is_member(const struct field *rows, const char *name);

/* Whether NAME is beside a blob of ROW as a part of what that holds. */
static bool is_decoded(const struct field *row, const char *name)
{
	const struct state_row *state;

	for (state = row->states; state && state->of; state++)
		if (is_member(state->of->of, name))
			return true;
	return false;
}

static bool is_member(const struct field *rows, const char *name)
{
	for (; rows && rows->kind != END; rows++)
		if (rows->name ? (rows->kind != RAW && strcmp(rows->name, name) == 0) || is_decoded(rows, name)
			       : rows->kind == RECORD && is_member(rows->of, name))
			return true;
	return false;
}

/* Refuse a member of O that neither ROWS nor VIEWS name, if there is one. */
static int refuse_unknown(struct build *b, const struct field *rows, const struct field *views,
			  json_object *o)
{
	struct json_object_iterator i = json_object_iter_begin(o);
	struct json_object_iterator end = json_object_iter_end(o);

	for (; !json_object_iter_equal(&i, &end); json_object_iter_next(&i)) {
		const char *name = json_object_iter_peek_name(&i);

		if (!is_member(rows, name) && !is_member(views, name))
			return refuse(b, "has a member that is not known: \"%.40s\"", name);
	}
	return 0;
}

static int build_record(struct build *b, const struct field *row, json_object *o)
{
	size_t found = 0;
	int err;

	if (!json_object_is_type(o, json_type_object))
		return refuse(b, "must be an object");
	err = build_members(b, row->views, o, &found);
	if (!err)
		err = build_members(b, row->of, o, &found);
	if (!err && (size_t)json_object_object_length(o) != found)
		err = refuse_unknown(b, row->of, row->views, o);
	return err;
}

/* Whether O, a string, is TEXT, and nothing after a NUL either. */
static bool is_text(json_object *o, const char *text)
{
	return (size_t)json_object_get_string_len(o) == strlen(text) &&
	       strcmp(json_object_get_string(o), text) == 0;
}

static int build_variant(struct build *b, const struct field *row, json_object *o)
{
	const struct choice *choices = row->choices;
	const struct field *tag = row->views;
	json_object *type;
	size_t found = 1;
	unsigned i;
	char *end;
	int err;

	if (!json_object_is_type(o, json_type_object))
		return refuse(b, "must be an object");
	while (tag->kind != TAG)
		tag++;
	end = enter(b, tag->name, 0);
	if (!json_object_object_get_ex(o, tag->name, &type))
		return refuse(b, "is missing");
	if (!json_object_is_type(type, json_type_string))
		return refuse(b, "must be a string");
	for (i = 0; choices[i].name; i++)
		if (is_text(type, choices[i].name))
			break;
	if (!choices[i].name)
		return refuse(b, "is not one of the words for it");
	*end = 0;
	buffer_add_uint(b->out, 1, i);
	err = build_members(b, choices[i].of, o, &found);
	if (!err && (size_t)json_object_object_length(o) != found)
		err = refuse_unknown(b, choices[i].of, row->views, o);
	return err;
}

static int build_node(struct build *b, const struct field *row, json_object *o)
{
	switch (row->kind) {
	case UINT:
		return row->words || row->base == HEX ? build_text(b, row, o)
						      : build_number(b, row, o);
	case STRING:
		return build_text(b, row, o);
	case BYTES:
	case BLOB:
	case OPTION:
		return build_bytes(b, row, o);
	case WORD:
		return o && json_object_is_type(o, json_type_string) && is_text(o, row->words[0])
			       ? 0
			       : refuse(b, "must be \"%s\"", row->words[0]);
	case LIST:
		return build_list(b, row, o);
	case RECORD:
		return build_record(b, row, o);
	case VARIANT:
		return build_variant(b, row, o);
	case TAG:
	case RAW:
	case MAGIC:
	case TEXT: /* this and the next are inside blobs alone */
	case MAP:
	case STRUCT:
	case END:
		break;
	}
	return 0;
}

int json_to_container(const struct field *root, json_object *top, struct buffer *out,
		      struct error *e)
{
	struct build b = { .out = out, .error = e };
	int err = build_node(&b, root, top);

	if (!err && out->failed)
		err = error_set(e, ENOMEM, "out of memory");
	return err;
}

/*
 * Text to JSON
 */

/* The members of all objects in O, which the parser keeps from nesting deeply. */
static size_t count_members(json_object *o)
{
	size_t count = 0, i;

	if (json_object_is_type(o, json_type_array)) {
		for (i = 0; i < json_object_array_length(o); i++)
			count += count_members(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach (o, name, member) {
			(void)name;
			count += 1 + count_members(member);
		}
	}
	return count;
}

/* Where the string that starts at AT ends: at its second quote, or at N. */
static size_t string_end(const char *text, size_t n, size_t at)
{
	for (at++; at < n && text[at] != '"'; at++)
		if (text[at] == '\\')
			at++;
	return at < n ? at : n;
}

/*
 * Refuse the document for the byte AT of TEXT, which is JSON up to there.  The
 * path is that of the value which was being read.
 */
static int refuse_byte(const char *text, size_t at, const char *why, struct error *e)
{
	struct level {
		size_t length; /* of the path of the object or array */
		size_t index;
		bool array;
	} levels[JSON_TOKENER_DEFAULT_DEPTH + 1] = { { 0 } };
	struct level *l = levels;
	struct build b = { .error = e };
	char name[64] = "";
	size_t i, end;

	for (i = 0; i < at; i++) {
		switch (text[i]) {
		case '"':
			end = string_end(text, at, i);
			snprintf(name, sizeof(name), "%.*s", (int)(end - i - 1), text + i + 1);
			i = end;
			break;
		case ':':
			b.path[l->length] = 0;
			enter(&b, name, 0);
			break;
		case ',':
			b.path[l->length] = 0;
			if (l->array)
				enter(&b, NULL, ++l->index);
			break;
		case '{':
		case '[':
			if (l == levels + JSON_TOKENER_DEFAULT_DEPTH)
				break;
			*++l = (struct level){ strlen(b.path), 0, text[i] == '[' };
			if (l->array)
				enter(&b, NULL, 0);
			break;
		case '}':
		case ']':
			b.path[l->length] = 0;
			l -= l > levels;
			break;
		}
	}
	return refuse(&b, "byte %zu: %s", at, why);
}

/* The UTF-16 code unit that the four digits at HEX are. */
static unsigned utf16_unit(const char *hex)
{
	char digits[5] = { hex[0], hex[1], hex[2], hex[3] };

	return (unsigned)strtoul(digits, NULL, 16);
}

/* Whether the string from AT to END has no control character, and no half of a surrogate pair. */
static bool is_right_string(const char *text, size_t at, size_t end)
{
	bool need_low = false;

	for (at++; at < end; at++) {
		unsigned unit = 0;

		if ((unsigned char)text[at] < ' ')
			return false;
		if (text[at] == '\\' && text[++at] == 'u') {
			unit = utf16_unit(text + at + 1);
			at += 4;
		}
		if (need_low != (unit >= 0xdc00 && unit < 0xe000))
			return false;
		need_low = unit >= 0xd800 && unit < 0xdc00;
	}
	return !need_low;
}

/* Whether the N bytes at TEXT, a JSON number, are a fraction or what their integer is written as. */
static bool is_exact_number(const char *text, size_t n)
{
	const char *point = memchr(text, '.', n);
	char number[24] = "", again[24];

	if (point)
		return point + 1 < text + n && point[1] >= '0' && point[1] <= '9';
	if (memchr(text, 'e', n) || memchr(text, 'E', n))
		return true;
	if (n >= sizeof(number))
		return false;
	memcpy(number, text, n);
	if (number[0] == '-')
		snprintf(again, sizeof(again), "%lld", strtoll(number, NULL, 10));
	else
		snprintf(again, sizeof(again), "%llu", strtoull(number, NULL, 10));
	return strcmp(number, again) == 0;
}

/* Whether what comes after the string that ends at AT makes it the name of a member. */
static bool is_name(const char *text, size_t n, size_t at)
{
	while (at < n && strchr(" \t\r\n", text[at]))
		at++;
	return at < n && text[at] == ':';
}

/*
 * Look at the N bytes at TEXT for what the parser takes and is no JSON, or changes.
 * *COLONS grows by those outside of strings: one for each member that is written.
 */
static int scan(const char *text, size_t n, size_t *colons, struct error *e)
{
	size_t i, end;

	for (i = 0; i < n; i = end) {
		end = i + 1;
		if (text[i] == '"') {
			end = string_end(text, n, i) + 1;
			if (!is_right_string(text, i, end - 1))
				return refuse_byte(text, i, "control character, or half of a surrogate pair", e);
			if (is_name(text, n, end) && memchr(text + i, '\\', end - i))
				return refuse_byte(text, i, "a name with an escape", e);
		} else if (strchr("-0123456789", text[i])) {
			while (end < n && strchr("+-.0123456789eE", text[end]))
				end++;
			if (!is_exact_number(text + i, end - i))
				return refuse_byte(text, i, "number too large, or with a needless 0 or -", e);
		} else if (text[i] == ':') {
			++*colons;
		} else if (!strchr("{}[], \t\r\ntruefalsn", text[i])) {
			return refuse_byte(text, i, "unexpected character", e);
		}
	}
	return 0;
}

/*
 * Where the object that has the name from AT to END as a member has it again: the
 * byte after that one's colon, or N if there is none.  *LOOKED grows by the bytes
 * that were looked at.
 */
static size_t find_again(const char *text, size_t n, size_t at, size_t end, size_t *looked)
{
	size_t i, stop, depth = 0, found = n;

	for (i = end + 1; i < n && found == n; i++) {
		if (text[i] == '{' || text[i] == '[') {
			depth++;
		} else if (text[i] == '}' || text[i] == ']') {
			if (depth-- == 0)
				break;
		} else if (text[i] == '"') {
			stop = string_end(text, n, i);
			if (depth == 0 && stop - i == end - at && is_name(text, n, stop + 1) &&
			    memcmp(text + i, text + at, end - at) == 0)
				found = stop + strcspn(text + stop, ":") + 1;
			i = stop;
		}
	}
	*looked += i - end;
	return found;
}

/*
 * Refuse TEXT, which is JSON, for the first member that an object has twice; without
 * telling which in a document that is not like ours, where finding it takes too long.
 */
static int refuse_twice(const char *text, size_t n, struct error *e)
{
	enum { LOOKS = 100 }; /* at each byte; a document of ours has some 20 members in an object */
	size_t i, end, again, looked = 0;

	for (i = 0; i < n && looked / LOOKS < n; i = end + 1) {
		end = i;
		if (text[i] != '"')
			continue;
		end = string_end(text, n, i);
		again = is_name(text, n, end + 1) ? find_again(text, n, i, end, &looked) : n;
		if (again < n)
			return refuse_byte(text, again, "is there for the second time", e);
	}
	return error_set(e, EINVAL, ".: an object has a member twice");
}

/* Why the tokener T failed. */
static const char *explain(struct json_tokener *t)
{
	if (json_tokener_get_error(t) == json_tokener_continue)
		return "not JSON: ends too early";
	return json_tokener_error_desc(json_tokener_get_error(t));
}

int json_parse(const char *text, size_t n, json_object **out, struct error *e)
{
	const char *nul = memchr(text, 0, n);
	const uint8_t *wrong = u8_check((const uint8_t *)text, n);
	struct json_tokener *t;
	size_t colons = 0;
	json_object *o;
	int err;

	if (n > INT_MAX)
		return error_set(e, EINVAL, "not a document: more than %d bytes", INT_MAX);
	if (nul) /* the tokener would stop there, content */
		return refuse_byte(text, (size_t)(nul - text), "is NUL", e);
	if (wrong)
		return refuse_byte(text, (size_t)(wrong - (const uint8_t *)text), "not UTF-8", e);
	t = json_tokener_new();
	if (!t)
		return error_set(e, ENOMEM, "out of memory");
	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(t, text, (int)n);
	if (json_tokener_get_error(t) != json_tokener_success)
		err = refuse_byte(text, json_tokener_get_parse_end(t), explain(t), e);
	else
		err = scan(text, n, &colons, e);
	if (!err && count_members(o) != colons)
		err = refuse_twice(text, n, e);
	json_tokener_free(t);
	if (err)
		json_object_put(o);
	else
		*out = o;
	return err;
}
