/*
 * key_source: where keys come from, a JWKS file or URL, and the thread that follows it.
 *
 *     file   read at start (a bad one refuses it), when it changes (looked at each second), on reload
 *     URL    fetched at start, every refresh_sec, on reload, and when a token names a key that is not
 *            known; never sooner than min_interval_sec after the last time, but for a reload
 *
 * Whatever fails later is logged, and the set that was there stays. A file that others can write is
 * refused: who puts a key there makes tokens. Secrets (kty oct) are taken only from one that others
 * cannot read either.
 *
 * Threads: start, reload, stop by the owner; the others by any.
 */
#ifndef AUTH_KEY_SOURCE_H
#define AUTH_KEY_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/keys.h"
#include "base/status.h"

#define JWKS_SIZE_MAX ((size_t)256 * 1024)

struct key_source;

/* One of path and url is empty. The texts must live as long. */
struct key_source_options {
	const char *path;
	const char *url;
	const char *ca_file; /* of the URL; empty: the system's authorities */
	uint64_t refresh_sec;
	uint64_t min_interval_sec;
	algorithm_set algorithms;
};

/* On failure *problem says why (base/problem). */
MUST_CHECK enum status key_source_start(const struct key_source_options *, struct key_source **,
					const char **problem);
void key_source_stop(struct key_source *); /* NULL is allowed */

/* Reads the file now; has the URL fetched now. */
void key_source_reload(struct key_source *);

/* Held for the caller. NULL: nothing was fetched so far. */
struct keys *key_source_keys(struct key_source *);

/* Of the newest set; another one for each that differs from the one before. */
uint64_t key_source_generation(const struct key_source *);

struct key_figures {
	uint64_t age_msec; /* since the URL's keys were fetched with success, or since the start */
	uint64_t refresh_msec;
};

/* Of a URL; false: it is a file, which is read again whenever it changes. */
bool key_source_measure(struct key_source *, struct key_figures *);

/* A token names a key that is not known. True: it may be soon, the URL is or will be asked now. */
bool key_source_miss(struct key_source *);

#endif
