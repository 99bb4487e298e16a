/*
 * api: what requests mean. The only place where http and store meet.
 *
 *     request ─▶ route ─▶ admit (auth: who, which log) ─▶ sync | replay | head | events | info |
 *                  │                                      snapshot ─▶ store
 *                  └────▶ problem (whatever goes wrong)
 *
 * Threads: api_new, api_free, api_set_limits by the owner; what struct app names by HTTP threads;
 * api_committed by writers.
 */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/forwarded.h"
#include "api/rate.h"
#include "auth/key_source.h"
#include "auth/trusted.h"
#include "chain/receipt.h"
#include "chain/settle.h"
#include "http/request.h"
#include "store/snapshot_keeper.h"
#include "store/store.h"

struct api;
struct auth;

/* limits.* of the configuration, in its units. */
struct api_limits {
	size_t payload_bytes;
	size_t batch_actions;
	size_t body_bytes;
	size_t snapshot_bytes;
	size_t page_actions;
	size_t page_bytes;
	size_t page_text_bytes; /* where a page ends as JSON: one more row at most; ≥ 1 */
	unsigned wait_sec;
	size_t waiters;		/* at once: requests held by ?wait=, and event streams */
	size_t subject_waiters; /* the same of one subject */
	uint64_t sync_msec;
	bool states;		   /* reports on states are compared */
	uint64_t slow_msec;	   /* from here on a request is logged; 0: none is */
	struct clock_policy clock; /* for /v1/info */
	struct quota quota;	   /* likewise */
	const char *auth_mode;
	struct rate_options rate;
	size_t rate_owners; /* as they are when the api is made */
	enum forwarded_header forwarded;
	const struct receipt_signers *signers; /* copied; NULL: no receipts are given */
};

/* NULL when memory is out. The store may be set later, but before the listener starts. */
struct api *api_new(const struct api_limits *);
void api_set_store(struct api *, struct store *);
void api_set_snapshots(struct api *, struct snapshot_keeper *);

/* Who may do what; NULL, and before: everybody everything. Likewise. */
void api_set_auth(struct api *, struct auth *);

/* Whose word on the client's address is believed; before: nobody's. Likewise. */
void api_set_trusted(struct api *, const struct trusted *);

/* New limits for requests that begin from now on. False when memory is out (the old ones stay). */
bool api_set_limits(struct api *, const struct api_limits *);

/* What the listener calls. */
struct app api_app(struct api *);

/* What the store calls after a commit: wakes whoever waits for this log. cookie is the api. */
void api_committed(void *cookie, const struct committed *);

/* Answers every waiting request now, and lets none wait from now on. Before the listener drains. */
void api_drain(struct api *);

/* Any thread. */
struct api_figures {
	uint64_t waiters; /* requests held by ?wait=, and event streams */
	uint64_t waiters_max;
	uint64_t syncs;	    /* under way, decoded */
	uint64_t syncs_max; /* as many are let in now */
	uint64_t snapshots; /* being sent or received */
	bool has_keys;	    /* fetched from auth.jwks_url */
	struct key_figures keys;
};
void api_measure(const struct api *, struct api_figures *);

/* After the listener stopped. */
void api_free(struct api *);

/* Most memory one request needs from its arena under these limits. */
size_t api_arena_bytes(const struct api_limits *);

#endif
