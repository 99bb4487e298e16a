/* Journal files that were cut, torn or have rotted: what was not whole does not come back, and what was acknowledged is missed. */
#include "support/journal_fixture.h"

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
/* The next generation was begun: the one before it was acknowledged to its last record. */
START_TEST(what_the_last_group_lacks_is_told_when_a_generation_follows)
{
	struct world world;
	size_t size, record_size;
	for (size_t lost = 0; lost <= PER_GROUP; lost++) {
		world_init(&world);
		begin(&world, 1);
		append(&world, 1, 50);
		append(&world, PER_GROUP, 50);
		uint8_t *bytes = fixture_journal(&world.fixture, 0, &size);
		/* All of the records from one of them on; at last all that there is. */
		const size_t from = fixture_frame(bytes, PER_GROUP - lost, &record_size);
		memset(bytes + from, 0, size - from);
		fixture_set_journal(&world.fixture, 0, bytes, size);
		free(bytes);
		struct seen seen = {.world = &world};
		struct journal_file files[2] = {
			world.file, {.fd = -1, .generation = 2, .first_id = world.count + 1}};
		ck_assert(journal_files_are_whole(files, 0));
		files[1].path = world.path;
		files[1].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		ck_assert_int_eq(journal_files_read(files, 0, look, &seen), STATUS_OK);
		ck_assert_uint_eq(seen.good, PER_GROUP - lost);
		ck_assert_uint_eq(seen.rotten, lost + 1);
		close(files[1].fd);
		world_release(&world);
	}
}
END_TEST

START_TEST(a_generation_that_is_nowhere_is_noticed)
{
	const struct {
		uint64_t in_place, first, second;
		bool whole;
	} cases[] = {{0, 0, 0, true},  {0, 1, 0, true},	   {0, 1, 2, true}, {1, 1, 2, true},
		     {2, 1, 2, true},  {5, 3, 4, true},	   {1, 3, 2, true}, {1, 3, 1, false},
		     {1, 4, 3, false}, {9, 12, 13, false}, {0, 2, 0, false}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct journal_file files[2] = {{.generation = cases[i].first},
						      {.generation = cases[i].second}};
		ck_assert_int_eq(journal_files_are_whole(files, cases[i].in_place), cases[i].whole);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_journal_read");
	TCase *tests = tcase_create("journal_read");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_file_cut_off_anywhere_has_what_is_whole);
	tcase_add_test(tests,
		       a_flipped_bit_costs_one_record_and_is_told_but_in_the_newest_group_its_rest);
	tcase_add_test(tests, rotten_frames_in_a_row_are_told_one_by_one);
	tcase_add_test(tests, whatever_is_missing_of_the_newest_group_costs_no_other);
	tcase_add_test(tests, what_the_last_group_lacks_is_told_when_a_generation_follows);
	tcase_add_test(tests, a_generation_that_is_nowhere_is_noticed);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
