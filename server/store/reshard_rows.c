#include "base/check.h"
#include "base/problem.h"
#include "store/reshard_work.h"

/* What is written at a time: what a crash costs, and what the write-ahead log holds. */
#define COMMIT_ROWS 20000
#define WAL_PAGES 4096

/* Where a log of the old file is. */
struct place {
	struct reshard_pair *pair;
	uint64_t id, new_id; /* 0: it is not there */
	struct text name;    /* the statement's */
};

struct moving {
	struct reshard *reshard;
	struct reshard_pair *pair;
};

/* The first bits of the genesis link, as in the store. */
static enum status
find(const struct reshard *reshard, const struct reshard_source *source, struct place *place)
{
	struct hash genesis;
	*place = (struct place){.id = statement_u64(source->logs, 0),
				.name = statement_text(source->logs, 1)};
	chain_genesis(place->name, &genesis);
	const unsigned number = directory_shard_of(&genesis, reshard->shards);
	CHECK(number >= source->first && number < source->first + source->count);
	place->pair = &source->to[number - source->first];
	statement_bind_text(place->pair->find, 1, place->name);
	const enum step step = statement_step(place->pair->find);
	if (step == STEP_ROW)
		place->new_id = statement_u64(place->pair->find, 0);
	statement_reset(place->pair->find);
	return step == STEP_ROW || step == STEP_DONE ? STATUS_OK : STATUS_STORAGE_UNAVAILABLE;
}

/* --- copy --- */

static enum status
commit_some(struct reshard_pair *pair)
{
	bool complete;
	pair->pending = 0;
	enum status status = db_commit(pair->db);
	if (status == STATUS_OK && db_wal_pages(pair->db) >= WAL_PAGES)
		status = db_checkpoint(pair->db, CHECKPOINT_PASSIVE, &complete);
	return status == STATUS_OK ? db_begin(pair->db, true) : status;
}

static enum status
visit_copied(void *cookie, bool is_action)
{
	struct moving *moving = cookie;
	if (is_action)
		moving->reshard->progress(moving->reshard->cookie, 1);
	if (++moving->pair->pending < COMMIT_ROWS)
		return STATUS_OK;
	return commit_some(moving->pair);
}

static enum status
copy_logs(struct reshard *reshard, struct reshard_source *source)
{
	enum status status = STATUS_OK;
	enum step step = statement_step(source->logs);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(source->logs)) {
		struct place place;
		status = find(reshard, source, &place);
		struct moving moving = {.reshard = reshard, .pair = place.pair};
		reshard->logs++;
		if (status == STATUS_OK && place.new_id == 0) {
			status = log_rows_copy(place.pair->rows, place.id, place.pair->next_id++,
					       visit_copied, &moving);
		} else if (status == STATUS_OK) {
			reshard->logs_resumed++;
			reshard->progress(reshard->cookie, statement_u64(source->logs, 2));
		}
	}
	statement_reset(source->logs);
	if (status == STATUS_OK && step != STEP_DONE)
		status = STATUS_STORAGE_UNAVAILABLE;
	return status;
}

enum status
reshard_copy(struct reshard *reshard, const char **problem)
{
	enum status status = STATUS_OK;
	for (unsigned number = 0; number < reshard->from->shards && status == STATUS_OK; number++) {
		struct reshard_source source;
		status = reshard_open_source(reshard, number, true, &source, problem);
		if (status == STATUS_OK) {
			*problem = problem_format("shard %u cannot be copied to its end: the log "
						  "has the reason",
						  number);
			status = copy_logs(reshard, &source);
		}
		status = reshard_close_source(&source, true, status);
	}
	return status == STATUS_OK ? reshard_complete(reshard, problem) : status;
}

/* --- compare --- */

static enum status
visit_compared(void *cookie, bool is_action)
{
	const struct moving *moving = cookie;
	if (is_action)
		moving->reshard->progress(moving->reshard->cookie, 1);
	return STATUS_OK;
}

static enum status
compare_log(struct reshard *reshard, const struct place *place, const char **problem)
{
	struct moving moving = {.reshard = reshard, .pair = place->pair};
	bool same = false;
	enum status status = STATUS_OK;
	if (place->new_id != 0)
		status = log_rows_compare(place->pair->rows, place->id, place->new_id, &same,
					  visit_compared, &moving);
	if (status == STATUS_OK && !same)
		status = problem_set(problem, STATUS_LOG_DAMAGED,
				     "log %.*s is not in %s what it was", (int)place->name.size,
				     place->name.data, db_path(place->pair->db));
	return status;
}

/* *logs: how many there were. */
static enum status
compare_logs(struct reshard *reshard, struct reshard_source *source, uint64_t *logs,
	     const char **problem)
{
	enum status status = STATUS_OK;
	enum step step = statement_step(source->logs);
	for (; step == STEP_ROW && status == STATUS_OK; step = statement_step(source->logs)) {
		struct place place;
		++*logs;
		status = find(reshard, source, &place);
		if (status == STATUS_OK)
			status = compare_log(reshard, &place, problem);
	}
	statement_reset(source->logs);
	if (status == STATUS_OK && step != STEP_DONE)
		status = STATUS_STORAGE_UNAVAILABLE;
	return status;
}

/* How many the new files of one old file have; of a file that takes several, once. */
static enum status
count_logs(const struct reshard *reshard, const struct reshard_source *source, unsigned number,
	   uint64_t *logs)
{
	const unsigned from = reshard->from->shards, to = reshard->shards;
	enum status status = STATUS_OK;
	if (to < from && number % (from / to) != 0)
		return STATUS_OK;
	for (unsigned i = 0; i < source->count && status == STATUS_OK; i++) {
		uint64_t count = 0;
		status = db_query_u64(source->to[i].db, "SELECT count(*) FROM logs", &count);
		*logs += count;
	}
	return status;
}

enum status
reshard_compare(struct reshard *reshard, const char **problem)
{
	enum status status = STATUS_OK;
	uint64_t old = 0, new = 0;
	for (unsigned number = 0; number < reshard->from->shards && status == STATUS_OK; number++) {
		struct reshard_source source;
		status = reshard_open_source(reshard, number, false, &source, problem);
		if (status == STATUS_OK) {
			*problem =
				"the new files cannot be read to their end: the log has the reason";
			status = compare_logs(reshard, &source, &old, problem);
		}
		if (status == STATUS_OK)
			status = count_logs(reshard, &source, number, &new);
		status = reshard_close_source(&source, false, status);
	}
	if (status == STATUS_OK && old != new)
		status = problem_set(problem, STATUS_LOG_DAMAGED,
				     "the new files have other logs than the old ones");
	return status;
}
