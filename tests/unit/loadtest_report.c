/* loadtest/report and loadtest/plot: what is written about a result. */
#include "loadtest/plot.h"
#include "loadtest/report.h"

#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "support/runner.h"

#define DEPTH_MAX 16

static struct result result;
static const struct report_option options[] = {
	{"url", "http://127.0.0.1:8080", REPORT_TEXT},
	{"connections", "64", REPORT_NUMBER},
	{"rate", "0.5", REPORT_NUMBER},
	{"actions", "1:70,10:30", REPORT_NUMBER},
	{"fresh", "true", REPORT_BOOL},
};
static struct report_plan plan = {
	.mode = "sync", .options = options, .count = sizeof(options) / sizeof(options[0])};

static void
setup(void)
{
	memset(&result, 0, sizeof(result));
	ck_assert_int_eq(histogram_init(&result.latency), STATUS_OK);
	ck_assert_int_eq(histogram_init(&result.service), STATUS_OK);
	ck_assert_int_eq(histogram_init(&result.refused), STATUS_OK);
	ck_assert_int_eq(histogram_init(&result.events), STATUS_OK);
	plan.mode = "sync";
}

static void
teardown(void)
{
	histogram_release(&result.latency);
	histogram_release(&result.service);
	histogram_release(&result.refused);
	histogram_release(&result.events);
	free(result.series);
}

static void
add_intervals(size_t count)
{
	result.series = calloc(count, sizeof(*result.series));
	ck_assert_ptr_nonnull(result.series);
	result.series_count = count;
	result.seconds = (double)count;
	for (size_t i = 0; i < count; i++)
		result.series[i] = (struct result_interval){
			.end_sec = (double)(i + 1), .requests = 1000 + i, .actions = 2000};
}

/* As the driver leaves it when the run ends just behind an interval. */
static void
add_one_interval_more(void)
{
	const size_t count = result.series_count;
	struct result_interval *more = reallocarray(result.series, count + 1, sizeof(*more));
	ck_assert_ptr_nonnull(more);
	more[count] = (struct result_interval){.end_sec = (double)(count + 1), .requests = 3};
	result.series = more;
	result.series_count = count + 1;
	result.seconds += 0.01;
}

static void
fill(void)
{
	result.seconds = 10;
	result.requests = 20000;
	result.actions = 400000;
	result.offered = 25000;
	result.statuses[200] = 20000;
	result.statuses[429] = 7;
	result.codes[0] = (struct result_code){.code = "BACKPRESSURE", .count = 7};
	result.has_daemon = true;
	result.daemon.cpu_sec = 1;
	result.daemon_settled.cpu_sec = 2;
	result.daemon_settled.write_bytes = 40000000;
	result.audit.logs = 16;
	result.has_chaos = true;
	result.chaos.swallowed = 3;
	for (uint64_t i = 1; i <= 1000; i++) {
		histogram_record(&result.latency, i * 1000);
		histogram_record(&result.service, i * 500);
	}
	histogram_record(&result.refused, 1234);
	add_intervals(10);
}

/* --- what is written --- */

typedef bool report_writer(FILE *, const struct report_plan *, const struct result *);

static char *
written_by(report_writer *write)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(file);
	ck_assert(write(file, &plan, &result));
	fclose(file);
	return text;
}

static json_t *
written_json(void)
{
	char *text = written_by(report_json);
	json_error_t error;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	ck_assert_msg(json != NULL, "%s", error.text);
	free(text);
	return json;
}

static double
number_at(json_t *json, const char *object, const char *key)
{
	json_t *place = object == NULL ? json : json_object_get(json, object);
	json_t *value = json_object_get(place, key);
	ck_assert_msg(json_is_number(value), "no number %s.%s", object != NULL ? object : "", key);
	return json_number_value(value);
}

START_TEST(an_empty_result_has_every_key)
{
	static const char *const numbers[] = {
		"seconds",	     "requests",	 "actions",	   "requestsPerSecond",
		"actionsPerSecond",  "offeredPerSecond", "late",	   "unsent",
		"transportErrors",   "duplicates",	 "refusedActions", "wrongAnswers",
		"unexpectedStatuses"};
	static const char *const histograms[] = {"latencyMs", "serviceMs", "refusedMs"};
	static const char *const others[] = {"plan",	"mode",	       "statuses", "codes",
					     "daemon",	"load",	       "audit",	   "chaos",
					     "waiters", "subscribers", "series"};
	json_t *json = written_json();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		ck_assert_double_eq(number_at(json, NULL, numbers[i]), 0);
	for (size_t i = 0; i < sizeof(histograms) / sizeof(histograms[0]); i++)
		ck_assert_double_eq(number_at(json, histograms[i], "p999"), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert_ptr_nonnull(json_object_get(json, others[i]));
	ck_assert(json_is_null(json_object_get(json, "daemon")));
	ck_assert(json_is_null(json_object_get(json, "chaos")));
	ck_assert(json_is_null(json_object_get(json, "waiters")));
	ck_assert(json_is_null(json_object_get(json, "subscribers")));
	ck_assert_ptr_null(json_object_get(json, "replay"));
	json_decref(json);
}
END_TEST

START_TEST(the_figures_are_those_of_the_result)
{
	fill();
	json_t *json = written_json();
	ck_assert_double_eq(number_at(json, NULL, "requestsPerSecond"), 2000);
	ck_assert_double_eq(number_at(json, NULL, "actionsPerSecond"), 40000);
	ck_assert_double_eq(number_at(json, NULL, "offeredPerSecond"), 2500);
	ck_assert_double_eq_tol(number_at(json, "latencyMs", "p50"), 500, 1);
	ck_assert_double_eq(number_at(json, "latencyMs", "max"), 1000);
	ck_assert_double_eq(number_at(json, "latencyMs", "count"), 1000);
	ck_assert_double_eq_tol(number_at(json, "serviceMs", "mean"), 250.25, 0.001);
	ck_assert_double_eq_tol(number_at(json, "refusedMs", "p99"), 1.234, 0.002);
	ck_assert_double_eq(number_at(json, "statuses", "429"), 7);
	ck_assert_double_eq(number_at(json, "codes", "BACKPRESSURE"), 7);
	ck_assert_double_eq(number_at(json, "daemon", "cpuSeconds"), 1);
	ck_assert_double_eq(number_at(json, "daemon", "cpuSecondsSettled"), 2);
	ck_assert_double_eq(number_at(json, "daemon", "cpuPer100kActions"), 0.5);
	ck_assert_double_eq(number_at(json, "daemon", "writeBytesPerAction"), 100);
	ck_assert_double_eq(number_at(json, "chaos", "swallowed"), 3);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "series")), 10);
	json_t *first = json_array_get(json_object_get(json, "series"), 0);
	ck_assert_double_eq(number_at(first, NULL, "t"), 1);
	ck_assert_double_eq(number_at(first, NULL, "requests"), 1000);
	json_decref(json);
}
END_TEST

START_TEST(options_keep_their_kind)
{
	json_t *json = written_json();
	json_t *written = json_object_get(json, "plan");
	ck_assert_int_eq(json_integer_value(json_object_get(written, "connections")), 64);
	ck_assert_double_eq(json_real_value(json_object_get(written, "rate")), 0.5);
	ck_assert(json_is_true(json_object_get(written, "fresh")));
	ck_assert_str_eq(json_string_value(json_object_get(written, "actions")), "1:70,10:30");
	ck_assert_str_eq(json_string_value(json_object_get(written, "url")),
			 "http://127.0.0.1:8080");
	json_decref(json);
}
END_TEST

START_TEST(a_replay_is_counted_by_what_was_read)
{
	plan.mode = "replay";
	result.seconds = 2;
	result.replayed = 1000000;
	result.has_daemon = true;
	result.daemon_settled.cpu_sec = 0.5;
	json_t *json = written_json();
	ck_assert_double_eq(number_at(json, "replay", "actions"), 1000000);
	ck_assert_double_eq(number_at(json, "replay", "actionsPerSecond"), 500000);
	ck_assert_double_eq(number_at(json, "replay", "daemonCpuPerAction_us"), 0.5);
	ck_assert_double_eq(number_at(json, "daemon", "cpuPer100kActions"), 0.05);
	json_decref(json);
}
END_TEST

static void
expect_words(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		ck_assert_msg(strstr(text, *words) != NULL, "no \"%s\" in:\n%s", *words, text);
}

START_TEST(the_table_says_what_was_measured)
{
	static const char *const words[] = {"mode sync",       "connections=64", "400 000",
					    "40 000",	       "p99.9",		 "BACKPRESSURE: 7",
					    "0.500 s CPU per", "100.0 bytes",	 "all as promised",
					    "3 swallowed",     "429: 7",	 NULL};
	fill();
	char *text = written_by(report_table);
	expect_words(text, words);
	ck_assert_ptr_null(strstr(text, "WRONG"));
	free(text);
}
END_TEST

START_TEST(the_table_shouts_what_is_wrong)
{
	static const char *const words[] = {"WRONG ANSWERS", "UNEXPECTED", "FAILED, 2 missing",
					    NULL};
	fill();
	result.wrong = 1;
	result.unexpected = 1;
	result.audit.missing = 2;
	char *text = written_by(report_table);
	expect_words(text, words);
	free(text);
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
	FILE *file = fopen("/dev/full", "w");
	ck_assert_ptr_nonnull(file);
	ck_assert(!report_json(file, &plan, &result));
	ck_assert(!report_table(file, &plan, &result));
	ck_assert(!plot_write(file, "title", &result));
	fclose(file);
}
END_TEST

/* --- the picture --- */

/* Reads a tag's name and whether it opens, closes or is empty; -1, 1 or 0 on the depth. */
static int
tag_change(const char *tag, size_t size)
{
	if (tag[1] == '/')
		return -1;
	return tag[size - 2] == '/' ? 0 : 1;
}

/* Every tag is closed in its order, quotes are even, and an ampersand begins an entity. */
static void
expect_well_formed(const char *text)
{
	const char *names[DEPTH_MAX];
	int depth = 0;
	for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at, '<')) {
		size_t size = strcspn(at, ">") + 1, quotes = 0;
		for (size_t i = 0; i < size; i++)
			quotes += at[i] == '"';
		ck_assert_uint_eq(quotes % 2, 0);
		int change = tag_change(at, size);
		if (change == 1)
			names[depth] = at + 1;
		depth += change;
		ck_assert_int_ge(depth, 0);
		ck_assert_int_lt(depth, DEPTH_MAX);
		if (change == -1)
			ck_assert_int_eq(strncmp(at + 2, names[depth], strcspn(at + 2, "> ")), 0);
		at += size;
	}
	ck_assert_int_eq(depth, 0);
	for (const char *at = strchr(text, '&'); at != NULL; at = strchr(at + 1, '&'))
		ck_assert(strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&lt;", 4) == 0 ||
			  strncmp(at, "&gt;", 4) == 0);
	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "inf"));
}

static char *
drawn(const char *title)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(file);
	ck_assert(plot_write(file, title, &result));
	fclose(file);
	ck_assert_int_eq(strncmp(text, "<svg ", 5), 0);
	expect_well_formed(text);
	return text;
}

static size_t
lines_of(const char *text)
{
	size_t count = 0;
	for (const char *at = text; (at = strstr(at, "class=\"line\"")) != NULL; at++)
		count++;
	return count / 2; /* each has a sample in the legend */
}

START_TEST(a_picture_of_nothing_says_so)
{
	char *text = drawn("nothing");
	ck_assert_uint_eq(lines_of(text), 0);
	ck_assert_ptr_nonnull(strstr(text, "no request was answered"));
	ck_assert_ptr_nonnull(strstr(text, "nothing was measured"));
	free(text);
}
END_TEST

START_TEST(a_picture_of_one_interval_has_lines)
{
	histogram_record(&result.latency, 250);
	add_intervals(1);
	char *text = drawn("one");
	ck_assert_uint_eq(lines_of(text), 3);
	free(text);
}
END_TEST

START_TEST(a_picture_of_a_long_run_stays_small)
{
	add_intervals(3600);
	for (uint64_t i = 0; i < 1000000; i++)
		histogram_record(&result.latency, i * i / 1000);
	char *text = drawn("long");
	ck_assert_uint_lt(strlen(text), 200000);
	free(text);
}
END_TEST

START_TEST(lines_are_drawn_for_what_happened)
{
	fill();
	result.series[3].refused = 5;
	char *text = drawn("all");
	/* Latency: accepted, once sent, refused. Requests: accepted, refused. Actions. */
	ck_assert_uint_eq(lines_of(text), 6);
	free(text);
}
END_TEST

START_TEST(a_short_last_interval_is_left_out)
{
	add_intervals(3);
	char *whole = drawn("run");
	add_one_interval_more();
	char *with_rest = drawn("run");
	ck_assert_str_eq(whole, with_rest);
	free(whole);
	free(with_rest);
}
END_TEST

START_TEST(a_title_is_escaped)
{
	char *text = drawn("<a> & \"b\"\n");
	ck_assert_ptr_nonnull(strstr(text, "&lt;a&gt; &amp; \"b\""));
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("report");
	TCase *tcase = tcase_create("report");
	tcase_add_checked_fixture(tcase, setup, teardown);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, an_empty_result_has_every_key);
	tcase_add_test(tcase, the_figures_are_those_of_the_result);
	tcase_add_test(tcase, options_keep_their_kind);
	tcase_add_test(tcase, a_replay_is_counted_by_what_was_read);
	tcase_add_test(tcase, the_table_says_what_was_measured);
	tcase_add_test(tcase, the_table_shouts_what_is_wrong);
	tcase_add_test(tcase, a_full_disk_is_an_error);
	tcase_add_test(tcase, a_picture_of_nothing_says_so);
	tcase_add_test(tcase, a_picture_of_one_interval_has_lines);
	tcase_add_test(tcase, a_picture_of_a_long_run_stays_small);
	tcase_add_test(tcase, lines_are_drawn_for_what_happened);
	tcase_add_test(tcase, a_short_last_interval_is_left_out);
	tcase_add_test(tcase, a_title_is_escaped);
	return runner_run(srunner_create(suite));
}
