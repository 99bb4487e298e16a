/*
 * account: what a request came to: its place in the metrics, and in the log if it was slow.
 *
 *     begin ─▶ serve: began ─▶ submitted ─▶ taken ─▶ done ─▶ answered ─▶ end: account_end
 *                        decode      queue     commit     answer
 *
 * Times are of clock_monotonic_usec. What the client takes, for its body and for the answer, is in none of
 * the phases; a slow request's line has it beside them.
 */
#ifndef API_ACCOUNT_H
#define API_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "http/request.h"

struct call;
struct job;

struct phases {
	uint64_t began_usec; /* the body was here, or the wait over; 0: it did not come so far */

	/* Of syncs that a writer settled; done_usec is 0 for others. */
	uint64_t submitted_usec;
	uint64_t taken_usec;
	uint64_t done_usec;
};

/* The request is over. call is NULL for one that never got a call. */
void account_end(struct request *, const struct call *);

/* A sync was answered with success: what became of its actions. Those that were refused, which the answer's
 * status does not tell, have a line in the log. */
void account_actions(const struct call *, const struct job *);

/* A sync has another history than the server: whose, if it says its app's version. */
void account_history(const struct job *);

#endif
