#include "http/budget.h"

bool
budget_take(struct budget *budget, size_t size)
{
	size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
	do {
		if (size > budget->max - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&budget->used, &used, used + size, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void
budget_give(struct budget *budget, size_t size)
{
	atomic_fetch_sub_explicit(&budget->used, size, memory_order_relaxed);
}
