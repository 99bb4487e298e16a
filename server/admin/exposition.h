/*
 * exposition: metrics as text: OpenMetrics 1.0, or the format before it (text/plain; version=0.0.4).
 *
 *     # TYPE edgereplay_actions counter            (before: edgereplay_actions_total)
 *     # HELP edgereplay_actions Actions …
 *     edgereplay_actions_total{result="applied"} 12
 *     …
 *     # EOF                                        (before: nothing)
 *
 * What of a name says its unit (_seconds, _bytes) becomes a UNIT line.
 *
 * Private to this room. Threads: one user at a time.
 */
#ifndef ADMIN_EXPOSITION_H
#define ADMIN_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"

struct exposition {
	struct buffer *out;
	bool open_metrics;
	const char *family; /* whose samples follow; NULL before the first */
	const char *type;
};

/* A family begins, unless it is the one before. type: counter, gauge, histogram; a counter's name is
 * without _total. */
void exposition_family(struct exposition *, const char *type, const char *family, const char *help);

/* suffix: "", "_total", "_bucket" …; labels: without braces, NULL: none. The value is in units of
 * 10^-decimals. */
void exposition_sample(struct exposition *, const char *suffix, const char *labels, uint64_t value,
		       unsigned decimals);

void exposition_end(struct exposition *);

#endif
