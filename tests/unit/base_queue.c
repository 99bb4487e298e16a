/* base/queue: bounded, in order, nothing lost between threads. */
#include "base/queue.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/runner.h"

#define PRODUCERS 4
#define ITEMS 20000 /* of each producer */

START_TEST(items_come_out_in_order_and_the_bound_holds_over_the_rings_end)
{
	struct queue *queue = queue_new(3);
	int items[100];
	void *taken[3];
	size_t next_in = 0;
	size_t next_out = 0;
	ck_assert_ptr_nonnull(queue);
	while (next_out < 90) {
		while (queue_push(queue, &items[next_in]))
			next_in++;
		ck_assert_uint_eq(queue_count(queue), 3);
		ck_assert_uint_eq(next_in - next_out, 3);
		size_t count = queue_take(queue, taken, 1 + next_out % 2, 0);
		ck_assert_uint_eq(count, 1 + (next_out % 2));
		for (size_t i = 0; i < count; i++)
			ck_assert_ptr_eq(taken[i], &items[next_out++]);
	}
	queue_free(queue);
	queue_free(NULL);
}
END_TEST

START_TEST(an_empty_queue_gives_nothing_at_once_or_after_the_time)
{
	struct queue *queue = queue_new(1);
	void *item;
	ck_assert_uint_eq(queue_take(queue, &item, 1, 0), 0);
	uint64_t started = clock_monotonic_usec();
	ck_assert_uint_eq(queue_take(queue, &item, 1, 20), 0);
	ck_assert_uint_ge(clock_monotonic_usec() - started, 20000);
	queue_free(queue);
}
END_TEST

START_TEST(a_closed_queue_takes_nothing_and_gives_what_it_had)
{
	struct queue *queue = queue_new(4);
	int items[3];
	void *taken[4];
	ck_assert(queue_push(queue, &items[0]));
	ck_assert(queue_push(queue, &items[1]));
	ck_assert(!queue_is_closed(queue));
	queue_close(queue);
	ck_assert(queue_is_closed(queue));
	ck_assert(!queue_push(queue, &items[2]));
	ck_assert_uint_eq(queue_take(queue, taken, 4, 1000000), 2);
	/* An hour would be noticed. */
	ck_assert_uint_eq(queue_take(queue, taken, 4, 3600000), 0);
	queue_free(queue);
}
END_TEST

static void *
close_queue(void *cookie)
{
	queue_close(cookie);
	return NULL;
}

START_TEST(closing_wakes_a_consumer_that_waits_for_ever)
{
	struct queue *queue = queue_new(4);
	pthread_t thread;
	void *item;
	ck_assert_int_eq(pthread_create(&thread, NULL, close_queue, queue), 0);
	ck_assert_uint_eq(queue_take(queue, &item, 1, UINT64_MAX), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	queue_free(queue);
}
END_TEST

struct item {
	unsigned producer;
	unsigned number;
};

struct producer {
	pthread_t thread;
	struct queue *queue;
	struct item *items;
};

static void *
produce(void *cookie)
{
	struct producer *producer = cookie;
	for (size_t i = 0; i < ITEMS; i++) {
		while (!queue_push(producer->queue, &producer->items[i]))
			sched_yield();
	}
	return NULL;
}

START_TEST(nothing_is_lost_doubled_or_reordered_between_threads)
{
	struct queue *queue = queue_new(7);
	struct producer producers[PRODUCERS];
	unsigned next[PRODUCERS] = {0};
	void *taken[5];
	size_t count = 0;
	for (unsigned p = 0; p < PRODUCERS; p++) {
		producers[p].queue = queue;
		producers[p].items = calloc(ITEMS, sizeof(struct item));
		ck_assert_ptr_nonnull(producers[p].items);
		for (unsigned i = 0; i < ITEMS; i++)
			producers[p].items[i] = (struct item){p, i};
		ck_assert_int_eq(pthread_create(&producers[p].thread, NULL, produce, &producers[p]),
				 0);
	}
	while (count < (size_t)PRODUCERS * ITEMS) {
		size_t size = queue_take(queue, taken, 5, 600000);
		ck_assert_uint_ge(size, 1);
		for (size_t i = 0; i < size; i++) {
			const struct item *item = taken[i];
			ck_assert_uint_eq(item->number, next[item->producer]);
			next[item->producer]++;
		}
		count += size;
	}
	ck_assert_uint_eq(queue_count(queue), 0);
	for (unsigned p = 0; p < PRODUCERS; p++) {
		ck_assert_int_eq(pthread_join(producers[p].thread, NULL), 0);
		free(producers[p].items);
	}
	queue_free(queue);
}
END_TEST

static void *
push_three(void *cookie)
{
	static int items[3];
	for (size_t i = 0; i < 3; i++) {
		(void)sched_yield();
		ck_assert(queue_push(cookie, &items[i]));
	}
	return NULL;
}

/* An hour is never over in a test: what ends each wait is what it waits for. */
START_TEST(a_consumer_lingers_until_as_many_are_there_as_it_wants_or_as_fit)
{
	const uint64_t hour_usec = UINT64_C(3600) * 1000000;
	struct queue *queue = queue_new(3);
	pthread_t producer;
	ck_assert_int_eq(pthread_create(&producer, NULL, push_three, queue), 0);
	queue_linger(queue, 3, hour_usec);
	ck_assert_uint_eq(queue_count(queue), 3);
	queue_linger(queue, 100, hour_usec);
	ck_assert_int_eq(pthread_join(producer, NULL), 0);
	void *taken[3];
	ck_assert_uint_eq(queue_take(queue, taken, 3, 0), 3);
	queue_linger(queue, 1, 1);
	ck_assert_uint_eq(queue_count(queue), 0);
	queue_close(queue);
	queue_linger(queue, 1, hour_usec);
	queue_free(queue);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue");
	TCase *tcase = tcase_create("queue");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, items_come_out_in_order_and_the_bound_holds_over_the_rings_end);
	tcase_add_test(tcase, an_empty_queue_gives_nothing_at_once_or_after_the_time);
	tcase_add_test(tcase, a_closed_queue_takes_nothing_and_gives_what_it_had);
	tcase_add_test(tcase, closing_wakes_a_consumer_that_waits_for_ever);
	tcase_add_test(tcase, nothing_is_lost_doubled_or_reordered_between_threads);
	tcase_add_test(tcase, a_consumer_lingers_until_as_many_are_there_as_it_wants_or_as_fit);
	return runner_run(runner);
}
