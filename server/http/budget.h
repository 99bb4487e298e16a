/*
 * budget: memory that many requests share: what one reserves the others cannot have.
 *
 * Private to this room. Threads: all functions from any thread.
 */
#ifndef HTTP_BUDGET_H
#define HTTP_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct budget {
	_Atomic size_t used; /* ≤ max, but for a lone one */
	size_t max;
};

/* False: there is not so much left. */
bool budget_take(struct budget *, size_t size);

/* The same for what may be more than all of it: that is given when nobody holds any. */
bool budget_take_lone(struct budget *, size_t size);

void budget_give(struct budget *, size_t size);

#endif
