/*
 * phone_clock: how a phone stamps, and how it learns the server's time (protocol, section 7).
 *
 * The rules are pure functions of values; only clock_wall_msec looks at a clock.
 */
#ifndef CLI_PHONE_CLOCK_H
#define CLI_PHONE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* A device whose newest stamp is further ahead than this is not followed. */
#define STAMP_AHEAD_MSEC_MAX UINT64_C(300000)

/* Both local clocks at the two ends of a round trip, in milliseconds. */
struct clock_sample {
	uint64_t wall_sent, wall_received;
	uint64_t monotonic_sent, monotonic_received;
};

uint64_t clock_wall_msec(void);

/*
 * offset = server's time − midpoint of the round trip. False when the local clock was set during
 * the sample (wall and monotonic time disagree about its length): *offset is left alone.
 */
bool clock_offset(const struct clock_sample *, uint64_t server_msec, int64_t *offset);

/* local + offset, kept within the range of stamps. */
uint64_t clock_apply(uint64_t wall_msec, int64_t offset);

/*
 * The first stamp to try: max(newest + 1, server_now), or server_now when newest is more than five
 * minutes ahead of it. newest: of this device in queue or log, 0 if none. The caller then adds 1
 * until no action of the device has the stamp.
 */
uint64_t stamp_first(uint64_t newest, uint64_t server_now);

#endif
