/*
 * sweep: tries the points at which something can fail, from the first on, until none is left.
 *
 * Much of a point's time is waiting for a shard to start again, so several processes share the
 * points. Each goes on until the fault of one of its points was not reached: that proves its end.
 */
#ifndef SUPPORT_SWEEP_H
#define SUPPORT_SWEEP_H

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/soak.h"

struct sweep_counts {
	atomic_uint points;   /* at which it failed */
	atomic_uint last;     /* the greatest of them */
	atomic_uint noticed;  /* the caller of the code under test was told of it */
	atomic_uint refusals; /* how often */
};

/* Whether the fault was reached. What went wrong fails the test. */
typedef bool sweep_point(const void *cookie, unsigned nth, struct sweep_counts *);

struct sweep {
	const char *name;
	sweep_point *point;
	const void *cookie;
	unsigned workers;
	unsigned stride; /* 1: as the short and the long form have it */
};

static inline void
sweep_work(const struct sweep *sweep, unsigned worker, struct sweep_counts *counts)
{
	unsigned index = 0;
	for (unsigned nth = 1;; nth = sweep_next(nth) + sweep->stride - 1) {
		if (index++ % sweep->workers != worker)
			continue;
		if (!sweep->point(sweep->cookie, nth, counts))
			return;
		counts->points++;
		unsigned last = counts->last;
		while (last < nth && !atomic_compare_exchange_weak(&counts->last, &last, nth))
			continue;
	}
}

/* Runs it to its end and says what it counted. */
static inline struct sweep_counts
sweep_run(const struct sweep *sweep)
{
	pid_t workers[64];
	int result;
	ck_assert_uint_le(sweep->workers, 64);
	const int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_ANONYMOUS;
	/* cppcheck-suppress invalidFunctionArg */
	struct sweep_counts *shared = mmap(NULL, sizeof(*shared), protection, flags, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	for (unsigned i = 0; i < sweep->workers; i++) {
		workers[i] = fork();
		ck_assert_int_ne(workers[i], -1);
		if (workers[i] == 0) {
			sweep_work(sweep, i, shared);
			_exit(EXIT_SUCCESS);
		}
	}
	unsigned failed = 0;
	for (unsigned i = 0; i < sweep->workers; i++) {
		ck_assert_int_eq(waitpid(workers[i], &result, 0), workers[i]);
		if (result != 0)
			fprintf(stderr, "%s: worker %u: wait status %d\n", sweep->name, i, result);
		failed += result != 0;
	}
	ck_assert_msg(failed == 0, "%s: %u workers failed", sweep->name, failed);
	const struct sweep_counts counts = *shared;
	ck_assert_int_eq(munmap(shared, sizeof(*shared)), 0);
	printf("# %s: %u points up to %u, of which %u were noticed\n", sweep->name, counts.points,
	       counts.last, counts.noticed);
	fflush(stdout);
	return counts;
}

#endif
