#include "store/sqlite/generations.h"

#include "base/clock.h"
#include "base/failpoint.h"

#define NOTES_MSEC 1000

enum status
generations_begin(struct generations *generations, uint64_t generation)
{
	generations->filling = 0;
	return journal_file_begin(&generations->files[0], generation, generations->next_id);
}

enum status
generations_append(struct generations *generations, struct tail_batch *first)
{
	if (!tail_is_filling(generations->tail))
		generations->filling_since = clock_monotonic_msec();
	for (struct tail_batch *batch = first; batch != NULL; batch = batch->next)
		batch->journal_id = generations->next_id++;
	const enum status status =
		journal_file_append(&generations->files[generations->filling], first);
	if (status == STATUS_OK)
		anchor_synced(generations->applier.anchor, generations->next_id - 1);
	return status;
}

void
generations_note(struct generations *generations, struct text log, const struct kept_state *kept)
{
	if (generations->notes.count == 0)
		generations->notes_since = clock_monotonic_msec();
	state_notes_add(&generations->notes, log, kept);
}

void
generations_tend_notes(struct generations *generations, uint64_t *wait_msec)
{
	const uint64_t now = clock_monotonic_msec();
	const uint64_t at = generations->notes_since + NOTES_MSEC;
	if (generations->notes.count == 0)
		return;
	if (now >= at)
		applier_hand_notes(&generations->applier, &generations->notes);
	else if (at - now < *wait_msec)
		*wait_msec = at - now;
}

uint64_t
generations_since(const struct generations *generations)
{
	const struct tail *tail = generations->tail;
	if (tail_is_applying(tail))
		return generations->applying_since;
	return tail_is_filling(tail) ? generations->filling_since : 0;
}

uint64_t
generations_bytes(const struct generations *generations)
{
	const struct tail *tail = generations->tail;
	const struct journal_file *files = generations->files;
	const unsigned filling = generations->filling;
	uint64_t bytes = 0;
	if (tail_is_filling(tail))
		bytes += files[filling].end - JOURNAL_HEAD_SIZE;
	if (tail_is_applying(tail))
		bytes += files[1 - filling].end - JOURNAL_HEAD_SIZE;
	return bytes;
}

bool
generations_is_full(const struct generations *generations)
{
	const struct tail *tail = generations->tail;
	return !tail_is_applying(tail) && tail_is_filling(tail) &&
	       tail_bytes(tail) >= tail_bytes_max(tail) / 2;
}

enum status
generations_hand_over(struct generations *generations)
{
	const uint64_t generation = generations->files[generations->filling].generation;
	FAIL_POINT(BEFORE_FREEZE);
	tail_freeze(generations->tail);
	generations->applying_since = generations->filling_since;
	applier_hand(&generations->applier, generation, generations->next_id - 1,
		     &generations->notes);
	generations->filling = 1 - generations->filling;
	FAIL_POINT(BEFORE_BEGIN);
	const enum status status = journal_file_begin(&generations->files[generations->filling],
						      generation + 1, generations->next_id);
	FAIL_POINT(AFTER_BEGIN);
	return status;
}

static void
take_progress(struct generations *generations, const struct apply_progress *progress)
{
	if (progress->upto > 0)
		tail_leave(generations->tail, progress->upto);
	if (progress->ended)
		tail_finish(generations->tail);
}

enum status
generations_collect(struct generations *generations)
{
	struct apply_progress progress = {0};
	const enum status status = applier_look(&generations->applier, &progress);
	if (status == STATUS_OK && tail_is_applying(generations->tail))
		take_progress(generations, &progress);
	return status;
}

static enum status
wait_for_applier(struct generations *generations)
{
	struct apply_progress progress = {0};
	enum status status = STATUS_OK;
	if (!tail_is_applying(generations->tail))
		status = generations_hand_over(generations);
	if (status == STATUS_OK)
		status = applier_wait(&generations->applier, &progress);
	if (status == STATUS_OK)
		take_progress(generations, &progress);
	return status;
}

enum status
generations_make_room(struct generations *generations, size_t bytes)
{
	const struct tail *tail = generations->tail;
	enum status status = generations_collect(generations);
	while (status == STATUS_OK && tail_bytes(tail) > 0 &&
	       tail_bytes(tail) + bytes > tail_bytes_max(tail))
		status = wait_for_applier(generations);
	return status;
}

enum status
generations_settle_down(struct generations *generations, bool *complete)
{
	const struct tail *tail = generations->tail;
	*complete = false;
	FAIL_POINT(BEFORE_SETTLE);
	enum status status = generations_collect(generations);
	while (status == STATUS_OK && (tail_is_applying(tail) || tail_is_filling(tail)))
		status = wait_for_applier(generations);
	do {
		if (status == STATUS_OK)
			applier_hand_notes(&generations->applier, &generations->notes);
		if (status == STATUS_OK)
			status = applier_rest_now(&generations->applier, complete);
	} while (status == STATUS_OK && generations->notes.count > 0);
	FAIL_POINT(BEFORE_EMPTY);
	/* Only now: until the WAL is in the file, what it holds rests on a sync. */
	for (unsigned i = 0; i < 2 && status == STATUS_OK && *complete; i++)
		status = journal_file_empty(&generations->files[i]);
	FAIL_POINT(AFTER_EMPTY);
	return status;
}
