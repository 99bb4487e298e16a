/* store/free_space: when writes are refused for want of disk, by a disk and a clock that the test keeps. */
#include "store/free_space.h"

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "support/runner.h"

#define MARK UINT64_C(1600)

static struct free_space space;
static uint64_t now_msec, disk_bytes;
static unsigned looks;
static bool disk_answers;

static bool
look(const char *dir, uint64_t *bytes)
{
	ck_assert_str_eq(dir, "data");
	looks++;
	*bytes = disk_bytes;
	return disk_answers;
}

static void
set_up(void)
{
	looks = 0;
	now_msec = 5000;
	disk_bytes = MARK;
	disk_answers = true;
	free_space_init(&space, "data", MARK);
	space.look = look;
}

/* Asked a second later. */
static bool
is_low(uint64_t bytes)
{
	disk_bytes = bytes;
	now_msec += FREE_SPACE_LOOK_MSEC;
	return free_space_is_low(&space, now_msec);
}

START_TEST(writes_end_below_the_mark_and_begin_a_sixteenth_above_it)
{
	ck_assert(!is_low(MARK));
	ck_assert(is_low(MARK - 1));
	ck_assert(is_low(MARK));
	ck_assert(is_low(MARK + MARK / 16 - 1));
	ck_assert(!is_low(MARK + MARK / 16));
	ck_assert(!is_low(MARK));
}
END_TEST

START_TEST(the_disk_is_looked_at_once_a_second)
{
	for (unsigned msec = 0; msec < 3000; msec++)
		(void)free_space_is_low(&space, now_msec + msec);
	ck_assert_uint_eq(looks, 3);
}
END_TEST

START_TEST(a_new_mark_holds_at_once)
{
	ck_assert(is_low(MARK - 1));
	free_space_set_mark(&space, 0);
	ck_assert(!free_space_is_low(&space, now_msec));
	free_space_set_mark(&space, MARK);
	ck_assert(free_space_is_low(&space, now_msec));
}
END_TEST

START_TEST(a_disk_that_does_not_answer_changes_nothing)
{
	ck_assert(is_low(0));
	disk_answers = false;
	ck_assert(is_low(10 * MARK));
	disk_answers = true;
	ck_assert(!is_low(10 * MARK));
	disk_answers = false;
	ck_assert(!is_low(0));
}
END_TEST

/* What is written to stderr while the disk fills and empties. */
START_TEST(each_change_is_logged_once)
{
	char text[4096];
	FILE *file = tmpfile();
	ck_assert_ptr_nonnull(file);
	const int before = dup(STDERR_FILENO);
	ck_assert_int_ne(dup2(fileno(file), STDERR_FILENO), -1);
	for (unsigned i = 0; i < 5; i++)
		(void)is_low(10 * MARK);
	for (unsigned i = 0; i < 5; i++)
		(void)is_low(0);
	for (unsigned i = 0; i < 5; i++)
		(void)is_low(10 * MARK);
	ck_assert_int_ne(dup2(before, STDERR_FILENO), -1);
	close(before);
	rewind(file);
	const size_t size = fread(text, 1, sizeof(text) - 1, file);
	text[size] = '\0';
	fclose(file);
	const char *full = strstr(text, "nearly full"), *again = strstr(text, "room again");
	ck_assert_ptr_nonnull(full);
	ck_assert_ptr_nonnull(again);
	ck_assert(full < again);
	ck_assert_ptr_null(strstr(full + 1, "nearly full"));
	ck_assert_ptr_null(strstr(again + 1, "room again"));
}
END_TEST

START_TEST(a_real_disk_is_measured)
{
	free_space_init(&space, ".", 1);
	ck_assert(!free_space_is_low(&space, now_msec));
	free_space_init(&space, ".", UINT64_C(1) << 60);
	ck_assert(free_space_is_low(&space, now_msec));
	free_space_init(&space, "no/such/place", UINT64_C(1) << 60);
	ck_assert(!free_space_is_low(&space, now_msec));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store/free_space");
	TCase *tests = tcase_create("free_space");
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, writes_end_below_the_mark_and_begin_a_sixteenth_above_it);
	tcase_add_test(tests, the_disk_is_looked_at_once_a_second);
	tcase_add_test(tests, a_new_mark_holds_at_once);
	tcase_add_test(tests, a_disk_that_does_not_answer_changes_nothing);
	tcase_add_test(tests, each_change_is_logged_once);
	tcase_add_test(tests, a_real_disk_is_measured);
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
