/*
 * clock: the two clocks, and the server's timestamp (protocol, section 4).
 *
 * Threads: all functions from any thread, but for one struct clock_belief.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds since the Unix epoch of the server's wall clock, made not to go backwards within the
 * process for steps up to a minute; larger steps, back or forward, are followed and logged once
 * each. */
uint64_t clock_server_msec(void);

/* Monotonic microseconds and milliseconds since some fixed point; for deadlines. */
uint64_t clock_monotonic_usec(void);
uint64_t clock_monotonic_msec(void);

/* The pure rule of clock_server_msec, for its test: what to show when the wall clock says now and
 * the last shown was last. Sets *stepped when a larger step back was followed. */
uint64_t clock_smooth(uint64_t last, uint64_t now, int *stepped);

/*
 * The same for what cannot be undone, as removing what is old: a step forward of more than a minute
 * is believed only once it has lasted an hour since it was first seen here. Until then time goes on
 * from before it. A step back is believed at once. Zero first; of one thread.
 */
struct clock_belief {
	bool begun, doubts;
	int64_t offset;	       /* wall clock minus time since boot, as it is believed */
	int64_t doubted;       /* and as it has been since then */
	uint64_t doubted_msec; /* since boot */
};
uint64_t clock_believed_msec(struct clock_belief *);

/* Its pure rule, for its test. */
uint64_t clock_believe(struct clock_belief *, uint64_t wall, uint64_t since_boot);

/* RFC 3339 in UTC with milliseconds, 24 characters and a NUL: "2026-11-22T18:04:08.123Z". What is
 * later than the year 9999 is shown as its end. */
#define CLOCK_TEXT_SIZE 25
void clock_format(uint64_t msec, char text[CLOCK_TEXT_SIZE]);

#endif
