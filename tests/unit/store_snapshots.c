/* Snapshots as files: which are kept, that nothing rotten is given, and that what is erased is gone. */
#include "support/snapshot_fixture.h"
#include "support/runner.h"

static struct snapshot_world world;

static void
setup(void)
{
	snapshot_world_open(&world, 60, 3);
}

static void
teardown(void)
{
	snapshot_world_close(&world);
}

static struct snapshots *
folder(void)
{
	return snapshot_keeper_folder(world.keeper);
}

/* The positions as text: "9 7 5 ". */
static const char *
listed(void)
{
	static char text[256];
	struct snapshot_list list;
	size_t size = 0;
	text[0] = '\0';
	ck_assert_int_eq(snapshots_list(folder(), snapshot_genesis(&world), &list), STATUS_OK);
	for (size_t i = 0; i < list.count; i++)
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%ju ",
					 (uintmax_t)list.seqs[i]);
	return text;
}

/* The log's folder, or the file there whose name ends so; the test's to free. */
static char *
path_of(const char *ending)
{
	char digits[3] = {0}, *path = NULL;
	hex_encode(snapshot_genesis(&world)->bytes, 1, digits);
	ck_assert_int_ne(asprintf(&path, "%s/snapshots/%s", world.dir, digits), -1);
	if (ending == NULL)
		return path;
	char *found = NULL;
	DIR *entries = opendir(path);
	ck_assert_ptr_nonnull(entries);
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		const size_t size = strlen(entry->d_name), end = strlen(ending);
		if (found == NULL && size >= end && strcmp(entry->d_name + size - end, ending) == 0)
			ck_assert_int_ne(asprintf(&found, "%s/%s", path, entry->d_name), -1);
	}
	closedir(entries);
	free(path);
	return found;
}

static int
version_of(uint64_t seq)
{
	struct snapshot_source source;
	if (snapshots_read(folder(), snapshot_genesis(&world), seq, &source) != STATUS_OK)
		return -1;
	const int version = snapshot_version(&source);
	snapshot_source_close(&source);
	return version;
}

START_TEST(what_was_put_is_read_and_the_newest_are_kept)
{
	ck_assert_str_eq(listed(), "");
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	ck_assert_int_eq(snapshot_put(&world, 30, 2), STATUS_OK);
	ck_assert_int_eq(snapshot_put(&world, 20, 3), STATUS_OK);
	ck_assert_str_eq(listed(), "30 20 10 ");
	ck_assert_int_eq(snapshot_put(&world, 40, 4), STATUS_OK);
	ck_assert(world.job.kept);
	ck_assert_str_eq(listed(), "40 30 20 ");
	ck_assert_int_eq(snapshot_put(&world, 5, 5), STATUS_OK);
	ck_assert(!world.job.kept);
	ck_assert_str_eq(listed(), "40 30 20 ");
	ck_assert_int_eq(snapshot_put(&world, 30, 6), STATUS_OK);
	ck_assert_int_eq(version_of(30), 6);
	ck_assert_int_eq(version_of(40), 4);
	ck_assert_int_eq(version_of(10), -1);
	snapshot_keeper_set_keep(world.keeper, 1);
	ck_assert_int_eq(snapshot_put(&world, 50, 7), STATUS_OK);
	ck_assert_str_eq(listed(), "50 ");
}
END_TEST

START_TEST(what_the_log_does_not_have_is_not_stored)
{
	ck_assert_int_eq(snapshot_put(&world, 61, 1), STATUS_SERVER_BEHIND);
	ck_assert_uint_eq(world.job.head.position.seq, 60);
	ck_assert_int_eq(snapshot_put_as(&world, 60, 59, 1), STATUS_HASH_MISMATCH);
	ck_assert_int_eq(snapshot_put_as(&world, 7, 8, 1), STATUS_HASH_MISMATCH);
	ck_assert_str_eq(listed(), "");
	ck_assert_ptr_null(path_of(".new"));
}
END_TEST

START_TEST(logs_whose_files_share_a_folder_are_kept_apart)
{
	struct hash other = *snapshot_genesis(&world);
	struct snapshot_list list;
	struct snapshot_source source;
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	other.bytes[1] ^= 1;
	ck_assert_int_eq(snapshots_list(folder(), &other, &list), STATUS_OK);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_int_eq(snapshots_erase(folder(), &other, 0, SEQ_MAX), STATUS_OK);
	ck_assert_str_eq(listed(), "10 ");
	/* Of the digits that no name has: only the file says whose it is. */
	other = *snapshot_genesis(&world);
	other.bytes[31] ^= 1;
	ck_assert_int_eq(snapshots_read(folder(), &other, 10, &source), STATUS_NO_SNAPSHOT);
}
END_TEST

/* --- rot --- */

static void
flip(const char *path, off_t at)
{
	char byte;
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert(fd != -1 && pread(fd, &byte, 1, at) == 1);
	byte = (char)(byte ^ 1 << at % 8);
	ck_assert(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
}

START_TEST(a_bit_that_flips_anywhere_is_seen)
{
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	char *path = path_of("10");
	unsigned seen = 0;
	for (off_t at = 0; at < SNAPSHOT_HEAD_SIZE + SNAPSHOT_SIZE; at += at < 1100 ? 1 : 97) {
		flip(path, at);
		ck_assert_msg(snapshots_verify(folder(), snapshot_genesis(&world), 10) ==
				      STATUS_NO_SNAPSHOT,
			      "byte %jd", (intmax_t)at);
		ck_assert_str_eq(listed(), "");
		char *aside = path_of(".rotten");
		ck_assert_ptr_nonnull(aside);
		ck_assert_int_eq(rename(aside, path), 0);
		free(aside);
		flip(path, at);
		seen++;
	}
	ck_assert_int_eq(snapshots_verify(folder(), snapshot_genesis(&world), 10), STATUS_OK);
	printf("# %u flipped bits, each of them seen\n", seen);
	for (off_t size = SNAPSHOT_HEAD_SIZE + SNAPSHOT_SIZE - 1; size >= 0; size -= 501) {
		ck_assert_int_eq(truncate(path, size), 0);
		ck_assert_int_eq(snapshots_verify(folder(), snapshot_genesis(&world), 10),
				 STATUS_NO_SNAPSHOT);
		char *aside = path_of(".rotten");
		ck_assert_int_eq(rename(aside, path), 0);
		free(aside);
	}
	free(path);
}
END_TEST

/* It was verified, is being sent, and rots. */
START_TEST(the_last_piece_of_what_rots_while_it_is_read_is_not_given)
{
	static char piece[SNAPSHOT_SIZE];
	struct snapshot_source source;
	bool verified = false;
	size_t got = 0, sum = 0;
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	ck_assert_int_eq(snapshots_read(folder(), snapshot_genesis(&world), 10, &source),
			 STATUS_OK);
	ck_assert_int_eq(snapshot_source_verify(&source, 4000, &verified), STATUS_OK);
	ck_assert(!verified);
	ck_assert_int_eq(snapshot_source_verify(&source, SNAPSHOT_SIZE, &verified), STATUS_OK);
	ck_assert(verified);
	char *path = path_of("10");
	flip(path, SNAPSHOT_HEAD_SIZE + 100);
	free(path);
	while (snapshot_source_read(&source, piece, 1000, &got) == STATUS_OK)
		sum += got;
	ck_assert_uint_eq(sum, SNAPSHOT_SIZE - 1000);
	snapshot_source_close(&source);
}
END_TEST

START_TEST(what_was_set_aside_goes_with_the_next_one)
{
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	snapshots_set_aside(folder(), snapshot_genesis(&world), 10);
	char *aside = path_of(".rotten");
	ck_assert_ptr_nonnull(aside);
	free(aside);
	ck_assert_int_eq(snapshot_put(&world, 20, 1), STATUS_OK);
	ck_assert_ptr_null(path_of(".rotten"));
	ck_assert_str_eq(listed(), "20 ");
}
END_TEST

/* --- erasing --- */

START_TEST(what_is_erased_is_overwritten_whatever_it_was)
{
	static char content[SNAPSHOT_HEAD_SIZE + SNAPSHOT_SIZE];
	struct snapshot_draft draft = {.facts = {.genesis = *snapshot_genesis(&world)}};
	int fds[3];
	const char *const endings[] = {"10", ".rotten", ".new"};
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	ck_assert_int_eq(snapshot_put(&world, 20, 1), STATUS_OK);
	snapshots_set_aside(folder(), snapshot_genesis(&world), 20);
	ck_assert_int_eq(snapshots_begin(folder(), &draft), STATUS_OK);
	ck_assert_int_eq(snapshot_draft_append(&draft, "under way", 9), STATUS_OK);
	for (size_t i = 0; i < 3; i++) {
		char *path = path_of(endings[i]);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		ck_assert_int_ne(fds[i], -1);
		free(path);
	}
	ck_assert_int_eq(snapshots_erase(folder(), snapshot_genesis(&world), 0, SEQ_MAX),
			 STATUS_OK);
	ck_assert_str_eq(listed(), "");
	for (size_t i = 0; i < 3; i++) {
		const ssize_t size = pread(fds[i], content, sizeof(content), 0);
		ck_assert_int_gt(size, 0);
		for (ssize_t n = 0; n < size; n++)
			ck_assert_int_eq(content[n], 0);
		close(fds[i]);
		ck_assert_ptr_null(path_of(endings[i]));
	}
	snapshot_draft_discard(&draft, false);
}
END_TEST

/* Whoever sends one while its log is erased goes on to send. */
START_TEST(what_came_after_the_erasing_is_overwritten_too)
{
	char content[SNAPSHOT_HEAD_SIZE + 64];
	struct snapshot_draft draft = {.facts = {.genesis = *snapshot_genesis(&world)}};
	ck_assert_int_eq(snapshots_begin(folder(), &draft), STATUS_OK);
	ck_assert_int_eq(snapshot_draft_append(&draft, "before", 6), STATUS_OK);
	const int fd = open(draft.path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(snapshots_erase(folder(), snapshot_genesis(&world), 0, SEQ_MAX),
			 STATUS_OK);
	ck_assert_int_eq(snapshot_draft_append(&draft, "after", 5), STATUS_OK);
	snapshot_draft_discard(&draft, false);
	const ssize_t size = pread(fd, content, sizeof(content), 0);
	ck_assert_int_eq(size, SNAPSHOT_HEAD_SIZE + 11);
	for (ssize_t n = 0; n < size; n++)
		ck_assert_int_eq(content[n], 0);
	close(fd);
}
END_TEST

static enum status
has_it(void *cookie)
{
	(void)cookie;
	return STATUS_OK;
}

/* It was made before, and may have what goes. */
START_TEST(what_is_received_while_an_action_is_redacted_is_not_kept)
{
	const struct snapshot_facts facts = {.genesis = *snapshot_genesis(&world),
					     .position = {.seq = 30}};
	struct snapshot_draft draft = {.facts = facts};
	ck_assert_int_eq(snapshots_begin(folder(), &draft), STATUS_OK);
	ck_assert_int_eq(snapshot_draft_append(&draft, "state", 5), STATUS_OK);
	ck_assert_int_eq(snapshots_erase(folder(), snapshot_genesis(&world), 1, 9), STATUS_OK);
	ck_assert_int_eq(access(draft.path, F_OK), 0);
	ck_assert_int_eq(snapshots_erase(folder(), snapshot_genesis(&world), 7, SEQ_MAX),
			 STATUS_OK);
	ck_assert_int_eq(access(draft.path, F_OK), -1);
	snapshot_draft_finish(&draft);
	ck_assert_int_eq(snapshot_draft_sync(&draft), STATUS_OK);
	ck_assert_int_eq(snapshots_place(folder(), &draft, has_it, NULL), STATUS_NO_SNAPSHOT);
	snapshot_draft_discard(&draft, false);
	ck_assert_str_eq(listed(), "");
}
END_TEST

START_TEST(a_start_takes_away_what_was_being_received)
{
	struct snapshot_draft draft = {.facts = {.genesis = *snapshot_genesis(&world)}};
	struct snapshots again;
	ck_assert_int_eq(snapshot_put(&world, 10, 1), STATUS_OK);
	ck_assert_int_eq(snapshots_begin(folder(), &draft), STATUS_OK);
	ck_assert(snapshots_open(&again, world.dir));
	ck_assert_int_eq(snapshots_clean(&again), STATUS_OK);
	snapshots_close(&again);
	ck_assert_ptr_null(path_of(".new"));
	ck_assert_str_eq(listed(), "10 ");
	snapshot_draft_discard(&draft, false);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store/snapshots");
	TCase *tests = tcase_create("snapshots");
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, what_was_put_is_read_and_the_newest_are_kept);
	tcase_add_test(tests, what_the_log_does_not_have_is_not_stored);
	tcase_add_test(tests, logs_whose_files_share_a_folder_are_kept_apart);
	tcase_add_test(tests, a_bit_that_flips_anywhere_is_seen);
	tcase_add_test(tests, the_last_piece_of_what_rots_while_it_is_read_is_not_given);
	tcase_add_test(tests, what_was_set_aside_goes_with_the_next_one);
	tcase_add_test(tests, what_is_erased_is_overwritten_whatever_it_was);
	tcase_add_test(tests, what_is_received_while_an_action_is_redacted_is_not_kept);
	tcase_add_test(tests, what_came_after_the_erasing_is_overwritten_too);
	tcase_add_test(tests, a_start_takes_away_what_was_being_received);
	suite_add_tcase(suite, tests);
	SRunner *runner = srunner_create(suite);
	return runner_run(runner);
}
