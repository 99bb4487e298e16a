#include "store/sqlite/stored_row.h"

#include "base/check.h"

bool
stored_row_read(struct statement *statement, struct row *row)
{
	row->seq = statement_u64(statement, ROW_SEQ);
	row->action.device = statement_text(statement, ROW_DEVICE);
	row->action.ts = statement_u64(statement, ROW_TS);
	row->action.type = statement_text(statement, ROW_TYPE);
	row->action.payload = statement_text(statement, ROW_PAYLOAD);
	/* Sizes that no preimage can hold would be a bug in chain_digest, and rot here. */
	return statement_hash(statement, ROW_LINK, &row->link) &&
	       row->action.device.size <= DEVICE_SIZE_MAX && row->action.type.size <= TYPE_SIZE_MAX;
}

enum status
stored_row_prepare(struct db *db, struct statement **pair)
{
	return db_prepare(db,
			  "SELECT " ACTION_COLUMNS " FROM actions"
			  " WHERE log = ?1 AND seq BETWEEN ?2 - 1 AND ?2 ORDER BY seq",
			  pair);
}

static bool
is_linked(const struct hash *previous, const struct row *row)
{
	struct hash link;
	chain_link(previous, &row->digest, &link);
	return hash_equal(&link, &row->link);
}

static bool
follows(const struct hash *previous, struct row *row)
{
	chain_digest(&row->action, &row->digest);
	return is_linked(previous, row);
}

enum status
stored_row_check(struct statement *pair, const struct row_key *key, struct text device,
		 struct checked_row *checked)
{
	CHECK(key->seq >= 1);
	struct hash previous = *key->genesis;
	struct row row = {0};
	bool good = true;
	statement_bind_u64(pair, 1, key->log);
	statement_bind_u64(pair, 2, key->seq);
	enum step step = statement_step(pair);
	if (step == STEP_ROW && key->seq > 1) {
		good = statement_u64(pair, ROW_SEQ) == key->seq - 1 &&
		       statement_hash(pair, ROW_LINK, &previous);
		step = statement_step(pair);
	}
	enum status status = step_status(step);
	if (status == STATUS_OK) {
		good = good && stored_row_read(pair, &row) && row.seq == key->seq &&
		       follows(&previous, &row);
		if (!good)
			status = STATUS_LOG_DAMAGED;
	}
	checked->digest = row.digest;
	checked->link = row.link;
	checked->ts = row.action.ts;
	checked->content = action_size(&row.action) - row.action.device.size;
	checked->is_of_device = text_equal(row.action.device, device);
	checked->is_redacted = action_is_redacted(&row.action);
	statement_reset(pair);
	return status;
}

/* Of a redacted one only the type has rotted. */
static bool
was_redacted(const struct hash *previous, struct row *row)
{
	return hash_from_text(row->action.payload, &row->digest) && is_linked(previous, row);
}

enum status
stored_row_look(struct statement *pair, const struct row_key *key, struct checked_row *checked)
{
	struct hash previous = *key->genesis;
	struct row row = {0};
	statement_bind_u64(pair, 1, key->log);
	statement_bind_u64(pair, 2, key->seq);
	enum step step = statement_step(pair);
	bool has_previous = key->seq == 1;
	if (step == STEP_ROW && statement_u64(pair, ROW_SEQ) != key->seq) {
		has_previous = statement_hash(pair, ROW_LINK, &previous);
		step = statement_step(pair);
	}
	const bool is_sound = step == STEP_ROW && stored_row_read(pair, &row);
	*checked = (struct checked_row){.ts = row.action.ts};
	if (!(is_sound && has_previous && was_redacted(&previous, &row))) {
		checked->content = action_size(&row.action) - row.action.device.size;
		row.digest = (struct hash){{0}};
		if (row.action.device.size <= DEVICE_SIZE_MAX &&
		    row.action.type.size <= TYPE_SIZE_MAX)
			chain_digest(&row.action, &row.digest);
	}
	checked->digest = row.digest;
	statement_reset(pair);
	return step_status(step);
}
