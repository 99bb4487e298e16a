#include "store/sqlite/checkpoint.h"

#include "base/failpoint.h"

/* Of 8 KiB: 2 MiB. Four times as many cost no less CPU, and their sync holds up that of the journal,
 * which is on the same disk. */
#define PAGES 256

/* From here on readers have kept the WAL from starting over for too long: wait for them a moment.
 */
#define PAGES_STARVED (16 * PAGES)

void
checkpointer_init(struct checkpointer *checkpointer, struct db *db)
{
	*checkpointer = (struct checkpointer){.db = db, .due = PAGES};
}

enum status
checkpoint_if_due(struct checkpointer *checkpointer)
{
	uint64_t pages = db_wal_pages(checkpointer->db);
	if (pages < checkpointer->seen) /* it started over */
		checkpointer->due = PAGES;
	checkpointer->seen = pages;
	if (pages < checkpointer->due)
		return STATUS_OK;
	bool complete;
	checkpointer->due = pages + PAGES;
	FAIL_POINT(BEFORE_CHECKPOINT);
	const enum status status = db_checkpoint(
		checkpointer->db, pages < PAGES_STARVED ? CHECKPOINT_PASSIVE : CHECKPOINT_RESTART,
		&complete);
	FAIL_POINT(AFTER_CHECKPOINT);
	return status;
}

enum status
checkpoint_all(struct checkpointer *checkpointer, bool *complete)
{
	checkpointer->due = PAGES;
	checkpointer->seen = 0;
	return db_checkpoint(checkpointer->db, CHECKPOINT_TRUNCATE, complete);
}
