/*
 * wire_body: makes and decodes bodies of sync requests, for tests/unit/api_wire*.c.
 */
#ifndef WIRE_BODY_H
#define WIRE_BODY_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LOG "user-1"

/* A decoded body and all that it needs. */
struct decoded {
	char *body;
	struct arena arena;
	struct batch batch;
	struct wire_fault fault;
	enum status status;
};

static const struct wire_limits limits = {.payload_bytes = 20, .batch_actions = 3};

static char genesis[HASH_TEXT_SIZE + 1]; /* of LOG */
static char other[HASH_TEXT_SIZE + 1];	 /* some hash */

static void
prepare(void)
{
	struct hash hash;
	chain_genesis(TEXT(LOG), &hash);
	hash_to_text(&hash, genesis);
	memset(other, 'a', HASH_TEXT_SIZE);
}

/* In the template, $G is the genesis link and $H some hash. */
static char *
fill(const char *template)
{
	struct buffer text;
	buffer_init(&text, 1 << 20);
	for (; *template; template ++) {
		if (template[0] == '$' && (template[1] == 'G' || template[1] == 'H'))
			buffer_append_text(&text, text_of(*++template == 'G' ? genesis : other));
		else
			buffer_append(&text, template, 1);
	}
	buffer_append(&text, "", 1);
	ck_assert(!text.failed);
	return text.data;
}

static void
decode_text(struct decoded *decoded, const struct wire_limits *bounds, struct text text)
{
	decoded->body = malloc(text.size + 1);
	ck_assert_ptr_nonnull(decoded->body);
	memcpy(decoded->body, text.data, text.size);
	arena_init(&decoded->arena, wire_arena_bytes(bounds));
	decoded->status = wire_read_sync(decoded->body, text.size, TEXT(LOG), bounds,
					 &decoded->arena, &decoded->batch, &decoded->fault);
	ck_assert_int_eq(decoded->status, decoded->fault.status);
}

static void
decode(struct decoded *decoded, const char *template)
{
	char *text = fill(template);
	decode_text(decoded, &limits, text_of(text));
	free(text);
}

static void
release(struct decoded *decoded)
{
	arena_release(&decoded->arena);
	free(decoded->body);
}

#define NO_INDEX (-1)

struct rule {
	const char *body;
	const char *detail; /* must be part of the fault's */
	int index;
};

static void
check_rules(const struct rule *rules, size_t count, enum status status)
{
	for (size_t i = 0; i < count; i++) {
		struct decoded decoded;
		const struct wire_fault *fault = &decoded.fault;
		decode(&decoded, rules[i].body);
		ck_assert_msg(decoded.status == status, "%s: %s %s", rules[i].body,
			      status_info(decoded.status)->code, fault->detail);
		ck_assert_msg(strstr(fault->detail, rules[i].detail), "%s: %s", rules[i].body,
			      fault->detail);
		ck_assert_msg(fault->has_index ? (int)fault->index == rules[i].index
					       : rules[i].index == NO_INDEX,
			      "%s: %s", rules[i].body, fault->detail);
		release(&decoded);
	}
}

#define BASE "\"seq\":0,\"prevHash\":\"$G\""
#define PULL "{" BASE ",\"actions\":[]"
#define ACTION "{\"ts\":1,\"type\":\"t\",\"payload\":\"\"}"
#define PUSH(actions) "{\"device\":\"d\"," BASE ",\"stateHash\":\"$H\",\"actions\":[" actions "]}"

#endif
