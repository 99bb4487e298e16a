/*
 * users: the logs of a run and the devices that write to them, as the phones would know them.
 *
 *     users_take ─▶ users_write ─▶ (sent) ─┬▶ users_acknowledge ─▶ users_give_back
 *                                          └─────── (refused) ────────┘
 *
 * The tool keeps the chain of every log itself and moves it only when an answer said the same. A
 * refused batch never was: it may be sent again, or another one is written from the same base.
 *
 * Stamps grow along a log, whichever device writes: the next is the newest plus one, or the wall
 * clock. So a run can go on with logs whose last stamp it was told.
 *
 * Memory: about 64 bytes a log, 160 more when requests may be stale. Of the audited logs, drawn
 * among those that the run touches, the digest of every acknowledged action is kept besides.
 *
 * Ownership: users_init() allocates, users_release() frees. Threads: one user at a time.
 */
#ifndef LOADTEST_USERS_H
#define LOADTEST_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "loadtest/answer.h"
#include "loadtest/plan.h"
#include "loadtest/random.h"

#define USERS_NONE UINT32_MAX
#define USERS_OLDER 4 /* heads that a log remembers for stale requests */

struct user;

/* What has been acknowledged of an audited log. */
struct users_record {
	uint32_t user;
	bool lost; /* memory was out: the digests are not all of them */
	struct hash *digests;
	size_t count; /* acknowledged */
	size_t size;  /* with those of the newest batch */
	size_t capacity;
};

struct users {
	const struct plan *plan;
	struct user *all;
	struct position *older; /* USERS_OLDER a log, NULL when nothing is stale */
	struct users_record *records;
	size_t record_count;
	size_t record_max;
	uint64_t touched;
	uint64_t busy;
	uint64_t cursor;
	struct random random;
	char *payload; /* scratch for one, filled */
};

/* STATUS_INTERNAL when memory is out. The plan lives as long. */
MUST_CHECK enum status users_init(struct users *, const struct plan *);
void users_release(struct users *);

/* The next log that nothing is under way for, in the plan's order; USERS_NONE when there is none.
 */
uint32_t users_take(struct users *);

/* This log; false when something is under way for it. */
bool users_take_this(struct users *, uint32_t index);
void users_give_back(struct users *, uint32_t index);

/* The log's name; the text is written into room. */
struct text users_name(const struct users *, uint32_t index, char room[LOG_NAME_SIZE_MAX + 1]);

/* The log's head; false while it is not known: then ask, and tell with users_know(). */
bool users_head(struct users *, uint32_t index, struct position *head);
void users_know(struct users *, uint32_t index, const struct position *head, uint64_t newest);

/* An answer is lost for good: what is in the log is not known any more. */
void users_doubt(struct users *, uint32_t index);

/* What is sure of a log at the end: its head and newest stamp. False when nothing is. */
bool users_settled(const struct users *, uint32_t user, struct position *head, uint64_t *newest);

/* What a request is to carry. */
struct users_batch {
	uint64_t count; /* of actions; 0: a pull */
	bool stale;	/* from an older base, if the log has one */
};

/* At most so many bytes a body of so many actions has. */
size_t users_body_size_max(const struct users *, uint64_t actions);

/* Writes the body of a sync request and what it says; returns its size. The log has been taken. */
size_t users_write(struct users *, uint32_t index, const struct users_batch *, char *body,
		   struct expectation *);

/* The answer was the expected one: the log is where the expectation says. */
void users_acknowledge(struct users *, uint32_t index, const struct expectation *);

/* Whether no other batch was written for the log since: a refused one may be sent as it is. */
bool users_is_newest(const struct users *, uint32_t index, const struct expectation *);

/* What the log must be at the end, for its audit. *head_known is false when an answer is missing.
 */
void users_expected(const struct users *, const struct users_record *, struct position *head,
		    bool *head_known);

#endif
