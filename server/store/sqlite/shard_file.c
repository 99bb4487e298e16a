#include "store/sqlite/shard_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/failpoint.h"
#include "base/problem.h"

#define APPLICATION_ID 1163030577 /* "ERp1" */

extern const char schema_shard_001[];

/* What brings a file from one version to the next, oldest first. Each sets user_version itself. */
static const struct {
	uint64_t from;
	const char *sql;
} migrations[] = {
	{0, schema_shard_001},
};

#define VERSION (sizeof(migrations) / sizeof(migrations[0]))

/* What a read that failed says of the file. */
static enum status
read_status(const struct db *db)
{
	return db_is_malformed(db) ? STATUS_LOG_DAMAGED : STATUS_STORAGE_UNAVAILABLE;
}

static enum status
check_version(struct db *db, uint64_t *version, const char **problem)
{
	uint64_t application;
	if (db_query_u64(db, "PRAGMA application_id", &application) != STATUS_OK ||
	    db_query_u64(db, "PRAGMA user_version", version) != STATUS_OK)
		return problem_set(problem, read_status(db), "%s cannot be read as a database",
				   db_path(db));
	if (application != APPLICATION_ID)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "%s is not a shard file of Edgereplay (its application id is "
				   "%" PRIu64 ")",
				   db_path(db), application);
	if (*version == 0 || *version > VERSION)
		return problem_set(problem, STATUS_MALFORMED,
				   "%s has schema version %" PRIu64 ", this program knows up to "
				   "%zu: run the version that wrote it, or a newer one",
				   db_path(db), *version, VERSION);
	return STATUS_OK;
}

static enum status
insert_identity(struct db *db, const struct shard_identity *identity)
{
	struct statement *insert;
	if (db_prepare(db, "INSERT INTO shard (row, number, shards, id) VALUES (1, ?1, ?2, ?3)",
		       &insert) != STATUS_OK)
		return STATUS_STORAGE_UNAVAILABLE;
	statement_bind_u64(insert, 1, identity->number);
	statement_bind_u64(insert, 2, identity->shards);
	statement_bind_blob(insert, 3, identity->id, SHARD_ID_SIZE);
	return statement_run(insert);
}

/* Everything in one transaction, so that a file is of one version or the next. */
static enum status
migrate(struct db *db, uint64_t version, const struct shard_identity *identity)
{
	bool is_new = version == 0;
	FAIL_POINT(BEFORE_SCHEMA);
	enum status status = db_begin(db, true);
	for (; status == STATUS_OK && version < VERSION; version++)
		status = db_run(db, migrations[version].sql);
	if (status == STATUS_OK && is_new)
		status = insert_identity(db, identity);
	FAIL_POINT(BEFORE_SCHEMA_COMMIT);
	if (status == STATUS_OK)
		status = db_commit(db);
	FAIL_POINT(AFTER_SCHEMA_COMMIT);
	if (status != STATUS_OK)
		db_rollback(db);
	return status;
}

static enum status
check_identity(struct db *db, const struct shard_identity *expected, const char **problem)
{
	struct statement *select;
	enum step step = STEP_FAULT;
	unsigned number = 0, shards = 0;
	bool same_id = false;
	if (db_prepare(db, "SELECT number, shards, id FROM shard", &select) == STATUS_OK) {
		step = statement_step(select);
		if (step == STEP_ROW) {
			number = (unsigned)statement_u64(select, 0);
			shards = (unsigned)statement_u64(select, 1);
			struct text id = statement_text(select, 2);
			same_id = id.size == SHARD_ID_SIZE &&
				  memcmp(id.data, expected->id, SHARD_ID_SIZE) == 0;
		}
		statement_reset(select);
	}
	const char *path = db_path(db);
	if (step == STEP_FAULT)
		return problem_set(problem, STATUS_STORAGE_UNAVAILABLE, "%s cannot be read", path);
	if (step != STEP_ROW)
		return problem_set(problem, STATUS_LOG_DAMAGED, "%s does not say which shard it is",
				   path);
	if (shards != expected->shards)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "%s belongs to a store of %u shards, not %u (store.shards=%u)",
				   path, shards, expected->shards, shards);
	if (number != expected->number)
		return problem_set(problem, STATUS_LOG_DAMAGED,
				   "%s is shard %u, not %u: the file has another's name", path,
				   number, expected->number);
	if (!same_id)
		return problem_set(
			problem, STATUS_LOG_DAMAGED,
			"%s is a shard of another store than the manifest beside it (if it "
			"is the manifest that was replaced, put its own back: then nothing "
			"is lost)",
			path);
	return STATUS_OK;
}

enum status
shard_file_open(const char *path, bool create, const struct shard_identity *identity,
		struct db **out, const char **problem)
{
	struct db *db;
	enum status status = db_open(path, create ? DB_CREATE : DB_WRITE, &db, problem);
	if (status != STATUS_OK)
		return status;
	uint64_t version = 0;
	if (!create) {
		status = check_version(db, &version, problem);
		if (status != STATUS_OK)
			goto close;
	}
	status = db_use_wal(db);
	if (status == STATUS_OK && version < VERSION)
		status = migrate(db, version, identity);
	if (status != STATUS_OK) {
		*problem = problem_format("%s cannot be %s: the log has the reason", path,
					  create ? "made" : "written");
		goto close;
	}
	status = check_identity(db, identity, problem);
	if (status != STATUS_OK)
		goto close;
	*out = db;
	return STATUS_OK;
close:
	db_close(db);
	return status;
}

enum status
shard_file_open_read(const char *path, const struct shard_identity *identity, struct db **out,
		     const char **problem)
{
	struct db *db;
	enum status status = db_open(path, DB_READ_AT_REST, &db, problem);
	if (status != STATUS_OK)
		return status;
	uint64_t version = 0;
	status = check_version(db, &version, problem);
	if (status == STATUS_OK && version != VERSION) {
		*problem = problem_format("%s has the older schema version %" PRIu64
					  ": start the daemon once to migrate it",
					  path, version);
		status = STATUS_STORAGE_UNAVAILABLE;
	}
	if (status == STATUS_OK && identity != NULL)
		status = check_identity(db, identity, problem);
	if (status != STATUS_OK) {
		db_close(db);
		return status;
	}
	*out = db;
	return STATUS_OK;
}
