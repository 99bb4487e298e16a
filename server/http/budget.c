#include "http/budget.h"

bool
budget_take(struct budget *budget, size_t size)
{
	size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);
	do {
		if (used > budget->max || size > budget->max - used)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&budget->used, &used, used + size, memory_order_relaxed, memory_order_relaxed));
	return true;
}

bool
budget_take_lone(struct budget *budget, size_t size)
{
	size_t none = 0;
	return size > budget->max
		       ? atomic_compare_exchange_strong_explicit(&budget->used, &none, size,
								 memory_order_relaxed,
								 memory_order_relaxed)
		       : budget_take(budget, size);
}

void
budget_give(struct budget *budget, size_t size)
{
	atomic_fetch_sub_explicit(&budget->used, size, memory_order_relaxed);
}
