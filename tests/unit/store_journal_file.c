/* A shard's journal file: what was appended comes back, and nothing else. */
#include "support/journal_fixture.h"

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
			 STATUS_LOG_DAMAGED);
	ck_assert_ptr_nonnull(strstr(problem, "is not the journal"));
	ck_assert_int_eq(unlink(world.path), 0);
	ck_assert_int_eq(journal_file_open(&other, world.path, ID, true, &problem),
			 STATUS_LOG_DAMAGED);
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
	tcase_add_test(tests, frames_behind_a_stale_head_are_not_read);
	tcase_add_test(tests, frames_in_a_payload_are_not_read);
	tcase_add_test(tests, another_shards_file_and_a_missing_one_are_refused);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
