/*
 * relink: stored rows on their way to a visitor, verified several at a time.
 *
 *     relink_add, relink_add, … ─▶ relink_visit: digests, links, then the visitor for each good row
 *
 * Rows gather until relink_is_full(); what a short row's texts are is copied, since they must
 * outlive the statement's step. A long row (of more than PREIMAGE_SIZE_MAX bytes) stays where it is, and nothing can be added after it.
 *
 * Threads: its user's. It is about 10 KiB and lives in one.
 */
#ifndef STORE_SQLITE_RELINK_H
#define STORE_SQLITE_RELINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "chain/chain.h"
#include "chain/lanes.h"
#include "store/engine.h"

/* Where a page stands: begins at a verified position, ends at the last row visited. */
struct row_page {
	struct position at;
	uint64_t upto;
	uint64_t rows_left;
	bool stopped; /* the visitor had enough */
	row_visitor *visitor;
	void *cookie;
};

struct relink {
	size_t count;
	size_t copied; /* all rows but a long one at the end */
	struct row rows[LANES];
	struct text preimages[LANES];
	struct hash digests[LANES];
	struct hash links[LANES + 1]; /* the first is that before the rows */
	uint8_t bytes[LANES][PREIMAGE_SIZE_MAX];
};

void relink_init(struct relink *);

/* Whether what is gathered must be visited before more can be added, or is all the page wants. */
bool relink_is_full(const struct relink *, const struct row_page *);

/* The next row's seq. */
uint64_t relink_next_seq(const struct relink *, const struct row_page *);

/* Adds the row with that seq; its digest is not looked at. */
void relink_add(struct relink *, const struct row *);

/*
 * Visits what was added, in order, as far as it verifies, and is empty again. complete, if not
 * NULL, fills in what a row still lacks before it is visited; its fault ends the visit.
 * STATUS_LOG_DAMAGED: page->at is the last good one.
 */
typedef enum status relink_complete(void *cookie, struct row *);
MUST_CHECK enum status relink_visit(struct relink *, struct row_page *, relink_complete *complete,
				    void *cookie);

#endif
