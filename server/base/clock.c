#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"

#define STEP_MSEC 60000 /* protocol, section 4: smaller steps back are hidden, larger followed */
#define DRIFT_MSEC 1000
#define BELIEF_MSEC 3600000
#define MSEC_MAX UINT64_C(253402300799999) /* the end of the year 9999 */

static _Atomic uint64_t clock_shown;

/* Wall clock minus time since boot when it was last looked at: a jump of this difference is a step
 * of the wall clock. Time since boot goes on while the machine sleeps, so that waking up is none.
 */
static _Atomic int64_t clock_offset = INT64_MIN;

static uint64_t
clock_read_usec(clockid_t clock)
{
	struct timespec time;
	CHECK(clock_gettime(clock, &time) != -1);
	/* A wall clock before 1970 is shown as 1970. */
	if (time.tv_sec < 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Says so when the wall clock jumped ahead. Who replaces the offset logs, so one thread does; the
 * offset is read before the clock, so that a thread that slept in between replaces nothing. */
static void
clock_watch(int64_t before, uint64_t now)
{
	int64_t offset = (int64_t)now - (int64_t)(clock_read_usec(CLOCK_BOOTTIME) / 1000);
	int64_t moved = before == INT64_MIN ? 0 : offset - before;
	if (before != INT64_MIN && moved >= -DRIFT_MSEC && moved <= DRIFT_MSEC)
		return;
	if (atomic_compare_exchange_strong(&clock_offset, &before, offset) && moved > STEP_MSEC)
		log_warn("base", "the wall clock stepped forward", LOG_I64("ms", moved));
}

/* The last shown time is read before the clock: when another thread showed a later one meanwhile,
 * the exchange fails and the clock is read again, so a stale reading never undoes a step back. */
uint64_t
clock_server_msec(void)
{
	for (;;) {
		int stepped = 0;
		int64_t offset = atomic_load(&clock_offset);
		uint64_t last = atomic_load(&clock_shown);
		uint64_t now = clock_read_usec(CLOCK_REALTIME) / 1000;
		uint64_t shown = clock_smooth(last, now, &stepped);
		if (shown != last && !atomic_compare_exchange_strong(&clock_shown, &last, shown))
			continue;
		if (stepped)
			log_warn("base", "the wall clock stepped back", LOG_U64("ms", last - now));
		clock_watch(offset, now);
		return shown;
	}
}

uint64_t
clock_believe(struct clock_belief *belief, uint64_t wall, uint64_t since_boot)
{
	const int64_t offset = (int64_t)wall - (int64_t)since_boot;
	if (!belief->begun || offset <= belief->offset + STEP_MSEC) {
		*belief = (struct clock_belief){.begun = true, .offset = offset};
		return wall;
	}
	if (!belief->doubts || offset > belief->doubted + STEP_MSEC ||
	    offset < belief->doubted - STEP_MSEC) {
		belief->doubts = true;
		belief->doubted = offset;
		belief->doubted_msec = since_boot;
	}
	if (since_boot - belief->doubted_msec >= BELIEF_MSEC) {
		belief->offset = offset;
		belief->doubts = false;
		return wall;
	}
	return (uint64_t)((int64_t)since_boot + belief->offset);
}

uint64_t
clock_believed_msec(struct clock_belief *belief)
{
	return clock_believe(belief, clock_server_msec(), clock_read_usec(CLOCK_BOOTTIME) / 1000);
}

uint64_t
clock_monotonic_usec(void)
{
	return clock_read_usec(CLOCK_MONOTONIC);
}

uint64_t
clock_monotonic_msec(void)
{
	return clock_monotonic_usec() / 1000;
}

uint64_t
clock_smooth(uint64_t last, uint64_t now, int *stepped)
{
	*stepped = now < last && last - now > STEP_MSEC;
	if (now >= last || *stepped)
		return now;
	return last;
}

void
clock_format(uint64_t msec, char text[CLOCK_TEXT_SIZE])
{
	struct tm tm;
	uint64_t shown = msec < MSEC_MAX ? msec : MSEC_MAX;
	time_t seconds = (time_t)(shown / 1000);
	CHECK(gmtime_r(&seconds, &tm) != NULL);
	/* The remainders change nothing; they show the compiler that the text fits. */
	(void)snprintf(text, CLOCK_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		       (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
		       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
		       (unsigned)(shown % 1000));
}
