/* base/log: what stands on stderr, byte for byte, under a clock that the test holds. */
#include "base/log.h"

#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "support/runner.h"

#define WRITERS 4
#define LINES 500 /* of each writer */

#define HEAD "time=2026-09-21T14:13:20.123Z level=info room=test event=told "

static _Atomic uint64_t clock_msec = 1790000000123;

/* Takes the place of the library's: libbase.a reads its clocks here. */
int
clock_gettime(clockid_t clock, struct timespec *time) // NOLINT(readability-inconsistent-*)
{
	uint64_t msec = atomic_load(&clock_msec);
	(void)clock;
	time->tv_sec = (time_t)(msec / 1000);
	time->tv_nsec = (long)(msec % 1000) * 1000000;
	return 0;
}

static FILE *captured;
static int stderr_before;

static void
capture_begin(void)
{
	captured = tmpfile();
	stderr_before = dup(STDERR_FILENO);
	ck_assert_ptr_nonnull(captured);
	ck_assert_int_ne(dup2(fileno(captured), STDERR_FILENO), -1);
}

/* What was written since, for the caller to free. */
static char *
capture_end(void)
{
	ck_assert_int_ne(dup2(stderr_before, STDERR_FILENO), -1);
	close(stderr_before);
	long size = fseek(captured, 0, SEEK_END) == 0 ? ftell(captured) : -1;
	ck_assert_int_ge(size, 0);
	char *text = calloc(1, (size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	rewind(captured);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, captured), (size_t)size);
	fclose(captured);
	return text;
}

static const struct {
	struct text value;
	const char *logfmt;
	const char *json;
} escapes[] = {
	{{"plain", 5}, "plain", "\"plain\""},
	{{"", 0}, "\"\"", "\"\""},
	{{"two words", 9}, "\"two words\"", "\"two words\""},
	{{"a=b", 3}, "\"a=b\"", "\"a=b\""},
	{{"say \"x\"", 7}, "\"say \\\"x\\\"\"", "\"say \\\"x\\\"\""},
	{{"c:\\d", 4}, "\"c:\\\\d\"", "\"c:\\\\d\""},
	{{"a\nb", 3}, "\"a\\nb\"", "\"a\\u000ab\""},
	{{"a\0b", 3}, "\"a\\x00b\"", "\"a\\u0000b\""},
	{{"\x1b[31m\x7f", 6}, "\"\\x1b[31m\\x7f\"", "\"\\u001b[31m\\u007f\""},
	{{"\xc2\x9b", 2}, "\"\\xc2\\x9b\"", "\"\\u009b\""},
	{{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
	 "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
	 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
	{{"\xe2\x80\xae", 3}, "\"\\xe2\\x80\\xae\"", "\"\\u202e\""},
	{{"a\xe2\x81\xa9z", 5}, "\"a\\xe2\\x81\\xa9z\"", "\"a\\u2069z\""},
	{{"\xe2\x80\xa8", 3}, "\"\\xe2\\x80\\xa8\"", "\"\\u2028\""},
	{{"\xd8\x9c\xef\xbb\xbf", 5}, "\"\\xd8\\x9c\\xef\\xbb\\xbf\"", "\"\\u061c\\ufeff\""},
	{{"\xf3\xa0\x81\xbf", 4}, "\"\\xf3\\xa0\\x81\\xbf\"", "\"\\udb40\\udc7f\""},
	{{"\xe2\x80\xaf\xe2\x81\xa5", 6},
	 "\xe2\x80\xaf\xe2\x81\xa5",
	 "\"\xe2\x80\xaf\xe2\x81\xa5\""},
	{{"a\xff", 2}, "\"a\\xff\"", "\"a\xef\xbf\xbd\""},
	{{"\xed\xa0\x80", 3}, "\"\\xed\\xa0\\x80\"", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	{{"\xe2\x82", 2}, "\"\\xe2\\x82\"", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
};

#define ESCAPES ((int)(sizeof(escapes) / sizeof(escapes[0])))

START_TEST(a_value_is_escaped_so_that_it_stays_one_value)
{
	char expected[256];
	capture_begin();
	log_configure(LOG_INFO, LOG_LOGFMT);
	log_info("test", "told", LOG_TEXT("value", escapes[_i].value));
	log_configure(LOG_INFO, LOG_JSON);
	log_info("test", "told", LOG_TEXT("value", escapes[_i].value));
	char *text = capture_end();
	snprintf(expected, sizeof(expected),
		 HEAD "value=%s\n"
		      "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"info\","
		      "\"room\":\"test\",\"event\":\"told\",\"value\":%s}\n",
		 escapes[_i].logfmt, escapes[_i].json);
	ck_assert_str_eq(text, expected);
	json_t *json = json_loads(strchr(text, '\n') + 1, JSON_ALLOW_NUL, NULL);
	ck_assert_ptr_nonnull(json);
	json_decref(json);
	free(text);
}
END_TEST

START_TEST(numbers_are_written_to_their_ends)
{
	capture_begin();
	log_configure(LOG_DEBUG, LOG_LOGFMT);
	log_debug("test", "n", LOG_U64("a", 0), LOG_U64("b", UINT64_MAX), LOG_I64("c", INT64_MIN),
		  LOG_I64("d", -1), LOG_I64("e", INT64_MAX));
	log_configure(LOG_DEBUG, LOG_JSON);
	log_error("test", "n", LOG_U64("b", UINT64_MAX), LOG_I64("c", INT64_MIN));
	char *text = capture_end();
	ck_assert_str_eq(text, "time=2026-09-21T14:13:20.123Z level=debug room=test event=n a=0 "
			       "b=18446744073709551615 c=-9223372036854775808 d=-1 "
			       "e=9223372036854775807\n"
			       "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"error\","
			       "\"room\":\"test\",\"event\":\"n\",\"b\":18446744073709551615,"
			       "\"c\":-9223372036854775808}\n");
	free(text);
}
END_TEST

START_TEST(the_level_lets_through_itself_and_what_is_above)
{
	for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
		log_configure((enum log_level)level, LOG_LOGFMT);
		capture_begin();
		log_debug("test", "d", LOG_U64("n", 0));
		log_info("test", "i", LOG_U64("n", 1));
		log_warn("test", "w", LOG_U64("n", 2));
		log_error("test", "e", LOG_U64("n", 3));
		char *text = capture_end();
		for (int n = LOG_DEBUG; n <= LOG_ERROR; n++) {
			char words[32];
			snprintf(words, sizeof(words), " n=%d\n", n);
			ck_assert_int_eq(strstr(text, words) != NULL, n >= level);
			ck_assert_int_eq(log_enabled((enum log_level)n), n >= level);
		}
		free(text);
	}
}
END_TEST

/* Every kind of byte that is written longer than it is, at every place against the cut. */
START_TEST(long_values_are_cut_and_marked_in_lines_that_stay_whole)
{
	static const char *const units[] = {"a",	"\n",		"\"",
					    "\xc2\x9b", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					    "\xff",	"\xe2\x80\xae", "\xf3\xa0\x81\xbf"};
	static char value[9000];
	for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
		size_t size = 0;
		for (size_t shift = 0; shift < 9; shift++) {
			memset(value, 'x', shift);
			size = shift;
			while (size + strlen(units[unit]) <= sizeof(value)) {
				memcpy(value + size, units[unit], strlen(units[unit]));
				size += strlen(units[unit]);
			}
			struct text long_value = {value, size};
			for (int format = LOG_LOGFMT; format <= LOG_JSON; format++) {
				log_configure(LOG_INFO, (enum log_format)format);
				capture_begin();
				log_info("test", "told", LOG_TEXT("a", long_value),
					 LOG_TEXT("b", long_value), LOG_TEXT("c", long_value),
					 LOG_TEXT("d", long_value), LOG_TEXT("e", long_value),
					 LOG_U64("f", 1));
				char *text = capture_end();
				ck_assert_uint_le(strlen(text), LOG_LINE_SIZE);
				ck_assert_ptr_nonnull(strstr(text, "\xe2\x80\xa6"));
				ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
				ck_assert(text_is_utf8(text_of(text)));
				json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
				ck_assert_int_eq(json != NULL, format == LOG_JSON);
				json_decref(json);
				free(text);
			}
		}
	}
}
END_TEST

static void
tell_often(int count)
{
	for (int i = 0; i < count; i++)
		log_limited(LOG_WARN, "test", "often", LOG_I64("n", i));
}

static size_t
lines_with(const char *text, const char *words)
{
	size_t count = 0;
	for (const char *at = strstr(text, words); at != NULL; at = strstr(at + 1, words))
		count++;
	return count;
}

START_TEST(a_limited_event_is_held_back_within_a_second_and_counted_in_the_next)
{
	log_configure(LOG_INFO, LOG_LOGFMT);
	capture_begin();
	tell_often(LOG_BURST + 32);
	char *text = capture_end();
	ck_assert_uint_eq(lines_with(text, "\n"), LOG_BURST);
	ck_assert_ptr_null(strstr(text, "suppressed"));
	free(text);

	atomic_fetch_add(&clock_msec, 1000);
	capture_begin();
	tell_often(2);
	log_limited(LOG_WARN, "test", "another", LOG_U64("n", 7));
	text = capture_end();
	ck_assert_uint_eq(lines_with(text, "\n"), 3);
	ck_assert_ptr_nonnull(strstr(text, "event=often suppressed=32 n=0\n"));
	ck_assert_ptr_nonnull(strstr(text, "event=often n=1\n"));
	ck_assert_ptr_nonnull(strstr(text, "event=another n=7\n"));
	free(text);
}
END_TEST

START_TEST(a_limited_event_below_the_level_is_not_counted)
{
	capture_begin();
	log_configure(LOG_ERROR, LOG_LOGFMT);
	tell_often(100);
	char *text = capture_end();
	ck_assert_str_eq(text, "");
	free(text);
}
END_TEST

static void *
write_lines(void *cookie)
{
	static char value[1000];
	for (int i = 0; i < LINES; i++) {
		log_info("test", "told", LOG_I64("n", i),
			 LOG_TEXT("v", ((struct text){value, (size_t)(i * 7) % sizeof(value)})));
		log_limited(LOG_INFO, "test", "limited", LOG_I64("n", i));
	}
	return cookie;
}

START_TEST(lines_of_several_threads_do_not_mix)
{
	pthread_t threads[WRITERS];
	log_configure(LOG_INFO, LOG_JSON);
	capture_begin();
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	char *text = capture_end();
	size_t told = 0;
	for (char *line = text; *line != '\0';) {
		char *end = strchr(line, '\n');
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		json_t *json = json_loads(line, JSON_ALLOW_NUL, NULL);
		ck_assert_msg(json != NULL, "%s", line);
		told += json_object_get(json, "v") != NULL;
		json_decref(json);
		line = end + 1;
	}
	ck_assert_uint_eq(told, (size_t)WRITERS * LINES);
	free(text);
}
END_TEST

START_TEST(a_closed_stderr_is_survived)
{
	int saved = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	log_configure(LOG_INFO, LOG_LOGFMT);
	log_info("test", "nobody hears", LOG_U64("n", 1));
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_loop_test(tcase, a_value_is_escaped_so_that_it_stays_one_value, 0, ESCAPES);
	tcase_add_test(tcase, numbers_are_written_to_their_ends);
	tcase_add_test(tcase, the_level_lets_through_itself_and_what_is_above);
	tcase_add_test(tcase, long_values_are_cut_and_marked_in_lines_that_stay_whole);
	tcase_add_test(tcase, a_limited_event_is_held_back_within_a_second_and_counted_in_the_next);
	tcase_add_test(tcase, a_limited_event_below_the_level_is_not_counted);
	tcase_add_test(tcase, lines_of_several_threads_do_not_mix);
	tcase_add_test(tcase, a_closed_stderr_is_survived);
	return runner_run(runner);
}
