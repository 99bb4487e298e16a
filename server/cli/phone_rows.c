/* The operations of phone_store.h on rows; phone_store.c opens the file and talks to SQLite. */
#include "cli/phone_store.h"

#include "base/check.h"
#include "cli/phone_clock.h"
#include "cli/phone_sql.h"

enum status
phone_store_counts(struct phone_store *store, struct phone_counts *counts)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_COUNTS);
	enum status status = sql_next(store, statement);

	if (status != STATUS_OK)
		return status;
	counts->confirmed = sql_u64(statement, 0);
	counts->queued = sql_u64(statement, 1);
	counts->set_aside = sql_u64(statement, 2);
	sql_end(statement);
	return STATUS_OK;
}

enum status
phone_store_link(struct phone_store *store, uint64_t seq, struct hash *link)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_LINK);
	enum status status;

	if (seq == 0 || seq == store->start.seq) {
		*link = seq == 0 ? store->genesis : store->start.link;
		return STATUS_OK;
	}
	sql_bind_u64(statement, 1, seq);
	status = sql_next(store, statement);
	if (status != STATUS_OK)
		return status;
	*link = sql_hash(statement, 0);
	sql_end(statement);
	return STATUS_OK;
}

enum status
phone_store_queue(struct phone_store *store, queued_visitor *visit, void *cookie)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_QUEUE);
	enum status status = sql_next(store, statement);

	while (status == STATUS_OK) {
		struct queued queued = {.place = sql_i64(statement, 5),
					.kept = sql_action(statement),
					.confirmed_once = sql_i64(statement, 6) != 0};

		if (!visit(cookie, &queued))
			break;
		status = sql_next(store, statement);
	}
	sql_end(statement);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status
phone_store_confirmed(struct phone_store *store, uint64_t after, confirmed_visitor *visit,
		      void *cookie)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_CONFIRMED);
	enum status status;

	sql_bind_u64(statement, 1, after);
	status = sql_next(store, statement);
	while (status == STATUS_OK) {
		struct logged logged = {.seq = sql_u64(statement, 5),
					.kept = sql_action(statement)};

		if (!visit(cookie, &logged))
			break;
		status = sql_next(store, statement);
	}
	sql_end(statement);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status
phone_store_asides(struct phone_store *store, aside_visitor *visit, void *cookie)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_ASIDE);
	enum status status = sql_next(store, statement);

	while (status == STATUS_OK) {
		struct phone_action kept = sql_action(statement);

		if (!visit(cookie, &kept, sql_text(statement, 5)))
			break;
		status = sql_next(store, statement);
	}
	sql_end(statement);
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status
phone_store_last_place(struct phone_store *store, int64_t *place)
{
	return sql_number(store, sql_prepare(store, SQL_LAST_PLACE), place);
}

/* Adds 1 until no action of the own device has the stamp. The longest run of taken stamps that was
 * seen is not walked over again. */
static enum status
find_free_stamp(struct phone_store *store, uint64_t *ts)
{
	uint64_t first = *ts;
	int64_t taken = 1;

	if (*ts >= store->taken_first && *ts <= store->taken_end) {
		first = store->taken_first;
		*ts = store->taken_end;
	}
	for (;; (*ts)++) {
		struct sqlite3_stmt *statement = sql_prepare(store, SQL_TAKEN);
		enum status status;

		sql_bind_text(statement, 1, phone_store_device(store));
		sql_bind_u64(statement, 2, *ts);
		status = sql_number(store, statement, &taken);
		if (status != STATUS_OK)
			return status;
		if (taken == 0)
			break;
	}
	if (*ts - first > store->taken_end - store->taken_first) {
		store->taken_first = first;
		store->taken_end = *ts;
	}
	return STATUS_OK;
}

enum status
phone_store_stamp(struct phone_store *store, int64_t place, uint64_t at_least, uint64_t *ts)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_NEWEST);
	int64_t newest = 0;
	enum status status;

	sql_bind_text(statement, 1, phone_store_device(store));
	sql_bind_i64(statement, 2, place);
	status = sql_number(store, statement, &newest);
	if (status != STATUS_OK)
		return status;
	if (at_least > (uint64_t)newest)
		newest = (int64_t)at_least;
	*ts = stamp_first((uint64_t)newest, clock_apply(clock_wall_msec(), store->offset));
	return find_free_stamp(store, ts);
}

/* A row leaves both the queue and the log, or gets another stamp: its stamp may be free then. */
static void
forget_taken(struct phone_store *store)
{
	store->taken_first = store->taken_end = 0;
}

/* With confirmed_once 1 in front, else at the end. */
static enum status
insert_queued(struct phone_store *store, const struct phone_action *kept, const int64_t *place)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_ENQUEUE);

	sql_bind_action(statement, kept);
	sql_bind_i64(statement, 6, place != NULL);
	if (place != NULL)
		sql_bind_i64(statement, 7, *place);
	else
		sql_bind_null(statement, 7);
	return sql_run(store, statement);
}

enum status
phone_store_enqueue(struct phone_store *store, const struct action *action)
{
	struct phone_action kept = {.action = *action};
	enum status status = STATUS_OK;

	kept.action.device = phone_store_device(store);
	if (kept.action.ts == 0)
		status = phone_store_stamp(store, PLACE_END, 0, &kept.action.ts);
	if (status != STATUS_OK)
		return status;
	phone_action_digest(&kept);
	return insert_queued(store, &kept, NULL);
}

enum status
phone_store_confirm(struct phone_store *store, const struct phone_action *kept)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_CONFIRM);
	struct hash link;
	enum status status;

	chain_link(&store->base.link, &kept->digest, &link);
	sql_bind_action(statement, kept);
	sql_bind_u64(statement, 6, store->base.seq + 1);
	sql_bind_hash(statement, 7, &link);
	status = sql_run(store, statement);
	if (status != STATUS_OK)
		return status;
	store->base.seq++;
	store->base.link = link;
	statement = sql_prepare(store, SQL_DROP_KEY);
	sql_bind_text(statement, 1, kept->action.device);
	sql_bind_u64(statement, 2, kept->action.ts);
	sql_bind_hash(statement, 3, &kept->digest);
	return sql_run(store, statement);
}

static enum status
set_start(struct phone_store *store, const struct position *start)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_SET_START);

	store->start = *start;
	sql_bind_u64(statement, 1, start->seq);
	sql_bind_hash(statement, 2, &start->link);
	return sql_run(store, statement);
}

enum status
phone_store_begin_from(struct phone_store *store, const struct position *position)
{
	CHECK(store->base.seq < position->seq);
	store->base = *position;
	return set_start(store, position);
}

enum status
phone_store_drop(struct phone_store *store, int64_t place)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_DROP_PLACE);

	forget_taken(store);
	sql_bind_i64(statement, 1, place);
	return sql_run(store, statement);
}

enum status
phone_store_restamp(struct phone_store *store, const struct queued *queued, uint64_t ts)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_RESTAMP);
	struct phone_action kept = queued->kept;

	if (kept.action.ts >= store->taken_first && kept.action.ts < store->taken_end)
		forget_taken(store);
	kept.action.ts = ts;
	phone_action_digest(&kept);
	sql_bind_u64(statement, 1, ts);
	sql_bind_hash(statement, 2, &kept.digest);
	sql_bind_i64(statement, 3, queued->place);
	return sql_run(store, statement);
}

enum status
phone_store_step_stamp(struct phone_store *store, const struct queued *queued)
{
	struct phone_action kept = queued->kept;
	int64_t taken = 1;

	while (taken != 0 && kept.action.ts < TS_MAX) {
		struct sqlite3_stmt *statement = sql_prepare(store, SQL_TAKEN_BY_OTHER);
		enum status status;

		kept.action.ts++;
		phone_action_digest(&kept);
		sql_bind_text(statement, 1, kept.action.device);
		sql_bind_u64(statement, 2, kept.action.ts);
		sql_bind_hash(statement, 3, &kept.digest);
		sql_bind_i64(statement, 4, !queued->confirmed_once);
		status = sql_number(store, statement, &taken);
		if (status != STATUS_OK)
			return status;
	}
	return phone_store_restamp(store, queued, kept.action.ts);
}

enum status
phone_store_set_aside(struct phone_store *store, int64_t place, struct text reason)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_ASIDE_QUEUED);
	enum status status;

	sql_bind_i64(statement, 1, place);
	sql_bind_text(statement, 2, reason);
	status = sql_run(store, statement);
	return status == STATUS_OK ? phone_store_drop(store, place) : status;
}

/* Moves one confirmed row to the queue, or aside. It is whole when what it says has either the
 * digest or the link that was written with it: a bit that rotted in those two costs no action. */
static enum status
unconfirm_row(struct phone_store *store, struct sqlite3_stmt *row, const struct hash *before,
	      const int64_t *place, uint64_t *set_aside)
{
	struct phone_action kept = sql_action(row);
	struct hash digest = kept.digest;
	struct hash link = sql_hash(row, 6);
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_ASIDE_CONFIRMED);
	struct hash computed;

	phone_action_digest(&kept);
	chain_link(before, &kept.digest, &computed);
	if (!kept.redacted && (hash_equal(&kept.digest, &digest) || hash_equal(&computed, &link)))
		return insert_queued(store, &kept, place);
	(*set_aside)++;
	sql_bind_i64(statement, 1, sql_i64(row, 5));
	sql_bind_text(statement, 2, kept.redacted ? TEXT("REDACTED") : TEXT("DAMAGED"));
	return sql_run(store, statement);
}

enum status
phone_store_roll_back(struct phone_store *store, const struct position *ancestor,
		      uint64_t *set_aside)
{
	struct sqlite3_stmt *row = sql_prepare(store, SQL_CONFIRMED);
	const struct position start = store->start;
	struct hash before = ancestor->link;
	int64_t first = 0;
	enum status status = sql_number(store, sql_prepare(store, SQL_FIRST_PLACE), &first);

	CHECK(ancestor->seq < store->base.seq);
	forget_taken(store);
	if (status != STATUS_OK)
		return status;
	sql_bind_u64(row, 1, ancestor->seq);
	first -= (int64_t)(store->base.seq - ancestor->seq);
	if (ancestor->seq < start.seq) {
		status = set_start(store, ancestor);
		if (status != STATUS_OK)
			return status;
	}
	for (status = sql_next(store, row); status == STATUS_OK; status = sql_next(store, row)) {
		/* Before the start there may be what was confirmed before it was that. */
		if (sql_u64(row, 5) == start.seq + 1)
			before = start.link;
		status = unconfirm_row(store, row, &before, &first, set_aside);
		if (status != STATUS_OK)
			break;
		before = sql_hash(row, 6);
		first++;
	}
	sql_end(row);
	if (status != STATUS_NOT_FOUND)
		return status;
	row = sql_prepare(store, SQL_UNCONFIRM);
	sql_bind_u64(row, 1, ancestor->seq);
	store->base = *ancestor;
	return sql_run(store, row);
}

enum status
phone_store_set_offset(struct phone_store *store, int64_t offset)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_SET_OFFSET);

	store->offset = offset;
	sql_bind_i64(statement, 1, offset);
	return sql_run(store, statement);
}

enum status
phone_store_lines(struct phone_store *store, const char *input, uint64_t *lines)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_LINES);
	int64_t value = 0;
	enum status status;

	sql_bind_text(statement, 1, text_of(input));
	status = sql_number(store, statement, &value);
	*lines = (uint64_t)value;
	return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status
phone_store_set_lines(struct phone_store *store, const char *input, uint64_t lines)
{
	struct sqlite3_stmt *statement = sql_prepare(store, SQL_SET_LINES);

	sql_bind_text(statement, 1, text_of(input));
	sql_bind_u64(statement, 2, lines);
	return sql_run(store, statement);
}
