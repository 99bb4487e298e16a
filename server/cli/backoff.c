#include "cli/backoff.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "cli/report.h"

#define RANDOM_MSEC UINT64_C(100)
#define RANDOM_MSEC_MAX UINT64_C(30000)

void
backoff_start(struct backoff *backoff, uint64_t give_up_msec)
{
	*backoff = (struct backoff){.give_up_msec = give_up_msec,
				    .succeeded_at = clock_monotonic_msec()};
}

void
backoff_succeeded(struct backoff *backoff)
{
	backoff->failures = 0;
	backoff->succeeded_at = clock_monotonic_msec();
}

uint64_t
backoff_left(const struct backoff *backoff)
{
	uint64_t elapsed = clock_monotonic_msec() - backoff->succeeded_at;

	return elapsed < backoff->give_up_msec ? backoff->give_up_msec - elapsed : 0;
}

bool
backoff_wait(struct backoff *backoff, uint64_t wait_msec)
{
	uint64_t left = backoff_left(backoff);
	uint64_t random = 0;

	backoff->failures++;
	if (left == 0 || wait_msec > left)
		return false;
	CHECK(getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random));
	wait_msec += random % (backoff_random_max(backoff->failures) + 1);
	backoff_sleep(wait_msec < left ? wait_msec : left);
	return true;
}

uint64_t
backoff_random_max(unsigned failures)
{
	/* 2^9 × 100 ms is beyond the bound. */
	return failures < 9 ? RANDOM_MSEC << failures : RANDOM_MSEC_MAX;
}

void
backoff_sleep(uint64_t msec)
{
	struct timespec left = {.tv_sec = (time_t)(msec / 1000),
				.tv_nsec = (long)(msec % 1000) * 1000000};

	report_progress_end();
	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		continue;
}
