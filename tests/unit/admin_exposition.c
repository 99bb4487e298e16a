/* admin/exposition: the bytes of both formats. */
#include "admin/exposition.h"

#include <check.h>
#include <string.h>

#include "support/runner.h"

static void
write_samples(struct buffer *out, bool open_metrics)
{
	struct exposition to = {.out = out, .open_metrics = open_metrics};
	buffer_init(out, 65536);
	exposition_family(&to, "counter", "a_things", "Things.");
	exposition_sample(&to, "_total", "kind=\"x\"", 12, 0);
	exposition_family(&to, "counter", "a_things", NULL);
	exposition_sample(&to, "_total", "kind=\"y\"", 0, 0);
	exposition_family(&to, "gauge", "an_age_seconds", "Its age.");
	exposition_sample(&to, "", NULL, 1005, 3);
	exposition_family(&to, "histogram", "a_size_bytes", "Sizes.");
	exposition_sample(&to, "_bucket", "le=\"+Inf\"", 1, 0);
	exposition_sample(&to, "_count", NULL, 1, 0);
	exposition_sample(&to, "_sum", NULL, UINT64_MAX, 6);
	exposition_end(&to);
	buffer_append(out, "", 1);
	ck_assert(!out->failed);
}

START_TEST(openmetrics_has_units_bare_counter_families_and_an_end)
{
	struct buffer out;
	write_samples(&out, true);
	ck_assert_str_eq(out.data, "# TYPE a_things counter\n"
				   "# HELP a_things Things.\n"
				   "a_things_total{kind=\"x\"} 12\n"
				   "a_things_total{kind=\"y\"} 0\n"
				   "# TYPE an_age_seconds gauge\n"
				   "# UNIT an_age_seconds seconds\n"
				   "# HELP an_age_seconds Its age.\n"
				   "an_age_seconds 1.005\n"
				   "# TYPE a_size_bytes histogram\n"
				   "# UNIT a_size_bytes bytes\n"
				   "# HELP a_size_bytes Sizes.\n"
				   "a_size_bytes_bucket{le=\"+Inf\"} 1\n"
				   "a_size_bytes_count 1\n"
				   "a_size_bytes_sum 18446744073709.551615\n"
				   "# EOF\n");
	buffer_release(&out);
}
END_TEST

START_TEST(the_older_format_has_neither)
{
	struct buffer out;
	write_samples(&out, false);
	ck_assert_str_eq(out.data, "# TYPE a_things_total counter\n"
				   "# HELP a_things_total Things.\n"
				   "a_things_total{kind=\"x\"} 12\n"
				   "a_things_total{kind=\"y\"} 0\n"
				   "# TYPE an_age_seconds gauge\n"
				   "# HELP an_age_seconds Its age.\n"
				   "an_age_seconds 1.005\n"
				   "# TYPE a_size_bytes histogram\n"
				   "# HELP a_size_bytes Sizes.\n"
				   "a_size_bytes_bucket{le=\"+Inf\"} 1\n"
				   "a_size_bytes_count 1\n"
				   "a_size_bytes_sum 18446744073709.551615\n");
	buffer_release(&out);
}
END_TEST

int
main(void)
{
	TCase *tests = tcase_create("exposition");
	tcase_add_test(tests, openmetrics_has_units_bare_counter_families_and_an_end);
	tcase_add_test(tests, the_older_format_has_neither);
	Suite *suite = suite_create("admin/exposition");
	suite_add_tcase(suite, tests);
	return runner_run(srunner_create(suite));
}
