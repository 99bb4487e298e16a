/*
 * edgereplay-load: puts load on an edgereplayd, checks every answer, and says what it measured.
 *
 *     flags ─▶ plan ─▶ driver ─▶ result ─▶ audit ─▶ table, JSON, picture
 *
 * Exit codes: 0 all was right; 1 a wrong answer, a failed audit, an error that the plan does not
 * allow; 2 usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <sodium.h>

#include "loadtest/audit.h"
#include "loadtest/chaos.h"
#include "loadtest/driver.h"
#include "loadtest/heads.h"
#include "loadtest/plan.h"
#include "loadtest/plot.h"
#include "loadtest/report.h"
#include "loadtest/result.h"
#include "loadtest/users.h"

enum { EXIT_GOOD = 0, EXIT_WRONG = 1, EXIT_USAGE = 2 };

static volatile sig_atomic_t stop;

static void
on_signal(int number)
{
	(void)number;
	stop = 1;
}

static void
handle_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* A descriptor for each connection, and its twin when the proxy is in this process too. */
static void
allow_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Through the proxy when there is to be chaos, else straight to the daemon. */
static enum status
run_load(const struct plan *plan, struct users *users, struct result *result)
{
	struct sockaddr_in proxy = {.sin_family = AF_INET};
	struct driver_target target = {(const struct sockaddr *)&plan->address, plan->address_size,
				       &stop};
	struct chaos *chaos = NULL;
	if (plan->chaos) {
		chaos = chaos_open(target.address, target.address_size, plan->chaos_seed);
		if (chaos == NULL) {
			fprintf(stderr, "edgereplay-load: no proxy: %s\n", strerror(errno));
			return STATUS_INTERNAL;
		}
		proxy.sin_port = htons(chaos_port(chaos));
		proxy.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		target.address = (const struct sockaddr *)&proxy;
		target.address_size = sizeof(proxy);
	}
	enum status status = driver_run(plan, &target, users, result);
	if (chaos != NULL)
		chaos_close(chaos, &result->chaos);
	result->has_chaos = plan->chaos;
	return status;
}

static enum status
run_audit(const struct plan *plan, struct users *users, struct result *result)
{
	const struct pull_source source = {.address = (const struct sockaddr *)&plan->address,
					   .address_size = plan->address_size,
					   .host = plan->host,
					   .token = plan->token,
					   .timeout_sec = (unsigned)plan->timeout_sec + 1};
	struct audit *audit = audit_open(&source);
	if (audit == NULL)
		return STATUS_INTERNAL;
	for (size_t i = 0; i < users->record_count; i++) {
		const struct users_record *record = &users->records[i];
		char name[LOG_NAME_SIZE_MAX + 1];
		struct audit_expected expected = {.log = users_name(users, record->user, name),
						  .digests = record->lost ? NULL : record->digests,
						  .digest_count = record->lost ? 0 : record->count};
		users_expected(users, record, &expected.head, &expected.head_known);
		audit_log(audit, &expected, &result->audit);
	}
	audit_close(audit);
	return STATUS_OK;
}

static void
take_own_memory(struct result *result)
{
	struct rusage used;
	if (getrusage(RUSAGE_SELF, &used) == 0)
		result->load_peak_memory_bytes = (uint64_t)used.ru_maxrss * 1024;
}

static struct report_option
report_option_of(const struct plan_value *value)
{
	struct report_option option = {value->name, value->value, REPORT_TEXT};
	/* What was not given and has no default stays an empty text. */
	if ((value->kind == PLAN_NUMBER || value->kind == PLAN_DECIMAL) && value->value[0] != '\0')
		option.kind = REPORT_NUMBER;
	else if (value->kind == PLAN_FLAG)
		option.kind = REPORT_BOOL;
	return option;
}

typedef bool (*writer)(FILE *, const struct report_plan *, const struct result *);

static bool
write_plot(FILE *file, const struct report_plan *plan, const struct result *result)
{
	char title[128];
	(void)snprintf(title, sizeof(title), "edgereplay-load, mode %s", plan->mode);
	return plot_write(file, title, result);
}

static bool
write_file(const char *path, writer write, const struct report_plan *plan,
	   const struct result *result)
{
	FILE *file = fopen(path, "we");
	bool good = file != NULL && write(file, plan, result);
	if (file != NULL && fclose(file) != 0)
		good = false;
	if (!good)
		fprintf(stderr, "edgereplay-load: %s: %s\n", path, strerror(errno));
	return good;
}

static bool
write_reports(const struct plan *plan, const struct plan_values *values,
	      const struct result *result)
{
	struct report_option options[PLAN_OPTIONS_MAX];
	struct report_plan report = {.options = options, .count = values->count};
	bool good = true;
	for (size_t i = 0; i < values->count; i++) {
		options[i] = report_option_of(&values->items[i]);
		if (strcmp(options[i].name, "mode") == 0)
			report.mode = options[i].value;
	}
	if (!plan->json)
		good = report_table(stdout, &report, result);
	else if (plan->json_path == NULL)
		good = report_json(stdout, &report, result);
	else
		good = report_table(stdout, &report, result) &&
		       write_file(plan->json_path, report_json, &report, result);
	if (plan->plot_path != NULL)
		good = write_file(plan->plot_path, write_plot, &report, result) && good;
	return good;
}

/* What the plan does not allow, in words. */
static bool
is_good(const struct plan *plan, const struct result *result)
{
	const char *why = NULL;
	if (result->wrong > 0)
		why = "answers were wrong";
	else if (result->unexpected > 0)
		why = "there were statuses that the plan does not allow";
	else if (result->subscribers_behind > 0)
		why = "subscribers missed the last head of their log";
	else if (!audit_passed(&result->audit))
		why = "the audit failed";
	else if (result->transport_errors > 0 && !plan->chaos)
		why = "requests got no answer";
	else if (plan->mode == MODE_REPLAY && result->replayed == 0)
		why = "nothing was replayed";
	if (why != NULL)
		fprintf(stderr, "edgereplay-load: FAILED: %s\n", why);
	return why == NULL;
}

static bool
read_heads(const struct plan *plan, struct users *users)
{
	return plan->heads_path == NULL || heads_read(users, plan->heads_path) == STATUS_OK;
}

static bool
write_heads(const struct plan *plan, const struct users *users)
{
	return plan->heads_path == NULL || heads_write(users, plan->heads_path) == STATUS_OK;
}

static int
run(const struct plan *plan, const struct plan_values *values)
{
	struct users users;
	struct result result;
	int code = EXIT_WRONG;
	bool good = true;
	enum status users_status = users_init(&users, plan);
	enum status result_status = result_init(&result);
	if (users_status != STATUS_OK || result_status != STATUS_OK) {
		fputs("edgereplay-load: memory is out\n", stderr);
	} else if (read_heads(plan, &users) && run_load(plan, &users, &result) == STATUS_OK) {
		if (plan->mode == MODE_SYNC)
			good = run_audit(plan, &users, &result) == STATUS_OK;
		good = write_heads(plan, &users) && good;
		take_own_memory(&result);
		good = write_reports(plan, values, &result) && good;
		code = is_good(plan, &result) && good ? EXIT_GOOD : EXIT_WRONG;
	}
	users_release(&users);
	result_release(&result);
	return code;
}

int
main(int argc, char **argv)
{
	struct plan plan;
	struct plan_values values;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			plan_print_help(stdout);
			return EXIT_GOOD;
		}
	}
	if (plan_read(&plan, &values, argv, stderr) != STATUS_OK)
		return EXIT_USAGE;
	if (sodium_init() == -1) {
		fputs("edgereplay-load: libsodium does not start\n", stderr);
		return EXIT_WRONG;
	}
	handle_signals();
	allow_files();
	return run(&plan, &values);
}
