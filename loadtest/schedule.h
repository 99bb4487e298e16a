/*
 * schedule: when the requests of an open loop should go out.
 *
 * Threads: one user at a time.
 */
#ifndef LOADTEST_SCHEDULE_H
#define LOADTEST_SCHEDULE_H

#include <stdint.h>

#include "loadtest/plan.h"
#include "loadtest/random.h"

struct schedule {
	double begin_usec;
	double gap_usec; /* in the mean */
	double next_usec;
	uint64_t passed;
	unsigned arrivals;
	struct random random;
};

void schedule_init(struct schedule *, const struct plan *, uint64_t begin_usec);

/* When the next one is due. */
uint64_t schedule_next(const struct schedule *);

/* On to the one behind it. */
void schedule_pass(struct schedule *);

#endif
