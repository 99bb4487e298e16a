/*
 * places: how many may wait at once, with a held request or an event stream: in all, and of one subject,
 * so that nobody takes all of them.
 *
 * Threads: all functions from any thread, new and free by the owner.
 */
#ifndef API_PLACES_H
#define API_PLACES_H

#include <stddef.h>

#include "base/text.h"

struct places;
struct holder; /* a subject that has places */

/* Bounds of 0: none at all. NULL when memory is out. */
struct places *places_new(size_t max, size_t subject_max);
void places_free(struct places *); /* NULL is allowed */

/* Whoever has a place keeps it. */
void places_set_max(struct places *, size_t max, size_t subject_max);

enum places_outcome {
	PLACES_GIVEN,
	PLACES_TAKEN,	/* all of them, or memory is out */
	PLACES_TOO_MANY /* this subject has as many as one may have */
};

/* An empty subject is nobody in particular, and may have all. On PLACES_GIVEN *holder is for
 * places_leave(). */
enum places_outcome places_enter(struct places *, struct text subject, struct holder **holder);
void places_leave(struct places *, struct holder *);

size_t places_taken(struct places *);
size_t places_max(struct places *);

#endif
