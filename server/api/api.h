/*
 * api: what requests mean. The only place where http and store meet.
 *
 *     request ─▶ route ─▶ sync | replay | head | info ─▶ store
 *                  └────▶ problem (whatever goes wrong)
 *
 * Threads: api_new, api_close, api_set_limits by the owner; what struct app names by HTTP threads;
 * api_committed by writers.
 */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/settle.h"
#include "http/request.h"
#include "store/store.h"

struct api;

/* limits.* of the configuration, in its units. */
struct api_limits {
	size_t payload_bytes;
	size_t batch_actions;
	size_t body_bytes;
	size_t page_actions;
	size_t page_bytes;
	unsigned wait_sec;
	size_t waiters;
	uint64_t sync_msec;
	struct clock_policy clock; /* for /v1/info */
	const char *auth_mode;
};

/* NULL when memory is out. The store may be set later, but before the listener starts. */
struct api *api_new(const struct api_limits *);
void api_set_store(struct api *, struct store *);

/* New limits for requests that begin from now on. False when memory is out (the old ones stay). */
bool api_set_limits(struct api *, const struct api_limits *);

/* What the listener calls. */
struct app api_app(struct api *);

/* What the store calls after a commit: wakes whoever waits for this log. cookie is the api. */
void api_committed(void *cookie, const struct hash *genesis, const struct head *);

/* Answers every waiting request now, and lets none wait from now on. Before the listener drains. */
void api_drain(struct api *);

/* After the listener stopped. */
void api_free(struct api *);

/* Most memory one request needs from its arena under these limits. */
size_t api_arena_bytes(const struct api_limits *);

#endif
