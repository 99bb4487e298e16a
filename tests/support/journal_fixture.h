/* journal_fixture: a journal file with groups in it, and what reading says of each record. */
#ifndef SUPPORT_JOURNAL_FIXTURE_H
#define SUPPORT_JOURNAL_FIXTURE_H

#include <unistd.h>

#include "base/log.h"
#include "store/sqlite/journal_read.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define ID (const uint8_t *)"0123456789abcdef"
#define GROUPS 3
#define PER_GROUP 3
#define RECORDS (GROUPS * PER_GROUP)
#define BATCHES_MAX 64

struct world {
	struct fixture fixture; /* its folder and its randomness */
	struct model_log log;
	char path[1100];
	struct journal_file file;
	struct tail_batch *batches[BATCHES_MAX];
	size_t count;
};

UNUSED static void
open_file(struct world *world)
{
	const char *problem;
	ck_assert_int_eq(journal_file_open(&world->file, world->path, ID, true, &problem),
			 STATUS_OK);
}

UNUSED static void
world_init(struct world *world)
{
	memset(world, 0, sizeof(*world));
	log_configure(LOG_ERROR, LOG_LOGFMT);
	fixture_init(&world->fixture);
	model_init(&world->log, "alice");
	snprintf(world->path, sizeof(world->path), "%s/shard-00.journal-0", world->fixture.dir);
	const char *problem;
	ck_assert_int_eq(journal_file_create(world->path, ID, &problem), STATUS_OK);
	open_file(world);
}

UNUSED static void
world_release(struct world *world)
{
	journal_file_close(&world->file);
	for (size_t i = 0; i < world->count; i++)
		tail_batch_free(world->batches[i]);
	model_free(&world->log);
	fixture_remove(&world->fixture);
}

/* The last actions of the log as a batch, which gets the next id. */
UNUSED static struct tail_batch *
batch_of(struct world *world, const struct head *expected)
{
	struct model_append append;
	model_append_init(&append, &world->log, world->log.count - expected->position.seq,
			  expected);
	struct tail_batch *batch = tail_batch_encode(&append.append);
	ck_assert_ptr_nonnull(batch);
	model_append_release(&append);
	batch->journal_id = world->count + 1;
	ck_assert_uint_lt(world->count, BATCHES_MAX);
	world->batches[world->count++] = batch;
	return batch;
}

/* A group of so many batches of so many bytes of payload at most. */
UNUSED static void
append(struct world *world, size_t batches, size_t payload_max)
{
	struct tail_batch *first = NULL, *last = NULL;
	for (size_t i = 0; i < batches; i++) {
		const struct head expected = world->log.head;
		model_add_random(&world->fixture, &world->log, 2, payload_max);
		struct tail_batch *batch = batch_of(world, &expected);
		if (first == NULL)
			first = batch;
		else
			last->next = batch;
		last = batch;
	}
	ck_assert_int_eq(journal_file_append(&world->file, first), STATUS_OK);
}

UNUSED static void
begin(struct world *world, uint64_t generation)
{
	ck_assert_int_eq(journal_file_begin(&world->file, generation, world->count + 1), STATUS_OK);
}

enum how { UNSEEN, GOOD, ROTTEN };

struct seen {
	const struct world *world;
	size_t good;   /* as they were appended */
	size_t rotten; /* told to be, or by their own checksum */
	size_t skip;   /* batches of older generations */
	uint64_t last;
	enum how how[BATCHES_MAX + 1]; /* by id */
};

UNUSED static enum status
look(void *cookie, const struct journal_entry *entry)
{
	struct seen *seen = cookie;
	struct record record;
	ck_assert_uint_gt(entry->id, seen->last);
	ck_assert_uint_gt(entry->id, seen->skip);
	ck_assert_uint_le(entry->id, seen->world->count);
	seen->last = entry->id;
	const struct tail_batch *batch = seen->world->batches[entry->id - 1];
	if (entry->rotten || !journal_decode(entry->bytes, entry->size, &record)) {
		seen->rotten++;
		seen->how[entry->id] = ROTTEN;
		return STATUS_OK;
	}
	/* What verifies is what was appended. */
	ck_assert_uint_eq(entry->size, batch->record_size);
	ck_assert_mem_eq(entry->bytes, batch->record, entry->size);
	seen->good++;
	seen->how[entry->id] = GOOD;
	return STATUS_OK;
}

UNUSED static struct seen
read_newer(struct world *world, uint64_t in_place, size_t skip)
{
	struct seen seen = {.world = world, .skip = skip};
	journal_file_close(&world->file);
	open_file(world);
	struct journal_file files[2] = {world->file, {.fd = -1}};
	ck_assert_int_eq(journal_files_read(files, in_place, look, &seen), STATUS_OK);
	return seen;
}

/* skip: batches of older generations, of which nothing may be seen. */
UNUSED static struct seen
read_all(struct world *world, size_t skip)
{
	return read_newer(world, 0, skip);
}

#endif
