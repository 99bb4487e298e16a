/*
 * limits_action: actions as the load sends them, one after the other, for the limits to work on.
 *
 * They differ from each other in stamp and payload, so that nothing can be remembered, and making
 * one costs a small part of what is measured.
 *
 * Ownership: the texts that are handed out live in the source, until the next one is made.
 */
#ifndef LOADTEST_LIMITS_ACTION_H
#define LOADTEST_LIMITS_ACTION_H

#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"

#define LIMITS_PAYLOAD_MAX 4096

struct action_source {
	struct action action;
	uint64_t random;
	char payload[LIMITS_PAYLOAD_MAX];
};

/* payload_size: 32 to LIMITS_PAYLOAD_MAX bytes. */
void action_source_init(struct action_source *, size_t payload_size);

/* The next action: JSON text as its payload. */
const struct action *action_source_next(struct action_source *);

/* 32 bytes that cost less than a hash and compress as badly. */
void action_source_link(struct action_source *, struct hash *link);

#endif
