#include "store/sqlite/state_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/sqlite/in_place.h"

#define NOTES_MAX 32768 /* some MiB */

struct state_note {
	struct state_note *next;
	struct text log;
	struct drift_report report;
	uint64_t below, from;
	struct text displaced;
	char texts[];
};

/* --- notes --- */

void
state_notes_add(struct state_notes *notes, struct text log, const struct kept_state *kept)
{
	const struct drift_report *report = kept->report;
	const struct state_report *state = &report->state;
	struct state_note *note = NULL;
	if (notes->count < NOTES_MAX)
		note = malloc(sizeof(*note) + log.size + report->device.size + report->writer.size +
			      state->digest.size + state->app.size + kept->displaced.size);
	if (note == NULL) {
		log_limited(LOG_WARN, "store", "state report not kept", LOG_TEXT("log", log),
			    LOG_U64("waiting", notes->count));
		return;
	}
	char *texts = note->texts;
	note->next = NULL;
	note->log = text_put(&texts, log);
	note->report.device = text_put(&texts, report->device);
	note->report.writer = text_put(&texts, report->writer);
	note->report.link = report->link;
	note->report.state.seq = state->seq;
	note->report.state.digest = text_put(&texts, state->digest);
	note->report.state.app = text_put(&texts, state->app);
	note->below = kept->below;
	note->from = kept->from;
	note->displaced = text_put(&texts, kept->displaced);
	if (notes->last == NULL)
		notes->first = note;
	else
		notes->last->next = note;
	notes->last = note;
	notes->count++;
}

void
state_notes_free(struct state_notes *notes)
{
	while (notes->first != NULL) {
		struct state_note *note = notes->first;
		notes->first = note->next;
		free(note);
	}
	*notes = (struct state_notes){.count = 0};
}

/* --- writing --- */

enum status
state_rows_prepare(struct state_rows *rows, struct db *db)
{
	rows->db = db;
	enum status status = db_prepare(db,
					"DELETE FROM states WHERE log = (SELECT id FROM logs WHERE "
					"name = ?1) AND (seq < ?2 OR seq >= ?3)",
					&rows->drop);
	if (status == STATUS_OK)
		status = db_prepare(db,
				    "DELETE FROM states WHERE log = (SELECT id FROM logs WHERE "
				    "name = ?1) AND seq = ?2 AND device = ?3",
				    &rows->displace);
	if (status == STATUS_OK)
		status = db_prepare(db,
				    "INSERT OR REPLACE INTO states (log, seq, device, link, "
				    "digest, app, writer)"
				    " SELECT id, ?2, ?3, ?4, ?5, ?6, ?7 FROM logs WHERE name = ?1",
				    &rows->insert);
	return status;
}

static enum step
run(struct statement *statement)
{
	const enum step step = statement_step(statement);
	statement_reset(statement);
	return step;
}

static enum step
write_note(struct state_rows *rows, const struct state_note *note)
{
	const struct drift_report *report = &note->report;
	enum step step = STEP_DONE;
	if (note->below > 0 || note->from < UINT64_MAX) {
		statement_bind_text(rows->drop, 1, note->log);
		statement_bind_u64(rows->drop, 2, note->below);
		statement_bind_u64(rows->drop, 3, note->from < SEQ_MAX ? note->from : SEQ_MAX);
		step = run(rows->drop);
	}
	if (step == STEP_DONE && note->displaced.size > 0) {
		statement_bind_text(rows->displace, 1, note->log);
		statement_bind_u64(rows->displace, 2, report->state.seq);
		statement_bind_text(rows->displace, 3, note->displaced);
		step = run(rows->displace);
	}
	if (step != STEP_DONE)
		return step;
	statement_bind_text(rows->insert, 1, note->log);
	statement_bind_u64(rows->insert, 2, report->state.seq);
	statement_bind_text(rows->insert, 3, report->device);
	statement_bind_hash(rows->insert, 4, &report->link);
	statement_bind_text(rows->insert, 5, report->state.digest);
	statement_bind_text(rows->insert, 6, report->state.app);
	statement_bind_text(rows->insert, 7, report->writer);
	return run(rows->insert);
}

static enum status
write_notes(struct state_rows *rows, const struct state_notes *notes, bool *malformed)
{
	enum step step = STEP_DONE;
	enum status status = db_begin(rows->db, true);
	for (const struct state_note *note = notes->first;
	     status == STATUS_OK && note != NULL && step == STEP_DONE; note = note->next)
		step = write_note(rows, note);
	*malformed = step == STEP_DAMAGED;
	if (step != STEP_DONE)
		status = STATUS_STORAGE_UNAVAILABLE;
	if (status == STATUS_OK)
		status = in_place_count(rows->db);
	return status == STATUS_OK ? db_commit(rows->db) : status;
}

enum status
state_rows_write(struct state_rows *rows, struct state_notes *notes)
{
	bool malformed = false;
	if (notes->count == 0)
		return STATUS_OK;
	enum status status = write_notes(rows, notes, &malformed);
	if (status != STATUS_OK)
		db_rollback(rows->db);
	if (malformed) {
		log_limited(LOG_WARN, "store", "state reports not kept: the table is malformed",
			    LOG_STR("file", db_path(rows->db)), LOG_U64("count", notes->count));
		status = STATUS_OK;
	}
	state_notes_free(notes);
	return status;
}

/* --- reading --- */

enum status
state_reader_prepare(struct state_reader *reader, struct db *db)
{
	return db_prepare(db,
			  "SELECT seq, device, link, digest, app, writer FROM states"
			  " WHERE log = (SELECT id FROM logs WHERE name = ?1) ORDER BY seq, device",
			  &reader->select);
}

void
state_reader_visit(struct state_reader *reader, struct text log, state_visitor *visitor,
		   void *cookie)
{
	struct statement *select = reader->select;
	statement_bind_text(select, 1, log);
	while (statement_step(select) == STEP_ROW) {
		struct drift_report report = {
			.device = statement_text(select, 1),
			.writer = statement_text(select, 5),
			.state = {.seq = statement_u64(select, 0),
				  .digest = statement_text(select, 3),
				  .app = statement_text(select, 4)},
		};
		/* What has rotted into something else is nobody's report. */
		if (statement_hash(select, 2, &report.link) && device_is_valid(report.device) &&
		    app_is_valid(report.state.app) && state_digest_is_valid(report.state.digest))
			visitor(cookie, &report);
	}
	statement_reset(select);
}
