/*
 * claims: what a token whose signature is good must say (RFC 7519, section 4.1), and what it says of
 * the subject.
 *
 * `sub` and `exp` are required; `nbf` and `iat` must be numbers where they are. `iss`, `aud` and `typ`
 * must be what the rules name. A claim of the wrong type makes the token no good: what one cannot
 * read one must not half follow.
 *
 * Threads: none of its own; no state.
 */
#ifndef AUTH_CLAIMS_H
#define AUTH_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/identity.h"
#include "auth/token.h"
#include "base/mem.h"

/* Empty texts: not asked for, or, for the names of claims, not looked at. */
struct claim_rules {
	const char *issuer;
	const char *audience;
	const char *type;
	uint64_t leeway_sec;
	const char *logs_claim;	   /* array of log names, or of prefixes that end in '*' */
	const char *logs_ro_claim; /* the same, to read */
	const char *device_claim;
	const char *all_scope; /* a word of `scope` that opens all logs */
};

/* Why a token is no good in which nothing else is wrong than that its time is over. */
extern const char claims_expired[];

/*
 * NULL, or why the token is no good (static). Fills *facts but for own_log; its texts point into the
 * token, its grants into the arena.
 */
const char *claims_read(const struct claim_rules *, const struct token *, uint64_t now_sec,
			struct arena *, struct identity_facts *);

#endif
