#include "loadtest/schedule.h"

#include <math.h>

void
schedule_init(struct schedule *schedule, const struct plan *plan, uint64_t begin_usec)
{
	*schedule = (struct schedule){.begin_usec = (double)begin_usec,
				      .gap_usec = 1e6 / plan->rate,
				      .next_usec = (double)begin_usec,
				      .arrivals = plan->arrivals};
	random_init(&schedule->random, plan->seed, 2);
}

uint64_t
schedule_next(const struct schedule *schedule)
{
	return (uint64_t)schedule->next_usec;
}

void
schedule_pass(struct schedule *schedule)
{
	schedule->passed++;
	if (schedule->arrivals == ARRIVALS_POISSON)
		schedule->next_usec -=
			log(1 - random_share(&schedule->random)) * schedule->gap_usec;
	else
		/* Not added up, so that nothing is rounded away in a long run. */
		schedule->next_usec =
			schedule->begin_usec + (double)schedule->passed * schedule->gap_usec;
}
