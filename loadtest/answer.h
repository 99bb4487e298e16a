/*
 * answer: reads the daemon's answers and compares them with the tool's own chain.
 *
 * Nothing is believed: a state hash must be the computed one, a page's actions must link to it. A
 * function that finds something wrong returns a sentence about it, a constant; NULL means that all
 * is right.
 *
 * Ownership: bodies are the caller's and are changed, see scan.h; what is found in them points into
 * them. Threads: any; there is no state.
 */
#ifndef LOADTEST_ANSWER_H
#define LOADTEST_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"

/* How often a request may have arrived before. */
enum copies {
	COPIES_NONE,	/* this is the first: all actions are new */
	COPIES_UNKNOWN, /* an earlier answer was lost: all are new or all are duplicates */
	COPIES_SURE	/* one was answered: all are duplicates */
};

/*
 * What a sync request said, and what its answer must therefore say. Of a log with a head of 7, to
 * which a device that knows its first 5 actions sends 2:
 *
 *     base 5 ── 6 ── 7 = before ── 8 ── 9 = head
 *       └── own ── own = claimed
 */
struct expectation {
	struct position base;
	struct position before; /* the head when the own actions were appended */
	struct position head;	/* when the answer was made */
	struct hash claimed;	/* what the request says its actions chain to */
	uint64_t count;		/* of its actions */
	uint64_t newest;	/* the log's newest stamp with them */
	uint32_t draft;		/* the log's batches, counted as they were written */
	enum copies copies;
	bool receipt; /* asked for */
	bool state;   /* said, that of the base */
};

/* What a success says; of a problem only the last two members are set. */
struct answer {
	struct position head;
	uint64_t applied;
	uint64_t duplicates;
	uint64_t refused;
	bool fast_forward;
	bool has_more;
	struct text results; /* arrays, not yet looked into; no data when they are not there */
	struct text missed;
	struct text receipt; /* likewise */
	struct text drift;   /* likewise */
	struct text code;
	uint64_t retry_after_msec;
};

/* A 200 to a sync request. */
const char *answer_sync(char *body, size_t size, const struct expectation *, struct answer *);

/* A problem document: fills code and retry_after_msec. */
const char *answer_problem(char *body, size_t size, struct answer *);

/* The answer to a request for a log's head. */
const char *answer_head(char *body, size_t size, struct position *head);

/* A page of actions that was asked for after *at: moves *at to its end; *newest is the last one's
 * ts, or is left alone when there is none. */
const char *answer_page(char *body, size_t size, struct position *at, uint64_t *newest);

/* A page that was asked for after a position whose hash is not known: it is believed. */
const char *answer_last(char *body, size_t size, uint64_t after, struct position *end,
			uint64_t *newest);

#endif
