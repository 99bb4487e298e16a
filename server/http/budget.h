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
	_Atomic size_t used; /* ≤ max */
	size_t max;
};

/* False: there is not so much left. */
bool budget_take(struct budget *, size_t size);
void budget_give(struct budget *, size_t size);

#endif
