/*
 * runner: how each unit test's main() ends.
 */
#ifndef SUPPORT_RUNNER_H
#define SUPPORT_RUNNER_H

#include <check.h>
#include <stdlib.h>

/* Runs the suites and frees the runner. The process's exit code. */
static inline int
runner_run(SRunner *runner)
{
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
