/*
 * phone_answer: what a server said, read strictly. Members that are not known are ignored (protocol
 * section 3); a member that is missing or of another form makes the whole answer ANSWER_NONE, which
 * is then treated like a lost one: the outcome is unknown.
 *
 * Ownership: texts point into answer->root; arrays are in the arena.
 */
#ifndef CLI_PHONE_ANSWER_H
#define CLI_PHONE_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/status.h"
#include "cli/phone_chain.h"
#include "cli/transport.h"

enum answer_kind {
	ANSWER_NONE,	/* nothing arrived, a 502 or 504, or nothing that this client understands */
	ANSWER_SUCCESS, /* 200 */
	ANSWER_PROBLEM, /* a problem document */
};

struct answer {
	enum answer_kind kind;
	json_t *root;
	bool has_time;
	uint64_t server_msec;	   /* serverTimestamp */
	uint64_t retry_after_msec; /* retryAfterMs, else the header's; 0 if neither */
	char why[320];		   /* for a human: why NONE, or the problem in words */

	/* sync: the head after the commit; page: its end; problem: the head if has_head */
	struct position head;

	/* page: where it begins */
	struct position before;

	/* sync without fastForward, page, CONFLICT: actions in the server's order */
	struct logged *missed;
	size_t missed_count;
	bool has_more;

	/* sync */
	bool fast_forward;
	uint64_t applied, duplicates, refused;
	uint64_t backoff_msec;
	struct text receipt; /* empty: none */
	bool has_drift;	     /* on the state that was sent */
	struct {
		uint64_t seq, agree, differ;
	} drift;
	struct phone_result *results; /* without fastForward: one an action */
	size_t result_count;

	/* problem */
	struct text code;
	enum retry retry; /* words that are not known count as never: stop and tell */
	bool has_index, has_head, has_ancestor;
	size_t index;
	struct position ancestor;
	struct {
		size_t index;
		uint64_t seq;
	} * known; /* CONFLICT: duplicates */
	size_t known_count;
	uint64_t ahead_msec, newest; /* of a refusal by onConflict reject, if given */
};

/* What a client wants of /v1/info; the protocol's defaults where it is silent. */
struct server_limits {
	uint64_t batch_actions;
	uint64_t body_bytes;
	uint64_t max_skew_msec;			   /* 0: no such policy */
	bool locator, on_conflict, receipt, state; /* optional members that it takes */
};

void answer_read_sync(const struct http_answer *, struct arena *, struct answer *);
void answer_read_page(const struct http_answer *, struct arena *, struct answer *);
void answer_read_head(const struct http_answer *, struct answer *);

/* A stream that answered no 200: kind is never SUCCESS. */
void answer_read_failure(const struct http_answer *, struct answer *);

/* The problem inside a stream; the answer borrows it. */
void answer_read_inline(json_t *problem, struct answer *);

/* Reads only what there is; false when the answer is no success. */
bool answer_read_limits(const struct http_answer *, struct server_limits *);
void answer_release(struct answer *);

/* Parts that streams are made of, too. False when the value is not of that form. */
bool json_read_u64(const json_t *object, const char *name, uint64_t max, uint64_t *value);
bool json_read_hash(const json_t *object, const char *name, struct hash *);
bool json_read_text(const json_t *object, const char *name, struct text *);
bool json_read_logged(const json_t *object, struct logged *);

#endif
