#include "cli/remove.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/json_text.h"
#include "cli/remove_list.h"
#include "cli/report.h"

#define OUT_SIZE_MAX ((size_t)1 << 20)

static void
say_not_noted(const struct removing *removing)
{
	const struct removal *removal = removing->removal;

	if (removing->record != -1 && removal != NULL && !removing->is_noted)
		report_note("log %.*s: what was asked for is not noted in %s, and may be done all "
			    "the same: run the same command again",
			    (int)removal->log.size, removal->log.data, removing->options->record);
}

static void
say_interrupted(void *cookie)
{
	const struct removing *removing = cookie;
	uint64_t removed = removing->removed;

	if (removing->removal != NULL)
		removed += removing->removal->removed;
	report_progress_end();
	if (!removing->options->reopen)
		report_note("interrupted: the content of %" PRIu64
			    " actions is out of their rows, and files may still keep it: the same "
			    "command goes on, and overwrites it",
			    removed);
	say_not_noted(removing);
}

enum exit_code
remove_open(struct removing *removing, const struct cli_options *options)
{
	const char *problem = NULL;

	*removing = (struct removing){.options = options, .record = -1};
	interrupt_watch(say_interrupted, removing);
	if ((options->url == NULL) == (options->data == NULL)) {
		report_error("either --url of the daemon's admin listener or --data of a stopped "
			     "daemon is needed");
		return EXIT_USAGE;
	}
	if (options->record != NULL) {
		removing->record = remove_list_open(options->record);
		if (removing->record == -1)
			return EXIT_LOCAL;
	}
	backoff_start(&removing->backoff, options->give_up_sec * 1000);
	if (options->url != NULL) {
		removing->transport = transport_new(options->url, options);
		return removing->transport == NULL ? EXIT_USAGE : EXIT_FINE;
	}
	if (directory_open_existing(&removing->directory, options->data, &problem) != STATUS_OK) {
		char *whole = realpath(options->data, NULL); /* as a URL must be */

		report_error("%s; while a daemon runs there: --url=unix:%s/admin.sock", problem,
			     whole != NULL ? whole : options->data);
		free(whole);
		return EXIT_LOCAL;
	}
	removing->has_directory = true;
	if (snapshots_open(&removing->snapshots, options->data))
		return EXIT_FINE;
	report_error("out of memory");
	return EXIT_LOCAL;
}

static void
show_progress(const struct removing *removing)
{
	const struct removal *removal = removing->removal;
	const struct gone *gone = &removal->head.gone;
	uint64_t done = removal->removed + removal->gone_before, total = 0;

	if (removal->kind == REMOVE_ACTIONS) {
		done += removing->removed + removing->gone_before;
		total = removing->actions_total;
	} else if (removal->kind == REMOVE_ALL) {
		total = removal->head.position.seq;
	} else if (removal->kind == REMOVE_BEFORE) {
		total = gone->pruned;
	}
	report_progress("actions", done, total);
}

void
remove_look(const struct removing *removing)
{
	if (removing->removal != NULL)
		show_progress(removing);
	interrupt_look();
}

void
remove_step_done(struct removing *removing)
{
	const struct removal *removal = removing->removal;
	/* Ids are answers of the steps; an erasure is in force with its first. */
	const bool is_known = removal->kind != REMOVE_ACTIONS || !removal->more;

	/* A step that only looked has put nothing in force. */
	const bool has_begun = !removal->more || removal->removed > 0;

	if (removing->record != -1 && is_known && has_begun && !removing->is_noted) {
		removing->noting = remove_list_append(removing->record, removal);
		removing->is_noted = true;
	}
	if (removal->more)
		remove_look(removing);
}

enum exit_code
remove_from(struct removing *removing, struct removal *removal)
{
	struct hash genesis;
	enum exit_code code;

	removing->removal = removal;
	removing->is_noted = false;
	removing->noting = EXIT_FINE;
	remove_look(removing);
	chain_genesis(removal->log, &genesis);
	removing->touched[genesis.bytes[0]] = true;
	removal->genesis = &genesis;
	code = removing->transport != NULL ? remove_online(removing, removal)
					   : remove_offline(removing, removal);
	removal->genesis = NULL;
	if (code == EXIT_FINE && removal->kind == REMOVE_ALL && removal->head.position.seq == 0)
		report_note("log %.*s is not there, and is erased: who brings it is told",
			    (int)removal->log.size, removal->log.data);
	/* An erasure may be in force, though it met damage later. */
	if (code == EXIT_LOCAL || code == EXIT_UNREACHABLE ||
	    (code == EXIT_UNVERIFIED && removal->kind == REMOVE_ALL))
		say_not_noted(removing);
	removing->is_incomplete = removing->is_incomplete || code != EXIT_FINE;
	removing->removal = NULL;
	removing->logs++;
	removing->removed += removal->removed;
	removing->gone_before += removal->gone_before;
	removing->absent += removal->absent;
	return code == EXIT_FINE ? removing->noting : code;
}

enum exit_code
remove_visit(struct removing *removing, remove_visitor *visit)
{
	return removing->transport != NULL ? remove_online_visit(removing, visit)
					   : remove_offline_visit(removing, visit);
}

bool
remove_needs_end(const struct removing *removing, enum exit_code code)
{
	return removing->removed + removing->gone_before > 0 ||
	       (code == EXIT_FINE && removing->logs > 0 && !removing->options->reopen);
}

static void
name_leftovers(struct removing *removing, enum exit_code code, bool may_stay)
{
	for (size_t i = 0; i < removing->leftover_count; i++) {
		const char *path = removing->leftovers[i];

		if (may_stay || !removing->in_the_way[i]) {
			report_note("this may hold content too, and is yours to remove: %s", path);
			continue;
		}
		report_error("%s: the content may still be in it", path);
	}
	removing->is_not_reached = removing->has_in_the_way && !may_stay;
	if (removing->is_not_reached && code == EXIT_FINE)
		report_error("%sthese files were put aside by repair, accept-loss or reshard, and "
			     "are kept: they may be all that is left of other actions, or cannot "
			     "be removed. Remove them when you have what you need of them, and "
			     "run the same command again",
			     removing->is_incomplete
				     ? ""
				     : "what was to be removed is gone from the store, and stays "
				       "gone; but ");
}

enum exit_code
remove_end(struct removing *removing, bool may_stay)
{
	enum exit_code code = removing->transport != NULL ? remove_online_end(removing)
							  : remove_offline_end(removing);

	report_progress_end();
	name_leftovers(removing, code, may_stay);
	if (removing->kept > 0)
		report_error("%" PRIu64 " journal records have rotted and may hold anything: "
			     "edgereplay repair takes them out",
			     removing->kept);
	return code == EXIT_FINE && (removing->kept > 0 || removing->is_not_reached)
		       ? EXIT_UNVERIFIED
		       : code;
}

void
remove_add_leftover(void *cookie, const char *path, bool is_in_the_way)
{
	struct removing *removing = cookie;
	size_t at = 0;

	removing->has_in_the_way = removing->has_in_the_way || is_in_the_way;
	while (at < removing->leftover_count && strcmp(removing->leftovers[at], path) != 0)
		at++;
	if (at == REMOVE_LEFTOVERS_MAX)
		return;
	if (at == removing->leftover_count) {
		removing->leftovers[at] = strdup(path);
		if (removing->leftovers[at] == NULL)
			return;
		removing->leftover_count++;
	}
	removing->in_the_way[at] = removing->in_the_way[at] || is_in_the_way;
}

static void
write_json(struct buffer *out, const struct removing *removing, const char *members)
{
	buffer_printf(out,
		      "{%s\"logs\":%" PRIu64 ",\"removed\":%" PRIu64 ",\"goneBefore\":%" PRIu64
		      ",\"absent\":%" PRIu64 ",\"keptRecords\":%" PRIu64 ",\"leftovers\":[",
		      members, removing->logs, removing->removed, removing->gone_before,
		      removing->absent, removing->kept);
	for (size_t i = 0; i < removing->leftover_count; i++) {
		if (i > 0)
			buffer_append_text(out, TEXT(","));
		json_write_any(out, text_of(removing->leftovers[i]));
	}
	buffer_append_text(out, TEXT("]}\n"));
}

void
remove_show(const struct removing *removing, const char *members)
{
	struct buffer out;

	buffer_init(&out, OUT_SIZE_MAX);
	if (removing->options->json)
		write_json(&out, removing, members);
	else
		buffer_printf(&out,
			      "%" PRIu64 " logs: the content of %" PRIu64
			      " actions is gone, that of %" PRIu64 " was already\n",
			      removing->logs, removing->removed, removing->gone_before);
	if (!out.failed)
		fwrite(out.data, 1, out.size, stdout);
	buffer_release(&out);
}

void
remove_close(struct removing *removing)
{
	for (unsigned shard = 0; shard < SHARDS_MAX; shard++) {
		struct engine *engine = removing->engines[shard];

		if (engine != NULL)
			engine->ops->close(engine);
	}
	for (size_t i = 0; i < removing->leftover_count; i++)
		free(removing->leftovers[i]);
	if (removing->record != -1)
		(void)close(removing->record);
	if (removing->has_directory) {
		snapshots_close(&removing->snapshots);
		directory_close(&removing->directory);
	}
	transport_free(removing->transport);
	/* A signal that came too late takes nothing away. */
	(void)fflush(stdout);
	interrupt_forget();
}
