#include "base/problem.h"

#include <stdio.h>

static _Thread_local char sentence[PROBLEM_SIZE];

const char *
problem_format(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return sentence;
}

const char *
problem_within(const char *where, const char *problem)
{
	char within[PROBLEM_SIZE];
	(void)snprintf(within, sizeof(within), "%s: %s", where, problem);
	return problem_format("%s", within);
}

enum status
problem_set(const char **problem, enum status status, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	*problem = sentence;
	return status;
}
