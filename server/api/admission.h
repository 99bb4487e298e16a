/*
 * admission: how many syncs may be under way at once, found from how long they take.
 *
 *     admission_is_full, at a request's headers ─▶ body, decoding ─▶ admission_enter ─▶ queue, commit
 *           └▶ refused, its body unread                                                     │
 *                               admission_leave ◀─ admission_record ◀─ answer ◀─────────────┘
 *
 * What is let in beyond what can be done only makes everybody wait, and holds memory meanwhile. How
 * much can be done depends on the machine, its disk and the batches, so no number is configured but
 * the time that a sync should take: while most take longer, the limit is halved; while they do not,
 * it grows (additive increase and multiplicative decrease, as TCP does it; here growth is by a
 * sixteenth, so that it fits any size). A limit is judged by syncs that began under it, so it is
 * halved once for each time it takes to see what the last halving did.
 *
 * A place is taken by a sync that is decoded: who sends its body slowly, or never, keeps nobody
 * out.
 *
 * It starts high: a crowd that comes to an idle server is let in. Beyond that it grows only when it
 * is reached.
 *
 * Threads: all functions from any thread; relaxed atomics, no lock. Threads that enter at the same
 * moment may each go beyond the limit.
 */
#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ADMISSION_START 1024

/* Enough for group commits. */
#define ADMISSION_MIN 64

struct admission {
	_Atomic uint64_t target_usec;
	_Atomic uint32_t in_flight;
	_Atomic uint32_t limit;
	_Atomic uint64_t since_usec; /* when the limit was judged */
	_Atomic uint32_t finished;   /* of those that began since */
	_Atomic uint32_t slow;	     /* among them */
	atomic_bool reached;	     /* since then: one was refused */
};

void admission_init(struct admission *, uint64_t target_usec);

/* A target of 0 lets everybody in. */
void admission_set_target(struct admission *, uint64_t target_usec);

/* Whether as many are under way as the limit says. True is told to who is then refused. */
bool admission_is_full(struct admission *);

/* From here on one more is under way, until it leaves. */
void admission_enter(struct admission *);
void admission_leave(struct admission *);

/* A sync whose body was complete at began_usec has its answer now. The time for the body is the
 * client's and does not count. */
void admission_record(struct admission *, uint64_t began_usec, uint64_t now_usec);

/* How many are under way, and how many may be. */
uint32_t admission_count(const struct admission *);
uint32_t admission_max(const struct admission *);

/* The target while the limit is reached, otherwise 0: what to ask of clients before their next. */
uint64_t admission_backoff_msec(const struct admission *);

#endif
