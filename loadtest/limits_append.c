/* limits_append: how long it takes until appended bytes are on stable storage, and what it costs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loadtest/limits.h"

static int
compare_times(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static bool
append(int file, const char *piece, size_t size)
{
	while (size > 0) {
		ssize_t written = write(file, piece, size);
		if (written == -1)
			return false;
		piece += written;
		size -= (size_t)written;
	}
	return fdatasync(file) == 0;
}

static bool
measure(int file, const struct limits_plan *plan, const char *piece, double *times)
{
	for (uint64_t i = 0; i < plan->count; i++) {
		double begin = limits_clock_sec(CLOCK_MONOTONIC);
		if (!append(file, piece, plan->size))
			return limits_failed(plan->dir, strerror(errno));
		times[i] = limits_clock_sec(CLOCK_MONOTONIC) - begin;
	}
	return true;
}

static void
add_figures(struct figures *figures, const struct limits_plan *plan, double *times, double cpu)
{
	double sum = 0;
	for (uint64_t i = 0; i < plan->count; i++)
		sum += times[i];
	qsort(times, plan->count, sizeof(*times), compare_times);
	figures_add(figures, "appends", (double)plan->count);
	figures_add(figures, "bytes", (double)plan->size);
	figures_add(figures, "appendsPerSecond", (double)plan->count / sum);
	figures_add(figures, "p50Ms", times[plan->count / 2] * 1e3);
	figures_add(figures, "p99Ms", times[plan->count * 99 / 100] * 1e3);
	figures_add(figures, "maxMs", times[plan->count - 1] * 1e3);
	figures_add(figures, "cpuPerAppendUs", cpu * 1e6 / (double)plan->count);
}

bool
limits_append(const struct limits_plan *plan, struct figures *figures)
{
	char path[OPTION_TEXT_SIZE + 32];
	bool done = false;
	(void)snprintf(path, sizeof(path), "%s/limits-append.XXXXXX", plan->dir);
	char *piece = calloc(1, plan->size);
	double *times = calloc(plan->count, sizeof(*times));
	if (piece == NULL || times == NULL) {
		(void)limits_failed("append", "out of memory");
		goto free_memory;
	}
	memset(piece, 'x', plan->size);
	int file = mkstemp(path);
	if (file == -1) {
		(void)limits_failed(path, strerror(errno));
		goto free_memory;
	}
	double begin = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID);
	done = measure(file, plan, piece, times);
	double cpu = limits_clock_sec(CLOCK_PROCESS_CPUTIME_ID) - begin;
	if (done)
		add_figures(figures, plan, times, cpu);
	(void)close(file);
	(void)unlink(path);

free_memory:
	free(times);
	free(piece);
	return done;
}
