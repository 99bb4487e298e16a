/*
 * config: every option, in one table: name, type, default, bounds, unit, whether SIGHUP reloads it,
 * one line of text. --help, config/edgereplay.ini and the errors are made from it.
 *
 * Sources, later wins: the table's defaults, the INI file (--config=FILE; none is read without it),
 * the environment (EDGEREPLAY_<SECTION>_<KEY>, in capitals), flags (--section.key=value).
 * Environment variables that begin otherwise than with EDGEREPLAY_ and a section are not looked at.
 * Sizes in bytes may end with KiB, MiB or GiB.
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

enum auth_mode { AUTH_NONE };

struct config {
	struct {
		char listen[CONFIG_TEXT_SIZE];
		uint64_t socket_mode; /* octal in the file, environment and flags */
		uint64_t threads;
		uint64_t connections;
		uint64_t idle_sec;
		uint64_t header_bytes;
		uint64_t body_memory;
		uint64_t drain_bytes;
		uint64_t drain_sec;
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
	} store;
	struct {
		uint64_t payload_bytes;
		uint64_t batch_actions;
		uint64_t body_bytes;
		uint64_t page_actions;
		uint64_t page_bytes;
		uint64_t wait_sec; /* longest ?wait= */
		uint64_t waiters;  /* most requests held by ?wait= at once; beyond it 429 */
		uint64_t sync_msec;
	} limits;
	struct {
		uint64_t max_skew_ms;
		bool monotonic;
	} clock;
	struct {
		enum auth_mode mode;
		bool allow_insecure;
	} auth;
	struct {
		enum log_level level;
		enum log_format format;
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

void config_print_help(FILE *);

/* Every option with its text, its range and its default: config/edgereplay.ini is this. */
void config_print_ini(FILE *);

#endif
