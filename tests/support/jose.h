/*
 * jose: the keys and tokens that jose (npm) made for the tests: tests/jose/make.mjs says how.
 */
#ifndef TESTS_JOSE_H
#define TESTS_JOSE_H

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "auth/token.h"

#define JOSE_ISSUER "https://issuer.example"

static inline json_t *
jose_load(const char *name)
{
	char path[4096];
	const char *root = getenv("EDGEREPLAY_ROOT");
	snprintf(path, sizeof(path), "%s/tests/jose/%s", root ? root : ".", name);
	json_t *made = json_load_file(path, 0, NULL);
	ck_assert_msg(made != NULL, "%s", path);
	return made;
}

/* The set as text, to be freed. */
static inline char *
jose_keys(void)
{
	json_t *set = jose_load("jwks.json");
	char *text = json_dumps(set, JSON_COMPACT);
	json_decref(set);
	ck_assert_ptr_nonnull(text);
	return text;
}

/* Puts the set where a daemon would find it, for nobody else to read. */
static inline void
jose_write_keys(const char *path)
{
	json_t *set = jose_load("jwks.json");
	const mode_t mask = umask(077);
	ck_assert_int_eq(json_dump_file(set, path, 0), 0);
	umask(mask);
	json_decref(set);
}

#endif
