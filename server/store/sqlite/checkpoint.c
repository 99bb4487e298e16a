#include "store/sqlite/checkpoint.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/metrics.h"
#include "store/sqlite/beside.h"
#include "store/sqlite/in_place.h"

/* Of 8 KiB: 2 MiB. Four times as many cost no less CPU, and their sync holds up that of the journal,
 * which is on the same disk. */
#define PAGES 256

/* From here on readers have kept the WAL from starting over for too long: wait for them a moment.
 */
#define PAGES_STARVED (16 * PAGES)

static enum status
timed(struct checkpointer *checkpointer, enum checkpoint mode, bool *complete)
{
	const uint64_t began = clock_monotonic_usec();
	const enum status status = db_checkpoint(checkpointer->db, mode, complete);
	histogram_add(HISTOGRAM_CHECKPOINT, clock_monotonic_usec() - began);
	return status;
}

void
checkpointer_init(struct checkpointer *checkpointer, struct db *db, struct anchor *anchor)
{
	*checkpointer = (struct checkpointer){.db = db, .anchor = anchor, .due = PAGES};
}

/* All of the WAL is in the file, and synced there. */
static enum status
anchor_file(struct checkpointer *checkpointer)
{
	struct in_place in_place;
	struct stat info;
	enum status status = in_place_read(checkpointer->db, &in_place);
	if (status != STATUS_OK)
		return status;
	if (stat(db_path(checkpointer->db), &info) == -1)
		return beside_failed(db_path(checkpointer->db), "stat");
	anchor_filed(checkpointer->anchor, in_place.commits, (uint64_t)info.st_size);
	return anchor_write(checkpointer->anchor);
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
	const enum status status =
		timed(checkpointer, pages < PAGES_STARVED ? CHECKPOINT_PASSIVE : CHECKPOINT_RESTART,
		      &complete);
	FAIL_POINT(AFTER_CHECKPOINT);
	return status == STATUS_OK && complete ? anchor_file(checkpointer) : status;
}

enum status
checkpoint_all(struct checkpointer *checkpointer, bool *complete)
{
	checkpointer->due = PAGES;
	checkpointer->seen = 0;
	enum status status = timed(checkpointer, CHECKPOINT_RESTART, complete);
	if (status != STATUS_OK)
		return status;
	if (!*complete)
		return anchor_write(checkpointer->anchor);
	status = anchor_file(checkpointer);
	return status == STATUS_OK ? timed(checkpointer, CHECKPOINT_TRUNCATE, complete) : status;
}
