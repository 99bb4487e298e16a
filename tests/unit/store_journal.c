#include "store/sqlite/journal.h"
#include "support/runner.h"
#include "support/store_fixture.h"

/* A record of three actions of two devices, with an empty payload and one with NULs. */
static uint8_t *
encode(struct fixture *fixture, struct model_log *log, size_t *size)
{
	struct model_append append;
	struct head expected;
	model_init(log, "alice");
	model_add(fixture, log, "phone", 7, 3);
	expected = log->head;
	model_add(fixture, log, "phone", 8, 0);
	model_add(fixture, log, "tablet", 5, 9);
	model_add(fixture, log, "phone", 9, 40);
	memset(log->actions[2].payload, 0, 1);
	model_append_init(&append, log, 3, &expected);
	/* The payload was changed after it was chained. */
	struct hash link = expected.position.link;
	for (size_t i = 1; i <= 3; i++) {
		struct batch_action *action = &append.batch->actions[i];
		chain_digest(&action->action, &action->digest);
		chain_link(&link, &action->digest, &link);
		append.outcomes[i].link = link;
	}
	append.append.head.position.link = link;
	append.append.writer = TEXT("subject");
	*size = journal_size(&append.append);
	uint8_t *bytes = malloc(*size);
	ck_assert_ptr_nonnull(bytes);
	journal_encode(&append.append, bytes, *size);
	model_append_release(&append);
	return bytes;
}

START_TEST(a_record_comes_back_as_it_went_in)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct record record;
	size_t size;
	uint8_t *bytes = encode(&fixture, &log, &size);
	ck_assert(journal_decode(bytes, size, &record));
	ck_assert(text_equal(record.log, TEXT("alice")));
	ck_assert(text_equal(record.writer, TEXT("subject")));
	ck_assert_uint_eq(record.first_seq, 2);
	ck_assert_uint_eq(record.action_count, 3);
	ck_assert_uint_eq(record.device_count, 2);
	size_t offset = record.actions_at;
	for (size_t i = 1; i <= 3; i++) {
		struct action action, expected = model_action(&log.actions[i]);
		size_t device;
		offset = journal_action(bytes, offset, &action, &device);
		ck_assert(text_equal(record.devices[device], expected.device));
		ck_assert(text_equal(action.type, expected.type));
		ck_assert(text_equal(action.payload, expected.payload));
		ck_assert_uint_eq(action.ts, expected.ts);
	}
	ck_assert_uint_eq(offset, size - HASH_SIZE);
	free(bytes);
	model_free(&log);
}
END_TEST

START_TEST(every_flipped_bit_is_detected)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct record record;
	size_t size;
	uint8_t *bytes = encode(&fixture, &log, &size);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		ck_assert(!journal_decode(bytes, size, &record));
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	ck_assert(journal_decode(bytes, size, &record));
	free(bytes);
	model_free(&log);
}
END_TEST

START_TEST(every_shorter_or_longer_record_is_detected)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct record record;
	size_t size;
	uint8_t *bytes = encode(&fixture, &log, &size);
	for (size_t shorter = 0; shorter < size; shorter++) {
		/* Its own allocation, so that a read beyond it is seen. */
		uint8_t *copy = malloc(shorter == 0 ? 1 : shorter);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes, shorter);
		ck_assert(!journal_decode(copy, shorter, &record));
		if (journal_peek(copy, shorter, &record))
			ck_assert_uint_le(record.actions_at, shorter);
		free(copy);
	}
	uint8_t *longer = calloc(1, size + 1);
	ck_assert_ptr_nonnull(longer);
	memcpy(longer, bytes, size);
	ck_assert(!journal_decode(longer, size + 1, &record));
	free(longer);
	free(bytes);
	model_free(&log);
}
END_TEST

START_TEST(what_can_be_read_of_any_rotten_record_stays_within_it)
{
	struct fixture fixture = {.random = 1};
	struct model_log log;
	struct record record;
	size_t size;
	uint8_t *bytes = encode(&fixture, &log, &size);
	for (size_t at = 17; at < size; at++) {
		for (unsigned value = 0; value < 256; value += 5) {
			uint8_t saved = bytes[at];
			bytes[at] = (uint8_t)value;
			if (journal_peek(bytes, size, &record))
				ck_assert_uint_le(record.actions_at, size);
			bytes[at] = saved;
		}
	}
	free(bytes);
	model_free(&log);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_journal");
	TCase *tests = tcase_create("journal");
	tcase_add_test(tests, a_record_comes_back_as_it_went_in);
	tcase_add_test(tests, every_flipped_bit_is_detected);
	tcase_add_test(tests, every_shorter_or_longer_record_is_detected);
	tcase_add_test(tests, what_can_be_read_of_any_rotten_record_stays_within_it);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
