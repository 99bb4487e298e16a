/*
 * cli: edgereplay, the command-line tool. main reads the command line by two tables,
 * flags and commands; each command has one file.
 *
 *     main ─▶ cmd_push ─▶ phone_sync ─▶ phone_batch    the queue's front as a request
 *             cmd_pull        │         phone_settle   what a 200 means
 *             cmd_status      │         phone_refusal  what a refused action means
 *             cmd_head        │
 *             cmd_health      │         phone_heal     what a 409 means
 *             cmd_verify      │         phone_pull     pages
 *             cmd_repair      │
 *             cmd_accept_loss │
 *             cmd_keygen      │
 *             cmd_receipt     │
 *             cmd_import      │
 *             cmd_backup      │
 *             cmd_restore     │
 *             cmd_reshard     │
 *             cmd_token       │
 *             cmd_snapshot    │
 *             cmd_redact, cmd_erase, cmd_prune ─▶ remove   content goes
 *                             ├───────▶ phone_store    the local file: what survives kill -9
 *                             └───────▶ transport      HTTP
 *
 *     main ─▶ cmd_export, cmd_replay, cmd_bisect, cmd_stat ─▶ source   a log, from wherever it is
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
	EXIT_PROGRAM = 5,     /* the program that the tool ran failed */
};

#define CLI_VKEYS_MAX 16

/* The command line. Strings are borrowed from argv; NULL where the flag was not given. */
struct cli_options {
	const char *url;
	const char *log;
	const char *state;
	const char *device;
	const char *hash;
	const char *until;
	const char *from;    /* a copy of the log, or whence it is read */
	const char *out;     /* for what is removed, or exported */
	const char *with;    /* a phone's copy of the log */
	const char *as;	     /* another name of a log */
	const char *reducer; /* a shell's command */
	const char *name;    /* of a server */
	const char *vkeys[CLI_VKEYS_MAX];
	size_t vkey_count;
	const char *data;	/* a data directory */
	const char *receipt;	/* a file */
	const char *digest;	/* of the app's state … */
	const char *app;	/* … and its version */
	const char *token_file; /* the token to send; else the environment's EDGEREPLAY_TOKEN */
	const char *ca_file;	/* authorities of servers' certificates; else the system's */
	const char *key;	/* a private key's file … */
	const char *jwks;	/* … and that of its JWK Set */
	const char *subject, *issuer, *audience, *scope;
	const char *logs, *logs_ro; /* with commas between them */
	const char *at;		    /* a position */
	const char *snapshot;	    /* a file for one */
	const char *app_version, *media_type;
	uint64_t before;	/* a seq; 0: not given */
	const char *argument;	/* what the command's help says */
	const char *second;	/* likewise */
	const char *admin;	/* a daemon's admin.listen */
	const char *to;		/* where a backup goes */
	uint64_t rate;		/* bytes a second; 0: no limit */
	char *const *arguments; /* all of them; the first is the same */
	size_t argument_count;
	const char *record;	  /* a list of what was removed, appended to … */
	const char *replay;	  /* … and applied again */
	uint64_t older_than_days; /* by when it was received */
	bool without_snapshot;
	bool all; /* logs that have a snapshot */
	bool reopen;
	uint64_t after;
	uint64_t batch;	      /* actions a request, ≥ 1 */
	uint64_t give_up_sec; /* since the last success */
	uint64_t expires_sec; /* of a token, from now */
	bool reject;	      /* --on-conflict=reject */
	bool resume;
	uint64_t shard;
	bool dry_run;
	bool check;
	bool live; /* alive is enough, ready or not */
	bool quiet, json, help, version;
	uint64_t given; /* which flags, by their bits (cli/flags) */
};

enum exit_code cmd_push(const struct cli_options *);
enum exit_code cmd_pull(const struct cli_options *);
enum exit_code cmd_head(const struct cli_options *);
enum exit_code cmd_health(const struct cli_options *);
enum exit_code cmd_status(const struct cli_options *);
enum exit_code cmd_verify(const struct cli_options *);
enum exit_code cmd_repair(const struct cli_options *);
enum exit_code cmd_accept_loss(const struct cli_options *);
enum exit_code cmd_keygen(const struct cli_options *);
enum exit_code cmd_receipt_verify(const struct cli_options *);
enum exit_code cmd_export(const struct cli_options *);
enum exit_code cmd_import(const struct cli_options *);
enum exit_code cmd_stat(const struct cli_options *);
enum exit_code cmd_replay(const struct cli_options *);
enum exit_code cmd_bisect(const struct cli_options *);
enum exit_code cmd_snapshot_put(const struct cli_options *);
enum exit_code cmd_snapshot_get(const struct cli_options *);
enum exit_code cmd_backup(const struct cli_options *);
enum exit_code cmd_restore(const struct cli_options *);
enum exit_code cmd_reshard(const struct cli_options *);
enum exit_code cmd_redact(const struct cli_options *);
enum exit_code cmd_erase(const struct cli_options *);
enum exit_code cmd_prune(const struct cli_options *);
enum exit_code cmd_token_keygen(const struct cli_options *);
enum exit_code cmd_token_mint(const struct cli_options *);

#endif
