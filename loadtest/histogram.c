#include "loadtest/histogram.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"

#define HALF (HISTOGRAM_EXACT / 2)
#define BUCKETS (HISTOGRAM_EXACT + (HISTOGRAM_VALUE_BITS - HISTOGRAM_EXACT_BITS) * HALF)

enum status
histogram_init(struct histogram *histogram)
{
	*histogram = (struct histogram){.min = UINT64_MAX};
	histogram->counts = calloc(BUCKETS, sizeof(*histogram->counts));
	return histogram->counts == NULL ? STATUS_INTERNAL : STATUS_OK;
}

void
histogram_release(struct histogram *histogram)
{
	if (histogram == NULL)
		return;
	free(histogram->counts);
	histogram->counts = NULL;
}

/* How far a value is shifted so that HISTOGRAM_EXACT_BITS of it are left. */
static unsigned
shift_of(uint64_t value)
{
	return value < HISTOGRAM_EXACT
		       ? 0
		       : 64 - HISTOGRAM_EXACT_BITS - (unsigned)__builtin_clzll(value);
}

static size_t
bucket_of(uint64_t value)
{
	if (value > HISTOGRAM_VALUE_MAX)
		value = HISTOGRAM_VALUE_MAX;
	unsigned shift = shift_of(value);
	/* Shifted, the top bit is set: what is below HALF belongs to smaller values. */
	return (size_t)(shift * HALF + (value >> shift));
}

static uint64_t
highest_of(size_t bucket)
{
	if (bucket < HISTOGRAM_EXACT)
		return bucket;
	unsigned shift = (unsigned)(bucket / HALF) - 1;
	uint64_t lowest = (uint64_t)(bucket - shift * HALF) << shift;
	return lowest + (UINT64_C(1) << shift) - 1;
}

void
histogram_record(struct histogram *histogram, uint64_t value)
{
	histogram->counts[bucket_of(value)]++;
	histogram->total++;
	histogram->sum += (double)value;
	if (value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
}

bool
histogram_next(const struct histogram *histogram, struct histogram_step *step)
{
	while (step->next < BUCKETS && histogram->counts[step->next] == 0)
		step->next++;
	if (step->next == BUCKETS)
		return false;
	size_t bucket = step->next++;
	step->count = histogram->counts[bucket];
	step->up_to += step->count;
	step->value = highest_of(bucket);
	/* The last bucket has no end but the maximum. */
	if (step->value > histogram->max || bucket == BUCKETS - 1)
		step->value = histogram->max;
	return true;
}

uint64_t
histogram_percentile(const struct histogram *histogram, double percent)
{
	struct histogram_step step = {0};
	CHECK(percent >= 0 && percent <= 100);
	double rank = ceil(percent / 100 * (double)histogram->total);
	while (histogram_next(histogram, &step)) {
		if ((double)step.up_to >= rank)
			return step.value;
	}
	return 0;
}

double
histogram_mean(const struct histogram *histogram)
{
	return histogram->total == 0 ? 0 : histogram->sum / (double)histogram->total;
}
