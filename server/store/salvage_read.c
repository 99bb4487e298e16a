#include <string.h>

#include "store/salvage_work.h"
#include "store/sqlite/sqlite_engine.h"

#define LOCK_PAGE ((UINT64_C(1) << 30) / PAGE_SIZE + 1) /* holds nothing, ever */

enum shape {
	SHAPE_ACTION,
	SHAPE_BATCH,
	SHAPE_NAME,
	SHAPE_STAMP,
	SHAPE_FIRST, /* in the index of who began which log */
	SHAPE_LOG,
	SHAPE_IN_PLACE,
	SHAPE_RECORD,
	SHAPE_GONE,
	SHAPE_SHARD,
	SHAPE_STATE, /* advice, and not copied */
	SHAPE_SCHEMA,
	SHAPE_SCHEMA_OF_KEY, /* an index without SQL */
	SHAPE_COUNT,	     /* none of them */
};

/* The kinds of a row's values, in the order of enum value_kind. Rows are told apart by how many there are,
 * and which are bytes: a text that has become a blob is one bit, and the chain tells whether it is right. T is
 * a text and nothing else: an action whose stamp has become bytes by one bit is no state. */
static const char kinds[] = "nitb";
static const struct {
	bool is_table;
	const char *values;
} shapes[SHAPE_COUNT] = {
	[SHAPE_ACTION] = {false, "iitibtt"},
	[SHAPE_BATCH] = {false, "iiiit"},
	[SHAPE_NAME] = {false, "ti"},
	[SHAPE_STAMP] = {false, "itii"},
	[SHAPE_FIRST] = {false, "tii"},
	[SHAPE_LOG] = {true, "ntibii"},
	[SHAPE_IN_PLACE] = {true, "iii"},
	[SHAPE_RECORD] = {true, "nb"},
	[SHAPE_GONE] = {false, "iiibi"},
	[SHAPE_SHARD] = {true, "niib"},
	[SHAPE_STATE] = {false, "iitbTtt"},
	[SHAPE_SCHEMA] = {true, "tttit"},
	[SHAPE_SCHEMA_OF_KEY] = {true, "tttin"},
};

struct reader {
	struct salvage *salvage;
	bool is_old;  /* the page is a free one */
	uint64_t met; /* the log of the last entry */
	struct statement *action, *same, *spare, *batch, *name, *record, *trace, *gone;
};

static bool
is_bytes(char kind)
{
	return kind == 't' || kind == 'b';
}

static bool
is_of(char kind, char wanted)
{
	return wanted == 'T' ? kind == 't' : is_bytes(kind) == is_bytes(wanted);
}

static bool
has_shape(const struct cells *cells, const struct cell *cell, enum shape shape)
{
	const char *values = shapes[shape].values;
	bool has = shapes[shape].is_table == cells->is_table && strlen(values) == cell->count;
	for (size_t i = 0; i < cell->count && has; i++)
		has = is_of(kinds[cell->values[i].kind], values[i]);
	return has;
}

static enum shape
shape_of(const struct cells *cells, const struct cell *cell)
{
	unsigned shape = 0;
	while (shape < SHAPE_COUNT && !has_shape(cells, cell, (enum shape)shape))
		shape++;
	return (enum shape)shape;
}

/* As the columns of that shape are. */
static void
bind_values(struct statement *statement, const struct cell *cell, enum shape shape, size_t from)
{
	for (size_t i = from; i < cell->count; i++) {
		const struct value *value = &cell->values[i];
		const int index = (int)(i - from) + 1;
		if (shapes[shape].values[i] == 't')
			statement_bind_text(statement, index, value->bytes);
		else if (shapes[shape].values[i] == 'b')
			statement_bind_blob(statement, index, value->bytes.data, value->bytes.size);
		else
			statement_bind_u64(statement, index, value->integer);
	}
}

/* --- what becomes of a record --- */

/* What cannot be a position is spare, too. */
static bool
is_position(const struct cell *cell)
{
	const uint64_t log = cell->values[0].integer, seq = cell->values[1].integer;
	return log >= 1 && log <= INT64_MAX && seq >= 1 && seq <= SEQ_MAX;
}

static enum status
take_action(struct reader *reader, const struct cell *cell)
{
	struct salvage *salvage = reader->salvage;
	salvage->done->read++;
	if (!reader->is_old && is_position(cell)) {
		bind_values(reader->action, cell, SHAPE_ACTION, 0);
		const enum status status = repair_run(reader->action);
		if (status != STATUS_OK || db_changes(salvage->to) > 0)
			return status;
	}
	bind_values(reader->same, cell, SHAPE_ACTION, 0);
	const enum step step = statement_step(reader->same);
	statement_reset(reader->same);
	if (step == STEP_ROW) {
		salvage->same++;
		return STATUS_OK;
	}
	bind_values(reader->spare, cell, SHAPE_ACTION, 0);
	statement_bind_u64(reader->spare, 8, reader->is_old ? 1 : 0);
	return step == STEP_DONE ? repair_run(reader->spare) : repair_step(step);
}

/* log, rank, name; of a row also seq, link, received_at. */
static enum status
take_name(struct reader *reader, const struct cell *cell, bool is_row)
{
	struct statement *name = reader->name;
	const struct value *values = cell->values;
	const uint64_t log = is_row ? cell->rowid : values[1].integer;
	if (log == 0 || log > INT64_MAX || (!is_row && reader->is_old))
		return STATUS_OK;
	statement_bind_u64(name, 1, log);
	statement_bind_u64(name, 2, !is_row ? 1 : reader->is_old ? 2 : 0);
	statement_bind_text(name, 3, values[is_row ? 1 : 0].bytes);
	statement_bind_u64(name, 4, is_row ? values[2].integer : 0);
	statement_bind_blob(name, 5, is_row ? values[3].bytes.data : "",
			    is_row ? values[3].bytes.size : 0);
	statement_bind_u64(name, 6, is_row ? values[4].integer : 0);
	return repair_run(name);
}

/* There is, or was, such a log. */
static enum status
take_trace(struct reader *reader, uint64_t log)
{
	if (reader->is_old || log == 0 || log > INT64_MAX || log == reader->met)
		return STATUS_OK;
	reader->met = log;
	statement_bind_u64(reader->trace, 1, log);
	return repair_run(reader->trace);
}

static enum status
take_in_place(struct salvage *salvage, const struct cell *cell)
{
	if (salvage->has_in_place && cell->values[2].integer < salvage->in_place[2])
		return STATUS_OK;
	salvage->has_in_place = true;
	for (unsigned i = 0; i < 3; i++)
		salvage->in_place[i] = cell->values[i].integer;
	return STATUS_OK;
}

static void
look_at_identity(struct salvage *salvage, const struct cell *cell)
{
	const struct repair_target *target = &salvage->order->target;
	const struct value *values = cell->values;
	const struct text id = {(const char *)target->id, SHARD_ID_SIZE};
	/* One of the three may have rotted. */
	salvage->is_foreign = (values[1].integer != target->shard) +
				      (values[2].integer != target->shards) +
				      (text_equal(values[3].bytes, id) ? 0 : 1) >
			      1;
}

static enum status
take(struct reader *reader, const struct cell *cell)
{
	const enum shape shape = shape_of(&reader->salvage->cells, cell);
	if (shape == SHAPE_ACTION)
		return take_action(reader, cell);
	if (shape == SHAPE_LOG || shape == SHAPE_NAME)
		return take_name(reader, cell, shape == SHAPE_LOG);
	if (reader->is_old)
		return STATUS_OK;
	if (shape == SHAPE_IN_PLACE)
		return take_in_place(reader->salvage, cell);
	if (shape == SHAPE_SHARD)
		look_at_identity(reader->salvage, cell);
	if (shape == SHAPE_RECORD) {
		statement_bind_u64(reader->record, 2, cell->rowid);
		bind_values(reader->record, cell, shape, 1);
		return repair_run(reader->record);
	}
	if (shape == SHAPE_STAMP)
		return take_trace(reader, cell->values[0].integer);
	if (shape == SHAPE_FIRST)
		return take_trace(reader, cell->values[1].integer);
	if (shape == SHAPE_GONE) {
		bind_values(reader->gone, cell, shape, 0);
		return repair_run(reader->gone);
	}
	if (shape == SHAPE_BATCH && is_position(cell)) {
		bind_values(reader->batch, cell, shape, 0);
		const enum status status = repair_run(reader->batch);
		return status == STATUS_OK ? take_trace(reader, cell->values[0].integer) : status;
	}
	reader->salvage->done->unreadable += shape == SHAPE_COUNT ? 1 : 0;
	return STATUS_OK;
}

/* --- pages --- */

static enum status
read_pages(struct reader *reader)
{
	struct salvage *salvage = reader->salvage;
	enum status status = STATUS_OK;
	for (uint64_t number = 1; number <= salvage->pages.count && status == STATUS_OK; number++) {
		if (salvage->pages.is_free[number - 1] != reader->is_old ||
		    !cells_load(&salvage->cells, number))
			continue;
		salvage->pages.is_rest[number - 1] = true;
		for (size_t i = 0; i < salvage->cells.count && status == STATUS_OK; i++) {
			struct cell cell;
			if (cells_read(&salvage->cells, i, &cell))
				status = take(reader, &cell);
			else if (!reader->is_old)
				salvage->done->unreadable++;
		}
	}
	return status;
}

static void
count_unreadable(struct salvage *salvage)
{
	const struct pages *pages = &salvage->pages;
	for (uint64_t i = 0; i < pages->count; i++) {
		if (!pages->is_free[i] && !pages->is_rest[i] && i + 1 != LOCK_PAGE)
			salvage->done->unreadable++;
	}
}

enum status
salvage_read(struct salvage *salvage)
{
	struct reader reader = {.salvage = salvage};
	const struct {
		struct statement **statement;
		const char *sql;
	} statements[] = {
		{&reader.action,
		 "INSERT OR IGNORE INTO actions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
		{&reader.same, "SELECT 1 FROM actions WHERE log = ?1 AND seq = ?2 AND device = ?3"
			       " AND ts = ?4 AND link = ?5 AND type = ?6 AND payload = ?7"},
		{&reader.spare, "INSERT INTO spare VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"},
		{&reader.batch, "INSERT OR IGNORE INTO batches VALUES (?1, ?2, ?3, ?4, ?5)"},
		{&reader.name, "INSERT INTO names VALUES (?1, ?2, ?3, ?4, ?5, ?6)"},
		{&reader.record, "INSERT OR IGNORE INTO journal (record, id) VALUES (?1, ?2)"},
		{&reader.trace, "INSERT OR IGNORE INTO traces VALUES (?1)"},
		{&reader.gone, "INSERT OR IGNORE INTO gone VALUES (?1, ?2, ?3, ?4, ?5)"},
	};
	enum status status = STATUS_OK;
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]) && status == STATUS_OK;
	     i++)
		status = db_prepare(salvage->to, statements[i].sql, statements[i].statement);
	/* What is old comes to what is not. */
	for (int pass = 0; pass < 2 && status == STATUS_OK; pass++) {
		reader.is_old = pass > 0;
		status = read_pages(&reader);
	}
	if (status == STATUS_OK)
		count_unreadable(salvage);
	return status;
}

/* --- the index of stamps --- */

static enum status
read_hints(struct salvage *salvage)
{
	struct statement *hint;
	enum status status = db_prepare(salvage->to,
					"INSERT INTO hints SELECT ?1, ?2, rowid FROM spare"
					" WHERE ts = ?3 AND device = ?4",
					&hint);
	for (uint64_t number = 1; number <= salvage->pages.count && status == STATUS_OK; number++) {
		if (salvage->pages.is_free[number - 1] || !cells_load(&salvage->cells, number))
			continue;
		for (size_t i = 0; i < salvage->cells.count && status == STATUS_OK; i++) {
			struct cell cell;
			if (!cells_read(&salvage->cells, i, &cell) ||
			    shape_of(&salvage->cells, &cell) != SHAPE_STAMP)
				continue;
			statement_bind_u64(hint, 1, cell.values[0].integer);
			statement_bind_u64(hint, 2, cell.values[3].integer);
			statement_bind_u64(hint, 3, cell.values[2].integer);
			statement_bind_text(hint, 4, cell.values[1].bytes);
			status = repair_run(hint);
		}
	}
	return status;
}

enum status
salvage_read_stamps(struct salvage *salvage)
{
	struct statement *next;
	uint64_t count = 0, at = 0;
	enum status status = db_query_u64(salvage->to, "SELECT count(*) FROM spare", &count);
	if (status != STATUS_OK || count == 0)
		return status;
	status = read_hints(salvage);
	/* One that is put in place lets the next one chain. */
	if (status == STATUS_OK)
		status = db_run(salvage->to, "INSERT INTO ordered SELECT NULL, log, seq, row"
					     " FROM hints ORDER BY log, seq, row");
	if (status == STATUS_OK)
		status = db_prepare(salvage->to,
				    "SELECT place, log, seq, row FROM ordered WHERE place > ?1"
				    " ORDER BY place LIMIT 1",
				    &next);
	while (status == STATUS_OK) {
		statement_bind_u64(next, 1, at);
		const enum step step = statement_step(next);
		at = statement_u64(next, 0);
		const uint64_t log = statement_u64(next, 1), seq = statement_u64(next, 2);
		const uint64_t row = statement_u64(next, 3);
		statement_reset(next);
		if (step != STEP_ROW)
			return repair_step(step);
		status = salvage_try(salvage, row, log, seq);
	}
	return status;
}
