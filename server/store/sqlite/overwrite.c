#include "store/sqlite/overwrite.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/big_endian.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/metrics.h"

/* The bytes of a file (sqlite.org/fileformat2.html). */
#define PAGE_SIZE ((size_t)8192)
#define FILE_HEAD_SIZE ((size_t)100) /* in the first page */
#define FIRST_TRUNK_AT 32
#define TRUNK_HEAD_SIZE ((size_t)8)
#define TRUNK_LEAVES_MAX ((PAGE_SIZE - TRUNK_HEAD_SIZE) / 4)
#define INDEX_INNER 0x02
#define TABLE_INNER 0x05
#define INDEX_LEAF 0x0a
#define TABLE_LEAF 0x0d
#define LEAF_HEAD_SIZE ((size_t)8)
#define INNER_HEAD_SIZE ((size_t)12)
#define FREEBLOCK_AT 1
#define CELL_COUNT_AT 3
#define CONTENT_AT 5
#define FREEBLOCK_HEAD_SIZE ((size_t)4)

/* Where a long row goes on there is the next page's number where others have their kind: it is none of
 * those above in a file of less than 256 GiB. */
#define PAGES_MAX ((uint64_t)INDEX_INNER << 24)

#define STRETCH_PAGES ((size_t)64)

enum page_use { PAGE_USED, PAGE_FREE, PAGE_TRUNK };

struct wiping {
	struct db *db;
	sqlite3_file *file;
	uint64_t count; /* of pages */
	uint8_t *uses;	/* by number - 1: an enum page_use */
	uint64_t overwritten, malformed;
	uint8_t pages[STRETCH_PAGES][PAGE_SIZE];
};

static enum status
failed(const struct wiping *wiping, const char *operation)
{
	counter_add(COUNTER_STORAGE_FAULTS, 1);
	log_error("store", "what is free cannot be overwritten",
		  LOG_STR("file", db_path(wiping->db)), LOG_STR("op", operation));
	return STATUS_STORAGE_UNAVAILABLE;
}

static enum status
read_pages(struct wiping *wiping, uint64_t number, size_t count)
{
	const uint64_t at = (number - 1) * PAGE_SIZE;
	const int size = (int)(count * PAGE_SIZE);
	return wiping->file->pMethods->xRead(wiping->file, wiping->pages, size,
					     (sqlite3_int64)at) == SQLITE_OK
		       ? STATUS_OK
		       : failed(wiping, "read");
}

/* --- one page --- */

/* True: there was something. */
static bool
clear(uint8_t *bytes, size_t size)
{
	bool was_there = false;
	for (size_t i = 0; i < size && !was_there; i++)
		was_there = bytes[i] != 0;
	if (was_there)
		memset(bytes, 0, size);
	return was_there;
}

static size_t
get_u16(const uint8_t *at)
{
	return (size_t)big_endian_get(at, 2);
}

/* The list of what is free among the cells, in order. False: it is none. */
static bool
clear_blocks(uint8_t *page, size_t begin, size_t content, bool *changed)
{
	size_t at = get_u16(page + begin + FREEBLOCK_AT), least = content;
	while (at != 0) {
		if (at < least || at > PAGE_SIZE - FREEBLOCK_HEAD_SIZE)
			return false;
		const size_t size = get_u16(page + at + 2);
		if (size < FREEBLOCK_HEAD_SIZE || size > PAGE_SIZE - at)
			return false;
		*changed |= clear(page + at + FREEBLOCK_HEAD_SIZE, size - FREEBLOCK_HEAD_SIZE);
		least = at + size;
		at = get_u16(page + at);
	}
	return true;
}

/* A page of a tree: between the pointers to the cells and the first of them, and what is listed. */
static bool
clear_tree_page(uint8_t *page, size_t begin, size_t head_size, bool *changed)
{
	const size_t head = begin + head_size;
	const size_t cells = get_u16(page + begin + CELL_COUNT_AT);
	const size_t content = get_u16(page + begin + CONTENT_AT);
	if (content > PAGE_SIZE || head + 2 * cells > content)
		return false;
	*changed |= clear(page + head + 2 * cells, content - head - 2 * cells);
	return clear_blocks(page, begin, content, changed);
}

static bool
clear_page(uint8_t *page, uint64_t number, enum page_use use, bool *changed)
{
	const size_t begin = number == 1 ? FILE_HEAD_SIZE : 0;
	if (use == PAGE_FREE) {
		*changed = clear(page, PAGE_SIZE);
		return true;
	}
	if (use == PAGE_TRUNK) {
		const size_t leaves = (size_t)big_endian_get(page + 4, 4);
		const size_t end = TRUNK_HEAD_SIZE + 4 * leaves;
		*changed = clear(page + end, PAGE_SIZE - end);
		return true;
	}
	switch (page[begin]) {
	case INDEX_INNER:
	case TABLE_INNER:
		return clear_tree_page(page, begin, INNER_HEAD_SIZE, changed);
	case INDEX_LEAF:
	case TABLE_LEAF:
		return clear_tree_page(page, begin, LEAF_HEAD_SIZE, changed);
	default:
		return true;
	}
}

/* --- the file --- */

/* False: the list of free pages is none. */
static bool
take_trunk(struct wiping *wiping, uint64_t trunk, uint64_t *next)
{
	const uint8_t *page = wiping->pages[0];
	const uint64_t leaves = big_endian_get(page + 4, 4);
	*next = big_endian_get(page, 4);
	if (leaves > TRUNK_LEAVES_MAX || wiping->uses[trunk - 1] != PAGE_USED)
		return false;
	wiping->uses[trunk - 1] = PAGE_TRUNK;
	for (uint64_t i = 0; i < leaves; i++) {
		const uint64_t leaf = big_endian_get(page + TRUNK_HEAD_SIZE + 4 * i, 4);
		if (leaf == 0 || leaf > wiping->count || wiping->uses[leaf - 1] != PAGE_USED)
			return false;
		wiping->uses[leaf - 1] = PAGE_FREE;
	}
	return true;
}

static enum status
find_free(struct wiping *wiping)
{
	enum status status = read_pages(wiping, 1, 1);
	uint64_t trunk = big_endian_get(wiping->pages[0] + FIRST_TRUNK_AT, 4);
	while (status == STATUS_OK && trunk != 0) {
		const uint64_t number = trunk;
		if (number > wiping->count)
			return STATUS_LOG_DAMAGED;
		status = read_pages(wiping, number, 1);
		if (status == STATUS_OK && !take_trunk(wiping, number, &trunk))
			return STATUS_LOG_DAMAGED;
	}
	return status;
}

static enum status
clear_stretch(struct wiping *wiping, uint64_t first, size_t count)
{
	enum status status = read_pages(wiping, first, count);
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		const uint64_t number = first + i;
		bool changed = false;
		if (!clear_page(wiping->pages[i], number, (enum page_use)wiping->uses[number - 1],
				&changed))
			wiping->malformed++;
		if (!changed)
			continue;
		wiping->overwritten++;
		const uint64_t at = (number - 1) * PAGE_SIZE;
		if (wiping->file->pMethods->xWrite(wiping->file, wiping->pages[i], (int)PAGE_SIZE,
						   (sqlite3_int64)at) != SQLITE_OK)
			status = failed(wiping, "write");
	}
	return status;
}

static enum status
clear_all(struct wiping *wiping)
{
	enum status status = find_free(wiping);
	for (uint64_t first = 1; first <= wiping->count && status == STATUS_OK;
	     first += STRETCH_PAGES) {
		const uint64_t left = wiping->count - first + 1;
		status = clear_stretch(wiping, first,
				       left < STRETCH_PAGES ? (size_t)left : STRETCH_PAGES);
	}
	if (status == STATUS_OK && wiping->overwritten > 0 &&
	    wiping->file->pMethods->xSync(wiping->file, SQLITE_SYNC_NORMAL) != SQLITE_OK)
		status = failed(wiping, "sync");
	if (status == STATUS_OK && wiping->malformed > 0)
		status = STATUS_LOG_DAMAGED;
	return status;
}

static enum status
open_wiping(struct wiping *wiping)
{
	sqlite3_int64 size = 0;
	if (sqlite3_file_control(db_handle(wiping->db), "main", SQLITE_FCNTL_FILE_POINTER,
				 &wiping->file) != SQLITE_OK ||
	    wiping->file->pMethods->xFileSize(wiping->file, &size) != SQLITE_OK)
		return failed(wiping, "look");
	wiping->count = (uint64_t)size / PAGE_SIZE;
	if (wiping->count == 0 || wiping->count >= PAGES_MAX)
		return failed(wiping, "count");
	wiping->uses = calloc(wiping->count, 1);
	return wiping->uses == NULL ? failed(wiping, "allocate") : STATUS_OK;
}

enum status
overwrite_free(struct db *db)
{
	struct wiping *wiping = calloc(1, sizeof(*wiping));
	if (wiping == NULL)
		return STATUS_STORAGE_UNAVAILABLE;
	wiping->db = db;
	FAIL_POINT(BEFORE_OVERWRITE);
	enum status status = open_wiping(wiping);
	if (status == STATUS_OK)
		status = clear_all(wiping);
	FAIL_POINT(AFTER_OVERWRITE);
	if (status != STATUS_STORAGE_UNAVAILABLE)
		LOG_EVENT(status == STATUS_OK ? LOG_INFO : LOG_ERROR, "store",
			  "free pages overwritten", LOG_STR("file", db_path(db)),
			  LOG_U64("pages", wiping->count),
			  LOG_U64("overwritten", wiping->overwritten),
			  LOG_U64("malformed", wiping->malformed));
	free(wiping->uses);
	free(wiping);
	return status;
}
