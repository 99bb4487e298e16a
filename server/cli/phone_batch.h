/*
 * phone_batch: the front of the queue as one sync request.
 *
 * A batch ends at the run's batch_limit, before the body grows over the server's limit, and before
 * the 65th device. The same queue and limits give the same bytes: a repeat is unchanged.
 */
#ifndef CLI_PHONE_BATCH_H
#define CLI_PHONE_BATCH_H

#include "base/mem.h"
#include "base/status.h"
#include "cli/phone_sync.h"

struct phone_batch {
	struct queued *items; /* copies in the round's arena */
	size_t count;
	struct position base;
	struct hash end; /* the link after the last action, chained from the base */
	bool has_locator;
	bool has_state;
	bool damaged; /* empty, because the queue's first action does not have its digest */
	int64_t damaged_place;
	struct buffer body;
};

/*
 * Takes the queue's front, or nothing of it when the run only pulls. STATUS_INTERNAL when memory is
 * out (reported).
 */
MUST_CHECK enum status phone_batch_take(struct phone_sync *, struct phone_batch *);
void phone_batch_release(struct phone_batch *);

#endif
