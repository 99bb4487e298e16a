/*
 * salvage_cells: what a page of a b-tree holds: its cells, each a record of values
 * (sqlite.org/fileformat2.html, sections 1.6 and 2). Bounds are looked at everywhere: any page may be
 * given, rotten ones and such that are none.
 *
 * Threads: one.
 */
#ifndef STORE_SALVAGE_CELLS_H
#define STORE_SALVAGE_CELLS_H

#include "base/mem.h"
#include "store/salvage_pages.h"

#define CELL_VALUES_MAX 8

enum value_kind { VALUE_NULL, VALUE_INTEGER, VALUE_TEXT, VALUE_BLOB };

struct value {
	enum value_kind kind;
	uint64_t integer;
	struct text bytes; /* of a text or blob; until the next cell */
};

struct cells {
	const struct pages *pages;
	uint8_t page[PAGE_SIZE];
	bool is_table;	     /* by rowid; else by the record itself */
	size_t count;	     /* of cells; 0: the page has no records */
	size_t head;	     /* where the page's own begins */
	struct buffer bytes; /* a record */
};

struct cell {
	uint64_t rowid; /* in a table */
	size_t count;
	struct value values[CELL_VALUES_MAX];
};

/* Takes memory only as records come. */
void cells_init(struct cells *, const struct pages *);
void cells_release(struct cells *);

/* Reads a page. False: it cannot be read, or is none of a b-tree. Pages of a long record's end look
 * like that, and free ones. */
MUST_CHECK bool cells_load(struct cells *, uint64_t number);

/* False: there is no record there, or one with more values than any row has. */
MUST_CHECK bool cells_read(struct cells *, size_t index, struct cell *);

#endif
