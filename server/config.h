/*
 * config: every option, in one table: name, type, default, bounds, unit, whether SIGHUP reloads it,
 * one line of text. --help, config/edgereplay.ini and the errors are made from it.
 *
 * Sources, later wins: the table's defaults, the INI file (--config=FILE; none is read without it),
 * the environment (EDGEREPLAY_<SECTION>_<KEY>, in capitals), flags (--section.key=value).
 * Environment variables that begin otherwise than with EDGEREPLAY_ and a section are not looked at.
 * Sizes in bytes may end with a unit (OPTION_UNITS).
 *
 * Threads: load and reload from the main thread. struct config is plain data, not changed by
 * others.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "base/status.h"

#define CONFIG_TEXT_SIZE 4096

enum auth_mode { AUTH_NONE, AUTH_JWT, AUTH_PROXY };

struct config {
	struct {
		char listen[CONFIG_TEXT_SIZE];
		uint64_t socket_mode; /* octal in the file, environment and flags */
		uint64_t threads;
		uint64_t connections;
		uint64_t address_connections;
		uint64_t idle_sec;
		uint64_t header_sec;
		uint64_t body_sec;
		uint64_t send_sec;
		uint64_t least_rate;
		uint64_t header_bytes;
		uint64_t body_memory;
		uint64_t answer_memory;
		uint64_t drain_bytes;
		uint64_t drain_sec;
		char cors_origins[CONFIG_TEXT_SIZE];
		uint64_t cors_max_age_sec;
		char tls_cert[CONFIG_TEXT_SIZE];
		char tls_key[CONFIG_TEXT_SIZE];
	} server;
	struct {
		char dir[CONFIG_TEXT_SIZE];
		uint64_t shards;
		uint64_t queue;
		uint64_t tail_bytes;
		uint64_t group;
		uint64_t linger_usec;
		uint64_t slice;
		uint64_t cache_logs;
		uint64_t scrub_rate;
		uint64_t free_min;
	} store;
	struct {
		uint64_t positions;
		uint64_t devices;
		uint64_t memory;
	} states;
	struct {
		uint64_t payload_bytes;
		uint64_t batch_actions;
		uint64_t body_bytes;
		uint64_t page_actions;
		uint64_t page_bytes;
		uint64_t wait_sec; /* longest ?wait= */
		uint64_t waiters;  /* most requests held by ?wait= or for events at once */
		uint64_t subject_waiters;
		uint64_t sync_msec;
		uint64_t log_actions; /* 0: any number. Likewise below */
		uint64_t log_bytes;
		uint64_t subject_logs;
		uint64_t snapshot_bytes;
	} limits;
	struct {
		uint64_t keep;
		uint64_t transfers;
		uint64_t prune_sec; /* 0: never */
		uint64_t prune_every_sec;
	} snapshots;
	struct {
		uint64_t requests; /* a second; 0: any number. Likewise below */
		uint64_t requests_burst;
		uint64_t actions;
		uint64_t actions_burst;
		uint64_t bytes;
		uint64_t bytes_burst;
		uint64_t failures;
		uint64_t failures_burst;
		uint64_t owners;
		unsigned forwarded; /* enum forwarded_header */
	} rate;
	struct {
		char url[CONFIG_TEXT_SIZE]; /* empty: no webhook */
		char secret_file[CONFIG_TEXT_SIZE];
		char ca_file[CONFIG_TEXT_SIZE];
		uint64_t queue;
		uint64_t connections;
		uint64_t gather_msec;
		uint64_t timeout_sec;
		uint64_t keep_sec;
	} webhook;
	struct {
		uint64_t max_skew_ms;
		bool monotonic;
	} clock;
	struct {
		enum auth_mode mode;
		bool allow_insecure;
		char own_log[CONFIG_TEXT_SIZE];
		char jwks_file[CONFIG_TEXT_SIZE];
		char jwks_url[CONFIG_TEXT_SIZE];
		char jwks_ca_file[CONFIG_TEXT_SIZE];
		uint64_t jwks_refresh_sec;
		uint64_t jwks_min_interval_sec;
		char algorithms[CONFIG_TEXT_SIZE];
		char issuer[CONFIG_TEXT_SIZE];
		char audience[CONFIG_TEXT_SIZE];
		char type[CONFIG_TEXT_SIZE];
		uint64_t leeway_sec;
		uint64_t token_bytes;
		uint64_t cache_bytes;
		char logs_claim[CONFIG_TEXT_SIZE];
		char logs_ro_claim[CONFIG_TEXT_SIZE];
		char device_claim[CONFIG_TEXT_SIZE];
		char all_scope[CONFIG_TEXT_SIZE];
		char trusted[CONFIG_TEXT_SIZE];
		char user_header[CONFIG_TEXT_SIZE];
		char secret_header[CONFIG_TEXT_SIZE];
		char secret_file[CONFIG_TEXT_SIZE];
	} auth;
	struct {
		char key[CONFIG_TEXT_SIZE];
		char name[CONFIG_TEXT_SIZE];
	} receipts;
	struct {
		char listen[CONFIG_TEXT_SIZE];
		char metrics_listen[CONFIG_TEXT_SIZE];
		uint64_t socket_mode;
		uint64_t connections;
		bool allow_remote;
		char hosts[CONFIG_TEXT_SIZE];
		bool allow_changes;
	} admin;
	struct {
		enum log_level level;
		enum log_format format;
		uint64_t slow_ms;
	} log;
};

/* What the command line asks for besides options. From CONFIG_PRINT on neither the file nor the
 * environment is read. */
enum config_action { CONFIG_RUN, CONFIG_CHECK, CONFIG_PRINT, CONFIG_HELP, CONFIG_VERSION };

/*
 * Loads from all sources. argv[0] is skipped; environment ends with NULL. STATUS_OK, or
 * STATUS_MALFORMED after printing every problem to errors, one a line: where ("edgereplay.ini:12",
 * "EDGEREPLAY_STORE_SHARDS", "--store.shards"), what, and the allowed range.
 */
MUST_CHECK enum status config_load(struct config *, int argc, char **argv, char **environment,
				   FILE *errors, enum config_action *);

/*
 * Loads again from the same sources and takes over what can be reloaded. Logs one line an option
 * that changed: taken over, or needs a restart. On STATUS_MALFORMED nothing changed (and the
 * problems are on errors).
 */
MUST_CHECK enum status config_reload(struct config *, int argc, char **argv, char **environment,
				     FILE *errors);

/* The mode's word. */
const char *config_auth_mode(const struct config *);

void config_print_help(FILE *);

/* Every option with its text, its range and its default: config/edgereplay.ini is this. */
void config_print_ini(FILE *);

#endif
