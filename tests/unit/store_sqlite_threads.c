/* Readers page while the writer writes and applies: they always see a verified prefix. */
#include <pthread.h>
#include <stdatomic.h>

#include "support/runner.h"
#include "support/store_fixture.h"

#define READERS 4

struct reader {
	struct fixture *fixture;
	const struct model_log *log;
	atomic_bool *stop;
	uint64_t rows;
	const char *failure;
};

struct seen {
	uint64_t next;
	struct hash link;
	const char *failure;
};

/* Chains by itself: the test must not believe what it tests. Check's assertions are for the main
 * thread. */
static bool
chain_row(void *cookie, const struct row *row)
{
	struct seen *seen = cookie;
	struct hash digest;
	chain_digest(&row->action, &digest);
	chain_link(&seen->link, &digest, &seen->link);
	if (row->seq != seen->next || !hash_equal(&row->link, &seen->link))
		seen->failure = "a row is not the next";
	seen->next++;
	return seen->failure == NULL;
}

static const char *
read_all(struct reader *reader, uint64_t *newest)
{
	struct engine *engine = reader->fixture->engine;
	const struct model_log *log = reader->log;
	struct text name = text_of(log->name);
	struct head head;
	if (engine->ops->head(engine, name, &log->genesis, &head) != STATUS_OK)
		return "no head";
	if (head.position.seq < *newest)
		return "the head went back";
	*newest = head.position.seq;
	struct seen seen = {.next = 1, .link = log->genesis};
	struct range range = {.upto = head.position.seq, .rows_max = 37};
	struct position start, end = {0};
	while (end.seq < head.position.seq) {
		range.after = end.seq;
		if (engine->ops->read(engine, name, &log->genesis, &range, chain_row, &seen, &start,
				      &end) != STATUS_OK)
			return "a page cannot be read";
		if (seen.failure != NULL || end.seq != seen.next - 1 || end.seq == range.after)
			return "a page is not what follows";
	}
	if (head.position.seq > 0 && !hash_equal(&seen.link, &head.position.link))
		return "the rows do not chain to the head";
	reader->rows += head.position.seq;
	bool found = false;
	uint64_t at = head.position.seq;
	if (engine->ops->seek(engine, name, &log->genesis, &head.position.link, at, 10, &found,
			      &at) != STATUS_OK ||
	    !found || at != head.position.seq)
		return "the head's link is not found";
	return NULL;
}

static void *
reader_main(void *cookie)
{
	struct reader *reader = cookie;
	uint64_t newest = 0;
	while (!atomic_load(reader->stop) && reader->failure == NULL)
		reader->failure = read_all(reader, &newest);
	return NULL;
}

START_TEST(readers_see_a_verified_prefix_while_the_writer_writes_and_applies)
{
	struct fixture fixture;
	struct model_log logs[2];
	struct reader readers[READERS];
	pthread_t threads[READERS];
	atomic_bool stop = false;
	fixture_init(&fixture);
	fixture.options.slice_actions = 11;
	fixture_open(&fixture, true);
	model_init(&logs[0], "one");
	model_init(&logs[1], "two");
	/* Readers look at names and geneses only, of copies that nobody writes. */
	struct model_log names[2] = {logs[0], logs[1]};
	for (size_t i = 0; i < READERS; i++) {
		readers[i] = (struct reader){&fixture, &names[i % 2], &stop, 0, NULL};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, reader_main, &readers[i]), 0);
	}
	for (int step = 0; step < 400; step++) {
		uint64_t wait_msec;
		size_t count = 1 + fixture_random(&fixture, 6);
		ck_assert_int_eq(fixture_write(&fixture, &logs[step % 2], count, 400), STATUS_OK);
		ck_assert_int_eq(
			fixture.engine->ops->tend(fixture.engine, step % 3 == 0, &wait_msec),
			STATUS_OK);
	}
	ck_assert_int_eq(fixture.engine->ops->settle_down(fixture.engine), STATUS_OK);
	atomic_store(&stop, true);
	for (size_t i = 0; i < READERS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_msg(readers[i].failure == NULL, "%s", readers[i].failure);
		ck_assert_uint_gt(readers[i].rows, 0);
	}
	fixture_check_log(&fixture, &logs[0]);
	fixture_check_log(&fixture, &logs[1]);
	model_free(&logs[0]);
	model_free(&logs[1]);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_threads");
	TCase *tests = tcase_create("sqlite_threads");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, readers_see_a_verified_prefix_while_the_writer_writes_and_applies);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
