/* config: every option of the printed table, at each of its bounds and past it, from each source.
 */
#include "config.h"

#include <check.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/runner.h"

#define ROWS_MAX 128

struct row {
	char section[32];
	char key[32];
	char range[128];
	char value[128];
};

static struct row rows[ROWS_MAX];
static size_t row_count;

/* The table as config_print_ini() shows it. */
static void
read_rows(void)
{
	char *text = NULL;
	size_t size = 0;
	char section[32] = "";
	char range[128] = "";
	char *rest = NULL;
	FILE *file = open_memstream(&text, &size);
	row_count = 0;
	config_print_ini(file);
	fclose(file);
	for (char *line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (sscanf(line, "[%31[a-z_]]", section) == 1 ||
		    sscanf(line, "# Range: %127[^;\n]", range) == 1 || line[0] == '#')
			continue;
		struct row *row = &rows[row_count++];
		ck_assert_uint_lt(row_count, ROWS_MAX);
		memcpy(row->section, section, sizeof(section));
		memcpy(row->range, range, sizeof(range));
		row->value[0] = '\0'; /* a text may be empty */
		ck_assert_int_ge(sscanf(line, "%31[a-z_] = %127[^\n]", row->key, row->value), 1);
	}
	free(text);
	ck_assert_uint_ge(row_count, 29);
}

static char errors[8192];

static enum status
load(struct config *config, char **argv, char **environment)
{
	enum config_action action;
	int argc = 0;
	FILE *file = fmemopen(errors, sizeof(errors), "w");
	ck_assert_ptr_nonnull(file);
	errors[0] = '\0';
	while (argv[argc] != NULL)
		argc++;
	enum status status = config_load(config, argc, argv, environment, file, &action);
	fclose(file);
	ck_assert_int_eq(status == STATUS_OK, errors[0] == '\0');
	return status;
}

enum where { IN_FILE, IN_ENVIRONMENT, IN_FLAGS, WHERES };

/* Others that leave every option all of its range; the option itself is left out. */
static void
write_companions(FILE *file, const struct row *row, const char *value_of_row)
{
	static const struct {
		const char *section, *key, *value;
	} companions[] = {
		{"limits", "payload_bytes", "1"},  {"limits", "batch_actions", "1"},
		{"limits", "body_bytes", "32KiB"}, {"server", "body_memory", "1024GiB"},
		{"store", "tail_bytes", "64GiB"},  {"server", "answer_memory", "1024GiB"},
	};
	bool payload = strcmp(row->key, "payload_bytes") == 0;
	for (size_t i = 0; i < sizeof(companions) / sizeof(companions[0]); i++) {
		const char *value = companions[i].value;
		if (payload && strcmp(companions[i].key, "body_bytes") == 0)
			value = "100MiB";
		if (strcmp(companions[i].key, row->key) != 0)
			fprintf(file, "[%s]\n%s = %s\n", companions[i].section, companions[i].key,
				value);
	}
	if (strncmp(row->key, "tls_", 4) == 0 && value_of_row[0] != '\0')
		fprintf(file, "[server]\n%s = x\n",
			strcmp(row->key, "tls_key") == 0 ? "tls_cert" : "tls_key");
	if (strcmp(row->section, "webhook") == 0 && value_of_row[0] != '\0') {
		if (strcmp(row->key, "url") == 0)
			fprintf(file, "[webhook]\nsecret_file = x\n");
		else if (strcmp(row->key, "secret_file") == 0)
			fprintf(file, "[webhook]\nurl = x\n");
	}
}

static enum status
load_one(const struct row *row, const char *value, enum where where)
{
	static struct config config;
	char path[] = "/tmp/edgereplay-config_bounds.XXXXXX";
	char flag[256];
	char file_flag[128];
	char variable[256];
	FILE *file = fdopen(mkstemp(path), "w");
	ck_assert_ptr_nonnull(file);
	write_companions(file, row, value);
	if (where == IN_FILE)
		fprintf(file, "[%s]\n%s = %s\n", row->section, row->key, value);
	fclose(file);
	snprintf(flag, sizeof(flag), "--%s.%s=%s", row->section, row->key, value);
	snprintf(file_flag, sizeof(file_flag), "--config=%s", path);
	int named =
		snprintf(variable, sizeof(variable), "EDGEREPLAY_%s_%s", row->section, row->key);
	for (int i = 0; i < named; i++)
		variable[i] = (char)toupper((unsigned char)variable[i]);
	snprintf(variable + named, sizeof(variable) - (size_t)named, "=%s", value);
	char *argv[] = {"edgereplayd", file_flag, where == IN_FLAGS ? flag : NULL, NULL};
	char *environment[] = {where == IN_ENVIRONMENT ? variable : NULL, NULL};
	enum status status = load(&config, argv, environment);
	unlink(path);
	if (status != STATUS_OK) {
		/* Where it came from, what it was, what is allowed. */
		variable[named] = '\0';
		flag[strcspn(flag, "=")] = '\0';
		const char *names[] = {path, variable, flag};
		ck_assert_ptr_nonnull(strstr(errors, names[where]));
		ck_assert_ptr_nonnull(strstr(errors, value));
		ck_assert_msg(strstr(errors, row->range) != NULL, "%s", errors);
	}
	return status;
}

static void
expect(const struct row *row, const char *value, enum status expected)
{
	for (int where = IN_FILE; where < WHERES; where++) {
		enum status status = load_one(row, value, (enum where)where);
		ck_assert_msg(status == expected, "%s.%s = %s: %s", row->section, row->key, value,
			      errors);
	}
}

static void
expect_numbers(const struct row *row)
{
	unsigned long long min;
	unsigned long long max;
	char value[64];
	bool octal = strstr(row->range, "octal") != NULL;
	const char *format = octal ? "%llo" : "%llu";
	ck_assert_int_eq(sscanf(row->range, octal ? "%llo..%llo" : "%llu..%llu", &min, &max), 2);
	snprintf(value, sizeof(value), format, min);
	expect(row, value, STATUS_OK);
	snprintf(value, sizeof(value), format, max);
	expect(row, value, STATUS_OK);
	snprintf(value, sizeof(value), format, max + 1);
	expect(row, value, STATUS_MALFORMED);
	if (min > 0) {
		snprintf(value, sizeof(value), format, min - 1);
		expect(row, value, STATUS_MALFORMED);
	}
	expect(row, "-1", STATUS_MALFORMED);
	expect(row, "1.5", STATUS_MALFORMED);
	expect(row, "0x10", STATUS_MALFORMED);
	expect(row, "many", STATUS_MALFORMED);
	expect(row, "18446744073709551616", STATUS_MALFORMED);
	expect(row, "99999999999999999GiB", STATUS_MALFORMED);
	expect(row, "KiB", STATUS_MALFORMED);
	expect(row, "64KB", STATUS_MALFORMED);
	if (strstr(row->range, " bytes") == NULL)
		expect(row, "1KiB", STATUS_MALFORMED);
}

START_TEST(each_option_takes_its_bounds_and_refuses_what_is_past_them)
{
	read_rows();
	for (size_t i = 0; i < row_count; i++) {
		const struct row *row = &rows[i];
		expect(row, row->value, STATUS_OK);
		if (strstr(row->range, "bytes of text") != NULL) {
			expect(row, "x", STATUS_OK);
		} else if (strstr(row->range, "..") != NULL) {
			expect_numbers(row);
		} else {
			/* "true or false", "debug or info": each of the words and no other */
			char words[128];
			char *rest = NULL;
			memcpy(words, row->range, sizeof(words));
			for (char *word = strtok_r(words, " ", &rest); word != NULL;
			     word = strtok_r(NULL, " ", &rest)) {
				if (strcmp(word, "or") != 0)
					expect(row, word, STATUS_OK);
			}
			expect(row, "or", STATUS_MALFORMED);
			expect(row, "TRUE", STATUS_MALFORMED);
			expect(row, "1", STATUS_MALFORMED);
			expect(row, "informative", STATUS_MALFORMED);
		}
	}
	printf("# %zu options, three sources each\n", row_count);
}
END_TEST

static void
expect_flags(const char *flag, const char *other, enum status expected)
{
	static struct config config;
	char copy[8192], other_copy[128] = "";
	snprintf(copy, sizeof(copy), "%s", flag);
	if (other != NULL)
		snprintf(other_copy, sizeof(other_copy), "%s", other);
	char *argv[] = {"edgereplayd", copy, other != NULL ? other_copy : NULL, NULL};
	char *environment[] = {NULL};
	ck_assert_msg(load(&config, argv, environment) == expected, "%s: %s", flag, errors);
}

static void
expect_flag(const char *flag, enum status expected)
{
	expect_flags(flag, NULL, expected);
}

START_TEST(a_text_is_as_long_as_its_array_and_no_longer_nor_empty)
{
	char flag[8192] = "--store.dir=";
	size_t size = strlen(flag);
	memset(flag + size, 'x', CONFIG_TEXT_SIZE);
	flag[size + CONFIG_TEXT_SIZE - 1] = '\0';
	expect_flag(flag, STATUS_OK);
	flag[size + CONFIG_TEXT_SIZE - 1] = 'x';
	flag[size + CONFIG_TEXT_SIZE] = '\0';
	expect_flag(flag, STATUS_MALFORMED);
	expect_flag("--store.dir=", STATUS_MALFORMED);
}
END_TEST

START_TEST(shards_are_a_power_of_two)
{
	char flag[64];
	for (unsigned shards = 1; shards <= 256; shards++) {
		snprintf(flag, sizeof(flag), "--store.shards=%u", shards);
		expect_flag(flag, (shards & (shards - 1)) == 0 ? STATUS_OK : STATUS_MALFORMED);
	}
}
END_TEST

START_TEST(limits_that_do_not_fit_each_other_are_refused)
{
	/* 6 × 172 032 + 16 384 = 1 MiB */
	expect_flag("--limits.payload_bytes=172032", STATUS_OK);
	expect_flag("--limits.payload_bytes=172033", STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "limits.body_bytes"));
	ck_assert_ptr_nonnull(strstr(errors, "1048582"));
	/* 1 MiB + 48 KiB */
	expect_flag("--server.body_memory=1097728", STATUS_OK);
	expect_flag("--server.body_memory=1097727", STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "--server.body_memory"));
	/* 12 × 172 032 + 192 × 1000 + 262 144 */
	expect_flag("--server.answer_memory=1048576", STATUS_OK);
	expect_flag("--limits.batch_actions=100000", STATUS_MALFORMED); /* of tail_bytes */
	ck_assert_ptr_null(strstr(errors, "answer_memory"));
	expect_flags("--server.answer_memory=2518528", "--limits.payload_bytes=172032", STATUS_OK);
	expect_flags("--server.answer_memory=2518527", "--limits.payload_bytes=172032",
		     STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "--server.answer_memory"));
	ck_assert_ptr_nonnull(strstr(errors, "2518528"));
	/* 1 MiB + 512 × 1000 */
	expect_flag("--store.tail_bytes=1560576", STATUS_OK);
	expect_flag("--store.tail_bytes=1560575", STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "1560576"));
	expect_flag("--server.tls_cert=x", STATUS_MALFORMED);
	expect_flag("--server.tls_key=x", STATUS_MALFORMED);
	ck_assert_ptr_nonnull(strstr(errors, "--server.tls_key"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config_bounds");
	TCase *tcase = tcase_create("config_bounds");
	SRunner *runner = srunner_create(suite);
	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, each_option_takes_its_bounds_and_refuses_what_is_past_them);
	tcase_add_test(tcase, a_text_is_as_long_as_its_array_and_no_longer_nor_empty);
	tcase_add_test(tcase, shards_are_a_power_of_two);
	tcase_add_test(tcase, limits_that_do_not_fit_each_other_are_refused);
	return runner_run(runner);
}
