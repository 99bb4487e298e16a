#include "base/metrics.h"

#include <stdatomic.h>

#include "base/check.h"

static _Atomic uint64_t counters[COUNTER_COUNT];

static const char *const counter_names[] = {
#define COUNTER_NAME(name, text) [name] = (text),
	COUNTER_TABLE(COUNTER_NAME)
#undef COUNTER_NAME
};

void
counter_add(enum counter counter, uint64_t count)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	/* Most of what a commit is counted for did not happen; adding nothing costs as much as adding
	 * something, as all threads write there. */
	if (count == 0)
		return;
	atomic_fetch_add_explicit(&counters[counter], count, memory_order_relaxed);
}

uint64_t
counter_value(enum counter counter)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	return atomic_load_explicit(&counters[counter], memory_order_relaxed);
}

const char *
counter_name(enum counter counter)
{
	CHECK((unsigned)counter < COUNTER_COUNT);
	return counter_names[counter];
}
