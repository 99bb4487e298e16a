/*
 * creators: how many logs each subject has begun, known while batches of his that may begin another are
 * under way.
 *
 *     creators_enter ─▶ the first of the subject: counted ─▶ queue ─▶ creators_take ─▶ settle, write ─▶ creators_leave
 *                                                                          ╰──▶ creators_give_back, where it began none
 *
 * A subject's logs are in several shards, whose writers begin them at the same time. They share this one
 * count, so that together they do not pass the limit. Nothing is remembered of who has nothing under way:
 * the next batch counts anew, in the store, which is right after whatever happened to it.
 *
 * Threads: all functions from any thread. No lock is held while somebody counts; who asks for the same
 * subject waits for it.
 *
 * Invariants:
 * 1. A counted subject's number is that of its logs in the store and of the places that are taken.
 * 2. There are no more subjects than batches under way.
 */
#ifndef STORE_CREATORS_H
#define STORE_CREATORS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"

struct creators;
struct creator; /* one subject */

/* NULL when memory is out. */
struct creators *creators_new(uint64_t logs_max);
void creators_free(struct creators *); /* everybody has left; takes NULL */

/* 0: no limit. */
void creators_set_max(struct creators *, uint64_t logs_max);
uint64_t creators_max(const struct creators *);

/* Counts a subject's logs. */
typedef enum status creators_counter(void *cookie, struct text subject, uint64_t *logs);

/* A batch of a subject's comes that may begin a log. STATUS_INTERNAL when memory is out, or what the
 * counter returned: then it is not there. */
MUST_CHECK enum status creators_enter(struct creators *, struct text subject, creators_counter *,
				      void *cookie, struct creator **);

/* The batch is answered, and what it began can be counted. Takes NULL. A place whose log may be stored or
 * not stays taken until the last batch of the subject's has left. */
void creators_leave(struct creator *);

/* A place for one log more, or false: *limit are there already. */
MUST_CHECK bool creators_take(struct creator *, uint64_t *limit);

/* It was not needed. */
void creators_give_back(struct creator *);

#endif
