/* Which files an engine opens, and what it says of those that it refuses. */
#include <errno.h>
#include <sys/stat.h>

#include "support/runner.h"
#include "support/store_fixture.h"

static void
make(struct fixture *fixture)
{
	struct model_log log;
	fixture_init(fixture);
	fixture_open(fixture, true);
	model_init(&log, "alice");
	ck_assert_int_eq(fixture_write(fixture, &log, 3, 20), STATUS_OK);
	ck_assert_int_eq(fixture->engine->ops->settle_down(fixture->engine), STATUS_OK);
	fixture_crash(fixture);
	model_free(&log);
}

static void
expect_refused(struct fixture *fixture, bool create, const char *words)
{
	const char *problem = "";
	const enum status status = fixture_try_open(fixture, create, &problem);
	ck_assert(status == STATUS_LOG_DAMAGED || status == STATUS_MALFORMED ||
		  status == STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_null(fixture->engine);
	ck_assert_msg(strstr(problem, words) != NULL, "%s", problem);
	ck_assert_msg(strstr(problem, fixture->path) != NULL, "%s", problem);
}

START_TEST(a_file_that_is_there_is_not_made_anew)
{
	struct fixture fixture;
	make(&fixture);
	expect_refused(&fixture, true, "is there already");
	fixture_open(&fixture, false);
	fixture_remove(&fixture);
}
END_TEST

START_TEST(a_file_that_is_missing_is_not_made_by_the_way)
{
	struct fixture fixture;
	fixture_init(&fixture);
	expect_refused(&fixture, false, "is missing");
	ck_assert_int_eq(access(fixture.path, F_OK), -1);
	fixture_remove(&fixture);
}
END_TEST

START_TEST(a_shard_of_another_store_or_place_is_refused)
{
	struct fixture fixture;
	make(&fixture);
	struct sqlite_options right = fixture.options;
	fixture.options.id[3] ^= 1;
	expect_refused(&fixture, false, "another store");
	fixture.options = right;
	fixture.options.shards = 8;
	expect_refused(&fixture, false, "store.shards=1");
	fixture.options.shards = 1;
	fixture.options.shard = 1;
	expect_refused(&fixture, false, "is shard 0, not 1");
	fixture.options = right;
	fixture_open(&fixture, false);
	fixture_remove(&fixture);
}
END_TEST

/* It is no loss, which an operator could accept. */
START_TEST(a_newer_version_is_refused_as_such)
{
	struct fixture fixture;
	const char *problem = "";
	make(&fixture);
	fixture_sql(&fixture, "PRAGMA user_version = 2");
	expect_refused(&fixture, false, "schema version 2");
	ck_assert_int_eq(fixture_try_open(&fixture, false, &problem), STATUS_MALFORMED);
	fixture_remove(&fixture);
}
END_TEST

START_TEST(a_file_of_another_application_is_refused_and_not_changed)
{
	struct fixture fixture;
	make(&fixture);
	fixture_sql(&fixture, "PRAGMA application_id = 7; PRAGMA wal_checkpoint(TRUNCATE);"
			      " PRAGMA journal_mode = DELETE");
	expect_refused(&fixture, false, "not a shard file");
	ck_assert_int_eq(fixture_wal_size(&fixture), 0);
	fixture_remove(&fixture);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_refused)
{
	struct fixture fixture;
	fixture_init(&fixture);
	FILE *file = fopen(fixture.path, "w");
	ck_assert_ptr_nonnull(file);
	for (int i = 0; i < 10000; i++)
		fputs("no database ", file);
	ck_assert_int_eq(fclose(file), 0);
	expect_refused(&fixture, false, "as a database");
	fixture_remove(&fixture);
}
END_TEST

START_TEST(a_file_that_the_system_does_not_open_is_refused_with_its_reason)
{
	struct fixture fixture;
	char wal[4096];
	make(&fixture);
	snprintf(wal, sizeof(wal), "%s-wal", fixture.path);
	ck_assert(unlink(wal) == 0 || errno == ENOENT);
	ck_assert_int_eq(mkdir(wal, 0700), 0);
	expect_refused(&fixture, false, strerror(EISDIR));
	ck_assert_int_eq(rmdir(wal), 0);
	fixture_remove(&fixture);
}
END_TEST

static char *
first_column(struct fixture *fixture, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *statement;
	ck_assert_int_eq(sqlite3_open_v2(fixture->path, &db, SQLITE_OPEN_READONLY, NULL),
			 SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	const unsigned char *text = sqlite3_column_text(statement, 0);
	char *copy = strdup(text == NULL ? "" : (const char *)text);
	sqlite3_finalize(statement);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return copy;
}

/* Between the line ```sql and the line ```. */
START_TEST(the_queries_of_the_schema_s_readme_run)
{
	struct fixture fixture;
	make(&fixture);
	fixture_sql(&fixture,
		    "INSERT INTO states SELECT id, 1, 'phone', link, '0a', '1.0', '' FROM logs;"
		    " INSERT INTO states SELECT id, 1, 'tablet', link, '0b', '1.1', '' FROM logs");
	char path[4096], line[4096], query[8192] = "";
	const char *root = getenv("EDGEREPLAY_ROOT");
	snprintf(path, sizeof(path), "%s/schema/README.md", root == NULL ? "." : root);
	FILE *readme = fopen(path, "r");
	ck_assert_ptr_nonnull(readme);
	int queries = 0;
	bool inside = false;
	while (fgets(line, sizeof(line), readme) != NULL) {
		if (strcmp(line, "```sql\n") == 0) {
			inside = true;
			query[0] = '\0';
		} else if (inside && strcmp(line, "```\n") == 0) {
			char *text = first_column(&fixture, query);
			ck_assert_msg(strstr(text, "alice") != NULL, "%s: %s", query, text);
			free(text);
			inside = false;
			queries++;
		} else if (inside) {
			size_t used = strlen(query);
			snprintf(query + used, sizeof(query) - used, "%s", line);
		}
	}
	fclose(readme);
	ck_assert_int_eq(queries, 4);
	fixture_remove(&fixture);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store_sqlite_open");
	TCase *tests = tcase_create("sqlite_open");
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, a_file_that_is_there_is_not_made_anew);
	tcase_add_test(tests, a_file_that_is_missing_is_not_made_by_the_way);
	tcase_add_test(tests, a_shard_of_another_store_or_place_is_refused);
	tcase_add_test(tests, a_newer_version_is_refused_as_such);
	tcase_add_test(tests, a_file_of_another_application_is_refused_and_not_changed);
	tcase_add_test(tests, a_file_that_is_no_database_is_refused);
	tcase_add_test(tests, a_file_that_the_system_does_not_open_is_refused_with_its_reason);
	tcase_add_test(tests, the_queries_of_the_schema_s_readme_run);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
