/*
 * salvage_pages: the pages of a shard file as they are on the disk, without SQLite, whatever has rotted.
 *
 * A page is the newest in the write-ahead log's transactions that verifies, else the file's
 * (sqlite.org/fileformat2.html). Nothing is changed.
 *
 * Threads: one.
 */
#ifndef STORE_SALVAGE_PAGES_H
#define STORE_SALVAGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PAGE_SIZE ((size_t)8192) /* of every shard file (schema) */
#define PAGE_NUMBER_MAX ((uint64_t)UINT32_MAX - 1)

struct pages {
	int file, wal;	    /* -1: there is none */
	uint64_t count;	    /* numbers are 1 to count */
	uint64_t said;	    /* how many there are, as the first one says */
	bool is_wal_rotten; /* a frame of it, or its head */
	uint64_t *frames;   /* by number - 1: where the log has the page, or 0 */
	bool *is_free;	    /* by number - 1: the list of free pages has it; what it holds is old */
	bool *is_rest;	    /* by number - 1: a record that was read goes on there */
};

/* STATUS_STORAGE_UNAVAILABLE with *problem (base/problem). */
MUST_CHECK enum status pages_open(struct pages *, const char *path, const char **problem);
void pages_close(struct pages *);

/* False: there is no such page, or the disk does not give it. */
MUST_CHECK bool pages_read(const struct pages *, uint64_t number, uint8_t page[PAGE_SIZE]);

#endif
