#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/problem.h"
#include "store/complete.h"
#include "store/reshard_work.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/in_place.h"
#include "store/sqlite/journal_file.h"
#include "store/sqlite/shard_file.h"

/* Of all the files that are written at a time, in KiB. */
#define CACHE_KIB 65536

static struct shard_identity
identity_of(const struct directory *directory, unsigned shard)
{
	struct shard_identity identity = {.number = shard, .shards = directory->shards};
	memcpy(identity.id, directory->ids[shard], SHARD_ID_SIZE);
	return identity;
}

static void
remove_with(const char *path, const char *suffix)
{
	char *name;
	if (asprintf(&name, "%s%s", path, suffix) == -1)
		return;
	(void)unlink(name);
	free(name);
}

/* --- one new file --- */

/* What a crash left of its making is of no use. */
static enum status
open_to_write(const char *path, const struct shard_identity *identity, struct db **db,
	      const char **problem)
{
	if (access(path, F_OK) == 0 &&
	    shard_file_open(path, false, identity, db, problem) == STATUS_OK)
		return STATUS_OK;
	remove_with(path, "");
	remove_with(path, "-journal");
	remove_with(path, "-wal");
	remove_with(path, "-shm");
	return shard_file_open(path, true, identity, db, problem);
}

static enum status
prepare_to_write(struct reshard_pair *pair, unsigned count)
{
	char cache[64];
	(void)snprintf(cache, sizeof(cache), "PRAGMA cache_size = -%u", CACHE_KIB / count);
	enum status status = db_sync_commits(pair->db, false);
	if (status == STATUS_OK)
		status = db_run(pair->db, cache);
	if (status == STATUS_OK)
		status = db_begin(pair->db, true);
	return status == STATUS_OK ? log_rows_sweep(pair->rows, &pair->next_id) : status;
}

static enum status
open_pair(struct reshard *reshard, struct reshard_source *source, unsigned number, bool writes,
	  const char **problem)
{
	struct reshard_pair *pair = &source->to[number - source->first];
	const struct shard_identity identity = identity_of(&reshard->to, number);
	char *path = directory_shard_path(&reshard->to, number);
	*problem = "out of memory";
	if (path == NULL || !companions_note(&pair->companions, path)) {
		free(path);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = writes ? open_to_write(path, &identity, &pair->db, problem)
				    : shard_file_open_read(path, &identity, &pair->db, problem);
	free(path);
	if (status == STATUS_OK)
		status = log_rows_open(source->db, pair->db, &pair->rows, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s failed: the log has the reason", db_path(pair->db));
	status = db_prepare(pair->db, "SELECT id FROM logs WHERE name = ?1", &pair->find);
	if (status == STATUS_OK && writes)
		status = prepare_to_write(pair, source->count);
	return status;
}

static enum status
close_pair(struct reshard_pair *pair, bool writes, enum status status)
{
	bool complete;
	log_rows_free(pair->rows);
	if (pair->db == NULL)
		return status;
	if (writes && status == STATUS_OK)
		status = db_commit(pair->db);
	if (writes && status == STATUS_OK)
		status = db_checkpoint(pair->db, CHECKPOINT_TRUNCATE, &complete);
	if (status != STATUS_OK)
		db_rollback(pair->db);
	db_close(pair->db);
	if (!writes)
		companions_restore(&pair->companions);
	return status;
}

/* --- an old file with its new ones --- */

enum status
reshard_open_source(struct reshard *reshard, unsigned number, bool writes,
		    struct reshard_source *source, const char **problem)
{
	const unsigned from = reshard->from->shards, to = reshard->shards;
	const struct shard_identity identity = identity_of(reshard->from, number);
	char *path = directory_shard_path(reshard->from, number);
	*source = (struct reshard_source){.first = number * to / from,
					  .count = to > from ? to / from : 1};
	*problem = "out of memory";
	source->to = calloc(source->count, sizeof(*source->to));
	if (path == NULL || source->to == NULL || !companions_note(&source->companions, path)) {
		free(path);
		return STATUS_STORAGE_UNAVAILABLE;
	}
	enum status status = shard_file_open_read(path, &identity, &source->db, problem);
	free(path);
	for (unsigned i = 0; i < source->count && status == STATUS_OK; i++)
		status = open_pair(reshard, source, source->first + i, writes, problem);
	if (status == STATUS_OK)
		status = db_prepare(source->db, "SELECT id, name, seq FROM logs ORDER BY id",
				    &source->logs);
	return status == STATUS_OK ? db_begin(source->db, false) : status;
}

enum status
reshard_close_source(struct reshard_source *source, bool writes, enum status status)
{
	for (unsigned i = 0; source->to != NULL && i < source->count; i++) {
		const enum status closed = close_pair(&source->to[i], writes, status);
		status = status == STATUS_OK ? closed : status;
	}
	if (source->db != NULL) {
		db_rollback(source->db);
		db_close(source->db);
		companions_restore(&source->companions);
	}
	free(source->to);
	return status;
}

/* --- complete --- */

/* So that commit numbers go on after those of the old files. */
static enum status
newest_in_place(const struct reshard *reshard, struct in_place *newest, const char **problem)
{
	enum status status = STATUS_OK;
	*newest = (struct in_place){.generation = 0};
	for (unsigned number = 0; number < reshard->from->shards && status == STATUS_OK; number++) {
		char *path = directory_shard_path(reshard->from, number);
		struct companions companions;
		struct in_place in_place;
		struct db *db = NULL;
		*problem = "out of memory";
		if (path == NULL || !companions_note(&companions, path)) {
			free(path);
			return STATUS_STORAGE_UNAVAILABLE;
		}
		status = db_open(path, DB_READ, &db, problem);
		if (status == STATUS_OK)
			status = in_place_read(db, &in_place);
		db_close(db);
		companions_restore(&companions);
		free(path);
		if (status != STATUS_OK)
			return status;
		if (in_place.generation > newest->generation)
			newest->generation = in_place.generation;
		if (in_place.last_id > newest->last_id)
			newest->last_id = in_place.last_id;
	}
	return status;
}

/* What an earlier attempt made. */
static void
remove_beside(const char *path)
{
	char *names[] = {journal_file_path(path, 0), journal_file_path(path, 1), anchor_path(path)};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i] != NULL)
			(void)unlink(names[i]);
		free(names[i]);
	}
}

static enum status
finish_file(const char *path, const struct shard_identity *identity,
	    const struct in_place *in_place, const char **problem)
{
	struct db *db;
	bool complete = false;
	enum status status = shard_file_open(path, false, identity, &db, problem);
	if (status != STATUS_OK)
		return status;
	*problem = problem_format("%s cannot be finished: the log has the reason", path);
	status = in_place_record(db, in_place->generation, in_place->last_id);
	if (status == STATUS_OK)
		status = db_checkpoint(db, CHECKPOINT_TRUNCATE, &complete);
	db_close(db);
	if (status == STATUS_OK && !complete)
		status = STATUS_STORAGE_UNAVAILABLE;
	remove_with(path, "-wal");
	remove_with(path, "-shm");
	return status;
}

enum status
reshard_complete(struct reshard *reshard, const char **problem)
{
	struct in_place newest;
	enum status status = newest_in_place(reshard, &newest, problem);
	for (unsigned number = 0; number < reshard->shards && status == STATUS_OK; number++) {
		const struct shard_identity identity = identity_of(&reshard->to, number);
		char *path = directory_shard_path(&reshard->to, number);
		*problem = "out of memory";
		if (path == NULL)
			return STATUS_STORAGE_UNAVAILABLE;
		remove_beside(path);
		status = finish_file(path, &identity, &newest, problem);
		if (status == STATUS_OK)
			status = complete_shard(path, identity.id, problem);
		free(path);
	}
	return status;
}
