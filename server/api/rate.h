/*
 * rate: how much one subject may ask for, so that one that floods is refused while the others are
 * served; and how often one address may fail to say who it is.
 *
 *     headers ─▶ rate_admit: a request ─▶ body ─▶ rate_admit_batch ─▶ commit ─▶ rate_charge_batch ─▶ answer
 *                     └▶ RATE_LIMITED                  └▶ RATE_LIMITED              rate_charge_bytes ◀┘
 *
 * Requests are paid before they are read. Actions and bytes are paid afterwards, when it is known
 * what they were: an applied action fully, a duplicate or a refused one a tenth. So a batch is let
 * in while there is no debt, however large it is, and the debt keeps the next one out.
 *
 * A retry is never refused for what its first copy paid: each subject's last BUCKET_MARKS batches
 * that were answered with success are remembered, and one of them that comes again is let in
 * whatever the debt is. It costs a request and a tenth.
 *
 * Answers count as bytes, as they are before they are gzipped; and so do links that a search looks through.
 *
 * Threads: all functions but rate_new and rate_free from any.
 */
#ifndef API_RATE_H
#define API_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buckets.h"
#include "base/mem.h"
#include "base/text.h"
#include "chain/chain.h"

/* rate.* of the configuration: so much a second, and so much at once. A rate of 0: no limit. */
struct rate_options {
	uint64_t requests, requests_burst;
	uint64_t actions, actions_burst;
	uint64_t bytes, bytes_burst;
	uint64_t failures, failures_burst;
};

enum rate_kind { RATE_REQUESTS, RATE_ACTIONS, RATE_BYTES };

#define RATE_POLICY_SIZE 256

struct rate_policy {
	struct rate_options options;
	struct bucket_rate subject[BUCKET_KINDS]; /* by enum rate_kind; of actions in tenths */
	struct bucket_rate address[BUCKET_KINDS]; /* the first: failures */
	char text[RATE_POLICY_SIZE];		  /* the header RateLimit-Policy; may be empty */
};

void rate_policy_make(struct rate_policy *, const struct rate_options *);

struct rate;

/* For as many subjects and as many addresses; those who used least are forgotten first. NULL when
 * memory is out. */
struct rate *rate_new(size_t owners);
void rate_free(struct rate *);

/* One who pays. */
struct rate_payer {
	struct rate *rate; /* NULL: nobody, and nothing is limited */
	const struct rate_policy *policy;
	uint64_t key;
};

/* Nobody when the policy has no limit for subjects. The name is a subject, or, where nobody says who
 * he is, an address: one server has either the one or the other. */
struct rate_payer rate_payer_of(struct rate *, const struct rate_policy *, struct text name);

/* What was refused, and for how long. */
struct rate_refusal {
	enum rate_kind kind;
	uint64_t wait_msec; /* 1 or more */
};

/* A request whose headers are here: pays for it. A sync may be a retry, so it is not refused for bytes
 * before its batch is known. */
bool rate_admit(const struct rate_payer *, bool is_sync, uint64_t now_usec, struct rate_refusal *);

/* A batch that wants to be stored, by the state hash it claims; of one without actions NULL, and then
 * it is not refused for actions. */
bool rate_admit_batch(const struct rate_payer *, const struct hash *state, uint64_t now_usec,
		      struct rate_refusal *);

/* What became of a batch. state: as above, if it succeeded; else NULL. */
struct rate_batch {
	const struct hash *state;
	uint64_t applied;
	uint64_t others; /* duplicates and refused */
};
void rate_charge_batch(const struct rate_payer *, const struct rate_batch *, uint64_t now_usec);

/* An answer's bytes, or a piece's of a stream. False, with the time until it is not in debt: it owes
 * as much as can be owed, so a stream should be broken off. */
bool rate_charge_bytes(const struct rate_payer *, uint64_t bytes, uint64_t now_usec,
		       struct rate_refusal *);

/* The header RateLimit: of each limit how much is left, and the seconds until all is. */
void rate_write_state(const struct rate_payer *, uint64_t now_usec, struct buffer *);

/* The same of a refusal: what was used up, and the seconds until there is some. */
void rate_write_refusal(const struct rate_refusal *, struct buffer *);

/* A sentence for the client. */
struct text rate_detail(enum rate_kind);

/* A request of this address had no good credentials. False: there were too many of them lately. */
bool rate_fail(struct rate *, const struct rate_policy *, struct text address, uint64_t now_usec,
	       struct rate_refusal *);

#endif
