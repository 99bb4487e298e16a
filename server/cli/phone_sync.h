/*
 * phone_sync: brings a phone's state and its log on the server together (protocol, section 7).
 *
 * It is a loop of rounds. Each round asks one thing, and does what the table of section 7 says for
 * the answer:
 *
 *     pull a page (phone_pull), when there is more or after a roll-back
 *     or push the queue's front, also an empty one (phone_batch)
 *        200          ─▶ phone_settle   merge, chain, compare, only then confirm
 *          refused    ─▶ phone_refusal  restamp, wait or set aside
 *        409          ─▶ phone_heal     find the ancestor, roll back, keep everything
 *        410 PRUNED   ─▶ phone_snapshot go on from the log's snapshot
 *        retry split, never, auth, after ─▶ here
 *
 * A round changes the store in one transaction or not at all, and what it asks depends on nothing
 * but the store: so a process that was killed, or an answer that was lost, is repeated by the same
 * request, which the server answers as a duplicate.
 *
 * Threads: one. One sync per log and device at a time: the store's lock sees to it.
 */
#ifndef CLI_PHONE_SYNC_H
#define CLI_PHONE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "cli/backoff.h"
#include "cli/cli.h"
#include "cli/phone_answer.h"
#include "cli/phone_store.h"
#include "cli/transport.h"

/* What a round says about the next one. */
enum step {
	STEP_ON,     /* go on at once */
	STEP_PAUSE,  /* the server answered and asks for wait_msec before the next request */
	STEP_AGAIN,  /* outcome unknown, or no progress: repeat after wait_msec and a random wait */
	STEP_STOP,   /* this log cannot go on; told to the user */
	STEP_LOCKED, /* retry auth: not let in, nothing is rejected */
	STEP_BROKEN, /* the local file failed */
};

struct sync_totals {
	uint64_t applied, duplicates, refused, set_aside;
};

struct phone_sync {
	/* Given. */
	struct transport *transport;
	struct phone_store *store;
	size_t batch_max;
	uint64_t give_up_msec; /* since the last success */
	const char *snapshot;  /* a file for one, to go on from where the log is pruned; or NULL */
	bool reject;	       /* onConflict: reject */
	bool push;	       /* else only pulls; the queue stays */
	bool receipts;	       /* asks for them */
	struct state_report state; /* said of the base, as long as it is that; no data: nothing */
	int64_t sent_upto;	   /* the last place of the queue that may ever have been sent */

	/* Kept for the caller. */
	struct sync_totals totals;
	struct buffer receipt;	/* the newest; empty: none */
	bool state_said;	/* the server has taken it */
	uint64_t agree, differ; /* what it answered, if another device differs; else 0 */
	uint64_t lowest_base;	/* the lowest position from which this run confirmed */

	/* The run's own. Nothing here needs to survive the process. */
	struct server_limits limits;
	bool limits_known;    /* the server said them */
	bool limits_wanted;   /* it does not act as they say: ask again */
	struct arena arena;   /* of one round */
	size_t batch_limit;   /* at most batch_max; halved by retry split, doubled by success */
	bool pull_first;      /* pages before pushing: there is more, or the log rolled back */
	bool with_locator;    /* send one with the next request */
	bool at_head;	      /* the last answer left nothing to pull */
	unsigned mismatches;  /* 409 SERVER_BEHIND, HASH_MISMATCH in a row */
	unsigned conflicts;   /* 409 CONFLICT in a row */
	unsigned idle_rounds; /* 200s since the last success that only gave new stamps */
	struct backoff backoff;
	uint64_t wait_msec; /* what the answer asks for */
	uint64_t queued_at_start;
	char problem[320]; /* of the last failure */
};

/* Sets defaults; the caller then fills what is given. */
void phone_sync_init(struct phone_sync *);
void phone_sync_release(struct phone_sync *);

/*
 * Syncs until the phone is at the log's head and, if it pushes, its queue is empty. EXIT_FINE, or
 * EXIT_UNVERIFIED (the log stopped, or actions were set aside), EXIT_UNREACHABLE (gave up, not let
 * in), EXIT_LOCAL; reported.
 */
enum exit_code phone_sync_run(struct phone_sync *);

/* --- for the phone_* files --- */

/* Progress was made: resets what counts failures. */
void phone_sync_succeeded(struct phone_sync *);

/* A 200 or a refusal that only gave new stamps: STEP_ON, after many in a row STEP_AGAIN. */
enum step phone_sync_idle(struct phone_sync *);

/* Remembers and reports why a round must be repeated; returns STEP_AGAIN. */
enum step phone_sync_again(struct phone_sync *, const char *why);

/* What every request does with an answer that is no success and has no rule of its own. */
enum step phone_sync_problem(struct phone_sync *, const struct answer *);

/* Takes the server's time from an answer, if it has one. */
MUST_CHECK enum status phone_sync_learn_time(struct phone_sync *, const struct http_answer *,
					     const struct answer *);

/* POST of the body, or GET when it is NULL, of a path under the log. */
void phone_sync_ask(struct phone_sync *, const char *tail, const struct text *body,
		    struct http_answer *);

#endif
