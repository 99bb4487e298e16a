/*
 * fetch: one GET with libcurl, bounded in bytes and time.
 *
 * https with the system's authorities or the operator's own; http only from this machine itself, where nobody is in
 * between. Redirects are not followed: keys come from where the operator said.
 *
 * Threads: each fetch has one; a stop may be asked for by any.
 */
#ifndef AUTH_FETCH_H
#define AUTH_FETCH_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/status.h"

struct fetch;

/* From the thread that starts others. ca_file: PEM, empty for the system's authorities. URL and file are
 * checked: MALFORMED with *problem (base/problem). */
MUST_CHECK enum status fetch_new(const char *url, const char *ca_file, struct fetch **,
				 const char **problem);
void fetch_free(struct fetch *); /* NULL is allowed */

/* Into an empty buffer that has its maximum. Returns within about a second once *stop is true. */
MUST_CHECK enum status fetch_run(struct fetch *, const atomic_bool *stop, struct buffer *,
				 const char **problem);

#endif
