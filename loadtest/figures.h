/*
 * figures: what follows from a result by division. Pure.
 */
#ifndef LOADTEST_FIGURES_H
#define LOADTEST_FIGURES_H

#include "loadtest/result.h"

/* 0 by 0 is 0. */
double per(double amount, double whole);

/* The actions that the run moved: pushed, or read in mode replay. */
double actions_moved(const struct result *);

/* The daemon's until it had come to rest, and the tool's own. */
double daemon_cpu_per_100k(const struct result *);
double load_cpu_per_100k(const struct result *);

/* Of a histogram of microseconds. */
double percentile_msec(const struct histogram *, double percent);
double mean_msec(const struct histogram *);

#endif
