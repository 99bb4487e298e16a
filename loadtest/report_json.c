#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "loadtest/figures.h"
#include "loadtest/report.h"

#define NUMBER_TEXT_SIZE 16
#define PRECISION 9 /* significant digits of what is no whole number */

static json_t *
json_of(uint64_t number)
{
	return json_integer((json_int_t)number);
}

static json_t *
json_of_histogram(const struct histogram *histogram)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:o}", "p50",
			 percentile_msec(histogram, 50), "p90", percentile_msec(histogram, 90),
			 "p99", percentile_msec(histogram, 99), "p999",
			 percentile_msec(histogram, 99.9), "max", percentile_msec(histogram, 100),
			 "mean", mean_msec(histogram), "count", json_of(histogram->total));
}

/* Numbers stay numbers for the reader; one that is written in a way that JSON does not know becomes
 * text. */
static json_t *
json_of_option(const struct report_option *option)
{
	json_t *value = NULL;
	if (option->kind == REPORT_BOOL)
		return json_boolean(strcmp(option->value, "true") == 0);
	if (option->kind == REPORT_NUMBER)
		value = json_loads(option->value, JSON_DECODE_ANY, NULL);
	return value != NULL ? value : json_string(option->value);
}

static json_t *
json_of_plan(const struct report_plan *plan)
{
	json_t *object = json_object();
	for (size_t i = 0; i < plan->count; i++)
		json_object_set_new(object, plan->options[i].name,
				    json_of_option(&plan->options[i]));
	return object;
}

static json_t *
json_of_statuses(const struct result *result)
{
	json_t *object = json_object();
	const unsigned count = sizeof(result->statuses) / sizeof(result->statuses[0]);
	for (unsigned i = 0; i < count; i++) {
		char text[NUMBER_TEXT_SIZE];
		if (result->statuses[i] == 0)
			continue;
		snprintf(text, sizeof(text), "%u", i);
		json_object_set_new(object, text, json_of(result->statuses[i]));
	}
	return object;
}

static json_t *
json_of_codes(const struct result *result)
{
	json_t *object = json_object();
	for (size_t i = 0; i < RESULT_CODES_MAX && result->codes[i].count > 0; i++)
		json_object_set_new(object, result->codes[i].code, json_of(result->codes[i].count));
	return object;
}

static json_t *
json_of_daemon(const struct result *result)
{
	const struct daemon_usage *used = &result->daemon_settled;
	if (!result->has_daemon)
		return json_null();
	return json_pack(
		"{s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:f, s:f}", "cpuSeconds",
		result->daemon.cpu_sec, "cpuSecondsSettled", used->cpu_sec, "cpuPer100kActions",
		daemon_cpu_per_100k(result), "userSeconds", used->user_sec, "systemSeconds",
		used->system_sec, "peakMemoryBytes", json_of(used->peak_memory_bytes),
		"voluntarySwitches", json_of(used->voluntary_switches), "involuntarySwitches",
		json_of(used->involuntary_switches), "writeBytes", json_of(used->write_bytes),
		"writeBytesPerAction", per((double)used->write_bytes, actions_moved(result)),
		"settledSeconds", result->settled_sec);
}

static json_t *
json_of_load(const struct result *result)
{
	return json_pack("{s:f, s:f, s:o}", "cpuSeconds", result->load_cpu_sec, "cpuPer100kActions",
			 load_cpu_per_100k(result), "peakMemoryBytes",
			 json_of(result->load_peak_memory_bytes));
}

static json_t *
json_of_audit(const struct audit_result *audit)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "logs", json_of(audit->logs), "actions",
			 json_of(audit->actions), "missing", json_of(audit->missing), "doubled",
			 json_of(audit->doubled), "wrong", json_of(audit->wrong));
}

static json_t *
json_of_chaos(const struct result *result)
{
	const struct chaos_counts *counts = &result->chaos;
	if (!result->has_chaos)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "connections",
			 json_of(counts->connections), "exchanges", json_of(counts->exchanges),
			 "delays", json_of(counts->delays), "slices", json_of(counts->slices),
			 "cuts", json_of(counts->cuts), "truncated", json_of(counts->truncated),
			 "swallowed", json_of(counts->swallowed), "resets",
			 json_of(counts->resets));
}

static json_t *
json_of_waiters(const struct result *result)
{
	if (result->waiters_held == 0)
		return json_null();
	return json_pack("{s:o, s:o}", "held", json_of(result->waiters_held), "answered",
			 json_of(result->waiters_answered));
}

static json_t *
json_of_subscribers(const struct result *result)
{
	if (result->subscribers_held == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o}", "held", json_of(result->subscribers_held),
			 "behind", json_of(result->subscribers_behind), "comments",
			 json_of(result->comments), "eventMs", json_of_histogram(&result->events));
}

static json_t *
json_of_series(const struct result *result)
{
	json_t *array = json_array();
	for (size_t i = 0; i < result->series_count; i++) {
		const struct result_interval *interval = &result->series[i];
		json_array_append_new(array,
				      json_pack("{s:f, s:o, s:o, s:o}", "t", interval->end_sec,
						"requests", json_of(interval->requests), "actions",
						json_of(interval->actions), "refused",
						json_of(interval->refused)));
	}
	return array;
}

static json_t *
json_of_replay(const struct result *result)
{
	const double cpu_usec = result->daemon_settled.cpu_sec * 1e6;
	return json_pack("{s:o, s:o, s:f, s:f}", "actions", json_of(result->replayed), "bytes",
			 json_of(result->bytes_in), "actionsPerSecond",
			 per((double)result->replayed, result->seconds), "daemonCpuPerAction_us",
			 per(cpu_usec, (double)result->replayed));
}

/* How much of what went through. */
static json_t *
json_of_counts(const struct report_plan *plan, const struct result *result)
{
	return json_pack(
		"{s:o, s:s, s:f, s:o, s:o, s:f, s:f, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o}",
		"plan", json_of_plan(plan), "mode", plan->mode, "seconds", result->seconds,
		"requests", json_of(result->requests), "actions", json_of(result->actions),
		"requestsPerSecond", per((double)result->requests, result->seconds),
		"actionsPerSecond", per((double)result->actions, result->seconds),
		"offeredPerSecond", per((double)result->offered, result->seconds), "late",
		json_of(result->late), "unsent", json_of(result->unsent), "transportErrors",
		json_of(result->transport_errors), "duplicates", json_of(result->duplicates),
		"refusedActions", json_of(result->refused_actions), "wrongAnswers",
		json_of(result->wrong), "unexpectedStatuses", json_of(result->unexpected),
		"bytesIn", json_of(result->bytes_in), "bytesOut", json_of(result->bytes_out));
}

static json_t *
json_of_figures(const struct result *result)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "latencyMs", json_of_histogram(&result->latency), "serviceMs",
			 json_of_histogram(&result->service), "refusedMs",
			 json_of_histogram(&result->refused), "statuses", json_of_statuses(result),
			 "codes", json_of_codes(result), "daemon", json_of_daemon(result), "load",
			 json_of_load(result), "audit", json_of_audit(&result->audit), "chaos",
			 json_of_chaos(result), "waiters", json_of_waiters(result), "subscribers",
			 json_of_subscribers(result), "series", json_of_series(result));
}

/* What is out of memory is NULL, and every function here takes that. */
static json_t *
json_of_result(const struct report_plan *plan, const struct result *result)
{
	json_t *all = json_of_counts(plan, result);
	json_t *figures = json_of_figures(result);
	int failed = json_object_update(all, figures);
	json_decref(figures);
	if (strcmp(plan->mode, "replay") == 0)
		failed |= json_object_set_new(all, "replay", json_of_replay(result));
	if (failed == 0)
		return all;
	json_decref(all);
	return NULL;
}

bool
report_json(FILE *file, const struct report_plan *plan, const struct result *result)
{
	json_t *all = json_of_result(plan, result);
	int failed = all == NULL ? -1
				 : json_dumpf(all, file,
					      JSON_INDENT(2) | JSON_REAL_PRECISION(PRECISION));
	json_decref(all);
	return failed == 0 && fputc('\n', file) != EOF && fflush(file) == 0 && ferror(file) == 0;
}
