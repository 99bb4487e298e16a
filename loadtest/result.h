/*
 * result: what one run measured, as the driver fills it and the report prints it.
 *
 * Ownership: result_init() allocates, result_release() frees. Threads: the run's own thread.
 */
#ifndef LOADTEST_RESULT_H
#define LOADTEST_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loadtest/histogram.h"

#define RESULT_CODES_MAX 32
#define RESULT_CODE_SIZE 32

/* How often a problem code was answered ("BACKPRESSURE"). */
struct result_code {
	char code[RESULT_CODE_SIZE];
	uint64_t count;
};

/* One interval of the run. */
struct result_interval {
	double end_sec; /* since the measured part began */
	uint64_t requests;
	uint64_t actions;
	uint64_t refused;
};

/* What the daemon used between two samples; all counts are differences. */
struct daemon_usage {
	double cpu_sec;
	double user_sec;
	double system_sec;
	uint64_t peak_memory_bytes; /* since the process began */
	uint64_t voluntary_switches;
	uint64_t involuntary_switches;
	uint64_t write_bytes;
};

struct audit_result {
	uint64_t logs;
	uint64_t actions;
	uint64_t missing; /* acknowledged, and not in the log */
	uint64_t doubled; /* in the log twice */
	uint64_t wrong;	  /* links that do not verify, heads that differ */
};

/* What the chaos proxy did. A fault that no byte came to meet is not counted. */
struct chaos_counts {
	uint64_t connections;
	uint64_t exchanges;
	uint64_t delays;
	uint64_t slices;
	uint64_t cuts;	    /* of requests */
	uint64_t truncated; /* answers of which a part arrived */
	uint64_t swallowed; /* answers that were lost whole, after the commit */
	uint64_t resets;
};

struct result {
	double seconds;
	uint64_t requests; /* answered 2xx */
	uint64_t actions;  /* acknowledged: applied or duplicate */
	uint64_t offered;  /* open loop: requests that were scheduled */
	uint64_t late;
	uint64_t unsent;	/* open loop: scheduled, and not sent before the end */
	uint64_t wrong;		/* answers that are not what the tool's own chain says */
	uint64_t unexpected;	/* statuses that the plan does not allow */
	uint64_t statuses[600]; /* by HTTP status */
	struct result_code codes[RESULT_CODES_MAX];
	uint64_t transport_errors;
	uint64_t duplicates;
	uint64_t refused_actions;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t replayed; /* mode replay: actions read and verified */

	struct histogram latency; /* 2xx, from the intended time in open loop; microseconds */
	struct histogram service; /* 2xx, from the time of sending */
	struct histogram refused; /* 429 and 503, from the time of sending */
	struct histogram events;  /* from a commit's answer to its subscriber's event */

	struct result_interval *series;
	size_t series_count;

	bool has_daemon;
	struct daemon_usage daemon;	    /* at the end of the measured part */
	struct daemon_usage daemon_settled; /* after it came to rest */
	double settled_sec;		    /* how long that took */

	double load_cpu_sec; /* the tool's own */
	uint64_t load_peak_memory_bytes;

	struct audit_result audit;
	bool has_chaos;
	struct chaos_counts chaos;
	uint64_t waiters_held;
	uint64_t waiters_answered;
	uint64_t subscribers_held;
	uint64_t subscribers_behind; /* at the end: they missed their log's last head */
	uint64_t comments;
};

/* STATUS_INTERNAL when memory is out; then release is still allowed. */
MUST_CHECK enum status result_init(struct result *);
void result_release(struct result *);

#endif
