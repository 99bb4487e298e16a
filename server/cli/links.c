#include "cli/links.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/export_file.h"
#include "cli/phone_answer.h"
#include "cli/report.h"

#define PATH_SIZE_MAX 1024
#define PAGE_MEMORY_MAX ((size_t)1 << 30)
#define CAPACITY_MIN 4096

/* --- at hand --- */

static bool
keep(struct links *links, uint64_t seq, const struct hash *link)
{
	if (links->at_hand == NULL || seq >= links->capacity) {
		const uint64_t capacity = links->capacity == 0 ? CAPACITY_MIN : 2 * links->capacity;
		struct hash *larger =
			reallocarray(links->at_hand, (size_t)capacity, sizeof(*larger));

		if (larger == NULL) {
			report_error("out of memory");
			return false;
		}
		links->at_hand = larger;
		links->capacity = capacity;
	}
	links->at_hand[seq] = *link;
	links->end = seq;
	return true;
}

static bool
keep_action(void *cookie, const struct sourced *sourced)
{
	struct links *links = cookie;
	const uint64_t seq = sourced->logged.seq;

	if (links->changed == 0 && sourced->stated != NULL &&
	    !hash_equal(sourced->stated, &sourced->link)) {
		links->changed = seq;
		links->changed_was = *sourced->stated;
	}
	return keep(links, seq, &sourced->link);
}

static enum exit_code
read_all(struct links *links)
{
	struct position end = {.seq = 0};
	const enum exit_code code = source_read(&links->source, &end, keep_action, links);
	struct hash genesis;

	if (code != EXIT_FINE)
		return code;
	chain_genesis(text_of(links->source.log), &genesis);
	return links->at_hand != NULL || keep(links, 0, &genesis) ? EXIT_FINE : EXIT_LOCAL;
}

/* --- a server's --- */

/* GETs until there is an answer of that form; arena NULL: a head. */
static enum exit_code
ask(struct links *links, const char *tail, struct arena *arena, struct answer *answer)
{
	struct cli_options *options = &links->source.options;
	const uint64_t msec = options->give_up_sec * 1000;
	struct http_answer http;
	struct backoff backoff;
	struct buffer path;
	bool again = true;

	*answer = (struct answer){.kind = ANSWER_NONE};
	buffer_init(&path, PATH_SIZE_MAX);
	transport_log_path(&path, text_of(links->source.log), tail);
	http_answer_init(&http);
	backoff_start(&backoff, msec);
	while (again) {
		answer_release(answer);
		transport_ask(links->transport, path.data, NULL, msec, &http);
		if (arena != NULL)
			answer_read_page(&http, arena, answer);
		else
			answer_read_head(&http, answer);
		links->requests++;
		again = (answer->kind == ANSWER_NONE ||
			 (answer->kind == ANSWER_PROBLEM && answer->retry == RETRY_AFTER &&
			  !text_equal(answer->code, TEXT("LOG_DAMAGED")))) &&
			backoff_wait(&backoff, answer->retry_after_msec);
	}
	http_answer_release(&http);
	buffer_release(&path);
	if (answer->kind == ANSWER_SUCCESS)
		return EXIT_FINE;
	report_error("%s", answer->why);
	return answer->kind == ANSWER_PROBLEM && answer->retry == RETRY_NEVER ? EXIT_UNVERIFIED
									      : EXIT_UNREACHABLE;
}

static enum exit_code
ask_head(struct links *links)
{
	struct answer answer;
	const enum exit_code code = ask(links, "/head", NULL, &answer);

	links->end = answer.head.seq;
	answer_release(&answer);
	return code;
}

/* A page says the link before its first action: at the newest one it has none. */
static enum exit_code
ask_link(struct links *links, uint64_t seq, struct hash *link)
{
	struct answer answer;
	struct arena arena;
	char tail[64];

	(void)snprintf(tail, sizeof(tail), "/actions?limit=1&after=%" PRIu64, seq);
	arena_init(&arena, PAGE_MEMORY_MAX);
	const enum exit_code code = ask(links, tail, &arena, &answer);
	*link = answer.before.link;
	answer_release(&answer);
	arena_release(&arena);
	return code;
}

/* --- either --- */

enum exit_code
links_open(struct links *links, const struct cli_options *options, const char *log, bool trusts)
{
	*links = (struct links){.end = 0};
	const enum exit_code code = source_open(&links->source, options, log);

	if (code != EXIT_FINE)
		return code;
	links->source.trusts = trusts;
	if (links->source.kind != SOURCE_SERVER || trusts)
		return read_all(links);
	links->transport = transport_new(links->source.options.url, options);
	return links->transport != NULL ? ask_head(links) : EXIT_USAGE;
}

void
links_release(struct links *links)
{
	transport_free(links->transport);
	free(links->at_hand);
}

enum exit_code
links_get(struct links *links, uint64_t seq, struct hash *link)
{
	if (seq == 0)
		chain_genesis(text_of(links->source.log), link);
	else if (links->at_hand == NULL)
		return ask_link(links, seq, link);
	else
		*link = links->at_hand[seq];
	return EXIT_FINE;
}

struct catching {
	uint64_t seq;
	struct buffer *line;
};

static bool
catch_action(void *cookie, const struct sourced *sourced)
{
	const struct catching *catching = cookie;

	if (sourced->logged.seq == catching->seq)
		export_write_action(catching->line, sourced);
	return !catching->line->failed;
}

enum exit_code
links_action(struct links *links, const struct position *before, struct buffer *line)
{
	struct catching catching = {before->seq + 1, line};
	struct position at = {.seq = 0};
	char until[U64_DIGITS_MAX + 1];

	(void)snprintf(until, sizeof(until), "%" PRIu64, catching.seq);
	links->source.options.until = until;
	if (!until_read(until, &links->source.until))
		return EXIT_USAGE;
	if (links->source.kind == SOURCE_SERVER)
		at = *before;
	return source_read(&links->source, &at, catch_action, &catching);
}
