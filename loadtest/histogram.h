/*
 * histogram: how often which value came, at a fixed size and with three significant digits.
 *
 * Log-linear buckets, as those of HdrHistogram: below HISTOGRAM_EXACT each value has a bucket of its
 * own; above, each power of two has HISTOGRAM_EXACT / 2 of them, so that a bucket is never wider
 * than a thousandth of what is in it. Recording costs a few instructions, whatever was recorded.
 *
 *     0 … 2047 │ 2048 … 4095 │ 4096 … 8191 │ …     values
 *     each one │ each 2      │ each 4      │ …     a bucket
 *
 * The unit is the caller's; here microseconds everywhere. Values from HISTOGRAM_VALUE_MAX on share
 * the last bucket; the maximum, the minimum and the mean are exact all the same.
 *
 * Ownership: histogram_init() allocates, histogram_release() frees and takes NULL. Threads: each
 * histogram has one user at a time.
 */
#ifndef LOADTEST_HISTOGRAM_H
#define LOADTEST_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define HISTOGRAM_EXACT_BITS 11
#define HISTOGRAM_EXACT (UINT64_C(1) << HISTOGRAM_EXACT_BITS)
#define HISTOGRAM_VALUE_BITS 36
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1) /* 19 hours */

struct histogram {
	uint64_t *counts; /* by bucket */
	uint64_t total;
	uint64_t min; /* UINT64_MAX while nothing was recorded */
	uint64_t max;
	double sum;
};

/* STATUS_INTERNAL when memory is out; then release is still allowed. */
MUST_CHECK enum status histogram_init(struct histogram *);
void histogram_release(struct histogram *);

void histogram_record(struct histogram *, uint64_t value);

/* The smallest value that at least percent (0..100) of all values do not exceed, at most a
 * thousandth too high and never above the maximum. 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *, double percent);

double histogram_mean(const struct histogram *); /* 0 when nothing was recorded */

/* One bucket that has something. */
struct histogram_step {
	size_t next;	/* where the walk goes on; begin with 0 */
	uint64_t value; /* the highest value of the bucket, at most the maximum */
	uint64_t count; /* in this bucket */
	uint64_t up_to; /* in this one and all before it */
};

/* Walks the buckets that have something, from small to large values: zero the step, then call until
 * false. */
bool histogram_next(const struct histogram *, struct histogram_step *);

#endif
