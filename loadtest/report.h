/*
 * report: a run's result, as a table for people and as JSON for machines.
 *
 * Threads: any; there is no state. Whoever opened the file closes it.
 */
#ifndef LOADTEST_REPORT_H
#define LOADTEST_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "loadtest/result.h"

enum report_kind { REPORT_NUMBER, REPORT_TEXT, REPORT_BOOL };

/* An option as the run had it. The strings are borrowed. */
struct report_option {
	const char *name;
	const char *value; /* of a bool: "true" or "false" */
	enum report_kind kind;
};

struct report_plan {
	const char *mode; /* "sync", "replay", "wait" */
	const struct report_option *options;
	size_t count;
};

/* Both return false when memory is out or the file could not be written. */
bool report_table(FILE *, const struct report_plan *, const struct result *);
bool report_json(FILE *, const struct report_plan *, const struct result *);

#endif
