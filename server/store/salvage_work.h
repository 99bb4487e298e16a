/*
 * salvage_work: what the parts of the salvage share: salvage (the files), salvage_read (what the pages
 * hold, into tables), salvage_names (whose they are), salvage_settle (which rows are the log's),
 * salvage_in_place (what a start does with the journal), salvage_gone (what is pruned or erased).
 *
 *     actions   a row for each position, the first that was met
 *     spare     what else was met for a position, and all that free pages hold (old); in the end what
 *               was not taken
 *     names     which logs there are, from their rows (rank 0), the index of names (1), rows of free
 *               pages (2); the other columns are a row's
 *     traces    which logs there are, from entries in the indexes of stamps and of who began which, and
 *               from batches
 *     hints     where rows of spare belong, from the index of stamps; ordered: in their order
 */
#ifndef STORE_SALVAGE_WORK_H
#define STORE_SALVAGE_WORK_H

#include "store/repair_batches.h"
#include "store/repair_work.h"
#include "store/salvage.h"
#include "store/salvage_cells.h"
#include "store/sqlite/anchor.h"

#define SALVAGE_TABLES                                                                             \
	"CREATE TEMP TABLE spare (log INTEGER, seq INTEGER, device TEXT, ts INTEGER,"              \
	" link BLOB, type TEXT, payload TEXT, old INTEGER) STRICT;"                                \
	"CREATE INDEX spare_key ON spare (log, seq);"                                              \
	"CREATE INDEX spare_stamp ON spare (ts, device);"                                          \
	"CREATE TEMP TABLE names (log INTEGER, rank INTEGER, name TEXT, seq INTEGER,"              \
	" link BLOB, received_at INTEGER) STRICT;"                                                 \
	"CREATE INDEX names_log ON names (log, rank);"                                             \
	"CREATE TEMP TABLE traces (log INTEGER PRIMARY KEY) STRICT;"                               \
	"CREATE TEMP TABLE hints (log INTEGER, seq INTEGER, row INTEGER) STRICT;"                  \
	"CREATE TEMP TABLE ordered (place INTEGER PRIMARY KEY, log INTEGER, seq INTEGER,"          \
	" row INTEGER) STRICT"

struct salvage {
	const struct salvage_order *order;
	struct salvaged *done;
	struct db *to;
	struct pages pages;
	struct cells cells;
	uint64_t same;	 /* rows that were met again, byte by byte */
	bool is_foreign; /* the file says that it is another shard */
	bool has_in_place;
	uint64_t in_place[3];
	struct repair_batches batches;

	/* From salvage_prepare. */
	struct statement *log, *row, *stood, *spare;
	struct statement *row_to_spare, *drop_row, *spare_to_row, *drop_spare, *by_stamp;
};

MUST_CHECK enum status salvage_prepare(struct salvage *);

/* Everything that the pages hold, into the tables. */
MUST_CHECK enum status salvage_read(struct salvage *);

/* Rows that were not taken, whose entry in the index of stamps says where they belong. */
MUST_CHECK enum status salvage_read_stamps(struct salvage *);

/* For each log of which there is anything: its name, and its row. What has none is laid aside. */
MUST_CHECK enum status salvage_name_logs(struct salvage *);

/* Which row is the log's where there are several, and what is nobody's goes to spare. */
MUST_CHECK enum status salvage_settle_rows(struct salvage *);

/* The head of every log. Rows behind it go to spare. */
MUST_CHECK enum status salvage_settle_heads(struct salvage *);

/* A row of spare belongs at a position of a log: it takes its place if it chains from the row before, and
 * fits better than what stands there. */
MUST_CHECK enum status salvage_try(struct salvage *, uint64_t rowid, uint64_t log, uint64_t seq);

/* Of a log without an entry of what is gone of it nothing may be gone, or the entry was among what could not
 * be read. One that begins with redacted rows is taken for pruned, or for erased, until an operator opens it. */
MUST_CHECK enum status salvage_suppose_gone(struct salvage *);

/* How far the rows are, by the journal files and the anchor; counts what is known to be missing. */
MUST_CHECK enum status salvage_write_in_place(struct salvage *, const char **problem);

/* Whether an action is what a link of the position before leads to. */
bool salvage_chains(const struct hash *before, const struct removed *);

#endif
