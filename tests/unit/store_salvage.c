/* Whatever one page of a shard file is like: no log is served shorter than it was, and only what stood
 * on the page is lost. */
#include "store/repair_work.h"
#include "store/salvage.h"
#include "store/salvage_cells.h"
#include "store/salvage_place.h"
#include "store/sqlite/anchor.h"
#include "store/sqlite/journal_file.h"
#include "support/rot_fixture.h"
#include "support/runner.h"

#include <glob.h>

/* What a page's b-tree is, and how many records it has. */
#define PAGE_HEADER_SIZE 12 /* of an inner page; a leaf has 8 */

struct page_facts {
	bool has_actions;
	size_t cells;
};

static enum status
take_removed(void *cookie, const struct removed *removed)
{
	(void)removed;
	++*(uint64_t *)cookie;
	return STATUS_OK;
}

static enum status
sync_nothing(void *cookie)
{
	(void)cookie;
	return STATUS_OK;
}

static struct repair_target
target_of(struct world *world)
{
	return (struct repair_target){
		.path = world->fixture.path, .shards = 1, .id = world->fixture.options.id};
}

/* No log of these tests has lost content. */
static void
suppose_nothing(void *supposing, struct text log, struct gone *gone)
{
	(void)supposing;
	ck_abort_msg("%.*s: erased at %ju", (int)log.size, log.data, (uintmax_t)gone->erased_at);
}

/* What the pattern finds of the shard's files; is gone afterwards. */
static size_t
remove_files(struct world *world, const char *pattern)
{
	char path[1200];
	glob_t found = {0};
	snprintf(path, sizeof(path), "%s/shard-00%s", world->fixture.dir, pattern);
	(void)glob(path, 0, NULL, &found);
	const size_t count = found.gl_pathc;
	for (size_t i = 0; i < count; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
	return count;
}

static struct salvaged
salvage(struct world *world, struct text log)
{
	uint64_t taken = 0;
	struct salvaged done;
	const char *problem = "";
	const struct salvage_order order = {.target = target_of(world),
					    .log = log,
					    .keeper = take_removed,
					    .sync = sync_nothing,
					    .suppose = suppose_nothing,
					    .cookie = &taken};
	ck_assert_msg(salvage_shard(&order, &done, &problem) == STATUS_OK, "%s", problem);
	ck_assert_uint_eq(taken, done.removed);
	ck_assert_uint_eq(remove_files(world, ".db.malformed-*[0-9]"), 1);
	ck_assert_uint_eq(remove_files(world, ".journal-[01].malformed-*[0-9]"), 2);
	ck_assert_uint_eq(remove_files(world, ".anchor.malformed-*[0-9]"), 1);
	(void)remove_files(world, ".db.malformed-*-wal");
	ck_assert_uint_eq(remove_files(world, ".db.salvaged*"), 0);
	free(done.kept);
	done.kept = NULL;
	return done;
}

static size_t
cells_of_page(const struct world *world, size_t page)
{
	const uint8_t *bytes = world->files[0] + page * world->page_size;
	return (size_t)bytes[3] << 8 | bytes[4];
}

/* Its pages are as deep as a table of many rows is. */
static struct page_facts
look_at_page(struct world *world, size_t page)
{
	char sql[200];
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM dbstat WHERE name = 'actions' AND pageno = %zu", page + 1);
	return (struct page_facts){.has_actions = fixture_number(&world->fixture, sql) > 0,
				   .cells = cells_of_page(world, page)};
}

static bool
count_row(void *cookie, const struct row *row)
{
	(void)row;
	++*(size_t *)cookie;
	return true;
}

/* Whether a log is whole; it must be that or say that it is not. */
static bool
is_whole(struct world *world, const struct model_log *log)
{
	const struct engine_ops *ops = world->fixture.engine->ops;
	const struct range range = {.upto = SEQ_MAX, .rows_max = SEQ_MAX};
	struct engine *engine = world->fixture.engine;
	struct position start, end;
	struct head head;
	size_t rows = 0;
	const enum status of_head = ops->head(engine, text_of(log->name), &log->genesis, &head);
	const enum status of_rows = ops->read(engine, text_of(log->name), &log->genesis, &range,
					      count_row, &rows, &start, &end);
	if (of_head == STATUS_OK)
		ck_assert_uint_eq(head.position.seq, log->count);
	else
		ck_assert_int_eq(of_head, STATUS_LOG_DAMAGED);
	if (of_rows == STATUS_OK)
		ck_assert_uint_eq(rows, log->count);
	else
		ck_assert_int_eq(of_rows, STATUS_LOG_DAMAGED);
	if (of_head == STATUS_OK && of_rows == STATUS_OK)
		ck_assert_uint_eq(head.bytes, log->head.bytes);
	return of_head == STATUS_OK && of_rows == STATUS_OK;
}

static size_t
count_whole(struct world *world)
{
	size_t whole = 0;
	fixture_open(&world->fixture, false);
	for (int i = 0; i < LOGS; i++)
		whole += is_whole(world, &world->logs[i]) ? 1 : 0;
	fixture_crash(&world->fixture);
	return whole;
}

START_TEST(any_page_may_be_no_page_any_more)
{
	struct world world;
	size_t pages, actions = 0;
	uint8_t zeros[8192] = {0}, ones[16];
	world_init(&world);
	memset(ones, 0xee, sizeof(ones));
	pages = world.sizes[0] / world.page_size;
	for (size_t page = 0; page < pages; page++) {
		put_file(&world, 0, world.files[0], 16);
		const struct page_facts facts = look_at_page(&world, page);
		const struct salvaged all = {.actions = (uint64_t)LOGS * ROUNDS * PER_ROUND};
		for (int kind = 0; kind < 3; kind++) {
			put_file(&world, page * world.page_size, kind == 0 ? ones : zeros,
				 kind == 2 ? world.page_size : sizeof(ones));
			const struct salvaged done = salvage(&world, TEXT(""));
			const size_t lost = facts.has_actions ? facts.cells : 0;
			ck_assert_msg(done.actions == all.actions - lost, "page %zu: %lu", page,
				      done.actions);
			ck_assert_uint_eq(done.unnamed, 0);
			ck_assert_uint_eq(done.removed, 0);
			const size_t whole = count_whole(&world);
			ck_assert_msg(lost > 0 ? whole < LOGS : whole == LOGS, "page %zu: %zu",
				      page, whole);
			if (lost == 0)
				fixture_check_clean(&world.fixture);
			actions += lost;
		}
	}
	ck_assert_uint_ge(actions, (size_t)LOGS * ROUNDS * PER_ROUND);
	printf("# %zu pages destroyed in 3 ways\n", pages);
	world_release(&world);
}
END_TEST

START_TEST(any_bit_may_flip)
{
	struct world world;
	const unsigned trials = getenv("EDGEREPLAY_SOAK") == NULL ? 300 : 30000;
	size_t whole = 0;
	world_init(&world);
	for (unsigned trial = 0; trial < trials; trial++) {
		world.fixture.random = trial + 1;
		const size_t at = fixture_random(&world.fixture, world.sizes[0]);
		const uint8_t rotten =
			world.files[0][at] ^ (uint8_t)(1u << fixture_random(&world.fixture, 8));
		put_file(&world, at, &rotten, 1);
		const struct salvaged done = salvage(&world, TEXT(""));
		const uint64_t all = (uint64_t)LOGS * ROUNDS * PER_ROUND;
		/* A bit in a page's header may cost the page, and one in the count of cells leaves nothing that
		 * could not be read; one elsewhere may cost a cell. That the log lacks them is said below. */
		const bool in_header = at % world.page_size < PAGE_HEADER_SIZE;
		const uint64_t lost =
			in_header ? cells_of_page(&world, at / world.page_size) : done.unreadable;
		ck_assert_msg(done.actions + done.removed + lost >= all, "trial %u, byte %zu",
			      trial, at);
		const size_t now = count_whole(&world);
		ck_assert_msg(now + 1 >= LOGS || done.actions + 2 < all, "trial %u, byte %zu: %zu",
			      trial, at, now);
		whole += now == LOGS ? 1 : 0;
	}
	printf("# %u bits flipped, %zu times all logs were whole again\n", trials, whole);
	world_release(&world);
}
END_TEST

/* Its row and its entry in the index of names both: nobody knows the name any more. */
START_TEST(a_log_without_a_name_is_given_away_unless_somebody_knows_it)
{
	static const char *const sources[] = {
		"SELECT rootpage FROM sqlite_schema WHERE name = 'logs'",
		"SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_logs_1'"};
	for (int known = 0; known < 2; known++) {
		struct world world;
		world_init(&world);
		for (unsigned i = 0; i < 2; i++) {
			const size_t page = fixture_number(&world.fixture, sources[i]) - 1;
			uint8_t *bytes = world.files[0] + page * world.page_size;
			char *name = memmem(bytes, world.page_size, "log-c", 5);
			ck_assert_ptr_nonnull(name);
			name[0] = '/'; /* which no name has */
		}
		put_file(&world, 0, world.files[0], world.sizes[0]);
		const struct salvaged done =
			salvage(&world, known == 1 ? TEXT("log-c") : TEXT("other"));
		ck_assert_uint_eq(done.unnamed, 1 - (unsigned)known);
		ck_assert_uint_eq(done.removed, known == 1 ? 0 : ROUNDS * PER_ROUND);
		fixture_open(&world.fixture, false);
		for (int i = 0; i < LOGS; i++) {
			if (i != 2 || known == 1)
				ck_assert(is_whole(&world, &world.logs[i]));
		}
		fixture_crash(&world.fixture);
		world_release(&world);
	}
}
END_TEST

START_TEST(pages_of_the_write_ahead_log_are_read)
{
	struct world world;
	world_init(&world);
	fixture_sql(&world.fixture, "UPDATE in_place SET commits = commits + 1; VACUUM");
	const int fd = open(world.fixture.path, O_WRONLY);
	uint8_t *zeros = calloc(1, world.sizes[0]);
	ck_assert_int_eq(pwrite(fd, zeros, world.sizes[0], 0), (ssize_t)world.sizes[0]);
	close(fd);
	free(zeros);
	const struct salvaged done = salvage(&world, TEXT(""));
	ck_assert_uint_eq(done.actions, (uint64_t)LOGS * ROUNDS * PER_ROUND);
	ck_assert_uint_eq(count_whole(&world), LOGS);
	fixture_check_clean(&world.fixture);
	world_release(&world);
}
END_TEST

/* All that the file has is in the log, which loses a bit. */
START_TEST(a_rotten_frame_of_the_write_ahead_log_takes_no_other_with_it)
{
	struct world world;
	char path[1100];
	uint8_t byte;
	world_init(&world);
	fixture_sql(&world.fixture, "UPDATE in_place SET commits = commits + 1; VACUUM");
	const off_t at = fixture_wal_size(&world.fixture) / 2;
	uint8_t *zeros = calloc(1, world.sizes[0]);
	const int file = open(world.fixture.path, O_WRONLY);
	ck_assert_int_eq(pwrite(file, zeros, world.sizes[0], 0), (ssize_t)world.sizes[0]);
	close(file);
	free(zeros);
	snprintf(path, sizeof(path), "%s-wal", world.fixture.path);
	const int wal = open(path, O_RDWR);
	ck_assert_int_eq(pread(wal, &byte, 1, at), 1);
	byte ^= 4;
	ck_assert_int_eq(pwrite(wal, &byte, 1, at), 1);
	close(wal);
	const struct salvaged done = salvage(&world, TEXT(""));
	ck_assert_uint_ge(done.actions, (uint64_t)LOGS * ROUNDS * PER_ROUND * 3 / 4);
	ck_assert_uint_ge(done.unreadable, 2); /* the page, and that the log has rotted */
	world_release(&world);
}
END_TEST

/* The next generation has been begun when the one before is on its way into the rows. */
static void
begin_next_generation(struct world *world, uint64_t ids)
{
	struct journal_file files[2];
	const char *problem = "";
	for (unsigned i = 0; i < 2; i++) {
		char *path = journal_file_path(world->fixture.path, i);
		ck_assert_int_eq(journal_file_open(&files[i], path, world->fixture.options.id, true,
						   &problem),
				 STATUS_OK);
		free(path);
	}
	const unsigned full = files[0].generation > files[1].generation ? 0 : 1;
	ck_assert_int_eq(journal_file_begin(&files[1 - full], files[full].generation + 1,
					    files[full].first_id + ids),
			 STATUS_OK);
	journal_file_close(&files[0]);
	journal_file_close(&files[1]);
}

START_TEST(what_the_journal_holds_is_replayed_whatever_the_file_says_is_in_place)
{
	static const char *const tables[] = {"in_place", "batches"};
	for (int kind = 0; kind < 2; kind++) {
		struct world world;
		const uint8_t zeros[8192] = {0};
		world_init(&world);
		fixture_open(&world.fixture, false);
		for (int i = 0; i < LOGS; i++)
			ck_assert_int_eq(write_own(&world, i, PER_ROUND), STATUS_OK);
		fixture_crash(&world.fixture);
		begin_next_generation(&world, LOGS);
		if (kind == 1)
			fixture_sql(&world.fixture, "UPDATE in_place SET generation ="
						    " generation + 1, commits = commits + 1;"
						    "PRAGMA wal_checkpoint(TRUNCATE)");
		const off_t at = (off_t)((root_of(&world, tables[kind]) - 1) * world.page_size);
		const int fd = open(world.fixture.path, O_WRONLY);
		ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), at), (ssize_t)sizeof(zeros));
		close(fd);
		const struct salvaged done = salvage(&world, TEXT(""));
		ck_assert_uint_ge(done.unreadable, 1);
		ck_assert_uint_eq(count_whole(&world), LOGS);
		world_release(&world);
	}
}
END_TEST

/* The old file may have to serve again: neither of the two may be refused for its size. */
START_TEST(the_anchor_knows_the_smaller_of_the_two_sizes)
{
	struct world world;
	struct stat of_new;
	struct anchor anchor;
	const char *problem = "";
	world_init(&world);
	fixture_sql(&world.fixture, "INSERT INTO journal VALUES (1, zeroblob(400000))");
	(void)salvage(&world, TEXT(""));
	char *path = anchor_path(world.fixture.path);
	ck_assert_int_eq(anchor_open(&anchor, path, world.fixture.options.id, false, &problem),
			 STATUS_OK);
	ck_assert_int_eq(stat(world.fixture.path, &of_new), 0);
	ck_assert_uint_gt((uint64_t)of_new.st_size, world.sizes[0]);
	ck_assert_uint_le(anchor.size, world.sizes[0]);
	anchor_close(&anchor);
	free(path);
	world_release(&world);
}
END_TEST

/* As crashes between two steps of the swap leave it. */
START_TEST(a_swap_that_was_cut_off_is_undone)
{
	struct world world;
	char kept[1200], wal[1300], live_wal[1200], copy[1200];
	struct stat of_live;
	const char *problem = "";
	world_init(&world);
	snprintf(kept, sizeof(kept), "%s.malformed-17", world.fixture.path);
	snprintf(wal, sizeof(wal), "%s-wal", kept);
	snprintf(live_wal, sizeof(live_wal), "%s-wal", world.fixture.path);
	snprintf(copy, sizeof(copy), "%s/shard-00.anchor.malformed-17", world.fixture.dir);
	for (int step = 0; step < 3; step++) {
		fixture_sql(&world.fixture, "UPDATE in_place SET commits = commits + 1");
		ck_assert_int_gt(fixture_wal_size(&world.fixture), 0);
		close(open(copy, O_WRONLY | O_CREAT, 0600));
		if (step == 0)
			ck_assert_int_eq(link(world.fixture.path, kept), 0);
		if (step > 0)
			ck_assert_int_eq(rename(world.fixture.path, kept), 0);
		if (step > 1)
			ck_assert_int_eq(rename(live_wal, wal), 0);
		ck_assert(salvage_is_cut_off(world.fixture.path) == (step > 0));
		ck_assert_int_eq(salvage_undo(world.fixture.path, &problem), STATUS_OK);
		ck_assert(!salvage_is_cut_off(world.fixture.path));
		ck_assert_int_eq(access(kept, F_OK), -1);
		ck_assert_int_eq(access(wal, F_OK), -1);
		ck_assert_int_eq(access(copy, F_OK), -1);
		ck_assert_int_gt(fixture_wal_size(&world.fixture), 0);
		ck_assert_int_eq(stat(world.fixture.path, &of_live), 0);
		ck_assert_uint_eq(of_live.st_nlink, 1);
	}
	ck_assert_int_eq(chmod(world.fixture.path, 0600), 0);
	(void)salvage(&world, TEXT(""));
	ck_assert_int_eq(stat(world.fixture.path, &of_live), 0);
	ck_assert_uint_eq(of_live.st_mode & 0777, 0600);
	ck_assert_uint_eq(count_whole(&world), LOGS);
	world_release(&world);
}
END_TEST

/* A record of one text, which goes on in a page that goes on in itself. */
START_TEST(a_record_that_goes_round_in_a_ring_is_none)
{
	struct world world;
	struct pages pages;
	struct cells cells;
	struct cell cell;
	const char *problem = "";
	uint8_t both[2 * 8192] = {0}, *page = both + 8192;
	static const uint8_t head[] = {0x0a, 0, 0, 0, 1, 0, 0, 0, 0x08, 0};
	world_init(&world);
	const size_t last = world.sizes[0] / world.page_size;
	static const uint8_t begin[] = {0x98, 0xb5, 0x04, 0x04, 0xb0, 0xea, 0x0d};
	memcpy(page, head, sizeof(head));
	memcpy(page + 0x800, begin, sizeof(begin));
	/* After what a page has of such a record. */
	page[0x800 + 3 + 1003 + 3] = both[3] = (uint8_t)(last - 1);
	put_file(&world, (last - 2) * world.page_size, both, sizeof(both));
	ck_assert_int_eq(pages_open(&pages, world.fixture.path, &problem), STATUS_OK);
	cells_init(&cells, &pages);
	ck_assert(cells_load(&cells, last));
	ck_assert(!cells_read(&cells, 0, &cell));
	cells_release(&cells);
	pages_close(&pages);
	world_release(&world);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_salvage");
	TCase *tests = tcase_create("salvage");
	tcase_set_timeout(tests, 600);
	tcase_add_test(tests, any_page_may_be_no_page_any_more);
	tcase_add_test(tests, any_bit_may_flip);
	tcase_add_test(tests, a_log_without_a_name_is_given_away_unless_somebody_knows_it);
	tcase_add_test(tests, pages_of_the_write_ahead_log_are_read);
	tcase_add_test(tests, a_rotten_frame_of_the_write_ahead_log_takes_no_other_with_it);
	tcase_add_test(tests,
		       what_the_journal_holds_is_replayed_whatever_the_file_says_is_in_place);
	tcase_add_test(tests, the_anchor_knows_the_smaller_of_the_two_sizes);
	tcase_add_test(tests, a_swap_that_was_cut_off_is_undone);
	tcase_add_test(tests, a_record_that_goes_round_in_a_ring_is_none);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
