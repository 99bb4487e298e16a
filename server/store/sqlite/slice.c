#include "store/sqlite/slice.h"

#include "base/check.h"

bool
place_is_before(struct place place, struct place other)
{
	return place.batch < other.batch ||
	       (place.batch == other.batch && place.action < other.action);
}

void
slice_set(struct slice *slice, struct tail_batch **items, size_t count, struct place begin,
	  size_t actions_max)
{
	struct place end = begin;
	size_t actions = 0;
	while (end.batch < count && actions < actions_max) {
		const struct tail_batch *batch = items[end.batch];
		CHECK(batch->log != NULL);
		const size_t rest = batch->log->stuck ? 0 : batch->action_count - end.action;
		const size_t room = actions_max - actions;
		if (rest > room) {
			end.action += room;
			actions += room;
		} else {
			end = (struct place){end.batch + 1, 0};
			actions += rest;
		}
	}
	slice->items = items;
	slice->begin = begin;
	slice->end = end;
	slice->actions = actions;
}

static const struct tail_batch *
batch_at(const struct slice *slice)
{
	return slice->items[slice->at.batch];
}

/* --- slice_actions --- */

/* From at on, the first that has a row. */
static bool
find_action(struct slice *slice)
{
	struct place *at = &slice->at;
	while (place_is_before(*at, slice->end)) {
		const struct tail_batch *batch = batch_at(slice);
		if (at->action < batch->action_count && !batch->log->stuck) {
			tail_batch_action(batch, at->action, &slice->action);
			return true;
		}
		*at = (struct place){at->batch + 1, 0};
	}
	return false;
}

static bool
first_action(void *cookie)
{
	struct slice *slice = cookie;
	slice->at = slice->begin;
	return find_action(slice);
}

static bool
next_action(void *cookie)
{
	struct slice *slice = cookie;
	slice->at.action++;
	return find_action(slice);
}

static void
action_value(void *cookie, int column, struct feed_value *value)
{
	const struct slice *slice = cookie;
	const struct tail_batch *batch = batch_at(slice);
	const size_t index = slice->at.action;
	switch (column) {
	case 0:
		feed_give_u64(value, batch->log->id);
		break;
	case 1:
		feed_give_u64(value, batch->first_seq + index);
		break;
	case 2:
		feed_give_text(value, slice->action.device);
		break;
	case 3:
		feed_give_u64(value, slice->action.ts);
		break;
	case 4:
		feed_give_hash(value, &batch->actions[index].link);
		break;
	case 5:
		feed_give_text(value, slice->action.type);
		break;
	default:
		feed_give_text(value, slice->action.payload);
		break;
	}
}

/* --- slice_batches --- */

static bool
find_batch(struct slice *slice)
{
	while (place_is_before(slice->at, slice->end) && batch_at(slice)->log->stuck)
		slice->at.batch++;
	return place_is_before(slice->at, slice->end);
}

static bool
first_batch(void *cookie)
{
	struct slice *slice = cookie;
	slice->at = (struct place){slice->begin.batch + (slice->begin.action > 0 ? 1 : 0), 0};
	return find_batch(slice);
}

static bool
next_batch(void *cookie)
{
	struct slice *slice = cookie;
	slice->at.batch++;
	return find_batch(slice);
}

static void
batch_value(void *cookie, int column, struct feed_value *value)
{
	const struct tail_batch *batch = batch_at(cookie);
	switch (column) {
	case 0:
		feed_give_u64(value, batch->log->id);
		break;
	case 1:
		feed_give_u64(value, batch->first_seq);
		break;
	case 2:
		feed_give_u64(value, tail_batch_last_seq(batch));
		break;
	case 3:
		feed_give_u64(value, batch->received_at);
		break;
	default:
		feed_give_text(value, batch->writer);
		break;
	}
}

enum status
slice_attach(struct slice *slice, struct db *db)
{
	slice->feed_actions = (struct feed){.table = SLICE_ACTIONS,
					    .columns = SLICE_ACTION_COLUMNS,
					    .first = first_action,
					    .next = next_action,
					    .value = action_value,
					    .cookie = slice};
	slice->feed_batches = (struct feed){.table = SLICE_BATCHES,
					    .columns = SLICE_BATCH_COLUMNS,
					    .first = first_batch,
					    .next = next_batch,
					    .value = batch_value,
					    .cookie = slice};
	enum status status = feed_attach(db, &slice->feed_actions);
	return status == STATUS_OK ? feed_attach(db, &slice->feed_batches) : status;
}
