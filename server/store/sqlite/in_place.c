#include "store/sqlite/in_place.h"

#include <inttypes.h>
#include <stdio.h>

enum status
in_place_read(struct db *db, struct in_place *in_place)
{
	enum status status =
		db_query_u64(db, "SELECT generation FROM in_place", &in_place->generation);
	if (status == STATUS_OK)
		status = db_query_u64(db, "SELECT last_id FROM in_place", &in_place->last_id);
	if (status == STATUS_OK)
		status = db_query_u64(db, "SELECT commits FROM in_place", &in_place->commits);
	return status;
}

enum status
in_place_count(struct db *db)
{
	return db_run(db, "UPDATE in_place SET commits = commits + 1");
}

enum status
in_place_record(struct db *db, uint64_t generation, uint64_t last_id)
{
	char sql[160];
	(void)snprintf(sql, sizeof(sql),
		       "UPDATE in_place SET generation = %" PRIu64 ", last_id = %" PRIu64
		       ", commits = commits + 1",
		       generation, last_id);
	enum status status = db_sync_commits(db, true);
	return status == STATUS_OK ? db_run(db, sql) : status;
}
