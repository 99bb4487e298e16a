#include "cli/phone_clock.h"

#include <time.h>

#include "base/check.h"
#include "chain/chain.h"

/* Both clocks are slewed alike, so that they drift apart only by a step; reading them is not
 * atomic. */
#define STEP_MSEC 20

uint64_t
clock_wall_msec(void)
{
	struct timespec now;

	CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool
clock_offset(const struct clock_sample *sample, uint64_t server_msec, int64_t *offset)
{
	int64_t wall = (int64_t)(sample->wall_received - sample->wall_sent);
	int64_t monotonic = (int64_t)(sample->monotonic_received - sample->monotonic_sent);

	if (wall - monotonic > STEP_MSEC || monotonic - wall > STEP_MSEC)
		return false;
	*offset = (int64_t)server_msec - ((int64_t)sample->wall_sent + monotonic / 2);
	return true;
}

uint64_t
clock_apply(uint64_t wall_msec, int64_t offset)
{
	int64_t now = (int64_t)wall_msec + offset;

	if (now < 1)
		return 1;
	return (uint64_t)now > TS_MAX ? TS_MAX : (uint64_t)now;
}

uint64_t
stamp_first(uint64_t newest, uint64_t server_now)
{
	if (newest < server_now || newest > server_now + STAMP_AHEAD_MSEC_MAX)
		return server_now;
	return newest + 1;
}
