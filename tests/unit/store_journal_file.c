/* A shard's journal file: what was appended comes back, and what was not whole does not. */
#include <unistd.h>

#include "base/log.h"
#include "store/sqlite/journal_file.h"
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

static void
open_file(struct world *world)
{
	const char *problem;
	ck_assert_int_eq(journal_file_open(&world->file, world->path, ID, true, &problem),
			 STATUS_OK);
}

static void
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

static void
world_release(struct world *world)
{
	journal_file_close(&world->file);
	for (size_t i = 0; i < world->count; i++)
		tail_batch_free(world->batches[i]);
	model_free(&world->log);
	fixture_remove(&world->fixture);
}

/* The last actions of the log as a batch, which gets the next id. */
static struct tail_batch *
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
static void
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

static void
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

static enum status
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

static struct seen
read_newer(struct world *world, uint64_t in_place, size_t skip)
{
	struct seen seen = {.world = world, .skip = skip};
	journal_file_close(&world->file);
	open_file(world);
	ck_assert_int_eq(journal_file_read(&world->file, in_place, look, &seen), STATUS_OK);
	return seen;
}

/* skip: batches of older generations, of which nothing may be seen. */
static struct seen
read_all(struct world *world, size_t skip)
{
	return read_newer(world, 0, skip);
}

START_TEST(groups_come_back_in_order)
{
	struct world world;
	world_init(&world);
	ck_assert_uint_eq(read_all(&world, 0).good, 0);
	ck_assert_uint_eq(world.file.generation, 0);
	begin(&world, 7);
	for (int i = 0; i < GROUPS; i++)
		append(&world, PER_GROUP, 50);
	struct seen seen = read_all(&world, 0);
	ck_assert_uint_eq(seen.good, RECORDS);
	ck_assert_uint_eq(seen.rotten, 0);
	ck_assert_uint_eq(world.file.generation, 7);
	ck_assert_uint_eq(read_newer(&world, 6, 0).good, RECORDS);
	ck_assert_uint_eq(read_newer(&world, 7, 0).good, 0); /* they are in place */
	ck_assert_int_eq(journal_file_empty(&world.file), STATUS_OK);
	ck_assert_uint_eq(read_all(&world, 0).good, 0);
	world_release(&world);
}
END_TEST

START_TEST(what_an_older_generation_left_is_not_read)
{
	struct world world;
	world_init(&world);
	begin(&world, 1);
	append(&world, 20, 60);
	begin(&world, 2);
	for (size_t i = 1; i < 20; i++) {
		append(&world, 1, 60);
		const uint64_t end = world.file.end;
		struct seen seen = read_all(&world, 20);
		ck_assert_uint_eq(seen.good, i);
		ck_assert_uint_eq(seen.rotten, 0);
		ck_assert_uint_eq(world.file.generation, 2);
		world.file.end = end; /* it goes on where it was */
	}
	world_release(&world);
}
END_TEST

START_TEST(a_file_cut_off_anywhere_has_what_is_whole)
{
	struct world world;
	size_t size, record_size;
	world_init(&world);
	begin(&world, 1);
	append(&world, RECORDS, 40);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	for (size_t cut = 64; cut < size; cut++) {
		size_t whole = 0;
		while (whole < RECORDS) {
			const size_t at = fixture_frame(bytes, whole, &record_size);
			if (at + FRAME_SIZE + record_size > cut)
				break;
			whole++;
		}
		fixture_set_journal(&world.fixture, 0, bytes, cut);
		struct seen seen = read_all(&world, 0);
		ck_assert_uint_eq(seen.good, whole);
		ck_assert_uint_eq(seen.rotten, 0);
	}
	free(bytes);
	world_release(&world);
}
END_TEST

/* The record whose frame has this byte, from 0. */
static size_t
record_at(const uint8_t *bytes, size_t at)
{
	size_t n = 0, record_size;
	while (n + 1 < RECORDS && fixture_frame(bytes, n + 1, &record_size) <= at)
		n++;
	return n;
}

START_TEST(a_flipped_bit_costs_one_record_and_is_told_but_in_the_newest_group_its_rest)
{
	const size_t older = RECORDS - PER_GROUP;
	struct world world;
	size_t size;
	world_init(&world);
	begin(&world, 1);
	for (int i = 0; i < GROUPS; i++)
		append(&world, PER_GROUP, 20);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	for (size_t bit = 8 * 64; bit < 8 * size; bit += 3) {
		const size_t n = record_at(bytes, bit / 8);
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		fixture_set_journal(&world.fixture, 0, bytes, size);
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		struct seen seen = read_all(&world, 0);
		/* Zeros that fill a frame up say nothing. */
		if (seen.good == RECORDS)
			continue;
		if (n < older) {
			ck_assert_uint_eq(seen.good, RECORDS - 1);
			ck_assert_int_eq(seen.how[n + 1], ROTTEN);
		} else {
			ck_assert_uint_eq(seen.good, n);
			ck_assert_uint_eq(seen.rotten, 0);
		}
	}
	free(bytes);
	world_release(&world);
}
END_TEST

START_TEST(rotten_frames_in_a_row_are_told_one_by_one)
{
	struct world world;
	size_t size, record_size;
	world_init(&world);
	begin(&world, 1);
	for (int i = 0; i < RECORDS; i++)
		append(&world, 1, 100);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	for (size_t n = 2; n <= 4; n++)
		bytes[fixture_frame(bytes, n, &record_size) + 20] ^= 1;
	fixture_set_journal(&world.fixture, 0, bytes, size);
	struct seen seen = read_all(&world, 0);
	ck_assert_uint_eq(seen.good, RECORDS - 3);
	ck_assert_uint_eq(seen.rotten, 3);
	for (uint64_t id = 3; id <= 5; id++)
		ck_assert_int_eq(seen.how[id], ROTTEN);
	free(bytes);
	world_release(&world);
}
END_TEST

/* --- power cuts: of what was written since the last sync, any part is missing --- */

#define NEWEST 5

struct torn {
	struct world world;
	uint8_t *before, *after; /* the file, before and after the newest group was written */
	size_t before_size, size;
	size_t from; /* where that begins */
};

/* An older generation has left something where two groups and then a large one are written. */
static void
torn_init(struct torn *torn)
{
	struct world *world = &torn->world;
	world_init(world);
	begin(world, 1);
	append(world, 12, 3000);
	begin(world, 2);
	append(world, PER_GROUP, 40);
	append(world, PER_GROUP, 40);
	torn->from = (size_t)world->file.end;
	torn->before = fixture_journal(&world->fixture, 0, &torn->before_size);
	append(world, NEWEST, 2500);
	torn->after = fixture_journal(&world->fixture, 0, &torn->size);
	ck_assert_uint_ge(torn->before_size, world->file.end);
	ck_assert_uint_gt(world->file.end - torn->from, 2 * 4096);
}

static void
torn_release(struct torn *torn)
{
	free(torn->before);
	free(torn->after);
	world_release(&torn->world);
}

/* What came before is whole, nothing is told to be rotten, and of the group there is a beginning:
 * everything up to the first byte that is missing. */
static void
expect_beginning(struct torn *torn, const uint8_t *bytes)
{
	struct world *world = &torn->world;
	const size_t older = 12 + 2 * PER_GROUP;
	size_t whole = 0, record_size, missing = torn->from;
	while (missing < torn->size && bytes[missing] == torn->after[missing])
		missing++;
	while (whole < NEWEST) {
		const size_t at = fixture_frame(torn->after, 2 * PER_GROUP + whole, &record_size);
		if (at + FRAME_SIZE + record_size > missing)
			break;
		whole++;
	}
	fixture_set_journal(&world->fixture, 0, bytes, torn->size);
	const struct seen seen = read_all(world, 12);
	ck_assert_uint_eq(seen.rotten, 0);
	ck_assert_uint_eq(seen.good, 2 * PER_GROUP + whole);
	for (uint64_t id = 13; id <= older + whole; id++)
		ck_assert_int_eq(seen.how[id], GOOD);
}

/* The group's unit n is as it was before, where it is one of those chosen by a bit. */
static void
tear(struct torn *torn, size_t unit, uint64_t chosen)
{
	uint8_t *bytes = malloc(torn->size);
	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, torn->after, torn->size);
	for (size_t n = 0, at = torn->from / unit * unit; at < torn->size; n++, at += unit) {
		const size_t size = torn->size - at < unit ? torn->size - at : unit;
		if ((chosen >> n % 64 & 1) != 0)
			memcpy(bytes + at, torn->before + at, size);
	}
	expect_beginning(torn, bytes);
	free(bytes);
}

START_TEST(whatever_is_missing_of_the_newest_group_costs_no_other)
{
	static const size_t units[] = {512, 4096};
	struct torn torn;
	torn_init(&torn);
	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 0; n < 64 && n < torn.size / units[i] + 1; n++) {
			tear(&torn, units[i], UINT64_C(1) << n);
			tear(&torn, units[i], ~(UINT64_C(1) << n));
		}
		for (int n = 0; n < 300; n++)
			tear(&torn, units[i], fixture_random(&torn.world.fixture, UINT64_MAX));
	}
	torn_release(&torn);
}
END_TEST

START_TEST(frames_behind_a_stale_head_are_not_read)
{
	struct world world;
	size_t size;
	world_init(&world);
	begin(&world, 1);
	append(&world, 12, 200);
	uint8_t *old = fixture_journal(&world.fixture, 0, &size);
	begin(&world, 3);
	append(&world, 4, 500);
	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	memcpy(bytes, old, 512);
	fixture_set_journal(&world.fixture, 0, bytes, size);
	const struct seen seen = read_newer(&world, 2, 0);
	ck_assert_uint_eq(seen.good + seen.rotten, 0);
	ck_assert_uint_eq(world.file.generation, 1);
	free(old);
	free(bytes);
	world_release(&world);
}
END_TEST

/* A client sends whole frames as a payload, at every offset from where one may begin: right to the
 * byte but for the key, which it cannot know. Their record is lost, so that they are looked at. */
START_TEST(frames_in_a_payload_are_not_read)
{
	struct world world;
	struct journal_file other;
	char path[1200];
	size_t size, record_size;
	const char *problem;
	world_init(&world);
	snprintf(path, sizeof(path), "%s.other", world.path);
	ck_assert_int_eq(journal_file_create(path, ID, &problem), STATUS_OK);
	ck_assert_int_eq(journal_file_open(&other, path, ID, true, &problem), STATUS_OK);
	ck_assert_int_eq(journal_file_begin(&other, 1, 1), STATUS_OK);
	begin(&world, 1);
	append(&world, 1, 50);

	/* A batch that there never was, with the id that comes next. */
	struct model_log lie = world.log;
	lie.actions = NULL;
	lie.count = 0;
	lie.head = (struct head){.position.link = lie.genesis};
	struct head before = lie.head;
	struct model_append forged;
	model_add(&world.fixture, &lie, "device", 5, 60);
	model_append_init(&forged, &lie, 1, &before);
	struct tail_batch *batch = tail_batch_encode(&forged.append);
	ck_assert_ptr_nonnull(batch);
	batch->journal_id = world.count + 1;
	ck_assert_int_eq(journal_file_append(&other, batch), STATUS_OK);

	const size_t payload_size = 8 * (batch->frame_size + 9);
	char *payload = calloc(1, payload_size);
	ck_assert_ptr_nonnull(payload);
	for (size_t shift = 0; shift < 8; shift++)
		memcpy(payload + shift * (batch->frame_size + 9), batch->frame, batch->frame_size);
	before = world.log.head;
	model_add_payload(&world.fixture, &world.log, "mallory", 7, payload, payload_size);
	ck_assert_int_eq(journal_file_append(&world.file, batch_of(&world, &before)), STATUS_OK);
	append(&world, 1, 50);

	uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
	bytes[fixture_frame(bytes, 1, &record_size) + 20] ^= 1;
	fixture_set_journal(&world.fixture, 0, bytes, size);
	const struct seen seen = read_all(&world, 0);
	ck_assert_uint_eq(seen.good, 2);
	ck_assert_uint_eq(seen.rotten, 1);
	ck_assert_int_eq(seen.how[2], ROTTEN);
	free(bytes);
	tail_batch_free(batch);
	model_append_release(&forged);
	model_free(&lie);
	journal_file_close(&other);
	ck_assert_int_eq(unlink(path), 0);
	world_release(&world);
}
END_TEST

START_TEST(another_shards_file_and_a_missing_one_are_refused)
{
	struct world world;
	struct journal_file other;
	const char *problem;
	world_init(&world);
	ck_assert_int_eq(journal_file_open(&other, world.path, (const uint8_t *)"another shard's!",
					   true, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "is not the journal"));
	ck_assert_int_eq(unlink(world.path), 0);
	ck_assert_int_eq(journal_file_open(&other, world.path, ID, true, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "No such file"));
	ck_assert_int_eq(journal_file_create(world.path, ID, &problem), STATUS_OK);
	ck_assert_int_eq(journal_file_create(world.path, ID, &problem), STATUS_STORAGE_UNAVAILABLE);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_journal_file");
	TCase *tests = tcase_create("journal_file");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, groups_come_back_in_order);
	tcase_add_test(tests, what_an_older_generation_left_is_not_read);
	tcase_add_test(tests, a_file_cut_off_anywhere_has_what_is_whole);
	tcase_add_test(tests,
		       a_flipped_bit_costs_one_record_and_is_told_but_in_the_newest_group_its_rest);
	tcase_add_test(tests, rotten_frames_in_a_row_are_told_one_by_one);
	tcase_add_test(tests, whatever_is_missing_of_the_newest_group_costs_no_other);
	tcase_add_test(tests, frames_behind_a_stale_head_are_not_read);
	tcase_add_test(tests, frames_in_a_payload_are_not_read);
	tcase_add_test(tests, another_shards_file_and_a_missing_one_are_refused);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
