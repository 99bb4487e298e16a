/* config: what is printed from the table, and the file in config/ that must be the same. */
#include "config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/runner.h"

/* The project's folder: given, or two above this source where the build left its name. */
static void
root_path(const char *name, char *path, size_t size)
{
	const char *root = getenv("EDGEREPLAY_ROOT");
	const char *slash = strstr(__FILE__, "tests/unit/");
	if (root != NULL)
		snprintf(path, size, "%s/%s", root, name);
	else
		snprintf(path, size, "%.*s%s", slash == NULL ? 0 : (int)(slash - __FILE__),
			 __FILE__, name);
}

static char *
printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(file);
	print(file);
	fclose(file);
	return text;
}

START_TEST(the_file_in_config_is_what_the_table_prints)
{
	char path[4096];
	static char file_text[65536];
	root_path("config/edgereplay.ini", path, sizeof(path));
	FILE *file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s cannot be read", path);
	file_text[fread(file_text, 1, sizeof(file_text) - 1, file)] = '\0';
	fclose(file);
	char *text = printed(config_print_ini);
	ck_assert_str_eq(file_text, text);
	free(text);
}
END_TEST

START_TEST(the_printed_file_loads_and_changes_nothing)
{
	static struct config from_file;
	static struct config from_table;
	char path[] = "/tmp/edgereplay-config_file.XXXXXX";
	char flag[64];
	enum config_action action;
	char *environment[] = {NULL};
	char *argv[] = {"edgereplayd", flag, NULL};
	FILE *file = fdopen(mkstemp(path), "w");
	ck_assert_ptr_nonnull(file);
	config_print_ini(file);
	fclose(file);
	snprintf(flag, sizeof(flag), "--config=%s", path);
	ck_assert_int_eq(config_load(&from_file, 2, argv, environment, stderr, &action), STATUS_OK);
	ck_assert_int_eq(config_load(&from_table, 1, argv, environment, stderr, &action),
			 STATUS_OK);
	ck_assert_mem_eq(&from_file, &from_table, sizeof(from_file));
	unlink(path);
}
END_TEST

START_TEST(help_names_every_option_with_its_default_and_its_range)
{
	char *help = printed(config_print_help);
	char *ini = printed(config_print_ini);
	char *rest = NULL;
	char section[32] = "";
	char range[256] = "";
	size_t count = 0;
	for (char *line = strtok_r(ini, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		char key[64];
		char value[128];
		char expected[512];
		if (sscanf(line, "[%31[a-z_]]", section) == 1 ||
		    sscanf(line, "# Range: %255[^\n]", range) == 1 || line[0] == '#')
			continue;
		value[0] = '\0'; /* a text may be empty */
		ck_assert_int_ge(sscanf(line, "%63[a-z_] = %127[^\n]", key, value), 1);
		snprintf(expected, sizeof(expected), "\n  --%s.%s=%s\n", section, key, value);
		char *place = strstr(help, expected);
		ck_assert_msg(place != NULL, "%s", expected);
		snprintf(expected, sizeof(expected), "\n      %s\n", range);
		ck_assert_msg(strstr(place, expected) != NULL, "%s", expected);
		count++;
	}
	ck_assert_uint_ge(count, 29);
	ck_assert_ptr_nonnull(strstr(help, "--config=FILE"));
	ck_assert_ptr_nonnull(strstr(help, "--check-config"));
	ck_assert_ptr_nonnull(strstr(help, "--help"));
	ck_assert_ptr_nonnull(strstr(help, "--version"));
	free(ini);
	free(help);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_file");
	TCase *tcase = tcase_create("config_file");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, the_file_in_config_is_what_the_table_prints);
	tcase_add_test(tcase, the_printed_file_loads_and_changes_nothing);
	tcase_add_test(tcase, help_names_every_option_with_its_default_and_its_range);
	return runner_run(runner);
}
