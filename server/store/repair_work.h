/*
 * repair_work: what the parts of the repair share: repair (open, end, the statements that change the
 * log), repair_check (the file), repair_look (what is bad), repair_fill (what is proven, and what is not),
 * repair_batches (times of receipt), repair_gone (what was removed).
 */
#ifndef STORE_REPAIR_WORK_H
#define STORE_REPAIR_WORK_H

#include "base/map.h"
#include "store/repair.h"
#include "store/repair_batches.h"
#include "store/sqlite/db.h"

/* Positions from one to another whose rows are bad. */
struct bad_range {
	uint64_t from, to;
};

/* What is known of a bad position besides its row: any number of kept records may say something, and a
 * copy. */
struct offer {
	uint64_t seq;	      /* the key */
	struct action action; /* in bytes */
	bool has_link;	      /* it is from a kept record, else from a copy */
	struct hash link;     /* which a kept record proves */
	struct offer *next;   /* another of the seq */
	UT_hash_handle hh;
	char bytes[];
};

struct repair {
	struct db *db;
	struct statement *rows, *row, *stamp, *delete, *insert, *set_link, *set_digest;
	struct repair_state state;
	struct hash genesis;
	struct text name; /* in name_room */
	char name_room[LOG_NAME_SIZE_MAX];
	uint64_t id;	      /* of the log in the file */
	struct position head; /* as its row says */
	uint64_t head_bytes;  /* likewise */
	uint64_t bytes;	      /* of its rows */
	struct bad_range *ranges;
	size_t range_count, range_capacity;
	struct offer *offers;
	struct repair_batches batches;
	bool begun;
};

/* What a step that gave no row means here: STATUS_OK: there is none. */
MUST_CHECK enum status repair_step(enum step);

/* Runs a statement that gives no rows. */
MUST_CHECK enum status repair_run(struct statement *);

/* Reads a row of a statement that gives seq, device, ts, link, type, payload. False: it has no link. */
bool repair_read(struct statement *, struct removed *);

/* Whether SQLite finds the file well-formed, and rows in the order of their keys: only then do look-ups
 * and ranges meet every row. */
MUST_CHECK enum status repair_check_file(struct db *, bool *is_whole);

/* Finds the log, its bad rows, and what kept records know of them. */
MUST_CHECK enum status repair_look(struct repair *);

/* Begins the transaction. Rows may be changed from here on: there is no index of stamps. */
MUST_CHECK enum status repair_begin(struct repair *);

/* The log's own row says what its good end is. */
MUST_CHECK enum status repair_set_head(struct repair *);

/* Up to where content must not come back. */
MUST_CHECK enum status repair_gone_find(struct repair *);

/* What is said to be gone of the log: whether it does not verify, or is beyond the good end; and makes it
 * right. What verifies is believed, whatever rows have: what is erased must not come to be open by rot. */
MUST_CHECK enum status repair_gone_look(struct repair *, bool *differs);
MUST_CHECK enum status repair_gone_mend(struct repair *);

/* Takes out what is behind the good end: rows and batches; the log, when nothing is left of it. */
MUST_CHECK enum status repair_cut(struct repair *);

/* Takes out the kept records of the log, and gives the keeper what they hold. */
MUST_CHECK enum status repair_remove_records(struct repair *, removed_keeper *, void *cookie);

#endif
