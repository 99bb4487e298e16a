#include "loadtest/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 5
#define TOLD_SIZE_MAX 600
#define LOST_MAX 100 /* so many without chaos, and the daemon is not there any more */
#define SERIES_MAX 1000000

static struct result_interval *
interval_at(struct run *run, uint64_t usec)
{
	struct result *result = run->result;
	double width = run->plan->interval_sec;
	size_t index = (size_t)((double)(usec - run->first_usec) / 1e6 / width);
	if (index >= SERIES_MAX)
		return NULL;
	if (index >= run->series_capacity) {
		size_t capacity = index < 64 ? 128 : 2 * index;
		struct result_interval *series =
			realloc(result->series, capacity * sizeof(*series));
		if (series == NULL)
			return NULL;
		result->series = series;
		run->series_capacity = capacity;
	}
	for (; result->series_count <= index; result->series_count++) {
		double end = (double)(result->series_count + 1) * width;
		result->series[result->series_count] = (struct result_interval){.end_sec = end};
	}
	return &result->series[index];
}

void
run_count_status(struct run *run, const struct measure *measure, unsigned status)
{
	if (!measure->measured)
		return;
	run->result->statuses[status]++;
	run->last_usec = measure->answered_usec;
}

void
run_count_success(struct run *run, const struct measure *measure, uint64_t actions,
		  uint64_t duplicates)
{
	struct result *result = run->result;
	if (!measure->measured)
		return;
	run_count_status(run, measure, 200);
	result->requests++;
	result->actions += actions;
	result->duplicates += duplicates;
	histogram_record(&result->latency, measure->answered_usec - measure->intended_usec);
	histogram_record(&result->service, measure->answered_usec - measure->sent_usec);
	struct result_interval *interval = interval_at(run, measure->answered_usec);
	if (interval != NULL) {
		interval->requests++;
		interval->actions += actions;
	}
}

static void
count_code(struct result *result, struct text code)
{
	if (code.size == 0 || code.size >= RESULT_CODE_SIZE)
		code = TEXT("(none)");
	for (size_t i = 0; i < RESULT_CODES_MAX; i++) {
		struct result_code *place = &result->codes[i];
		if (place->count == 0)
			memcpy(place->code, code.data, code.size);
		if (text_equal(code, text_of(place->code))) {
			place->count++;
			return;
		}
	}
}

void
run_count_refusal(struct run *run, const struct measure *measure, unsigned status, struct text code,
		  uint64_t actions)
{
	struct result *result = run->result;
	if (!measure->measured)
		return;
	run_count_status(run, measure, status);
	count_code(result, code);
	result->refused_actions += actions;
	histogram_record(&result->refused, measure->answered_usec - measure->sent_usec);
	struct result_interval *interval = interval_at(run, measure->answered_usec);
	if (interval != NULL)
		interval->refused++;
}

static void
tell(struct run *run, struct text log, const char *why, struct text answer)
{
	if (run->told++ >= TOLD_MAX)
		return;
	if (answer.size > TOLD_SIZE_MAX)
		answer.size = TOLD_SIZE_MAX;
	fprintf(stderr, "edgereplay-load: %.*s: %s\n", (int)log.size, log.data, why);
	if (answer.size > 0)
		fprintf(stderr, "    %.*s\n", (int)answer.size, answer.data);
}

void
run_count_wrong(struct run *run, struct text log, const char *why, struct text answer)
{
	run->result->wrong++;
	tell(run, log, why, answer);
}

void
run_count_unexpected(struct run *run, struct text log, unsigned status, struct text answer)
{
	char why[64];
	(void)snprintf(why, sizeof(why), "unexpected status %u", status);
	run->result->unexpected++;
	tell(run, log, why, answer);
}

void
run_count_lost(struct run *run, const char *why)
{
	run->result->transport_errors++;
	if (run->plan->chaos)
		return;
	tell(run, TEXT("connection"), why, TEXT(""));
	if (run->result->transport_errors >= LOST_MAX)
		run->aborted = true;
}
