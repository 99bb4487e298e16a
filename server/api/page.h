/*
 * page: actions of a log, read in bounded steps and written as elements of a JSON array; for
 * `missed` and for pages of a replay.
 *
 * Threads: an HTTP thread's stack. Each step is one read transaction.
 */
#ifndef API_PAGE_H
#define API_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "api/call.h"
#include "base/mem.h"
#include "base/status.h"

/* Rows of one read transaction. */
#define PAGE_STEP_ROWS 500

/* A page of a log; set the first part. */
struct page {
	struct buffer *out;
	uint64_t rows_max;   /* most rows; 0 for none */
	size_t bytes_max;    /* most bytes of payload, but one row always */
	bool meta;	     /* see wire_write_row */
	const uint64_t *own; /* seqs to leave out, ascending */
	size_t own_count;

	size_t text_max; /* no row begins where the array is longer, but one always */
	uint64_t rows;	 /* written */
	size_t bytes;
	size_t own_at;
	size_t begin; /* of the array in out */
	bool full;    /* a row did not fit */

	struct position start; /* of `after` */
	struct position end;   /* of the last row looked at; on damage the last good one */
};

/*
 * Appends "[…]" with rows after `after` up to `upto` (both within the head). On a fault what was
 * written so far is an array as well; after STATUS_LOG_DAMAGED its end is the last good position.
 */
MUST_CHECK enum status page_read(struct call *, uint64_t after, uint64_t upto, struct page *);

/* Most bytes that such an array takes under these limits. */
size_t page_size_max(const struct api_limits *);

#endif
