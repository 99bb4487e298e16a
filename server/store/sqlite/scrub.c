#include "store/sqlite/scrub.h"

#include "base/log.h"

/* One log on its way. */
struct visit {
	struct scrub *scrub;
	const struct walk *walk;
	struct found_log name;
	struct log_row log;
	struct row_page page;
	const char *what;  /* was found, if not NULL */
	bool is_whole;	   /* and yet all of it can be read */
	enum status stamp; /* what the index of stamps came to */
	uint64_t rows;	   /* looked at */
};

static bool
goes_on(const struct walk *walk)
{
	return walk->goes_on == NULL || walk->goes_on(walk->cookie);
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
	if (status != STATUS_OK) {
		db_close(db);
		return status;
	}
	status = log_ids_prepare(&scrub->ids, db);
	if (status != STATUS_OK)
		scrub_close(scrub);
	return status;
}

static bool
check_stamp(void *cookie, const struct row *row)
{
	struct visit *visit = cookie;
	const bool more = goes_on(visit->walk);
	if (!more && visit->rows > 0)
		return false;
	visit->rows++;
	visit->stamp = rows_stamped(visit->scrub->rows, &visit->log, row);
	return visit->stamp == STATUS_OK;
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
	visit->stamp = STATUS_OK;
	status = rows_page(rows, &visit->log, &visit->page);
	if (status == STATUS_LOG_DAMAGED)
		visit->what = "a row does not verify";
	if (status != STATUS_OK)
		return status;
	visit->is_whole = visit->stamp == STATUS_LOG_DAMAGED;
	if (visit->is_whole)
		visit->what = "the index of stamps does not lead to an action";
	return visit->stamp == STATUS_OK ? check_end(visit) : visit->stamp;
}

static enum status
begin_anew(struct scrub *scrub)
{
	struct db *db = rows_db(scrub->rows);
	db_rollback(db);
	db_forget_pages(db);
	return db_begin(db, false);
}

/* The log's head as acknowledged: the snapshot may be older. What is not in the tail has been in the rows
 * since before the next one. */
static enum status
newest_head(struct visit *visit, struct head *head)
{
	struct scrub *scrub = visit->scrub;
	const struct text name = {visit->name.name, visit->name.name_size};
	if (tail_head(scrub->tail, &visit->log.genesis, head))
		return STATUS_OK;
	enum status status = begin_anew(scrub);
	if (status == STATUS_OK)
		status = rows_log(scrub->rows, name, &visit->log.genesis, &visit->log);
	if (status == STATUS_OK)
		*head = visit->log.head;
	return status == STATUS_LOG_DAMAGED ? STATUS_OK : status;
}

static enum status
mark(struct visit *visit)
{
	const struct text name = {visit->name.name, visit->name.name_size};
	struct head good = {.position = visit->page.at, .gone = visit->log.head.gone};
	enum status status = visit->is_whole ? newest_head(visit, &good) : STATUS_OK;
	return status == STATUS_OK ? damage_mark(visit->scrub->damage, name, &visit->log.genesis,
						 &good, visit->what)
				   : status;
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
		visit->rows = 0; /* the row in question is looked at */
		status = begin_anew(visit->scrub);
		if (status == STATUS_OK)
			status = look(visit);
	}
	*is_damaged = status == STATUS_LOG_DAMAGED;
	return *is_damaged ? mark(visit) : status;
}

/* Goes on with the log that the walk is in, or enters the next one. */
static enum status
enter(struct scrub *scrub, struct walk *walk, struct visit *visit, bool *ended)
{
	const uint64_t after = walk->inside ? walk->log - 1 : walk->log;
	enum status status = log_ids_next(&scrub->ids, after, &visit->name);
	*ended = status == STATUS_OK && visit->name.id == 0;
	if (status != STATUS_OK || *ended)
		return status;
	chain_genesis((struct text){visit->name.name, visit->name.name_size}, &visit->log.genesis);
	if (!walk->inside || visit->name.id != walk->log)
		walk->at = (struct position){.link = visit->log.genesis};
	walk->log = visit->name.id;
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

/* Neither table can be read: steps over it, further each time, since it may be a page of them. */
static enum status
skip(struct walk *walk, struct walked *walked)
{
	const bool first = walk->skip == 0;
	walk->skip = first ? 1 : 2 * walk->skip;
	walk->log += walk->skip;
	walked->ended = walk->log > SEQ_MAX;
	return first ? leave_unnamed(walk, walked) : STATUS_OK;
}

static enum status
walk_on(struct scrub *scrub, struct walk *walk, uint64_t rows_max, struct walked *walked)
{
	struct visit visit = {.scrub = scrub, .walk = walk, .rows = walked->actions + walked->logs};
	bool is_damaged = false;
	enum status status = enter(scrub, walk, &visit, &walked->ended);
	if (status == STATUS_OK && walked->ended)
		return STATUS_OK;
	if (status == STATUS_LOG_DAMAGED)
		return skip(walk, walked);
	walk->skip = 0;
	if (status == STATUS_OK && visit.name.name_size == 0)
		return leave_unnamed(walk, walked);
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
	bool more = status == STATUS_OK;
	while (more) {
		const uint64_t done = walked->actions + walked->logs;
		status = walk_on(scrub, walk, rows_max - done, walked);
		more = status == STATUS_OK && !walked->ended &&
		       walked->actions + walked->logs < rows_max && goes_on(walk);
	}
	if (scrub->rows != NULL)
		db_rollback(rows_db(scrub->rows));
	if (status != STATUS_OK) {
		walk->inside = false;
		scrub_close(scrub);
	}
	return status;
}
