/* Where a prune or an erasure has been, and where it was cut off. */
#include <sodium/utils.h>

#include "store/repair.h"
#include "support/runner.h"
#include "support/store_fixture.h"

#define PAYLOAD_MAX 20

static enum status
take(struct fixture *fixture, const struct model_log *log, struct removal *removal)
{
	uint64_t kept;
	removal->log = text_of(log->name);
	removal->genesis = &log->genesis;
	const enum status status =
		fixture->engine->ops->remove(fixture->engine, removal, 1, true, &kept);
	ck_assert(!removal->more);
	return status == STATUS_OK ? removal->status : status;
}

START_TEST(nothing_that_came_after_a_reopening_goes_with_what_was_begun)
{
	struct fixture fixture;
	struct model_log log;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77};
	struct removal reopen = {.kind = REMOVE_NOTHING}, begun = {.kind = REMOVE_BEGUN};
	struct unfinished unfinished = {.log = 0};
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "notes");
	fixture_write(&fixture, &log, 30, PAYLOAD_MAX);
	ck_assert_int_eq(take(&fixture, &log, &erase), STATUS_OK);
	ck_assert_int_eq(fixture.engine->ops->find_unfinished(fixture.engine, &unfinished),
			 STATUS_OK);
	ck_assert(!unfinished.found);
	ck_assert_int_eq(take(&fixture, &log, &reopen), STATUS_OK);
	/* The daemon, which found the log while it was erased. */
	log.head.bytes = reopen.head.bytes;
	fixture_write(&fixture, &log, 5, PAYLOAD_MAX);
	ck_assert_int_eq(take(&fixture, &log, &begun), STATUS_OK);
	ck_assert_uint_eq(begun.removed, 0);
	ck_assert_uint_eq(begun.head.gone.cleared, 30);
	fixture_crash(&fixture);
	ck_assert_uint_eq(fixture_number(&fixture, "SELECT count(*) FROM actions WHERE type <> ''"),
			  5);
	fixture_check_clean(&fixture);
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

/* The content of the fifth action of the only log. */
static void
put_back(struct fixture *fixture, const struct model_action *fifth)
{
	char hex[2 * PAYLOAD_MAX + 1], sql[400];
	sodium_bin2hex(hex, sizeof(hex), (const unsigned char *)fifth->payload,
		       fifth->payload_size);
	snprintf(sql, sizeof(sql),
		 "UPDATE logs SET bytes = bytes + %zu - (SELECT length(payload) FROM actions"
		 " WHERE seq = 5); UPDATE actions SET type = '%s', payload = CAST(x'%s' AS TEXT)"
		 " WHERE seq = 5",
		 strlen(fifth->type) + fifth->payload_size, fifth->type, hex);
	fixture_sql(fixture, sql);
}

START_TEST(content_where_a_removal_has_been_is_a_finding)
{
	struct fixture fixture;
	struct model_log log;
	struct audit_totals totals;
	struct removal prune = {.kind = REMOVE_BEFORE, .upto = 8, .received_before = TS_MAX};
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "notes");
	fixture_write(&fixture, &log, 9, PAYLOAD_MAX);
	ck_assert_int_eq(take(&fixture, &log, &prune), STATUS_OK);
	fixture_crash(&fixture);
	fixture_check_clean(&fixture);
	put_back(&fixture, &log.actions[4]);
	const struct findings findings = fixture_audit(&fixture, &totals);
	ck_assert_uint_eq(findings.seq, 5);
	ck_assert_ptr_nonnull(strstr(findings.what, "should be gone"));
	ck_assert_uint_eq(totals.unfinished, 0);
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

/* A rotten page that comes back with content behind an erasure that was done. */
START_TEST(repair_has_an_erasure_go_on_where_content_has_come_back)
{
	struct fixture fixture;
	struct model_log log;
	struct removal erase = {.kind = REMOVE_ALL, .now_msec = 77}, begun = {.kind = REMOVE_BEGUN};
	struct unfinished unfinished = {.log = 0};
	struct repair *repair;
	const char *problem;
	fixture_init(&fixture);
	fixture_open(&fixture, true);
	model_init(&log, "notes");
	fixture_write(&fixture, &log, 9, PAYLOAD_MAX);
	ck_assert_int_eq(take(&fixture, &log, &erase), STATUS_OK);
	fixture_crash(&fixture);
	put_back(&fixture, &log.actions[4]);
	const struct repair_target target = {
		.path = fixture.path, .shards = 1, .id = fixture.options.id};
	ck_assert_int_eq(repair_open(&target, text_of(log.name), &repair, &problem), STATUS_OK);
	ck_assert_int_eq(repair_refill(repair), STATUS_OK);
	ck_assert_int_eq(repair_end(repair, true), STATUS_OK);
	repair_close(repair);
	fixture_open(&fixture, false);
	ck_assert_int_eq(fixture.engine->ops->find_unfinished(fixture.engine, &unfinished),
			 STATUS_OK);
	ck_assert(unfinished.found && unfinished.erased);
	ck_assert_int_eq(take(&fixture, &log, &begun), STATUS_OK);
	ck_assert_uint_eq(begun.removed, 1);
	ck_assert_uint_eq(begun.head.gone.erased_at, 77);
	fixture_crash(&fixture);
	fixture_check_clean(&fixture);
	model_free(&log);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_begun");
	TCase *cases = tcase_create("begun");
	tcase_set_timeout(cases, 60);
	tcase_add_test(cases, nothing_that_came_after_a_reopening_goes_with_what_was_begun);
	tcase_add_test(cases, content_where_a_removal_has_been_is_a_finding);
	tcase_add_test(cases, repair_has_an_erasure_go_on_where_content_has_come_back);
	suite_add_tcase(suite, cases);
	return runner_run(srunner_create(suite));
}
