/*
 * scan: reads the daemon's JSON answers in place, without a tree and without memory of its own.
 *
 *     struct scan scan = scan_of(text, size);
 *     while (scan_member(&scan, &name)) {
 *             if (text_equal(name, TEXT("seq")))
 *                     scan_u64(&scan, &seq);
 *             else
 *                     scan_skip(&scan);
 *     }
 *     if (!scan_end(&scan)) …
 *
 * Strings are unescaped where they stand: texts point into the caller's bytes, which are changed,
 * so a text is read once (scan_skip() changes nothing). After the first thing that is not as it
 * should be a scan stays failed, everything asked of it is false, and it is enough to look once at
 * the end.
 *
 * Threads: a scan has one user at a time.
 */
#ifndef LOADTEST_SCAN_H
#define LOADTEST_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "chain/chain.h"

struct scan {
	char *at;
	char *end;
	bool after; /* a value was read: a comma or the end comes next */
	bool failed;
};

struct scan scan_of(char *data, size_t size);

/* The next member of the object that stands here, of which the first call reads the brace: true
 * with its name, then read its value. False after the last one. */
bool scan_member(struct scan *, struct text *name);

/* The same for the elements of an array. */
bool scan_element(struct scan *);

bool scan_text(struct scan *, struct text *);
bool scan_u64(struct scan *, uint64_t *);
bool scan_bool(struct scan *, bool *);
bool scan_hash(struct scan *, struct hash *);

/* Any value; what it was is *span, which may be scanned later. */
bool scan_skip(struct scan *, struct text *span);

/* True when nothing failed and only white space is left. */
bool scan_end(struct scan *);

/* An action as the log has it (protocol 4.2). */
struct scanned_action {
	uint64_t seq;
	struct action action;
	struct hash digest; /* computed, or what a redacted action says */
};

/* An object with an action: reads it and computes its digest. False, too, when a member is not
 * there. */
bool scan_action(struct scan *, struct scanned_action *);

#endif
