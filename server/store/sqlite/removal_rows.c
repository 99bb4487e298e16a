#include <string.h>

#include "base/big_endian.h"
#include "base/check.h"
#include "store/sqlite/removal_work.h"

enum status
removal_judge(struct remover *remover, enum status status, enum status otherwise)
{
	if (status == STATUS_LOG_DAMAGED || status == STATUS_INDEX_DAMAGED)
		remover->removal->status = otherwise;
	return status == STATUS_STORAGE_UNAVAILABLE ? status : STATUS_OK;
}

bool
removal_goes_on(const struct remover *remover, enum status status)
{
	return status == STATUS_OK && remover->removal->status == STATUS_OK;
}

/* --- a row --- */

static enum status
redact(struct remover *remover, uint64_t seq, const struct hash *digest)
{
	struct action action;
	char text[HASH_TEXT_SIZE];
	action_redact(&action, digest, text);
	statement_bind_u64(remover->redact, 1, remover->log.id);
	statement_bind_u64(remover->redact, 2, seq);
	statement_bind_text(remover->redact, 3, action.payload);
	const enum status status = statement_run(remover->redact);
	if (status != STATUS_OK)
		return status;
	/* What a scan meets a look-up need not find, and under the key of one there may be two. */
	if (db_changes(remover->db) != 1)
		return removal_judge(remover, STATUS_LOG_DAMAGED, STATUS_LOG_DAMAGED);
	remover->removal->removed++;
	return STATUS_OK;
}

enum status
removal_check_row(struct remover *remover, uint64_t seq, struct checked_row *row)
{
	const struct row_key key = {remover->log.id, &remover->log.genesis, seq};
	enum status status = stored_row_check(remover->pair, &key, TEXT(""), row);
	if (status == STATUS_LOG_DAMAGED && remover->is_final)
		status = stored_row_look(remover->pair, &key, row);
	return removal_judge(remover, status, STATUS_LOG_DAMAGED);
}

static enum status
remove_row(struct remover *remover, uint64_t seq, const struct checked_row *row)
{
	struct removal *removal = remover->removal;
	remover->left--;
	if (removal->first == 0 || seq < removal->first)
		removal->first = seq;
	remover->content += row->content;
	if (!row->is_redacted)
		return redact(remover, seq, &row->digest);
	removal->gone_before++;
	return STATUS_OK;
}

/* --- which rows --- */

static bool
has_id(const struct checked_row *row, const uint8_t id[ID_SIZE])
{
	uint8_t here[ID_SIZE];
	chain_id(row->ts, &row->digest, here);
	return memcmp(here, id, ID_SIZE) == 0;
}

/* Where the action with an id is, whatever its seq was: its stamp is in the id. 0: nowhere. */
static enum status
find_id(struct remover *remover, const uint8_t id[ID_SIZE], uint64_t *seq, struct checked_row *row)
{
	enum status status = STATUS_OK;
	enum step step;
	statement_bind_u64(remover->stamped, 1, remover->log.id);
	statement_bind_u64(remover->stamped, 2, big_endian_get(id, 6));
	for (*seq = 0; *seq == 0 && removal_goes_on(remover, status);) {
		step = statement_step(remover->stamped);
		if (step != STEP_ROW) {
			if (step != STEP_DONE)
				status = removal_judge(remover, step_status(step),
						       STATUS_LOG_DAMAGED);
			break;
		}
		const uint64_t candidate = statement_u64(remover->stamped, 0);
		if (candidate == 0 || candidate > remover->log.head.position.seq)
			continue;
		status = removal_check_row(remover, candidate, row);
		if (removal_goes_on(remover, status) && has_id(row, id))
			*seq = candidate;
	}
	statement_reset(remover->stamped);
	return status;
}

static enum status
remove_action(struct remover *remover, size_t index)
{
	struct removal *removal = remover->removal;
	uint64_t seq = removal->seqs[index];
	struct checked_row row = {0};
	uint8_t *id = removal->ids == NULL ? NULL : removal->ids[index];
	CHECK(id != NULL || !removal->ids_are_known);
	const bool is_there = seq >= 1 && seq <= remover->log.head.position.seq;
	enum status status = is_there ? removal_check_row(remover, seq, &row) : STATUS_OK;
	if (removal_goes_on(remover, status) && removal->ids_are_known &&
	    !(is_there && has_id(&row, id)))
		status = find_id(remover, id, &seq, &row);
	if (!removal_goes_on(remover, status))
		return status;
	if (seq == 0) {
		removal->absent++;
		return STATUS_OK;
	}
	if (id != NULL)
		chain_id(row.ts, &row.digest, id);
	return remove_row(remover, seq, &row);
}

enum status
removal_take_seqs(struct remover *remover)
{
	struct removal *removal = remover->removal;
	enum status status = STATUS_OK;
	while (removal_goes_on(remover, status) && removal->at < removal->seq_count &&
	       remover->left > 0) {
		status = remove_action(remover, removal->at);
		if (removal_goes_on(remover, status))
			removal->at++;
	}
	removal->more = removal->at < removal->seq_count;
	return status;
}

/* --- a range --- */

static void
pass_over(struct remover *remover, uint64_t seq)
{
	struct removal *removal = remover->removal;
	removal->bare++;
	removal->at = seq > removal->at ? seq : removal->at;
	remover->looks -= remover->looks > 0;
}

/* A row out of order may be met behind itself; one that was made bare is met once more, since a look-up may
 * lead to another than a scan does. */
enum status
removal_find_next(struct remover *remover, uint64_t *seq)
{
	struct removal *removal = remover->removal;
	const uint64_t from = removal->at;
	enum step step;
	bool is_bare;
	statement_bind_u64(remover->next, 1, remover->log.id);
	statement_bind_u64(remover->next, 2, from);
	statement_bind_u64(remover->next, 3, remover->upto);
	statement_bind_u64(remover->next, 4, HASH_TEXT_SIZE);
	do {
		step = statement_step(remover->next);
		*seq = step == STEP_ROW ? statement_u64(remover->next, 0) : 0;
		is_bare = step == STEP_ROW && statement_u64(remover->next, 1) != 0;
		if (is_bare)
			pass_over(remover, *seq);
	} while (is_bare && remover->looks > 0);
	statement_reset(remover->next);
	removal->more = step == STEP_ROW;
	enum status status = step == STEP_DONE ? STATUS_OK : step_status(step);
	if (is_bare ? removal->at == from
		    : step == STEP_ROW && (*seq <= removal->at || *seq <= remover->taken))
		status = STATUS_LOG_DAMAGED;
	if (is_bare)
		*seq = 0;
	return removal_judge(remover, status, STATUS_LOG_DAMAGED);
}

bool
removal_is_ordering(const struct removal *removal)
{
	return removal->ordered.begun && !removal->ordered.ended;
}

enum status
removal_go_on_ordering(struct remover *remover)
{
	struct removal *removal = remover->removal;
	const enum status status = order_step(&remover->order, &removal->ordered, &remover->looks);
	removal->more = true;
	return removal_judge(remover, status, STATUS_LOG_DAMAGED);
}

/* Where a row is missing others may only be hidden: then it is not said that the content is gone. */
static enum status
check_hidden(struct remover *remover)
{
	struct removal *removal = remover->removal;
	if (removal->bare == remover->upto || removal->ordered.ended)
		return STATUS_OK;
	const enum status status = removal_go_on_ordering(remover);
	removal->more = !removal->ordered.ended;
	return status;
}

static enum status
take_row(struct remover *remover, uint64_t seq)
{
	struct checked_row row = {0};
	enum status status = removal_check_row(remover, seq, &row);
	if (removal_goes_on(remover, status))
		status = remove_row(remover, seq, &row);
	/* Bare, but for how it is stored. */
	if (row.is_redacted)
		remover->removal->at = seq;
	remover->taken = seq;
	return status;
}

enum status
removal_take_range(struct remover *remover)
{
	struct removal *removal = remover->removal;
	uint64_t seq = 0;
	enum status status = removal_find_next(remover, &seq);
	while (removal_goes_on(remover, status) && seq > 0 && remover->left > 0 &&
	       remover->looks > 0) {
		status = take_row(remover, seq);
		if (removal_goes_on(remover, status))
			status = removal_find_next(remover, &seq);
	}
	if (!removal_goes_on(remover, status))
		return status;
	if (!removal->more)
		removal->at = remover->upto;
	removal->gone_before = removal->at > removal->removed ? removal->at - removal->removed : 0;
	return removal->more ? status : check_hidden(remover);
}
