/*
 * audit: pulls logs after a run and looks whether they are what the daemon had promised.
 *
 * Each log is streamed from its beginning (protocol 4.2) over a plain connection, and every digest
 * and link is computed from the bytes that came. Then:
 *
 * - the last line's seq and hash must be the computed ones, and the expected head, if it is known;
 * - no device has two actions with one timestamp;
 * - every acknowledged action is there. A digest commits to device and timestamp, so that it is
 *   enough to look for it.
 *
 * Threads: an audit has one user at a time. What is found is told on stderr, the first few.
 */
#ifndef LOADTEST_AUDIT_H
#define LOADTEST_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/chain.h"
#include "loadtest/pull.h"
#include "loadtest/result.h"

/* What the daemon has promised about a log. */
struct audit_expected {
	struct text log;
	bool head_known; /* nothing is under way whose outcome is unknown */
	struct position head;
	const struct hash *digests; /* of the acknowledged actions, in any order; NULL: not kept */
	size_t digest_count;
};

struct audit;

/* Connects when it first has to. The source is borrowed until audit_close(). NULL when memory is
 * out. */
struct audit *audit_open(const struct pull_source *);
void audit_close(struct audit *);

/* Pulls and judges a log, and adds to *result, which begins as zeros. A log that cannot be pulled
 * counts as wrong. */
void audit_log(struct audit *, const struct audit_expected *, struct audit_result *result);

/* Nothing missing, doubled or wrong. */
bool audit_passed(const struct audit_result *);

#endif
