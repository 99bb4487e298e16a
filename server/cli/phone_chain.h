/*
 * phone_chain: the phone's own chaining, as pure functions: where a locator looks, what order a
 * server's answer puts actions in, and which hash they give. Nothing here trusts a hash of the
 * server: it is only ever compared.
 */
#ifndef CLI_PHONE_CHAIN_H
#define CLI_PHONE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/batch.h"
#include "chain/chain.h"

/* An action with its digest. A redacted one has no type and no payload left, only its digest. */
struct phone_action {
	struct action action; /* texts borrowed */
	struct hash digest;
	bool redacted;
};

/* An action at its place in the log, as missed, pages and streams show it. */
struct logged {
	uint64_t seq;
	struct phone_action kept;
};

/* What the server says became of one action that was sent. */
struct phone_result {
	bool refused;
	bool duplicate;
	struct text code;  /* refused: which refusal */
	uint64_t ahead_ms; /* CLOCK_SKEW */
	uint64_t newest;   /* NON_MONOTONIC_TIMESTAMP */
	uint64_t seq;	   /* not refused: where it is in the log */
};

/* One place of the log after a merge: missed[index], or the index-th action that was sent. */
struct ordered {
	uint64_t seq;
	bool own;
	size_t index;
};

/* The two halves of what lies after the base. */
struct merge {
	uint64_t base;
	const struct logged *missed;
	size_t missed_count;
	const struct phone_result *results;
	size_t result_count;
};

/*
 * The seqs of a locator: base - 1, base - 3, base - 7, … with growing gaps, at last 0. Nothing for
 * base 0. Returns how many; always fits.
 */
size_t chain_locator(uint64_t base, uint64_t seqs[LOCATOR_PAIRS_MAX]);

/*
 * Orders missed actions and own results after the base by seq into order[], which has room for both
 * counts. The same place named twice (an action repeated inside a batch) counts once. Returns how
 * many there are; *contiguous of them follow the base without a gap. Refused results and those at
 * or before the base are left out.
 */
size_t chain_order(const struct merge *, struct ordered *order, size_t *contiguous);

/* The digest of a whole action, computed; a redacted one brings its own. */
void phone_action_digest(struct phone_action *);

/*
 * Chains actions from a position: checks that their seqs follow it one by one, and moves it.
 * False (position undefined) when a seq is not the next.
 */
bool chain_actions(struct position *, const struct logged *actions, size_t count);

bool position_equal(const struct position *, const struct position *);

#endif
