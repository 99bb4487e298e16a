/* Each kind of planted damage is found, and the first bad row named. */
#include "support/runner.h"
#include "support/store_fixture.h"

struct plant {
	const char *sql;
	const char *log;
	uint64_t seq;
	const char *words;
};

#define ALICE "(SELECT id FROM logs WHERE name = 'alice')"

static const struct plant plants[] = {
	{"UPDATE actions SET payload = 'x' || payload WHERE log = " ALICE " AND seq = 17", "alice",
	 17, "link"},
	{"UPDATE actions SET ts = ts + 500000 WHERE log = " ALICE " AND seq IN (30, 35)", "alice",
	 30, "link"},
	{"UPDATE actions SET link = zeroblob(32) WHERE log = " ALICE " AND seq = 1", "alice", 1,
	 "link"},
	{"UPDATE actions SET ts = 0 WHERE log = " ALICE " AND seq = 3", "alice", 3, "ts"},
	{"UPDATE actions SET device = 'a b' WHERE log = " ALICE " AND seq = 4", "alice", 4,
	 "device"},
	{"DELETE FROM actions WHERE log = " ALICE " AND seq = 9", "alice", 9, "missing"},
	{"DELETE FROM actions WHERE log = " ALICE " AND seq = 40", "alice", 40, "missing"},
	{"INSERT INTO actions VALUES (" ALICE ", 41, 'd', 1, zeroblob(32), 't', '')", "alice", 41,
	 "link"},
	{"UPDATE logs SET seq = 39 WHERE name = 'alice'", "alice", 40, "beyond the head"},
	{"UPDATE logs SET link = zeroblob(32) WHERE name = 'alice'", "alice", 40, "head"},
	{"UPDATE logs SET bytes = bytes + 1 WHERE name = 'alice'", "alice", 40, "bytes"},
	{"UPDATE logs SET name = 'alicf' WHERE name = 'alice'", "alicf", 1, "link"},
	{"UPDATE logs SET name = '..' WHERE name = 'alice'", "..", 0, "name"},
	{"UPDATE logs SET received_at = 1 WHERE name = 'alice'", "alice", 40, "received"},
	{"DELETE FROM batches WHERE log = " ALICE " AND seq = 6", "alice", 11, "follow"},
	{"DELETE FROM batches WHERE log = " ALICE " AND seq = 36", "alice", 36, "covers"},
	{"UPDATE batches SET received_at = 9999999 WHERE log = " ALICE " AND seq = 6", "alice", 11,
	 "received before"},
	{"DELETE FROM logs WHERE name = 'alice'", "", 0, "which is not there"},
	{"UPDATE shard SET id = zeroblob(16)", "", 0, "another store"},
	{"INSERT INTO journal VALUES (1, x'00')", "", 0, "does not verify"},
};

/* Two logs in place: bob's is made first. */
static void
make(struct fixture *fixture, struct model_log *bob, struct model_log *alice)
{
	fixture_init(fixture);
	model_init(bob, "bob");
	model_init(alice, "alice");
	fixture_open(fixture, true);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(fixture_write(fixture, bob, 5, 60), STATUS_OK);
		ck_assert_int_eq(fixture_write(fixture, alice, 5, 60), STATUS_OK);
	}
	ck_assert_int_eq(fixture->engine->ops->settle_down(fixture->engine), STATUS_OK);
}

static void
remove_all(struct fixture *fixture, struct model_log *bob, struct model_log *alice)
{
	model_free(bob);
	model_free(alice);
	fixture_remove(fixture);
}

START_TEST(planted_damage_is_found_and_the_first_bad_row_named)
{
	struct fixture fixture;
	struct model_log bob, alice;
	struct audit_totals totals;
	const struct plant *plant = &plants[_i];
	make(&fixture, &bob, &alice);
	fixture_crash(&fixture);
	fixture_sql(&fixture, plant->sql);
	struct findings findings = fixture_audit(&fixture, &totals);
	ck_assert_uint_ge(findings.count, 1);
	ck_assert_msg(strcmp(findings.log, plant->log) == 0 && findings.seq == plant->seq &&
			      strstr(findings.what, plant->words) != NULL,
		      "%s: %s %lu %s", plant->sql, findings.log, findings.seq, findings.what);
	remove_all(&fixture, &bob, &alice);
}
END_TEST

START_TEST(a_clean_file_is_counted_and_has_no_finding)
{
	struct fixture fixture;
	struct model_log bob, alice;
	struct audit_totals totals;
	make(&fixture, &bob, &alice);
	fixture_crash(&fixture);
	struct findings findings = fixture_audit(&fixture, &totals);
	ck_assert_msg(findings.count == 0, "%s", findings.what);
	ck_assert_uint_eq(totals.logs, 2);
	ck_assert_uint_eq(totals.actions, 80);
	ck_assert_uint_eq(totals.journal_records, 0);
	uint64_t bytes = 0;
	for (size_t i = 0; i < 40; i++)
		bytes += alice.actions[i].payload_size + bob.actions[i].payload_size;
	ck_assert_uint_eq(totals.bytes, bytes);
	remove_all(&fixture, &bob, &alice);
}
END_TEST

static char *
slurp(const char *path, size_t *size)
{
	FILE *file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	char *bytes = malloc(1 << 22);
	ck_assert_ptr_nonnull(bytes);
	*size = fread(bytes, 1, 1 << 22, file);
	fclose(file);
	return bytes;
}

/* Which of the two journal files has something; at most one. */
static unsigned
journal_in_use(struct fixture *fixture)
{
	size_t size;
	free(fixture_journal(fixture, 1, &size));
	return size > 64 ? 1 : 0;
}

START_TEST(a_crashed_file_is_clean_and_is_not_changed_by_the_audit)
{
	struct fixture fixture;
	struct model_log bob, alice;
	struct audit_totals totals;
	char wal[1100], index[1100];
	make(&fixture, &bob, &alice);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fixture_write(&fixture, &alice, 4, 60), STATUS_OK);
	fixture_crash(&fixture);
	snprintf(wal, sizeof(wal), "%s-wal", fixture.path);
	snprintf(index, sizeof(index), "%s-shm", fixture.path);
	ck_assert_int_eq(unlink(index), 0);
	size_t file_size, wal_size, after_size;
	char *file_bytes = slurp(fixture.path, &file_size);
	char *wal_bytes = slurp(wal, &wal_size);
	size_t journal_size, journal_after_size;
	const unsigned which = journal_in_use(&fixture);
	uint8_t *journal = fixture_journal(&fixture, which, &journal_size);
	ck_assert_uint_gt(journal_size, 64);
	for (int again = 0; again < 2; again++) {
		struct findings findings = fixture_audit(&fixture, &totals);
		ck_assert_msg(findings.count == 0, "%s", findings.what);
		ck_assert_uint_eq(totals.actions, 80);
		ck_assert_uint_eq(totals.journal_records, 3);
		ck_assert_uint_eq(totals.journal_actions, 12);
		char *after = slurp(fixture.path, &after_size);
		ck_assert(after_size == file_size && memcmp(after, file_bytes, file_size) == 0);
		free(after);
		after = slurp(wal, &after_size);
		ck_assert(after_size == wal_size && memcmp(after, wal_bytes, wal_size) == 0);
		free(after);
		uint8_t *journal_after = fixture_journal(&fixture, which, &journal_after_size);
		ck_assert(journal_after_size == journal_size &&
			  memcmp(journal_after, journal, journal_size) == 0);
		free(journal_after);
		ck_assert_int_eq(access(index, F_OK), -1);
	}
	free(file_bytes);
	free(wal_bytes);
	free(journal);
	fixture_open(&fixture, false);
	fixture_check_log(&fixture, &alice);
	remove_all(&fixture, &bob, &alice);
}
END_TEST

START_TEST(a_journal_row_that_does_not_connect_is_found)
{
	struct fixture fixture;
	struct model_log bob, alice;
	struct audit_totals totals;
	make(&fixture, &bob, &alice);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fixture_write(&fixture, &alice, 4, 60), STATUS_OK);
	fixture_crash(&fixture);
	/* The second of three is gone. */
	size_t size, record_size;
	const unsigned which = journal_in_use(&fixture);
	uint8_t *bytes = fixture_journal(&fixture, which, &size);
	const size_t second = fixture_frame(bytes, 1, &record_size);
	const size_t third = fixture_frame(bytes, 2, &record_size);
	memmove(bytes + second, bytes + third, size - third);
	fixture_set_journal(&fixture, which, bytes, size - (third - second));
	free(bytes);
	struct findings findings = fixture_audit(&fixture, &totals);
	/* It is missed itself, and what came after it does not connect. */
	ck_assert_uint_eq(findings.count, 2);
	ck_assert_ptr_nonnull(strstr(findings.what, "journal record"));
	remove_all(&fixture, &bob, &alice);
}
END_TEST

/* The rows have it, the index of stamps has not. */
START_TEST(a_row_that_is_not_in_the_index_of_stamps_is_found)
{
	struct fixture fixture;
	struct model_log bob, alice;
	struct audit_totals totals;
	make(&fixture, &bob, &alice);
	fixture_crash(&fixture);
	fixture_sql(&fixture, "PRAGMA writable_schema = 1;"
			      "CREATE TABLE kept (sql TEXT, page INTEGER);"
			      "INSERT INTO kept SELECT sql, rootpage FROM sqlite_schema"
			      " WHERE name = 'actions_stamp';"
			      "DELETE FROM sqlite_schema WHERE name = 'actions_stamp';");
	fixture_sql(&fixture, "DELETE FROM actions WHERE log = " ALICE " AND seq = 40;"
			      "UPDATE logs SET seq = 39, link = (SELECT link FROM actions"
			      " WHERE log = logs.id AND seq = 39), bytes = (SELECT"
			      " sum(length(CAST(device || type || payload AS BLOB)))"
			      " FROM actions WHERE log = logs.id) WHERE name = 'alice';"
			      "UPDATE batches SET last = 39 WHERE log = " ALICE " AND last = 40;");
	fixture_sql(
		&fixture,
		"PRAGMA writable_schema = 1;"
		"INSERT INTO sqlite_schema SELECT 'index', 'actions_stamp', 'actions', page, sql"
		" FROM kept; DROP TABLE kept");
	struct findings findings = fixture_audit(&fixture, &totals);
	ck_assert_uint_ge(findings.count, 1);
	ck_assert_str_eq(findings.log, "alice");
	ck_assert_ptr_nonnull(strstr(findings.what, "index of stamps"));
	remove_all(&fixture, &bob, &alice);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_audit");
	TCase *tests = tcase_create("audit");
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, planted_damage_is_found_and_the_first_bad_row_named, 0,
			    (int)(sizeof(plants) / sizeof(plants[0])));
	tcase_add_test(tests, a_clean_file_is_counted_and_has_no_finding);
	tcase_add_test(tests, a_crashed_file_is_clean_and_is_not_changed_by_the_audit);
	tcase_add_test(tests, a_journal_row_that_does_not_connect_is_found);
	tcase_add_test(tests, a_row_that_is_not_in_the_index_of_stamps_is_found);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
