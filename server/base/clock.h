/*
 * clock: the two clocks, and the server's timestamp (protocol, section 4).
 *
 * Threads: all functions from any thread.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

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

/* RFC 3339 in UTC with milliseconds, 24 characters and a NUL: "2026-11-22T18:04:08.123Z". What is
 * later than the year 9999 is shown as its end. */
#define CLOCK_TEXT_SIZE 25
void clock_format(uint64_t msec, char text[CLOCK_TEXT_SIZE]);

#endif
