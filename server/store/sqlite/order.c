#include "store/sqlite/order.h"

#define DOWNWARDS " ORDER BY log DESC, seq DESC"

/* Rows that were gone through upwards. */
struct stretch {
	struct ordering start;	    /* the row before the first; not begun: there is none */
	struct ordering last, edge; /* edge: the last one of the last log but one */
	uint64_t count, edge_count; /* up to there */
	bool ended;		    /* by the statement's end */
};

/* The next row's key; not begun: there is none. */
static enum status
next_key(struct statement *keys, struct ordering *key)
{
	const enum step step = statement_step(keys);
	*key = (struct ordering){.begun = step == STEP_ROW};
	if (step == STEP_FAULT)
		return STATUS_STORAGE_UNAVAILABLE;
	if (step != STEP_ROW)
		return step == STEP_DAMAGED ? STATUS_LOG_DAMAGED : STATUS_OK;
	key->log = statement_u64(keys, 0);
	key->seq = statement_u64(keys, 1);
	if (!statement_hash(keys, 2, &key->link))
		key->link = (struct hash){{0}};
	return STATUS_OK;
}

static bool
is_more(const struct ordering *a, const struct ordering *b)
{
	return a->log > b->log || (a->log == b->log && a->seq > b->seq);
}

static enum status
check_same(const struct ordering *a, const struct ordering *b)
{
	return a->begun == b->begun && a->log == b->log && a->seq == b->seq &&
			       hash_equal(&a->link, &b->link)
		       ? STATUS_OK
		       : STATUS_LOG_DAMAGED;
}

static enum status
go_up(struct statement *up, uint64_t rows_max, struct stretch *stretch)
{
	struct ordering key;
	enum status status = STATUS_OK;
	stretch->last = stretch->start;
	while (status == STATUS_OK && stretch->count < rows_max && !stretch->ended) {
		status = next_key(up, &key);
		stretch->ended = status == STATUS_OK && !key.begun;
		if (status != STATUS_OK || stretch->ended)
			break;
		if (!is_more(&key, &stretch->last))
			status = STATUS_LOG_DAMAGED;
		if (stretch->count > 0 && key.log != stretch->last.log) {
			stretch->edge = stretch->last;
			stretch->edge_count = stretch->count;
		}
		stretch->last = key;
		stretch->count++;
	}
	statement_reset(up);
	return status;
}

/* Back to the start. bottom: what leads to that where the first statement ends before it. */
static enum status
go_down(struct statement *down, struct statement *bottom, const struct stretch *stretch)
{
	struct ordering key, above = stretch->last;
	enum status status = STATUS_OK;
	for (uint64_t i = 0; i < stretch->count && status == STATUS_OK; i++) {
		status = next_key(down, &key);
		if (status == STATUS_OK && i == 0)
			status = check_same(&key, &stretch->last);
		else if (status == STATUS_OK && !(key.begun && is_more(&above, &key)))
			status = STATUS_LOG_DAMAGED;
		above = key;
	}
	if (status == STATUS_OK)
		status = next_key(down, &key);
	statement_reset(down);
	if (status == STATUS_OK && bottom != NULL && key.begun)
		status = STATUS_LOG_DAMAGED;
	if (status == STATUS_OK && bottom != NULL) {
		status = next_key(bottom, &key);
		statement_reset(bottom);
	}
	return status == STATUS_OK ? check_same(&key, &stretch->start) : status;
}

enum status
order_check(struct db *db, const char *sql, bool *is_kept)
{
	struct statement *keys;
	struct stretch all = {.count = 0};
	enum status status = db_prepare(db, sql, &keys);
	if (status == STATUS_OK)
		status = go_up(keys, UINT64_MAX, &all);
	*is_kept = status == STATUS_OK;
	return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
}

enum status
order_prepare(struct order *order, struct db *db)
{
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&order->all, ORDER_OF_ACTIONS},
		{&order->rest, ORDER_OF_ACTIONS " WHERE log = ?1 AND seq >= ?2"},
		{&order->behind, ORDER_OF_ACTIONS " WHERE log > ?1"},
		{&order->top, ORDER_OF_ACTIONS DOWNWARDS},
		{&order->upto, ORDER_OF_ACTIONS " WHERE log <= ?1" DOWNWARDS},
		{&order->within, ORDER_OF_ACTIONS " WHERE log = ?1 AND seq <= ?2" DOWNWARDS},
		{&order->under, ORDER_OF_ACTIONS " WHERE log < ?1" DOWNWARDS},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(db, statements[i].sql, statements[i].statement);
	return status;
}

/* The statement downwards from the last row: from where its log ends, or from itself. */
static struct statement *
from_last(struct order *order, const struct stretch *stretch, bool is_end)
{
	struct statement *down = is_end ? order->upto : order->within;
	statement_bind_u64(down, 1, stretch->last.log);
	if (!is_end)
		statement_bind_u64(down, 2, stretch->last.seq);
	return down;
}

/* Of the log in which the last step ended. */
static enum status
take_rest(struct order *order, uint64_t rows_max, struct stretch *stretch)
{
	struct ordering key;
	statement_bind_u64(order->rest, 1, stretch->start.log);
	statement_bind_u64(order->rest, 2, stretch->start.seq);
	enum status status = next_key(order->rest, &key);
	if (status == STATUS_OK)
		status = check_same(&key, &stretch->start);
	if (status == STATUS_OK)
		status = go_up(order->rest, rows_max, stretch);
	statement_reset(order->rest);
	if (status == STATUS_OK)
		status = go_down(from_last(order, stretch, stretch->ended), NULL, stretch);
	return status;
}

/* From behind the start's log on, whole logs; or as many rows of the first one. */
static enum status
take_logs(struct order *order, uint64_t rows_max, struct stretch *stretch)
{
	struct statement *up = stretch->start.begun ? order->behind : order->all;
	statement_bind_u64(order->behind, 1, stretch->start.log);
	enum status status = go_up(up, rows_max, stretch);
	if (status != STATUS_OK)
		return status;
	if (stretch->ended)
		return go_down(order->top, NULL, stretch);
	const bool has_edge = stretch->edge_count > 0;
	if (has_edge) {
		stretch->last = stretch->edge;
		stretch->count = stretch->edge_count;
	}
	statement_bind_u64(order->under, 1, stretch->last.log);
	return go_down(from_last(order, stretch, has_edge), has_edge ? NULL : order->under,
		       stretch);
}

enum status
order_step(struct order *order, struct ordering *ordering, uint64_t *rows)
{
	const uint64_t rows_max = *rows < 2 ? 1 : *rows / 2;
	struct stretch rest = {.start = *ordering, .last = *ordering, .ended = !ordering->begun};
	enum status status = STATUS_OK;
	if (ordering->begun)
		status = take_rest(order, rows_max, &rest);
	struct stretch logs = {.start = rest.last, .last = rest.last};
	if (status == STATUS_OK && rest.ended && rest.count < rows_max)
		status = take_logs(order, rows_max - rest.count, &logs);
	*ordering = logs.last;
	ordering->ended = logs.ended;
	const uint64_t looked = 2 * (rest.count + logs.count);
	*rows = logs.ended && looked < *rows ? *rows - looked : 0;
	return status;
}
