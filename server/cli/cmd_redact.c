/* redact: the content of actions goes; or what a kept list says, again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/remove.h"
#include "cli/remove_list.h"
#include "cli/report.h"

#define ACTIONS_A_REQUEST 1000 /* what an admin listener takes */
#define ACTIONS_MAX ((uint64_t)1000000)

struct seqs {
	uint64_t *items;
	size_t count, capacity;
};

static bool
add_seq(struct seqs *seqs, uint64_t seq)
{
	if (seqs->count == seqs->capacity) {
		const size_t larger = seqs->capacity == 0 ? 64 : 2 * seqs->capacity;
		uint64_t *grown = reallocarray(seqs->items, larger, sizeof(*grown));

		if (grown == NULL)
			return false;
		seqs->items = grown;
		seqs->capacity = larger;
	}
	seqs->items[seqs->count++] = seq;
	return true;
}

/* 17, or 17-20. */
static bool
add_range(struct seqs *seqs, const char *argument)
{
	struct text rest = text_of(argument);
	uint64_t from, to;
	const struct text first = text_cut(&rest, '-');
	bool good = text_to_u64(first, SEQ_MAX, &from) && from > 0;

	to = from;
	if (good && first.size < strlen(argument))
		good = text_to_u64(rest, SEQ_MAX, &to) && to >= from;
	if (!good || to - from >= ACTIONS_MAX || seqs->count >= ACTIONS_MAX) {
		report_error("%s: a SEQ or a range of them, 17-20, is needed", argument);
		return false;
	}
	for (uint64_t seq = from; seq <= to; seq++) {
		if (!add_seq(seqs, seq)) {
			report_error("out of memory");
			return false;
		}
	}
	return true;
}

static enum exit_code
redact_part(struct removing *removing, const uint64_t *seqs, size_t count)
{
	static uint8_t ids[ACTIONS_A_REQUEST][ID_SIZE];
	struct removal removal = {.kind = REMOVE_ACTIONS,
				  .log = text_of(removing->options->argument),
				  .seqs = seqs,
				  .seq_count = count,
				  .ids = ids};

	return remove_from(removing, &removal);
}

static enum exit_code
redact_seqs(struct removing *removing)
{
	const struct cli_options *options = removing->options;
	struct seqs seqs = {.count = 0};
	enum exit_code code = EXIT_FINE;

	for (size_t i = 1; i < options->argument_count && code == EXIT_FINE; i++) {
		if (!add_range(&seqs, options->arguments[i]))
			code = EXIT_USAGE;
	}
	removing->actions_total = seqs.count;
	for (size_t at = 0; at < seqs.count && code == EXIT_FINE; at += ACTIONS_A_REQUEST) {
		const size_t left = seqs.count - at;

		code = redact_part(removing, seqs.items + at,
				   left < ACTIONS_A_REQUEST ? left : ACTIONS_A_REQUEST);
	}
	free(seqs.items);
	removing->logs = 1;
	return code;
}

/* What a list says was erased, and a later log has its name. */
static bool
stayed_open(const struct removal *removal)
{
	return removal->erased_link != NULL && !removal->stays_open &&
	       removal->head.gone.erased_at == 0;
}

/* A list goes on behind a log that is not there any more. */
static enum exit_code
replay_one(void *cookie, struct removal *removal, bool is_last)
{
	struct removing *removing = cookie;

	removal->now_msec = clock_server_msec();
	const enum exit_code code = remove_from(removing, removal);
	if (code == EXIT_FINE && is_last && stayed_open(removal)) {
		report_error("log %.*s has got more since it was erased, and stays open",
			     (int)removal->log.size, removal->log.data);
		removing->stayed_open++;
	}
	return code;
}

static enum exit_code
replay(struct removing *removing)
{
	const struct remove_list_order order = {.path = removing->options->replay,
						.max = ACTIONS_A_REQUEST,
						.visit = replay_one,
						.cookie = removing};
	const enum exit_code code = remove_list_read(&order, &removing->bad_lines);

	if (removing->bad_lines > 0)
		report_error("%s: %" PRIu64 " lines could not be read, and what they say was not "
			     "removed; all others were gone through",
			     removing->options->replay, removing->bad_lines);
	if (removing->absent > 0)
		report_error("%" PRIu64
			     " actions of the list are not in their logs, or cannot be told "
			     "from later ones: a phone that brings one back brings its content. "
			     "Replay the list again then",
			     removing->absent);
	if (removing->stayed_open > 0)
		report_error("%" PRIu64
			     " logs have got more since they were erased, and stay open: erase "
			     "them again if that is to go, too; else erase --reopen --record=%s "
			     "notes that they are open",
			     removing->stayed_open, removing->options->replay);
	return code == EXIT_FINE && removing->absent + removing->stayed_open > 0 ? EXIT_UNVERIFIED
										 : code;
}

static bool
is_usage(const struct cli_options *options)
{
	const bool replays = options->replay != NULL;

	if (replays ? options->argument_count > 0 || options->record != NULL
		    : options->argument_count < 2) {
		report_error("redact: LOG and SEQ are needed, or --replay alone; see edgereplay "
			     "redact --help");
		return false;
	}
	if (!replays && !log_name_is_valid(text_of(options->argument))) {
		report_error("%s: not a valid name", options->argument);
		return false;
	}
	return true;
}

enum exit_code
cmd_redact(const struct cli_options *options)
{
	struct removing removing;
	enum exit_code code, end = EXIT_FINE;
	bool is_done;
	char members[96] = "";

	if (!is_usage(options))
		return EXIT_USAGE;
	code = remove_open(&removing, options);
	if (code == EXIT_FINE) {
		code = options->replay != NULL ? replay(&removing) : redact_seqs(&removing);
		/* What was removed is overwritten, whatever else went wrong. */
		is_done = code == EXIT_FINE;
		if (remove_needs_end(&removing, code))
			end = remove_end(&removing, false);
		code = is_done ? end : code;
		if (options->replay != NULL)
			(void)snprintf(members, sizeof(members),
				       "\"badLines\":%" PRIu64 ",\"stayedOpen\":%" PRIu64 ",",
				       removing.bad_lines, removing.stayed_open);
		if (code == EXIT_FINE || (is_done && removing.is_not_reached) ||
		    options->replay != NULL)
			remove_show(&removing, members);
	}
	remove_close(&removing);
	return report_output_done() || code != EXIT_FINE ? code : EXIT_LOCAL;
}
