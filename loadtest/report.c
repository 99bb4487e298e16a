#include "loadtest/report.h"

#include <inttypes.h>
#include <string.h>

#include "loadtest/audit.h"
#include "loadtest/figures.h"

#define MIB (1024.0 * 1024.0)
#define NUMBER_SIZE 32

/* Whole numbers with a space at each thousand: "1 234 567". */
static const char *
grouped(uint64_t number, char room[NUMBER_SIZE])
{
	size_t at = NUMBER_SIZE - 1;
	unsigned digits = 0;
	room[at] = '\0';
	do {
		if (digits > 0 && digits % 3 == 0)
			room[--at] = ' ';
		room[--at] = (char)('0' + number % 10);
		number /= 10;
		digits++;
	} while (number > 0);
	return &room[at];
}

static void
print_count(FILE *file, const char *name, uint64_t count, double seconds)
{
	char total[NUMBER_SIZE], rate[NUMBER_SIZE];
	double per_second = per((double)count, seconds);
	fprintf(file, "%-18s%16s", name, grouped(count, total));
	/* A slow rate would be all rounding. */
	if (per_second < 100)
		fprintf(file, "%16.2f\n", per_second);
	else
		fprintf(file, "%16s\n", grouped((uint64_t)(per_second + 0.5), rate));
}

static void
print_option(FILE *file, const struct report_plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (strcmp(plan->options[i].name, name) == 0)
			fprintf(file, "  %s=%s", name, plan->options[i].value);
	}
}

static void
print_head(FILE *file, const struct report_plan *plan, const struct result *result)
{
	static const char *const shown[] = {"url", "connections", "rate", "users", "actions"};
	fprintf(file, "mode %s, %.2f s measured", plan->mode, result->seconds);
	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
		print_option(file, plan, shown[i]);
	fprintf(file, "\n\n%-18s%16s%16s\n", "", "total", "a second");
}

static void
print_counts(FILE *file, const struct result *result)
{
	print_count(file, "requests", result->requests, result->seconds);
	if (result->offered > 0)
		print_count(file, "  offered", result->offered, result->seconds);
	if (result->late > 0)
		print_count(file, "  late", result->late, result->seconds);
	if (result->unsent > 0)
		print_count(file, "  unsent", result->unsent, result->seconds);
	print_count(file, "actions", result->actions, result->seconds);
	if (result->duplicates > 0)
		print_count(file, "  duplicates", result->duplicates, result->seconds);
	if (result->refused_actions > 0)
		print_count(file, "  refused", result->refused_actions, result->seconds);
	if (result->replayed > 0)
		print_count(file, "actions read", result->replayed, result->seconds);
	print_count(file, "bytes sent", result->bytes_out, result->seconds);
	print_count(file, "bytes received", result->bytes_in, result->seconds);
}

static void
print_histogram(FILE *file, const char *name, const struct histogram *histogram)
{
	static const double percents[] = {50, 90, 99, 99.9, 100};
	if (histogram->total == 0)
		return;
	fprintf(file, "%-18s", name);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++)
		fprintf(file, "%10.3f", percentile_msec(histogram, percents[i]));
	fprintf(file, "%10.3f%12" PRIu64 "\n", mean_msec(histogram), histogram->total);
}

/* In a closed loop a request goes out when it should, and the first two lines would be one. */
static void
print_latencies(FILE *file, const struct result *result)
{
	fprintf(file, "\n%-18s%10s%10s%10s%10s%10s%10s%12s\n", "milliseconds", "p50", "p90", "p99",
		"p99.9", "max", "mean", "count");
	print_histogram(file, "latency", &result->latency);
	if (result->offered > 0)
		print_histogram(file, "  once sent", &result->service);
	print_histogram(file, "refusals", &result->refused);
	print_histogram(file, "events", &result->events);
}

static void
print_if_any(FILE *file, const char *name, uint64_t count)
{
	if (count > 0)
		fprintf(file, "%-18s%" PRIu64 "\n", name, count);
}

static void
print_answers(FILE *file, const struct result *result)
{
	const unsigned count = sizeof(result->statuses) / sizeof(result->statuses[0]);
	fputs("\nanswers           ", file);
	const char *between = "";
	for (unsigned i = 0; i < count; i++) {
		if (result->statuses[i] == 0)
			continue;
		fprintf(file, "%s%u: %" PRIu64, between, i, result->statuses[i]);
		between = ", ";
	}
	for (size_t i = 0; i < RESULT_CODES_MAX && result->codes[i].count > 0; i++)
		fprintf(file, ", %s: %" PRIu64, result->codes[i].code, result->codes[i].count);
	fputc('\n', file);
	print_if_any(file, "transport errors", result->transport_errors);
	print_if_any(file, "WRONG ANSWERS", result->wrong);
	print_if_any(file, "UNEXPECTED", result->unexpected);
}

static void
print_daemon(FILE *file, const struct result *result)
{
	const struct daemon_usage *used = &result->daemon_settled;
	fprintf(file,
		"daemon            %.3f s CPU (user %.2f, system %.2f; %.3f at the end of the run, "
		"at rest %.1f s later)\n",
		used->cpu_sec, used->user_sec, used->system_sec, result->daemon.cpu_sec,
		result->settled_sec);
	fprintf(file,
		"                  %.3f s CPU per 100 000 actions, %.1f bytes written an action\n",
		daemon_cpu_per_100k(result), per((double)used->write_bytes, actions_moved(result)));
	fprintf(file,
		"                  %.1f MiB memory at most, %" PRIu64 " waits, %" PRIu64
		" times preempted\n",
		(double)used->peak_memory_bytes / MIB, used->voluntary_switches,
		used->involuntary_switches);
}

static void
print_tool(FILE *file, const struct result *result)
{
	fprintf(file,
		"this tool         %.3f s CPU, %.3f s per 100 000 actions, %.1f MiB memory at "
		"most\n",
		result->load_cpu_sec, load_cpu_per_100k(result),
		(double)result->load_peak_memory_bytes / MIB);
}

static void
print_audit(FILE *file, const struct audit_result *audit)
{
	fprintf(file, "audit             %" PRIu64 " logs, %" PRIu64 " actions: ", audit->logs,
		audit->actions);
	if (audit_passed(audit))
		fputs("all as promised\n", file);
	else
		fprintf(file,
			"FAILED, %" PRIu64 " missing, %" PRIu64 " doubled, %" PRIu64
			" logs wrong\n",
			audit->missing, audit->doubled, audit->wrong);
}

static void
print_chaos(FILE *file, const struct chaos_counts *counts)
{
	fprintf(file,
		"chaos             %" PRIu64 " connections, %" PRIu64 " exchanges: %" PRIu64
		" delayed, %" PRIu64 " sliced, %" PRIu64 " cut, %" PRIu64 " truncated, %" PRIu64
		" swallowed, %" PRIu64 " reset\n",
		counts->connections, counts->exchanges, counts->delays, counts->slices,
		counts->cuts, counts->truncated, counts->swallowed, counts->resets);
}

bool
report_table(FILE *file, const struct report_plan *plan, const struct result *result)
{
	print_head(file, plan, result);
	print_counts(file, result);
	print_latencies(file, result);
	print_answers(file, result);
	if (result->waiters_held > 0)
		fprintf(file, "waiters           %" PRIu64 " held, %" PRIu64 " answered\n",
			result->waiters_held, result->waiters_answered);
	if (result->subscribers_held > 0)
		fprintf(file,
			"subscribers       %" PRIu64 " held, %" PRIu64 " comments, %" PRIu64
			" missed the last head\n",
			result->subscribers_held, result->comments, result->subscribers_behind);
	if (result->has_daemon)
		print_daemon(file, result);
	print_tool(file, result);
	if (result->audit.logs > 0)
		print_audit(file, &result->audit);
	if (result->has_chaos)
		print_chaos(file, &result->chaos);
	return fflush(file) == 0 && ferror(file) == 0;
}
