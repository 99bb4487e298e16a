/*
 * repair_copy: reads a phone's copy of a log: the NDJSON that pull prints (or repair wrote), plain
 * NDJSON of actions, or a state file.
 */
#ifndef CLI_REPAIR_COPY_H
#define CLI_REPAIR_COPY_H

#include "base/text.h"
#include "cli/cli.h"
#include "store/repair.h"

/* Offers what the file has. A line without "seq" is the action after the line before it; of a state's
 * queue, where a healing phone puts what it had confirmed, the first is the one after the base. What is
 * no action is passed over. EXIT_FINE, or what went wrong, reported. */
enum exit_code repair_copy_read(const char *path, struct text log, struct repair *);

#endif
