/*
 * wal: the bytes of SQLite's write-ahead log (sqlite.org/fileformat2.html, section 4), for who reads one
 * without SQLite: a head, then frames, each of which has the sum of all up to it.
 *
 *     head     magic ‖ version ‖ page size ‖ count ‖ salts (2) ‖ sum (2)       u32 each
 *     frame    page number ‖ commit ‖ salts (2) ‖ sum (2) ‖ the page
 *
 * Pure.
 */
#ifndef STORE_SQLITE_WAL_H
#define STORE_SQLITE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_HEAD_SIZE 32
#define WAL_PAGE_SIZE_AT 8

#define FRAME_HEAD_SIZE ((size_t)24)
#define FRAME_COMMIT_AT 4 /* not 0: the file's pages after the transaction that it ends */
#define FRAME_SUM_AT 16

struct wal_sum {
	uint32_t words[2];
	bool big_endian;
};

/* Begins the sum with the head. False: this is no head, or it has another sum. */
bool wal_sum_begin(struct wal_sum *, const uint8_t head[WAL_HEAD_SIZE]);

/* Whether a frame is of this log: what older ones left behind has other salts. */
bool wal_has_frame(const uint8_t head[WAL_HEAD_SIZE], const uint8_t *frame);

/* Adds a frame. False: it has another sum. */
bool wal_sum_add(struct wal_sum *, const uint8_t *frame, size_t page_size);

#endif
