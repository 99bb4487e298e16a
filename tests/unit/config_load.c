/* config: sources, errors and where they point, reload. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/runner.h"

#define FUZZ_ROUNDS 3000

static char path[] = "/tmp/edgereplay-config.XXXXXX";
static char file_flag[64];
static char *no_environment[] = {NULL};
static struct config config;
static char errors[65536];

static void
make_path(void)
{
	int fd = mkstemp(path);
	ck_assert_int_ne(fd, -1);
	close(fd);
	snprintf(file_flag, sizeof(file_flag), "--config=%s", path);
}

static void
remove_path(void)
{
	unlink(path);
}

static void
write_file(const char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

/* argv and environment end with NULL; errors are then in errors. */
static enum status
load(char **argv, char **environment, enum config_action *action)
{
	int argc = 0;
	FILE *file = fmemopen(errors, sizeof(errors), "w");
	ck_assert_ptr_nonnull(file);
	errors[0] = '\0';
	while (argv[argc] != NULL)
		argc++;
	enum status status = config_load(&config, argc, argv, environment, file, action);
	fclose(file);
	ck_assert_int_eq(status == STATUS_OK, errors[0] == '\0');
	return status;
}

static enum status
load_file(const char *text)
{
	enum config_action action;
	char *argv[] = {"edgereplayd", file_flag, NULL};
	write_file(text, strlen(text));
	return load(argv, no_environment, &action);
}

static enum status
load_flag(const char *flag, enum config_action *action)
{
	char copy[256];
	snprintf(copy, sizeof(copy), "%s", flag);
	char *argv[] = {"edgereplayd", copy, NULL};
	return load(argv, no_environment, action);
}

/* One line of errors: "<where>: <beginning of words>". */
static void
expect_error(const char *where, const char *words)
{
	char line[512];
	snprintf(line, sizeof(line), "%s: %s", where, words);
	const char *found = strstr(errors, line);
	ck_assert_msg(found != NULL && (found == errors || found[-1] == '\n'), "wanted %s\ngot %s",
		      line, errors);
}

static void
expect_error_at(unsigned line, const char *words)
{
	char where[128];
	snprintf(where, sizeof(where), "%s:%u", path, line);
	expect_error(where, words);
}

static size_t
error_count(void)
{
	size_t count = 0;
	for (const char *at = errors; *at != '\0'; at++)
		count += *at == '\n';
	return count;
}

START_TEST(without_sources_the_defaults_hold)
{
	enum config_action action = CONFIG_HELP;
	char *argv[] = {"edgereplayd", NULL};
	ck_assert_int_eq(load(argv, no_environment, &action), STATUS_OK);
	ck_assert_int_eq(action, CONFIG_RUN);
	ck_assert_str_eq(config.server.listen, "127.0.0.1:8080");
	ck_assert_uint_eq(config.server.socket_mode, 0660);
	ck_assert_uint_eq(config.server.body_memory, 64 * 1024 * 1024);
	ck_assert_str_eq(config.store.dir, "./data");
	ck_assert_uint_eq(config.store.shards, 1);
	ck_assert_uint_eq(config.limits.payload_bytes, 16384);
	ck_assert_uint_eq(config.limits.body_bytes, 1048576);
	ck_assert(!config.clock.monotonic);
	ck_assert_int_eq(config.auth.mode, AUTH_NONE);
	ck_assert_int_eq(config.log.level, LOG_INFO);
	ck_assert_int_eq(config.log.format, LOG_LOGFMT);
}
END_TEST

START_TEST(flags_win_over_the_environment_and_that_over_the_file)
{
	enum config_action action;
	char *argv[] = {"edgereplayd", "--server.threads=5", file_flag, "--log.level=error", NULL};
	char *environment[] = {"EDGEREPLAY_SERVER_THREADS=4", "EDGEREPLAY_STORE_SHARDS=16",
			       "EDGEREPLAY_CLOCK_MONOTONIC=true", NULL};
	static const char text[] = "[server]\nthreads=3\nlisten = [::1]:99 ; not a comment\n"
				   "socket_mode = 600\n[store]\nshards: 8\nqueue = 7\r\n";
	write_file(text, strlen(text));
	ck_assert_int_eq(load(argv, environment, &action), STATUS_OK);
	ck_assert_uint_eq(config.server.threads, 5);
	ck_assert_uint_eq(config.store.shards, 16);
	ck_assert_uint_eq(config.store.queue, 7);
	ck_assert_uint_eq(config.server.socket_mode, 0600);
	ck_assert_str_eq(config.server.listen, "[::1]:99 ; not a comment");
	ck_assert(config.clock.monotonic);
	ck_assert_int_eq(config.log.level, LOG_ERROR);
}
END_TEST

START_TEST(sizes_may_have_units)
{
	ck_assert_int_eq(
		load_file("[limits]\nbody_bytes = 96KiB\npayload_bytes=1KiB\n"
			  "[server]\nbody_memory=3GiB\ndrain_bytes=0MiB\n[store]\nfree_min=1TiB\n"),
		STATUS_OK);
	ck_assert_uint_eq(config.limits.body_bytes, 98304);
	ck_assert_uint_eq(config.server.body_memory, UINT64_C(3) << 30);
	ck_assert_uint_eq(config.server.drain_bytes, 0);
	ck_assert_uint_eq(config.store.free_min, UINT64_C(1) << 40);
}
END_TEST

START_TEST(every_problem_of_a_file_is_told_with_its_line)
{
	ck_assert_int_eq(load_file("early = 1\n" /* 1 */
				   "# a comment\n"
				   "[server]\n"
				   "threads = 65\n" /* 4 */
				   "\n"
				   "thread = 2\n"      /* 6 */
				   "this is nothing\n" /* 7 */
				   "[sever]\n"	       /* 8 */
				   "threads = 2\n"
				   "[store\n" /* 10 */
				   "[store]\n"
				   "shards = 2\n"
				   "  shards = 4\n"    /* 13 */
				   "dir =\n"	       /* 14 */
				   "[log] ; comment\n" /* 15 */
				   "[log]\n"
				   "level = loud"), /* 17 */
			 STATUS_MALFORMED);
	expect_error_at(1, "an option before the first [section]");
	expect_error_at(4, "server.threads = 65 is not allowed; allowed: 1..64 threads");
	expect_error_at(6, "unknown option server.thread\n");
	expect_error_at(7, "neither a [section], nor key = value, nor a comment");
	expect_error_at(8, "unknown section [sever]");
	expect_error_at(10, "a section is written [name]");
	expect_error_at(13, "store.shards is set a second time, after line 12");
	expect_error_at(14, "store.dir =  is not allowed; allowed: 1..4095 bytes of text");
	expect_error_at(15, "a section is written [name]");
	expect_error_at(17, "log.level = loud is not allowed; allowed: debug or info or warn or "
			    "error");
	ck_assert_uint_eq(error_count(), 10);
}
END_TEST

START_TEST(a_file_of_strange_bytes_is_told_with_its_line)
{
	static char text[20000];
	enum config_action action;
	char *argv[] = {"edgereplayd", file_flag, NULL};
	static const char nul[] = "[server]\nlisten = a\0b\n";
	write_file(nul, sizeof(nul) - 1);
	ck_assert_int_eq(load(argv, no_environment, &action), STATUS_MALFORMED);
	expect_error_at(2, "a NUL byte");

	memset(text, 'x', sizeof(text));
	memcpy(text, "[store]\n dir = ", 15);
	text[19998] = '\n';
	write_file(text, sizeof(text));
	ck_assert_int_eq(load(argv, no_environment, &action), STATUS_MALFORMED);
	expect_error_at(2, "longer than ");
	expect_error_at(3, "neither");

	ck_assert_int_eq(load_file("\xef\xbb\xbf[store]\nqueue = 9\n"), STATUS_OK);
	ck_assert_uint_eq(config.store.queue, 9);
}
END_TEST

START_TEST(a_long_line_that_fits_is_not_cut)
{
	static char text[8192] = "[store]\ndir = ";
	size_t size = strlen(text);
	memset(text + size, 'd', CONFIG_TEXT_SIZE - 1);
	ck_assert_int_eq(load_file(text), STATUS_OK);
	ck_assert_uint_eq(strlen(config.store.dir), CONFIG_TEXT_SIZE - 1);
	text[size + CONFIG_TEXT_SIZE - 1] = 'd';
	ck_assert_int_eq(load_file(text), STATUS_MALFORMED);
	expect_error_at(2, "store.dir = ddd");
	ck_assert_uint_lt(strlen(errors), 1024);
}
END_TEST

START_TEST(an_absent_a_foreign_or_an_endless_file_is_an_error)
{
	enum config_action action;
	ck_assert_int_eq(load_flag("--config=/nonexistent/edgereplay.ini", &action),
			 STATUS_MALFORMED);
	expect_error("/nonexistent/edgereplay.ini", "cannot be opened: No such file");
	ck_assert_int_eq(load_flag("--config=/", &action), STATUS_MALFORMED);
	expect_error("/", "cannot be read");
	ck_assert_int_eq(load_flag("--config=/dev/zero", &action), STATUS_MALFORMED);
	expect_error("/dev/zero", "larger than 1 MiB");
	ck_assert_int_eq(load_flag("--config=", &action), STATUS_MALFORMED);
}
END_TEST

START_TEST(variables_of_a_known_section_are_ours_and_no_others)
{
	enum config_action action;
	char *argv[] = {"edgereplayd", NULL};
	char *others[] = {"EDGEREPLAY_BUILD=/x",
			  "EDGEREPLAY_ROOT=/y",
			  "EDGEREPLAY_SERVERS_X=1",
			  "EDGEREPLAY=1",
			  "edgereplay_server_x=1",
			  "EDGEREPLAY_SERVER",
			  "PATH=/bin",
			  NULL};
	char *ours[] = {"EDGEREPLAY_SERVER_THREAD=1", "EDGEREPLAY_STORE_SHARDS=x\ny",
			"EDGEREPLAY_LOG_=1", NULL};
	ck_assert_int_eq(load(argv, others, &action), STATUS_OK);
	ck_assert_int_eq(load(argv, ours, &action), STATUS_MALFORMED);
	expect_error("EDGEREPLAY_SERVER_THREAD", "unknown option");
	expect_error("EDGEREPLAY_STORE_SHARDS",
		     "store.shards = x?y is not allowed; allowed: 1..256 shards");
	expect_error("EDGEREPLAY_LOG_", "unknown option");
	ck_assert_uint_eq(error_count(), 3);
}
END_TEST

START_TEST(flags_that_are_none_are_errors)
{
	static const char *const flags[] = {"--server.thread=1",
					    "--server.threads",
					    "--threads=1",
					    "--sever.threads=1",
					    "--=",
					    "--.=",
					    "--server.=1",
					    "--",
					    "--helpful",
					    "--config",
					    "--check-config=1",
					    "--version=2"};
	static const char *const stray[] = {"-h", "-", "", "serve", "server.threads=1"};
	enum config_action action;
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		ck_assert_int_eq(load_flag(flags[i], &action), STATUS_MALFORMED);
		expect_error(flags[i], "unknown flag");
	}
	for (size_t i = 0; i < sizeof(stray) / sizeof(stray[0]); i++) {
		ck_assert_int_eq(load_flag(stray[i], &action), STATUS_MALFORMED);
		expect_error(stray[i], "unexpected argument");
	}
	ck_assert_int_eq(load_flag("--server.threads=0", &action), STATUS_MALFORMED);
	expect_error("--server.threads",
		     "server.threads = 0 is not allowed; allowed: 1..64 threads");
}
END_TEST

START_TEST(help_and_version_need_no_sound_options_but_sound_flags)
{
	enum config_action action;
	char *environment[] = {"EDGEREPLAY_SERVER_THREADS=none", NULL};
	char *help[] = {"edgereplayd", "--config=/nonexistent", "--help", "--check-config", NULL};
	char *version[] = {"edgereplayd", "--version", NULL};
	char *print[] = {"edgereplayd", "--print-config", NULL};
	char *check[] = {"edgereplayd", "--check-config", NULL};
	char *bad[] = {"edgereplayd", "--help", "--nonsense", NULL};
	ck_assert_int_eq(load(help, environment, &action), STATUS_OK);
	ck_assert_int_eq(action, CONFIG_HELP);
	ck_assert_int_eq(load(version, environment, &action), STATUS_OK);
	ck_assert_int_eq(action, CONFIG_VERSION);
	ck_assert_int_eq(load(print, environment, &action), STATUS_OK);
	ck_assert_int_eq(action, CONFIG_PRINT);
	ck_assert_int_eq(load(check, environment, &action), STATUS_MALFORMED);
	ck_assert_int_eq(load(check, no_environment, &action), STATUS_OK);
	ck_assert_int_eq(action, CONFIG_CHECK);
	ck_assert_int_eq(load(bad, no_environment, &action), STATUS_MALFORMED);
}
END_TEST

static enum status
reload(const char *text, char *log_text, size_t log_size)
{
	char *argv[] = {"edgereplayd", file_flag, NULL};
	FILE *file = fmemopen(errors, sizeof(errors), "w");
	FILE *log_file = tmpfile();
	int saved = dup(STDERR_FILENO);
	ck_assert(file != NULL && log_file != NULL);
	errors[0] = '\0';
	write_file(text, strlen(text));
	ck_assert_int_ne(dup2(fileno(log_file), STDERR_FILENO), -1);
	enum status status = config_reload(&config, 2, argv, no_environment, file);
	ck_assert_int_ne(dup2(saved, STDERR_FILENO), -1);
	close(saved);
	fclose(file);
	rewind(log_file);
	log_text[fread(log_text, 1, log_size - 1, log_file)] = '\0';
	fclose(log_file);
	return status;
}

START_TEST(a_reload_takes_over_what_it_can_and_says_what_it_cannot)
{
	char text[8192];
	ck_assert_int_eq(load_file("[server]\nthreads = 3\n[limits]\npage_actions = 10\n"),
			 STATUS_OK);
	ck_assert_int_eq(reload("[server]\nthreads = 4\nlisten = localhost:1\n"
				"[limits]\npage_actions = 20\n[clock]\nmonotonic = true\n"
				"[log]\nformat = json\n",
				text, sizeof(text)),
			 STATUS_OK);
	ck_assert_uint_eq(config.server.threads, 3);
	ck_assert_str_eq(config.server.listen, "127.0.0.1:8080");
	ck_assert_uint_eq(config.limits.page_actions, 20);
	ck_assert(config.clock.monotonic);
	ck_assert_int_eq(config.log.format, LOG_JSON);
	ck_assert_ptr_nonnull(strstr(text, "event=\"option needs a restart\" "
					   "option=server.threads value=3 after_restart=4\n"));
	ck_assert_ptr_nonnull(strstr(text, "option=server.listen value=127.0.0.1:8080 "
					   "after_restart=localhost:1\n"));
	ck_assert_ptr_nonnull(strstr(text, "event=\"option taken over\" "
					   "option=limits.page_actions value=20 before=10\n"));
	ck_assert_ptr_nonnull(strstr(text, "option=clock.monotonic value=true before=false\n"));
	ck_assert_ptr_nonnull(strstr(text, "option=log.format value=json before=logfmt\n"));
	ck_assert_ptr_null(strstr(text, "option=store."));

	/* Again: only what still waits for a restart is told. */
	ck_assert_int_eq(reload("[server]\nthreads = 3\n[limits]\npage_actions = 20\n"
				"[clock]\nmonotonic = true\n[log]\nformat = json\n",
				text, sizeof(text)),
			 STATUS_OK);
	ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(a_reload_that_fails_changes_nothing)
{
	char text[8192];
	static struct config before;
	ck_assert_int_eq(load_file("[limits]\npage_actions = 10\n"), STATUS_OK);
	before = config;
	ck_assert_int_eq(
		reload("[limits]\npage_actions = 20\nwaiters = many\n", text, sizeof(text)),
		STATUS_MALFORMED);
	expect_error_at(3, "limits.waiters = many");
	ck_assert_mem_eq(&config, &before, sizeof(config));
	/* Sound for a start, but the running tail is too small for such a body. */
	ck_assert_int_eq(reload("[limits]\nbody_bytes = 48MiB\n[store]\ntail_bytes = 256MiB\n",
				text, sizeof(text)),
			 STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "store.tail_bytes = 33554432 is too small"));
	ck_assert_mem_eq(&config, &before, sizeof(config));
	ck_assert_str_eq(text, "");
}
END_TEST

/* Pieces that a file is made of, in any order, with bytes of any kind between them. */
START_TEST(random_files_never_crash_and_failures_have_a_reason)
{
	static const char *const pieces[] = {
		"[",
		"]",
		"[server]\n",
		"[store]\n",
		"[limits]",
		"\n",
		"\r\n",
		"=",
		" = ",
		":",
		";",
		"#",
		"threads",
		"shards",
		"dir",
		"4",
		"KiB",
		"\t",
		"\xef\xbb\xbf",
		"\xff",
		"threads = 2\n",
		"shards = 8\n",
		"dir = /x\n",
		"listen",
		"99999999999999999999",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	enum config_action action;
	char *argv[] = {"edgereplayd", file_flag, NULL};
	unsigned sound = 0;
	srandom(4242);
	for (int round = 0; round < FUZZ_ROUNDS; round++) {
		char text[4096];
		size_t size = 0;
		for (long count = random() % 24; count > 0; count--) {
			size_t piece = (size_t)random() % (sizeof(pieces) / sizeof(pieces[0]) + 1);
			if (piece == sizeof(pieces) / sizeof(pieces[0])) {
				text[size++] = (char)(random() & 0xff);
				continue;
			}
			memcpy(text + size, pieces[piece], strlen(pieces[piece]));
			size += strlen(pieces[piece]);
		}
		write_file(text, size);
		sound += load(argv, no_environment, &action) == STATUS_OK;
	}
	ck_assert_uint_gt(sound, 0);
	ck_assert_uint_lt(sound, FUZZ_ROUNDS);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_load");
	TCase *tcase = tcase_create("config_load");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_unchecked_fixture(tcase, make_path, remove_path);
	tcase_add_test(tcase, without_sources_the_defaults_hold);
	tcase_add_test(tcase, flags_win_over_the_environment_and_that_over_the_file);
	tcase_add_test(tcase, sizes_may_have_units);
	tcase_add_test(tcase, every_problem_of_a_file_is_told_with_its_line);
	tcase_add_test(tcase, a_file_of_strange_bytes_is_told_with_its_line);
	tcase_add_test(tcase, a_long_line_that_fits_is_not_cut);
	tcase_add_test(tcase, an_absent_a_foreign_or_an_endless_file_is_an_error);
	tcase_add_test(tcase, variables_of_a_known_section_are_ours_and_no_others);
	tcase_add_test(tcase, flags_that_are_none_are_errors);
	tcase_add_test(tcase, help_and_version_need_no_sound_options_but_sound_flags);
	tcase_add_test(tcase, a_reload_takes_over_what_it_can_and_says_what_it_cannot);
	tcase_add_test(tcase, a_reload_that_fails_changes_nothing);
	tcase_add_test(tcase, random_files_never_crash_and_failures_have_a_reason);
	return runner_run(runner);
}
