#include "webhook/outbox.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/check.h"

#define EXPIRED_MAX 100 /* at a time: others wait for the lock */

enum status
outbox_init(struct outbox *outbox, size_t max, uint64_t gather_msec)
{
	*outbox = (struct outbox){.max = max, .gather_msec = gather_msec};
	outbox->notices = calloc(max, sizeof(*outbox->notices));
	outbox->failed = calloc(max, sizeof(struct notice *));
	if (outbox->notices == NULL || outbox->failed == NULL) {
		outbox_release(outbox);
		return STATUS_INTERNAL;
	}
	for (size_t i = 0; i < max; i++) {
		outbox->notices[i].next = outbox->unused;
		outbox->unused = &outbox->notices[i];
	}
	return STATUS_OK;
}

void
outbox_release(struct outbox *outbox)
{
	HASH_CLEAR(hh, outbox->by_log);
	free(outbox->notices);
	free(outbox->failed);
	*outbox = (struct outbox){0};
}

/* --- those that failed --- */

static void
place(struct outbox *outbox, struct notice *notice, size_t at)
{
	outbox->failed[at] = notice;
	notice->place = at;
}

/* The notice belongs at a place or above it. */
static void
rise(struct outbox *outbox, struct notice *notice, size_t at)
{
	while (at > 0 && outbox->failed[(at - 1) / 2]->due_msec > notice->due_msec) {
		place(outbox, outbox->failed[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	place(outbox, notice, at);
}

static void
failed_add(struct outbox *outbox, struct notice *notice)
{
	CHECK(outbox->failed_count < outbox->max);
	rise(outbox, notice, outbox->failed_count++);
}

/* The gap sinks to the bottom, where the last one fills it. */
static void
failed_remove(struct outbox *outbox, const struct notice *notice)
{
	struct notice **failed = outbox->failed;
	size_t gap = notice->place;
	CHECK(gap < outbox->failed_count && failed[gap] == notice);
	const size_t count = --outbox->failed_count;
	while (2 * gap + 1 < count) {
		size_t child = 2 * gap + 1;
		if (child + 1 < count && failed[child + 1]->due_msec < failed[child]->due_msec)
			child++;
		place(outbox, failed[child], gap);
		gap = child;
	}
	if (gap < count)
		rise(outbox, failed[count], gap);
}

/* --- all --- */

/* The newest of all. */
static void
change(struct outbox *outbox, struct notice *notice, uint64_t now_msec)
{
	notice->changed_msec = now_msec;
	DL_APPEND2(outbox->oldest, notice, older, newer);
}

static void
wait_fresh(struct outbox *outbox, struct notice *notice, uint64_t now_msec)
{
	notice->sending = false;
	notice->changed = false;
	notice->failures = 0;
	notice->due_msec = now_msec + outbox->gather_msec;
	DL_APPEND(outbox->fresh, notice);
}

static struct notice *
notice_new(struct outbox *outbox, struct text log)
{
	struct notice *notice = outbox->unused;
	if (notice == NULL)
		return NULL;
	CHECK(log.size <= sizeof(notice->name));
	struct notice *next = notice->next;
	*notice = (struct notice){.size = log.size};
	memcpy(notice->name, log.data, log.size);
	HASH_ADD(hh, outbox->by_log, name, (unsigned)log.size, notice);
	if (notice->hh.tbl == NULL) {
		notice->next = next;
		return NULL;
	}
	outbox->unused = next;
	outbox->count++;
	return notice;
}

static void
keep_origin(struct kept_origin *kept, const struct origin *origin)
{
	CHECK(origin->request.size <= REQUEST_ID_SIZE_MAX);
	CHECK(origin->traceparent.size <= TRACEPARENT_SIZE);
	kept->request_size = origin->request.size;
	kept->traceparent_size = origin->traceparent.size;
	if (origin->request.size > 0)
		memcpy(kept->request, origin->request.data, origin->request.size);
	if (origin->traceparent.size > 0)
		memcpy(kept->traceparent, origin->traceparent.data, origin->traceparent.size);
}

struct origin
origin_of(const struct kept_origin *kept)
{
	struct origin origin = {.request = {NULL, 0}};
	if (kept->request_size > 0)
		origin.request = (struct text){kept->request, kept->request_size};
	if (kept->traceparent_size > 0)
		origin.traceparent = (struct text){kept->traceparent, kept->traceparent_size};
	return origin;
}

bool
outbox_put(struct outbox *outbox, const struct growth *growth, uint64_t now_msec)
{
	const struct text log = growth->log;
	struct notice *notice;
	HASH_FIND(hh, outbox->by_log, log.data, (unsigned)log.size, notice);
	if (notice == NULL) {
		notice = notice_new(outbox, log);
		if (notice == NULL)
			return false;
		wait_fresh(outbox, notice, now_msec);
	} else {
		notice->changed = notice->sending;
		DL_DELETE2(outbox->oldest, notice, older, newer);
	}
	change(outbox, notice, now_msec);
	notice->head = growth->head;
	keep_origin(&notice->origin, &growth->origin);
	return true;
}

static void
stop_waiting(struct outbox *outbox, struct notice *notice)
{
	if (notice->failures > 0)
		failed_remove(outbox, notice);
	else
		DL_DELETE(outbox->fresh, notice);
}

static struct notice *
take(struct outbox *outbox, struct notice *notice, uint64_t now_msec)
{
	if (notice == NULL || notice->due_msec > now_msec)
		return NULL;
	stop_waiting(outbox, notice);
	notice->sending = true;
	return notice;
}

/* The one that is due first. */
static struct notice *
next(const struct outbox *outbox)
{
	struct notice *fresh = outbox->fresh;
	if (outbox->failed_count == 0)
		return fresh;
	return fresh != NULL && fresh->due_msec <= outbox->failed[0]->due_msec ? fresh
									       : outbox->failed[0];
}

struct notice *
outbox_take(struct outbox *outbox, uint64_t now_msec)
{
	return take(outbox, next(outbox), now_msec);
}

struct notice *
outbox_take_fresh(struct outbox *outbox, uint64_t now_msec)
{
	return take(outbox, outbox->fresh, now_msec);
}

static void
forget(struct outbox *outbox, struct notice *notice)
{
	CHECK(outbox->by_log != NULL);
	HASH_DELETE(hh, outbox->by_log, notice);
	DL_DELETE2(outbox->oldest, notice, older, newer);
	notice->next = outbox->unused;
	outbox->unused = notice;
	outbox->count--;
}

size_t
outbox_expire(struct outbox *outbox, uint64_t oldest_msec)
{
	size_t count = 0;
	struct notice *notice = outbox->oldest;
	while (count < EXPIRED_MAX && notice != NULL && notice->changed_msec < oldest_msec) {
		struct notice *newer = notice->newer;
		if (!notice->sending) {
			stop_waiting(outbox, notice);
			forget(outbox, notice);
			count++;
		}
		notice = newer;
	}
	return count;
}

void
outbox_delivered(struct outbox *outbox, struct notice *notice, uint64_t now_msec)
{
	if (notice->changed) {
		wait_fresh(outbox, notice, now_msec);
	} else {
		forget(outbox, notice);
	}
}

/* On its own: what ails one log's notice must not hold up the others'. */
void
outbox_failed(struct outbox *outbox, struct notice *notice, uint64_t due_msec)
{
	notice->sending = false;
	notice->changed = false;
	notice->failures++;
	notice->due_msec = due_msec;
	failed_add(outbox, notice);
}

uint64_t
outbox_next_msec(const struct outbox *outbox)
{
	const struct notice *notice = next(outbox);
	return notice == NULL ? UINT64_MAX : notice->due_msec;
}
