#include "cli/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/export_file.h"
#include "cli/offline_log.h"
#include "cli/phone_store.h"
#include "cli/pull_stream.h"
#include "cli/report.h"

enum exit_code
source_find_kind(struct source *source, const struct cli_options *options)
{
	struct stat stat_of;

	*source = (struct source){.options = *options, .where = options->from};
	if (strstr(source->where, "://") != NULL || strncmp(source->where, "unix:", 5) == 0) {
		source->kind = SOURCE_SERVER;
		source->options.url = source->where;
		return EXIT_FINE;
	}
	if (stat(source->where, &stat_of) == -1) {
		report_error("%s: %s", source->where, strerror(errno));
		return EXIT_LOCAL;
	}
	if (S_ISDIR(stat_of.st_mode))
		source->kind = SOURCE_DIRECTORY;
	else
		source->kind = phone_store_is_state(source->where) ? SOURCE_STATE : SOURCE_EXPORT;
	return EXIT_FINE;
}

enum exit_code
source_open(struct source *source, const struct cli_options *options, const char *log)
{
	const enum exit_code code = source_find_kind(source, options);

	if (code != EXIT_FINE)
		return code;
	if (!until_read(options->until, &source->until))
		return EXIT_USAGE;
	if (log != NULL && !log_name_is_valid(text_of(log))) {
		report_error("%s: not a valid name of a log", log);
		return EXIT_USAGE;
	}
	if (log == NULL && (source->kind == SOURCE_SERVER || source->kind == SOURCE_DIRECTORY)) {
		report_error("the name of a log is needed");
		return EXIT_USAGE;
	}
	if (log != NULL)
		memcpy(source->log, log, strlen(log) + 1);
	return EXIT_FINE;
}

/* --- a phone's state --- */

struct state_walk {
	struct source *source;
	struct phone_store *store;
	sourced_visitor *visit;
	void *cookie;
	struct position at;
	enum exit_code code;
};

/* The file may have rotted since. */
static bool
walk_confirmed(void *cookie, const struct logged *logged)
{
	struct state_walk *walk = cookie;
	struct position next = walk->at;
	struct sourced sourced = {.logged = *logged};
	struct hash stored;

	phone_action_digest(&sourced.logged.kept);
	if (!chain_actions(&next, &sourced.logged, 1) ||
	    phone_store_link(walk->store, logged->seq, &stored) != STATUS_OK ||
	    (!walk->source->trusts && !hash_equal(&stored, &next.link))) {
		report_error("%s: action %" PRIu64 " does not verify", walk->source->where,
			     walk->at.seq + 1);
		walk->code = EXIT_UNVERIFIED;
		return false;
	}
	sourced.link = next.link;
	sourced.stated = &stored;
	if (!walk->visit(walk->cookie, &sourced)) {
		walk->source->stopped = true;
		walk->code = EXIT_LOCAL;
		return false;
	}
	walk->at = next;
	return !until_reached(&walk->source->until, &next);
}

static enum exit_code
read_store(struct state_walk *walk)
{
	struct source *source = walk->source;
	const struct text log = phone_store_log(walk->store);

	if (source->log[0] != '\0' && !text_equal(text_of(source->log), log)) {
		report_error("%s is of the log %.*s, not %s", source->where, (int)log.size,
			     log.data, source->log);
		return EXIT_USAGE;
	}
	if (phone_store_start(walk->store)->seq > 0) {
		report_error("%s began from a snapshot: it has no actions up to %" PRIu64,
			     source->where, phone_store_start(walk->store)->seq);
		return EXIT_UNVERIFIED;
	}
	memcpy(source->log, log.data, log.size);
	source->log[log.size] = '\0';
	chain_genesis(log, &walk->at.link);
	if (!until_reached(&source->until, &walk->at) &&
	    phone_store_confirmed(walk->store, 0, walk_confirmed, walk) != STATUS_OK)
		return EXIT_LOCAL;
	if (walk->code == EXIT_FINE && !until_is(&source->until, &walk->at)) {
		report_error("%s ends at action %" PRIu64 ", and not at --until", source->where,
			     walk->at.seq);
		return EXIT_UNVERIFIED;
	}
	return walk->code;
}

static enum exit_code
read_state(struct state_walk *walk)
{
	enum exit_code code = EXIT_LOCAL;

	if (phone_store_look(walk->source->where, &walk->store) == STATUS_OK)
		code = read_store(walk);
	phone_store_close(walk->store);
	return code;
}

/* --- */

static enum exit_code
read_export(struct source *source, struct position *at, sourced_visitor *visit, void *cookie)
{
	struct export_reading reading = {.path = source->where,
					 .visit = visit,
					 .cookie = cookie,
					 .until = source->until,
					 .trusts = source->trusts,
					 .log = source->log};
	const enum exit_code code = export_read(&reading);

	*at = reading.at;
	source->stopped = reading.stopped;
	return code;
}

enum exit_code
source_read(struct source *source, struct position *at, sourced_visitor *visit, void *cookie)
{
	struct state_walk walk = {.source = source, .visit = visit, .cookie = cookie};
	enum exit_code code = EXIT_USAGE;

	switch (source->kind) {
	case SOURCE_SERVER:
		source->options.log = source->log;
		if (at->seq == 0)
			chain_genesis(text_of(source->log), &at->link);
		code = pull_stream_read(&source->options, at, visit, cookie);
		source->stopped = code == EXIT_LOCAL;
		break;
	case SOURCE_DIRECTORY:
		chain_genesis(text_of(source->log), &at->link);
		code = offline_log_source(source, at, visit, cookie);
		break;
	case SOURCE_EXPORT:
		code = read_export(source, at, visit, cookie);
		break;
	case SOURCE_STATE:
		code = read_state(&walk);
		*at = walk.at;
		break;
	}
	return code;
}
