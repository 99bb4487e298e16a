/*
 * daemon: what another process of this machine has used, by its pid.
 *
 *     daemon_sample ─▶ … the measured part … ─▶ daemon_sample ─▶ daemon_rest ─▶ daemon_difference
 *
 * Figures come from its CPU clock and from /proc. Context switches are summed over the threads that
 * live at the moment; those of threads that have ended are lost.
 *
 * Threads: any; there is no state.
 */
#ifndef LOADTEST_DAEMON_H
#define LOADTEST_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "loadtest/result.h"

/* Everything used since the process began. False, with a sentence on stderr, when there is no such
 * process or it may not be looked at. Bytes written are 0 where the kernel does not tell them. */
bool daemon_sample(pid_t, struct daemon_usage *);

/*
 * Waits until the process has used next to no CPU for one and a half seconds, at most so many
 * seconds, and samples it then: what it did behind its answers is in the sample. *rested_sec is how
 * long it went on working. False as with daemon_sample(). Still busy after the time is no failure.
 */
bool daemon_rest(pid_t, double at_most_sec, struct daemon_usage *, double *rested_sec);

/* What was used between two samples. The peak of memory is the later sample's: it is one since the
 * process began. */
void daemon_difference(const struct daemon_usage *before, const struct daemon_usage *after,
		       struct daemon_usage *difference);

#endif
