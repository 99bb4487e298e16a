/*
 * audit_all: verifies every shard of a directory that nobody writes, and shows what it finds.
 */
#ifndef CLI_AUDIT_ALL_H
#define CLI_AUDIT_ALL_H

#include "cli/cli.h"
#include "store/audit.h"
#include "store/directory.h"

/* Every shard is looked at, also after one that could not be. --json: {"file":…,"log":…,"seq":…,"what":…}, a
 * line a finding; else they are reported. Removals that were cut off likewise, with "unfinished":true.
 * STATUS_OK: all was looked at; see totals->findings. */
MUST_CHECK enum status audit_all(const struct directory *, const struct cli_options *,
				 struct audit_totals *);

/* Show a finding, or a removal that was cut off, as audit_all() does. */
void audit_show(const struct cli_options *, const struct audit_finding *);
void audit_show_unfinished(const struct cli_options *, const struct audit_finding *);

#endif
