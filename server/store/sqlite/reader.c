#include "store/sqlite/reader.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "store/sqlite/pool.h"

struct readers {
	struct pool *pool;
	struct tail *tail;
	struct damage *damage;
};

/* One read of one log on its way. */
struct reading {
	struct readers *readers;
	struct text name;
	const struct hash *genesis;
	struct rows *rows;
	struct log_row log; /* in the snapshot */
	struct tail_pin pin;
	struct row_page page;
};

struct readers *
readers_new(const char *path, size_t connections_max, struct tail *tail, struct damage *damage)
{
	struct readers *readers = calloc(1, sizeof(*readers));
	if (readers == NULL)
		return NULL;
	readers->tail = tail;
	readers->damage = damage;
	readers->pool = pool_new(path, connections_max);
	if (readers->pool == NULL) {
		free(readers);
		return NULL;
	}
	return readers;
}

void
readers_free(struct readers *readers)
{
	if (readers == NULL)
		return;
	pool_free(readers->pool);
	free(readers);
}

/* Opens a snapshot and finds the log in it. What the tail goes on from must be there. */
static enum status
begin(struct reading *reading)
{
	const struct tail_pin *pin = &reading->pin;
	enum status status = db_begin(rows_db(reading->rows), false);
	if (status == STATUS_OK)
		status = rows_log(reading->rows, reading->name, reading->genesis, &reading->log);
	if (status == STATUS_OK && !reading->log.found && pin->present && pin->first_seq > 1)
		status = STATUS_LOG_DAMAGED;
	return status;
}

/* The same again, from the file: what did not verify may have been a page in memory. */
static enum status
begin_again(struct reading *reading)
{
	struct db *db = rows_db(reading->rows);
	db_rollback(db);
	db_forget_pages(db);
	return begin(reading);
}

static enum status
take_connection(struct reading *reading)
{
	enum status status = pool_take(reading->readers->pool, &reading->rows);
	if (status == STATUS_OK)
		status = begin(reading);
	if (status == STATUS_LOG_DAMAGED)
		status = begin_again(reading);
	return status;
}

static void
give_connection(struct reading *reading, enum status status)
{
	if (reading->rows == NULL)
		return;
	db_rollback(rows_db(reading->rows));
	pool_give(reading->readers->pool, reading->rows, status != STATUS_STORAGE_UNAVAILABLE);
}

/* What the rows do not have may be nobody's: that is no mark. */
static enum status
mark(struct reading *reading, struct head *good, const char *what)
{
	if (reading->rows != NULL && !reading->log.found)
		return damage_doubt(reading->name);
	enum status status =
		damage_mark(reading->readers->damage, reading->name, reading->genesis, good, what);
	return status == STATUS_OK ? STATUS_LOG_DAMAGED : status;
}

/* Marks the log as good up to the last row at or below seq that verifies. */
static enum status
mark_below(struct reading *reading, uint64_t seq, struct head *good, const char *what)
{
	enum status status = rows_last_good(reading->rows, &reading->log, seq, good);
	return status == STATUS_OK ? mark(reading, good, what) : status;
}

static enum status
mark_own_row(struct reading *reading)
{
	struct head good = {.position.link = *reading->genesis};
	return mark(reading, &good, "the log's own row is malformed");
}

/* The log's head as its rows have it. */
static enum status
head_in_place(struct reading *reading, struct head *head)
{
	enum status status = take_connection(reading);
	if (status == STATUS_OK)
		status = rows_check_head(reading->rows, &reading->log);
	if (status == STATUS_LOG_DAMAGED) {
		status = begin_again(reading);
		if (status == STATUS_OK)
			status = rows_check_head(reading->rows, &reading->log);
	}
	*head = reading->log.head;
	if (status == STATUS_LOG_DAMAGED)
		status = mark_below(reading, reading->log.head.position.seq, head,
				    "the newest row is not the head");
	return status;
}

enum status
readers_head(struct readers *readers, struct text name, const struct hash *genesis,
	     struct head *head)
{
	*head = (struct head){.position.link = *genesis};
	if (damage_find(readers->damage, genesis, head))
		return STATUS_LOG_DAMAGED;
	if (tail_head(readers->tail, genesis, head))
		return STATUS_OK;
	struct reading reading = {.readers = readers, .name = name, .genesis = genesis};
	enum status status = head_in_place(&reading, head);
	give_connection(&reading, status);
	return status;
}

/* The position that the page begins after, from a row. */
static enum status
start_in_rows(struct reading *reading, uint64_t seq)
{
	enum status status = rows_position(reading->rows, &reading->log, seq, &reading->page.at);
	if (status == STATUS_LOG_DAMAGED) {
		status = begin_again(reading);
		if (status == STATUS_OK)
			status =
				rows_position(reading->rows, &reading->log, seq, &reading->page.at);
	}
	if (status == STATUS_LOG_DAMAGED) {
		struct head good = {0};
		status = mark_below(reading, seq - 1, &good, "a row does not verify");
		reading->page.at = good.position;
	}
	return status;
}

static enum status
read_rows(struct reading *reading, uint64_t upto)
{
	struct row_page *page = &reading->page;
	page->upto = upto;
	enum status status = rows_page(reading->rows, &reading->log, page);
	/* Each row that fails is read twice: when the second reading gets past it, a later one has
	 * its own two. */
	uint64_t failed = UINT64_MAX;
	while (status == STATUS_LOG_DAMAGED && page->at.seq != failed) {
		failed = page->at.seq;
		status = begin_again(reading);
		if (status == STATUS_OK)
			status = rows_page(reading->rows, &reading->log, page);
	}
	if (status == STATUS_LOG_DAMAGED) {
		struct head good = {.position = page->at, .gone = reading->log.head.gone};
		status = mark(reading, &good, "a row does not verify");
	}
	return status;
}

static enum status
read_batch(struct reading *reading, const struct tail_batch *batch)
{
	struct row_page *page = &reading->page;
	uint64_t last = tail_batch_last_seq(batch);
	enum status status = STATUS_OK;
	struct relink relink;
	relink_init(&relink);
	while (status == STATUS_OK && !page->stopped && page->rows_left > 0 &&
	       page->at.seq < page->upto && page->at.seq < last) {
		uint64_t seq = relink_next_seq(&relink, page);
		while (!relink_is_full(&relink, page) && seq <= last) {
			struct row row = {.seq = seq,
					  .link = *tail_batch_link(batch, seq),
					  .received_at = batch->received_at,
					  .writer = batch->writer};
			tail_batch_action(batch, seq - batch->first_seq, &row.action);
			relink_add(&relink, &row);
			seq++;
		}
		status = relink_visit(&relink, page, NULL, NULL);
	}
	if (status == STATUS_LOG_DAMAGED) {
		struct head good = {.position = page->at, .gone = reading->pin.head.gone};
		status = mark(reading, &good, "an action in memory does not verify");
	}
	return status;
}

static enum status
read_tail(struct reading *reading, uint64_t upto)
{
	struct row_page *page = &reading->page;
	page->upto = upto;
	enum status status = STATUS_OK;
	for (size_t i = 0; i < reading->pin.count && status == STATUS_OK && !page->stopped; i++) {
		const struct tail_batch *batch = reading->pin.batches[i];
		if (tail_batch_last_seq(batch) > page->at.seq)
			status = read_batch(reading, batch);
	}
	return status;
}

/* Begins where rows end and the tail begins, or within the tail. */
static void
start_in_tail(struct reading *reading, uint64_t seq)
{
	const struct tail_pin *pin = &reading->pin;
	reading->page.at.seq = seq;
	if (seq == pin->head.position.seq)
		reading->page.at.link = pin->head.position.link;
	else
		reading->page.at.link = *tail_batch_link(pin->batches[0], seq);
}

static enum status
read_range(struct reading *reading, const struct range *range, struct position *start)
{
	const struct tail_pin *pin = &reading->pin;
	struct head head = pin->head;
	uint64_t rows_end = pin->present ? pin->first_seq - 1 : 0;
	enum status status = STATUS_OK;
	if (!pin->present || range->after < rows_end) {
		status = take_connection(reading);
		if (status == STATUS_LOG_DAMAGED) {
			*start = reading->page.at = (struct position){.link = *reading->genesis};
			return mark_own_row(reading);
		}
		if (status != STATUS_OK)
			return status;
	}
	if (!pin->present) {
		head = reading->log.head;
		rows_end = head.position.seq;
	}
	if (range->after > head.position.seq) {
		*start = reading->page.at = head.position;
		return STATUS_SERVER_BEHIND;
	}
	if (pin->present && range->after >= rows_end)
		start_in_tail(reading, range->after);
	else
		status = start_in_rows(reading, range->after);
	*start = reading->page.at;
	uint64_t upto = range->upto < head.position.seq ? range->upto : head.position.seq;
	if (status == STATUS_OK && reading->page.at.seq < rows_end)
		status = read_rows(reading, upto < rows_end ? upto : rows_end);
	if (status == STATUS_OK && !reading->page.stopped && pin->present)
		status = read_tail(reading, upto);
	return status;
}

enum status
readers_read(struct readers *readers, struct text name, const struct hash *genesis,
	     const struct range *range, row_visitor *visitor, void *cookie, struct position *start,
	     struct position *end)
{
	struct reading reading = {.readers = readers, .name = name, .genesis = genesis};
	reading.page = (struct row_page){
		.rows_left = range->rows_max, .visitor = visitor, .cookie = cookie};
	struct range wanted = *range;
	struct head good;
	bool damaged = damage_find(readers->damage, genesis, &good);
	if (damaged && range->after > good.position.seq) {
		*start = *end = good.position;
		return STATUS_LOG_DAMAGED;
	}
	if (damaged && range->upto > good.position.seq)
		wanted.upto = good.position.seq;
	*start = *end = (struct position){.link = *genesis};
	if (!tail_pin(readers->tail, genesis, &wanted, &reading.pin)) {
		log_error("store", "out of memory", LOG_STR("op", "pin the tail"));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = read_range(&reading, &wanted, start);
	*end = reading.page.at;
	tail_unpin(readers->tail, &reading.pin);
	give_connection(&reading, status);
	if (status == STATUS_OK && damaged && range->upto > wanted.upto && !reading.page.stopped &&
	    reading.page.rows_left > 0)
		return STATUS_LOG_DAMAGED;
	return status;
}

/* Looks through the pinned batches, newest first. */
static bool
seek_in_tail(const struct tail_pin *pin, const struct hash *link, uint64_t *steps, uint64_t *seq)
{
	for (size_t i = pin->count; i > 0; i--) {
		const struct tail_batch *batch = pin->batches[i - 1];
		for (; *steps > 0 && *seq >= batch->first_seq; --*seq, --*steps) {
			if (hash_equal(tail_batch_link(batch, *seq), link))
				return true;
		}
	}
	return false;
}

static enum status
seek_in_rows(struct reading *reading, const struct hash *link, uint64_t *steps, uint64_t *seq,
	     bool *found)
{
	enum status status = take_connection(reading);
	if (status == STATUS_LOG_DAMAGED)
		return mark_own_row(reading);
	if (status != STATUS_OK)
		return status;
	uint64_t newest = reading->log.head.position.seq;
	if (*seq > newest)
		*seq = newest;
	status = rows_seek(reading->rows, &reading->log, link, steps, seq, found);
	if (status == STATUS_LOG_DAMAGED) {
		status = begin_again(reading);
		if (status == STATUS_OK)
			status = rows_seek(reading->rows, &reading->log, link, steps, seq, found);
	}
	if (status == STATUS_LOG_DAMAGED) {
		struct head good;
		status = mark_below(reading, *seq, &good, "a row is missing");
	}
	return status;
}

enum status
readers_seek(struct readers *readers, struct text name, const struct hash *genesis,
	     const struct hash *link, uint64_t from, uint64_t steps, bool *found, uint64_t *seq)
{
	CHECK(steps >= 1);
	struct reading reading = {.readers = readers, .name = name, .genesis = genesis};
	struct head good;
	if (damage_find(readers->damage, genesis, &good) && from > good.position.seq)
		from = good.position.seq;
	struct range range = {
		.after = from > steps ? from - steps : 0, .upto = from, .rows_max = steps};
	*found = false;
	*seq = from;
	if (!tail_pin(readers->tail, genesis, &range, &reading.pin)) {
		log_error("store", "out of memory", LOG_STR("op", "pin the tail"));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = STATUS_OK;
	if (reading.pin.present && *seq > reading.pin.head.position.seq)
		*seq = reading.pin.head.position.seq;
	*found = seek_in_tail(&reading.pin, link, &steps, seq);
	if (!*found && steps > 0 && *seq > 0)
		status = seek_in_rows(&reading, link, &steps, seq, found);
	if (status == STATUS_OK && !*found && *seq == 0)
		*found = hash_equal(link, genesis);
	tail_unpin(readers->tail, &reading.pin);
	give_connection(&reading, status);
	return status;
}

/* The tail first: what has left it by then is in every snapshot that is opened later, and perhaps what has
 * not, too. */
enum status
readers_count_begun(struct readers *readers, struct text writer, struct text except,
		    uint64_t *count)
{
	struct rows *rows = NULL;
	struct begun begun = {.writer = writer, .except = except};
	if (!tail_begun(readers->tail, writer, except, &begun.others, &begun.other_count)) {
		log_error("store", "out of memory", LOG_STR("op", "count logs"));
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = pool_take(readers->pool, &rows);
	if (status == STATUS_OK)
		status = db_begin(rows_db(rows), false);
	if (status == STATUS_OK)
		status = rows_begun(rows, &begun);
	if (rows != NULL) {
		db_rollback(rows_db(rows));
		pool_give(readers->pool, rows, status != STATUS_STORAGE_UNAVAILABLE);
	}
	free(begun.others);
	*count = begun.other_count + begun.count;
	return status;
}

enum status
readers_find_unfinished(struct readers *readers, struct unfinished *unfinished)
{
	struct rows *rows = NULL;
	enum status status = pool_take(readers->pool, &rows);
	unfinished->found = false;
	if (status == STATUS_OK)
		status = rows_unfinished(rows, unfinished);
	if (rows != NULL)
		pool_give(readers->pool, rows, status != STATUS_STORAGE_UNAVAILABLE);
	return status;
}
