/* SPDX-License-Identifier: MIT */
/*
 * A snapshot's head as JSON, shaped as the tree: objects for records, arrays for
 * lists, numbers as their files show them (hexadecimal ones as strings), bytes
 * as strings of hexadecimal digits, null for what is absent.
 */
#ifndef SMFS_JSON_H
#define SMFS_JSON_H

#include <json-c/json_object.h>

#include "container.h"

/*
 * The whole head C; if DECODE with what its blobs hold beside them, where a text that is not
 * in UTF-8 is an object with its "bytes".  The caller puts the object; null if memory runs
 * out.
 */
json_object *json_from_container(const struct container *c, bool decode);

/*
 * Append the head, of which ROOT (format.h) is the row, that the object TOP describes to OUT.  What
 * json_from_container could not have made is refused, and E names its path:
 * -EINVAL, or -ENOMEM.  What stands for what a blob holds is not looked at.
 */
int json_to_container(const struct field *root, json_object *top, struct buffer *out,
		      struct error *e);

/*
 * Parse the N bytes at TEXT, one JSON document in UTF-8.  The caller puts *OUT.
 * -EINVAL for what is not JSON, for numbers that fit no integer and for objects
 * that name a member twice.
 */
int json_parse(const char *text, size_t n, json_object **out, struct error *e);

#endif
