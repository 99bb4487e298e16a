/*
 * report: what the tool tells a human, on stderr. Results go to stdout and are not made here, only
 * seen off. With --json what fails says so on stdout, too, where nothing else is: {"error":"…"}.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With quiet, notes and progress are not shown; errors always are. */
void report_configure(bool quiet);

/* stdout is to have a document in any case. Before anything is written to it. */
void report_expect_json(void);

/* At the end of a command that failed. */
void report_failure(void);

/* "edgereplay: …" and a newline. A progress bar on the line is wiped first. */
void report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Shows how far long work is: a bar when total is known (above 0), else a count. Does nothing
 * unless stderr is a terminal; draws at most ten times a second.
 */
void report_progress(const char *what, uint64_t done, uint64_t total);

/* Writes out what stdout still holds. False, and reported, when it or an earlier write failed. */
bool report_output_done(void);

/* Wipes the bar. */
void report_progress_end(void);

#endif
