/*
 * cli: edgereplay, the command-line tool. main reads the flags, each command has one file.
 *
 *     main ─▶ cmd_push ─▶ phone_sync ─▶ phone_batch    the queue's front as a request
 *             cmd_pull        │         phone_settle   what a 200 means
 *             cmd_status      │         phone_refusal  what a refused action means
 *             cmd_head        │         phone_heal     what a 409 means
 *             cmd_verify      │         phone_pull     pages
 *             cmd_repair      │
 *             cmd_accept_loss │
 *                             ├───────▶ phone_store    the local file: what survives kill -9
 *                             └───────▶ transport      HTTP
 *
 * The phone_* files are the reference for clients in other languages: protocol section 7, rule by
 * rule.
 *
 * Threads: one. Memory: a command that fails ends the process, but frees what it took all the same.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the process returns. */
enum exit_code {
	EXIT_FINE = 0,
	EXIT_UNVERIFIED = 1,  /* did not verify, was refused or set aside, is damaged */
	EXIT_USAGE = 2,	      /* the command line is wrong */
	EXIT_UNREACHABLE = 3, /* no server, gave up, not let in */
	EXIT_LOCAL = 4,	      /* a local file cannot be read or written */
};

/* The command line. Strings are borrowed from argv; NULL where the flag was not given. */
struct cli_options {
	const char *url;
	const char *log;
	const char *state;
	const char *device;
	const char *hash;
	const char *until;
	const char *from;     /* a copy of the log */
	const char *out;      /* for what is removed */
	const char *argument; /* FILE of push, DIR of verify, repair and accept-loss */
	uint64_t after;
	bool has_after;
	uint64_t batch;	      /* actions a request, ≥ 1 */
	uint64_t give_up_sec; /* since the last success */
	bool reject;	      /* --on-conflict=reject */
	bool resume;
	uint64_t shard;
	bool dry_run;
	bool quiet;
	bool json;
};

enum exit_code cmd_push(const struct cli_options *);
enum exit_code cmd_pull(const struct cli_options *);
enum exit_code cmd_head(const struct cli_options *);
enum exit_code cmd_status(const struct cli_options *);
enum exit_code cmd_verify(const struct cli_options *);
enum exit_code cmd_repair(const struct cli_options *);
enum exit_code cmd_accept_loss(const struct cli_options *);

#endif
