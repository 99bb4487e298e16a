/*
 * vectors: the protocol's test vectors (schema/vectors.json), for the tests that go through them.
 */
#ifndef SUPPORT_VECTORS_H
#define SUPPORT_VECTORS_H

#include <check.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"

static inline json_t *
load_vectors(void)
{
	const char *root = getenv("EDGEREPLAY_ROOT");
	char path[4096];
	json_error_t error;
	json_t *vectors;

	ck_assert_msg(root != NULL, "EDGEREPLAY_ROOT names the project's folder");
	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/schema/vectors.json", root),
			 (int)sizeof(path));
	vectors = json_load_file(path, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(vectors != NULL, "%s: line %d: %s", path, error.line, error.text);
	return vectors;
}

static inline struct text
member_text(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	ck_assert_msg(json_is_string(value), "%s is a string", name);
	return (struct text){json_string_value(value), json_string_length(value)};
}

static inline uint64_t
member_uint(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	ck_assert_msg(json_is_integer(value), "%s is an integer", name);
	return (uint64_t)json_integer_value(value);
}

#endif
