/*
 * batch: what one sync request carries, and its verification (protocol 4.1, steps 1 and 2).
 *
 * Ownership: a batch borrows everything; whoever decoded it (api/wire, or the tool) keeps the
 * memory until the request is answered.
 */
#ifndef CHAIN_BATCH_H
#define CHAIN_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"

#define BATCH_DEVICES_MAX 64
#define LOCATOR_PAIRS_MAX 64

struct batch_action {
	struct action action;
	unsigned device;    /* index into the batch's devices */
	struct hash digest; /* filled by batch_verify */
	struct hash link;   /* the client's own after this action, from its base on; likewise */
};

/* What the sender says of its app's state after the action at seq: one of the positions from the base
 * to the batch's end, so that the batch has its link. */
struct state_report {
	uint64_t seq;
	struct text digest; /* hex digits; data is NULL: nothing is said */
	struct text app;    /* version */
};

struct batch {
	struct text log;
	struct hash genesis; /* of log */

	struct position base;
	struct batch_action *actions;
	size_t action_count;
	struct hash state_hash; /* the client's claim; for an empty batch not looked at */

	struct text device; /* of the actions that name none; data is NULL when it is not there */
	struct text devices[BATCH_DEVICES_MAX]; /* the different ones of the actions */
	size_t device_count;

	struct position locator[LOCATOR_PAIRS_MAX]; /* as sent */
	size_t locator_count;

	uint64_t pull; /* how many missed actions to return at most */
	bool reject;   /* onConflict: reject */
	bool receipt;  /* a signed receipt is asked for */

	struct state_report state; /* by `device` */
};

/*
 * Recomputes digests and links from the base and compares the last link with the claim. STATUS_OK,
 * or STATUS_CHAIN_BROKEN with *actual set to the link that the actions really give (the claim is
 * what was expected). An empty batch is always OK.
 */
MUST_CHECK enum status batch_verify(struct batch *, struct hash *actual);

/* The client's own link before action i: base.link for 0, else the link of i - 1. */
const struct hash *batch_link_before(const struct batch *, size_t i);

/* The client's own link at a position from the base to the batch's end. */
const struct hash *batch_link_at(const struct batch *, uint64_t seq);

/* The state hash with which the client ends: its prevHash for an empty batch. */
const struct hash *batch_end(const struct batch *);

/* Index of the device in batch->devices, added if new; -1 when it would be one too many. */
int batch_device(struct batch *, struct text device);

#endif
