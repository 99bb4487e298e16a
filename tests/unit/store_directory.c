/* The data directory: made once, opened again, refused when it is not what it should be. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/directory.h"
#include "support/runner.h"

static char folder[] = "/tmp/edgereplay-directory.XXXXXX";
static char path[64];

static void
make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/edgereplay-directory.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/data", folder);
}

static void
remove_folder(void)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static void
touch(const char *name)
{
	char file[128];
	snprintf(file, sizeof(file), "%s/%s", path, name);
	const int fd = open(file, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ne(fd, -1);
	close(fd);
}

static bool
exists(const char *name)
{
	char file[128];
	snprintf(file, sizeof(file), "%s/%s", path, name);
	return access(file, F_OK) == 0;
}

static void
make_data_directory(unsigned shards)
{
	struct directory directory;
	const char *problem = NULL;
	ck_assert_int_eq(directory_open(&directory, path, shards, &problem), STATUS_OK);
	ck_assert(directory.is_new);
	ck_assert_int_eq(directory_commit(&directory, &problem), STATUS_OK);
	directory_close(&directory);
}

START_TEST(a_new_directory_is_opened_again_with_the_same_ids)
{
	struct directory first, again;
	const char *problem = NULL;
	ck_assert_int_eq(directory_open(&first, path, 4, &problem), STATUS_OK);
	ck_assert_int_eq(directory_commit(&first, &problem), STATUS_OK);
	directory_close(&first);
	ck_assert_int_eq(directory_open(&again, path, 4, &problem), STATUS_OK);
	ck_assert(!again.is_new);
	ck_assert_mem_eq(first.ids, again.ids, 4 * SHARD_ID_SIZE);
	ck_assert_mem_ne(again.ids[0], again.ids[1], SHARD_ID_SIZE);
	directory_close(&again);
}
END_TEST

START_TEST(a_second_opener_is_refused_until_the_first_closes)
{
	struct directory first, second;
	const char *problem = NULL;
	make_data_directory(2);
	ck_assert_int_eq(directory_open(&first, path, 2, &problem), STATUS_OK);
	ck_assert_int_eq(directory_open(&second, path, 2, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "in use"));
	ck_assert_int_eq(directory_open_existing(&second, path, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	directory_close(&first);
	ck_assert_int_eq(directory_open(&second, path, 2, &problem), STATUS_OK);
	directory_close(&second);
}
END_TEST

START_TEST(another_shard_count_is_refused_with_the_right_one)
{
	struct directory directory;
	const char *problem = NULL;
	make_data_directory(4);
	ck_assert_int_eq(directory_open(&directory, path, 8, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "--store.shards=4"));
	ck_assert_int_eq(directory_open_existing(&directory, path, &problem), STATUS_OK);
	ck_assert_uint_eq(directory.shards, 4);
	directory_close(&directory);
}
END_TEST

START_TEST(an_interrupted_making_is_made_anew)
{
	static const char *const made[] = {"shard-00.db",	 "shard-00.db-wal",
					   "shard-00.db-shm",	 "shard-00.db-journal",
					   "shard-00.journal-0", "shard-00.journal-1",
					   "shard-255.db",	 "shard-255.journal-1"};
	static const char *const others[] = {"notes.txt", "shard-00.txt", "shards", "shard-.db",
					     "shard-x.journal-0"};
	struct directory directory;
	const char *problem = NULL;
	ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_OK);
	directory_close(&directory); /* before directory_commit */
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		touch(made[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		touch(others[i]);
	ck_assert_int_eq(directory_open(&directory, path, 4, &problem), STATUS_OK);
	ck_assert(directory.is_new);
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		ck_assert_msg(!exists(made[i]), "%s", made[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert_msg(exists(others[i]), "%s", others[i]);
	directory_close(&directory);
}
END_TEST

/* Opens one shard's engine; the words of its problem, NULL when there is none. */
static const char *
start(struct directory *directory, unsigned shard)
{
	char *file = directory_shard_path(directory, shard);
	const char *problem = NULL;
	struct engine *engine;
	struct sqlite_options options = {.path = file,
					 .shard = shard,
					 .shards = directory->shards,
					 .create = directory->is_new,
					 .tail_bytes = 65536,
					 .slice_actions = 10,
					 .readers = 1};
	memcpy(options.id, directory->ids[shard], SHARD_ID_SIZE);
	const enum status status = sqlite_engine_open(&options, &engine, &problem);
	if (status == STATUS_OK)
		engine->ops->close(engine);
	free(file);
	ck_assert(status == STATUS_OK || problem != NULL);
	return status == STATUS_OK ? NULL : problem;
}

START_TEST(a_first_start_that_was_interrupted_begins_again)
{
	struct directory directory;
	const char *problem = NULL;
	for (unsigned made = 0; made <= 3; made++) {
		ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_OK);
		ck_assert(directory.is_new);
		for (unsigned shard = 0; shard < made && shard < 2; shard++)
			ck_assert_pstr_eq(start(&directory, shard), NULL);
		if (made == 3)
			ck_assert_int_eq(directory_commit(&directory, &problem), STATUS_OK);
		directory_close(&directory);
	}
	ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_OK);
	ck_assert(!directory.is_new);
	for (unsigned shard = 0; shard < 2; shard++)
		ck_assert_pstr_eq(start(&directory, shard), NULL);
	directory_close(&directory);
}
END_TEST

/* One that is in the way after all files were swept. */
START_TEST(a_journal_file_that_cannot_be_made_is_named)
{
	static const char *const names[] = {"shard-00.journal-0", "shard-00.journal-1"};
	struct directory directory;
	const char *problem = NULL;
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(directory_open(&directory, path, 1, &problem), STATUS_OK);
		touch(names[i]);
		problem = start(&directory, 0);
		ck_assert_ptr_nonnull(problem);
		ck_assert_msg(strstr(problem, names[i]) != NULL, "%s", problem);
		ck_assert_msg(strstr(problem, "File exists") != NULL, "%s", problem);
		directory_close(&directory);
	}
}
END_TEST

START_TEST(shard_files_without_a_manifest_are_refused_and_kept)
{
	struct directory directory;
	const char *problem = NULL;
	char manifest[128];
	make_data_directory(2);
	touch("shard-00.db");
	snprintf(manifest, sizeof(manifest), "%s/manifest", path);
	ck_assert_int_eq(unlink(manifest), 0);
	ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "no manifest"));
	ck_assert(exists("shard-00.db"));
}
END_TEST

START_TEST(a_manifest_with_any_byte_changed_is_refused_or_the_same)
{
	struct directory directory;
	const char *problem = NULL;
	char manifest[128], data[4096];
	make_data_directory(2);
	snprintf(manifest, sizeof(manifest), "%s/manifest", path);
	int fd = open(manifest, O_RDWR);
	ck_assert_int_ne(fd, -1);
	const ssize_t size = read(fd, data, sizeof(data));
	ck_assert_int_gt(size, 0);
	const ssize_t ids_at = strstr(data, "shard 0") - data;
	for (ssize_t i = 0; i < ids_at; i++) {
		const char changed = (char)(data[i] ^ 0x01);
		ck_assert_int_eq(pwrite(fd, &changed, 1, i), 1);
		ck_assert_int_eq(directory_open(&directory, path, 2, &problem),
				 STATUS_STORAGE_UNAVAILABLE);
		ck_assert_int_eq(pwrite(fd, data + i, 1, i), 1);
	}
	for (ssize_t kept = 0; kept < size; kept++) {
		ck_assert_int_eq(ftruncate(fd, kept), 0);
		ck_assert_int_eq(directory_open(&directory, path, 2, &problem),
				 STATUS_STORAGE_UNAVAILABLE);
		ck_assert_int_eq(pwrite(fd, data, (size_t)size, 0), size);
	}
	close(fd);
}
END_TEST

START_TEST(a_tool_makes_nothing)
{
	struct directory directory;
	const char *problem = NULL;
	ck_assert_int_eq(directory_open_existing(&directory, path, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(directory_open_existing(&directory, path, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert(!exists("lock"));
}
END_TEST

/* What a reshard makes of it: the manifest alone says where the shard files are. */
START_TEST(a_manifest_may_name_a_folder_of_the_shard_files)
{
	struct directory first, again;
	const char *problem = NULL;
	make_data_directory(2);
	ck_assert_int_eq(directory_open_existing(&first, path, &problem), STATUS_OK);
	struct directory other = {.path = first.path, .lock = -1, .shards = 8, .in_folder = true};
	memset(other.ids, 7, sizeof(other.ids));
	ck_assert_int_eq(directory_replace(&other, &problem), STATUS_OK);
	directory_close(&first);
	ck_assert_int_eq(directory_open(&again, path, 8, &problem), STATUS_OK);
	ck_assert(!again.is_new && again.in_folder);
	ck_assert_mem_eq(again.ids, other.ids, 8 * SHARD_ID_SIZE);
	char *shard = directory_shard_path(&again, 7);
	ck_assert_ptr_nonnull(strstr(shard, "/shards-8/shard-07.db"));
	free(shard);
	directory_close(&again);
	/* A folder of another count is no manifest of ours. */
	char command[256];
	snprintf(command, sizeof(command), "sed -i s/shards-8/shards-4/ '%s/manifest'", path);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(directory_open_existing(&again, path, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "not a manifest"));
}
END_TEST

START_TEST(a_folder_of_shard_files_without_a_manifest_is_a_lost_manifest)
{
	struct directory directory;
	const char *problem = NULL;
	char folder_path[128];
	make_data_directory(1);
	snprintf(folder_path, sizeof(folder_path), "%s/shards-4", path);
	ck_assert_int_eq(mkdir(folder_path, 0700), 0);
	snprintf(folder_path, sizeof(folder_path), "%s/manifest", path);
	ck_assert_int_eq(unlink(folder_path), 0);
	ck_assert_int_eq(directory_open(&directory, path, 4, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "no manifest"));
}
END_TEST

START_TEST(a_restore_is_no_directory_before_its_end_and_the_next_one_begins_anew)
{
	struct directory directory;
	const struct directory from = {.shards = 2, .ids = {{1}, {2}}};
	const char *problem = NULL;
	ck_assert_int_eq(directory_open_restore(&directory, path, &from, &problem), STATUS_OK);
	touch("shard-00.db");
	directory_close(&directory);
	ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "restore"));
	ck_assert_int_eq(directory_open_restore(&directory, path, &from, &problem), STATUS_OK);
	ck_assert(!exists("shard-00.db"));
	ck_assert_int_eq(directory_commit(&directory, &problem), STATUS_OK);
	directory_close(&directory);
	ck_assert(!exists("manifest.restore"));
	ck_assert_int_eq(directory_open_restore(&directory, path, &from, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(problem, "data directory already"));
	ck_assert_int_eq(directory_open(&directory, path, 2, &problem), STATUS_OK);
	ck_assert_mem_eq(directory.ids, from.ids, 2 * SHARD_ID_SIZE);
	directory_close(&directory);
}
END_TEST

START_TEST(a_restore_that_is_abandoned_leaves_nothing_and_one_into_data_is_refused)
{
	struct directory directory;
	const struct directory from = {.shards = 1};
	const char *problem = NULL;
	ck_assert_int_eq(directory_open_restore(&directory, path, &from, &problem), STATUS_OK);
	touch("shard-00.anchor");
	directory_abandon(&directory);
	directory_close(&directory);
	ck_assert(!exists("shard-00.anchor") && !exists("manifest.restore"));
	touch("shard-00.db");
	ck_assert_int_eq(directory_open_restore(&directory, path, &from, &problem),
			 STATUS_STORAGE_UNAVAILABLE);
	ck_assert(exists("shard-00.db"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("directory");
	TCase *cases = tcase_create("directory");
	tcase_add_checked_fixture(cases, make_folder, remove_folder);
	tcase_add_test(cases, a_new_directory_is_opened_again_with_the_same_ids);
	tcase_add_test(cases, a_second_opener_is_refused_until_the_first_closes);
	tcase_add_test(cases, another_shard_count_is_refused_with_the_right_one);
	tcase_add_test(cases, an_interrupted_making_is_made_anew);
	tcase_add_test(cases, a_first_start_that_was_interrupted_begins_again);
	tcase_add_test(cases, a_journal_file_that_cannot_be_made_is_named);
	tcase_add_test(cases, shard_files_without_a_manifest_are_refused_and_kept);
	tcase_add_test(cases, a_manifest_with_any_byte_changed_is_refused_or_the_same);
	tcase_add_test(cases, a_tool_makes_nothing);
	tcase_add_test(cases, a_manifest_may_name_a_folder_of_the_shard_files);
	tcase_add_test(cases, a_folder_of_shard_files_without_a_manifest_is_a_lost_manifest);
	tcase_add_test(cases,
		       a_restore_is_no_directory_before_its_end_and_the_next_one_begins_anew);
	tcase_add_test(cases,
		       a_restore_that_is_abandoned_leaves_nothing_and_one_into_data_is_refused);
	suite_add_tcase(suite, cases);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
