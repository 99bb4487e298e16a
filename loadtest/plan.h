/*
 * plan: what a run is to do: every option of the command line in one table, checked.
 *
 * An action's content is what its digest is computed over: 8 bytes of ts, the device's 8
 * ("phone-07"), the type's 8 ("todo/add"), and the payload. --payload says how large the payload
 * is, --action-bytes instead how large all of it.
 *
 * Ownership: the strings of a plan are the arguments' own. Threads: a plan is constant once it is
 * read.
 */
#ifndef LOADTEST_PLAN_H
#define LOADTEST_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/status.h"
#include "loadtest/spread.h"

#define PLAN_DEVICE_SIZE 8
#define PLAN_TYPE "todo/add"
#define PLAN_CONTENT_SIZE (8 + PLAN_DEVICE_SIZE + sizeof(PLAN_TYPE) - 1) /* all but the payload */
#define PLAN_PREFIX_SIZE_MAX 96
#define PLAN_HOST_SIZE 300

enum plan_mode { MODE_SYNC, MODE_REPLAY, MODE_WAIT };
enum plan_arrivals { ARRIVALS_CONSTANT, ARRIVALS_POISSON };
enum plan_order { ORDER_CYCLE, ORDER_RANDOM };

struct plan {
	const char *url;
	uint64_t pid; /* 0: none */
	unsigned mode;
	uint64_t connections;
	double rate; /* requests a second; 0: closed loop */
	unsigned arrivals;
	double duration_sec;
	double warmup_sec;
	uint64_t requests; /* 0: as many as the duration allows */
	uint64_t users;
	uint64_t first_user;
	const char *prefix;
	bool fresh;
	unsigned order;
	uint64_t devices;
	struct spread actions;
	struct spread payload;
	struct spread action_bytes; /* count 0: not asked for */
	double stale;		    /* shares of the requests */
	double retries;
	double pulls;
	bool receipts;
	bool states;
	uint64_t sample;
	double timeout_sec;
	uint64_t seed;
	bool honour_retry_after;
	uint64_t waiters;
	uint64_t subscribers;
	uint64_t chaos_seed;
	bool chaos;
	const char *token; /* NULL: none */
	bool json;
	const char *json_path;	/* NULL: standard output */
	const char *plot_path;	/* NULL: none */
	const char *heads_path; /* NULL: none */
	double interval_sec;
	double settle_sec;

	char host[PLAN_HOST_SIZE]; /* "127.0.0.1:8080", for the Host header */
	struct sockaddr_storage address;
	socklen_t address_size;
};

/* How an option is written. */
enum plan_kind {
	PLAN_NUMBER,  /* uint64_t */
	PLAN_DECIMAL, /* double */
	PLAN_SPREAD,
	PLAN_TEXT,  /* const char * */
	PLAN_FLAG,  /* bool, true when it is there */
	PLAN_CHOICE /* unsigned */
};

/* An option as the run has it. */
struct plan_value {
	const char *name;
	const char *value; /* as it was given, or its default; of a flag "true" or "false" */
	enum plan_kind kind;
};

#define PLAN_OPTIONS_MAX 48

/* What a command line gave. */
struct plan_values {
	struct plan_value items[PLAN_OPTIONS_MAX];
	size_t count;
};

/*
 * Reads the command line; argv[0] is skipped. STATUS_OK, or STATUS_MALFORMED after every problem
 * was printed to errors, one a line. The values are for the report; the token's is masked.
 */
MUST_CHECK enum status plan_read(struct plan *, struct plan_values *, char **argv, FILE *errors);

void plan_print_help(FILE *);

#endif
