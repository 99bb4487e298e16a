#include "store/sqlite/scrub.h"

#include "base/log.h"

/* One log on its way. */
struct visit {
	struct scrub *scrub;
	struct found_log name;
	struct log_row log;
	struct row_page page;
	const char *what; /* was found, if not NULL */
	bool is_whole;	  /* and yet all of it can be read */
};

static enum status
open_connection(struct scrub *scrub)
{
	struct db *db;
	const char *problem;
	if (scrub->rows != NULL)
		return STATUS_OK;
	enum status status = db_open(scrub->path, DB_READ, &db, &problem);
	if (status != STATUS_OK) {
		log_error("store", "cannot open for reading", LOG_STR("problem", problem));
		return status;
	}
	status = rows_new(db, &scrub->rows);
	if (status != STATUS_OK)
		db_close(db);
	return status;
}

void
scrub_close(struct scrub *scrub)
{
	if (scrub->rows == NULL)
		return;
	struct db *db = rows_db(scrub->rows);
	rows_free(scrub->rows);
	db_close(db);
	scrub->rows = NULL;
}

static bool
check_stamp(void *cookie, const struct row *row)
{
	struct visit *visit = cookie;
	if (rows_stamped(visit->scrub->rows, &visit->log, row) != STATUS_LOG_DAMAGED)
		return true;
	visit->what = "the index of stamps does not lead to an action";
	visit->is_whole = true;
	return false;
}

static enum status
check_end(struct visit *visit)
{
	const struct position *head = &visit->log.head.position;
	if (visit->page.at.seq < head->seq)
		return STATUS_OK;
	visit->what = "the newest row is not the head";
	if (!hash_equal(&visit->page.at.link, &head->link))
		return STATUS_LOG_DAMAGED;
	visit->what = "rows are beyond the head";
	const enum status status = rows_end(visit->scrub->rows, &visit->log);
	if (status == STATUS_OK)
		visit->what = NULL;
	return status;
}

/* As many rows as the page still wants, from where it stands; at the last one the head, too. */
static enum status
look(struct visit *visit)
{
	struct rows *rows = visit->scrub->rows;
	const struct text name = {visit->name.name, visit->name.name_size};
	visit->what = NULL;
	visit->is_whole = false;
	enum status status = rows_log(rows, name, &visit->log.genesis, &visit->log);
	if (status == STATUS_OK && (!visit->log.found || visit->log.id != visit->name.id))
		status = STATUS_LOG_DAMAGED;
	if (status != STATUS_OK) {
		visit->page.at = (struct position){.link = visit->log.genesis};
		visit->what = "the log is not found by its name";
		return status;
	}
	visit->page.upto = visit->log.head.position.seq;
	visit->page.stopped = false;
	status = rows_page(rows, &visit->log, &visit->page);
	if (status == STATUS_LOG_DAMAGED)
		visit->what = "a row does not verify";
	if (status == STATUS_OK && visit->what != NULL)
		return STATUS_LOG_DAMAGED;
	return status == STATUS_OK ? check_end(visit) : status;
}

/* The same from the file. */
static enum status
look_again(struct visit *visit)
{
	struct db *db = rows_db(visit->scrub->rows);
	db_rollback(db);
	db_forget_pages(db);
	const enum status status = db_begin(db, false);
	return status == STATUS_OK ? look(visit) : status;
}

static enum status
mark(struct visit *visit)
{
	const struct text name = {visit->name.name, visit->name.name_size};
	struct head good = {.position = visit->page.at};
	if (visit->is_whole && !tail_head(visit->scrub->tail, &visit->log.genesis, &good))
		good = visit->log.head;
	return damage_mark(visit->scrub->damage, name, &visit->log.genesis, &good, visit->what);
}

static enum status
visit_rows(struct visit *visit, bool *is_damaged)
{
	struct head good;
	*is_damaged = damage_find(visit->scrub->damage, &visit->log.genesis, &good);
	if (*is_damaged)
		return STATUS_OK;
	enum status status = look(visit);
	/* Each place that fails is read twice. */
	uint64_t failed = UINT64_MAX;
	while (status == STATUS_LOG_DAMAGED && visit->page.at.seq != failed) {
		failed = visit->page.at.seq;
		status = look_again(visit);
	}
	*is_damaged = status == STATUS_LOG_DAMAGED;
	return *is_damaged ? mark(visit) : status;
}

/* Goes on with the log that the walk is in, or enters the next one. An id that has rotted may be any: the
 * walk moves on all the same. */
static enum status
enter(struct scrub *scrub, struct walk *walk, struct visit *visit, bool *ended)
{
	const uint64_t after = walk->inside ? walk->log - 1 : walk->log;
	enum status status = rows_next_log(scrub->rows, after, &visit->name);
	*ended = status == STATUS_OK && visit->name.id == 0;
	if (status != STATUS_OK || *ended)
		return status;
	chain_genesis((struct text){visit->name.name, visit->name.name_size}, &visit->log.genesis);
	if (!walk->inside || visit->name.id != walk->log)
		walk->at = (struct position){.link = visit->log.genesis};
	walk->log = visit->name.id > after ? visit->name.id : after + 1;
	walk->inside = true;
	return STATUS_OK;
}

/* There is no log to mark. */
static enum status
leave_unnamed(struct walk *walk, struct walked *walked)
{
	log_limited(LOG_ERROR, "store", "a log's own row has rotted", LOG_U64("row", walk->log));
	walk->inside = false;
	walked->logs++;
	walked->damaged++;
	return STATUS_OK;
}

/* What stands in the table of logs cannot be read: steps over it, further each time, since it may be a
 * page of them. */
static enum status
skip(struct walk *walk, struct walked *walked)
{
	walk->skip = walk->skip == 0 ? 1 : 2 * walk->skip;
	walk->log += walk->skip;
	walked->ended = walk->log > SEQ_MAX;
	return leave_unnamed(walk, walked);
}

static enum status
walk_on(struct scrub *scrub, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	struct visit visit = {.scrub = scrub};
	bool is_damaged = false;
	enum status status = enter(scrub, walk, &visit, &walked->ended);
	if (status == STATUS_OK && walked->ended)
		return STATUS_OK;
	if (status == STATUS_LOG_DAMAGED)
		return skip(walk, walked);
	walk->skip = 0;
	if (status == STATUS_OK && visit.name.name_size == 0) {
		walked->ended = walk->log > SEQ_MAX;
		return leave_unnamed(walk, walked);
	}
	visit.page = (struct row_page){
		.at = walk->at, .rows_left = rows_max, .visitor = check_stamp, .cookie = &visit};
	if (status == STATUS_OK)
		status = visit_rows(&visit, &is_damaged);
	walked->actions += rows_max - visit.page.rows_left;
	walk->at = visit.page.at;
	if (status == STATUS_OK && !is_damaged && walk->at.seq < visit.log.head.position.seq)
		return STATUS_OK;
	walk->inside = false;
	walked->logs++;
	walked->damaged += is_damaged ? 1 : 0;
	return status;
}

enum status
scrub_step(struct scrub *scrub, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	*walked = (struct walked){0};
	enum status status = open_connection(scrub);
	if (status == STATUS_OK)
		status = db_begin(rows_db(scrub->rows), false);
	while (status == STATUS_OK && !walked->ended && walked->actions + walked->logs < rows_max)
		status = walk_on(scrub, walk, rows_max - walked->actions - walked->logs, walked);
	if (scrub->rows != NULL)
		db_rollback(rows_db(scrub->rows));
	if (status != STATUS_OK) {
		walk->inside = false;
		scrub_close(scrub);
	}
	return status;
}
