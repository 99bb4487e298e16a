/* http/headers: which traceparent is taken, by the rules of W3C Trace Context. */
#include "http/headers.h"

#include <check.h>
#include <string.h>

#include "support/runner.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define ZEROS_16 "0000000000000000"

START_TEST(a_valid_traceparent_has_a_trace)
{
	static const char *const valid[] = {
		"00-" TRACE "-" PARENT "-01",
		"00-" TRACE "-" PARENT "-00",
		"00-" TRACE "-" PARENT "-ff",
		"01-" TRACE "-" PARENT "-01",		   /* a later version … */
		"cc-" TRACE "-" PARENT "-01-what-will-be", /* … which may have more */
	};
	for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
		ck_assert_msg(text_equal(headers_trace(text_of(valid[i])), TEXT(TRACE)), "%s",
			      valid[i]);
}
END_TEST

START_TEST(any_other_has_none)
{
	static const char *const invalid[] = {
		"",
		"00",
		"00-" TRACE "-" PARENT,
		"00-" TRACE "-" PARENT "-1",
		"00-" TRACE "-" PARENT "-01-",
		"00-" TRACE "-" PARENT "-01-more",
		"01-" TRACE "-" PARENT "-01more",
		"ff-" TRACE "-" PARENT "-01",
		"0g-" TRACE "-" PARENT "-01",
		"00-" ZEROS_16 ZEROS_16 "-" PARENT "-01",
		"00-" TRACE "-" ZEROS_16 "-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
		"00_" TRACE "-" PARENT "-01",
		"00-" TRACE "_" PARENT "-01",
		"00-" TRACE "-" PARENT "_01",
		"00-4bf92f3577b34da6a3ce929d0e0e473\"-" PARENT "-01",
		"00-" TRACE "-" PARENT "-0x",
	};
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		ck_assert_msg(headers_trace(text_of(invalid[i])).data == NULL, "%s", invalid[i]);
	ck_assert_ptr_null(headers_trace((struct text){NULL, 0}).data);
}
END_TEST

int
main(void)
{
	TCase *tests = tcase_create("trace");
	tcase_add_test(tests, a_valid_traceparent_has_a_trace);
	tcase_add_test(tests, any_other_has_none);
	Suite *suite = suite_create("http/trace");
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
