/* loadtest/answer: right answers are right, and every single lie in one is found. */
#include "loadtest/answer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain/receipt.h"
#include "support/runner.h"

#define ROOM 4096
#define LINKS 10

/* A log of nine actions; links[n] is the one after n of them. */
static struct hash links[LINKS];
static char hex[LINKS][HASH_TEXT_SIZE + 1];

static struct action
action_at(size_t seq, char payload[16])
{
	int size = snprintf(payload, 16, "milk \"%zu\"", seq);
	return (struct action){.device = TEXT("phone-00"),
			       .ts = 1000 + seq,
			       .type = TEXT("t"),
			       .payload = {payload, (size_t)size}};
}

static void
setup(void)
{
	chain_genesis(TEXT("log"), &links[0]);
	for (size_t i = 0; i < LINKS; i++) {
		char payload[16];
		struct hash digest;
		struct action action = action_at(i, payload);
		chain_digest(&action, &digest);
		if (i > 0)
			chain_link(&links[i - 1], &digest, &links[i]);
		hash_to_text(&links[i], hex[i]);
	}
}

static void
put_action(char *to, size_t seq)
{
	(void)snprintf(to, 160,
		       "{\"seq\":%zu,\"device\":\"phone-00\",\"ts\":%zu,\"type\":\"t\",\"payload\":"
		       "\"milk \\\"%zu\\u0022\"}",
		       seq, 1000 + seq, seq);
}

static const char *
judge(const char *body, const struct expectation *expected)
{
	char room[ROOM];
	struct answer answer;
	size_t size = strlen(body);
	ck_assert_uint_lt(size, ROOM);
	memcpy(room, body, size);
	return answer_sync(room, size, expected, &answer);
}

/* Every place of the answer where from stands is changed to to, and must then be wrong. */
static void
assert_lie(const char *body, const char *from, const char *to, const struct expectation *expected)
{
	const char *found = strstr(body, from);
	char changed[ROOM];
	ck_assert_msg(found != NULL, "no %s in %s", from, body);
	(void)snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(found - body), body, to,
		       found + strlen(from));
	ck_assert_msg(judge(changed, expected) != NULL, "believed: %s", changed);
}

START_TEST(a_fast_forward_is_checked_in_every_member)
{
	const struct expectation expected = {.base = {7, links[7]},
					     .before = {7, links[7]},
					     .head = {9, links[9]},
					     .claimed = links[9],
					     .count = 2};
	struct expectation again = expected;
	char body[ROOM];
	(void)snprintf(body, sizeof(body),
		       "{\"seq\":9,\"stateHash\":\"%s\",\"serverTimestamp\":1,\"applied\":2,"
		       "\"duplicates\":0,\"refused\":0,\"fastForward\":true,\"new\":[{}],"
		       "\"backoffMs\":0}",
		       hex[9]);
	ck_assert_ptr_null(judge(body, &expected));
	assert_lie(body, "\"seq\":9", "\"seq\":8", &expected);
	assert_lie(body, hex[9], hex[8], &expected);
	assert_lie(body, "\"applied\":2", "\"applied\":1", &expected);
	assert_lie(body, "\"duplicates\":0", "\"duplicates\":1", &expected);
	assert_lie(body, "\"applied\":2,\"duplicates\":0", "\"applied\":0,\"duplicates\":2",
		   &expected);
	assert_lie(body, "\"refused\":0", "\"refused\":1", &expected);
	assert_lie(body, "true", "false", &expected);
	assert_lie(body, "\"applied\":2,", "", &expected);
	assert_lie(body, "\"duplicates\":0,", "", &expected);
	assert_lie(body, "\"refused\":0,", "", &expected);
	assert_lie(body, "\"new\":[{}]", "\"missed\":[]", &expected);
	assert_lie(body, "\"backoffMs\":0}", "\"backoffMs\":0", &expected);
	again.copies = COPIES_SURE;
	assert_lie(body, "\"new\"", "\"new\"", &again);
	again.copies = COPIES_UNKNOWN;
	ck_assert_ptr_null(judge(body, &again));
}
END_TEST

/* The answer to a pull at seq 7, with a receipt of some position if so given. */
static const char *
judge_receipt(bool asked, bool given, uint64_t seq, const struct hash *link)
{
	const struct expectation expected = {.base = {7, links[7]},
					     .before = {7, links[7]},
					     .head = {7, links[7]},
					     .claimed = links[7],
					     .receipt = asked};
	const uint8_t seed[NOTE_SEED_SIZE] = {1};
	struct receipt_signers signers = {.count = 1};
	const struct receipt receipt = {.log = TEXT("log"), .position = {seq, *link}, .msec = 5};
	struct buffer note, body;
	note_signer_make(TEXT("server"), seed, &signers.signers[0]);
	buffer_init(&note, RECEIPT_SIZE_MAX);
	buffer_init(&body, ROOM);
	receipt_write(&receipt, &signers, &note);
	buffer_printf(&body,
		      "{\"seq\":7,\"stateHash\":\"%s\",\"serverTimestamp\":5,\"applied\":0,"
		      "\"duplicates\":0,\"refused\":0,\"fastForward\":true,\"backoffMs\":0",
		      hex[7]);
	if (given)
		buffer_append_text(&body, TEXT(",\"receipt\":\""));
	for (size_t i = 0; given && i < note.size; i++) {
		const bool newline = note.data[i] == '\n';
		buffer_append(&body, newline ? "\\n" : note.data + i, newline ? 2 : 1);
	}
	buffer_append_text(&body, given ? TEXT("\"}") : TEXT("}"));
	buffer_append(&body, "", 1);
	ck_assert(!note.failed && !body.failed);
	const char *why = judge(body.data, &expected);
	buffer_release(&note);
	buffer_release(&body);
	return why;
}

START_TEST(a_receipt_is_there_if_asked_for_and_says_what_the_answer_says)
{
	ck_assert_ptr_null(judge_receipt(true, true, 7, &links[7]));
	ck_assert_ptr_null(judge_receipt(false, false, 7, &links[7]));
	ck_assert_ptr_nonnull(judge_receipt(true, false, 7, &links[7]));
	ck_assert_ptr_nonnull(judge_receipt(false, true, 7, &links[7]));
	ck_assert_ptr_nonnull(judge_receipt(true, true, 6, &links[7]));
	ck_assert_ptr_nonnull(judge_receipt(true, true, 7, &links[6]));
}
END_TEST

/* From base 5, where 6 and 7 were written meanwhile: the own ones became 8 and 9. */
START_TEST(a_rebase_is_checked_down_to_the_missed_actions)
{
	struct expectation expected = {.base = {5, links[5]},
				       .before = {7, links[7]},
				       .head = {9, links[9]},
				       .claimed = links[3],
				       .count = 2};
	char six[160];
	char seven[160];
	char body[ROOM];
	put_action(six, 6);
	put_action(seven, 7);
	(void)snprintf(body, sizeof(body),
		       "{\"seq\":9,\"stateHash\":\"%s\",\"serverTimestamp\":1,\"applied\":2,"
		       "\"duplicates\":0,\"refused\":0,\"fastForward\":false,\"results\":"
		       "[{\"seq\":8},{\"seq\":9}],\"missed\":[%s,%s],\"hasMore\":false}",
		       hex[9], six, seven);
	ck_assert_ptr_null(judge(body, &expected));
	assert_lie(body, "{\"seq\":8}", "{\"seq\":7}", &expected);
	assert_lie(body, "{\"seq\":8}", "{\"refused\":\"TIMESTAMP_TAKEN\"}", &expected);
	assert_lie(body, "{\"seq\":8}", "{\"seq\":8,\"duplicate\":true}", &expected);
	assert_lie(body, "{\"seq\":8},", "", &expected);
	assert_lie(body, "{\"seq\":6,", "{\"seq\":5,", &expected);
	assert_lie(body, "milk", "silk", &expected);
	assert_lie(body, "1007", "1008", &expected);
	assert_lie(body, "phone-00", "phone-01", &expected);
	assert_lie(body, "\"hasMore\":false", "\"hasMore\":true", &expected);
	assert_lie(body, "\"fastForward\":false", "\"fastForward\":true", &expected);
	assert_lie(body, seven, six, &expected);
	/* A page that ends early must say so. */
	(void)snprintf(body, sizeof(body),
		       "{\"seq\":9,\"stateHash\":\"%s\",\"applied\":0,\"duplicates\":2,"
		       "\"refused\":0,\"fastForward\":false,\"results\":[{\"seq\":8,\"duplicate\":"
		       "true},{\"seq\":9,\"duplicate\":true}],\"missed\":[%s],\"hasMore\":true}",
		       hex[9], six);
	expected.copies = COPIES_SURE;
	ck_assert_ptr_null(judge(body, &expected));
	assert_lie(body, "\"hasMore\":true", "\"hasMore\":false", &expected);
	assert_lie(body, ",\"duplicate\":true", "", &expected);
}
END_TEST

START_TEST(a_repeat_after_others_wrote_has_them_behind_its_own)
{
	struct expectation expected = {.base = {5, links[5]},
				       .before = {5, links[5]},
				       .head = {8, links[8]},
				       .claimed = links[7],
				       .count = 2,
				       .copies = COPIES_SURE};
	char eight[160];
	char body[ROOM];
	put_action(eight, 8);
	(void)snprintf(body, sizeof(body),
		       "{\"seq\":8,\"stateHash\":\"%s\",\"applied\":0,\"duplicates\":2,"
		       "\"refused\":0,\"fastForward\":false,\"results\":[{\"seq\":6,\"duplicate\":"
		       "true},{\"seq\":7,\"duplicate\":true}],\"missed\":[%s],\"hasMore\":false}",
		       hex[8], eight);
	ck_assert_ptr_null(judge(body, &expected));
	assert_lie(body, "{\"seq\":8,\"device", "{\"seq\":7,\"device", &expected);
	assert_lie(body, eight, "", &expected);
}
END_TEST

START_TEST(a_page_must_link_to_what_was_known)
{
	char six[160];
	char body[ROOM];
	char room[ROOM];
	struct position at = {5, links[5]};
	struct position other = {5, links[4]};
	uint64_t newest = 0;
	put_action(six, 6);
	(void)snprintf(body, sizeof(body),
		       "{\"after\":5,\"prevHash\":\"%s\",\"actions\":[%s],\"seq\":6,\"stateHash\":"
		       "\"%s\",\"head\":{\"seq\":9},\"hasMore\":true}",
		       hex[5], six, hex[6]);
	memcpy(room, body, sizeof(room));
	ck_assert_ptr_nonnull(answer_page(room, strlen(body), &other, &newest));
	ck_assert_uint_eq(other.seq, 5);
	memcpy(room, body, sizeof(room));
	ck_assert_ptr_null(answer_page(room, strlen(body), &at, &newest));
	ck_assert(at.seq == 6 && hash_equal(&at.link, &links[6]) && newest == 1006);
	memcpy(room, body, sizeof(room));
	ck_assert_ptr_null(answer_last(room, strlen(body), 5, &other, &newest));
	ck_assert(other.seq == 6 && hash_equal(&other.link, &links[6]));
	memcpy(room, body, sizeof(room));
	*strstr(room, "milk") = 's';
	at = (struct position){5, links[5]};
	ck_assert_ptr_nonnull(answer_page(room, strlen(body), &at, &newest));
}
END_TEST

START_TEST(a_problem_says_its_code_and_when_to_come_back)
{
	char body[] = "{\"type\":\"/problems/x\",\"status\":429,\"code\":\"BACKPRESSURE\","
		      "\"detail\":\"a \\\"b\\\" [{\",\"retryAfterMs\":1200}";
	char other[] = "<html>busy</html>";
	struct answer answer;
	ck_assert_ptr_null(answer_problem(body, strlen(body), &answer));
	ck_assert(text_equal(answer.code, TEXT("BACKPRESSURE")));
	ck_assert_uint_eq(answer.retry_after_msec, 1200);
	ck_assert_ptr_nonnull(answer_problem(other, strlen(other), &answer));
}
END_TEST

START_TEST(cut_or_garbled_answers_are_never_right)
{
	const struct expectation expected = {.base = {9, links[9]},
					     .before = {9, links[9]},
					     .head = {9, links[9]},
					     .claimed = links[9]};
	char body[ROOM];
	(void)snprintf(body, sizeof(body),
		       "{\"seq\":9,\"stateHash\":\"%s\",\"applied\":0,\"duplicates\":0,"
		       "\"refused\":0,\"fastForward\":true}",
		       hex[9]);
	size_t size = strlen(body);
	ck_assert_ptr_null(judge(body, &expected));
	for (size_t cut = 0; cut < size; cut++) {
		char less[ROOM];
		(void)snprintf(less, sizeof(less), "%.*s", (int)cut, body);
		ck_assert_ptr_nonnull(judge(less, &expected));
	}
	for (size_t at = 0; at < size; at++) {
		char kept = body[at];
		body[at] = '\1';
		ck_assert_ptr_nonnull(judge(body, &expected));
		body[at] = kept;
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loadtest_answer");
	TCase *tests = tcase_create("answer");
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, a_fast_forward_is_checked_in_every_member);
	tcase_add_test(tests, a_receipt_is_there_if_asked_for_and_says_what_the_answer_says);
	tcase_add_test(tests, a_rebase_is_checked_down_to_the_missed_actions);
	tcase_add_test(tests, a_repeat_after_others_wrote_has_them_behind_its_own);
	tcase_add_test(tests, a_page_must_link_to_what_was_known);
	tcase_add_test(tests, a_problem_says_its_code_and_when_to_come_back);
	tcase_add_test(tests, cut_or_garbled_answers_are_never_right);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
