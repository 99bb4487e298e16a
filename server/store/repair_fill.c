#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/repair_work.h"

/* A stretch of the log on its way: from the last proven position, what there is for each position. */
struct stretch {
	bool copies_first; /* else what the rows hold */
	struct position proven;
	struct hash *links; /* of the positions behind it */
	size_t count, capacity;
};

static bool
remember(struct stretch *stretch, const struct hash *link)
{
	if (stretch->count == stretch->capacity) {
		const size_t larger = stretch->capacity == 0 ? 64 : 2 * stretch->capacity;
		struct hash *grown = reallocarray(stretch->links, larger, sizeof(*grown));
		if (grown == NULL) {
			log_error("store", "out of memory", LOG_STR("op", "repair"));
			return false;
		}
		stretch->links = grown;
		stretch->capacity = larger;
	}
	stretch->links[stretch->count++] = *link;
	return true;
}

static const struct offer *
find_offer(const struct repair *repair, uint64_t seq)
{
	struct offer *offer = NULL;
	HASH_FIND(hh, repair->offers, &seq, sizeof(seq), offer);
	return offer;
}

/* What there is for a position, and the link that is stored there. The row's texts live until the
 * statement is reset, which is the caller's. */
struct candidate {
	bool has_action, has_link, is_row;
	struct action action;
	struct hash link;
};

static enum status
look_up(struct repair *repair, uint64_t seq, bool copies_first, struct candidate *candidate)
{
	const struct offer *offer = find_offer(repair, seq);
	*candidate = (struct candidate){0};
	statement_bind_u64(repair->row, 1, repair->id);
	statement_bind_u64(repair->row, 2, seq);
	const enum step step = statement_step(repair->row);
	if (step == STEP_ROW) {
		struct removed row;
		candidate->has_link = repair_read(repair->row, &row);
		candidate->link = row.link;
		candidate->action = row.action;
		candidate->has_action = candidate->is_row = true;
	}
	if (offer != NULL && (copies_first || !candidate->has_action)) {
		candidate->action = offer->action;
		candidate->has_action = true;
		candidate->is_row = false;
	}
	return step == STEP_ROW ? STATUS_OK : repair_step(step);
}

/* Whether a chained link is one that is stored for this position. */
static bool
is_stored(const struct repair *repair, const struct position *chained,
	  const struct candidate *candidate)
{
	const struct offer *offer = find_offer(repair, chained->seq);
	return (candidate->has_link && hash_equal(&chained->link, &candidate->link)) ||
	       (offer != NULL && offer->has_link && hash_equal(&chained->link, &offer->link)) ||
	       (chained->seq == repair->head.seq && hash_equal(&chained->link, &repair->head.link));
}

/* --- what is proven goes in --- */

static enum status
put_row(struct repair *repair, uint64_t seq, const struct action *action, const struct hash *link)
{
	statement_bind_u64(repair->delete, 1, repair->id);
	statement_bind_u64(repair->delete, 2, seq);
	enum status status = repair_run(repair->delete);
	statement_bind_u64(repair->insert, 1, repair->id);
	statement_bind_u64(repair->insert, 2, seq);
	statement_bind_text(repair->insert, 3, action->device);
	statement_bind_u64(repair->insert, 4, action->ts);
	statement_bind_hash(repair->insert, 5, link);
	statement_bind_text(repair->insert, 6, action->type);
	statement_bind_text(repair->insert, 7, action->payload);
	return status == STATUS_OK ? repair_run(repair->insert) : status;
}

static enum status
set_link(struct repair *repair, uint64_t seq, const struct hash *link)
{
	statement_bind_u64(repair->set_link, 1, repair->id);
	statement_bind_u64(repair->set_link, 2, seq);
	statement_bind_hash(repair->set_link, 3, link);
	return repair_run(repair->set_link);
}

static enum status
put_proven(struct repair *repair, struct stretch *stretch)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; i < stretch->count && status == STATUS_OK; i++) {
		const uint64_t seq = stretch->proven.seq + 1;
		const struct hash *link = &stretch->links[i];
		struct candidate candidate;
		status = look_up(repair, seq, stretch->copies_first, &candidate);
		const bool is_row = candidate.is_row;
		const bool same = is_row && candidate.has_link && hash_equal(&candidate.link, link);
		statement_reset(repair->row);
		if (status == STATUS_OK && is_row && !same)
			status = set_link(repair, seq, link);
		else if (status == STATUS_OK && !is_row)
			status = put_row(repair, seq, &candidate.action, link);
		repair->state.refilled += same ? 0 : 1;
		stretch->proven = (struct position){seq, *link};
	}
	stretch->count = 0;
	return status;
}

/* --- chaining --- */

/* As far through a range as there is something to chain and it is proven. */
static enum status
chain_range(struct repair *repair, struct stretch *stretch, uint64_t to)
{
	struct position at = stretch->proven;
	enum status status = STATUS_OK;
	stretch->count = 0;
	while (status == STATUS_OK && at.seq < to) {
		struct candidate candidate;
		struct hash digest;
		status = look_up(repair, at.seq + 1, stretch->copies_first, &candidate);
		if (status == STATUS_OK && candidate.has_action) {
			chain_digest(&candidate.action, &digest);
			chain_link(&at.link, &digest, &at.link);
		}
		statement_reset(repair->row);
		if (status != STATUS_OK || !candidate.has_action)
			return status;
		at.seq++;
		if (!remember(stretch, &at.link))
			return STATUS_STORAGE_UNAVAILABLE;
		if (is_stored(repair, &at, &candidate))
			status = put_proven(repair, stretch);
	}
	return status;
}

static enum status
fill_range(struct repair *repair, const struct bad_range *range)
{
	struct stretch stretch = {.proven = repair->state.good};
	enum status status = STATUS_OK;
	/* What the rows hold may be right where a link is not; else the copies. */
	for (int pass = 0; pass < 2 && status == STATUS_OK && stretch.proven.seq < range->to;
	     pass++) {
		stretch.copies_first = pass > 0;
		status = chain_range(repair, &stretch, range->to);
	}
	free(stretch.links);
	repair->state.good = stretch.proven;
	return status;
}

/* Where the rows behind a range that is whole again end: before the next one, or at the last row. */
static enum status
go_to(struct repair *repair, uint64_t seq)
{
	struct candidate candidate;
	if (seq <= repair->state.good.seq)
		return STATUS_OK;
	const enum status status = look_up(repair, seq, false, &candidate);
	statement_reset(repair->row);
	if (status == STATUS_OK && candidate.has_link)
		repair->state.good = (struct position){seq, candidate.link};
	return status;
}

enum status
repair_refill(struct repair *repair)
{
	struct repair_state *state = &repair->state;
	enum status status = repair_begin(repair);
	size_t i = 0;
	for (; i < repair->range_count && status == STATUS_OK; i++) {
		const struct bad_range *range = &repair->ranges[i];
		status = go_to(repair, range->from - 1);
		if (status == STATUS_OK)
			status = fill_range(repair, range);
		if (state->good.seq < range->to)
			break;
	}
	if (status == STATUS_OK && i == repair->range_count)
		status = go_to(repair, state->last);
	if (status != STATUS_OK)
		return status;
	state->bad = 0;
	for (; i < repair->range_count; i++) {
		const struct bad_range *range = &repair->ranges[i];
		const uint64_t from =
			range->from > state->good.seq ? range->from : state->good.seq + 1;
		state->bad += range->to - from + 1;
	}
	return state->bad == 0 ? repair_set_head(repair) : STATUS_OK;
}

/* --- what is not --- */

static enum status
remove_rows(struct repair *repair, removed_keeper *keeper, void *cookie)
{
	struct hash before = repair->state.good.link;
	uint64_t seq = repair->state.good.seq;
	enum status status = STATUS_OK;
	statement_bind_u64(repair->rows, 1, repair->id);
	statement_bind_u64(repair->rows, 2, seq);
	enum step step = statement_step(repair->rows);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(repair->rows)) {
		struct removed row;
		struct hash digest, link;
		const bool has_link = repair_read(repair->rows, &row);
		chain_digest(&row.action, &digest);
		chain_link(&before, &digest, &link);
		row.is_good = has_link && row.seq == seq + 1 && hash_equal(&link, &row.link);
		status = keeper(cookie, &row);
		repair->state.removed++;
		before = row.link;
		seq = row.seq;
	}
	statement_reset(repair->rows);
	return status == STATUS_OK ? repair_step(step) : status;
}

enum status
repair_truncate(struct repair *repair, removed_keeper *keeper, void *cookie)
{
	enum status status = remove_rows(repair, keeper, cookie);
	if (status == STATUS_OK)
		status = repair_remove_records(repair, keeper, cookie);
	if (status == STATUS_OK)
		status = repair_cut(repair);
	repair->state.last = repair->state.good.seq;
	repair->state.bad = 0;
	return status == STATUS_OK ? repair_set_head(repair) : status;
}
