#include "store/sqlite/records.h"

#include "base/check.h"

static bool
first_record(void *cookie)
{
	struct records *records = cookie;
	records->at = records->first;
	return records->at != NULL;
}

static bool
next_record(void *cookie)
{
	struct records *records = cookie;
	records->at = records->at->next;
	return records->at != NULL;
}

static void
record_value(void *cookie, int column, struct feed_value *value)
{
	const struct tail_batch *batch = ((const struct records *)cookie)->at;
	if (column == 0)
		feed_give_u64(value, batch->journal_id);
	else
		feed_give_blob(value, batch->record, batch->record_size);
}

enum status
records_prepare(struct records *records, struct db *db)
{
	records->db = db;
	records->feed = (struct feed){.table = "group_records",
				      .columns = "id, record",
				      .first = first_record,
				      .next = next_record,
				      .value = record_value,
				      .cookie = records};
	enum status status = feed_attach(db, &records->feed);
	if (status != STATUS_OK)
		return status;
	return db_prepare(db,
			  "INSERT INTO journal (id, record) SELECT id, record FROM group_records",
			  &records->insert);
}

enum status
records_insert(struct records *records, const struct tail_batch *first)
{
	CHECK(first != NULL);
	records->first = first;
	const enum status status = statement_run(records->insert);
	uint64_t count = 0;
	for (const struct tail_batch *batch = first; batch != NULL; batch = batch->next)
		count++;
	/* What is not in the journal must not be acknowledged. */
	CHECK(status != STATUS_OK || db_changes(records->db) == count);
	return status;
}
