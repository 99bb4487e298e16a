#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "store/sqlite/gone.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/removal_work.h"

/* In a transaction; and in a step, after which others have their turn. */
#define TRANSACTION_ACTIONS 2000
#define STEP_ACTIONS 20000

/* Rows that a step looks at, of those that are bare and of those that may hide others: with what a step costs by
 * itself, for all that is acknowledged is put in place before it, 20 to 60 ms on two busy cores. */
#define STEP_LOOKS 100000

/* A row has no more than a redaction leaves: ?4 is the size of a digest's text. */
#define IS_BARE "(type IS '' AND length(CAST(payload AS BLOB)) IS ?4)"

enum status
remover_new(struct db *db, uint64_t *next_log_id, struct remover **out)
{
	struct remover *remover = calloc(1, sizeof(*remover));
	*out = remover;
	if (remover == NULL) {
		log_error("store", "out of memory", LOG_STR("file", db_path(db)));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	remover->db = db;
	remover->next_log_id = next_log_id;
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&remover->next, "SELECT seq, " IS_BARE " FROM actions"
				 " WHERE log = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq"},
		{&remover->last, "SELECT ifnull(max(seq), 0) FROM actions WHERE log = ?1"},
		{&remover->received, "SELECT ifnull(max(last), 0) FROM batches"
				     " WHERE log = ?1 AND received_at < ?2"},
		{&remover->stamped, "SELECT seq FROM actions INDEXED BY actions_stamp"
				    " WHERE log = ?1 AND ts = ?2"},
		{&remover->redact, "UPDATE actions SET type = '', payload = ?3"
				   " WHERE log = ?1 AND seq = ?2"},
		{&remover->lower, "UPDATE logs SET bytes = ?2 WHERE id = ?1"},
		{&remover->forget, "DELETE FROM states WHERE log = ?1"},
		{&remover->add, "INSERT INTO logs (id, name, seq, link, received_at, bytes)"
				" VALUES (?1, ?2, 0, ?3, 0, 0)"},
		{&remover->drop, "DELETE FROM logs WHERE id = ?1 AND seq = 0"},
	};
	enum status status = rows_new(db, &remover->rows);
	if (status == STATUS_OK)
		status = stored_row_prepare(db, &remover->pair);
	if (status == STATUS_OK)
		status = order_prepare(&remover->order, db);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

void
remover_free(struct remover *remover)
{
	if (remover == NULL)
		return;
	rows_free(remover->rows);
	free(remover);
}

/* --- what is said of the log --- */

/* An erasure that was cut off has left content, which nobody may be served. */
static enum status
check_erased(struct remover *remover)
{
	struct removal *removal = remover->removal;
	uint64_t seq;
	if (remover->log.head.gone.erased_at == 0)
		return STATUS_OK;
	const enum status status = removal_find_next(remover, &seq);
	if (removal_goes_on(remover, status) && seq > 0)
		removal->status = STATUS_ERASED;
	removal->reopened = removal_goes_on(remover, status) && !removal->more;
	return status;
}

/* The log is closed by it, or is, and whoever has the log is told no more than that. */
static bool
erases(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	return (removal->kind == REMOVE_ALL && !remover->stays_open) ||
	       (removal->kind == REMOVE_BEGUN && remover->log.head.gone.erased_at > 0);
}

static enum status
query_seq(struct remover *remover, struct statement *query, uint64_t *seq)
{
	const enum step step = statement_step(query);
	*seq = step == STEP_ROW ? statement_u64(query, 0) : 0;
	statement_reset(query);
	return step == STEP_ROW ? STATUS_OK
				: removal_judge(remover, step_status(step), STATUS_LOG_DAMAGED);
}

/* Whether the log is, up to there, the one that was erased. */
static enum status
has_erased_link(struct remover *remover, bool *has)
{
	const struct removal *removal = remover->removal;
	struct checked_row row = {0};
	*has = false;
	if (removal->upto == 0 || removal->upto > remover->log.head.position.seq)
		return STATUS_OK;
	const enum status status = removal_check_row(remover, removal->upto, &row);
	*has = removal_goes_on(remover, status) && hash_equal(&row.link, removal->erased_link);
	return status;
}

/* What the log itself says: an erasure has been as far as the one that a kept list has, and is over. */
static bool
was_opened_since(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	const struct gone *gone = &remover->log.head.gone;
	return removal->erased_link != NULL && gone->erased_at == 0 &&
	       gone->cleared >= removal->upto && gone->cleared > gone->pruned;
}

/* Of an erasure that a kept list has. What was received before it was there for it to take, in whatever
 * order; but where the log was opened since, clocks that were set back must not cost what came later. */
static enum status
find_erased_upto(struct remover *remover)
{
	const struct removal *removal = remover->removal;
	const uint64_t head = remover->log.head.position.seq;
	const uint64_t upto = removal->upto < head ? removal->upto : head;
	uint64_t received = 0;
	bool has = false;
	enum status status = has_erased_link(remover, &has);
	statement_bind_u64(remover->received, 1, remover->log.id);
	statement_bind_u64(remover->received, 2, removal->received_before);
	if (removal_goes_on(remover, status))
		status = query_seq(remover, remover->received, &received);
	if (received > head)
		received = head;
	if (remover->stays_open)
		remover->upto = has || received > upto ? upto : received;
	else
		remover->upto = has && received < upto ? upto : received;
	return status;
}

static enum status
find_upto(struct remover *remover)
{
	const struct removal *removal = remover->removal;
	const struct log_row *log = &remover->log;
	uint64_t last = SEQ_MAX;
	enum status status = STATUS_OK;
	remover->upto = log->head.position.seq;
	if (removal->erased_link != NULL)
		return find_erased_upto(remover);
	if (removal->kind == REMOVE_BEGUN && log->head.gone.erased_at == 0)
		remover->upto = log->head.gone.pruned;
	if (removal->kind == REMOVE_BEFORE) {
		statement_bind_u64(remover->received, 1, log->id);
		statement_bind_u64(remover->received, 2, removal->received_before);
		status = query_seq(remover, remover->received, &last);
		last = removal->upto < last ? removal->upto : last;
		remover->upto = last < remover->upto ? last : remover->upto;
	} else if (erases(remover)) {
		/* What stands behind a head that has rotted is the log's, too. */
		statement_bind_u64(remover->last, 1, log->id);
		status = query_seq(remover, remover->last, &last);
		remover->upto = last > remover->upto ? last : remover->upto;
	}
	return status;
}

static bool
has_range(const struct removal *removal)
{
	return removal->kind != REMOVE_ACTIONS && removal->kind != REMOVE_NOTHING;
}

/* What came after an erasure that a kept list has is neither taken nor hidden. */
static bool
closes(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	return removal->kind == REMOVE_ALL && !remover->stays_open &&
	       (removal->erased_link == NULL || remover->upto == remover->log.head.position.seq);
}

/* Of an erasure that leaves the log open as much is said once it is done: a later step must not take it for
 * one that the log was opened after. */
static bool
says_cleared(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	return has_range(removal) &&
	       (removal->kind != REMOVE_ALL || closes(remover) || !removal->more);
}

/* After the rows, in their transaction. */
static enum status
say_gone(struct remover *remover)
{
	const struct removal *removal = remover->removal;
	struct gone *gone = &remover->log.head.gone;
	const struct gone before = *gone;
	if (closes(remover) && gone->erased_at == 0)
		gone->erased_at = removal->now_msec;
	/* It begins with its first action: what an erasure took no snapshot stands for. What is cleared stays
	 * known, for it must not come back. */
	if (removal->kind == REMOVE_NOTHING && (removal->from_first || gone->erased_at > 0))
		gone->pruned = 0;
	if (removal->kind == REMOVE_NOTHING)
		gone->erased_at = 0;
	if (removal->kind == REMOVE_BEFORE && gone->pruned < remover->upto)
		gone->pruned = remover->upto;
	if (says_cleared(remover) && gone->cleared < removal->at)
		gone->cleared = removal->at;
	if (gone->pruned == before.pruned && gone->erased_at == before.erased_at &&
	    gone->cleared == before.cleared)
		return STATUS_OK;
	return gone_write(remover->db, remover->log.id, &remover->log.genesis, gone);
}

/* How many actions of an erasure that a kept list has there are none of. Those that an erased log lacks
 * will not come. */
static uint64_t
untold(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	const uint64_t head = remover->log.head.position.seq;
	const uint64_t last = remover->stays_open || removal->upto < head ? removal->upto : head;
	return last > remover->upto ? last - remover->upto : 0;
}

/* What devices said of states that were made from the content. */
static enum status
forget_states(struct remover *remover)
{
	statement_bind_u64(remover->forget, 1, remover->log.id);
	const enum step step = statement_step(remover->forget);
	statement_reset(remover->forget);
	return step == STEP_DONE ? STATUS_OK
				 : removal_judge(remover, step_status(step), STATUS_LOG_DAMAGED);
}

/* The log has fewer bytes. */
static enum status
lower_bytes(struct remover *remover)
{
	uint64_t *bytes = &remover->log.head.bytes;
	if (remover->content == 0)
		return STATUS_OK;
	*bytes -= remover->content < *bytes ? remover->content : *bytes;
	statement_bind_u64(remover->lower, 1, remover->log.id);
	statement_bind_u64(remover->lower, 2, *bytes);
	return statement_run(remover->lower);
}

static bool
seqs_are_there(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	for (size_t i = 0; i < removal->seq_count; i++) {
		if (removal->seqs[i] == 0 || removal->seqs[i] > remover->log.head.position.seq)
			return false;
	}
	return true;
}

/* One that is erased before it begins: another server has had it, or this one before it was restored. */
static enum status
add_log(struct remover *remover)
{
	struct log_row *log = &remover->log;
	log->id = (*remover->next_log_id)++;
	statement_bind_u64(remover->add, 1, log->id);
	statement_bind_text(remover->add, 2, log->name);
	statement_bind_hash(remover->add, 3, &log->genesis);
	log->found = true;
	return statement_run(remover->add);
}

static enum status
drop_log(struct remover *remover)
{
	statement_bind_u64(remover->drop, 1, remover->log.id);
	return statement_run(remover->drop);
}

static enum status
find_log(struct remover *remover)
{
	struct removal *removal = remover->removal;
	struct log_row *log = &remover->log;
	enum status status =
		removal_judge(remover, rows_log(remover->rows, removal->log, removal->genesis, log),
			      STATUS_LOG_DAMAGED);
	if (removal_goes_on(remover, status) && (removal->erased_link != NULL || !erases(remover)))
		status = removal_judge(remover, rows_check_head(remover->rows, log),
				       STATUS_LOG_DAMAGED);
	if (removal_goes_on(remover, status) && !log->found && removal->kind == REMOVE_ALL &&
	    !removal->stays_open)
		status = add_log(remover);
	if (removal_goes_on(remover, status) && !log->found)
		removal->status = STATUS_NOT_FOUND;
	if (removal_goes_on(remover, status) && removal->kind == REMOVE_ACTIONS &&
	    !removal->ids_are_known && !seqs_are_there(remover))
		removal->status = STATUS_UNKNOWN_STATE;
	return status;
}

/* --- transactions --- */

/* What goes, or is to be seen first. */
static enum status
take(struct remover *remover)
{
	struct removal *removal = remover->removal;
	removal->more = false;
	if (removal_is_ordering(removal))
		return removal_go_on_ordering(remover);
	if (removal->kind == REMOVE_NOTHING)
		return check_erased(remover);
	return removal->kind == REMOVE_ACTIONS ? removal_take_seqs(remover)
					       : removal_take_range(remover);
}

/* Of what is in view nothing is said before something goes with it. */
static bool
only_looked(const struct remover *remover)
{
	const struct removal *removal = remover->removal;
	return removal->more &&
	       (remover->left == TRANSACTION_ACTIONS || removal_is_ordering(removal));
}

/* What is said of the log. */
static enum status
say(struct remover *remover)
{
	const enum removal_kind kind = remover->removal->kind;
	enum status status = say_gone(remover);
	if (removal_goes_on(remover, status))
		status = lower_bytes(remover);
	if (removal_goes_on(remover, status) && kind != REMOVE_NOTHING)
		status = forget_states(remover);
	if (removal_goes_on(remover, status) && kind == REMOVE_NOTHING &&
	    remover->log.head.position.seq == 0)
		status = drop_log(remover);
	return removal_goes_on(remover, status) ? in_place_count(remover->db) : status;
}

static enum status
change(struct remover *remover)
{
	struct removal *removal = remover->removal;
	remover->is_final = false;
	remover->stays_open = removal->stays_open;
	enum status status = find_log(remover);
	remover->stays_open = removal->stays_open || was_opened_since(remover);
	if (removal_goes_on(remover, status))
		status = find_upto(remover);
	remover->is_final = closes(remover) || (removal->kind == REMOVE_BEGUN && erases(remover));
	if (removal->erased_link != NULL)
		removal->absent = untold(remover);
	if (removal_goes_on(remover, status))
		status = take(remover);
	if (removal_goes_on(remover, status) && !only_looked(remover))
		status = say(remover);
	removal->head = remover->log.head;
	return status;
}

/* As it was, but for what is said of it. */
static void
take_back(struct removal *removal, const struct removal *before)
{
	const enum status status = removal->status;
	const struct ordering ordered = removal->ordered;
	const struct head head = status == STATUS_OK ? removal->head : before->head;
	*removal = *before;
	removal->status = status;
	removal->ordered = ordered;
	removal->head = head;
}

static enum status
run_transaction(struct remover *remover)
{
	struct removal *removal = remover->removal;
	const struct removal before = *removal;
	enum status status = db_begin(remover->db, true);
	remover->left = TRANSACTION_ACTIONS;
	remover->taken = 0;
	remover->content = 0;
	if (status == STATUS_OK)
		status = change(remover);
	const bool has_looked = removal_goes_on(remover, status) && only_looked(remover);
	FAIL_POINT(REMOVE_BEFORE_COMMIT);
	if (removal_goes_on(remover, status) && !has_looked) {
		status = db_commit(remover->db);
		FAIL_POINT(REMOVE_AFTER_COMMIT);
	}
	if (removal_goes_on(remover, status) && !has_looked)
		return status;
	db_rollback(remover->db);
	/* What it took on the way to where the file's rows are looked at, it takes again after that. */
	if (!has_looked || removal_is_ordering(removal))
		take_back(removal, &before);
	removal->more = has_looked;
	return status;
}

enum status
removal_step(struct remover *remover, struct removal *removal)
{
	enum status status = STATUS_OK;
	remover->removal = removal;
	removal->status = STATUS_OK;
	remover->looks = STEP_LOOKS;
	for (size_t done = 0; done < STEP_ACTIONS; done += TRANSACTION_ACTIONS) {
		status = run_transaction(remover);
		if (!removal_goes_on(remover, status) || !removal->more || remover->looks == 0)
			break;
	}
	return status;
}
