/*
 * webhook: tells another server that a log has grown, for instance so that it wakes the phones by a push
 * notification. It tells which log and its head, nothing of what is in it.
 *
 *     writer: webhook_offer ─▶ outbox ─▶ webhook's own thread ─▶ sender ─▶ POST ─┬─▶ 2xx: delivered
 *                              (bounded,        ▲                                ├─▶ other 4xx: dropped
 *                               a log once)     ╰───────── again, later ─────────┴─▶ all else
 *
 * A hint, not a record: notices are not kept over a restart, and a receiver may get one twice or, where
 * one was dropped, not at all; phones sync all the same. counters webhook_sent, webhook_failed,
 * webhook_dropped say how it goes.
 *
 * What fails is tried again after a pause of its own, which doubles up to a minute, with jitter, or is as
 * long as the answer's Retry-After says; the other logs' notices go on meanwhile. All of them pause when
 * there is no answer, and when the notices of several logs failed in a row: then one POST at a time is
 * tried. 408, 425 and 429 are failures; with any other 4xx the receiver says that it does not want this
 * notice.
 *
 * Threads: new, reload and free by the owner; webhook_offer() from any thread. It takes a lock that is
 * held for a few steps only.
 */
#ifndef WEBHOOK_WEBHOOK_H
#define WEBHOOK_WEBHOOK_H

#include <stddef.h>
#include <stdint.h>

#include "base/origin.h"
#include "base/status.h"
#include "chain/chain.h"

struct webhook;

struct webhook_options {
	const char *url;	 /* these three are copied */
	const char *secret_file; /* signature.h */
	const char *ca_file;	 /* empty: the system's authorities */
	size_t queue;		 /* most logs with an undelivered notice */
	unsigned connections;
	unsigned timeout_sec;
	uint64_t gather_msec; /* commits within this are one notice */
	uint64_t keep_sec;    /* so long after its log's newest growth a notice is dropped */
};

/* On failure (INTERNAL) *problem says why (base/problem). */
MUST_CHECK enum status webhook_new(const struct webhook_options *, struct webhook **,
				   const char **problem);

/* Reads the secrets again; on failure the old ones stay. */
MUST_CHECK enum status webhook_reload(struct webhook *, const char **problem);

/* The log has grown. origin: the request that did it; its traceparent goes with the notice. */
void webhook_offer(struct webhook *, struct text log, const struct position *head,
		   const struct origin *origin);

struct webhook_figures {
	size_t logs; /* with a notice that is not delivered */
	size_t logs_max;
};

/* Any thread. */
void webhook_measure(struct webhook *, struct webhook_figures *);

/* Sends what is left for at most a second. NULL is allowed. */
void webhook_free(struct webhook *);

/* File descriptors that it will need at most. */
unsigned webhook_descriptors(unsigned connections);

#endif
