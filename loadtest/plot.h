/*
 * plot: a run's result as a picture: latency over percentiles, throughput over time.
 *
 * The picture is one SVG file that needs no other.
 */
#ifndef LOADTEST_PLOT_H
#define LOADTEST_PLOT_H

#include <stdbool.h>
#include <stdio.h>

#include "loadtest/result.h"

/* The title is any UTF-8 text. False when memory is out or the file could not be written. */
bool plot_write(FILE *, const char *title, const struct result *);

#endif
