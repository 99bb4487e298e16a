#include "store/salvage_cells.h"

#include <string.h>

#include "base/big_endian.h"

#define FILE_HEAD_SIZE ((size_t)100) /* in page 1 */
#define INDEX_INNER 0x02
#define TABLE_INNER 0x05
#define INDEX_LEAF 0x0a
#define TABLE_LEAF 0x0d
#define CELL_COUNT_AT 3
#define LEAF_HEAD_SIZE 8
#define INNER_HEAD_SIZE 12

#define RECORD_SIZE_MAX ((size_t)256 << 20) /* what db allows */

void
cells_init(struct cells *cells, const struct pages *pages)
{
	*cells = (struct cells){.pages = pages};
	buffer_init(&cells->bytes, RECORD_SIZE_MAX + PAGE_SIZE);
}

void
cells_release(struct cells *cells)
{
	buffer_release(&cells->bytes);
}

bool
cells_load(struct cells *cells, uint64_t number)
{
	const size_t begin = number == 1 ? FILE_HEAD_SIZE : 0;
	cells->count = 0;
	if (!pages_read(cells->pages, number, cells->page))
		return false;
	const uint8_t kind = cells->page[begin];
	const bool is_leaf = kind == INDEX_LEAF || kind == TABLE_LEAF;
	if (!is_leaf && kind != INDEX_INNER && kind != TABLE_INNER)
		return false;
	cells->is_table = kind == TABLE_LEAF;
	cells->head = begin + (is_leaf ? LEAF_HEAD_SIZE : INNER_HEAD_SIZE);
	const size_t most = (PAGE_SIZE - cells->head) / 2;
	const size_t count = (size_t)big_endian_get(cells->page + begin + CELL_COUNT_AT, 2);
	cells->count = kind == TABLE_INNER ? 0 : count < most ? count : most;
	return true;
}

/* A variable-length integer. Returns where it ends; 0 when that is not before the end. */
static size_t
read_varint(const uint8_t *bytes, size_t at, size_t end, uint64_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < 8 && at < end; i++, at++) {
		*value = *value << 7 | (bytes[at] & 0x7f);
		if (bytes[at] < 0x80)
			return at + 1;
	}
	if (at >= end)
		return 0;
	*value = *value << 8 | bytes[at];
	return at + 1;
}

/* How many of a record's bytes stand in the cell. */
static size_t
local_size(bool is_table, uint64_t size)
{
	const size_t most = is_table ? PAGE_SIZE - 35 : (PAGE_SIZE - 12) * 64 / 255 - 23;
	const size_t least = (PAGE_SIZE - 12) * 32 / 255 - 23;
	if (size <= most)
		return (size_t)size;
	const size_t local = least + (size_t)((size - least) % (PAGE_SIZE - 4));
	return local <= most ? local : least;
}

/* The rest of a long record, from page to page. */
static bool
read_overflow(struct cells *cells, uint64_t number, size_t size)
{
	static _Thread_local uint8_t page[PAGE_SIZE];
	if (size / (PAGE_SIZE - 4) > cells->pages->count)
		return false; /* a ring */
	while (size > 0) {
		const size_t piece = size < PAGE_SIZE - 4 ? size : PAGE_SIZE - 4;
		if (!pages_read(cells->pages, number, page))
			return false;
		cells->pages->is_rest[number - 1] = true;
		buffer_append(&cells->bytes, page + 4, piece);
		number = big_endian_get(page, 4);
		size -= piece;
	}
	return !cells->bytes.failed;
}

/* The record's bytes into the buffer. */
static bool
gather(struct cells *cells, size_t index, uint64_t *rowid)
{
	const uint8_t *page = cells->page;
	uint64_t size;
	size_t at = (size_t)big_endian_get(page + cells->head + 2 * index, 2);
	if (at < cells->head + 2 * (index + 1))
		return false;
	if (!cells->is_table &&
	    (cells->head == INNER_HEAD_SIZE || cells->head == FILE_HEAD_SIZE + INNER_HEAD_SIZE))
		at += 4; /* the page below */
	at = read_varint(page, at, PAGE_SIZE, &size);
	if (at > 0 && cells->is_table)
		at = read_varint(page, at, PAGE_SIZE, rowid);
	if (at == 0 || size > RECORD_SIZE_MAX)
		return false;
	const size_t local = local_size(cells->is_table, size);
	const bool is_long = local < size;
	if (at + local + (is_long ? 4 : 0) > PAGE_SIZE)
		return false;
	cells->bytes.size = 0;
	cells->bytes.failed = false;
	buffer_append(&cells->bytes, page + at, local);
	return is_long ? read_overflow(cells, big_endian_get(page + at + local, 4),
				       (size_t)size - local)
		       : !cells->bytes.failed;
}

/* Reads a value of a serial type. Returns where it ends; 0: it is of no kind that a row has. */
static size_t
read_value(const struct buffer *record, uint64_t serial, size_t at, struct value *value)
{
	static const uint8_t integer_sizes[] = {0, 1, 2, 3, 4, 6, 8};
	const uint8_t *bytes = (const uint8_t *)record->data;
	if (serial == 7 || serial == 10 || serial == 11)
		return 0;
	const uint64_t size = serial >= 12 ? (serial - 12) / 2
			      : serial < 7 ? integer_sizes[serial]
					   : 0;
	if (size > record->size - at)
		return 0;
	*value = (struct value){.kind = VALUE_INTEGER};
	if (serial == 0)
		value->kind = VALUE_NULL;
	else if (serial >= 12)
		value->kind = serial % 2 == 0 ? VALUE_BLOB : VALUE_TEXT;
	else if (serial >= 8)
		value->integer = serial - 8;
	else if ((bytes[at] & 0x80) != 0)
		value->integer = (UINT64_MAX << (8 * size - 1) << 1) |
				 big_endian_get(bytes + at, (unsigned)size);
	else
		value->integer = big_endian_get(bytes + at, (unsigned)size);
	if (serial >= 12)
		value->bytes = (struct text){record->data + at, (size_t)size};
	return at + (size_t)size;
}

bool
cells_read(struct cells *cells, size_t index, struct cell *cell)
{
	uint64_t head_size, serial;
	*cell = (struct cell){0};
	if (!gather(cells, index, &cell->rowid))
		return false;
	const struct buffer *record = &cells->bytes;
	const uint8_t *bytes = (const uint8_t *)record->data;
	size_t at = read_varint(bytes, 0, record->size, &head_size);
	if (at == 0 || head_size < at || head_size > record->size)
		return false;
	size_t body = (size_t)head_size;
	while (at < head_size) {
		at = read_varint(bytes, at, (size_t)head_size, &serial);
		if (at == 0 || cell->count == CELL_VALUES_MAX)
			return false;
		body = read_value(record, serial, body, &cell->values[cell->count++]);
		if (body == 0)
			return false;
	}
	return body == record->size;
}
