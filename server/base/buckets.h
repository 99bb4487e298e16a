/*
 * buckets: token buckets for many owners in bounded memory: who has used how much of what.
 *
 * An owner has BUCKET_KINDS buckets (requests, bytes, …), each filled at its rate up to its burst.
 * A bucket is kept as one number, the moment when it will be full again: using moves that moment
 * into the future, and time does the rest (the generic cell rate algorithm).
 *
 *     full again:   past       now + t               now + time of a burst      now + twice that
 *     level:        full       burst - t * rate      empty                      owes a burst: least
 *
 * So a full bucket and none at all are the same thing, and nothing is lost with an owner whose
 * buckets are full. Owners are kept in sets of BUCKETS_WAYS. Where a set has no room for another,
 * the one goes whose buckets are all full soonest: who comes under many names pushes out those
 * names, which have used little each, and not another's debt.
 *
 * An owner also has the last BUCKET_MARKS marks that its charges left, so that a repeat of what was
 * charged can be told from something new.
 *
 * Owners are told apart by 64 bits of SipHash under a key drawn for the table: nobody outside can
 * look for two that are the same, or that share a set. Rates are the caller's at each call, so they
 * may change at any time.
 *
 * Threads: all functions from any thread; locks are held for some tens of nanoseconds.
 */
#ifndef BASE_BUCKETS_H
#define BASE_BUCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define BUCKET_KINDS 3
#define BUCKET_MARKS 4
#define BUCKETS_WAYS 8

struct buckets;

/* per_sec: up to 2^34; 0: this kind has no limit. */
struct bucket_rate {
	uint64_t per_sec;
	uint64_t burst;
};

struct bucket_owner {
	uint64_t key;			 /* of buckets_key() */
	const struct bucket_rate *rates; /* BUCKET_KINDS of them */
	uint64_t now_usec;		 /* of the monotonic clock; 1 or more */
};

struct bucket_level {
	uint64_t left;	    /* 0 when it is in debt */
	uint64_t full_usec; /* until it is full */
};

/* What buckets_take() does not look at. */
#define BUCKET_ANY UINT64_MAX

/* For as many owners, rounded up to a power of two, of 48 bytes each; none of them is in memory before
 * there are owners. NULL when there is no room for all. */
struct buckets *buckets_new(size_t owners);
void buckets_free(struct buckets *);

/* An owner's key; never 0. */
uint64_t buckets_key(const struct buckets *, struct text owner);

/*
 * Takes the amounts, one a kind, and returns 0; or takes nothing, as one of its buckets has less,
 * and returns the microseconds until all have enough, with the kind that is last. An amount of 0
 * asks that the bucket is not in debt; one above the burst is as the burst.
 */
uint64_t buckets_take(struct buckets *, const struct bucket_owner *,
		      const uint64_t amounts[BUCKET_KINDS], unsigned *kind);

/* Takes the amounts, whatever is there. Debt ends at a burst: beyond it nothing is taken. */
void buckets_charge(struct buckets *, const struct bucket_owner *,
		    const uint64_t amounts[BUCKET_KINDS]);

/* Whether a bucket owes as much as it can. */
bool buckets_is_spent(struct buckets *, const struct bucket_owner *, unsigned kind);

void buckets_levels(struct buckets *, const struct bucket_owner *,
		    struct bucket_level levels[BUCKET_KINDS]);

/* Leaves a mark, which is not 0; the oldest one goes. Only an owner who has used something has any. */
void buckets_mark(struct buckets *, const struct bucket_owner *, uint32_t mark);
bool buckets_has_mark(struct buckets *, const struct bucket_owner *, uint32_t mark);

#endif
