/*
 * spread: numbers to draw, as the command line writes them.
 *
 *     "100"               always this one
 *     "1..200"            each of these equally often
 *     "1:70,10:25,100:5"  these, by weight
 *
 * Threads: a spread is constant once it is parsed.
 */
#ifndef LOADTEST_SPREAD_H
#define LOADTEST_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "loadtest/random.h"

#define SPREAD_CHOICES_MAX 16

/* One range, drawn as often as its weight says. */
struct spread_choice {
	uint64_t low;
	uint64_t high;
	uint64_t up_to; /* this one's weight and those before it */
};

struct spread {
	struct spread_choice choices[SPREAD_CHOICES_MAX];
	size_t count;
};

/* False, and the spread is undefined, when the text is none, or has a number outside min..max. */
bool spread_parse(struct text, uint64_t min, uint64_t max, struct spread *);

uint64_t spread_draw(const struct spread *, struct random *);
uint64_t spread_max(const struct spread *);

#endif
