#include "api/admission.h"

#include "base/check.h"

#define GROWTH 16 /* a sixteenth */

#define LOAD(member) atomic_load_explicit(&(member), memory_order_relaxed)
#define STORE(member, value) atomic_store_explicit(&(member), value, memory_order_relaxed)

void
admission_init(struct admission *admission, uint64_t target_usec)
{
	atomic_init(&admission->target_usec, target_usec);
	atomic_init(&admission->in_flight, 0);
	atomic_init(&admission->limit, ADMISSION_START);
	atomic_init(&admission->since_usec, 0);
	atomic_init(&admission->finished, 0);
	atomic_init(&admission->slow, 0);
	atomic_init(&admission->reached, false);
}

void
admission_set_target(struct admission *admission, uint64_t target_usec)
{
	STORE(admission->target_usec, target_usec);
}

static bool
is_full(const struct admission *admission)
{
	return LOAD(admission->target_usec) > 0 &&
	       LOAD(admission->in_flight) >= LOAD(admission->limit);
}

bool
admission_is_full(struct admission *admission)
{
	const bool full = is_full(admission);
	if (full)
		STORE(admission->reached, true);
	return full;
}

void
admission_enter(struct admission *admission)
{
	atomic_fetch_add_explicit(&admission->in_flight, 1, memory_order_relaxed);
}

void
admission_leave(struct admission *admission)
{
	CHECK(atomic_fetch_sub_explicit(&admission->in_flight, 1, memory_order_relaxed) > 0);
}

/* By the one thread that ended the round. */
static void
judge(struct admission *admission)
{
	const uint32_t finished =
		atomic_exchange_explicit(&admission->finished, 0, memory_order_relaxed);
	const uint32_t slow = atomic_exchange_explicit(&admission->slow, 0, memory_order_relaxed);
	const bool reached =
		atomic_exchange_explicit(&admission->reached, false, memory_order_relaxed);
	const uint32_t limit = LOAD(admission->limit);
	if (slow > finished / 2)
		STORE(admission->limit, limit / 2 > ADMISSION_MIN ? limit / 2 : ADMISSION_MIN);
	else if (reached || limit < ADMISSION_START)
		STORE(admission->limit, limit + limit / GROWTH);
}

void
admission_record(struct admission *admission, uint64_t began_usec, uint64_t now_usec)
{
	const uint64_t target_usec = LOAD(admission->target_usec);
	uint64_t since_usec = LOAD(admission->since_usec);
	if (target_usec == 0 || began_usec < since_usec)
		return;
	atomic_fetch_add_explicit(&admission->finished, 1, memory_order_relaxed);
	if (now_usec - began_usec > target_usec)
		atomic_fetch_add_explicit(&admission->slow, 1, memory_order_relaxed);
	if (now_usec - since_usec >= target_usec &&
	    atomic_compare_exchange_strong_explicit(&admission->since_usec, &since_usec, now_usec,
						    memory_order_relaxed, memory_order_relaxed))
		judge(admission);
}

uint32_t
admission_count(const struct admission *admission)
{
	return LOAD(admission->in_flight);
}

uint32_t
admission_max(const struct admission *admission)
{
	return LOAD(admission->limit);
}

uint64_t
admission_backoff_msec(const struct admission *admission)
{
	return is_full(admission) ? LOAD(admission->target_usec) / 1000 : 0;
}
