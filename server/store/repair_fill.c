#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/repair_work.h"

/* What is asked first for a position; then the others are. */
enum source { SOURCE_ROW, SOURCE_DIGEST, SOURCE_RECORD, SOURCE_COPY, SOURCE_COUNT };

/* A stretch of the log on its way: from the last proven position, what there is for each position. */
struct stretch {
	enum source source;
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

	/* Of the row, also where it is another's action: there is one, its content is gone, what it says
	 * that the digest is. */
	bool has_row, is_redacted, says_digest;
	struct hash said;

	/* Of such a row, whose digest its link gave away. */
	bool is_mended;
	char digits[HASH_TEXT_SIZE];
};

/* One of the two, type and payload, may have rotted. */
static bool
looks_redacted(const struct action *action)
{
	return action->type.size == 0 && action->payload.size == HASH_TEXT_SIZE;
}

/* A record's action is of use only where it chains from the position before. */
static const struct offer *
choose_offer(const struct offer *offer, const struct hash *before, bool of_record)
{
	for (; offer != NULL; offer = offer->next) {
		struct hash digest, link;
		if (offer->has_link != of_record)
			continue;
		if (!of_record)
			return offer;
		chain_digest(&offer->action, &digest);
		chain_link(before, &digest, &link);
		if (hash_equal(&link, &offer->link))
			return offer;
	}
	return NULL;
}

static bool
leads_to(const struct hash *before, const char digits[HASH_TEXT_SIZE], const struct hash *wanted)
{
	struct hash digest, link;
	if (!hash_from_text((struct text){digits, HASH_TEXT_SIZE}, &digest))
		return false;
	chain_link(before, &digest, &link);
	return hash_equal(&link, wanted);
}

/* The digest with none or one other digit that leads to the row's link. */
static bool
find_digest(const struct hash *before, const struct removed *row, char digits[HASH_TEXT_SIZE])
{
	memcpy(digits, row->action.payload.data, HASH_TEXT_SIZE);
	bool found = leads_to(before, digits, &row->link);
	for (size_t i = 0; i < HASH_TEXT_SIZE && !found; i++) {
		for (size_t digit = 0; digit < 16 && !found; digit++) {
			digits[i] = "0123456789abcdef"[digit];
			found = leads_to(before, digits, &row->link);
		}
		if (!found)
			digits[i] = row->action.payload.data[i];
	}
	return found;
}

static void
look_at_row(const struct removed *row, const struct hash *before, enum source source,
	    struct candidate *candidate)
{
	const struct text payload = row->action.payload;
	candidate->link = row->link;
	candidate->action = row->action;
	candidate->has_action = candidate->is_row = candidate->has_row = true;
	candidate->is_redacted = looks_redacted(&row->action);
	candidate->says_digest = hash_from_text(payload, &candidate->said);
	if (source != SOURCE_DIGEST || !candidate->has_link || payload.size != HASH_TEXT_SIZE ||
	    !find_digest(before, row, candidate->digits))
		return;
	candidate->action.type = TEXT("");
	candidate->action.payload = (struct text){candidate->digits, HASH_TEXT_SIZE};
	candidate->is_mended = true;
}

static enum status
look_up(struct repair *repair, const struct position *before, enum source source,
	struct candidate *candidate)
{
	const uint64_t seq = before->seq + 1;
	const struct offer *offers = find_offer(repair, seq);
	const struct offer *of_record = choose_offer(offers, &before->link, true);
	const struct offer *of_copy = choose_offer(offers, &before->link, false);
	const struct offer *offer = of_record;
	if (of_record == NULL || (source == SOURCE_COPY && of_copy != NULL))
		offer = of_copy;
	const bool is_asked_first = (source == SOURCE_RECORD && offer == of_record) ||
				    (source == SOURCE_COPY && offer == of_copy);
	*candidate = (struct candidate){0};
	statement_bind_u64(repair->row, 1, repair->id);
	statement_bind_u64(repair->row, 2, seq);
	const enum step step = statement_step(repair->row);
	if (step == STEP_ROW) {
		struct removed row;
		candidate->has_link = repair_read(repair->row, &row);
		look_at_row(&row, &before->link, source, candidate);
	}
	if (offer != NULL && (is_asked_first || !candidate->has_action)) {
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
	while (offer != NULL && !(offer->has_link && hash_equal(&chained->link, &offer->link)))
		offer = offer->next;
	return (candidate->has_link && hash_equal(&chained->link, &candidate->link)) ||
	       offer != NULL ||
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

/* No content has its own digest in it: what says it was redacted. */
static enum status
put_copy(struct repair *repair, uint64_t seq, const struct candidate *candidate,
	 const struct hash *link)
{
	struct action action = candidate->action;
	struct hash digest;
	char text[HASH_TEXT_SIZE];
	chain_digest(&action, &digest);
	const bool is_removed = seq <= repair->state.gone_upto || candidate->is_redacted ||
				(candidate->says_digest && hash_equal(&candidate->said, &digest));
	if (is_removed)
		action_redact(&action, &digest, text);
	repair->state.withheld += is_removed ? 1 : 0;
	repair->state.returned += is_removed || candidate->has_row ? 0 : 1;
	return put_row(repair, seq, &action, link);
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
set_digest(struct repair *repair, uint64_t seq, const struct candidate *candidate)
{
	repair->state.withheld++;
	statement_bind_u64(repair->set_digest, 1, repair->id);
	statement_bind_u64(repair->set_digest, 2, seq);
	statement_bind_text(repair->set_digest, 3, candidate->action.payload);
	return repair_run(repair->set_digest);
}

static enum status
put_proven(struct repair *repair, struct stretch *stretch)
{
	enum status status = STATUS_OK;
	for (size_t i = 0; i < stretch->count && status == STATUS_OK; i++) {
		const uint64_t seq = stretch->proven.seq + 1;
		const struct hash *link = &stretch->links[i];
		struct candidate candidate;
		status = look_up(repair, &stretch->proven, stretch->source, &candidate);
		const bool is_row = candidate.is_row;
		const bool same = is_row && !candidate.is_mended && candidate.has_link &&
				  hash_equal(&candidate.link, link);
		statement_reset(repair->row);
		if (status == STATUS_OK && candidate.is_mended)
			status = set_digest(repair, seq, &candidate);
		else if (status == STATUS_OK && is_row && !same)
			status = set_link(repair, seq, link);
		else if (status == STATUS_OK && !is_row)
			status = put_copy(repair, seq, &candidate, link);
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
		status = look_up(repair, &at, stretch->source, &candidate);
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
	/* What the rows hold may be right where a link is not. */
	for (unsigned source = 0;
	     source < SOURCE_COUNT && status == STATUS_OK && stretch.proven.seq < range->to;
	     source++) {
		stretch.source = (enum source)source;
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
	const struct position before = {.seq = seq - 1};
	const enum status status = look_up(repair, &before, SOURCE_ROW, &candidate);
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
		repair->state.bared += looks_redacted(&row.action) ? 1 : 0;
		repair->state.missing -= row.seq <= repair->state.last ? 1 : 0;
		before = row.link;
		seq = row.seq;
	}
	statement_reset(repair->rows);
	return status == STATUS_OK ? repair_step(step) : status;
}

bool
repair_may_cut(const struct repair *repair)
{
	const struct repair_state *state = &repair->state;
	return state->bad == 0 || state->good.seq >= state->gone_upto;
}

enum status
repair_truncate(struct repair *repair, removed_keeper *keeper, void *cookie)
{
	repair->state.missing = repair->state.last - repair->state.good.seq;
	enum status status = remove_rows(repair, keeper, cookie);
	if (status == STATUS_OK)
		status = repair_remove_records(repair, keeper, cookie);
	if (status == STATUS_OK)
		status = repair_cut(repair);
	repair->state.last = repair->state.good.seq;
	repair->state.bad = 0;
	return status == STATUS_OK ? repair_set_head(repair) : status;
}
