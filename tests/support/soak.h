/*
 * soak: how much a fault test does: its short form, or with EDGEREPLAY_SOAK=1 all of it; and from
 * which seed (EDGEREPLAY_SEED).
 */
#ifndef SUPPORT_SOAK_H
#define SUPPORT_SOAK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_ALL 300	/* so many points are tried in any case */
#define SWEEP_STRIDE 17 /* and beyond them each so manieth */

static inline bool
soak_is_long(void)
{
	const char *value = getenv("EDGEREPLAY_SOAK");
	return value != NULL && strcmp(value, "1") == 0;
}

static inline uint64_t
soak_seed(void)
{
	const char *value = getenv("EDGEREPLAY_SEED");
	return value == NULL ? 20261122 : strtoull(value, NULL, 10);
}

/* The point after this one. */
static inline unsigned
sweep_next(unsigned nth)
{
	return nth + (nth < SWEEP_ALL || soak_is_long() ? 1 : SWEEP_STRIDE);
}

#endif
