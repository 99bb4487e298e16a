/*
 * backoff: how long to wait before a repeat, and when to give up (protocol section 7, "outcome
 * unknown").
 */
#ifndef CLI_BACKOFF_H
#define CLI_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct backoff {
	uint64_t give_up_msec; /* since the last success */
	uint64_t succeeded_at; /* monotonic */
	unsigned failures;     /* since then: the n of the random wait */
};

void backoff_start(struct backoff *, uint64_t give_up_msec);
void backoff_succeeded(struct backoff *);

/* Milliseconds until it is time to give up. */
uint64_t backoff_left(const struct backoff *);

/*
 * Sleeps wait_msec plus a random time in [0, min(2^n × 100 ms, 30 s)], so that many phones do not
 * come back together; at most until the time to give up, for a last try. False, at once, when that
 * time is over, or wait_msec would be longer.
 */
bool backoff_wait(struct backoff *, uint64_t wait_msec);

/* The most of the random part after n failures. */
uint64_t backoff_random_max(unsigned failures);

void backoff_sleep(uint64_t msec);

#endif
