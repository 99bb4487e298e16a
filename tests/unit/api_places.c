/* How many may wait: in all, of one subject, and as limits change. */
#include "api/places.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "support/runner.h"

#define THREADS 8
#define TURNS 2000

static struct places *places;

static void
tear_down(void)
{
	places_free(places);
}

static enum places_outcome
enter(const char *subject, struct holder **holder)
{
	return places_enter(places, text_of(subject), holder);
}

START_TEST(there_are_as_many_places_as_was_said)
{
	struct holder *holder;
	places = places_new(2, 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(enter("", &holder), PLACES_GIVEN);
		ck_assert_ptr_null(holder);
	}
	ck_assert_int_eq(enter("", &holder), PLACES_TAKEN);
	ck_assert_int_eq(enter("anna", &holder), PLACES_TAKEN);
	places_leave(places, NULL);
	ck_assert_uint_eq(places_taken(places), 1);
	ck_assert_int_eq(enter("", &holder), PLACES_GIVEN);
	places_set_max(places, 3, 1);
	ck_assert_uint_eq(places_max(places), 3);
	ck_assert_int_eq(enter("", &holder), PLACES_GIVEN);
	places_set_max(places, 1, 1);
	places_leave(places, NULL);
	ck_assert_int_eq(enter("", &holder), PLACES_TAKEN);
	places_leave(places, NULL);
	places_leave(places, NULL);
	ck_assert_uint_eq(places_taken(places), 0);
}
END_TEST

START_TEST(one_subject_takes_no_more_than_its_own)
{
	struct holder *anna[3], *bob[2], *none;
	places = places_new(100, 2);
	ck_assert_int_eq(enter("anna", &anna[0]), PLACES_GIVEN);
	ck_assert_int_eq(enter("anna", &anna[1]), PLACES_GIVEN);
	ck_assert_int_eq(enter("anna", &none), PLACES_TOO_MANY);
	ck_assert_int_eq(enter("ann", &bob[0]), PLACES_GIVEN);
	ck_assert_int_eq(enter("bob", &bob[1]), PLACES_GIVEN);
	places_set_max(places, 100, 3);
	ck_assert_int_eq(enter("anna", &anna[2]), PLACES_GIVEN);
	places_set_max(places, 100, 1);
	places_leave(places, anna[0]);
	places_leave(places, anna[1]);
	ck_assert_int_eq(enter("anna", &none), PLACES_TOO_MANY);
	places_leave(places, anna[2]);
	ck_assert_int_eq(enter("anna", &anna[0]), PLACES_GIVEN);
	places_set_max(places, 100, 0);
	ck_assert_int_eq(enter("carl", &none), PLACES_TOO_MANY);
	places_leave(places, anna[0]);
	places_leave(places, bob[0]);
	places_leave(places, bob[1]);
	ck_assert_uint_eq(places_taken(places), 0);
}
END_TEST

static atomic_int inside[3]; /* of each subject */

static void *
come_and_go(void *cookie)
{
	const ptrdiff_t number = (atomic_int *)cookie - inside;
	char subject[8];
	(void)snprintf(subject, sizeof(subject), "s%u", (unsigned)number);
	for (int i = 0; i < TURNS; i++) {
		struct holder *holder;
		if (enter(subject, &holder) != PLACES_GIVEN)
			continue;
		ck_assert_int_le(atomic_fetch_add(&inside[number], 1), 1);
		atomic_fetch_sub(&inside[number], 1);
		places_leave(places, holder);
	}
	return NULL;
}

START_TEST(threads_that_come_and_go_leave_nothing_behind)
{
	pthread_t threads[THREADS];
	places = places_new(4, 2);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, &inside[i % 3]), 0);
	for (size_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(places_taken(places), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("api_places");
	TCase *tests = tcase_create("places");
	tcase_add_checked_fixture(tests, NULL, tear_down);
	tcase_add_test(tests, there_are_as_many_places_as_was_said);
	tcase_add_test(tests, one_subject_takes_no_more_than_its_own);
	tcase_add_test(tests, threads_that_come_and_go_leave_nothing_behind);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
