/*
 * offline_log: a log in a stopped daemon's data directory.
 */
#ifndef CLI_OFFLINE_LOG_H
#define CLI_OFFLINE_LOG_H

#include "cli/cli.h"
#include "cli/source.h"
#include "store/audit.h"
#include "store/directory.h"
#include "store/offline.h"

/* The shard that has, or would have, a log; free(target->path) after use. False: reported. */
bool offline_log_target(const struct directory *, struct text log, struct audit_target *);

/* Reads it (store/offline). EXIT_FINE; EXIT_UNVERIFIED: SQLite finds it malformed; EXIT_LOCAL; reported. */
enum exit_code offline_log_read(const char *dir, const struct offline_order *,
				struct offline_end *);

/* The same for a source: what is stored must verify up to until, or to the end. */
enum exit_code offline_log_source(struct source *, struct position *at, sourced_visitor *,
				  void *cookie);

#endif
