/*
 * auth: who asks, and which logs are theirs. Knows no HTTP types: texts in, an identity out.
 *
 *     credentials ─▶ auth_identify ─┬─▶ token: cache ─▶ (identity)
 *                                   │          └─ else token ─▶ keys ─▶ claims ─▶ identity ─▶ cache
 *                                   └─▶ proxy: trusted, secret ─▶ identity
 *                      key_source (thread): JWKS file or URL ─▶ keys
 *
 *     auth.c  the door            identity.h  who, and what is theirs     token.h   a compact JWS's parts
 *     cache.h verified tokens     claims.h    what a token must say       keys.h    a JWKS; signatures
 *     trusted.h proxies           key_source.h where keys come from       algorithm.h  which there are
 *
 * What a token may be (RFC 8725): a compact JWS in strict base64url and strict JSON, signed with an
 * algorithm that auth.algorithms names, by a key that is loaded, of the algorithm's own kind, and
 * whose own `alg`, `use` and `key_ops` allow it. Never `none`; a shared secret (HS256 …) only where
 * it is named, and only with an `oct` key of a file. Headers that bring or name keys (jwk, jku, x5c,
 * x5u) are not looked at; one with `crit` is refused.
 *
 * A request that is held (?wait=) or a stream of actions goes on when its token expires meanwhile, or its
 * key is taken out of the set: what it tells is at most 30 seconds late, or what it was allowed to read
 * when it began. An event stream ends.
 *
 * Why not all of librhonabwy: it reads base64 and JSON leniently, fetches what a token's header
 * names unless it is told not to, inflates payloads, and compares HMACs with strcmp
 * (CVE-2024-25714). So it only makes keys of JWKs, from which all but the numbers was taken away;
 * GnuTLS verifies, over bytes that were read here.
 *
 * Threads: auth_new, auth_reload, auth_free by the owner; auth_identify and what reads an identity
 * by any.
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/identity.h"
#include "auth/key_source.h"
#include "base/status.h"
#include "base/text.h"

struct sockaddr;
struct auth;

/* The texts are copied; an empty one is: not set. auth.* of the configuration. */
struct auth_options {
	bool proxy; /* else tokens */
	const char *own_log;

	/* Tokens. One of jwks_file and jwks_url. */
	const char *algorithms; /* names with commas between them */
	const char *jwks_file;
	const char *jwks_url;
	const char *jwks_ca_file;
	uint64_t jwks_refresh_sec;
	uint64_t jwks_min_interval_sec;
	const char *issuer;
	const char *audience;
	const char *type;
	uint64_t leeway_sec;
	size_t token_bytes;
	size_t cache_bytes;
	const char *logs_claim;
	const char *logs_ro_claim;
	const char *device_claim;
	const char *all_scope;

	/* A proxy. */
	const char *user_header;
	const char *trusted; /* addresses, CIDRs, "unix", with commas between them */
	const char *secret_header;
	const char *secret_file;
};

/* A header: its first value, and how often it came. */
struct header_value {
	struct text value;
	unsigned count;
};

struct credentials {
	struct header_value authorization;
	struct header_value user;    /* auth_user_header() */
	struct header_value secret;  /* auth_secret_header() */
	const struct sockaddr *peer; /* NULL when unknown */
};

/*
 * Reads keys and secrets, and starts the thread that follows them. On failure *problem says what to
 * do (base/problem): MALFORMED for an option, STORAGE_UNAVAILABLE for a file. Keys of a URL are
 * fetched in the background.
 */
MUST_CHECK enum status auth_new(const struct auth_options *, struct auth **, const char **problem);

/* Reads the files again and fetches the URL again. What cannot be read is logged, and the old stays. */
void auth_reload(struct auth *);

/* After the last identity was released. NULL is allowed. */
void auth_free(struct auth *);

/* Which headers auth_identify wants to see; NULL: none. */
const char *auth_user_header(const struct auth *);
const char *auth_secret_header(const struct auth *);

/*
 * counts: it is to be counted against the address that it came from, whatever a guess may look like, a kid
 * that is not known among it. A token that a key signed and that has only expired does not: a phone that
 * slept has such a one, and must be told.
 */
struct auth_fault {
	const char *why; /* constant; NULL: there is nothing to say */
	bool counts;
};

/*
 * STATUS_OK with an identity, which the caller releases; else
 * - UNAUTHENTICATED: no credentials, or not good ones. Why is for the log, never told.
 * - FORBIDDEN: good ones of a subject that no log name can be made of (logged).
 * - STORAGE_UNAVAILABLE: nobody can tell yet, since the keys of a URL were not fetched so far, or
 *   are being fetched because the token names one that is not known: a 401 would make an honest
 *   phone stop.
 * - INTERNAL: memory is out.
 */
MUST_CHECK enum status auth_identify(struct auth *, const struct credentials *, struct identity **,
				     struct auth_fault *);

/* How fresh the keys of a URL are; false: there is no URL. */
bool auth_measure(struct auth *, struct key_figures *);

/* Whether the key that vouched for it is still there. Where none did: true. */
bool auth_vouches(struct auth *, const struct identity *);

#endif
