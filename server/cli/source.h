/*
 * source: a log's actions in order, each verified, from wherever a copy of the log is.
 *
 *     http…, unix:…   a server            ─▶ pull_stream
 *     a folder        a stopped daemon's  ─▶ offline_log
 *     a file          an export           ─▶ export_file
 *                     a phone's state     ─▶ phone_store
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/phone_chain.h"
#include "cli/until.h"

/* One action on its way. Texts live until the visitor returns. */
struct sourced {
	struct logged logged;
	struct hash link;	   /* behind it, computed here */
	const struct hash *stated; /* what the copy says it is; NULL: nothing */
	uint64_t received_at;	   /* 0: not known */
	struct text writer;	   /* empty: not known */
};

/* False stops the reading; why is the visitor's to report. */
typedef bool sourced_visitor(void *cookie, const struct sourced *);

enum source_kind { SOURCE_SERVER, SOURCE_DIRECTORY, SOURCE_EXPORT, SOURCE_STATE };

struct source {
	struct cli_options options; /* url: of a server; log may be NULL for a file */
	enum source_kind kind;
	const char *where; /* options.from */
	struct until until;
	bool trusts; /* a file is taken as it is, verified or not; sourced.stated tells */
	char log[LOG_NAME_SIZE_MAX +
		 1];  /* known after reading, at the latest at the first action */
	bool stopped; /* by the visitor */
};

/* What options.from is; the rest of source_open(). */
enum exit_code source_find_kind(struct source *, const struct cli_options *);

/* log: its name, NULL where a file says it. EXIT_USAGE or, where there is no such file, EXIT_LOCAL: reported. */
enum exit_code source_open(struct source *, const struct cli_options *, const char *log);

/*
 * Visits the actions up to until; *at is where it ended. With a server *at may be a position behind
 * which to begin, else it begins with the log. EXIT_FINE: all of them, and until is reached. Otherwise
 * reported; EXIT_LOCAL also when the visitor stopped it.
 */
enum exit_code source_read(struct source *, struct position *at, sourced_visitor *, void *cookie);

#endif
