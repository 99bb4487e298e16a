/* base/tally: words are counted one by one, as many as there is room for, and the rest together. */
#include "base/tally.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>

#include "support/runner.h"

#define THREADS 4
#define ROUNDS 1000

static uint64_t
count_of(const char *word)
{
	struct tally_row rows[TALLY_WORDS_MAX + 1];
	const size_t count = tally_read(TALLY_STATES, rows);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].word, word) == 0)
			return rows[i].count;
	}
	return 0;
}

static void *
add_some(void *cookie)
{
	for (int i = 0; i < ROUNDS; i++) {
		tally_add(TALLY_STATES, TEXT("1.0"));
		tally_add(TALLY_STATES, TEXT("1.0.1"));
	}
	return cookie;
}

START_TEST(threads_add_up)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, add_some, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(count_of("1.0"), THREADS * ROUNDS);
	ck_assert_uint_eq(count_of("1.0.1"), THREADS * ROUNDS);
	ck_assert_uint_eq(count_of("1"), 0);
	struct tally_row rows[TALLY_WORDS_MAX + 1];
	ck_assert_uint_eq(tally_read(TALLY_BEHIND, rows), 0);
}
END_TEST

START_TEST(beyond_so_many_words_the_others_share_one)
{
	struct tally_row rows[TALLY_WORDS_MAX + 1];
	char word[TALLY_WORD_SIZE_MAX + 1];
	for (int i = 0; i < 2 * TALLY_WORDS_MAX; i++) {
		snprintf(word, sizeof(word), "%0*d", TALLY_WORD_SIZE_MAX, i);
		tally_add(TALLY_STATES, text_of(word));
		tally_add(TALLY_STATES, text_of(word));
	}
	ck_assert_uint_eq(tally_read(TALLY_STATES, rows), TALLY_WORDS_MAX + 1);
	snprintf(word, sizeof(word), "%0*d", TALLY_WORD_SIZE_MAX, TALLY_WORDS_MAX - 1);
	ck_assert_uint_eq(count_of(word), 2);
	ck_assert_uint_eq(count_of(TALLY_OTHERS), 2 * TALLY_WORDS_MAX);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base_tally");
	TCase *tests = tcase_create("tally");
	tcase_add_test(tests, threads_add_up);
	tcase_add_test(tests, beyond_so_many_words_the_others_share_one);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
