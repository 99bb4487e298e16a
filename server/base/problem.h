/*
 * problem: a sentence for the operator about what stopped a start: what, where, what to do.
 *
 * Functions that can stop a start return a status and such a sentence through a const char
 * **problem. It stands in memory of the thread's own and holds until the thread's next problem;
 * nobody frees it.
 */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include <stdarg.h>

#include "base/status.h"

/* A sentence that is cut is better than none; a path and a sentence fit. */
#define PROBLEM_SIZE 8192

const char *problem_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "where: problem", also of the thread's own newest problem. */
const char *problem_within(const char *where, const char *problem);

/* Sets *problem, and returns the status: return problem_set(problem, STATUS_…, "cannot open %s",
 * path); */
enum status problem_set(const char **problem, enum status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
