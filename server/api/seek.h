/*
 * seek: at which seq of a log a link stands, where a client names the link alone: nothing but a walk from
 * the head downwards tells it.
 *
 *     seek_link ─▶ step ─▶ park ─▶ step … ─▶ done      between steps the thread serves others
 *                  pays for the links that it saw
 *
 * Threads: as the request's.
 */
#ifndef API_SEEK_H
#define API_SEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* As many logs are searched at once, and as many for one subject: who waits for an answer meanwhile waits
 * for a step of each. */
#define SEEKS_MAX ((size_t)4)
#define SUBJECT_SEEKS_MAX ((size_t)1)

struct call;

/* found: the link stands at seq. */
typedef void seek_done(struct call *, enum status, bool found, uint64_t seq);

/* Looks for the link of the query's until, which is behind after if it is there, from seq `from` down,
 * which is behind it too. Then calls done once, or has refused the request, as too many are searching. */
void seek_link(struct call *, uint64_t from, seek_done *);

#endif
